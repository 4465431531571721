//! The harness proves itself with skopeo alone, before anything of ours is on trial.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use longshore_testkit::image::{self, Image, Tree};
use longshore_testkit::registry::{Part, Registry};
use longshore_testkit::token::TokenServer;
use longshore_tests::nginx::Nginx;
use longshore_tests::registry::{Builder, DockerRegistry, PASSWORD, USER};
use longshore_tests::skopeo::Skopeo;
use longshore_tests::tinyproxy::Tinyproxy;

/// Pushes and pulls with skopeo and compares digests.
fn round_trip(builder: Builder, tree: &Tree) -> Option<DockerRegistry> {
    let registry = builder.start()?;
    let reference = registry.push(tree, "some/app:1.0")?;
    let skopeo = registry.skopeo()?;
    assert_eq!(
        skopeo.raw_manifest(&format!("docker://{reference}")),
        tree.document()
    );
    let directory = tempfile::tempdir().unwrap();
    skopeo.pull_layout(&reference, directory.path(), "1.0");
    let pulled = skopeo.raw_manifest(&format!("oci:{}:1.0", directory.path().display()));
    assert_eq!(pulled, tree.document());
    skopeo.read_layout(directory.path(), "1.0");
    for stored in tree.documents().into_iter().chain(tree.all_blobs()) {
        let digest = &stored.descriptor.digest;
        let blob =
            std::fs::read(directory.path().join("blobs/sha256").join(digest.encoded())).unwrap();
        assert_eq!(blob, stored.content.bytes());
    }
    Some(registry)
}

#[test]
fn an_anonymous_registry_keeps_an_index_of_twenty_platforms() {
    let Some(registry) = round_trip(DockerRegistry::builder(), &image::twenty_platforms(1)) else {
        return;
    };
    let requests = registry.requests();
    assert!(
        requests
            .iter()
            .any(|request| request.method == "PUT" && request.status == 201)
    );
    assert!(
        requests
            .iter()
            .all(|request| request.agent.contains("skopeo")),
        "{requests:?}"
    );
}

#[test]
fn basic_lets_in_who_knows_the_password() {
    let Some(registry) = round_trip(DockerRegistry::builder().basic(), &image::single(2)) else {
        return;
    };
    refuses_strangers(&registry);
}

#[test]
fn tokens_of_the_testkit_are_good_enough_for_distribution() {
    let Some(registry) = round_trip(DockerRegistry::builder().bearer(), &image::single(3)) else {
        return;
    };
    let requests = registry.tokens().unwrap().requests();
    assert!(
        requests.count(|request| request.query().contains("pull")) > 0,
        "{requests:?}"
    );
    refuses_strangers(&registry);
}

#[test]
fn tls_covers_registry_and_token_server() {
    let builder = DockerRegistry::builder().bearer().tls();
    let Some(registry) = round_trip(builder, &Image::new(4).gzip().build()) else {
        return;
    };
    assert!(registry.url().starts_with("https://"));
    assert!(registry.tokens().unwrap().realm().starts_with("https://"));
    let directory = tempfile::tempdir().unwrap();
    let untrusting = Skopeo::find()
        .unwrap()
        .credentials(USER, PASSWORD)
        .trust(directory.path());
    let mut inspect = untrusting.command("inspect");
    inspect.arg(format!("docker://{}/some/app:1.0", registry.authority()));
    let said = String::from_utf8(inspect.output().unwrap().stderr).unwrap();
    assert!(
        said.contains("certificate signed by unknown authority"),
        "{said}"
    );
}

#[track_caller]
fn refuses_strangers(registry: &DockerRegistry) {
    let reference = format!("docker://{}/some/app:1.0", registry.authority());
    for credentials in [None, Some("longshore:wrong")] {
        let mut inspect = Skopeo::find().unwrap().command("inspect");
        inspect.arg("--tls-verify=false").arg(&reference);
        inspect.args(credentials.map(|pair| format!("--creds={pair}")));
        let output = inspect.output().unwrap();
        assert!(!output.status.success(), "{credentials:?}");
    }
}

#[test]
fn artifacts_and_many_layers_survive() {
    for tree in [image::artifact(5), image::many_layers(6, 60)] {
        if round_trip(DockerRegistry::builder(), &tree).is_none() {
            return;
        }
    }
}

#[test]
fn docker_media_types_arrive_unchanged() {
    let tree = Image::new(7).gzip().docker().build();
    let Some(registry) = DockerRegistry::builder().start() else {
        return;
    };
    let Some(reference) = registry.push(&tree, "some/app:1.0") else {
        return;
    };
    let pushed = registry
        .skopeo()
        .unwrap()
        .raw_manifest(&format!("docker://{reference}"));
    assert_eq!(pushed, tree.document());
}

#[test]
fn skopeo_pulls_from_the_testkit_registry() {
    let Some(skopeo) = Skopeo::find() else { return };
    let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
    let tree = image::twenty_platforms(8);
    let registry = Registry::builder()
        .image("some/app", "1.0", &tree)
        .bearer(&tokens)
        .start()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let skopeo = skopeo.credentials(USER, PASSWORD);
    skopeo.pull_layout(
        &format!("{}/some/app:1.0", registry.authority()),
        directory.path(),
        "1.0",
    );
    skopeo.read_layout(directory.path(), "1.0");
    let pulled = skopeo.raw_manifest(&format!("oci:{}:1.0", directory.path().display()));
    assert_eq!(pulled, tree.document());
    assert!(registry.requests_to(Part::Blob).len() >= tree.all_blobs().len());
    assert!(tokens.requests().hold(PASSWORD));
    assert!(!registry.requests().hold(PASSWORD));
}

/// Sends `head` to `address` and reads the status.
fn status(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[9..]).into_owned()
}

#[test]
fn tinyproxy_connects_those_it_knows() {
    let registry = Registry::builder().start().unwrap();
    let Some(proxy) = Tinyproxy::start(Some(("u", "p"))) else {
        return;
    };
    let target = registry.authority();
    let with = |more: &str| format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n{more}\r\n");
    assert_eq!(status(proxy.address(), &with("")), "407");
    assert_eq!(
        status(
            proxy.address(),
            &with("proxy-authorization: Basic dTpw\r\n")
        ),
        "200"
    );
    assert!(
        proxy
            .requests()
            .contains(&format!("CONNECT {target} HTTP/1.1")),
        "{:?}",
        proxy.requests()
    );
    let Some(open) = Tinyproxy::start(None) else {
        return;
    };
    let absolute = format!(
        "GET {}/v2/ HTTP/1.0\r\nhost: {target}\r\n\r\n",
        registry.url()
    );
    assert_eq!(status(open.address(), &absolute), "200");
    assert_eq!(registry.requests_to(Part::Ping).len(), 1);
}

#[test]
fn nginx_stands_in_front_or_serves_files() {
    let tree = image::single(9);
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
    let Some(front) = Nginx::in_front_of(registry.address()) else {
        return;
    };
    assert_eq!(
        status(front.address(), "GET /v2/a/manifests/1 HTTP/1.0\r\n\r\n"),
        "200"
    );
    assert_eq!(registry.requests_to(Part::Manifest).len(), 1);
    let directory = tempfile::tempdir().unwrap();
    image::write_layout(directory.path(), &[("1", &tree)]).unwrap();
    let Some(files) = Nginx::of_files(directory.path()) else {
        return;
    };
    assert_eq!(
        status(files.address(), "GET /oci-layout HTTP/1.0\r\n\r\n"),
        "200"
    );
    assert_eq!(
        status(files.address(), "GET /absent HTTP/1.0\r\n\r\n"),
        "404"
    );
}
