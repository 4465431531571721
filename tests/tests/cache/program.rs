//! `longshore serve` from its start to its end.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use longshore_testkit::Gate;
use longshore_testkit::registry::{Misbehaviour, Part, Rule};
use longshore_tests::{http, process};

use super::*;

const MANIFEST: &str = "/v2/library/app/manifests/1";

#[test]
fn check_says_which_upstreams_answer() {
    let upstream = kit("library/app", "1", &image_of(1));
    let place = tempfile::tempdir().unwrap();
    let check = |more: &[&str]| {
        let upstream = format!("docker.io={}", upstream.url());
        let check = Longshore::new(["serve", "--check", "--upstream", &upstream, "--dir"]);
        check.args([place.path().join("cache")]).args(more).run()
    };
    let said = check(&[]);
    let said = said.succeeded();
    assert!(said.contains("the configuration is valid"), "{said}");
    assert!(said.contains("\ncaching: docker.io\n"), "{said}");
    assert!(said.ends_with("docker.io: answers"), "{said}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = closed.local_addr().unwrap();
    drop(closed);
    let failed = check(&["--upstream", &format!("quay.io=http://{nobody}")]);
    assert_eq!(failed.status.code(), Some(6), "{}", failed.stderr);
    assert!(
        failed.stdout.contains("docker.io: answers"),
        "{}",
        failed.stdout
    );
    assert!(failed.stdout.contains("quay.io: "), "{}", failed.stdout);
    let causes = failed.stderr.to_lowercase();
    assert!(causes.starts_with("error: upstream quay.io: "), "{causes}");
    assert!(causes.contains("caused by"), "{causes}");
    assert!(causes.contains("refused"), "{causes}");
    let invalid = check(&["--tag-ttl", "5"]);
    let _ = invalid.failed(2, &["--tag-ttl"]);
    assert!(!place.path().join("cache").exists());
}

#[test]
fn without_options_the_well_known_registries_are_cached() {
    let cache = Serve::builder().start();
    let said = cache.said();
    let listed = "caching: docker.io, ghcr.io, quay.io, gcr.io, registry.k8s.io, public.ecr.aws, \
                  mcr.microsoft.com, nvcr.io, registry.gitlab.com\n";
    assert!(said.contains(listed), "{said}");
    let client = format!("client-config docker --server {}\n", cache.url());
    assert!(said.contains(&client), "{said}");
    let name = format!("{}/docker.io/NAME:TAG", cache.authority());
    assert!(said.contains(&name), "{said}");
}

#[test]
fn every_line_of_a_log_for_programs_is_json() {
    let upstream = kit("library/app", "1", &image_of(1));
    let builder = Serve::builder().upstream("docker.io", &upstream.url());
    let cache = builder.env("LONGSHORE_SERVE_LOG_FORMAT", "json").start();
    assert_eq!(http::get(cache.address(), MANIFEST).status, 200);
    let said = cache.said();
    let lines: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["message"], "the cache serves clients", "{said}");
    assert_eq!(lines[0]["upstreams"], "docker.io");
    assert_eq!(lines[0]["listen"], cache.authority());
}

#[test]
fn an_address_in_use_is_an_error_that_names_the_option() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let place = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{port}");
    let serve = Longshore::new(["serve", "--listen", &listen, "--dir"]);
    let ended = serve.args([place.path()]).run();
    let _ = ended.failed_with_hint(6, &[&listen, "in use", "--listen"]);
}

#[test]
fn settings_come_from_the_file_and_the_environment_and_faults_name_their_place() {
    let upstream = kit("library/app", "1", &image_of(1));
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("cache.toml");
    let text = format!(
        "[serve]\ntag_ttl = \"0s\"\n[serve.store]\nsize = \"1 GiB\"\n\
         [[serve.upstream]]\nprefix = \"docker.io\"\nurl = {:?}\n",
        upstream.url()
    );
    fs::write(&file, &text).unwrap();
    let config = ["--config", file.to_str().unwrap()];
    let cache = Serve::builder().args(config);
    let cache = cache.env("LONGSHORE_SERVE_TAG_TTL", "1h").start();
    assert!(cache.said().contains("at most 1.0 GiB"), "{}", cache.said());
    assert_eq!(http::get(cache.address(), MANIFEST).status, 200);
    let once = upstream.requests().len();
    assert_eq!(http::get(cache.address(), MANIFEST).status, 200);
    assert_eq!(upstream.requests().len(), once);
    drop(cache);
    fs::write(&file, text.replace("size", "sise")).unwrap();
    let said = Serve::builder().args(config).fails();
    assert!(said.contains("cache.toml:4"), "{said}");
    assert!(said.contains("serve.store.sise"), "{said}");
}

