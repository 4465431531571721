//! Through tinyproxy, as the environment says.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::path::{Path, PathBuf};

use longshore_testkit::certificate::Authority;
use longshore_testkit::image::{self, Tree};
use longshore_testkit::recorder::Recorder;
use longshore_testkit::registry::{Part, Registry};
use longshore_testkit::token::TokenServer;
use longshore_testkit::{Listen, ScriptedResponse};
use longshore_tests::layout;
use longshore_tests::longshore::Longshore;
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
    fn set() -> Self {
        let authority = Authority::new();
        let place = tempdir().unwrap();
        let ca = place.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).unwrap();
        let listen = || Listen::loopback().tls(authority.server(&["127.0.0.1"]));
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
    let Some(proxy) = Tinyproxy::start(None) else {
        return;
    };
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let scene = Scene::set();
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
    let Some(proxy) = Tinyproxy::start(Some((PROXY_USER, PROXY_PASSWORD))) else {
        return;
    };
    let scene = Scene::set();
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
    let Some(proxy) = Tinyproxy::start(Some((PROXY_USER, PROXY_PASSWORD))) else {
        return;
    };
    let wrong = format!("http://{PROXY_USER}:wr0ng@{}", proxy.address());
    for url in [proxy.url(), wrong] {
        let scene = Scene::set();
        let ended = scene.pull().env("HTTPS_PROXY", &url).run();
        let words = [
            &scene.registry.authority(),
            "the proxy answered 40",
            "HTTPS_PROXY",
        ];
        let said = ended.failed_with_hint(6, &words);
        assert!(!said.contains("wr0ng"), "{said}");
        assert!(scene.registry.requests().is_empty());
        assert!(!scene.layout().exists());
    }
}

#[test]
fn plain_http_goes_through_the_proxy_of_plain_http() {
    let Some(proxy) = Tinyproxy::start(Some((PROXY_USER, PROXY_PASSWORD))) else {
        return;
    };
    let tree = image::single(2);
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
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
    // Nobody listens there: what went through it would fail.
    let dead = "http://127.0.0.1:1";
    for exceptions in [
        "127.0.0.1",
        "127.0.0.0/8",
        "registry.example,127.0.0.1",
        "*",
    ] {
        let scene = Scene::set();
        let pull = scene
            .pull()
            .env("HTTPS_PROXY", dead)
            .env("HTTP_PROXY", dead);
        scene.arrives(pull.env("NO_PROXY", exceptions));
    }
    let scene = Scene::set();
    let pull = scene.pull().env("HTTPS_PROXY", dead);
    let pull = pull
        .env("NO_PROXY", "127.0.0.2")
        .args(["--retry-attempts", "1"]);
    pull.run().failed(6, &[&scene.registry.authority()]);
    assert!(scene.registry.requests().is_empty());
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
    pull.run().failed(6, &["nosuch.invalid"]);
    let asked = "CONNECT nosuch.invalid:443 HTTP/1.1".to_owned();
    assert!(proxy.requests().contains(&asked), "{:?}", proxy.requests());
}

#[test]
fn a_proxy_that_is_none_is_told_of() {
    let web = Recorder::start(Listen::loopback(), |_| {
        ScriptedResponse::status(http::StatusCode::NOT_FOUND)
    })
    .unwrap();
    let scene = Scene::set();
    for (url, words) in [
        (web.url(), "404"),
        ("http://127.0.0.1:1".to_owned(), "refused"),
    ] {
        let pull = scene.pull().env("HTTPS_PROXY", url);
        let ended = pull.args(["--retry-attempts", "1"]).run();
        ended.failed_with_hint(6, &[&scene.registry.authority(), words]);
    }
    let ended = scene.pull().env("HTTPS_PROXY", "http://a b").run();
    ended.failed(1, &["HTTPS_PROXY"]);
    assert!(scene.registry.requests_to(Part::Manifest).is_empty());
    assert!(!scene.layout().exists());
}

// With the registry most others descend from, and nothing of ours at the other end.
#[test]
fn docker_registry_is_reached_through_a_proxy() {
    let Some(proxy) = Tinyproxy::start(Some((PROXY_USER, PROXY_PASSWORD))) else {
        return;
    };
    let Some(registry) = DockerRegistry::builder().bearer().tls().start() else {
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
