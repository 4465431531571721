//! Pulls through tinyproxy and microsocks, as set by the environment variables for proxies.
//!
//! The registries do not listen on loopback, because no proxy is used for loopback.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use longshore_testkit::certificate::Authority;
use longshore_testkit::image::{self, Tree};
use longshore_testkit::raw::RawServer;
use longshore_testkit::recorder::Recorder;
use longshore_testkit::registry::Registry;
use longshore_testkit::token::TokenServer;
use longshore_testkit::{Listen, ScriptedResponse};
use longshore_tests::layout;
use longshore_tests::longshore::Longshore;
use longshore_tests::microsocks::Microsocks;
use longshore_tests::network;
use longshore_tests::registry::{DockerRegistry, PASSWORD, USER};
use longshore_tests::tinyproxy::Tinyproxy;
use tempfile::{TempDir, tempdir};

const PROXY_USER: &str = "proxy-user";
const PROXY_PASSWORD: &str = "proxy-p4ssw0rd";

/// `proxy-user:proxy-p4ssw0rd` in base64, as it must not be seen.
const PROXY_PAIR: &str = "cHJveHktdXNlcjpwcm94eS1wNHNzdzByZA";

/// An image in a registry that speaks TLS and wants tokens, whose server speaks TLS too.
struct Scene {
    tokens: TokenServer,
    registry: Registry,
    tree: Tree,
    ca: PathBuf,
    place: TempDir,
}

impl Scene {
    /// Sets up the scene on this address.
    fn set(host: IpAddr) -> Self {
        let authority = Authority::new();
        let place = tempdir().unwrap();
        let ca = place.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).unwrap();
        let name = host.to_string();
        let listen = || {
            let listen = Listen::loopback().address(host);
            listen.tls(authority.server(&[&name]))
        };
        let tokens = TokenServer::builder().user(USER, PASSWORD);
        let tokens = tokens.listen(listen()).start().unwrap();
        let tree = image::single(1);
        let registry = Registry::builder()
            .listen(listen())
            .image("a", "1", &tree)
            .bearer(&tokens)
            .start()
            .unwrap();
        Self {
            tokens,
            registry,
            tree,
            ca,
            place,
        }
    }

    fn layout(&self) -> PathBuf {
        self.place.path().join("layout")
    }

    fn pull(&self) -> Longshore {
        let reference = format!("{}/a:1", self.registry.authority());
        Longshore::pull(&reference, self.layout())
            .login(USER, PASSWORD)
            .args([Path::new("--ca-file"), &self.ca])
    }

    #[track_caller]
    fn arrives(&self, pull: Longshore) {
        assert_eq!(pull.run().succeeded(), self.tree.digest().as_str());
        layout::assert_holds(&self.layout(), &self.tree);
        layout::assert_clean(&self.layout());
    }
}

fn with_password(proxy: &Tinyproxy) -> String {
    format!("http://{PROXY_USER}:{PROXY_PASSWORD}@{}", proxy.address())
}

fn connect(to: std::net::SocketAddr) -> String {
    format!("CONNECT {to} HTTP/1.1")
}

#[test]
fn https_goes_through_a_tunnel() {
    let (Some(host), Some(proxy)) = (network::address(), Tinyproxy::start(None)) else {
        return;
    };
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let scene = Scene::set(host);
        scene.arrives(scene.pull().env(variable, proxy.url()));
        let seen = proxy.requests();
        for target in [scene.registry.address(), scene.tokens.address()] {
            assert!(seen.contains(&connect(target)), "{variable}: {seen:?}");
        }
    }
}

// CR10
#[test]
fn cr10_the_password_of_the_proxy_is_for_the_proxy() {
    let proxy = Tinyproxy::start(Some((PROXY_USER, PROXY_PASSWORD)));
    let (Some(host), Some(proxy)) = (network::address(), proxy) else {
        return;
    };
    let scene = Scene::set(host);
    let pull = scene.pull().env("HTTPS_PROXY", with_password(&proxy));
    let ended = pull.args(["-vvv"]).run();
    assert_eq!(ended.succeeded(), scene.tree.digest().as_str());
    layout::assert_holds(&scene.layout(), &scene.tree);
    assert!(
        proxy
            .requests()
            .contains(&connect(scene.registry.address()))
    );
    for requests in [scene.registry.requests(), scene.tokens.requests()] {
        assert!(!requests.is_empty());
        for secret in [PROXY_PASSWORD, PROXY_PAIR] {
            assert!(!requests.hold(secret), "{requests:?}");
        }
        let field = "proxy-authorization";
        assert_eq!(requests.count(|it| it.header(field).is_some()), 0);
    }
    // OU3
    for secret in [PROXY_PASSWORD, PROXY_PAIR, PASSWORD] {
        assert!(!ended.stderr.contains(secret), "{}", ended.stderr);
    }
}

