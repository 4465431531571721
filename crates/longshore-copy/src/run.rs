//! Running a plan: the options, the workers and what they moved.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use self::existing::Check;
use self::pool::TransferPool;
use self::target::Target;
use self::transfer::{Context, Job};
use crate::cancellation::{Cancellation, StopSender};
use crate::content::Counts;
use crate::error::TransferError;
use crate::observer::{Event, Observer};
use crate::plan::{BlobAction, Parts, Plan, bytes_of};

mod existing;
mod manifests;
mod pool;
mod target;
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
    /// Asks registries for the size and the last byte of each blob, to find those that store less
    /// than they acknowledge, or that have lost a blob and still list it. The plan must be made
    /// with the same value: it then names every blob, also those of an image that the registry has
    /// already. A blob that was there before the run and is not served is sent again.
    pub verify_after: bool,
    /// Whether to trust the blobs that a store on this machine has. As a source, a store then sends
    /// them without hashing. As a destination, it reuses blobs of the right size without hashing.
    /// By default they are hashed, unless the store has a record that they were verified and have
    /// not changed (DG10: what a pull names was verified).
    pub trust_existing: bool,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            jobs: JOBS,
            observer: None,
            cancellation: Cancellation::new(),
            trust_existing: false,
            verify_after: false,
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
            .field("verify_after", &self.verify_after)
            .finish()
    }
}

/// The default number of large blobs that move concurrently.
const JOBS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

/// The result of moving content to one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// How many manifests and blobs were written to the destination.
    pub moved: u64,
    /// How many manifests and blobs the destination had already.
    pub present: u64,
    /// How many blobs the registry took from another of its repositories.
    pub mounted: u64,
    /// How many of the moved blobs replaced a file with wrong content, or a blob that the registry
    /// did not serve.
    pub replaced: u64,
    /// Number of bytes that were moved, without those that an earlier run had kept.
    pub bytes: u64,
}

/// The result at one destination.
#[derive(Debug)]
#[non_exhaustive]
pub struct DestinationReport {
    /// The name of the end.
    pub name: String,
    /// What was moved to it.
    pub tally: Tally,
    /// Why the destination was given up. The copy to the others continued.
    pub error: Option<TransferError>,
}

/// Runs a plan.
pub(crate) async fn run(
    plan: Plan,
    options: &RunOptions,
) -> Result<Vec<DestinationReport>, TransferError> {
    let parts = plan.into_parts();
    let stop = StopSender::new();
    let targets = parts.destinations.iter();
    let targets = targets.map(|it| Target::new(it, options.jobs)).collect();
    let context = Arc::new(Context {
        source: Arc::clone(&parts.source),
        targets,
        failures: Arc::clone(&parts.failures),
        counts: Arc::new(Counts {
            observer: options.observer.clone(),
            ..Counts::default()
        }),
        interrupt: stop.interrupt().clone(),
        trusts_source: options.trust_existing && parts.source.store().is_some(),
        verify_after: options.verify_after,
    });
    let _closing = Closing(&context);
    let run = run_parts(&context, stop, parts, options).await;
    run.map_err(|error| context.failures.first_of(error))?;
    Ok(context.reports())
}

/// Ends the uploads that run on their own when the run is over or dropped (RT9).
struct Closing<'a>(&'a Context);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.targets.iter().for_each(Target::close);
    }
}

async fn run_parts(
    context: &Arc<Context>,
    stop: StopSender,
    parts: Parts,
    options: &RunOptions,
) -> Result<(), TransferError> {
    let (mut jobs, later, existing, listed) = jobs(context, &parts, options.trust_existing);
    jobs.extend(unless_cancelled(options, existing::find_lost(context, listed)).await?);
    context.counts.tell(Event::Planned {
        blobs: jobs.iter().filter(|job| job.moves).count() as u64,
        bytes: bytes_of(jobs.iter().filter(|job| job.moves).map(|job| &job.blob)),
        counter: &context.counts.bytes,
    });
    let pool = TransferPool::new(Arc::clone(context), stop, options.jobs);
    pool.transfer(jobs, later, existing, &options.cancellation)
        .await?;
    context.failures.unless_all()?;
    unless_cancelled(options, manifests::write(context, parts)).await
}

/// Sorts the blobs of a plan: those to move or mount, those to mount when these are done, those
/// whose content is to be hashed, and those whose registry is to be asked for them.
fn jobs(
    context: &Context,
    parts: &Parts,
    trust_existing: bool,
) -> (Vec<Job>, Vec<Job>, Vec<Check>, Vec<Check>) {
    let (mut jobs, mut later) = (Vec::new(), Vec::new());
    let (mut existing, mut listed) = (Vec::new(), Vec::new());
    for (place, blob) in parts.blobs.iter().enumerate() {
        let (mut now, mut after) = (Job::new(blob), Job::new(blob));
        for (number, destination) in parts.destinations.iter().enumerate() {
            if context.has_failed(number) {
                continue;
            }
            match destination.action(place) {
                BlobAction::Existing => {
                    let target = context.target(number);
                    let is_remote = destination.end().store().is_none();
                    let blob = blob.clone();
                    if is_remote && context.verify_after {
                        listed.push(Check { number, blob });
                    } else if is_remote || trust_existing {
                        target.count_existing();
                        context.counts.tell(Event::Skipped { blob: &blob });
                    } else {
                        existing.push(Check { number, blob });
                    }
                }
                BlobAction::Move => now.send(number),
                BlobAction::Mount { from, after: false } => now.mount(number, from),
                BlobAction::Mount { from, .. } => after.mount(number, from),
            }
        }
        jobs.extend(now.unless_empty());
        later.extend(after.unless_empty());
    }
    (jobs, later, existing, listed)
}

/// Does `work` unless the run is cancelled.
pub(crate) async fn unless_cancelled<T>(
    options: &RunOptions,
    work: impl Future<Output = Result<T, TransferError>>,
) -> Result<T, TransferError> {
    tokio::select! {
        biased;
        () = options.cancellation.cancelled() => Err(TransferError::Cancelled),
        result = work => result,
    }
}
