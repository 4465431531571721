//! Time from tokio.

use std::time::Duration;

use longshore::transport::{Clock, Timer};
use tokio::time::{Instant, sleep};

/// A clock that starts when it is made and waits with the timers of tokio.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock(Instant);

impl Default for TokioClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Timer {
        Box::pin(async move { sleep(duration).await })
    }

    fn alarm(&self, duration: Duration) -> Timer {
        self.sleep(duration)
    }
}
