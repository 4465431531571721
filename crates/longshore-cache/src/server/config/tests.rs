use std::collections::BTreeMap;

use super::*;

fn parse(text: &str) -> Result<ServeConfig, ConfigError> {
    ServeConfig::parse(&sources(text))
}

fn sources(text: &str) -> ConfigSources {
    ConfigSources::new()
        .file("cache.toml", text)
        .default_store_path("/cache")
}

#[track_caller]
fn refused(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn prefixes(config: &ServeConfig) -> Vec<&str> {
    config
        .upstream
        .iter()
        .map(|it| it.prefix.as_str())
        .collect()
}

#[test]
fn without_any_source_the_known_registries_are_cached_on_loopback() {
    let sources = ConfigSources::new().default_store_path("/cache");
    let config = ServeConfig::parse(&sources).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:5000".parse().unwrap()]);
    assert_eq!(
        prefixes(&config),
        [
            "docker.io",
            "ghcr.io",
            "quay.io",
            "gcr.io",
            "registry.k8s.io",
            "public.ecr.aws",
            "mcr.microsoft.com",
            "nvcr.io",
            "registry.gitlab.com"
        ]
    );
    assert_eq!(config.store.path.to_str(), Some("/cache"));
    assert_eq!(config.tag_ttl, TagTtl::For(Duration::from_secs(300)));
    assert_eq!(config.negative_ttl, Duration::from_secs(10));
    let defaults: Vec<_> = config.upstream.iter().filter(|it| it.is_default).collect();
    assert_eq!(defaults.len(), 1);
    let hub = defaults[0];
    assert_eq!(hub.url.to_string(), "https://registry-1.docker.io");
    assert_eq!(hub.ns, ["docker.io"]);
    assert!(hub.official_images);
    assert_eq!(hub.registries(), ["docker.io"]);
    assert_eq!(config.upstream[2].ns, ["quay.io"]);
    assert!(!config.upstream[2].official_images);
}

#[test]
fn the_store_takes_20_gib_or_half_of_the_free_space() {
    let config = parse("").unwrap();
    assert_eq!(config.store_size(100 << 30), DEFAULT_STORE_SIZE);
    assert_eq!(config.store_size(10 << 30), ByteSize::new(5 << 30));
    let config = parse("[serve.store]\nsize = \"200 GiB\"").unwrap();
    assert_eq!(config.store_size(1), ByteSize::new(200 << 30));
    let config = parse("[serve.store]\nsize = 131072").unwrap();
    assert_eq!(config.store_size(1), ByteSize::new(128 << 10));
}

#[test]
fn a_size_without_its_unit_is_refused() {
    for (size, bytes) in [
        ("1", "1 byte is"),
        ("20", "20 bytes are"),
        ("131071", "131071 bytes are"),
        ("\"20 KiB\"", "20480 bytes are"),
    ] {
        assert_eq!(
            refused(&format!("[serve.store]\nsize = {size}")),
            format!(
                "cache.toml:2: serve.store.size: {bytes} too few for a store; give a \
                 unit, such as 20GiB"
            )
        );
    }
}

#[test]
fn an_unknown_cache_directory_is_a_fault_of_no_other_option() {
    let sources = ConfigSources::new()
        .flag("--listen", "serve.listen", ["127.0.0.1:1"])
        .flag("--size", "serve.store.size", ["1 GiB"]);
    assert_eq!(
        ServeConfig::parse(&sources).unwrap_err().to_string(),
        "serve.store.path: the user's cache directory is not known; set a directory with --dir, \
         or with `path` in [serve.store]"
    );
}

#[test]
fn the_faults_of_a_file_are_in_the_order_of_its_lines() {
    let text = "[[serve.upstream]]\ntagttl = 1\nurl = \"ftp://x\"\n[serve]\ntag_ttl = 5\n\
                colour = 1\n[serve.store]\nsize = true\n[unknown]\n";
    let error = parse(text).unwrap_err();
    let lines: Vec<_> = error.faults().iter().map(|it| it.place().line()).collect();
    assert_eq!(lines, [2, 3, 5, 6, 8, 9].map(Some));
}

#[test]
fn every_key_can_be_set_in_a_file() {
    let config = parse(FULL).unwrap();
    assert_eq!(
        config.listen,
        ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]
    );
    assert_eq!(config.tag_ttl, TagTtl::Never);
    assert_eq!(config.unverified_ranges, UnverifiedRanges::Wait);
    assert_eq!(config.store.durability, Durability::Each);
    assert_eq!(config.limits.connections, Some(100));
    assert_eq!(config.limits.stall.as_secs(), 60);
    assert_eq!(config.tls.as_ref().unwrap().key.to_str(), Some("/tls.key"));
    assert_eq!(config.admin.listen, Some("127.0.0.1:9090".parse().unwrap()));
    assert_eq!(
        (config.log.format, config.log.level),
        (LogFormat::Json, LogLevel::Debug)
    );
    let upstream = &config.upstream[0];
    assert_eq!(upstream.prefix.as_str(), "mirror/quay");
    assert_eq!(
        upstream.url.to_string(),
        "https://registry.example:8443/quay"
    );
    assert_eq!(upstream.hosts, ["quay.cache.example"]);
    assert_eq!(upstream.ns, ["quay.io"]);
    assert_eq!(
        upstream.credentials,
        Some(Credentials::Password {
            username: Some("ci".to_owned()),
            password: Password::File("/run/secrets/quay".into()),
        })
    );
    assert_eq!(upstream.ca.as_deref().unwrap().to_str(), Some("/ca.pem"));
    assert_eq!(
        upstream.proxy,
        UpstreamProxy::Url("http://proxy.example:3128".to_owned())
    );
    assert_eq!(upstream.mirrors[0].to_string(), "http://mirror.example");
    assert!(upstream.offline && upstream.is_default && upstream.official_images);
    assert_eq!(upstream.concurrency, 4);
    let policy = config.policy(upstream);
    let ttl = |tag: &str| policy.tag_ttl(&tag.parse().unwrap(), Duration::ZERO);
    assert_eq!(ttl("v1"), None);
    assert_eq!(ttl("latest"), Some(Duration::from_secs(60)));
    assert_eq!(ttl("other"), Some(Duration::from_secs(600)));
    assert!(policy.allows(&"team/a/b".parse().unwrap()));
    assert!(!policy.allows(&"other/a".parse().unwrap()));
    let key = upstream.headers.get("x-key").unwrap();
    let secret = HeaderSource::Secret(Password::Environment("KEY".to_owned()));
    assert_eq!(*key, secret);
}

