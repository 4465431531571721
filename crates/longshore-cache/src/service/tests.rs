//! The service over registries of the test kit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use longshore_model::Digest;
use longshore_store::MemoryStore;
use longshore_testkit::image::{self, Tree};
use longshore_testkit::registry::{Builder, Misbehaviour, Part, Registry, Rule};
use longshore_testkit::{BlobContent, Gate};
use longshore_transport::TestClock;

use super::*;
use crate::bounded::BoundedStore;
use crate::name::UpstreamName;
use crate::observer::{Observer, Sent};
use crate::policy::UpstreamPolicy;
use crate::upstream::UpstreamBuilder;

mod blobs;
mod failures;
mod lists;
mod manifests;
mod observed;
mod permission;
mod records;
mod upstreams;

/// A cache in front of one registry, which is the default upstream `registry.example`.
struct Cache {
    service: CacheService,
    registry: Registry,
    /// The clock of the service; its waits end on command.
    clock: TestClock,
    /// The clock of the upstream; its waits end immediately, and no time limit is reached.
    upstream_clock: TestClock,
    seen: Seen,
    handle: CacheHandle,
}

/// The parts of a cache in a test.
struct Setup {
    registry: Builder,
    upstream: Box<dyn FnOnce(UpstreamBuilder) -> UpstreamBuilder>,
    policy: UpstreamPolicy,
    store: BoundedStore,
    service: Box<dyn FnOnce(CacheBuilder) -> CacheBuilder>,
}

impl Setup {
    /// A cache in front of this registry.
    fn over(registry: Builder) -> Self {
        Self {
            registry,
            upstream: Box::new(|upstream| upstream),
            policy: UpstreamPolicy::default(),
            store: BoundedStore::open(Arc::new(MemoryStore::new()), 1 << 30).unwrap(),
            service: Box::new(|service| service),
        }
    }

    /// A cache in front of a registry with the image `app:v1`.
    fn new() -> Self {
        Self::over(Registry::builder().image("app", "v1", &tree()))
    }

    fn upstream(mut self, set: impl FnOnce(UpstreamBuilder) -> UpstreamBuilder + 'static) -> Self {
        self.upstream = Box::new(set);
        self
    }

    fn policy(mut self, policy: UpstreamPolicy) -> Self {
        self.policy = policy;
        self
    }

    fn store(mut self, store: BoundedStore) -> Self {
        self.store = store;
        self
    }

    fn service(mut self, set: impl FnOnce(CacheBuilder) -> CacheBuilder + 'static) -> Self {
        self.service = Box::new(set);
        self
    }

    fn start(self) -> Cache {
        let registry = self.registry.start().unwrap();
        let (clock, upstream_clock) = (TestClock::default(), TestClock::default());
        let seen = Seen::default();
        let name: UpstreamName = "registry.example".parse().unwrap();
        let upstream = Upstream::builder(name.clone(), &registry.url());
        let observer: Arc<dyn Observer> = Arc::new(seen.clone());
        let upstream = upstream.clock(upstream_clock.clone()).observer(observer);
        let upstream = (self.upstream)(upstream).build().unwrap();
        let router = Router::builder().upstream(name.clone()).unwrap();
        let router = router.default_upstream(&name).unwrap().build();
        let builder = CacheService::builder()
            .store(self.store)
            .router(router)
            .upstream_with(upstream, self.policy)
            .clock(clock.clone())
            .observer(seen.clone());
        let (service, handle) = (self.service)(builder).build().unwrap();
        Cache {
            service,
            registry,
            clock,
            upstream_clock,
            seen,
            handle,
        }
    }
}

/// The observed events.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Observed>>);

#[derive(Default)]
struct Observed {
    outcomes: Vec<Outcome>,
    kinds: HashMap<RequestId, RequestKind>,
    sent: Vec<Sent>,
    unverified_ranges: usize,
    pulled: u64,
}

impl Observer for Seen {
    fn event(&self, event: &Event<'_>) {
        let mut observed = self.0.lock().unwrap();
        match event {
            Event::Answered(answer) => {
                observed.outcomes.push(answer.outcome);
                let before = observed.kinds.insert(answer.id, answer.kind);
                assert_eq!(before, None, "answered twice");
            }
            Event::Sent(sent) => observed.sent.push(*sent),
            Event::UnverifiedRange { .. } => observed.unverified_ranges += 1,
            Event::UpstreamCall(call) => observed.pulled += call.bytes,
            _ => {}
        }
    }
}

