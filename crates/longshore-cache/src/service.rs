//! The cache as a service: it returns one answer for each request.

mod blob;
mod builder;
mod list;
mod manifest;

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, request};
use longshore_model::{Digest, Hasher, TagOrDigest};
use longshore_proto::Refusal;
use longshore_proto::endpoint::Endpoint;
use longshore_transport::Clock;
use tokio::runtime::Handle;
use tower_service::Service;

pub use self::builder::{CacheBuildError, CacheBuilder, CacheHandle};

use self::blob::BlobHeadResult;
use self::list::{CatalogueResult, ListId, ListResult};
use self::manifest::{FetchKey, FetchResult};
use crate::body::CacheBody;
use crate::failure::{Failure, Subject};
use crate::fill::Fills;
use crate::flight::{Flight, Flights};
use crate::known::{AbsentKey, ContentKey, Known};
use crate::name::UpstreamName;
use crate::observer::{
    AnswerNote, Answered, Event, MissReason, Observer, Outcome, RequestId, RequestKind, Routed,
};
use crate::policy::{Freshness, UnverifiedRanges, UpstreamPolicy};
use crate::records::ListRecord;
use crate::router::Router;
use crate::target::{Target, TargetRead};
use crate::tasks::Tasks;
use crate::upstream::Upstream;

/// A read-through cache of registries, as a service for any HTTP server.
///
/// It answers the read requests of the distribution specification. It has no listener and no global
/// state, and clones share everything. Make one with [`CacheService::builder`].
///
/// Requests must be handled within a tokio runtime: work that several clients wait for runs in
/// separate tasks. The body of a request is dropped unread.
///
/// # Examples
///
/// A cache in memory in front of two registries: Docker Hub for names without a prefix, and
/// `quay.io` for names that begin with that host:
///
/// ```
/// use std::sync::Arc;
///
/// use http::{Request, StatusCode};
/// use longshore::hyper::TokioClock;
/// use longshore_cache::{
///     BoundedStore, CacheService, DEFAULT_UPSTREAM, Router, Upstream, UpstreamName,
/// };
/// use longshore_store::MemoryStore;
/// use tower_service::Service;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (clock, hub) = (TokioClock::new(), DEFAULT_UPSTREAM.parse::<UpstreamName>()?);
/// let quay: UpstreamName = "quay.io".parse()?;
/// let mut router = Router::builder();
/// let mut builder = CacheService::builder();
/// for name in [&hub, &quay] {
///     let upstream = Upstream::builder(name.clone(), &Upstream::default_url(name));
///     builder = builder.upstream(upstream.clock(clock).build()?);
///     router = router.upstream(name.clone())?;
/// }
/// let router = router.default_upstream(&hub)?.official_images(&hub)?;
/// let (mut cache, handle) = builder
///     .store(BoundedStore::open(Arc::new(MemoryStore::new()), 1 << 30)?)
///     .router(router.build())
///     .clock(clock)
///     .build()?;
///
/// let answer = cache.call(Request::get("/v2/").body(())?).await?;
/// assert_eq!(answer.status(), StatusCode::OK);
/// handle.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CacheService {
    shared: Arc<Shared>,
}

/// An upstream and its settings.
#[derive(Debug)]
pub(crate) struct Site {
    upstream: Upstream,
    policy: UpstreamPolicy,
}

/// State that all clones of a service share.
pub(crate) struct Shared {
    router: Router,
    sites: HashMap<UpstreamName, Arc<Site>>,
    known: Known,
    fills: Fills,
    clock: Arc<dyn Clock>,
    freshness: Freshness,
    unverified_ranges: UnverifiedRanges,
    observer: Arc<dyn Observer>,
    fetches: Flights<FetchKey, FetchResult>,
    blob_heads: Flights<ContentKey, BlobHeadResult>,
    lists: Flights<ListId, ListResult>,
    list_reads: Flights<ListId, Option<Arc<ListRecord>>>,
    catalogues: Flights<Option<UpstreamName>, CatalogueResult>,
    tasks: Tasks,
    requests: AtomicU64,
}