/// A cache whose client has the beginning of a blob of which the upstream holds back the rest.
struct Slow {
    _upstream: Registry,
    gate: Gate,
    cache: Serve,
    stream: std::net::TcpStream,
    begun: Vec<u8>,
    length: usize,
}

impl Slow {
    fn start() -> Self {
        let tree = Image::new(1).layers(1, 1_000_000).build();
        let upstream = kit("library/app", "1", &tree);
        let gate = Gate::new();
        let hold = Misbehaviour::HoldAfter(500_000, gate.clone());
        upstream.misbehave(Rule::on(Part::Blob, hold));
        let cache = Serve::builder().upstream("docker.io", &upstream.url());
        let cache = cache.args(["--admin-listen", "127.0.0.1:0"]).start();
        let layer = &tree.blobs()[1];
        let path = format!("/v2/library/app/blobs/{}", layer.descriptor.digest);
        let mut stream = http::open(cache.address(), "GET", &path, &[]).unwrap();
        let mut begun = vec![0; 10_000];
        stream.read_exact(&mut begun).unwrap();
        Self {
            _upstream: upstream,
            gate,
            cache,
            stream,
            begun,
            length: layer.content.length() as usize,
        }
    }

    /// Sends the first signal, and waits until it is obeyed.
    fn drain(&mut self) {
        self.cache.process().signal("TERM");
        let draining = self.cache.process().wait_until(|process| {
            process
                .said()
                .contains("waiting for open answers")
                .then_some(())
        });
        assert!(draining.is_some(), "{}", self.cache.said());
    }

    /// The length of the body that has arrived when the connection ends.
    fn rest(&mut self) -> usize {
        // A cut connection may end with an error.
        let _ = self.stream.read_to_end(&mut self.begun);
        let end = self.begun.windows(4).position(|it| it == b"\r\n\r\n");
        self.begun.len() - end.unwrap() - 4
    }
}

#[test]
fn ca12_a_first_signal_lets_a_slow_pull_finish() {
    let mut slow = Slow::start();
    let admin = admin_address(&slow.cache);
    assert_eq!(http::get(admin, "/readyz").status, 200);
    slow.drain();
    // Nobody is to send more requests, but the process is well.
    assert_eq!(http::get(admin, "/readyz").status, 503);
    assert_eq!(http::get(admin, "/healthz").status, 200);
    slow.gate.open();
    assert_eq!(slow.rest(), slow.length);
    let status = slow.cache.process().end();
    assert_eq!(status.code(), Some(0), "{}", slow.cache.said());
}

#[test]
fn ca12_a_second_signal_ends_at_once() {
    let mut slow = Slow::start();
    slow.drain();
    slow.cache.process().signal("TERM");
    let status = slow.cache.process().end();
    assert!(slow.rest() < slow.length);
    assert!(
        slow.cache.said().contains("1 connection had to be cut"),
        "{}",
        slow.cache.said()
    );
    assert_eq!(status.code(), Some(0), "{}", slow.cache.said());
}

