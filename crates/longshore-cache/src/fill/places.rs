//! The number of transfers that run concurrently.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::CONCURRENT_FILLS_TOTAL;
use crate::name::UpstreamName;

/// The places for running transfers: a number for each upstream, so that an upstream that hangs
/// does not take the places of the others, and a number for all of them.
#[derive(Debug)]
pub(super) struct Places {
    /// Number of places of each upstream.
    each: usize,
    total: Arc<Semaphore>,
    /// The places of the upstreams that have a transfer.
    upstreams: Mutex<HashMap<UpstreamName, Arc<Semaphore>>>,
}

/// The place of one transfer. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _of_upstream: OwnedSemaphorePermit,
    _of_total: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(each: usize) -> Self {
        let each = each.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            each,
            total: Arc::new(Semaphore::new(each.max(CONCURRENT_FILLS_TOTAL))),
            upstreams: Mutex::default(),
        }
    }

    /// Waits for a place for a transfer from this upstream.
    ///
    /// # Errors
    ///
    /// Never: the semaphores are not closed.
    pub(super) async fn take(&self, upstream: &UpstreamName) -> Result<Place, AcquireError> {
        // A transfer takes a place of its upstream first, so that those that wait take none of the
        // total.
        let of_upstream = self.of(upstream).acquire_owned().await?;
        let of_total = Arc::clone(&self.total).acquire_owned().await?;
        Ok(Place {
            _of_upstream: of_upstream,
            _of_total: of_total,
        })
    }

    fn of(&self, upstream: &UpstreamName) -> Arc<Semaphore> {
        let upstreams = self.upstreams.lock();
        let mut upstreams = upstreams.unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = upstreams.get(upstream) {
            return Arc::clone(places);
        }
        // Each place that is taken or awaited has a reference.
        upstreams.retain(|_, places| Arc::strong_count(places) > 1);
        let places = Arc::new(Semaphore::new(self.each));
        upstreams.insert(upstream.clone(), Arc::clone(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Takes a place that is free.
    fn take(places: &Places, upstream: &str) -> Option<Place> {
        let upstream = upstream.parse().unwrap();
        let taking = pin!(places.take(&upstream));
        match taking.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place.unwrap()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn ca5_each_upstream_has_places_of_its_own() {
        let places = Places::new(2);
        let first = [(); 2].map(|()| take(&places, "one.example").unwrap());
        assert!(take(&places, "one.example").is_none());
        let other = take(&places, "two.example").unwrap();
        drop(first);
        assert!(take(&places, "one.example").is_some());
        drop(other);
        assert!(take(&places, "three.example").is_some());
        let known = places.upstreams.lock().unwrap();
        assert_eq!(known.len(), 1, "{known:?}");
    }

    #[test]
    fn ca5_all_upstreams_have_a_limit_too() {
        let places = Places::new(CONCURRENT_FILLS_TOTAL / 2);
        let take_all =
            |upstream| -> Vec<Place> { std::iter::from_fn(|| take(&places, upstream)).collect() };
        let (one, two) = (take_all("one.example"), take_all("two.example"));
        assert_eq!(one.len() + two.len(), CONCURRENT_FILLS_TOTAL);
        assert!(take(&places, "three.example").is_none());
        drop(one);
        assert!(take(&places, "three.example").is_some());
    }
}
