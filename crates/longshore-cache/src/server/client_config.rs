//! Files that make clients use the cache: dockerd, containerd, podman, BuildKit, k3s and kaniko.
//!
//! [`client_config`] is a pure function; the caller writes the files.

use std::path::PathBuf;

use longshore_origin::{AddressClass, Origin, Scheme};
use serde_json::{Map, Value, json};

use super::config::{ServeConfig, UpstreamConfig};

/// A program that pulls images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Client {
    /// dockerd, with `daemon.json`.
    Docker,
    /// containerd, with a directory of `hosts.toml` files.
    Containerd,
    /// podman, buildah, skopeo and CRI-O, with a file in `registries.conf.d`.
    Podman,
    /// BuildKit, with `buildkitd.toml`.
    Buildkit,
    /// k3s and RKE2, with `registries.yaml`.
    K3s,
    /// kaniko, with options of its command line.
    Kaniko,
}

/// The configuration that makes a client use the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The files to write.
    pub files: Vec<ClientFile>,
    /// Command-line options, for a client without a file.
    pub arguments: Vec<String>,
    /// Notes for the user, in full sentences.
    pub notes: Vec<String>,
}

/// A file of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientFile {
    /// The absolute path of the file.
    pub path: PathBuf,
    /// The content of a new file.
    pub content: String,
    /// Settings to merge into an existing JSON file.
    merged: Option<Map<String, Value>>,
}

/// An existing file into which the settings cannot be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the existing file is not a JSON object, or a setting in it does not have the expected type"
)]
#[non_exhaustive]
pub struct MergeError;

impl ClientFile {
    fn new(path: &str, content: String) -> Self {
        let path = path.into();
        let merged = None;
        Self {
            path,
            content,
            merged,
        }
    }

    fn json(path: &str, settings: Map<String, Value>) -> Self {
        let content = pretty(&settings);
        let merged = Some(settings);
        let path = path.into();
        Self {
            path,
            content,
            merged,
        }
    }

    /// Returns the new content for an existing file. In a `daemon.json`, other settings are kept,
    /// and entries are added to lists. Any other file is replaced as a whole.
    ///
    /// # Errors
    ///
    /// [`MergeError`] when the existing file should be JSON but is not.
    pub fn content_over(&self, existing: &str) -> Result<String, MergeError> {
        let Some(settings) = &self.merged else {
            return Ok(self.content.clone());
        };
        if existing.trim().is_empty() {
            return Ok(self.content.clone());
        }
        let mut file: Map<_, _> = serde_json::from_str(existing).map_err(|_| MergeError)?;
        let mut is_changed = false;
        for (key, value) in settings {
            let entry = file.entry(key).or_insert_with(|| json!([]));
            let (Value::Array(entries), Value::Array(added)) = (entry, value) else {
                return Err(MergeError);
            };
            // The client tries the first mirror first.
            for value in added
                .iter()
                .rev()
                .filter(|it| !entries.contains(it))
                .collect::<Vec<_>>()
            {
                entries.insert(0, value.clone());
                is_changed = true;
            }
        }
        if is_changed {
            Ok(pretty(&file))
        } else {
            Ok(existing.to_owned())
        }
    }
}

fn pretty(settings: &Map<String, Value>) -> String {
    format!("{:#}\n", Value::Object(settings.clone()))
}

/// Returns the URL under which clients on the same machine reach a server: its first listener.
///
/// `None` if the configuration has no listener.
#[must_use]
pub fn local_url(config: &ServeConfig) -> Option<Origin> {
    let mut address = *config.listen.first()?;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let scheme = match config.tls {
        Some(_) => Scheme::Https,
        None => Scheme::Http,
    };
    Origin::from_authority(scheme, &address.to_string()).ok()
}

/// Returns the configuration that makes a client use the cache at `server` for the registries of
/// these upstreams.
#[must_use]
pub fn client_config(
    client: Client,
    server: &Origin,
    upstreams: &[UpstreamConfig],
) -> ClientConfig {
    let cache = Cache { server, upstreams };
    let mut config = match client {
        Client::Docker => cache.docker(),
        Client::Containerd => cache.containerd(),
        Client::Podman => cache.podman(),
        Client::Buildkit => cache.buildkit(),
        Client::K3s => cache.k3s(),
        Client::Kaniko => cache.kaniko(),
    };
    config.notes.extend(cache.reachability(client));
    if server.scheme() == Scheme::Https {
        config.notes.push(format!(
            "The client has to trust the certificate of {server}, which must be valid for {}.",
            server.host()
        ));
    }
    config
}