#[test]
fn a_proxy_that_wants_another_password_is_told_of() {
    let proxy = Tinyproxy::start(Some((PROXY_USER, PROXY_PASSWORD)));
    let (Some(host), Some(proxy)) = (network::address(), proxy) else {
        return;
    };
    let wrong = format!("http://{PROXY_USER}:wr0ng@{}", proxy.address());
    for url in [proxy.url(), wrong] {
        let scene = Scene::set(host);
        let ended = scene.pull().env("HTTPS_PROXY", &url).run();
        let said = format!("the proxy {} (from HTTPS_PROXY)", proxy.url());
        // tinyproxy answers wrong credentials with 401; other proxies answer 407.
        let said = ended.failed_with_hint(6, &[&scene.registry.authority(), &said]);
        assert!(!said.contains("wr0ng"), "{said}");
        assert!(scene.registry.requests().is_empty());
        assert!(!scene.layout().exists());
    }
}

#[test]
fn plain_http_goes_through_the_proxy_of_plain_http() {
    let proxy = Tinyproxy::start(Some((PROXY_USER, PROXY_PASSWORD)));
    let (Some(host), Some(proxy)) = (network::address(), proxy) else {
        return;
    };
    let tree = image::single(2);
    let registry = Registry::builder()
        .listen(Listen::loopback().address(host))
        .image("a", "1", &tree)
        .start()
        .unwrap();
    let place = tempdir().unwrap();
    let reference = format!("{}/a:1", registry.authority());
    let pull = Longshore::pull(&reference, place.path().join("layout"))
        .args(["--plain-http"])
        .env("HTTP_PROXY", with_password(&proxy))
        .env("HTTPS_PROXY", "http://127.0.0.1:1");
    assert_eq!(pull.run().succeeded(), tree.digest().as_str());
    layout::assert_holds(&place.path().join("layout"), &tree);
    let seen = proxy.requests();
    let url = registry.url();
    let through = |line: &String| line.contains(&url) || *line == connect(registry.address());
    assert!(seen.iter().any(through), "{seen:?}");
    // CR10
    assert!(!registry.requests().hold(PROXY_PASSWORD));
    let field = "proxy-authorization";
    assert_eq!(
        registry.requests().count(|it| it.header(field).is_some()),
        0
    );
}

#[test]
fn exceptions_go_past_the_proxy() {
    let Some(host) = network::address() else {
        return;
    };
    // Nobody listens there: what went through it would fail.
    let dead = "http://127.0.0.1:1";
    for exceptions in [
        host.to_string(),
        format!("{host}/8"),
        format!("registry.example, {host}"),
        format!("\"{host} registry.example\""),
        "*".to_owned(),
    ] {
        let scene = Scene::set(host);
        let pull = scene
            .pull()
            .env("HTTPS_PROXY", dead)
            .env("HTTP_PROXY", dead);
        scene.arrives(pull.env("NO_PROXY", exceptions));
    }
    let scene = Scene::set(host);
    let port = scene.registry.address().port();
    let pull = scene.pull().env("HTTPS_PROXY", dead);
    // The registry is in `NO_PROXY`; its token server is not.
    let pull = pull
        .env("NO_PROXY", format!("{host}:{port}"))
        .args(["--retry-attempts", "1"]);
    let words = [
        "the proxy http://127.0.0.1:1 (from HTTPS_PROXY)",
        "NO_PROXY",
    ];
    pull.run().failed_with_hint(6, &words);
    assert!(!scene.registry.requests().is_empty());
    assert!(scene.tokens.requests().is_empty());
}

// RT12
#[test]
fn rt12_a_registry_on_this_machine_is_contacted_directly() {
    let dead = "http://127.0.0.1:1";
    let tree = image::single(4);
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
    let port = registry.address().port();
    for (host, arguments) in [
        ("127.0.0.1", &[][..]),
        ("localhost", &["--plain-http"]),
        ("a.localhost", &[]),
    ] {
        let reference = format!("{host}:{port}/a:1");
        let mut digest = Longshore::new(["digest", &reference]).args(arguments);
        for variable in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
            digest = digest.env(variable, dead);
        }
        assert_eq!(digest.run().succeeded(), tree.digest().as_str(), "{host}");
    }
}

fn with_login(scheme: &str, proxy: &Microsocks) -> String {
    format!(
        "{scheme}://{PROXY_USER}:{PROXY_PASSWORD}@{}",
        proxy.address()
    )
}

