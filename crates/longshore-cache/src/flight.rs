//! Concurrent callers that need the same result share one task.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Work in flight, by key.
///
/// The first caller starts the work in a separate task; later callers join it. The work continues
/// when callers stop waiting.
pub(crate) struct Flights<K, V> {
    running: Arc<Mutex<HashMap<K, Flight<V>>>>,
}

/// A handle to work in flight and its result.
pub(crate) struct Flight<V> {
    result: watch::Receiver<Option<V>>,
    began: Duration,
}

impl<V> Clone for Flight<V> {
    fn clone(&self) -> Self {
        Self {
            result: self.result.clone(),
            began: self.began,
        }
    }
}

impl<V: Clone> Flight<V> {
    /// When the work began, by the clock of the caller that started it.
    pub(crate) const fn began(&self) -> Duration {
        self.began
    }

    /// The result, if the work has ended.
    pub(crate) fn ready(&self) -> Option<V> {
        self.result.borrow().clone()
    }

    /// Waits for the result. `None` if the work ended without one: its runtime is shutting down, or
    /// it panicked.
    pub(crate) async fn result(mut self) -> Option<V> {
        let ended = self.result.wait_for(Option::is_some).await;
        ended.ok().and_then(|value| value.clone())
    }
}

impl<K, V> Flights<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// No work yet.
    pub(crate) fn new() -> Self {
        Self {
            running: Arc::default(),
        }
    }

    /// Joins the work for `key`, or starts it; `now` is recorded as its start.
    pub(crate) fn join<F>(&self, key: &K, now: Duration, work: impl FnOnce() -> F) -> Flight<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut running = lock(&self.running);
        if let Some(flight) = running.get(key) {
            return flight.clone();
        }
        let (sender, receiver) = watch::channel(None);
        let flight = Flight {
            result: receiver,
            began: now,
        };
        running.insert(key.clone(), flight.clone());
        let guard = RemovalGuard {
            running: Arc::clone(&self.running),
            key: key.clone(),
        };
        let work = work();
        tokio::spawn(async move {
            let value = work.await;
            // A caller that comes after the result starts new work.
            drop(guard);
            sender.send_replace(Some(value));
        });
        flight
    }
}

/// Removes work from the map when it ends, even if it panicked.
struct RemovalGuard<K: Hash + Eq, V> {
    running: Arc<Mutex<HashMap<K, Flight<V>>>>,
    key: K,
}

impl<K: Hash + Eq, V> Drop for RemovalGuard<K, V> {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[tokio::test]
    async fn everybody_gets_the_result_of_one_run() {
        let (flights, runs) = (Flights::new(), Arc::new(AtomicUsize::new(0)));
        let (go, gone) = oneshot::channel::<()>();
        let mut gone = Some(gone);
        let mut joined = Vec::new();
        for _ in 0..8 {
            let (runs, gone) = (Arc::clone(&runs), gone.take());
            joined.push(flights.join(&"key", NOW, || async move {
                if let Some(gone) = gone {
                    let _ = gone.await;
                }
                runs.fetch_add(1, Ordering::SeqCst)
            }));
        }
        drop(joined.pop());
        go.send(()).unwrap();
        for flight in joined {
            assert_eq!(flight.result().await, Some(0));
        }
        let again = flights.join(&"key", NOW, || async { 7 });
        assert_eq!(again.result().await, Some(7));
    }

    #[tokio::test]
    async fn work_that_panics_ends_without_a_result_and_can_be_started_again() {
        let flights = Flights::<_, usize>::new();
        let flight = flights.join(&1, NOW, || async { panic!("as the test wants") });
        assert_eq!(flight.result().await, None);
        let again = flights.join(&1, NOW, || async { 7 });
        assert_eq!(again.result().await, Some(7));
    }
}
