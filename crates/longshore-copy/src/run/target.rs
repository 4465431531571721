//! A destination while a plan runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Tally;
use crate::end::{BlobOutcome, End};
use crate::plan::PlannedDestination;

/// A destination while a plan runs.
pub(super) struct Target {
    pub(super) end: Arc<dyn End>,
    tally: Mutex<Tally>,
}

impl Target {
    pub(super) fn new(destination: &PlannedDestination) -> Self {
        Self {
            end: Arc::clone(destination.end()),
            tally: Mutex::new(destination.tally()),
        }
    }

    pub(super) fn count_existing(&self) {
        self.lock().present += 1;
    }

    pub(super) fn count_damaged(&self) {
        self.lock().replaced += 1;
    }

    /// Counts a manifest of this size in bytes that was written.
    pub(super) fn count_manifest(&self, bytes: u64) {
        self.count(BlobOutcome::Moved, bytes);
    }

    /// Counts a blob, of which this many bytes were moved.
    pub(super) fn count(&self, outcome: BlobOutcome, bytes: u64) {
        let mut tally = self.lock();
        match outcome {
            BlobOutcome::Existing => tally.present += 1,
            BlobOutcome::Mounted => tally.mounted += 1,
            BlobOutcome::Moved => {
                tally.moved += 1;
                tally.bytes = tally.bytes.saturating_add(bytes);
            }
        }
    }

    pub(super) fn tally(&self) -> Tally {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