const FULL: &str = r#"
[serve]
listen = ["127.0.0.1:1", "[::1]:2"]
tag_ttl = "never"
negative_ttl = "1m"
stale_wait = "1s"
stale_if_error = "48h"
head_budget = "20s"
unverified_ranges = "wait"
drain = "5s"
[serve.store]
path = "/store"
size = "1 TB"
durability = "each"
lock_wait = "0s"
[serve.limits]
connections = 100
header_time = "5s"
idle = "30s"
stall = "1m"
[serve.tls]
cert = "/tls.pem"
key = "/tls.key"
[serve.admin]
listen = "localhost:9090"
[serve.log]
format = "json"
level = "debug"
[[serve.upstream]]
prefix = "mirror/quay"
url = "https://registry.example:8443/quay/"
default = true
hosts = ["quay.cache.example"]
ns = ["quay.io"]
official_images = true
allow_realm = ["https://auth.example"]
ca = "/ca.pem"
proxy = "http://proxy.example:3128"
headers = { X-Team = "a", X-Key = { env = "KEY" } }
mirrors = ["http://mirror.example"]
tag_ttl = "10m"
tag_rules = [{ tags = "v*", ttl = "never" }, { tags = "latest", ttl = "1m" }]
offline = true
concurrency = 4
repositories = ["library/*", "team/**"]
[serve.upstream.credentials]
username = "ci"
file = "/run/secrets/quay"
"#;

