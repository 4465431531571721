//! Whether a store can be written to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_store::{StoreError, StoreErrorKind};
use longshore_transport::Clock;

/// How long nothing is written after a write error: 10 s. Then one failed write costs little, and a
/// disk with room again is used soon.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The time between two log lines about write errors (CA9: one line a minute).
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Where the time comes from.
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
    /// Notes an error at this time, if it says that the store cannot be written to, and returns
    /// whether to log it.
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

    /// Notes that a blob was written.
    pub(super) fn succeeded(&mut self) {
        self.last_error = None;
    }

    /// Returns when the last write failed; `None` when one succeeded since.
    pub(super) fn last_error(&self) -> Option<Duration> {
        self.last_error
    }

    /// Returns whether nothing should be written at this time.
    pub(super) fn is_degraded(&self, now: Duration) -> bool {
        self.last_error
            .is_some_and(|last| now.saturating_sub(last) < RETRY_AFTER)
    }
}
