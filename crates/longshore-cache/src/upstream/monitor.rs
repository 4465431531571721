//! Observations of an upstream: its health, its quota, and each call.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_proto::RateLimit;
use longshore_transport::Clock;

use super::quota::{ABUSE_PAUSE, ABUSE_PAUSE_LIMIT, Quota};
use super::{Upstream, UpstreamErrorKind};
use crate::name::UpstreamName;

/// The health of an upstream, from its calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpstreamHealth {
    /// When it last gave a correct answer, as Unix time. Also counts answers that something does
    /// not exist or that access is denied.
    pub last_success: Option<Duration>,
    /// Its last failure.
    pub last_failure: Option<UpstreamFailure>,
    /// Number of failures since its last correct answer.
    pub consecutive_failures: u32,
    /// Whether it refuses the configured credentials, so that requests are sent without them.
    pub credentials_refused: bool,
    /// The rest of the pause in which no request is sent, because the upstream refuses all
    /// requests.
    pub paused: Option<Duration>,
    /// Its quota, as last stated (RT8).
    pub quota: Option<RateLimit>,
}

/// A failure of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpstreamFailure {
    /// What kind of failure it was.
    pub kind: UpstreamErrorKind,
    /// When, as Unix time.
    pub at: Duration,
}

/// An ended call to an upstream, for an observer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UpstreamCall<'a> {
    /// The upstream.
    pub upstream: &'a UpstreamName,
    /// The kind of the call.
    pub kind: UpstreamCallKind,
    /// Duration of the call, with all attempts and mirrors.
    pub duration: Duration,
    /// Time until the head of the answer arrived, for a request for a blob.
    pub head: Option<Duration>,
    /// Number of content bytes that were received.
    pub bytes: u64,
    /// How it ended.
    pub outcome: UpstreamOutcome,
    /// The quota of the upstream, as last stated (RT8).
    pub quota: Option<RateLimit>,
}

/// The kind of a call to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UpstreamCallKind {
    /// A blob.
    Blob,
    /// Whether a blob exists, and its size.
    BlobHead,
    /// A part of a blob.
    BlobRange,
    /// A manifest.
    Manifest,
    /// The digest of a manifest.
    ManifestHead,
    /// The version check.
    Ping,
    /// The list of the manifests that refer to one.
    Referrers,
    /// The list of the tags of a repository.
    Tags,
}

impl UpstreamCallKind {
    /// Returns the name, for the label of a metric: `blob_head`, for example.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::BlobHead => "blob_head",
            Self::BlobRange => "blob_range",
            Self::Manifest => "manifest",
            Self::ManifestHead => "manifest_head",
            Self::Ping => "ping",
            Self::Referrers => "referrers",
            Self::Tags => "tags",
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamOutcome {
    /// The caller did not wait for the end.
    Abandoned,
    /// The upstream does not have it.
    Absent,
    /// It failed.
    Failed(UpstreamErrorKind),
    /// It was found.
    Found,
}

impl UpstreamOutcome {
    /// Returns the name, for the label of a metric: `rate_limited`, for example.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Abandoned => "abandoned",
            Self::Absent | Self::Failed(UpstreamErrorKind::Absent) => "absent",
            Self::Failed(UpstreamErrorKind::Denied) => "denied",
            Self::Failed(UpstreamErrorKind::Invalid) => "invalid",
            Self::Failed(UpstreamErrorKind::Offline) => "offline",
            Self::Failed(UpstreamErrorKind::RateLimited { abuse: false }) => "rate_limited",
            Self::Failed(UpstreamErrorKind::RateLimited { abuse: true }) => "abuse_limited",
            Self::Failed(UpstreamErrorKind::TooLarge) => "too_large",
            Self::Failed(UpstreamErrorKind::Unavailable) => "unavailable",
            Self::Failed(UpstreamErrorKind::Unverifiable) => "unverifiable",
            Self::Found => "found",
        }
    }
}

