//! Debian's `docker-registry`, distribution 2.8: the registry most others descend from.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use longshore_testkit::certificate::{Authority, Identity};
use longshore_testkit::image::Tree;
use longshore_testkit::token::TokenServer;
use longshore_testkit::{Listen, RecordedRequest};
use tempfile::TempDir;

use crate::http;
use crate::longshore::Longshore;
use crate::process::{self, PROBE, Process};
use crate::program;
use crate::skopeo::Skopeo;

/// A running registry with its files; both are gone when it is dropped.
#[derive(Debug)]
pub struct DockerRegistry {
    process: Process,
    address: SocketAddr,
    tokens: Option<TokenServer>,
    demands: Demand,
    authority: Option<PathBuf>,
}

impl DockerRegistry {
    /// Settings for a registry that demands nothing, in the clear.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            demand: Demand::Nothing,
            tls: false,
            host: Ipv4Addr::LOCALHOST.into(),
            proxy_of: None,
        }
    }

    /// `127.0.0.1:1234`, as a reference names it.
    #[must_use]
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its origin as a URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.address)
    }

    /// The server whose tokens it demands, when it does.
    #[must_use]
    pub fn tokens(&self) -> Option<&TokenServer> {
        self.tokens.as_ref()
    }

    /// The file with the certificate to trust, when it speaks TLS.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// A skopeo that knows how to talk to this registry, `None` when skopeo is not installed.
    #[must_use]
    pub fn skopeo(&self) -> Option<Skopeo> {
        let skopeo = Skopeo::find()?;
        let skopeo = match self.demands {
            Demand::Nothing => skopeo,
            Demand::Basic | Demand::Bearer => skopeo.credentials(USER, PASSWORD),
        };
        Some(match &self.authority {
            Some(file) => skopeo.trust(file.parent().unwrap_or(file)),
            None => skopeo,
        })
    }

    /// Has `longshore` log in, and trust whom this registry names.
    #[must_use]
    pub fn admit(&self, longshore: Longshore) -> Longshore {
        let longshore = self.introduce(longshore);
        match self.demands {
            Demand::Nothing => longshore,
            Demand::Basic | Demand::Bearer => longshore.login(USER, PASSWORD),
        }
    }

    /// Has `longshore` trust this registry and its token server, as nobody in particular.
    #[must_use]
    pub fn introduce(&self, longshore: Longshore) -> Longshore {
        match (&self.authority, &self.tokens) {
            (Some(file), _) => longshore.args([OsStr::new("--ca-file"), file.as_os_str()]),
            // RE4: in the clear, another port is another origin even on the same host.
            (None, Some(tokens)) => {
                let realm = format!("http://{}", tokens.address());
                longshore.args(["--allow-realm", &realm])
            }
            (None, None) => longshore,
        }
    }

    /// Pushes an image with skopeo under `name:tag`, digests unchanged, and gives its reference;
    /// `None` when skopeo is not installed.
    ///
    /// # Panics
    ///
    /// When skopeo fails; the message includes its output.
    #[track_caller]
    pub fn push(&self, tree: &Tree, name_and_tag: &str) -> Option<String> {
        let skopeo = self.skopeo()?;
        let reference = format!("{}/{name_and_tag}", self.address);
        skopeo.push(tree, &reference);
        Some(reference)
    }

    /// Every request it has answered, but those of the harness.
    ///
    /// A line is written after the answer has gone out, so the last one may be missing for a
    /// moment: see [`wait_for_requests`](Self::wait_for_requests).
    #[must_use]
    pub fn requests(&self) -> Vec<Logged> {
        process::read(&self.process.stdout())
            .lines()
            .filter_map(Logged::parse)
            .collect()
    }

    /// The requests, once there are `count` of them.
    ///
    /// # Panics
    ///
    /// When that many requests do not arrive in time.
    pub fn wait_for_requests(&mut self, count: usize) -> Vec<Logged> {
        let address = self.address;
        let requests = self.process.wait_until(|process| {
            let text = process::read(&process.stdout());
            let requests: Vec<_> = text.lines().filter_map(Logged::parse).collect();
            (requests.len() >= count).then_some(requests)
        });
        match requests {
            Some(requests) => requests,
            None => panic!(
                "the registry at {address} has ended:\n{}",
                self.process.said()
            ),
        }
    }

    /// Waits until the registry has closed every connection, because its clients are gone. It has
    /// logged their requests then, also those that were cut off.
    ///
    /// # Panics
    ///
    /// When it has ended, or a connection stays open.
    #[track_caller]
    pub fn wait_for_clients(&mut self) {
        let port = self.address.port();
        let are_gone = self
            .process
            .wait_until(|_| (!process::has_connections(port)).then_some(()));
        assert!(are_gone.is_some(), "docker-registry ended:\n{}", self.log());
    }

    /// Every request that the registry has answered so far, except those of the harness.
    ///
    /// The registry must use plain HTTP. It writes its log after it answers, so a request of the
    /// harness marks the end.
    ///
    /// # Panics
    ///
    /// When the registry has ended.
    #[track_caller]
    pub fn settled_requests(&mut self) -> Vec<Logged> {
        static MARKS: AtomicUsize = AtomicUsize::new(0);
        let mark = format!("/v2/?mark={} ", MARKS.fetch_add(1, Ordering::Relaxed));
        let _ = http::get(self.address, mark.trim_end());
        let requests = self.process.wait_until(|process| {
            let text = process::read(&process.stdout());
            let end = text.find(&mark)?;
            let before = text.get(..end)?.lines();
            Some(before.filter_map(Logged::parse).collect())
        });
        match requests {
            Some(requests) => requests,
            None => panic!("docker-registry ended:\n{}", self.log()),
        }
    }

    /// Kills the registry and starts it again at the same address, with the same content.
    ///
    /// # Panics
    ///
    /// When it does not start; the message includes its output.
    pub fn restart(&mut self) {
        self.restart_with(|_| {});
    }

    /// Restarts the registry as a read-only one (`storage.maintenance.readonly`).
    ///
    /// # Panics
    ///
    /// When it does not start; the message includes its output.
    pub fn restart_read_only(&mut self) {
        self.restart_with(|config| {
            let storage = "storage:\n";
            let read_only = "storage:\n  maintenance: {readonly: {enabled: true}}\n";
            *config = config.replace(storage, read_only);
        });
    }

    fn restart_with(&mut self, change: impl FnOnce(&mut String)) {
        let Some(program) = program::find("docker-registry", "docker-registry") else {
            panic!("docker-registry is no longer installed")
        };
        let file = self.process.directory().join(CONFIG);
        let mut config = process::read(&file);
        let any = SocketAddr::new(self.address.ip(), 0);
        config = config.replace(
            &format!("addr: {any}\n"),
            &format!("addr: {}\n", self.address),
        );
        change(&mut config);
        process::write(&file, config);
        self.process.restart(serve(&program, &file));
        let address = self.address;
        let ready = self
            .process
            .wait_until(|_| process::answers(address).then_some(()));
        assert!(ready.is_some(), "docker-registry ended:\n{}", self.log());
    }

    /// Everything the registry said, for failures.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.said()
    }
}