/// The cache as the clients reach it.
struct Cache<'a> {
    server: &'a Origin,
    upstreams: &'a [UpstreamConfig],
}

/// A registry that the cache serves.
struct Registry<'a> {
    /// The name of the registry in image names.
    name: &'a str,
    upstream: &'a UpstreamConfig,
}

impl Registry<'_> {
    /// Returns the URL of the registry itself.
    fn url(&self) -> String {
        let origin = &self.upstream.url.origin;
        match self.name {
            HUB => "https://registry-1.docker.io".to_owned(),
            name if origin.authority() == name => origin.to_string(),
            name => format!("https://{name}"),
        }
    }

    /// Whether the registry itself is reached without TLS.
    fn is_plain(&self) -> bool {
        self.url().starts_with("http://")
    }
}

/// The name of Docker Hub in image names.
const HUB: &str = "docker.io";

impl Cache<'_> {
    fn registries(&self) -> impl Iterator<Item = Registry<'_>> {
        self.upstreams.iter().flat_map(|upstream| {
            let is_host = |name: &&str| name.contains(['.', ':']) || *name == "localhost";
            let names = upstream.registries().into_iter().filter(is_host);
            names.map(move |name| Registry { name, upstream })
        })
    }

    /// Returns host and port, as in image names.
    fn host(&self) -> &str {
        self.server.authority()
    }

    fn is_loopback(&self) -> bool {
        self.server.known_class() == Some(AddressClass::Loopback)
    }

    fn is_plain(&self) -> bool {
        self.server.scheme() == Scheme::Http
    }

    /// The upstream that answers dockerd's requests to a mirror, which has names of Docker Hub.
    fn mirrored(&self) -> Option<&UpstreamConfig> {
        let is_hub = |it: &&UpstreamConfig| it.is_default && it.registries().contains(&HUB);
        self.upstreams.iter().find(is_hub)
    }

    fn docker(&self) -> ClientConfig {
        let mut settings = Map::new();
        let mut notes = Vec::new();
        let mirrored = self.mirrored();
        if mirrored.is_some() {
            settings.insert(
                "registry-mirrors".to_owned(),
                json!([self.server.to_string()]),
            );
        }
        if self.is_plain() && !self.is_loopback() {
            settings.insert("insecure-registries".to_owned(), json!([self.host()]));
        }
        let others = self.upstreams.iter().map(|it| &it.prefix);
        let others = others.filter(|name| mirrored.is_none_or(|hub| hub.prefix != **name));
        let names: Vec<_> = others
            .map(|name| format!("{}/{name}/…", self.host()))
            .collect();
        let names = names.join(", ");
        match mirrored {
            None => notes.push(format!(
                "dockerd has mirrors only for Docker Hub, which is not the default upstream of \
                 the cache, so no mirror is set: dockerd uses the cache only for images that are \
                 pulled by the name that they have in it: {names}"
            )),
            Some(_) if names.is_empty() => {}
            Some(_) => notes.push(format!(
                "dockerd has mirrors only for Docker Hub. Pull images of other registries by the \
                 name that they have in the cache: {names}"
            )),
        }
        let mut files = Vec::new();
        if !settings.is_empty() {
            files.push(ClientFile::json("/etc/docker/daemon.json", settings));
            notes.push("Restart dockerd to apply this: systemctl restart docker".to_owned());
        }
        ClientConfig {
            files,
            notes,
            ..ClientConfig::default()
        }
    }

    fn containerd(&self) -> ClientConfig {
        let host = format!(
            "[host.{}]\n  capabilities = [\"pull\", \"resolve\"]\n  dial_timeout = \"2s\"\n",
            quoted(&self.server.to_string())
        );
        let mut files: Vec<_> = self
            .registries()
            .map(|registry| {
                let path = format!("{CERTS_D}/{}/hosts.toml", directory(registry.name));
                let server = quoted(&registry.url());
                ClientFile::new(&path, format!("server = {server}\n\n{host}"))
            })
            .collect();
        // The cache answers 404 for registries that it does not know. containerd then uses the
        // registry itself.
        files.push(ClientFile::new(
            &format!("{CERTS_D}/_default/hosts.toml"),
            host,
        ));
        let notes = vec![
            format!(
                "containerd reads these files if its config.toml sets config_path = \
                 \"{CERTS_D}\", in the table [plugins.'io.containerd.cri.v1.images'.registry] of \
                 containerd 2 and in [plugins.'io.containerd.grpc.v1.cri'.registry] of \
                 containerd 1. They are read at each pull, without a restart."
            ),
            format!("For ctr, give --hosts-dir {CERTS_D}."),
        ];
        ClientConfig {
            files,
            notes,
            ..ClientConfig::default()
        }
    }

    fn podman(&self) -> ClientConfig {
        let insecure = |is_plain| if is_plain { "insecure = true\n" } else { "" };
        let mut text = String::new();
        for registry in self.registries() {
            let mirror = format!("{}/{}", self.host(), registry.upstream.prefix);
            text.push_str(&format!(
                "[[registry]]\nlocation = {}\n{}\n[[registry.mirror]]\nlocation = {}\n{}\n",
                quoted(registry.name),
                insecure(registry.is_plain()),
                quoted(&mirror),
                insecure(self.is_plain()),
            ));
        }
        let path = "/etc/containers/registries.conf.d/50-longshore.conf";
        let notes = vec![
            "A [[registry]] table replaces one for the same location in \
             /etc/containers/registries.conf, or in a file of registries.conf.d whose name is \
             earlier in the alphabet. If you have such tables, copy their other settings into \
             these; and in a later file, such a table replaces one of these."
                .to_owned(),
        ];
        ClientConfig {
            files: vec![ClientFile::new(path, text.trim_end().to_owned() + "\n")],
            notes,
            ..ClientConfig::default()
        }
    }

    fn buildkit(&self) -> ClientConfig {
        let mut text = String::new();
        for Registry { name, upstream } in self.registries() {
            let mirror = format!("{}/{}", self.host(), upstream.prefix);
            text.push_str(&format!(
                "[registry.{}]\n  mirrors = [{}]\n\n",
                quoted(name),
                quoted(&mirror)
            ));
        }
        if self.is_plain() {
            text.push_str(&format!(
                "[registry.{}]\n  http = true\n\n",
                quoted(self.host())
            ));
        }
        let path = "/etc/buildkit/buildkitd.toml";
        let notes = vec![format!(
            "Restart buildkitd to apply this. A builder of buildx gets the file when it is \
             created: docker buildx create --buildkitd-config {path}"
        )];
        ClientConfig {
            files: vec![ClientFile::new(path, text.trim_end().to_owned() + "\n")],
            notes,
            ..ClientConfig::default()
        }
    }

    fn k3s(&self) -> ClientConfig {
        let mut text = "mirrors:\n".to_owned();
        for Registry { name, .. } in self.registries() {
            text.push_str(&format!(
                "  {}:\n    endpoint:\n      - {}\n",
                quoted(name),
                quoted(&self.server.to_string())
            ));
        }
        let notes = vec![
            "Write this file on every node and restart k3s there: systemctl restart k3s, or \
             k3s-agent. RKE2 reads /etc/rancher/rke2/registries.yaml."
                .to_owned(),
        ];
        ClientConfig {
            files: vec![ClientFile::new("/etc/rancher/k3s/registries.yaml", text)],
            notes,
            ..ClientConfig::default()
        }
    }

    fn kaniko(&self) -> ClientConfig {
        let entries: Vec<_> = self
            .registries()
            .map(|it| format!("{}={}/{}", it.name, self.host(), it.upstream.prefix))
            .collect();
        let mut arguments = vec![format!("--registry-map={}", entries.join(";"))];
        if self.is_plain() {
            arguments.push(format!("--insecure-registry={}", self.host()));
        }
        ClientConfig {
            arguments,
            ..ClientConfig::default()
        }
    }

    /// Returns warnings about an address that the client may not reach, and about plain http.
    fn reachability(&self, client: Client) -> Vec<String> {
        if !self.is_loopback() {
            return match self.is_plain() {
                true => vec![format!(
                    "Clients use {} without encryption: anyone on the network path can change \
                     what tags stand for.",
                    self.server
                )],
                false => Vec::new(),
            };
        }
        let where_not = match client {
            Client::Docker => {
                "Docker Desktop runs dockerd in a virtual machine, in which this is the virtual \
                 machine itself"
            }
            Client::Containerd => {
                "A node of kind runs containerd in a container, in which this is the container \
                 itself"
            }
            Client::Podman => {
                "On macOS and Windows, podman pulls in a virtual machine, in which this is the \
                 virtual machine itself"
            }
            Client::Buildkit => {
                "A builder of buildx runs in a container, in which this is the container itself, \
                 unless it was created with --driver-opt network=host"
            }
            Client::K3s => "On each node, and in k3d's containers, this is the node itself",
            Client::Kaniko => "kaniko runs in a container, in which this is the container itself",
        };
        vec![format!(
            "{} is a loopback address. {where_not}. If the cache runs elsewhere, give an address \
             that the client can reach with --server, and let the cache listen on it.",
            self.host()
        )]
    }
}

