//! Metrics for Prometheus.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::bounded::BoundedStore;
use crate::name::UpstreamName;
use crate::observer::{Answered, Event, Observer, RequestKind};
use crate::upstream::{UpstreamCall, UpstreamCallKind};

/// The `Content-Type` of [`Metrics::encode`] (OpenMetrics 1.0, "Overall Structure").
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Counts the events of a cache, as metrics for Prometheus. Clones share the counts.
///
/// The names `registry_proxy_*` are the same as in the registry `distribution`, so that dashboards
/// for its proxy mode work; their label `type` is `blob` or `manifest`. `registry_proxy_hits_total`
/// and `registry_proxy_misses_total` add up to `registry_proxy_requests_total`: none of the three
/// counts requests that the cache itself refused. `registry_proxy_pulled_bytes_total` counts bytes
/// that arrived from upstreams, `registry_proxy_pushed_bytes_total` bytes that were sent to
/// clients.
///
/// All other names begin with `longshore_cache_`. No label contains the name of a repository, tag
/// or client: the number of time series depends only on the configured upstreams.
///
/// ```
/// use longshore_cache::{Event, Observer, server::Metrics};
///
/// let metrics = Metrics::new();
/// metrics.event(&Event::Connections(5));
/// assert!(metrics.encode().contains("\nlongshore_cache_connections 5\n"));
/// ```
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: ByType,
    hits: ByType,
    misses: ByType,
    pulled: ByType,
    pushed: ByType,
    answers: Family<AnswerLabels, Counter>,
    fills_running: Gauge,
    fills: Family<FillLabels, Counter>,
    joins: Family<UpstreamLabels, Counter>,
    unverified: Family<UpstreamLabels, Counter>,
    evictions: Counter,
    evicted_bytes: Counter,
    store_bytes: Gauge,
    store_limit: Gauge,
    store_degraded: Gauge,
    store: OnceLock<BoundedStore>,
    calls: Family<CallLabels, Counter>,
    latency: Family<UpstreamLabels, Histogram, fn() -> Histogram>,
    quota_remaining: Family<UpstreamLabels, Gauge>,
    quota_limit: Family<UpstreamLabels, Gauge>,
    connections: Gauge,
    connections_refused: Counter,
    requests_refused: Counter,
}

impl Metrics {
    /// Makes metrics with all values 0.
    #[must_use]
    pub fn new() -> Self {
        let mut names = Names(Registry::default());
        Self(Arc::new(Inner {
            requests: names.by_type(
                "requests",
                "Requests answered from the store or an upstream",
            ),
            hits: names.by_type("hits", "Requests answered from the store"),
            misses: names.by_type("misses", "Requests that needed an upstream"),
            pulled: names.by_type("pulled_bytes", "Bytes that arrived from upstreams"),
            pushed: names.by_type("pushed_bytes", "Bytes sent to clients"),
            answers: names.family(
                "answers",
                "Answers, by what was requested and their outcome",
            ),
            fills_running: names.gauge("fills_running", "Transfers from upstreams that run now"),
            fills: names.family("fills", "Transfers from upstreams, by how they ended"),
            joins: names.family(
                "fill_joins",
                "Clients that read a transfer of another client",
            ),
            unverified: names.family(
                "unverified_ranges",
                "Ranges sent before the blob was verified",
            ),
            evictions: names.counter("evictions", "Content that the store removed"),
            evicted_bytes: names.counter("evicted_bytes", "Bytes that the store removed"),
            store_bytes: names.gauge("store_bytes", "Bytes in use and reserved"),
            store_limit: names.gauge("store_limit_bytes", "Limit of the store"),
            store_degraded: names.gauge("store_degraded", "1 while the store cannot be written to"),
            calls: names.family("upstream_requests", "Requests to upstreams, by outcome"),
            latency: names.latency(),
            quota_remaining: names
                .gauges("upstream_quota_remaining", "Requests left in the window"),
            quota_limit: names.gauges("upstream_quota_limit", "Requests allowed in a window"),
            connections: names.gauge("connections", "Open connections of clients"),
            connections_refused: names
                .counter("connections_refused", "Connections above the limit"),
            requests_refused: names.counter(
                "requests_refused",
                "Requests above the limit of open answers",
            ),
            store: OnceLock::new(),
            registry: names.0,
        }))
    }