/// The listener for calls to an upstream.
pub(super) type OnCall = Box<dyn Fn(&UpstreamCall<'_>) + Send + Sync>;

/// The health and quota of an upstream, recorded from its calls.
#[derive(Debug, Default)]
pub(super) struct Monitor(Mutex<Observed>);

#[derive(Debug, Default)]
struct Observed {
    last_success: Option<Duration>,
    last_failure: Option<UpstreamFailure>,
    consecutive_failures: u32,
    quota: Option<Quota>,
    /// The end of the pause, by the monotonic clock.
    paused_until: Duration,
    /// When a manifest was last revalidated, by the monotonic clock.
    last_revalidation: Option<Duration>,
}

impl Monitor {
    pub(super) fn saw_quota(&self, limit: RateLimit, now: Duration) {
        self.lock().quota = Some(Quota { limit, seen: now });
    }

    /// Number of failures since the last correct answer.
    pub(super) fn failures(&self) -> u32 {
        self.lock().consecutive_failures
    }

    pub(super) fn quota(&self) -> Option<Quota> {
        self.lock().quota
    }

    /// Whether the upstream stated since this time that its quota is used up.
    pub(super) fn is_used_up_since(&self, time: Duration) -> bool {
        let quota = self.quota();
        quota.is_some_and(|it| it.seen >= time && it.limit.remaining == Some(0))
    }

    /// Pauses all requests.
    pub(super) fn pause(&self, now: Duration, asked: Option<Duration>) {
        let wait = asked.unwrap_or(ABUSE_PAUSE).min(ABUSE_PAUSE_LIMIT);
        let mut observed = self.lock();
        observed.paused_until = observed.paused_until.max(now.saturating_add(wait));
    }

    /// The rest of the pause.
    pub(super) fn paused(&self, now: Duration) -> Option<Duration> {
        let rest = self.lock().paused_until.saturating_sub(now);
        Some(rest).filter(|rest| !rest.is_zero())
    }

    pub(super) fn revalidates(&self, now: Duration) {
        self.lock().last_revalidation = Some(now);
    }

    pub(super) fn last_revalidation(&self) -> Option<Duration> {
        self.lock().last_revalidation
    }

    pub(super) fn health(&self, now: Duration) -> UpstreamHealth {
        let paused = self.paused(now);
        let observed = self.lock();
        UpstreamHealth {
            last_success: observed.last_success,
            last_failure: observed.last_failure,
            consecutive_failures: observed.consecutive_failures,
            credentials_refused: false,
            paused,
            quota: observed.quota.map(|quota| quota.limit),
        }
    }

    fn ended(&self, outcome: UpstreamOutcome, at: Duration) {
        let mut observed = self.lock();
        match outcome {
            UpstreamOutcome::Abandoned | UpstreamOutcome::Failed(UpstreamErrorKind::Offline) => {}
            UpstreamOutcome::Failed(kind) if kind.is_failure() => {
                observed.last_failure = Some(UpstreamFailure { kind, at });
                observed.consecutive_failures = observed.consecutive_failures.saturating_add(1);
            }
            UpstreamOutcome::Absent | UpstreamOutcome::Failed(_) | UpstreamOutcome::Found => {
                observed.last_success = Some(at);
                observed.consecutive_failures = 0;
            }
        }
    }

    /// For short uses only: the guard is never held across an `await`.
    fn lock(&self) -> MutexGuard<'_, Observed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures one call, and reports it when it ends. If it is dropped before, the call is reported as
/// abandoned.
#[derive(Debug)]
pub(super) struct Meter {
    upstream: Upstream,
    kind: UpstreamCallKind,
    begun: Duration,
    head: Option<Duration>,
    bytes: u64,
    reported: bool,
}

impl Meter {
    pub(super) fn start(upstream: Upstream, kind: UpstreamCallKind) -> Self {
        Self {
            begun: upstream.clock().now(),
            upstream,
            kind,
            head: None,
            bytes: 0,
            reported: false,
        }
    }

    /// When the call began, by the monotonic clock.
    pub(super) const fn begun(&self) -> Duration {
        self.begun
    }

    /// The head of the answer arrived.
    pub(super) fn on_head(&mut self) {
        if self.head.is_none() {
            self.head = Some(self.elapsed());
        }
    }

    pub(super) fn on_bytes(&mut self, count: u64) {
        self.bytes = self.bytes.saturating_add(count);
    }

    pub(super) fn end(&mut self, outcome: UpstreamOutcome) {
        if std::mem::replace(&mut self.reported, true) {
            return;
        }
        let upstream = &self.upstream;
        upstream
            .monitor()
            .ended(outcome, upstream.clock().unix_time());
        if let Some(on_call) = upstream.on_call() {
            on_call(&UpstreamCall {
                upstream: upstream.name(),
                kind: self.kind,
                duration: self.elapsed(),
                head: self.head,
                bytes: self.bytes,
                outcome,
                quota: upstream.monitor().quota().map(|quota| quota.limit),
            });
        }
    }

    fn elapsed(&self) -> Duration {
        self.upstream.clock().now().saturating_sub(self.begun)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.end(UpstreamOutcome::Abandoned);
    }
}
