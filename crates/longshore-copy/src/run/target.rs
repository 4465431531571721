//! A destination while a plan runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{DestinationReport, Tally};
use crate::end::{BlobOutcome, End};
use crate::error::TransferError;
use crate::plan::PlannedDestination;

/// A destination while a plan runs.
pub(super) struct Target {
    pub(super) end: Arc<dyn End>,
    state: Mutex<State>,
}

struct State {
    tally: Tally,
    error: Option<TransferError>,
}

impl Target {
    pub(super) fn new(destination: &PlannedDestination) -> Self {
        let state = State {
            tally: destination.tally(),
            error: None,
        };
        Self {
            end: Arc::clone(destination.end()),
            state: Mutex::new(state),
        }
    }

    /// Returns whether the destination was given up.
    pub(super) fn has_failed(&self) -> bool {
        self.state().error.is_some()
    }

    /// Gives the destination up. The first error counts.
    pub(super) fn fail(&self, error: TransferError) {
        self.state().error.get_or_insert(error);
    }

    pub(super) fn count_existing(&self) {
        self.state().tally.present += 1;
    }

    pub(super) fn count_damaged(&self) {
        self.state().tally.replaced += 1;
    }

    /// Counts a manifest of this size in bytes that was written.
    pub(super) fn count_manifest(&self, bytes: u64) {
        self.count(BlobOutcome::Moved, bytes);
    }

    /// Counts a blob, of which this many bytes were moved.
    pub(super) fn count(&self, outcome: BlobOutcome, bytes: u64) {
        let tally = &mut self.state().tally;
        match outcome {
            BlobOutcome::Existing => tally.present += 1,
            BlobOutcome::Mounted => tally.mounted += 1,
            BlobOutcome::Moved => {
                tally.moved += 1;
                tally.bytes = tally.bytes.saturating_add(bytes);
            }
        }
    }

    pub(super) fn report(&self) -> DestinationReport {
        let mut state = self.state();
        DestinationReport {
            name: self.end.name(),
            tally: state.tally,
            error: state.error.take(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
