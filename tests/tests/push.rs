//! The library writes to a real registry, and skopeo reads what it wrote.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use longshore::hyper::{HyperTransport, ProxySettings, TlsSettings};
use longshore::model::{Digest, TagOrDigest};
use longshore::origin::Secret;
use longshore::{
    Client, Credential, HostSettings, OneCredential, PushOptions, Repository, UploadOutcome,
};
use longshore_testkit::image::{self, Tree};
use longshore_tests::registry::{Builder, DockerRegistry, Logged, PASSWORD, USER};
use tempfile::tempdir;

#[path = "push/docker.rs"]
mod docker;
#[path = "push/engines.rs"]
mod engines;
#[path = "push/proxies.rs"]
mod proxies;

/// A client of this registry that has logged in.
fn client(registry: &DockerRegistry) -> Client {
    client_through(registry, ProxySettings::none())
}

/// A client of this registry that has logged in, and goes through a proxy.
fn client_through(registry: &DockerRegistry, proxy: ProxySettings) -> Client {
    let mut tls = TlsSettings::default();
    if let Some(file) = registry.ca_file() {
        tls = tls.ca_file(file).unwrap();
    }
    let transport = HyperTransport::builder().tls(tls).proxy(proxy);
    let transport = transport.build().unwrap();
    let password = Secret::new(PASSWORD.to_owned());
    let credential = Credential::basic(USER, password).unwrap();
    let authority = registry.authority();
    let mut settings = HostSettings::default();
    settings.plain_http = registry.ca_file().is_none();
    if let Some(tokens) = registry.tokens() {
        settings
            .allow_realm
            .push(format!("http://{}", tokens.address()).parse().unwrap());
    }
    Client::builder()
        .transport(transport)
        .credentials(OneCredential::new(&authority, credential))
        .host(&authority, settings)
        .build()
        .unwrap()
}

async fn repository(client: &Client, registry: &DockerRegistry, name: &str) -> Repository {
    let reference = format!("{}/{name}", registry.authority());
    let reference = reference.parse().unwrap();
    client.repository(&reference).await.unwrap()
}

/// Pushes all of a tree, bottom up; returns how each blob got there.
async fn push(
    repository: &Repository,
    tree: &Tree,
    options: impl Fn(&Digest) -> PushOptions,
) -> Vec<UploadOutcome> {
    let mut outcomes = Vec::new();
    for blob in tree.all_blobs() {
        let digest = &blob.descriptor.digest;
        let content = blob.content.bytes();
        let pushed = repository
            .put_blob(&content, options(digest))
            .await
            .unwrap();
        assert_eq!(pushed.digest, *digest);
        outcomes.push(pushed.outcome);
    }
    for document in tree.documents() {
        let descriptor = &document.descriptor;
        let target = if descriptor.digest == *tree.digest() {
            "v1".parse().unwrap()
        } else {
            TagOrDigest::Digest(descriptor.digest.clone())
        };
        let bytes = document.content.bytes();
        let stored = repository.put_manifest(&target, &descriptor.media_type, bytes);
        assert_eq!(stored.await.unwrap().digest, descriptor.digest);
    }
    outcomes
}

fn known(digest: &Digest) -> PushOptions {
    let mut options = PushOptions::default();
    options.digest = Some(digest.clone());
    options
}

/// Pushes an image in every way, and has skopeo read it.
async fn pushes(builder: Builder) {
    let Some(registry) = builder.start() else {
        return;
    };
    let Some(skopeo) = registry.skopeo() else {
        return;
    };
    let tree = image::twenty_platforms(1);
    let client = client(&registry);
    let app = repository(&client, &registry, "some/app").await;
    let outcomes = push(&app, &tree, known).await;
    assert!(outcomes.iter().all(|it| *it == UploadOutcome::Sent));

    let chunked = repository(&client, &registry, "some/chunked").await;
    let in_chunks = |digest: &Digest| {
        let mut options = known(digest);
        options.chunk = Some(1000);
        options
    };
    push(&chunked, &tree, in_chunks).await;

    let mounted = repository(&client, &registry, "some/mounted").await;
    let from_app = |digest: &Digest| {
        let mut options = known(digest);
        options.mount = Some("some/app".parse().unwrap());
        options
    };
    let outcomes = push(&mounted, &tree, from_app).await;
    assert!(outcomes.iter().all(|it| *it == UploadOutcome::Mounted));
    let again = |digest: &Digest| {
        let mut options = known(digest);
        options.check = true;
        options
    };
    let outcomes = push(&mounted, &tree, again).await;
    assert!(outcomes.iter().all(|it| *it == UploadOutcome::Existing));

    let place = tempdir().unwrap();
    for name in ["app", "chunked", "mounted"] {
        let reference = format!("{}/some/{name}:v1", registry.authority());
        let layout = place.path().join(name);
        skopeo.pull_layout(&reference, &layout, "v1");
        let source = format!("oci:{}:v1", layout.display());
        assert_eq!(skopeo.raw_manifest(&source), tree.document());
    }
    assert!(app.delete_manifest(tree.digest()).await.unwrap());
    assert!(!app.delete_manifest(tree.digest()).await.unwrap());
}

#[tokio::test]
async fn what_anybody_pushes_is_read_by_skopeo() {
    pushes(DockerRegistry::builder()).await;
}

#[tokio::test]
async fn what_is_pushed_with_a_password_is_read_by_skopeo() {
    pushes(DockerRegistry::builder().basic()).await;
}

#[tokio::test]
async fn what_is_pushed_with_a_token_is_read_by_skopeo() {
    pushes(DockerRegistry::builder().bearer()).await;
}

#[tokio::test]
async fn what_is_pushed_with_a_token_over_tls_is_read_by_skopeo() {
    pushes(DockerRegistry::builder().bearer().tls()).await;
}