#[test]
fn a_pull_works_through_socks5_and_socks5h() {
    let proxy = Microsocks::start(Some((PROXY_USER, PROXY_PASSWORD)));
    let (Some(host), Some(proxy)) = (network::address(), proxy) else {
        return;
    };
    for (variable, scheme) in [("HTTPS_PROXY", "socks5"), ("ALL_PROXY", "socks5h")] {
        let scene = Scene::set(host);
        scene.arrives(scene.pull().env(variable, with_login(scheme, &proxy)));
        let seen = proxy.targets();
        for target in [scene.registry.address(), scene.tokens.address()] {
            assert!(seen.contains(&target.to_string()), "{scheme}: {seen:?}");
        }
        // CR10
        assert!(!scene.registry.requests().hold(PROXY_PASSWORD));
    }
    let tree = image::single(5);
    let registry = Registry::builder()
        .listen(Listen::loopback().address(host))
        .image("a", "1", &tree)
        .start()
        .unwrap();
    let reference = format!("{}/a:1", registry.authority());
    let digest = Longshore::new(["digest", &reference, "--plain-http"]);
    let digest = digest.env("http_proxy", with_login("socks5", &proxy));
    assert_eq!(digest.run().succeeded(), tree.digest().as_str());
    assert!(proxy.targets().contains(&registry.address().to_string()));
}

#[test]
fn a_refused_login_names_the_socks_proxy() {
    let Some(proxy) = Microsocks::start(Some((PROXY_USER, PROXY_PASSWORD))) else {
        return;
    };
    let address = proxy.address();
    for login in ["", "proxy-user:wr0ng@"] {
        let url = format!("socks5h://{login}{address}");
        let digest = Longshore::new(["digest", "registry.example/a:1"]);
        let ended = digest.env("HTTPS_PROXY", url).run();
        let named =
            format!("the proxy socks5h://{address} (from HTTPS_PROXY) requires a valid user name");
        let said = ended.failed_with_hint(6, &["registry.example", &named, "USER:PASSWORD@"]);
        assert!(!said.contains("wr0ng"), "{said}");
    }
    // With socks5h the proxy resolves the name, with socks5 this machine does.
    for (scheme, words) in [
        ("socks5h", "(from ALL_PROXY) cannot reach the server"),
        ("socks5", "the host name could not be resolved"),
    ] {
        let digest = Longshore::new(["digest", "nosuch.invalid/a:1", "--retry-attempts", "1"]);
        let digest = digest.env("ALL_PROXY", with_login(scheme, &proxy));
        digest.run().failed_with_hint(6, &["nosuch.invalid", words]);
    }
}

// The proxy knows names this machine does not.
#[test]
fn names_are_the_business_of_the_proxy() {
    let Some(proxy) = Tinyproxy::start(None) else {
        return;
    };
    let pull = Longshore::pull("nosuch.invalid/a:1", "layout")
        .env("HTTPS_PROXY", proxy.url())
        .args(["--retry-attempts", "1"]);
    let named = format!("the proxy {} (from HTTPS_PROXY)", proxy.url());
    pull.run().failed_with_hint(6, &["nosuch.invalid", &named]);
    let asked = "CONNECT nosuch.invalid:443 HTTP/1.1".to_owned();
    assert!(proxy.requests().contains(&asked), "{:?}", proxy.requests());
}

#[test]
fn the_error_names_the_proxy_that_cannot_be_used() {
    let page = ScriptedResponse::status(http::StatusCode::FORBIDDEN)
        .header(CONTENT_TYPE, HeaderValue::from_static("text/html"))
        .body("<html>blocked</html>");
    let firewall = Recorder::start(Listen::loopback(), move |_| page.clone()).unwrap();
    let stranger = Listen::loopback().tls(Authority::new().server(&["127.0.0.1"]));
    let stranger = Recorder::start(stranger, |_| ScriptedResponse::status(http::StatusCode::OK));
    let stranger = stranger.unwrap();
    let ssh = RawServer::start("SSH-2.0-OpenSSH_9.6\r\n\r\n").unwrap();
    for (url, words, hint) in [
        (
            firewall.url(),
            "refused with a web page: 403 Forbidden",
            "NO_PROXY",
        ),
        (stranger.url(), "TLS with it failed", "HTTPS_PROXY"),
        (
            format!("http://{}", ssh.address()),
            "does not answer like a proxy",
            "HTTPS_PROXY",
        ),
        (
            "http://127.0.0.1:1".to_owned(),
            "cannot be reached",
            "HTTPS_PROXY",
        ),
        (
            "socks5://127.0.0.1:1".to_owned(),
            "cannot be reached",
            "HTTPS_PROXY",
        ),
        (
            "http://nosuch.invalid:1".to_owned(),
            "cannot be resolved",
            "HTTPS_PROXY",
        ),
    ] {
        let digest = Longshore::new(["digest", "registry.example/a:1", "--retry-attempts", "1"]);
        let ended = digest.env("HTTPS_PROXY", &url).run();
        let named = format!("the proxy {url} (from HTTPS_PROXY)");
        let said = ended.failed_with_hint(6, &["registry.example", &named, words]);
        let last = said.lines().last().unwrap();
        assert!(last.contains(hint), "{said}");
    }
    for url in ["http://a b", "socks4://127.0.0.1:1"] {
        let digest = Longshore::new(["digest", "registry.example/a:1"]);
        digest
            .env("HTTPS_PROXY", url)
            .run()
            .failed(1, &["HTTPS_PROXY"]);
    }
}

