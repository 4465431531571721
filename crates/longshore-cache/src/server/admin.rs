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

/// The report of `/readyz` about a cache.
///
/// A cache whose upstreams fail still answers from its store, so it stays ready. A cache is ready
/// unless a [reason](Self::with_reason) is set.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Readiness {
    /// Why the cache cannot answer requests; empty if it can.
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

/// Text that may come from a peer; it is escaped when it is shown (OU1: text of a peer reaches an
/// output only through one type that escapes it).
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
    /// Whether the store cannot be written to. Then content passes through without being stored.
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
    /// Whether the last answer of the upstream was correct, or no request was sent yet.
    pub healthy: bool,
    /// Whether the upstream refused the configured credential.
    pub credential_refused: bool,
    /// Whether the upstream is configured as offline.
    pub offline: bool,
    /// Number of requests left in the window of the quota, if the upstream states it.
    pub quota_remaining: Option<u64>,
    /// Number of requests allowed in the window of the quota, if the upstream states it.
    pub quota_limit: Option<u64>,
    /// The last failure.
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

    /// Sets the last failure.
    #[must_use]
    pub fn with_failure(mut self, reason: impl Into<String>) -> Self {
        self.healthy = false;
        self.reason = Some(ShownText(reason.into()));
        self
    }

    /// Sets that the upstream refused the configured credential.
    #[must_use]
    pub const fn with_credential_refused(mut self) -> Self {
        self.credential_refused = true;
        self
    }

    /// Sets that the upstream is configured as offline.
    #[must_use]
    pub const fn with_offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// Sets how many requests are left and allowed in the window of the quota.
    #[must_use]
    pub const fn with_quota(mut self, remaining: Option<u64>, limit: Option<u64>) -> Self {
        self.quota_remaining = remaining;
        self.quota_limit = limit;
        self
    }
}

/// A function that reports the readiness of the cache.
pub(super) type Report = Arc<dyn Fn() -> Readiness + Send + Sync>;

/// Answers `/healthz` and `/readyz`.
pub(super) struct Probes {
    pub(super) report: Report,
    pub(super) phase: PhaseControl,
    /// Whether `/readyz` shows reasons, store and upstreams. Listeners for clients show only the
    /// status.
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

    /// Answers `/healthz`: a process that answers is alive.
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

/// An answer with `Cache-Control: no-store`. Methods other than `GET` and `HEAD` get a 405.
fn document(method: &Method, code: StatusCode, kind: HeaderValue, body: Bytes) -> Response<Bytes> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    // For `HEAD`, the connection omits the body and sends its length.
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The service of the admin listener behind the probes.
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

const PATHS: &[u8] = b"not found; the paths are /healthz, /readyz and /metrics\n";