#[test]
fn the_test_above_names_every_key() {
    let given: toml::Table = FULL.parse().unwrap();
    let mut upstream = given["serve"]["upstream"][0].as_table().unwrap().clone();
    let credentials = upstream.remove("credentials").unwrap();
    assert!(credentials.as_table().unwrap().contains_key("file"));
    let names = |keys: &[setting::Key]| keys.iter().map(|it| it.name).collect::<Vec<_>>();
    let keys = <ServeConfig as setting::Setting>::keys();
    for key in &keys {
        let value = given["serve"].get(key.name);
        assert!(value.is_some(), "{}", key.name);
        if key.name == "upstream" {
            let mut known = names(&key.below);
            known.retain(|name| *name != "credentials");
            known.sort_unstable();
            assert_eq!(upstream.keys().collect::<Vec<_>>(), known);
        } else if !key.below.is_empty() {
            let mut known = names(&key.below);
            known.sort_unstable();
            let table = value.unwrap().as_table().unwrap();
            assert_eq!(table.keys().collect::<Vec<_>>(), known);
        }
    }
}

#[test]
fn an_error_has_file_line_and_key() {
    for (text, expected) in [
        (
            "[serve]\nlistn = []",
            "cache.toml:2: serve.listn: unknown key; did you mean `listen`?",
        ),
        (
            "[server]",
            "cache.toml:1: server: unknown key; did you mean `serve`?",
        ),
        (
            "\n[serve]\n\ntag_ttl = 5",
            "cache.toml:4: serve.tag_ttl: expected a duration, such as `5m`, or `never`, but this \
             is a number",
        ),
        (
            "[serve.store]\nsize = \"1.5 GiB\"",
            "cache.toml:2: serve.store.size: expected a number of bytes, or a number with one of \
             KB, MB, GB, TB, KiB, MiB, GiB and TiB",
        ),
        (
            "[serve]\nlisten = [\n  \"127.0.0.1:5000\",\n  \":5000\",\n]",
            "cache.toml:4: serve.listen[2]: expected an IP address with a port, such as \
             `127.0.0.1:5000` or `[::1]:5000`; `0.0.0.0:5000` is every address of this machine",
        ),
        (
            "[[serve.upstream]]\nurl = \"https://a.example\"\n[[serve.upstream]]\nprefix = \"B\"",
            "cache.toml:4: serve.upstream[2].prefix: `B` is not an upstream name: use \
             lower-case path segments without a port, such as `registry.example` or `mirror/quay`",
        ),
        (
            "[[serve.upstream]]\nprefix = \"quay\"",
            "cache.toml:1: serve.upstream[1].url: set the URL of the registry; it cannot be \
             derived from `prefix`",
        ),
        (
            "[serve.upstream]\nprefix = \"quay\"",
            "cache.toml:1: serve.upstream: expected a list of tables, but this is a table",
        ),
        (
            "[serve]\nlisten = \"127.0.0.1:1\"",
            "cache.toml:2: serve.listen: expected a list of addresses with ports, such as \
             `[\"127.0.0.1:5000\"]`, but this is text",
        ),
        (
            "[serve.limits]\nconnections = 0",
            "cache.toml:2: serve.limits.connections: expected a number from 1 to 4294967295",
        ),
        (
            "[serve.tls]\ncert = \"/a\"",
            "cache.toml:1: serve.tls.key: give the path of a PEM file",
        ),
        (
            "[serve]\nunverified_ranges = \"no\"",
            "cache.toml:2: serve.unverified_ranges: expected `allow` or `wait`",
        ),
    ] {
        assert_eq!(refused(text), expected, "{text}");
    }
    assert!(refused("[serve]\na = 1\na = 2").starts_with("cache.toml:3: this is not TOML: "));
}

#[test]
fn every_fault_is_reported_at_once() {
    let error = parse("[serve]\na = 1\n[serve.store]\nsize = true\n").unwrap_err();
    let faults: Vec<_> = error.faults().iter().map(|it| it.key()).collect();
    assert_eq!(faults, ["serve.a", "serve.store.size"]);
}

