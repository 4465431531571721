//! A destination while a plan runs.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::Tally;
use super::pool::SMALL_LIMIT;
use crate::end::{BlobOutcome, End};
use crate::error::TransferError;
use crate::plan::PlannedDestination;

/// A destination while a plan runs.
pub(super) struct Target {
    pub(super) end: Arc<dyn End>,
    tally: Mutex<Tally>,
    /// One permit for each upload that runs on its own.
    pub(super) room: Semaphore,
    /// The uploads that run on their own; `None` when the run is over.
    uploads: Mutex<Option<Uploads>>,
}

#[derive(Default)]
struct Uploads {
    running: JoinSet<()>,
    /// Whether one panicked.
    is_broken: bool,
}

impl Uploads {
    fn take(&mut self, ended: Result<(), JoinError>) {
        self.is_broken |= ended.is_err_and(|error| error.is_panic());
    }
}

impl Target {
    pub(super) fn new(destination: &PlannedDestination, jobs: NonZeroUsize) -> Self {
        let room = jobs.get().saturating_add(SMALL_LIMIT);
        Self {
            end: Arc::clone(destination.end()),
            tally: Mutex::new(destination.tally()),
            room: Semaphore::new(room.min(Semaphore::MAX_PERMITS)),
            uploads: Mutex::new(Some(Uploads::default())),
        }
    }

    /// Starts an upload that runs on its own; `None` when the run is over.
    pub(super) fn start(
        &self,
        upload: impl Future<Output = ()> + Send + 'static,
    ) -> Option<AbortHandle> {
        let mut uploads = self.uploads();
        let uploads = uploads.as_mut()?;
        while let Some(ended) = uploads.running.try_join_next() {
            uploads.take(ended);
        }
        Some(uploads.running.spawn(upload))
    }

    /// Waits until all uploads that were started have ended.
    ///
    /// # Errors
    ///
    /// [`TransferError::Worker`] if one panicked.
    pub(super) async fn finished(&self) -> Result<(), TransferError> {
        let started = self.uploads().as_mut().map(std::mem::take);
        let Some(mut started) = started else {
            return Ok(());
        };
        while let Some(ended) = started.running.join_next().await {
            started.take(ended);
        }
        if started.is_broken {
            return Err(TransferError::Worker);
        }
        Ok(())
    }

    /// Ends the uploads that run, because the destination was given up.
    pub(super) fn abort(&self) {
        if let Some(uploads) = self.uploads().as_mut() {
            uploads.running.abort_all();
        }
    }

    /// Ends all uploads, and lets no other one start.
    pub(super) fn close(&self) {
        drop(self.uploads().take());
    }

    fn uploads(&self) -> MutexGuard<'_, Option<Uploads>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
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
