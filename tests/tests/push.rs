//! The library writes to a real registry, and skopeo reads what it wrote.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use longshore::hyper::{HyperTransport, ProxySettings, TlsSettings};
use longshore::model::{Digest, TagOrDigest};
use longshore::origin::Secret;
use longshore::{
    Client, Content, Credential, HostSettings, OneCredential, OpeningContent, PushObserver,
    PushOptions, Repository, SessionKeeper, UploadOutcome, UploadSession,
};
use longshore_testkit::image::{self, Tree};
use longshore_testkit::registry::Registry;
use longshore_tests::registry::{Builder, DockerRegistry, Logged, PASSWORD, USER};
use tempfile::tempdir;

#[path = "push/docker.rs"]
mod docker;
#[path = "push/engines.rs"]
mod engines;
#[path = "push/proxies.rs"]
mod proxies;

/// A logged-in client of this registry.
fn client(registry: &DockerRegistry) -> Client {
    client_through(registry, ProxySettings::none())
}

/// A logged-in client of this registry that uses a proxy.
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

/// Pushes all of a tree from the bottom up; returns for each blob how the registry got it.
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

/// Pushes an image in every way, and checks that skopeo can read it.
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
async fn an_image_pushed_without_credentials_is_read_by_skopeo() {
    pushes(DockerRegistry::builder()).await;
}

#[tokio::test]
async fn an_image_pushed_with_a_password_is_read_by_skopeo() {
    pushes(DockerRegistry::builder().basic()).await;
}

#[tokio::test]
async fn an_image_pushed_with_a_token_is_read_by_skopeo() {
    pushes(DockerRegistry::builder().bearer()).await;
}

#[tokio::test]
async fn an_image_pushed_with_a_token_over_tls_is_read_by_skopeo() {
    pushes(DockerRegistry::builder().bearer().tls()).await;
}

const CHUNK: u64 = 100_000;

/// Content of three chunks, of which the last is shorter.
fn content() -> Bytes {
    (0..250_000_u32).map(|n| (n % 251) as u8).collect()
}

/// Content whose second chunk never arrives; the flag says whether that chunk was requested.
#[derive(Default)]
struct Begun(AtomicBool);

impl Content for Begun {
    fn size(&self) -> Option<u64> {
        Some(content().len() as u64)
    }

    fn open(&self, position: u64) -> OpeningContent<'_> {
        Box::pin(async move {
            if position >= CHUNK {
                self.0.store(true, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }
            content().open(position).await
        })
    }
}

/// Keeps the session of a push, and counts the bytes that were sent.
#[derive(Default)]
struct Journal(Mutex<(Option<UploadSession>, u64)>);

impl SessionKeeper for Journal {
    fn keep(&self, session: &UploadSession) {
        let text = session.to_secret_text();
        self.0.lock().unwrap().0 = UploadSession::from_secret_text(text.expose());
    }

    fn forget(&self) {
        self.0.lock().unwrap().0 = None;
    }
}

impl PushObserver for Journal {
    fn sent(&self, bytes: u64) {
        self.0.lock().unwrap().1 += bytes;
    }
}

fn in_chunks(journal: &Arc<Journal>) -> PushOptions {
    let mut options = known(&Digest::sha256(&content()));
    options.chunk = Some(CHUNK);
    options.session = journal.0.lock().unwrap().0.take();
    options.keeper = Some(journal.clone());
    options.observer = Some(journal.clone());
    options
}

/// Drops a push after its first chunk; returns the session and the count.
async fn dropped(repository: &Repository) -> Arc<Journal> {
    let journal = Arc::new(Journal::default());
    let source = Begun::default();
    let mut push = Box::pin(repository.put_blob(&source, in_chunks(&journal)));
    std::future::poll_fn(|cx| {
        assert!(push.as_mut().poll(cx).is_pending());
        if source.0.load(Ordering::Relaxed) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    drop(push);
    assert_eq!(std::mem::take(&mut journal.0.lock().unwrap().1), CHUNK);
    journal
}

#[tokio::test]
async fn a_push_that_was_dropped_is_continued_at_its_chunk_by_a_real_registry() {
    let Some(registry) = DockerRegistry::builder().basic().start() else {
        return;
    };
    let first = repository(&client(&registry), &registry, "some/app").await;
    let journal = dropped(&first).await;
    // A later process has only the text of the session.
    let second = repository(&client(&registry), &registry, "some/app").await;
    let pushed = second.put_blob(&content(), in_chunks(&journal)).await;
    assert_eq!(pushed.unwrap().outcome, UploadOutcome::Sent);
    let digest = Digest::sha256(&content());
    let stored = second.blob(&digest, Some(250_000)).unwrap().bytes(250_000);
    assert!(stored.await.unwrap() == content());
    let journal = journal.0.lock().unwrap();
    assert_eq!((&journal.0, journal.1), (&None, 150_000));
}

#[tokio::test]
async fn a_push_that_was_dropped_sends_the_rest_or_everything_when_its_session_is_gone() {
    for is_gone in [false, true] {
        let registry = Registry::builder().writable().start().unwrap();
        let reference = format!("{}/app", registry.authority()).parse().unwrap();
        let transport = HyperTransport::builder().build().unwrap();
        let client = Client::builder().transport(transport).build().unwrap();
        let repository = client.repository(&reference).await.unwrap();
        let journal = dropped(&repository).await;
        if is_gone {
            registry.forget_uploads();
        }
        let before = registry.requests().all().len();
        let pushed = repository.put_blob(&content(), in_chunks(&journal)).await;
        assert_eq!(pushed.unwrap().outcome, UploadOutcome::Sent);
        let requests = registry.requests().all();
        let mut sent = Vec::new();
        let mut methods = Vec::new();
        for request in requests.iter().skip(before) {
            methods.push(request.method.as_str().to_owned());
            sent.extend_from_slice(&request.body);
        }
        let (first, expected) = if is_gone {
            (
                0,
                &["GET", "HEAD", "POST", "PATCH", "PATCH", "PATCH", "PUT"][..],
            )
        } else {
            (100_000, &["GET", "PATCH", "PATCH", "PUT"][..])
        };
        assert_eq!(methods, expected);
        assert!(sent == content()[first..], "{} bytes", sent.len());
    }
}