#[test]
fn the_command_line_precedes_the_environment_and_that_the_file() {
    let with = |environment: bool, flag: bool| {
        let mut sources = sources("[serve]\nnegative_ttl = \"1s\"\ntag_ttl = \"9s\"");
        if environment {
            sources = sources.environment([("LONGSHORE_SERVE_NEGATIVE_TTL", "2s")]);
        }
        if flag {
            sources = sources.flag("--negative-ttl", "serve.negative_ttl", ["3s"]);
        }
        let config = ServeConfig::parse(&sources).unwrap();
        assert_eq!(config.tag_ttl, TagTtl::For(Duration::from_secs(9)));
        config.negative_ttl.as_secs()
    };
    assert_eq!(with(false, false), 1);
    assert_eq!(with(true, false), 2);
    assert_eq!(with(true, true), 3);
    assert_eq!(with(false, true), 3);
}

#[test]
fn every_key_has_a_variable() {
    let value = |name: &str| {
        let value = match name.strip_prefix("LONGSHORE_SERVE_").unwrap() {
            "LISTEN" => "127.0.0.1:1, [::1]:2",
            "TAG_TTL" => "never",
            "NEGATIVE_TTL" => "1m",
            "STALE_WAIT" => "1s",
            "STALE_IF_ERROR" => "48h",
            "HEAD_BUDGET" => "20s",
            "UNVERIFIED_RANGES" => "wait",
            "DRAIN" => "5s",
            "STORE_PATH" => "/store",
            "STORE_SIZE" => "1 TB",
            "STORE_DURABILITY" => "each",
            "STORE_LOCK_WAIT" => "0s",
            "LIMITS_CONNECTIONS" => "100",
            "LIMITS_HEADER_TIME" => "5s",
            "LIMITS_IDLE" => "30s",
            "LIMITS_STALL" => "1m",
            "TLS_CERT" => "/tls.pem",
            "TLS_KEY" => "/tls.key",
            "ADMIN_LISTEN" => "localhost:9090",
            "LOG_FORMAT" => "json",
            "LOG_LEVEL" => "debug",
            "UPSTREAM_<N>_PREFIX" => "mirror/quay",
            "UPSTREAM_<N>_URL" => "https://registry.example:8443/quay/",
            "UPSTREAM_<N>_HOSTS" => "quay.cache.example",
            "UPSTREAM_<N>_NS" => "quay.io,",
            "UPSTREAM_<N>_ALLOW_REALM" => "https://auth.example",
            "UPSTREAM_<N>_CA" => "/ca.pem",
            "UPSTREAM_<N>_PROXY" => "http://proxy.example:3128",
            "UPSTREAM_<N>_HEADERS" => "{ X-Team = 'a', X-Key = { env = 'KEY' } }",
            "UPSTREAM_<N>_MIRRORS" => "http://mirror.example",
            "UPSTREAM_<N>_TAG_TTL" => "10m",
            "UPSTREAM_<N>_TAG_RULES" => {
                "[{ tags = 'v*', ttl = 'never' }, { tags = 'latest', ttl = '1m' }]"
            }
            "UPSTREAM_<N>_DEFAULT" | "UPSTREAM_<N>_OFFICIAL_IMAGES" | "UPSTREAM_<N>_OFFLINE" => {
                "true"
            }
            "UPSTREAM_<N>_CONCURRENCY" => "4",
            "UPSTREAM_<N>_REPOSITORIES" => "library/*, team/**",
            "UPSTREAM_<N>_CREDENTIALS_USERNAME" => "ci",
            "UPSTREAM_<N>_CREDENTIALS_FILE" => "/run/secrets/quay",
            "UPSTREAM_<N>_CREDENTIALS_ENV"
            | "UPSTREAM_<N>_CREDENTIALS_HELPER"
            | "UPSTREAM_<N>_CREDENTIALS_DOCKER_CONFIG" => "",
            other => panic!("{other}"),
        };
        (name.replace("<N>", "1"), value.to_owned())
    };
    let keys = <ServeConfig as setting::Setting>::keys();
    let variables = environment::variables(&keys);
    let set: BTreeMap<_, _> = variables.iter().map(|it| value(&it.name)).collect();
    let sources = ConfigSources::new().environment(set);
    assert_eq!(ServeConfig::parse(&sources), parse(FULL));
}

