//! The threads that move blobs.
//!
//! A large blob has a thread that may block, which drives the stream, hashes and writes in place:
//! there is no channel and no copy between threads. Small blobs share two such threads, each of
//! which drives several at once, so that hashing and writing do not wait for the thread that reads
//! the sockets, and that thread does not wait for them.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet, LocalSet};

use super::existing::{self, Check, Unchecked};
use super::transfer::{Context, Job, Transfer};
use crate::cancellation::{Cancellation, StopSender};
use crate::end::stored::RESUMED_BYTES;
use crate::error::TransferError;

/// Minimum size of a blob that gets a thread of its own, in bytes.
const LARGE_BYTES: u64 = RESUMED_BYTES;

/// Number of small blobs that may move for each large one, up to [`SMALL_LIMIT`].
const SMALL_PER_LARGE: usize = 8;

/// Maximum number of concurrent small blobs, unless more jobs are allowed: more requests gain
/// nothing on one connection pool.
pub(super) const SMALL_LIMIT: usize = 32;

/// Number of small blobs that move concurrently at the start between a registry and a store on this
/// machine. Each connection costs a handshake and buffers, and this number is enough if answers are
/// fast. An upload waits for several answers, so it starts with the maximum number.
const SMALL_AT_START: usize = 8;

/// If a small blob takes longer than this, answers are slow, and one more blob is moved
/// concurrently from then on.
const SLOW: Duration = Duration::from_millis(5);

/// Maximum number of threads that move small blobs.
const SMALL_THREADS: usize = 2;

/// Number of small blobs that justify starting a thread.
const SMALL_PER_THREAD: usize = 16;

/// Maximum number of threads for large blobs, however many jobs are allowed.
const LARGE_LIMIT: usize = 512;

/// The workers of one run. Dropping it stops them.
pub(super) struct TransferPool {
    context: Arc<Context>,
    stop: StopSender,
    workers: JoinSet<Result<(), TransferError>>,
    /// One permit for each thread that moves a large blob.
    large: Arc<Semaphore>,
    /// Maximum number of concurrent small blobs.
    small_limit: usize,
}

impl TransferPool {
    /// Makes the workers. They end when `stop` is signalled.
    pub(super) fn new(context: Arc<Context>, stop: StopSender, jobs: NonZeroUsize) -> Self {
        let jobs = jobs.get();
        Self {
            context,
            stop,
            workers: JoinSet::new(),
            large: Arc::new(Semaphore::new(jobs.min(LARGE_LIMIT))),
            small_limit: jobs
                .saturating_mul(SMALL_PER_LARGE)
                .min(SMALL_LIMIT.max(jobs)),
        }
    }

    /// Moves blobs, and checks existing ones concurrently. Then moves existing blobs that cannot be
    /// reused, and last the `later` blobs. When this returns, every thread has ended.
    pub(super) async fn transfer(
        mut self,
        jobs: Vec<Job>,
        later: Vec<Job>,
        existing: Vec<Check>,
        cancellation: &Cancellation,
    ) -> Result<(), TransferError> {
        let result = tokio::select! {
            biased;
            () = cancellation.cancelled() => Err(TransferError::Cancelled),
            result = self.check_and_transfer(jobs, later, existing) => result,
        };
        self.stop.stop();
        while self.workers.join_next().await.is_some() {}
        result
    }

    async fn check_and_transfer(
        &mut self,
        jobs: Vec<Job>,
        later: Vec<Job>,
        existing: Vec<Check>,
    ) -> Result<(), TransferError> {
        let unchecked = Arc::new(Unchecked::new(existing));
        for _ in 0..unchecked.threads() {
            let (context, unchecked) = (Arc::clone(&self.context), Arc::clone(&unchecked));
            self.workers
                .spawn_blocking(move || existing::check(&context, &unchecked));
        }
        self.transfer_all(jobs).await?;
        self.transfer_all(unchecked.take_useless()).await?;
        if later.is_empty() {
            return Ok(());
        }
        // They are taken from what was sent to other repositories.
        for target in &self.context.targets {
            target.finished().await?;
        }
        self.transfer_all(later).await
    }

    async fn transfer_all(&mut self, jobs: Vec<Job>) -> Result<(), TransferError> {
        // A job that only mounts is one small request, whatever the size of its blob.
        let (large, small): (VecDeque<_>, VecDeque<_>) = jobs
            .into_iter()
            .partition(|job| job.moves && job.blob.size >= LARGE_BYTES);
        self.start_small(small);
        for job in large {
            // The semaphore is never closed. A transfer that fails ends all others.
            let permit = loop {
                tokio::select! {
                    permit = Arc::clone(&self.large).acquire_owned() => break permit.ok(),
                    Some(ended) = self.workers.join_next() => result_of(ended)?,
                }
            };
            let (handle, transfer) = (Handle::current(), self.one());
            self.workers.spawn_blocking(move || {
                let _permit = permit;
                handle.block_on(transfer.run(job))
            });
        }
        while let Some(ended) = self.workers.join_next().await {
            result_of(ended)?;
        }
        Ok(())
    }

    /// Starts the threads for small blobs.
    fn start_small(&mut self, jobs: VecDeque<Job>) {
        let threads = jobs.len().div_ceil(SMALL_PER_THREAD).min(SMALL_THREADS);
        let waiting = Arc::new(Mutex::new(jobs));
        for _ in 0..threads {
            let at_start = if self.context.uploads() {
                self.small_limit
            } else {
                SMALL_AT_START
            };
            let (at_start, limit) = (
                at_start.div_ceil(threads),
                self.small_limit.div_ceil(threads),
            );
            let (handle, waiting, transfer) = (Handle::current(), Arc::clone(&waiting), self.one());
            self.workers.spawn_blocking(move || {
                let moving = transfer_small(&waiting, &transfer, at_start, limit);
                handle.block_on(LocalSet::new().run_until(moving))
            });
        }
    }

    fn one(&self) -> Transfer {
        Transfer::new(Arc::clone(&self.context), self.stop.subscribe())
    }
}

/// Moves small blobs until none is waiting: `concurrent` at the start, and up to `limit` where
/// answers are slow.
async fn transfer_small(
    waiting: &Mutex<VecDeque<Job>>,
    transfer: &Transfer,
    mut concurrent: usize,
    limit: usize,
) -> Result<(), TransferError> {
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    };
    let mut running = JoinSet::new();
    loop {
        while running.len() < concurrent.min(limit)
            && let Some(job) = next()
        {
            let (transfer, started) = (transfer.clone(), Instant::now());
            running.spawn_local(async move {
                transfer.run(job).await?;
                Ok(started.elapsed())
            });
        }
        let Some(ended) = running.join_next().await else {
            return Ok(());
        };
        if result_of(ended)? > SLOW {
            concurrent += 1;
        }
    }
}

fn result_of<T>(ended: Result<Result<T, TransferError>, JoinError>) -> Result<T, TransferError> {
    ended.unwrap_or(Err(TransferError::Worker))
}
