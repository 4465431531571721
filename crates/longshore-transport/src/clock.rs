//! Time as the client sees it.

use std::pin::Pin;
use std::time::Duration;

/// A future that ends when its time has come.
pub type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells the time and wakes the client later.
///
/// Waiting and limiting are two methods, so that a test clock can end every wait at once and
/// still hold every limit: no test sleeps, and none depends on how fast it runs.
pub trait Clock: Send + Sync + 'static {
    /// The time since a start of the clock's choosing; never goes back.
    fn now(&self) -> Duration;

    /// Ends after `duration`: a wait that was decided, as between two attempts.
    fn sleep(&self, duration: Duration) -> Timer;

    /// Ends after `duration`: the limit of something that should be over before.
    fn alarm(&self, duration: Duration) -> Timer;
}

/// A clock for tests: waits end at once and move the time on; alarms never ring.
#[cfg(feature = "test-util")]
#[derive(Debug, Default)]
pub struct TestClock {
    now: std::sync::Mutex<Duration>,
    slept: std::sync::Mutex<Vec<Duration>>,
    ringing: std::sync::atomic::AtomicBool,
}

#[cfg(feature = "test-util")]
impl TestClock {
    /// Moves the time on.
    ///
    /// # Panics
    ///
    /// When another thread panicked while it held the clock.
    #[expect(
        clippy::expect_used,
        reason = "a poisoned test clock means a failed test"
    )]
    pub fn advance(&self, by: Duration) {
        *self.now.lock().expect("the test clock is not poisoned") += by;
    }

    /// The waits that were asked for so far, in order.
    ///
    /// # Panics
    ///
    /// When another thread panicked while it held the clock.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a poisoned test clock means a failed test"
    )]
    pub fn slept(&self) -> Vec<Duration> {
        self.slept
            .lock()
            .expect("the test clock is not poisoned")
            .clone()
    }

    /// From now on every alarm rings at once and moves the time on (`true`), or never rings
    /// (`false`).
    pub fn ring(&self, ringing: bool) {
        self.ringing
            .store(ringing, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(feature = "test-util")]
impl Clock for TestClock {
    #[expect(
        clippy::expect_used,
        reason = "a poisoned test clock means a failed test"
    )]
    fn now(&self) -> Duration {
        *self.now.lock().expect("the test clock is not poisoned")
    }

    #[expect(
        clippy::expect_used,
        reason = "a poisoned test clock means a failed test"
    )]
    fn sleep(&self, duration: Duration) -> Timer {
        self.slept
            .lock()
            .expect("the test clock is not poisoned")
            .push(duration);
        self.advance(duration);
        Box::pin(std::future::ready(()))
    }

    fn alarm(&self, duration: Duration) -> Timer {
        if self.ringing.load(std::sync::atomic::Ordering::SeqCst) {
            self.advance(duration);
            Box::pin(std::future::ready(()))
        } else {
            Box::pin(std::future::pending())
        }
    }
}