#[test]
fn numbered_variables_change_or_add_upstreams() {
    let text = "[[serve.upstream]]\nprefix = \"quay.io\"\n";
    let with = |variables: &[(&'static str, &'static str)]| {
        ServeConfig::parse(&sources(text).environment(variables.iter().copied()))
    };
    let config = with(&[
        ("LONGSHORE_SERVE_UPSTREAM_2_PREFIX", "ghcr.io"),
        ("LONGSHORE_SERVE_UPSTREAM_1_OFFLINE", "true"),
    ])
    .unwrap();
    assert_eq!(prefixes(&config), ["quay.io", "ghcr.io"]);
    assert!(config.upstream[0].offline);
    let error = with(&[("LONGSHORE_SERVE_UPSTREAM_3_PREFIX", "ghcr.io")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "LONGSHORE_SERVE_UPSTREAM_3_PREFIX: serve.upstream: number upstreams from 1 \
         without a gap; the upstreams of the file have the first numbers"
    );
}

#[test]
fn an_unknown_variable_is_an_error_unless_kubernetes_sets_it() {
    let with = |name: &str| {
        ServeConfig::parse(&sources("").environment([(name, "x")]))
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        with("LONGSHORE_SERVE_STORE_SISE").unwrap_err(),
        "LONGSHORE_SERVE_STORE_SISE: unknown variable; did you mean \
         LONGSHORE_SERVE_STORE_SIZE?"
    );
    for name in [
        "LONGSHORE_SERVE_UPSTREAM_0_URL",
        "LONGSHORE_SERVE_UPSTREAM_+1_URL",
        "LONGSHORE_SERVE_UPSTREAM_99999999999999999999_URL",
    ] {
        assert!(with(name).is_err(), "{name}");
    }
    for name in [
        "LONGSHORE_SERVE_SERVICE_HOST",
        "LONGSHORE_SERVE_SERVICE_PORT_HTTP",
        "LONGSHORE_SERVE_PORT",
        "LONGSHORE_SERVE_PORT_5000_TCP_ADDR",
        "LONGSHORE_SERVE_CACHE_PORT_5000_TCP",
        "LONGSHORE_OTHER",
    ] {
        assert_eq!(with(name), Ok(()), "{name}");
    }
}

#[test]
fn upstreams_of_the_command_line_replace_the_others() {
    let sources = sources("[[serve.upstream]]\nprefix = \"quay.io\"").flag(
        "--upstream",
        "serve.upstream",
        [
            "ghcr.io=https://mirror.example/ghcr",
            "http://127.0.0.1:5001",
        ],
    );
    let config = ServeConfig::parse(&sources).unwrap();
    assert_eq!(prefixes(&config), ["ghcr.io", "127.0.0.1"]);
    assert_eq!(config.upstream[0].url.path, "/ghcr");
    assert!(!config.upstream[0].is_default);
    assert!(config.upstream[1].is_default);
    assert_eq!(config.upstream[1].url.to_string(), "http://127.0.0.1:5001");
    let sources = sources_of_flag("--upstream", "serve.upstream", "quay.io=nothing");
    assert_eq!(
        ServeConfig::parse(&sources).unwrap_err().to_string(),
        "--upstream: serve.upstream[1].url: expected a URL such as `https://registry.example`: \
         the scheme is missing, or neither http nor https"
    );
}

fn sources_of_flag(option: &'static str, key: &'static str, value: &str) -> ConfigSources {
    ConfigSources::new()
        .default_store_path("/cache")
        .flag(option, key, [value])
}

#[test]
fn cr12_secrets_in_line_are_refused_and_not_repeated() {
    for text in [
        "password = \"hunter2\"",
        "prefix = \"quay.io\"\ntoken = \"hunter2\"",
        "prefix = \"quay.io\"\nauth = { password = \"hunter2\" }",
        "prefix = \"quay.io\"\ncredentials = \"hunter2\"",
        "prefix = \"quay.io\"\ncredentials = { username = \"me\", password = \"hunter2\" }",
        "prefix = \"quay.io\"\ncredentials = { env = \"hunter2!\" }",
        "prefix = \"quay.io\"\ncredentials = { helper = \"/hunter2\" }",
        "url = \"https://me:hunter2@registry.example\"",
        "url = \"https://hunter2@registry.example\"",
        "prefix = \"quay.io\"\nmirrors = [\"https://me:hunter2@registry.example\"]",
        "prefix = \"quay.io\"\nproxy = \"http://me:hunter2@proxy.example\"",
        "prefix = \"quay.io\"\nallow_realm = [\"https://me:hunter2@a.example\"]",
        "prefix = \"quay.io\"\nheaders = { Authorization = \"hunter2\" }",
        "prefix = \"quay.io\"\nheaders = { X-Auth-Token = \"hunter2\" }",
        "prefix = \"quay.io\"\nheaders = { Cookie = \"hunter2\" }",
        "prefix = \"quay.io\"\ntoken = \"hunter2",
        "prefix = \"quay.io\"\nproxy = \"hunter2\"",
    ] {
        let error = parse(&format!("[[serve.upstream]]\n{text}")).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{text}: {error}");
        assert!(
            !format!("{error:?}").contains("hunter2"),
            "{text}: {error:?}"
        );
    }
    let error = refused("[[serve.upstream]]\nurl = \"https://me:hunter2@registry.example\"");
    assert_eq!(
        error,
        "cache.toml:2: serve.upstream[1].url: a URL must not hold a user name or password; remove \
         them, and name their source in `credentials`"
    );
    let error = refused("[[serve.upstream]]\nprefix = \"quay.io\"\npassword = \"x\"");
    assert!(error.starts_with("cache.toml:3: serve.upstream[1].password: secrets do not"));
    assert!(
        error.contains("credentials = { username = \"…\", file = \"/path\" }"),
        "{error}"
    );
}

#[test]
fn credentials_have_one_source() {
    let with = |text: &str| {
        let config = parse(&format!(
            "[[serve.upstream]]\nprefix = \"a.b\"\ncredentials = {text}"
        ));
        config.map(|mut config| config.upstream.remove(0).credentials.unwrap())
    };
    let env = Password::Environment("HUB".to_owned());
    let (username, password) = (None, env);
    assert_eq!(
        with("{ env = \"HUB\" }"),
        Ok(Credentials::Password { username, password })
    );
    let helper = Credentials::Helper("ecr-login".to_owned());
    assert_eq!(with("{ helper = \"ecr-login\" }"), Ok(helper));
    let docker = Credentials::DockerConfig("/config.json".into());
    assert_eq!(with("{ docker_config = \"/config.json\" }"), Ok(docker));
    for text in [
        "{}",
        "{ username = \"me\" }",
        "{ file = \"/a\", env = \"A\" }",
        "{ username = \"me\", helper = \"a\" }",
    ] {
        let error = with(text).unwrap_err().to_string();
        assert!(
            error.starts_with("cache.toml:3: serve.upstream[1].credentials: give"),
            "{error}"
        );
    }
}

#[test]
fn ca7_upstream_credentials_require_that_every_listener_is_on_loopback() {
    for (listen, accepted) in [
        ("127.0.0.1:5000", true),
        ("127.0.0.1:5000, [::1]:5000", true),
        ("[::ffff:127.0.0.1]:5000", true),
        ("0.0.0.0:5000", false),
        ("[::]:5000", false),
        ("127.0.0.1:5000, 192.0.2.1:5000", false),
    ] {
        for key in [
            "credentials = { helper = \"a\" }",
            "headers = { X-K = { env = \"K\" } }",
        ] {
            let text = format!("[[serve.upstream]]\nprefix = \"quay.io\"\n{key}");
            let sources = sources(&text).flag("--listen", "serve.listen", [listen]);
            let result = ServeConfig::parse(&sources);
            assert_eq!(result.is_ok(), accepted, "{listen} {key}");
            let Err(error) = result else { continue };
            let error = error.to_string();
            assert!(error.starts_with("cache.toml:"), "{error}");
            assert!(
                error.contains(": serve.upstream[1].credentials: "),
                "{error}"
            );
            assert!(error.contains("loopback"), "{error}");
        }
    }
}

#[test]
fn prefixes_do_not_overlap_by_segments() {
    let with = |first: &str, second: &str| {
        let upstream = |prefix, host| {
            format!("[[serve.upstream]]\nprefix = \"{prefix}\"\nurl = \"https://{host}\"\n")
        };
        parse(&(upstream(first, "a.example") + &upstream(second, "b.example")))
    };
    assert_eq!(prefixes(&with("gcr", "gcr-eu").unwrap()), ["gcr", "gcr-eu"]);
    for (first, second, what) in [
        (
            "a",
            "a",
            "two upstreams have the prefix `a`: give one of them another prefix",
        ),
        (
            "a",
            "a/b",
            "the prefix `a/b` is within the prefix `a`: change one of them",
        ),
        (
            "a/b",
            "a",
            "the prefix `a/b` is within the prefix `a`: change one of them",
        ),
    ] {
        assert_eq!(
            with(first, second).unwrap_err().to_string(),
            format!("cache.toml:5: serve.upstream[2].prefix: {what}")
        );
    }
}

#[test]
fn a_name_stands_for_one_upstream() {
    let error = refused(
        "[[serve.upstream]]\nprefix = \"a\"\nurl = \"https://a.example\"\nns = [\"Quay.io\"]\n\
         [[serve.upstream]]\nprefix = \"b\"\nurl = \"https://b.example\"\nns = [\"quay.io\"]\n",
    );
    assert_eq!(
        error,
        "cache.toml:8: serve.upstream[2].ns: `quay.io` cannot name b: it already names a; \
         use it for one of them"
    );
    let error = refused(
        "[[serve.upstream]]\nurl = \"https://a.example\"\n\
         [[serve.upstream]]\nurl = \"https://b.example\"\n",
    );
    assert_eq!(
        error,
        "cache.toml:3: serve.upstream[2].default: b.example cannot be the default upstream: \
         a.example is the default already; an upstream without a prefix is the default one, so \
         give one of them a prefix: `prefix` in the file, PREFIX=URL as an option"
    );
    // Two parts of one registry: the name of the host stays with the first one.
    let config = parse(
        "[[serve.upstream]]\nprefix = \"a\"\nurl = \"https://r.example:5000\"\n\
         [[serve.upstream]]\nprefix = \"b\"\nurl = \"https://r.example:5000\"\n",
    );
    let config = config.unwrap();
    assert_eq!(config.upstream[0].ns, ["a", "r.example:5000"]);
    assert_eq!(config.upstream[1].ns, ["b"]);
}

#[test]
fn docker_hub_is_the_default_unless_another_upstream_is() {
    let is_default = |text: &str| {
        let config = parse(text).unwrap();
        config
            .upstream
            .iter()
            .map(|it| it.is_default)
            .collect::<Vec<_>>()
    };
    let hub = "[[serve.upstream]]\nprefix = \"docker.io\"\n";
    assert_eq!(is_default(hub), [true]);
    assert_eq!(is_default(&format!("{hub}default = false")), [false]);
    let other = "[[serve.upstream]]\nprefix = \"quay.io\"\n";
    assert_eq!(is_default(&format!("{hub}{other}")), [true, false]);
    assert_eq!(
        is_default(&format!("{hub}{other}default = true")),
        [false, true]
    );
}

/// Run with `LONGSHORE_BLESS=1` to write the file again.
#[test]
fn the_reference_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/CONFIGURATION.md");
    let expected = reference();
    if std::env::var_os("LONGSHORE_BLESS").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == expected,
        "CONFIGURATION.md is out of date: run this test with LONGSHORE_BLESS=1"
    );
    for line in expected.lines() {
        assert!(line.chars().count() <= 120, "{line}");
    }
}

#[test]
fn the_example_in_the_reference_is_valid() {
    let reference = reference();
    let (_, example) = reference.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    assert_eq!(
        prefixes(&parse(example).unwrap()),
        ["docker.io", "registry.example"]
    );
}