/// The directory of containerd's `hosts.toml` files.
const CERTS_D: &str = "/etc/containerd/certs.d";

/// Returns the name of containerd's directory for a registry: `:5000` becomes `_5000_`.
fn directory(registry: &str) -> String {
    match registry.rsplit_once(':') {
        Some((host, port)) => format!("{host}_{port}_"),
        None => registry.to_owned(),
    }
}

/// Quotes text as JSON does, which TOML and YAML read too. The texts here are hosts and paths.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::config::ConfigSources;
    use super::*;

    const CLIENTS: [Client; 6] = [
        Client::Docker,
        Client::Containerd,
        Client::Podman,
        Client::Buildkit,
        Client::K3s,
        Client::Kaniko,
    ];

    fn config(file: &str) -> ServeConfig {
        let sources = ConfigSources::new().file("cache.toml", file);
        ServeConfig::parse(&sources.default_store_path("/cache")).unwrap()
    }

    const TWO: &str = "[[serve.upstream]]\nprefix = \"docker.io\"\n\
                       [[serve.upstream]]\nprefix = \"corp\"\nurl = \"https://r.example:8443\"\n";

    fn configured(client: Client, server: &str) -> ClientConfig {
        client_config(client, &server.parse().unwrap(), &config(TWO).upstream)
    }

    fn toml(file: &ClientFile) -> toml::Table {
        file.content.parse().unwrap()
    }

    fn path(file: &ClientFile) -> &str {
        file.path.to_str().unwrap()
    }

    #[test]
    fn dockerd_gets_a_mirror_for_docker_hub_and_names_for_the_others() {
        let made = configured(Client::Docker, "http://cache.example:5000");
        assert_eq!(path(&made.files[0]), "/etc/docker/daemon.json");
        let found: Value = serde_json::from_str(&made.files[0].content).unwrap();
        let expected = json!({
            "registry-mirrors": ["http://cache.example:5000"],
            "insecure-registries": ["cache.example:5000"],
        });
        assert_eq!(found, expected);
        let note = &made.notes[0];
        assert!(note.contains("only for Docker Hub"), "{note}");
        assert!(
            note.ends_with("in the cache: cache.example:5000/corp/…"),
            "{note}"
        );
        // dockerd accepts http from every loopback address.
        let made = configured(Client::Docker, "http://127.0.0.1:5000");
        let found: Value = serde_json::from_str(&made.files[0].content).unwrap();
        assert_eq!(
            found,
            json!({"registry-mirrors": ["http://127.0.0.1:5000"]})
        );
    }

    #[test]
    fn dockerd_gets_no_mirror_if_docker_hub_is_not_the_default_upstream() {
        let upstreams =
            "[[serve.upstream]]\nprefix = \"quay.io\"\nns = [\"quay.io\", \"q.example\"]\n";
        let upstreams = config(upstreams).upstream;
        let made =
            |server: &str| client_config(Client::Docker, &server.parse().unwrap(), &upstreams);
        let plain = made("http://cache.example:5000");
        let found: Value = serde_json::from_str(&plain.files[0].content).unwrap();
        assert_eq!(
            found,
            json!({"insecure-registries": ["cache.example:5000"]})
        );
        let secure = made("https://cache.example");
        assert_eq!(secure.files, []);
        assert_eq!(
            secure.notes[0],
            "dockerd has mirrors only for Docker Hub, which is not the default upstream of the \
             cache, so no mirror is set: dockerd uses the cache only for images that are pulled \
             by the name that they have in it: cache.example/quay.io/…"
        );
    }

    #[test]
    fn the_notes_for_dockerd_name_each_other_registry_once() {
        let upstreams = "[[serve.upstream]]\nprefix = \"docker.io\"\n\
                         ns = [\"docker.io\", \"hub.example\"]\n\
                         [[serve.upstream]]\nprefix = \"corp\"\nurl = \"https://r.example\"\n\
                         ns = [\"r.example\", \"s.example\"]\n";
        let upstreams = config(upstreams).upstream;
        let server = "https://cache.example".parse().unwrap();
        let note = &client_config(Client::Docker, &server, &upstreams).notes[0];
        assert!(
            note.ends_with("in the cache: cache.example/corp/…"),
            "{note}"
        );
    }

    #[test]
    fn podman_may_use_http_for_a_registry_that_is_configured_with_http() {
        let upstreams = config(
            "[[serve.upstream]]\nprefix = \"corp\"\nurl = \"http://r.example:5000\"\n\
             [[serve.upstream]]\nprefix = \"quay.io\"\nurl = \"http://mirror.example\"\n",
        )
        .upstream;
        let server = "https://cache.example".parse().unwrap();
        let made = client_config(Client::Podman, &server, &upstreams);
        let table = toml(&made.files[0]);
        let registries = table["registry"].as_array().unwrap().iter();
        let found: Vec<_> = registries
            .map(|it| {
                let is_insecure = it.get("insecure").and_then(toml::Value::as_bool);
                (it["location"].as_str().unwrap(), is_insecure)
            })
            .collect();
        assert_eq!(
            found,
            [
                ("r.example:5000", Some(true)),
                ("quay.io", None),
                ("mirror.example", Some(true)),
            ]
        );
        assert!(
            made.notes[0].contains("replaces one for the same"),
            "{:?}",
            made.notes
        );
    }

    #[test]
    fn the_settings_of_an_existing_daemon_json_are_kept() {
        let file = &configured(Client::Docker, "http://cache.example:5000").files[0];
        let existing = r#"{"data-root": "/docker", "registry-mirrors": ["https://a.example"]}"#;
        let merged = file.content_over(existing).unwrap();
        let found: Value = serde_json::from_str(&merged).unwrap();
        let expected = json!({
            "data-root": "/docker",
            "registry-mirrors": ["http://cache.example:5000", "https://a.example"],
            "insecure-registries": ["cache.example:5000"],
        });
        assert_eq!(found, expected);
        assert_eq!(file.content_over(&merged), Ok(merged.clone()));
        assert_eq!(file.content_over(" \n"), Ok(file.content.clone()));
        for existing in ["[]", "{", r#"{"registry-mirrors": "a"}"#] {
            assert_eq!(file.content_over(existing), Err(MergeError), "{existing}");
        }
    }

    #[test]
    fn containerd_gets_a_file_for_each_registry_and_one_for_all_others() {
        let made = configured(Client::Containerd, "http://127.0.0.1:5000");
        let paths: Vec<_> = made.files.iter().map(path).collect();
        assert_eq!(
            paths,
            [
                "/etc/containerd/certs.d/docker.io/hosts.toml",
                "/etc/containerd/certs.d/r.example_8443_/hosts.toml",
                "/etc/containerd/certs.d/_default/hosts.toml",
            ]
        );
        let servers = made.files.iter().map(|file| {
            let table = toml(file);
            let host = &table["host"]["http://127.0.0.1:5000"];
            let capabilities = toml::Value::from(vec!["pull", "resolve"]);
            assert_eq!(host["capabilities"], capabilities);
            assert_eq!(host["dial_timeout"].as_str(), Some("2s"));
            table
                .get("server")
                .map(|it| it.as_str().unwrap().to_owned())
        });
        let servers: Vec<_> = servers.collect();
        let expected = ["https://registry-1.docker.io", "https://r.example:8443"];
        let expected = expected.map(|url| Some(url.to_owned()));
        assert_eq!(servers, [&expected[..], &[None]].concat());
    }

    #[test]
    fn podman_gets_a_mirror_with_the_prefix_for_each_registry() {
        for (server, insecure) in [
            ("http://127.0.0.1:5000", Some(true)),
            ("https://127.0.0.1:5000", None),
        ] {
            let made = configured(Client::Podman, server);
            let table = toml(&made.files[0]);
            let registries = table["registry"].as_array().unwrap();
            let found: Vec<_> = registries
                .iter()
                .map(|it| {
                    let mirror = &it["mirror"][0];
                    let is_insecure = mirror.get("insecure").and_then(toml::Value::as_bool);
                    assert_eq!(is_insecure, insecure);
                    (
                        it["location"].as_str().unwrap(),
                        mirror["location"].as_str().unwrap(),
                    )
                })
                .collect();
            assert_eq!(
                found,
                [
                    ("docker.io", "127.0.0.1:5000/docker.io"),
                    ("r.example:8443", "127.0.0.1:5000/corp")
                ]
            );
        }
    }

    #[test]
    fn buildkit_gets_mirrors_and_the_scheme_of_the_cache() {
        let made = configured(Client::Buildkit, "http://cache.example:5000");
        let table = toml(&made.files[0]);
        let registry = &table["registry"];
        let mirror = |name: &str| registry[name]["mirrors"][0].as_str();
        assert_eq!(mirror("docker.io"), Some("cache.example:5000/docker.io"));
        assert_eq!(mirror("r.example:8443"), Some("cache.example:5000/corp"));
        assert_eq!(registry["cache.example:5000"]["http"].as_bool(), Some(true));
        let made = configured(Client::Buildkit, "https://cache.example");
        assert!(
            toml(&made.files[0])["registry"]
                .get("cache.example")
                .is_none()
        );
    }

    #[test]
    fn k3s_gets_an_endpoint_for_each_registry() {
        let made = configured(Client::K3s, "http://10.0.0.1:5000");
        assert_eq!(
            made.files[0].content,
            "mirrors:\n  \"docker.io\":\n    endpoint:\n      - \"http://10.0.0.1:5000\"\n  \
             \"r.example:8443\":\n    endpoint:\n      - \"http://10.0.0.1:5000\"\n"
        );
    }

    #[test]
    fn kaniko_gets_options() {
        let made = configured(Client::Kaniko, "http://10.0.0.1:5000");
        assert_eq!(made.files, []);
        assert_eq!(
            made.arguments,
            [
                "--registry-map=docker.io=10.0.0.1:5000/docker.io;\
                 r.example:8443=10.0.0.1:5000/corp",
                "--insecure-registry=10.0.0.1:5000",
            ]
        );
    }

    #[test]
    fn every_client_is_warned_of_a_loopback_address() {
        for client in CLIENTS {
            for (server, expected) in [
                ("http://127.0.0.1:5000", 1),
                ("http://localhost:5000", 1),
                ("http://[::1]:5000", 1),
                ("https://cache.example", 0),
            ] {
                let made = configured(client, server);
                let is_warning = |note: &&String| note.contains("is a loopback address");
                let count = made.notes.iter().filter(is_warning).count();
                assert_eq!(count, expected, "{client:?} {server}");
            }
        }
    }

    #[test]
    fn the_url_of_a_server_is_its_first_listener() {
        for (text, expected) in [
            ("", "http://127.0.0.1:5000"),
            (
                "[serve]\nlisten = [\"0.0.0.0:80\", \"127.0.0.1:1\"]",
                "http://127.0.0.1",
            ),
            ("[serve]\nlisten = [\"[::]:5000\"]", "http://[::1]:5000"),
            (
                "[serve]\nlisten = [\"192.0.2.1:443\"]\n[serve.tls]\ncert = \"a\"\nkey = \"b\"",
                "https://192.0.2.1",
            ),
        ] {
            assert_eq!(local_url(&config(text)).unwrap().to_string(), expected);
        }
    }
}