/// Settings of a [`DockerRegistry`].
#[derive(Clone, Debug)]
pub struct Builder {
    demand: Demand,
    tls: bool,
    host: IpAddr,
    proxy_of: Option<String>,
}

impl Builder {
    /// Sets the address that the registry and its token server listen on; by default 127.0.0.1.
    #[must_use]
    pub fn address(mut self, host: IpAddr) -> Self {
        self.host = host;
        self
    }

    /// Demands HTTP Basic of [`USER`] with [`PASSWORD`].
    #[must_use]
    pub fn basic(mut self) -> Self {
        self.demand = Demand::Basic;
        self
    }

    /// Demands tokens of a server that gives them to [`USER`] with [`PASSWORD`].
    #[must_use]
    pub fn bearer(mut self) -> Self {
        self.demand = Demand::Bearer;
        self
    }

    /// Speaks TLS, and the token server with it, under an authority made for the occasion.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Makes it a read-only cache of the registry at this URL (`proxy.remoteurl`).
    #[must_use]
    pub fn proxy_of(mut self, url: &str) -> Self {
        self.proxy_of = Some(url.to_owned());
        self
    }

    /// Runs the registry to its end, for a start that fails. Returns what it wrote; `None` when it
    /// is not installed.
    ///
    /// # Panics
    ///
    /// When it starts.
    #[must_use]
    pub fn fails(self) -> Option<String> {
        let program = program::find("docker-registry", "docker-registry")?;
        let directory = process::directory();
        let config = self.write(&directory, None);
        let mut process = Process::start(serve(&program, &config), directory);
        let ready = process.wait_until(|process| listening(&process::read(&process.stderr())));
        assert!(ready.is_none(), "it started");
        Some(process.said())
    }

