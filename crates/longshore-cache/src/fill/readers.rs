//! Who waits for a fill, or reads it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The readers of one fill, and those who wait until they can read.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    all: Mutex<All>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct All {
    next: u64,
    places: BTreeMap<u64, Place>,
}

/// What one of them needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The position of the next byte that it needs.
    pub(crate) position: u64,
    /// Whether it reads; otherwise it waits for the head, or for the end.
    pub(crate) is_reading: bool,
}

/// Names one of the readers of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReaderId(u64);

impl Readers {
    /// Adds one that may read from the first byte.
    pub(crate) fn enter(&self) -> ReaderId {
        let mut all = self.lock();
        let id = all.next;
        all.next += 1;
        let place = Place {
            position: 0,
            is_reading: false,
        };
        all.places.insert(id, place);
        drop(all);
        self.changed.notify_one();
        ReaderId(id)
    }

    /// States which byte a reader needs next.
    pub(crate) fn moved(&self, ReaderId(id): ReaderId, position: u64) {
        let is_reading = true;
        let place = Place {
            position,
            is_reading,
        };
        if let Some(known) = self.lock().places.get_mut(&id) {
            *known = place;
        }
        self.changed.notify_one();
    }

    pub(crate) fn leave(&self, ReaderId(id): ReaderId) {
        self.lock().places.remove(&id);
        self.changed.notify_one();
    }

    /// Lets the transfer look at the clock.
    #[cfg(test)]
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().places.is_empty()
    }

    /// Waits until one enters, leaves, or has moved. For one task: the transfer.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn places(&self) -> Vec<Place> {
        self.lock().places.values().copied().collect()
    }

    /// The values stay whole even if a thread panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
