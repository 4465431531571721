//! Health and metrics, for probes and for Prometheus.

use std::convert::Infallible;
use std::fmt;
use std::future::{self, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use longshore_origin::Escaped;
use serde::{Serialize, Serializer};
use tower_service::Service;

use super::drain::{Phase, PhaseControl};
use super::listen::body::BytesBody;
use super::metrics::{METRICS_CONTENT_TYPE, Metrics};
use crate::name::UpstreamName;

/// What `/readyz` says about a cache.
///
/// A cache whose upstreams fail still answers what it has, so that alone is no reason to send it no
/// requests: it is ready unless there is a [reason](Self::with_reason) against it.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Readiness {
    /// Why it cannot answer requests; empty if it can.
    pub reasons: Vec<ShownText>,
    /// The state of its store.
    pub store: StoreHealth,
    /// The state of each upstream.
    pub upstreams: Vec<UpstreamReadiness>,
}

impl Readiness {
    /// Describes a cache that is ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a reason why the cache cannot answer requests.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reasons.push(ShownText(reason.into()));
        self
    }

    /// Sets the state of the store.
    #[must_use]
    pub fn with_store(mut self, store: StoreHealth) -> Self {
        self.store = store;
        self
    }

    /// Adds the state of an upstream.
    #[must_use]
    pub fn with_upstream(mut self, upstream: UpstreamReadiness) -> Self {
        self.upstreams.push(upstream);
        self
    }
}

/// Text that may have come from a peer: it is escaped when it is shown (OU1: text of a peer reaches
/// an output only through one type that escapes it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownText(String);

impl Serialize for ShownText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Escaped::text(&self.0))
    }
}

/// The state of a store.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct StoreHealth {
    /// Whether it cannot be written to: then content is passed through without being stored.
    pub degraded: bool,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Its limit in bytes.
    pub limit_bytes: u64,
}

impl StoreHealth {
    /// Describes a store.
    #[must_use]
    pub const fn new(degraded: bool, used_bytes: u64, limit_bytes: u64) -> Self {
        Self {
            degraded,
            used_bytes,
            limit_bytes,
        }
    }
}

/// The state of an upstream.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct UpstreamReadiness {
    /// Its name.
    #[serde(serialize_with = "name")]
    pub name: UpstreamName,
    /// Whether its last answer was as it should be, or it was not asked yet.
    pub healthy: bool,
    /// Whether it refused the configured credential.
    pub credential_refused: bool,
    /// Whether the configuration says that it is not to be asked.
    pub offline: bool,
    /// Number of requests left in its window, if it says so.
    pub quota_remaining: Option<u64>,
    /// Number of requests allowed in its window, if it says so.
    pub quota_limit: Option<u64>,
    /// What failed last.
    pub reason: Option<ShownText>,
}

fn name<S: Serializer>(name: &UpstreamName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_str())
}

impl UpstreamReadiness {
    /// Describes an upstream without problems.
    #[must_use]
    pub const fn new(name: UpstreamName) -> Self {
        Self {
            name,
            healthy: true,
            credential_refused: false,
            offline: false,
            quota_remaining: None,
            quota_limit: None,
            reason: None,
        }
    }

    /// Says what failed last.
    #[must_use]
    pub fn with_failure(mut self, reason: impl Into<String>) -> Self {
        self.healthy = false;
        self.reason = Some(ShownText(reason.into()));
        self
    }

    /// Says that it refused the configured credential.
    #[must_use]
    pub const fn with_credential_refused(mut self) -> Self {
        self.credential_refused = true;
        self
    }

    /// Says that it is not to be asked.
    #[must_use]
    pub const fn with_offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// Says how many requests are left and allowed in its window.
    #[must_use]
    pub const fn with_quota(mut self, remaining: Option<u64>, limit: Option<u64>) -> Self {
        self.quota_remaining = remaining;
        self.quota_limit = limit;
        self
    }
}

/// Tells how ready the cache is.
pub(super) type Report = Arc<dyn Fn() -> Readiness + Send + Sync>;

/// Answers `/healthz` and `/readyz`.
pub(super) struct Probes {
    pub(super) report: Report,
    pub(super) phase: PhaseControl,
    /// Whether `/readyz` shows reasons, store and upstreams. Listeners for clients show the status
    /// alone.
    pub(super) detailed: bool,
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Ready<'a> {
    status: &'static str,
    #[serde(flatten)]
    detail: Option<&'a Readiness>,
}

impl Probes {
    /// Returns the answer to a probe; `None` if the request is not a probe.
    pub(super) fn answer<T>(&self, request: &Request<T>) -> Option<Response<Bytes>> {
        match request.uri().path() {
            "/healthz" => Some(self.health(request.method())),
            "/readyz" => Some(self.ready(request.method())),
            _ => None,
        }
    }

    /// The process is alive if it answers.
    fn health(&self, method: &Method) -> Response<Bytes> {
        let body = Bytes::from_static(br#"{"status":"alive"}"#);
        document(method, StatusCode::OK, JSON, body)
    }

    fn ready(&self, method: &Method) -> Response<Bytes> {
        let readiness = (self.report)();
        let (code, status) = if self.phase.current() > Phase::Running {
            (StatusCode::SERVICE_UNAVAILABLE, "draining")
        } else if readiness.reasons.is_empty() {
            (StatusCode::OK, "ready")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready")
        };
        let detail = self.detailed.then_some(&readiness);
        // Strings and numbers can always be written.
        let body = serde_json::to_vec(&Ready { status, detail }).unwrap_or_default();
        document(method, code, JSON, body.into())
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer that no cache keeps; to other methods than `GET` and `HEAD` it is 405.
fn document(method: &Method, code: StatusCode, kind: HeaderValue, body: Bytes) -> Response<Bytes> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    // The connection leaves the body of an answer to `HEAD` out, and writes its length.
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The service of the admin listener, below its probes.
#[derive(Clone, Debug)]
pub(super) struct Admin {
    pub(super) metrics: Option<Metrics>,
}

impl Service<Request<Incoming>> for Admin {
    type Response = Response<BytesBody>;
    type Error = Infallible;
    type Future = future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let metrics = self.metrics.as_ref();
        let metrics = metrics.filter(|_| request.uri().path() == "/metrics");
        let response = match metrics {
            Some(metrics) => {
                let kind = HeaderValue::from_static(METRICS_CONTENT_TYPE);
                let body = metrics.encode().into();
                document(request.method(), StatusCode::OK, kind, body)
            }
            None => {
                let mut response = Response::new(Bytes::from_static(PATHS));
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        };
        ready(Ok(response.map(BytesBody)))
    }
}

const PATHS: &[u8] = b"There are /healthz, /readyz and /metrics.\n";