/// How a request was answered.
pub(crate) struct Reply {
    outcome: Outcome,
    result: Result<Response<CacheBody>, Failure>,
}

impl Reply {
    const fn new(outcome: Outcome, result: Result<Response<CacheBody>, Failure>) -> Self {
        Self { outcome, result }
    }
}

/// The version of the API. Docker's clients expect this header field in the answer to the version
/// check.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// The header field that repeats the parameter `ns` of the request (distribution-spec, registry
/// proxying).
const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");

/// The header field that says how the cache handled the request (RFC 9211).
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Time after a failure of an upstream during which the cache answers from stale copies without a
/// request to it.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(10);

impl CacheService {
    /// Starts to set up a service.
    pub fn builder() -> CacheBuilder {
        CacheBuilder::new()
    }
}

impl fmt::Debug for CacheService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheService")
            .field("upstreams", &self.shared.sites.keys())
            .finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for CacheService {
    type Response = Response<CacheBody>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        let (parts, _) = request.into_parts();
        let shared = Arc::clone(&self.shared);
        // Read the head before making the future, so that the future does not hold it.
        let id = shared.request_id(&parts);
        let target = Target::read(&parts, &shared.router).map_err(Box::new);
        Answering(Box::pin(shared.respond(id, parts.method, target)))
    }
}

/// The future of a [`CacheService`]: ends with the answer when its head is ready.
pub struct Answering(Pin<Box<dyn Future<Output = Response<CacheBody>> + Send>>);

impl Future for Answering {
    type Output = Result<Response<CacheBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering").finish_non_exhaustive()
    }
}

impl Shared {
    /// The id that a listener assigned to the request, or a new one.
    fn request_id(&self, parts: &request::Parts) -> RequestId {
        let given = parts.extensions.get::<RequestId>().copied();
        given.unwrap_or_else(|| RequestId::new(self.requests.fetch_add(1, Ordering::Relaxed)))
    }

    async fn respond(
        self: Arc<Self>,
        id: RequestId,
        method: Method,
        target: Result<Target, Box<Refusal>>,
    ) -> Response<CacheBody> {
        let (subject, kind, read, reply) = match target {
            Err(refusal) => {
                let reply = Reply::new(Outcome::Refused, Err(Failure::Request(*refusal)));
                (Subject::Repository, RequestKind::Other, None, reply)
            }
            Ok(Target::Ping) => {
                let reply = Reply::new(Outcome::Hit, Ok(pong(&method)));
                (Subject::Repository, RequestKind::Ping, None, reply)
            }
            Ok(Target::Catalogue(request)) => {
                let reply = Box::pin(self.catalogue(&request)).await;
                (Subject::Repository, RequestKind::Catalogue, None, reply)
            }
            Ok(Target::Read(read)) => {
                let (subject, kind) = subject(&read.endpoint);
                self.observer
                    .event(&Event::Routed(Routed::new(id, &read.image, kind)));
                let reply = self.within_budget(&read).await;
                (subject, kind, Some(read), reply)
            }
        };
        self.finish(id, &method, (subject, kind), read.as_deref(), reply)
    }