#[test]
fn a_directory_in_use_is_waited_for_and_refused_with_its_holder() {
    let upstream = kit("library/app", "1", &image_of(1));
    let mut first = Serve::of_hub(&upstream.url());
    let second = || {
        let builder = Serve::builder().upstream("docker.io", &upstream.url());
        let builder = builder.cache(&first.cache());
        builder.env("LONGSHORE_SERVE_STORE_LOCK_WAIT", "100ms")
    };
    let said = second().fails();
    assert!(said.contains("(longshore) holds"), "{said}");
    assert!(said.contains("--dir"), "{said}");
    assert_eq!(http::get(first.address(), MANIFEST).status, 200);
    // One that waits listens, and answers once the other is gone.
    let requests = upstream.requests().len();
    let port = process::free_port();
    let waiting = second()
        .env("LONGSHORE_SERVE_STORE_LOCK_WAIT", "1h")
        .port(port);
    let waiting = thread::spawn(move || waiting.start());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listens = first
        .process()
        .wait_until(|_| process::listens(address).then_some(()));
    assert!(listens.is_some(), "{}", first.said());
    first.process().signal("TERM");
    assert_eq!(first.process().end().code(), Some(0));
    let waited = waiting.join().unwrap();
    assert_eq!(http::get(waited.address(), MANIFEST).status, 200);
    assert_eq!(upstream.requests().len(), requests);
}

#[test]
fn ca12_a_directory_of_a_newer_program_is_refused() {
    let upstream = kit("library/app", "1", &image_of(1));
    let place = tempfile::tempdir().unwrap();
    let builder = || {
        let builder = Serve::builder().upstream("docker.io", &upstream.url());
        builder.cache(place.path())
    };
    drop(builder().start());
    let version = place.path().join("cache/version");
    let ours = fs::read_to_string(&version).unwrap();
    assert_eq!(ours.trim_end(), "1");
    fs::write(&version, "2\n").unwrap();
    let said = builder().fails();
    assert!(said.contains("states version 2"), "{said}");
    assert!(said.contains("use a newer program"), "{said}");
    fs::write(&version, ours).unwrap();
    drop(builder().start());
}

#[test]
fn operators_see_health_and_metrics_that_add_up() {
    let tree = image_of(1);
    let upstream = kit("library/app", "1", &tree);
    let cache = Serve::builder()
        .upstream("docker.io", &upstream.url())
        .args(["--admin-listen", "127.0.0.1:0"])
        .start();
    let admin = admin_address(&cache);
    assert_eq!(http::get(admin, "/healthz").status, 200);
    let ready = http::get(admin, "/readyz");
    let body: serde_json::Value = serde_json::from_slice(&ready.body).unwrap();
    assert_eq!(
        (ready.status, &body["reasons"]),
        (200, &serde_json::json!([]))
    );
    let blobs = tree.all_blobs();
    let layer = &blobs.last().unwrap().descriptor.digest;
    mixed(cache.address(), layer.as_str());
    let text = http::get(admin, "/metrics").body;
    let text = String::from_utf8(text).unwrap();
    for kind in ["manifest", "blob"] {
        let value = |name: &str| {
            let sample = format!("registry_proxy_{name}_total{{type=\"{kind}\"}} ");
            let value = text.lines().find_map(|line| line.strip_prefix(&sample));
            value.map_or(0, |value| value.parse::<u64>().unwrap())
        };
        let (hits, misses) = (value("hits"), value("misses"));
        assert!(hits > 0 && misses > 0, "{text}");
        assert_eq!(hits + misses, value("requests"), "{text}");
    }
}

/// Sends requests of every kind, with every outcome.
fn mixed(address: SocketAddr, layer: &str) {
    let layer = format!("/v2/library/app/blobs/{layer}");
    let absent = "/v2/library/app/blobs/sha256:".to_owned() + &"0".repeat(64);
    let requests = [
        ("GET", MANIFEST, 200),
        ("HEAD", MANIFEST, 200),
        ("GET", MANIFEST, 200),
        ("GET", "/v2/library/app/manifests/absent", 404),
        ("GET", "/v2/evil.example/app/manifests/Bad!", 400),
        ("GET", &layer, 200),
        ("GET", &layer, 200),
        ("HEAD", &layer, 200),
        ("GET", &absent, 404),
        ("GET", "/v2/library/app/tags/list", 200),
        ("DELETE", MANIFEST, 405),
    ];
    for (method, path, status) in requests {
        let reply = http::send(address, method, path, &[]);
        assert_eq!(reply.status, status, "{method} {path}");
    }
}

/// The address in the note about health and metrics.
#[track_caller]
fn admin_address(cache: &Serve) -> SocketAddr {
    let said = cache.said();
    let (_, rest) = said.split_once("health and metrics: http://").unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}
