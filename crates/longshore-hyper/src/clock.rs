//! Time from tokio.

use std::time::Duration;

use longshore_transport::{Clock, Timer};
use tokio::time::Instant;

/// A clock that begins when it is made and waits with tokio's timers.
///
/// Waits must be awaited inside a tokio runtime with its time driver enabled.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: Instant,
}

impl TokioClock {
    /// A clock that begins now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Timer {
        // Not `Box::pin(sleep(..))`: that would need the runtime already here.
        Box::pin(async move { tokio::time::sleep(duration).await })
    }

    fn alarm(&self, duration: Duration) -> Timer {
        self.sleep(duration)
    }
}
