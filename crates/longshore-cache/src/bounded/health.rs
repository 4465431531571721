//! Whether a store can be written to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_store::{StoreError, StoreErrorKind};
use longshore_transport::Clock;

/// Pause of writes after a write error: 10 s. Failed writes are rare then, and a disk that has room
/// again is soon used.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Minimum time between two log lines about write errors (CA9: one line a minute).
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The source of the time.
pub(super) enum Time {
    System(Instant),
    Injected(Arc<dyn Clock>),
}

impl Time {
    pub(super) fn now(&self) -> Duration {
        match self {
            Self::System(start) => start.elapsed(),
            Self::Injected(clock) => clock.now(),
        }
    }
}

/// The write errors of a store.
#[derive(Debug, Default)]
pub(super) struct WriteHealth {
    last_error: Option<Duration>,
    last_logged: Option<Duration>,
}

impl WriteHealth {
    /// Records an error at this time, if the error means that the store cannot be written to.
    /// Returns whether to log the error.
    pub(super) fn note(&mut self, error: &StoreError, now: Duration) -> bool {
        match error.kind() {
            StoreErrorKind::Abandoned
            | StoreErrorKind::Absent
            | StoreErrorKind::Content
            | StoreErrorKind::Interrupted
            | StoreErrorKind::Unsupported => return false,
            _ => self.last_error = Some(now),
        }
        let quiet = |last| now.saturating_sub(last) < LOG_INTERVAL;
        let logs = !self.last_logged.is_some_and(quiet);
        if logs {
            self.last_logged = Some(now);
        }
        logs
    }

    /// Records that a blob was written.
    pub(super) fn succeeded(&mut self) {
        self.last_error = None;
    }

    /// Returns when the last write failed; `None` when one succeeded since.
    pub(super) fn last_error(&self) -> Option<Duration> {
        self.last_error
    }

    /// Returns whether writes are paused at this time.
    pub(super) fn is_degraded(&self, now: Duration) -> bool {
        self.last_error
            .is_some_and(|last| now.saturating_sub(last) < RETRY_AFTER)
    }
}