    /// Reports the size of this store, and counts the content that it evicts. Later calls do not
    /// change which store is reported.
    pub fn observe_store(&self, store: &BoundedStore) {
        if self.0.store.set(store.clone()).is_err() {
            return;
        }
        // Capture only the counters: the metrics hold the store, so capturing them would be a
        // cycle.
        let (count, bytes) = (self.0.evictions.clone(), self.0.evicted_bytes.clone());
        store.on_evicted(move |_, size| {
            count.inc();
            bytes.inc_by(size);
        });
    }

    /// Returns all metrics as text, as [`METRICS_CONTENT_TYPE`] says.
    #[must_use]
    pub fn encode(&self) -> String {
        if let Some(store) = self.0.store.get() {
            self.0.store_bytes.set(shown(store.used()));
            self.0.store_limit.set(shown(store.limit()));
        }
        let mut text = String::new();
        // Writing to a `String` does not fail, and no metric fails to write itself.
        let _ = encode(&mut text, &self.0.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Observer for Metrics {
    fn event(&self, event: &Event<'_>) {
        let inner = &*self.0;
        match event {
            Event::Routed(_) => {}
            Event::Answered(answer) => inner.answered(answer),
            Event::Sent(sent) => inner.pushed.add(sent.kind, sent.bytes),
            Event::FillStarted { .. } => {
                inner.fills_running.inc();
            }
            Event::FillJoined { upstream, .. } => {
                inner
                    .joins
                    .get_or_create(&UpstreamLabels::new(upstream))
                    .inc();
            }
            Event::FillEnded { upstream, end, .. } => {
                inner.fills_running.dec();
                let upstream = Upstream::new(upstream);
                let end = end.as_str();
                inner
                    .fills
                    .get_or_create(&FillLabels { upstream, end })
                    .inc();
            }
            Event::UnverifiedRange { upstream, .. } => {
                inner
                    .unverified
                    .get_or_create(&UpstreamLabels::new(upstream))
                    .inc();
            }
            Event::StoreDegraded(degraded) => {
                inner.store_degraded.set(i64::from(*degraded));
            }
            Event::UpstreamCall(call) => inner.called(call),
            Event::Connections(open) => {
                inner
                    .connections
                    .set(i64::try_from(*open).unwrap_or(i64::MAX));
            }
            Event::ConnectionRefused => {
                inner.connections_refused.inc();
            }
            Event::RequestRefused => {
                inner.requests_refused.inc();
            }
        }
    }
}

impl Inner {
    fn answered(&self, answer: &Answered<'_>) {
        let (kind, outcome) = (answer.kind, answer.outcome);
        if outcome.is_hit() {
            self.requests.add(kind, 1);
            self.hits.add(kind, 1);
        } else if outcome.is_miss() {
            self.requests.add(kind, 1);
            self.misses.add(kind, 1);
        }
        let labels = AnswerLabels {
            kind: kind.as_str(),
            outcome: outcome.as_str(),
        };
        self.answers.get_or_create(&labels).inc();
    }

    fn called(&self, call: &UpstreamCall<'_>) {
        match call.kind {
            UpstreamCallKind::Blob | UpstreamCallKind::BlobRange => {
                self.pulled.add(RequestKind::Blob, call.bytes);
            }
            UpstreamCallKind::Manifest => self.pulled.add(RequestKind::Manifest, call.bytes),
            UpstreamCallKind::BlobHead
            | UpstreamCallKind::ManifestHead
            | UpstreamCallKind::Ping
            | UpstreamCallKind::Referrers
            | UpstreamCallKind::Tags => {}
        }
        let labels = CallLabels {
            upstream: Upstream::new(call.upstream),
            kind: call.kind.as_str(),
            outcome: call.outcome.as_str(),
        };
        self.calls.get_or_create(&labels).inc();
        let labels = UpstreamLabels::new(call.upstream);
        let latency = call.head.unwrap_or(call.duration).as_secs_f64();
        self.latency.get_or_create(&labels).observe(latency);
        if let Some(quota) = call.quota {
            for (family, number) in [
                (&self.quota_remaining, quota.remaining),
                (&self.quota_limit, quota.limit),
            ] {
                if let Some(number) = number {
                    family.get_or_create(&labels).set(shown(number));
                }
            }
        }
    }
}

/// A number as the value of a gauge.
fn shown(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// One counter for blobs and one for manifests; other kinds are not counted.
struct ByType {
    blob: Counter,
    manifest: Counter,
}

impl ByType {
    fn add(&self, kind: RequestKind, number: u64) {
        match kind {
            RequestKind::Blob => {
                self.blob.inc_by(number);
            }
            RequestKind::Manifest => {
                self.manifest.inc_by(number);
            }
            RequestKind::Ping
            | RequestKind::Tags
            | RequestKind::Referrers
            | RequestKind::Catalogue
            | RequestKind::Other => {}
        }
    }
}

/// Registers metrics under their names. Counters get the suffix `_total` when they are written.
struct Names(Registry);

impl Names {
    fn by_type(&mut self, name: &str, help: &str) -> ByType {
        let family = Family::<TypeLabels, Counter>::default();
        self.0
            .register(format!("registry_proxy_{name}"), help, family.clone());
        let of = |r#type| family.get_or_create_owned(&TypeLabels { r#type });
        ByType {
            blob: of("blob"),
            manifest: of("manifest"),
        }
    }

    fn family<L>(&mut self, name: &str, help: &str) -> Family<L, Counter>
    where
        L: Label,
    {
        let family = Family::default();
        self.0.register(ours(name), help, family.clone());
        family
    }

    fn gauges(&mut self, name: &str, help: &str) -> Family<UpstreamLabels, Gauge> {
        let family = Family::default();
        self.0.register(ours(name), help, family.clone());
        family
    }

    fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.0.register(ours(name), help, gauge.clone());
        gauge
    }

    fn counter(&mut self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.0.register(ours(name), help, counter.clone());
        counter
    }

    fn latency(&mut self) -> Family<UpstreamLabels, Histogram, fn() -> Histogram> {
        let new: fn() -> Histogram = || Histogram::new(LATENCY_SECONDS);
        let family = Family::new_with_constructor(new);
        let help = "Time until an upstream sent the head of its answer, or a document";
        self.0
            .register(ours("upstream_latency_seconds"), help, family.clone());
        family
    }
}

/// Upper bounds of the buckets of upstream latency, in seconds. 25 s is the limit of an answer.
const LATENCY_SECONDS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0];

fn ours(name: &str) -> String {
    format!("longshore_cache_{name}")
}

trait Label:
    Clone + std::hash::Hash + Eq + EncodeLabelSet + fmt::Debug + Send + Sync + 'static
{
}

impl<T> Label for T where
    T: Clone + std::hash::Hash + Eq + EncodeLabelSet + fmt::Debug + Send + Sync + 'static
{
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabels {
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FillLabels {
    upstream: Upstream,
    end: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    upstream: Upstream,
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabels {
    upstream: Upstream,
}

impl UpstreamLabels {
    fn new(upstream: &UpstreamName) -> Self {
        Self {
            upstream: Upstream::new(upstream),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Upstream(UpstreamName);

impl Upstream {
    fn new(upstream: &UpstreamName) -> Self {
        Self(upstream.clone())
    }
}

impl EncodeLabelValue for Upstream {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.0.as_str().encode(encoder)
    }
}

#[cfg(test)]
mod tests;
