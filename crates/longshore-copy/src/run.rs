//! Running a plan: the options, the workers and what they moved.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use longshore::Repository;
use longshore_store::Store;

use self::pool::TransferPool;
use self::transfer::Context;
use crate::cancellation::Cancellation;
use crate::error::TransferError;
use crate::observer::{ByteCounter, Event, Observer};
use crate::plan::PlannedBlob;

mod pool;
mod transfer;

/// How a plan runs.
#[derive(Clone)]
#[non_exhaustive]
pub struct RunOptions {
    /// Maximum number of large blobs (from 1 MiB) that move concurrently, each on a thread of its
    /// own. Up to eight times as many small blobs move alongside, at most 32, or `jobs` if that is
    /// more. The default is 4.
    pub jobs: NonZeroUsize,
    /// Takes the events of the run.
    pub observer: Option<Arc<dyn Observer>>,
    /// Ends the run early.
    pub cancellation: Cancellation,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            jobs: JOBS,
            observer: None,
            cancellation: Cancellation::new(),
        }
    }
}

impl fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions")
            .field("jobs", &self.jobs)
            .field("observer", &self.observer.is_some())
            .field("cancellation", &self.cancellation)
            .finish()
    }
}

/// The default number of large blobs that move concurrently.
const JOBS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

/// What was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// How many manifests and blobs were written to the destination.
    pub moved: u64,
    /// How many manifests and blobs the destination had already.
    pub present: u64,
    /// How many bytes were moved: those that an earlier run had kept are not among them.
    pub bytes: u64,
}

/// Moves the missing blobs.
pub(crate) async fn run(
    repository: Repository,
    store: Arc<dyn Store>,
    present: &[PlannedBlob],
    missing: Vec<PlannedBlob>,
    options: &RunOptions,
) -> Result<Tally, TransferError> {
    let sizes = missing.iter().map(|blob| blob.size);
    let (blobs, bytes) = (missing.len() as u64, sizes.fold(0, u64::saturating_add));
    let context = Context {
        repository,
        store,
        observer: options.observer.clone(),
        counter: ByteCounter::default(),
        resumed: ByteCounter::default(),
    };
    context.tell(Event::Planned {
        blobs,
        bytes,
        counter: &context.counter,
    });
    for blob in present {
        context.tell(Event::Skipped { blob });
    }
    let resumed = context.resumed.clone();
    let pool = TransferPool::new(context, options.jobs);
    pool.transfer(missing, &options.cancellation).await?;
    Ok(Tally {
        moved: blobs,
        present: present.len() as u64,
        bytes: bytes.saturating_sub(resumed.bytes()),
    })
}
