//! The service over registries of the test kit.

use std::sync::{Arc, Mutex};

use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use longshore_model::Digest;
use longshore_store::MemoryStore;
use longshore_testkit::image::{self, Tree};
use longshore_testkit::registry::{Builder, Registry};
use longshore_transport::TestClock;

use super::*;
use crate::bounded::BoundedStore;
use crate::name::UpstreamName;
use crate::observer::Observer;

mod manifests;

/// A cache in front of one registry, which is the default upstream `registry.example`.
struct Cache {
    service: CacheService,
    registry: Registry,
    clock: TestClock,
    seen: Seen,
    _handle: CacheHandle,
}

/// The outcomes of all answers.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Outcome>>>);

impl Observer for Seen {
    fn event(&self, event: &Event<'_>) {
        if let Event::Answered(answer) = event {
            self.0.lock().unwrap().push(answer.outcome);
        }
    }
}

/// An answer whose body was read.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    /// The bytes of the body; an error if it broke off.
    body: Result<Bytes, Bytes>,
}

impl Answer {
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
        Self::over(Registry::builder().image("app", "v1", &tree()))
    }

    fn over(registry: Builder) -> Self {
        Self::with(registry, |builder| builder)
    }

    fn with(registry: Builder, set: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        let registry = registry.start().unwrap();
        let (clock, seen) = (TestClock::default(), Seen::default());
        let name: UpstreamName = "registry.example".parse().unwrap();
        let upstream = Upstream::builder(name.clone(), &registry.url());
        let upstream = upstream.clock(clock.clone()).build().unwrap();
        let router = Router::builder().upstream(name.clone()).unwrap();
        let router = router.default_upstream(&name).unwrap().build();
        let store = BoundedStore::open(Arc::new(MemoryStore::new()), 1 << 30).unwrap();
        let builder = CacheService::builder()
            .store(store)
            .router(router)
            .upstream(upstream)
            .clock(clock.clone())
            .observer(seen.clone());
        let (service, handle) = set(builder).build().unwrap();
        Self {
            service,
            registry,
            clock,
            seen,
            _handle: handle,
        }
    }

    /// Sends a request and reads the whole answer.
    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.send(request.body(()).unwrap()).await;
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
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: if broken { Err(bytes) } else { Ok(bytes) },
        }
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
        std::mem::take(&mut *self.seen.0.lock().unwrap())
    }

    /// Waits until everything that was fetched is written.
    async fn settle(&self) {
        self.service.shared.tasks.ended().await;
    }
}

fn tree() -> Tree {
    image::single(7)
}

/// The path of a manifest of `app`.
fn manifest(reference: impl std::fmt::Display) -> String {
    // The path of the API is for the crate of the protocol.
    format!("/{}/app/manifests/{reference}", API)
}

fn blob(digest: &Digest) -> String {
    format!("/{API}/app/blobs/{digest}")
}

/// The first segment of every path.
const API: &str = "v2";