    /// Starts the registry and waits until it answers; `None` when it is not installed.
    ///
    /// # Panics
    ///
    /// When it does not start; the message includes its output.
    #[must_use]
    pub fn start(self) -> Option<DockerRegistry> {
        let program = program::find("docker-registry", "docker-registry")?;
        let directory = process::directory();
        let tls = self.tls.then(|| Tls::write(directory.path(), self.host));
        let tokens = (self.demand == Demand::Bearer).then(|| token_server(tls.as_ref(), self.host));
        let config = self.write(&directory, tokens.as_ref());
        let mut process = Process::start(serve(&program, &config), directory);
        let ready = process.wait_until(|process| {
            listening(&process::read(&process.stderr()))
                .filter(|address| process::answers(*address))
        });
        let Some(address) = ready else {
            panic!("docker-registry ended:\n{}", process.said())
        };
        let authority = tls.map(|tls| tls.authority);
        Some(DockerRegistry {
            process,
            address,
            tokens,
            demands: self.demand,
            authority,
        })
    }

    /// Writes the configuration and the files it names.
    fn write(&self, directory: &TempDir, tokens: Option<&TokenServer>) -> PathBuf {
        let root = directory.path();
        let at = |name: &str| root.join(name);
        let mut config = format!(
            "version: 0.1\n\
             log: {{level: info}}\n\
             storage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
             http:\n  addr: {}\n  secret: not a secret\n",
            at("data").display(),
            SocketAddr::new(self.host, 0)
        );
        if self.tls {
            let (certificate, key) = (at(CERTIFICATE), at(KEY));
            let (certificate, key) = (certificate.display(), key.display());
            put(
                &mut config,
                format_args!("  tls: {{certificate: {certificate}, key: {key}}}\n"),
            );
        }
        if let Some(url) = &self.proxy_of {
            put(&mut config, format_args!("proxy: {{remoteurl: {url}}}\n"));
        }
        match (self.demand, tokens) {
            (Demand::Basic, _) => {
                process::write(&at("htpasswd"), format!("{USER}:{PASSWORD_BCRYPT}\n"));
                let path = at("htpasswd");
                let path = path.display();
                put(
                    &mut config,
                    format_args!("auth:\n  htpasswd: {{realm: longshore, path: {path}}}\n"),
                );
            }
            (Demand::Bearer, Some(tokens)) => {
                process::write(&at("issuer.pem"), tokens.issuer().certificate_pem());
                let (realm, service) = (tokens.realm(), tokens.service());
                let (issuer, bundle) = (tokens.issuer().name(), at("issuer.pem"));
                let bundle = bundle.display();
                put(
                    &mut config,
                    format_args!(
                        "auth:\n  token:\n    realm: {realm}\n    service: {service}\n    \
                         issuer: {issuer}\n    rootcertbundle: {bundle}\n"
                    ),
                );
            }
            (Demand::Bearer | Demand::Nothing, _) => {}
        }
        let file = at(CONFIG);
        process::write(&file, config);
        file
    }
}