/// An answer whose body was read.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    /// The bytes of the body; an error with the received bytes if it ended early.
    body: Result<Bytes, Bytes>,
}

impl Answer {
    async fn read(response: Response<CacheBody>) -> Self {
        let (parts, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        let broken = loop {
            match body.frame().await {
                Some(Ok(frame)) => bytes.extend_from_slice(&frame.into_data().unwrap()),
                Some(Err(_)) => break true,
                None => break false,
            }
        };
        let bytes = Bytes::from(bytes);
        Self {
            status: parts.status,
            headers: parts.headers,
            body: if broken { Err(bytes) } else { Ok(bytes) },
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().unwrap())
    }

    /// The whole body.
    #[track_caller]
    fn bytes(&self) -> &Bytes {
        self.body.as_ref().unwrap()
    }

    /// The codes of an error answer.
    fn code(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(self.bytes()).unwrap();
        json["errors"][0]["code"].as_str().unwrap().to_owned()
    }
}

impl Cache {
    /// A cache in front of a registry with the image `app:v1`.
    fn new() -> Self {
        Setup::new().start()
    }

    /// A cache in front of this registry.
    fn over(registry: Builder) -> Self {
        Setup::over(registry).start()
    }

    /// Sends a request and reads the whole answer.
    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.send(request.body(()).unwrap()).await;
        Answer::read(response).await
    }

    async fn send(&self, request: Request<()>) -> Response<CacheBody> {
        self.service.clone().call(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[]).await
    }

    async fn head(&self, path: &str) -> Answer {
        self.ask(Method::HEAD, path, &[]).await
    }

    /// Method and path of the requests that the registry got since the last call.
    fn upstream_requests(&self) -> Vec<String> {
        let requests = self.registry.requests();
        let lines = requests.all();
        requests.clear();
        let line = |it: &longshore_testkit::RecordedRequest| format!("{} {}", it.method, it.path());
        lines.iter().map(line).collect()
    }

    /// The outcomes of the answers since the last call.
    fn outcomes(&self) -> Vec<Outcome> {
        std::mem::take(&mut self.seen.0.lock().unwrap().outcomes)
    }

    /// The outcome of the last answer.
    fn outcome(&self) -> Option<Outcome> {
        self.seen.0.lock().unwrap().outcomes.last().copied()
    }

    /// Advances both clocks.
    fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.upstream_clock.advance(by);
    }

    /// Makes the registry misbehave by this rule alone.
    fn misbehave(&self, rule: Rule) {
        self.registry.behave();
        self.registry.misbehave(rule);
    }

    /// Sends a `GET`; every wait of the service ends as soon as it starts.
    async fn get_impatiently(&self, path: &str) -> Answer {
        self.clock.ring(true);
        let answer = self.get(path).await;
        self.clock.ring(false);
        answer
    }

    /// Waits until all fetched content is written.
    async fn settle(&self) {
        self.service.shared.tasks.ended().await;
    }
}

/// Waits until another thread makes the condition true.
async fn until(mut is_done: impl FnMut() -> bool) {
    while !is_done() {
        tokio::task::yield_now().await;
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A time after which a tag is stale.
const TTL: Duration = crate::DEFAULT_TAG_TTL;

fn tree() -> Tree {
    image::single(7)
}

/// The path of a manifest of `app`.
fn manifest(reference: impl fmt::Display) -> String {
    path("app", "manifests", reference)
}

/// The path of a blob of `app`.
fn blob(digest: &Digest) -> String {
    path("app", "blobs", digest)
}

fn path(repository: &str, kind: &str, reference: impl fmt::Display) -> String {
    format!("/{API}/{repository}/{kind}/{reference}")
}

/// The first segment of every path.
const API: &str = "v2";

#[test]
fn the_future_of_an_answer_is_small_enough_for_the_fast_path_of_an_allocator() {
    type Read = Result<Target, Box<Refusal>>;
    const fn size<F>(_: &impl Fn(Arc<Shared>, RequestId, Method, Read) -> F) -> usize {
        size_of::<F>()
    }
    // glibc keeps freed blocks of up to 1,032 bytes for the thread that freed them.
    let bytes = size(&Shared::respond);
    assert!(bytes <= 1024, "{bytes}");
}
