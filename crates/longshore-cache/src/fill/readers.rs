//! The readers of a fill, and the clients that wait to read it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The readers of one fill, and the clients that wait until they can read.
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

/// The position and state of one reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The position of the next byte that the reader needs.
    pub(crate) position: u64,
    /// Whether the reader has started to read; otherwise it waits for the head or the end.
    pub(crate) is_reading: bool,
}

/// The id of a reader of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReaderId(u64);

impl Readers {
    /// Adds a reader that may read from the first byte.
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

    /// Records the next byte that a reader needs.
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

    /// Wakes the transfer, so that it checks the time.
    #[cfg(test)]
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().places.is_empty()
    }

    /// Waits until a reader enters, leaves or moves. Only one task, the transfer, may wait.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn places(&self) -> Vec<Place> {
        self.lock().places.values().copied().collect()
    }

    /// The values stay consistent even if a thread panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
