//! Running a plan: the options, the workers and what they moved.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use longshore::Repository;
use longshore_store::Store;

use self::pool::TransferPool;
use self::transfer::Context;
use crate::cancellation::{Cancellation, StopSender};
use crate::error::TransferError;
use crate::observer::{ByteCounter, Event, Observer};
use crate::plan::PlannedBlob;

mod existing;
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
    /// Reuses blobs that the store has with the right size without hashing them. By default they
    /// are hashed, unless the store knows that they were verified and have not changed (DG10: what
    /// a pull names was verified).
    pub trust_existing: bool,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            jobs: JOBS,
            observer: None,
            cancellation: Cancellation::new(),
            trust_existing: false,
        }
    }
}

impl fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions")
            .field("jobs", &self.jobs)
            .field("observer", &self.observer.is_some())
            .field("cancellation", &self.cancellation)
            .field("trust_existing", &self.trust_existing)
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
    /// How many of the moved blobs replaced a file with wrong content.
    pub replaced: u64,
    /// How many bytes were moved: those that an earlier run had kept are not among them.
    pub bytes: u64,
}

/// Checks the blobs that are present, and moves those that are missing or damaged.
pub(crate) async fn run(
    repository: Repository,
    store: Arc<dyn Store>,
    present: Vec<PlannedBlob>,
    missing: Vec<PlannedBlob>,
    options: &RunOptions,
) -> Result<Tally, TransferError> {
    let (blobs, bytes) = (missing.len() as u64, bytes_of(&missing));
    let stop = StopSender::new();
    let context = Context {
        repository,
        store: store.interruptible(stop.interrupt()),
        observer: options.observer.clone(),
        counter: ByteCounter::default(),
        resumed: ByteCounter::default(),
    };
    context.tell(Event::Planned {
        blobs,
        bytes,
        counter: &context.counter,
    });
    let (trusted, unchecked) = if options.trust_existing {
        (present, Vec::new())
    } else {
        (Vec::new(), present)
    };
    for blob in &trusted {
        context.tell(Event::Skipped { blob });
    }
    let present = (trusted.len() + unchecked.len()) as u64;
    let resumed = context.resumed.clone();
    let pool = TransferPool::new(context, stop, options.jobs);
    let again = pool
        .transfer(missing, unchecked, &options.cancellation)
        .await?;
    let bytes = bytes.saturating_add(again.bytes);
    Ok(Tally {
        moved: blobs + again.blobs,
        present: present - again.blobs,
        replaced: again.damaged,
        bytes: bytes.saturating_sub(resumed.bytes()),
    })
}

fn bytes_of(blobs: &[PlannedBlob]) -> u64 {
    let sizes = blobs.iter().map(|blob| blob.size);
    sizes.fold(0, u64::saturating_add)
}
