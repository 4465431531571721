//! How many requests one origin gets at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use longshore_origin::Origin;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests in flight per registry origin, bodies included (LI2: with a transport that buffers
/// at most 2 MiB a request, this bounds the memory of all transfers to 64 MiB an origin).
pub const REQUESTS_PER_ORIGIN: usize = 32;

/// Requests in flight, by origin.
#[derive(Debug)]
pub(crate) struct Limit {
    each: usize,
    origins: Mutex<HashMap<Origin, Arc<Semaphore>>>,
}

impl Limit {
    pub(crate) fn new(each: usize) -> Self {
        Self {
            each: each.clamp(1, Semaphore::MAX_PERMITS),
            origins: Mutex::default(),
        }
    }

    /// Waits for room; the permit makes room again when it is dropped.
    pub(crate) async fn acquire(&self, origin: &Origin) -> Permit {
        let semaphore = {
            let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = || Arc::new(Semaphore::new(self.each));
            Arc::clone(origins.entry(origin.clone()).or_insert_with(fresh))
        };
        // The semaphores are never closed, so there always is a permit in the end.
        Permit(semaphore.acquire_owned().await.ok())
    }
}

/// Room for one request, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(#[expect(dead_code, reason = "held")] Option<OwnedSemaphorePermit>);

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn try_now<F: Future>(future: F) -> Option<F::Output> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    // LI2
    #[test]
    fn li2_a_permit_makes_room_when_it_is_dropped() {
        let limit = Limit::new(2);
        let origin: Origin = "https://a.example".parse().unwrap();
        let first = try_now(limit.acquire(&origin)).unwrap();
        let _second = try_now(limit.acquire(&origin)).unwrap();
        assert!(try_now(limit.acquire(&origin)).is_none());
        drop(first);
        assert!(try_now(limit.acquire(&origin)).is_some());
    }

    #[test]
    fn origins_do_not_share_and_none_is_shut_out() {
        let limit = Limit::new(0);
        let origin = |text: &str| text.parse::<Origin>().unwrap();
        let _a = try_now(limit.acquire(&origin("https://a.example"))).unwrap();
        assert!(try_now(limit.acquire(&origin("https://a.example"))).is_none());
        assert!(try_now(limit.acquire(&origin("http://a.example"))).is_some());
    }

    // RT9: whoever stops waiting is not served.
    #[test]
    fn rt9_a_dropped_wait_takes_no_room() {
        let limit = Limit::new(1);
        let origin: Origin = "https://a.example".parse().unwrap();
        let held = try_now(limit.acquire(&origin)).unwrap();
        assert!(try_now(limit.acquire(&origin)).is_none());
        drop(held);
        assert!(try_now(limit.acquire(&origin)).is_some());
    }
}
