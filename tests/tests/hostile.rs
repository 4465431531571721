//! Hostile peers, through the library: the typed error, and how many requests it took to get it.
//!
//! The peers are real ones, over sockets; only the time is the test's. What the program makes of
//! the same, and that nothing is stored, stands in `faults`.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use longshore::model::{Digest, Reference, TagOrDigest};
use longshore::transport::{Clock, TestClock, Timer};
use longshore::{Cause, Client, Error, ErrorKind, HostSettings, Repository};
use longshore_hyper::{HyperTransport, ProxySettings};
use longshore_testkit::image::{self, Tree};
use longshore_testkit::registry::{self, Misbehaviour, Part, Registry, Rule};
use longshore_testkit::{BlobContent, ScriptedResponse, hostile};

#[path = "hostile/blobs.rs"]
mod blobs;
#[path = "hostile/documents.rs"]
mod documents;
#[path = "hostile/heads.rs"]
mod heads;
#[path = "hostile/lists.rs"]
mod lists;
#[path = "hostile/patience.rs"]
mod patience;
#[path = "hostile/tokens.rs"]
mod tokens;

/// A registry with one image, and a client of it that goes by the test's time.
struct Scene {
    registry: Registry,
    tree: Tree,
    clock: TestClock,
    repository: Repository,
}

impl Scene {
    async fn set() -> Self {
        Self::behind(Registry::builder()).await
    }

    async fn behind(builder: registry::Builder) -> Self {
        let tree = image::single(1);
        let registry = builder.image("a", "1", &tree).start().unwrap();
        let clock = TestClock::default();
        let repository = repository(&registry.authority(), &clock).await;
        Self {
            registry,
            tree,
            clock,
            repository,
        }
    }

    /// Behaves as this rule says, and as no other.
    fn rule(&self, rule: Rule) {
        self.registry.behave();
        self.registry.misbehave(rule);
        self.registry.requests().clear();
    }

    /// Serves `content` as a blob, and begins to count.
    fn blob(&self, content: impl Into<BlobContent>) -> Digest {
        let content = content.into();
        let digest = Digest::sha256(&content.bytes());
        self.registry.contents().set_blob("a", &digest, content);
        self.registry.behave();
        self.registry.requests().clear();
        digest
    }

    async fn manifest(&self) -> Result<(), Error> {
        let tag: TagOrDigest = "1".parse().unwrap();
        self.repository.manifest(&tag).await.map(drop)
    }

    /// Asserts that the manifest is refused in this way, after this many requests.
    #[track_caller]
    fn refused(
        &self,
        result: Result<(), Error>,
        kind: ErrorKind,
        requests: usize,
        what: &str,
    ) -> Error {
        let Err(error) = result else {
            panic!("{what}: not refused")
        };
        assert_eq!(error.kind(), kind, "{what}: {error:?}");
        let lines = self.registry.requests().lines();
        assert_eq!(lines.len(), requests, "{what}: {lines:?}");
        error
    }

    /// The `Range` of each request for a blob.
    fn ranges(&self) -> Vec<Option<String>> {
        let requests = self.registry.requests_to(Part::Blob);
        let range = requests.iter().map(|it| it.header("range"));
        range.map(|it| it.map(str::to_owned)).collect()
    }
}

/// The repository `a` of the registry at this address.
async fn repository(authority: &str, clock: &TestClock) -> Repository {
    let mut settings = HostSettings::default();
    settings.plain_http = true;
    let transport = HyperTransport::builder().proxy(ProxySettings::none());
    let client = Client::builder()
        .transport(transport.build().unwrap())
        .clock(Punctual(clock.clone()))
        .jitter(|| 0)
        .host(authority, settings)
        .build()
        .unwrap();
    let reference: Reference = format!("{authority}/a").parse().unwrap();
    client.repository(&reference).await.unwrap()
}

/// A clock whose waits end at once, and whose alarms ring when they are looked at after their time.
#[derive(Clone)]
struct Punctual(TestClock);

impl Clock for Punctual {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> Timer {
        self.0.sleep(duration)
    }

    fn alarm(&self, duration: Duration) -> Timer {
        let clock = self.0.clone();
        let end = clock.now() + duration;
        Box::pin(poll_fn(move |_| {
            if clock.now() < end {
                return Poll::Pending;
            }
            Poll::Ready(())
        }))
    }
}

/// Waits for what is not there yet, and does something as soon as it does.
async fn meanwhile<T>(future: impl Future<Output = T>, act: impl FnOnce()) -> T {
    let mut future = pin!(future);
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending(), "it is there");
        Poll::Ready(())
    })
    .await;
    act();
    future.await
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}