    /// Completes an answer: adds its headers and its note for the access log, and reports the
    /// event.
    fn finish(
        &self,
        id: RequestId,
        method: &Method,
        (subject, kind): (Subject, RequestKind),
        read: Option<&TargetRead>,
        reply: Reply,
    ) -> Response<CacheBody> {
        let namespace = read.and_then(|read| read.namespace.clone());
        let mut response = match reply.result {
            Ok(response) => response,
            Err(failure) => {
                let refusal = failure.refusal(subject, namespace.is_some());
                refusal.write(method).map(CacheBody::full)
            }
        };
        let status = response.status();
        let headers = response.headers_mut();
        headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        if let Some(text) = cache_status(reply.outcome, status) {
            headers.insert(CACHE_STATUS, text);
        }
        if let Some(namespace) = namespace {
            headers.insert(NAMESPACE, namespace);
        }
        let mut answered = Answered::new(id, kind, method, reply.outcome, status);
        if let Some(read) = read {
            answered = answered.of(&read.image, target_text(&read.endpoint));
        }
        self.observer.event(&Event::Answered(answered));
        let upstream = read.map(|read| read.image.upstream.clone());
        let note = AnswerNote::new(kind, reply.outcome, upstream);
        response.extensions_mut().insert(note);
        response.map(|body| body.reported(id, kind, Arc::clone(&self.observer)))
    }

    /// Answers a read within the time for a response head. After that time the client gets an
    /// error, and work that was started for the request continues.
    async fn within_budget(self: &Arc<Self>, read: &TargetRead) -> Reply {
        let Some(site) = self.sites.get(&read.image.upstream) else {
            // The builder checked that every upstream of the router exists.
            return Reply::new(Outcome::Refused, Err(Failure::Interrupted));
        };
        if !site.policy.allows(&read.image.repository) {
            return Reply::new(Outcome::Refused, Err(Failure::NotAllowed));
        }
        let mut reply = pin!(self.read(site, read));
        // A hit is ready at the first poll, and needs no timer.
        if let Poll::Ready(reply) = poll_fn(|cx| Poll::Ready(reply.as_mut().poll(cx))).await {
            return reply;
        }
        tokio::select! {
            biased;
            reply = reply => reply,
            () = self.clock.alarm(self.freshness.head_budget) => {
                Reply::new(Outcome::Miss(MissReason::Cold), Err(Failure::TooSlow))
            }
        }
    }

    async fn read(self: &Arc<Self>, site: &Arc<Site>, read: &TargetRead) -> Reply {
        let image = &read.image;
        match &read.endpoint {
            Endpoint::Manifest(request) => self.manifest(site, image, request).await,
            Endpoint::Blob(request) => self.blob(site, image, request).await,
            Endpoint::Tags(request) => Box::pin(self.tags(site, image, request, &read.outer)).await,
            Endpoint::Referrers(request) => {
                Box::pin(self.referrers(site, image, request, &read.outer)).await
            }
            _ => Reply::new(Outcome::Refused, Err(Failure::NotAllowed)),
        }
    }

    /// Waits for a request to the upstream while a stale copy exists. `None` once the request has
    /// taken longer than [`Freshness::stale_wait`].
    async fn unless_stale_wait_ends<T: Clone>(
        &self,
        flight: Flight<Result<T, Failure>>,
    ) -> Option<Result<T, Failure>> {
        let spent = self.clock.now().saturating_sub(flight.began());
        let left = self.freshness.stale_wait.saturating_sub(spent);
        if left.is_zero() {
            return flight.ready();
        }
        tokio::select! {
            biased;
            result = flight.result() => Some(result.unwrap_or(Err(Failure::Interrupted))),
            () = self.clock.alarm(left) => None,
        }
    }

    /// Whether to skip a request to the upstream while a stale copy can be used: the upstream
    /// failed or refused a request recently, or its rate limit is nearly used up.
    fn spares(&self, site: &Site, key: &AbsentKey) -> bool {
        let health = site.upstream.health();
        let now = self.known.unix_time();
        let failed_recently = health.last_failure.is_some_and(|failure| {
            health.consecutive_failures > 0 && now.abs_diff(failure.at) < PAUSE_AFTER_FAILURE
        });
        failed_recently
            || self.known.is_unanswered(key)
            || health.paused.is_some()
            || !site.upstream.revalidation_wait().is_zero()
    }