// `--insecure-skip-verify` applies to the registry, not to the proxy or the token server.
#[test]
fn only_the_registry_itself_is_not_verified() {
    let authority = Authority::new();
    let listen = || Listen::loopback().tls(authority.server(&["127.0.0.1"]));
    let tree = image::single(6);
    let alone = Registry::builder().listen(listen()).image("a", "1", &tree);
    let alone = alone.start().unwrap();
    let skip = "--insecure-skip-verify";
    let digest = Longshore::new(["digest", &format!("{}/a:1", alone.authority()), skip]);
    assert_eq!(digest.run().succeeded(), tree.digest().as_str());

    let tokens = TokenServer::builder().listen(listen()).start().unwrap();
    let registry = Registry::builder().listen(listen()).image("a", "1", &tree);
    let registry = registry.bearer(&tokens).start().unwrap();
    let digest = Longshore::new(["digest", &format!("{}/a:1", registry.authority()), skip]);
    digest
        .run()
        .failed_with_hint(6, &["invalid peer certificate", "--ca-file"]);
    assert!(tokens.requests().is_empty());

    let digest = Longshore::new(["digest", "registry.example/a:1", skip]);
    let digest = digest.env("HTTPS_PROXY", alone.url());
    digest
        .run()
        .failed_with_hint(6, &["the proxy", "TLS with it failed"]);
}

// With the registry most others descend from, and nothing of ours at the other end.
#[test]
fn docker_registry_is_reached_through_a_proxy() {
    let proxy = Tinyproxy::start(Some((PROXY_USER, PROXY_PASSWORD)));
    let (Some(host), Some(proxy)) = (network::address(), proxy) else {
        return;
    };
    let builder = DockerRegistry::builder().address(host);
    let Some(registry) = builder.bearer().tls().start() else {
        return;
    };
    let tree = image::twenty_platforms(3);
    let Some(reference) = registry.push(&tree, "some/app:1.0") else {
        return;
    };
    let place = tempdir().unwrap();
    let pull = Longshore::pull(&reference, place.path()).args(["--all-platforms"]);
    let pull = pull.env("HTTPS_PROXY", with_password(&proxy));
    let ended = registry.admit(pull).run();
    assert_eq!(ended.succeeded(), tree.digest().as_str());
    layout::assert_holds(place.path(), &tree);
    assert!(proxy.requests().contains(&connect(registry.address())));
}

#[test]
fn images_are_pushed_to_docker_registry_and_copied_within_it_through_proxies() {
    let tinyproxy = Tinyproxy::start(Some((PROXY_USER, PROXY_PASSWORD)));
    let microsocks = Microsocks::start(Some((PROXY_USER, PROXY_PASSWORD)));
    let (Some(host), Some(tinyproxy), Some(microsocks)) =
        (network::address(), tinyproxy, microsocks)
    else {
        return;
    };
    let builder = DockerRegistry::builder().address(host);
    let Some(registry) = builder.bearer().tls().start() else {
        return;
    };
    let tree = image::single(7);
    let place = tempdir().unwrap();
    let layout = place.path().join("layout");
    image::write_layout(&layout, &[("1", &tree)]).unwrap();
    let layout = format!("{}:1", layout.display());
    for (name, proxy) in [
        ("http", with_password(&tinyproxy)),
        ("socks", with_login("socks5h", &microsocks)),
    ] {
        let reference = |name: &str| format!("{}/{name}:1", registry.authority());
        let (pushed, copied) = (reference(name), reference(&format!("{name}/copied")));
        for arguments in [["push", &layout, &pushed], ["copy", &pushed, &copied]] {
            let command = registry.admit(Longshore::new(arguments));
            let ended = command.env("HTTPS_PROXY", &proxy).run();
            let digest = tree.digest().as_str();
            assert!(ended.succeeded().contains(digest), "{}", ended.stdout);
        }
        let Some(skopeo) = registry.skopeo() else {
            return;
        };
        let copied = format!("docker://{copied}");
        assert_eq!(skopeo.raw_manifest(&copied), tree.document());
    }
    assert!(tinyproxy.requests().contains(&connect(registry.address())));
    let target = registry.address().to_string();
    assert!(microsocks.targets().contains(&target));
}