fn serve(program: &Path, config: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("serve").arg(config);
    command
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Demand {
    Basic,
    Bearer,
    Nothing,
}

/// Certificates for one address and loopback, in the registry's directory.
struct Tls {
    authority: PathBuf,
    identity: Identity,
}

impl Tls {
    fn write(directory: &Path, host: IpAddr) -> Self {
        let authority = Authority::new();
        let identity = authority.server(&[&host.to_string(), "localhost"]);
        process::write(&directory.join(CERTIFICATE), identity.certificate_pem());
        process::write(&directory.join(KEY), identity.key_pem());
        // Alone in its directory: skopeo is given directories.
        let trusted = directory.join("trusted");
        if let Err(error) = std::fs::create_dir(&trusted) {
            panic!("cannot make {}: {error}", trusted.display());
        }
        let file = trusted.join("ca.crt");
        process::write(&file, authority.pem());
        Self {
            authority: file,
            identity,
        }
    }
}

fn token_server(tls: Option<&Tls>, host: IpAddr) -> TokenServer {
    let listen = Listen::loopback().address(host);
    let listen = match tls {
        Some(tls) => listen.tls(tls.identity.clone()),
        None => listen,
    };
    match TokenServer::builder()
        .listen(listen)
        .user(USER, PASSWORD)
        .start()
    {
        Ok(server) => server,
        Err(error) => panic!("cannot start the token server: {error}"),
    }
}

/// The address in the registry's log: it was told port 0, so it alone knows.
fn listening(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("listening on ")?;
    rest.split([',', '"']).next()?.parse().ok()
}

fn put(config: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = config.write_fmt(part);
}

/// One line of the registry's access log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Logged {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The status it answered with.
    pub status: u16,
    /// What the client calls itself.
    pub agent: String,
}

impl Logged {
    /// Reads the combined log format; `None` for the harness's own requests.
    fn parse(line: &str) -> Option<Self> {
        let mut quoted = line.split('"');
        let (_, request, status) = (quoted.next()?, quoted.next()?, quoted.next()?);
        let (_, _, agent) = (quoted.next()?, quoted.next()?, quoted.next()?);
        let mut words = request.split(' ');
        let logged = Self {
            method: words.next()?.to_owned(),
            target: words.next()?.to_owned(),
            status: status.split_whitespace().next()?.parse().ok()?,
            agent: agent.to_owned(),
        };
        (agent != PROBE).then_some(logged)
    }

    /// Makes the entry of a request that a server of the testkit recorded. The status is 0 if there
    /// was no answer.
    pub(crate) fn of(request: &RecordedRequest) -> Self {
        Self {
            method: request.method.to_string(),
            target: request.uri.to_string(),
            status: request.status.map_or(0, |status| status.as_u16()),
            agent: request.header("user-agent").unwrap_or_default().to_owned(),
        }
    }
}

/// The one user these registries know.
pub const USER: &str = "longshore";

/// The password of [`USER`].
pub const PASSWORD: &str = "correct horse";

/// [`PASSWORD`] by bcrypt at its lowest cost: it is no secret.
const PASSWORD_BCRYPT: &str = "$2y$05$Y2WAPpNuA1/UzLoVuzKWoOqpu68DITFK6XilRurflejIWDbcVmcN6";

const CONFIG: &str = "config.yml";
const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_log_line_is_a_request() {
        let line =
            r#"127.0.0.1 - - [20/Nov/2026:16:20:20 +0000] "GET /v2/ HTTP/1.1" 200 2 "" "curl/7""#;
        let logged = Logged::parse(line).unwrap();
        assert_eq!(
            (logged.method.as_str(), logged.target.as_str()),
            ("GET", "/v2/")
        );
        assert_eq!((logged.status, logged.agent.as_str()), (200, "curl/7"));
        assert_eq!(Logged::parse(&line.replace("curl/7", PROBE)), None);
        assert_eq!(Logged::parse("nothing of the kind"), None);
    }

    #[test]
    fn the_log_says_where_it_listens() {
        let log = "level=info msg=\"listening on 127.0.0.1:38585\" go.version=go1.19.8";
        assert_eq!(listening(log), Some("127.0.0.1:38585".parse().unwrap()));
        let tls = log.replace("38585", "38585, tls");
        assert_eq!(listening(&tls), listening(log));
        assert_eq!(listening("level=warning"), None);
    }
}