    /// Runs `work` in the background. A shutdown waits for it.
    fn behind<F>(self: &Arc<Self>, work: impl FnOnce(Arc<Self>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(work(Arc::clone(self)));
    }

    /// Forgets content that was evicted from the store.
    fn on_evicted(self: &Arc<Self>, digest: &Digest) {
        self.known.learn_evicted(digest);
        // Without a runtime the record stays. The next use finds that the content is absent.
        if Handle::try_current().is_ok() {
            let digest = digest.clone();
            self.behind(|this| async move { this.known.forget_content(&digest).await });
        }
    }

    fn fetch<F>(&self, key: &FetchKey, work: impl FnOnce() -> F) -> Flight<FetchResult>
    where
        F: Future<Output = FetchResult> + Send + 'static,
    {
        self.fetches.join(key, self.clock.now(), work)
    }
}

/// Checks that content with this digest can be verified (DG1).
fn check_verifiable(digest: &Digest) -> Result<(), Failure> {
    match Hasher::new(&digest.algorithm()) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::Unverifiable(error.to_string())),
    }
}

/// The subject and kind of a read.
const fn subject(endpoint: &Endpoint) -> (Subject, RequestKind) {
    match endpoint {
        Endpoint::Manifest(_) => (Subject::Manifest, RequestKind::Manifest),
        Endpoint::Blob(_) => (Subject::Blob, RequestKind::Blob),
        Endpoint::Tags(_) => (Subject::Repository, RequestKind::Tags),
        Endpoint::Referrers(_) => (Subject::Repository, RequestKind::Referrers),
        _ => (Subject::Repository, RequestKind::Other),
    }
}

/// The answer to the version check.
fn pong(method: &Method) -> Response<CacheBody> {
    const JSON: &str = "{}";
    let mut response = Response::new(match *method {
        Method::HEAD => CacheBody::empty(),
        _ => CacheBody::full(Bytes::from_static(JSON.as_bytes())),
    });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(JSON.len()));
    response
}

/// Returns the value of `Cache-Status` (RFC 9211); `None` for a refusal.
fn cache_status(outcome: Outcome, status: StatusCode) -> Option<HeaderValue> {
    Some(HeaderValue::from_static(match outcome {
        Outcome::Miss(_) | Outcome::Joined if !is_content(status) => "longshore; fwd=miss",
        Outcome::Hit => "longshore; hit",
        Outcome::Revalidated => "longshore; hit; detail=revalidated",
        Outcome::Stale => "longshore; hit; detail=stale",
        Outcome::Negative => "longshore; hit; detail=negative",
        Outcome::Miss(MissReason::Expired) => "longshore; fwd=stale; stored",
        Outcome::Miss(_) => "longshore; fwd=uri-miss; stored",
        Outcome::Joined => "longshore; fwd=uri-miss; collapsed; stored",
        Outcome::PassedThrough => "longshore; fwd=uri-miss",
        _ => return None,
    }))
}

/// Whether an answer with this status is about content that exists.
fn is_content(status: StatusCode) -> bool {
    status.is_success() || status == StatusCode::NOT_MODIFIED
}

/// The tag or digest of a request.
fn target_text(endpoint: &Endpoint) -> Option<&str> {
    match endpoint {
        Endpoint::Manifest(request) => Some(match &request.target {
            TagOrDigest::Tag(tag) => tag.as_str(),
            TagOrDigest::Digest(digest) => digest.as_str(),
        }),
        Endpoint::Blob(request) => Some(request.digest.as_str()),
        Endpoint::Referrers(request) => Some(request.subject.as_str()),
        _ => None,
    }
}

/// Adds the body to an answer: the range of the content that the answer names.
fn respond_with(
    response: Response<Range<u64>>,
    body: impl FnOnce(Range<u64>) -> CacheBody,
) -> Response<CacheBody> {
    response.map(|range| match range.is_empty() {
        true => CacheBody::empty(),
        false => body(range),
    })
}

#[cfg(test)]
mod tests;
