//! Time as the client sees it.

use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "test-util")]
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(feature = "test-util")]
use std::sync::{Mutex, MutexGuard, PoisonError};
#[cfg(feature = "test-util")]
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A future that ends when its time has come.
pub type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells the time and wakes the client later.
///
/// Waiting and limiting are two methods, so that a test clock can end every wait at once and
/// still hold every limit: no test sleeps, and none depends on how fast it runs.
pub trait Clock: Send + Sync + 'static {
    /// The time since a start of the clock's choosing; never goes back.
    fn now(&self) -> Duration;

    /// The time since 1970 (Unix time), by the clock of the system.
    ///
    /// It is only used to compute how far in the future a `Retry-After` date is when the server
    /// sends no `Date`.
    fn unix_time(&self) -> Duration {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.unwrap_or_default()
    }

    /// Ends after `duration`: a wait that was decided, as between two attempts.
    fn sleep(&self, duration: Duration) -> Timer;

    /// Ends after `duration`: the limit of something that should be over before.
    fn alarm(&self, duration: Duration) -> Timer;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Duration {
        (**self).now()
    }

    fn unix_time(&self) -> Duration {
        (**self).unix_time()
    }

    fn sleep(&self, duration: Duration) -> Timer {
        (**self).sleep(duration)
    }

    fn alarm(&self, duration: Duration) -> Timer {
        (**self).alarm(duration)
    }
}

/// A clock for tests: waits end at once and move the time on; alarms ring on command.
///
/// Clones share the time.
#[cfg(feature = "test-util")]
#[derive(Clone, Debug, Default)]
pub struct TestClock(Arc<Times>);

#[cfg(feature = "test-util")]
#[derive(Debug, Default)]
struct Times {
    now: Mutex<Duration>,
    slept: Mutex<Vec<Duration>>,
    ringing: AtomicBool,
}

#[cfg(feature = "test-util")]
impl TestClock {
    /// Moves the time on.
    pub fn advance(&self, by: Duration) {
        *lock(&self.0.now) += by;
    }

    /// The waits that were asked for so far, in order.
    #[must_use]
    pub fn slept(&self) -> Vec<Duration> {
        lock(&self.0.slept).clone()
    }

    /// From now on an alarm that somebody waits for rings at once and moves the time on (`true`),
    /// or never rings (`false`).
    pub fn ring(&self, ringing: bool) {
        self.0.ringing.store(ringing, Ordering::SeqCst);
    }
}

#[cfg(feature = "test-util")]
impl Clock for TestClock {
    fn now(&self) -> Duration {
        *lock(&self.0.now)
    }

    /// Starts at 1994-11-06 08:49:37, the example of RFC 9110 §5.6.7.
    fn unix_time(&self) -> Duration {
        Duration::from_secs(784_111_777) + self.now()
    }

    fn sleep(&self, duration: Duration) -> Timer {
        lock(&self.0.slept).push(duration);
        self.advance(duration);
        Box::pin(std::future::ready(()))
    }

    fn alarm(&self, duration: Duration) -> Timer {
        let clock = self.clone();
        // Looks when it is waited for: what is over before its alarm is looked at took no time.
        Box::pin(std::future::poll_fn(move |_| {
            if !clock.0.ringing.load(Ordering::SeqCst) {
                return Poll::Pending;
            }
            clock.advance(duration);
            Poll::Ready(())
        }))
    }
}

/// The values stay whole whatever panicked beside them.
#[cfg(feature = "test-util")]
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
