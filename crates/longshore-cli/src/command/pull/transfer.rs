//! Moving blobs: registry → verifier → store.
//!
//! A large blob gets a thread that may block, which drives the stream, hashes and writes in
//! place: no channel, no copy between threads. Small ones share two such threads, each of which
//! drives several at once, so that hashing and writing do not wait for the thread that reads
//! the sockets, nor it for them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use longshore::Repository;
use longshore_store::{FsStore, Store as _, StoreErrorKind};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, LocalSet};

use super::plan::{Part, Plan};
use crate::exit::Failure;
use crate::progress::{Moved, draw};

/// From this size on a blob gets a thread of its own.
const LARGE_BYTES: u64 = 1024 * 1024;

/// So many small blobs move for each large one that may, but no more than [`SMALL_LIMIT`].
const SMALL_PER_LARGE: usize = 8;

/// More small requests at once gain nothing on one connection pool.
const SMALL_LIMIT: usize = 32;

/// So many small blobs are asked for at once at first. Each connection costs a handshake and
/// buffers, and where answers come at once these are enough.
const SMALL_FIRST: usize = 8;

/// Whenever a small blob takes longer than this, one more is asked for at once: it is the
/// answers that are waited for.
const SLOW: Duration = Duration::from_millis(5);

/// The threads that move small blobs.
const SMALL_THREADS: u32 = 2;

/// A thread for fewer small blobs is not worth starting.
const SMALL_PER_THREAD: usize = 16;

/// More threads than these are not started at once, however many jobs are allowed.
const LARGE_LIMIT: u32 = 512;

/// How blobs are moved, and whether they still are.
pub(super) struct Moving {
    /// Each thread that moves a large blob holds one permit of these.
    large: Arc<Semaphore>,
    threads: u32,
    /// Each thread that moves small ones holds one permit of these.
    small: Arc<Semaphore>,
    /// So many small blobs are asked for at once at most.
    small_limit: usize,
    stopped: watch::Sender<bool>,
}

/// What was moved.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary {
    pub(super) moved: u64,
    pub(super) present: u64,
    pub(super) bytes: u64,
}

impl Moving {
    pub(super) fn new(jobs: usize) -> Self {
        let threads = u32::try_from(jobs).map_or(LARGE_LIMIT, |jobs| jobs.min(LARGE_LIMIT));
        let small_limit = jobs
            .saturating_mul(SMALL_PER_LARGE)
            .min(SMALL_LIMIT.max(jobs));
        Self {
            large: Arc::new(Semaphore::new(threads as usize)),
            threads,
            small: Arc::new(Semaphore::new(SMALL_THREADS as usize)),
            small_limit,
            stopped: watch::Sender::new(false),
        }
    }

    /// From now on no blob is begun or gone on with; what came of a large one is kept for the
    /// next run, out of sight.
    ///
    /// Ends when every thread has: they need the runtime, so it must not end before them.
    pub(super) async fn stop(&self) {
        self.stopped.send_replace(true);
        // The semaphores are never closed.
        let _ = self.large.acquire_many(self.threads).await;
        let _ = self.small.acquire_many(SMALL_THREADS).await;
    }

    /// Moves every blob of the plan that is not there yet.
    pub(super) async fn fetch(
        &self,
        repository: &Repository,
        store: &FsStore,
        plan: Plan,
        what: String,
    ) -> Result<Summary, Failure> {
        let mut summary = Summary {
            moved: plan.manifests,
            present: plan.present,
            bytes: plan.bytes,
        };
        let mut missing = Vec::new();
        for blob in plan.blobs {
            if store.reuse(&blob.digest, blob.size)? {
                summary.present += 1;
            } else {
                missing.push(blob);
            }
        }
        summary.moved += missing.len() as u64;
        let total = missing
            .iter()
            .map(|blob| blob.size)
            .fold(0, u64::saturating_add);
        let moved = Moved::default();
        let kept = Moved::default();
        tokio::select! {
            done = self.fetch_all(repository, store, missing, &moved, &kept) => done?,
            () = draw(moved.clone(), total, what) => {}
        }
        summary.bytes = summary
            .bytes
            .saturating_add(total.saturating_sub(kept.bytes()));
        Ok(summary)
    }

    async fn fetch_all(
        &self,
        repository: &Repository,
        store: &FsStore,
        blobs: Vec<Part>,
        moved: &Moved,
        kept: &Moved,
    ) -> Result<(), Failure> {
        let (large, small): (VecDeque<_>, VecDeque<_>) =
            blobs.into_iter().partition(|blob| blob.size >= LARGE_BYTES);
        let way = Way {
            repository: repository.clone(),
            store: store.clone(),
            moved: moved.clone(),
            kept: kept.clone(),
            stopped: self.stopped.subscribe(),
        };
        let mut running: JoinSet<Result<(), Failure>> = JoinSet::new();
        let threads = small.len().div_ceil(SMALL_PER_THREAD);
        let threads = threads.min(SMALL_THREADS as usize);
        let small = Arc::new(Mutex::new(small));
        for _ in 0..threads {
            let permit = Arc::clone(&self.small).acquire_owned().await.ok();
            let limit = self.small_limit.div_ceil(threads);
            let (handle, small, way) = (Handle::current(), Arc::clone(&small), way.clone());
            running.spawn_blocking(move || {
                let _permit = permit;
                let moving = move_small(&small, &way, SMALL_FIRST.div_ceil(threads), limit);
                handle.block_on(LocalSet::new().run_until(moving))
            });
        }
        for blob in large {
            // The semaphore is never closed. A blob that fails while we wait ends it all.
            let permit = loop {
                tokio::select! {
                    permit = Arc::clone(&self.large).acquire_owned() => break permit.ok(),
                    Some(done) = running.join_next() => done.map_err(Failure::task)??,
                }
            };
            let (handle, way) = (Handle::current(), way.clone());
            running.spawn_blocking(move || {
                let _permit = permit;
                handle.block_on(way.fetch(blob))
            });
        }
        while let Some(done) = running.join_next().await {
            done.map_err(Failure::task)??;
        }
        Ok(())
    }
}

/// Moves small blobs until none is waiting: `at_once` at first, up to `limit` where answers take
/// their time.
async fn move_small(
    waiting: &Mutex<VecDeque<Part>>,
    way: &Way,
    mut at_once: usize,
    limit: usize,
) -> Result<(), Failure> {
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    };
    let mut running = JoinSet::new();
    loop {
        while running.len() < at_once.min(limit)
            && let Some(blob) = next()
        {
            let (way, began) = (way.clone(), Instant::now());
            running.spawn_local(async move { way.fetch(blob).await.map(|()| began.elapsed()) });
        }
        match running.join_next().await {
            Some(done) => {
                if done.map_err(Failure::task)?? > SLOW {
                    at_once += 1;
                }
            }
            None => return Ok(()),
        }
    }
}

/// The way a blob goes.
#[derive(Clone)]
struct Way {
    repository: Repository,
    store: FsStore,
    moved: Moved,
    /// What was there of blobs from an earlier run.
    kept: Moved,
    stopped: watch::Receiver<bool>,
}

impl Way {
    /// Fetches the blob, and once more if what came is not what it should be (RT2).
    async fn fetch(mut self, blob: Part) -> Result<(), Failure> {
        match self.attempt(&blob).await {
            Err(Attempt::Mismatch(_)) => match self.attempt(&blob).await {
                Err(Attempt::Mismatch(failure) | Attempt::Failed(failure)) => Err(failure),
                Ok(()) => Ok(()),
            },
            Err(Attempt::Failed(failure)) => Err(failure),
            Ok(()) => Ok(()),
        }
    }

    /// A large blob goes on from what an earlier run kept of it; the store hashes that again.
    async fn attempt(&mut self, blob: &Part) -> Result<(), Attempt> {
        let (digest, size) = (&blob.digest, blob.size);
        let mut writer = if size >= LARGE_BYTES {
            self.store.resume(digest, size)?
        } else {
            self.store.begin(digest, Some(size))?
        };
        let kept = writer.position();
        self.moved.add(kept);
        self.kept.add(kept);
        let mut frames = self.repository.blob_frames_from(digest, Some(size), kept);
        loop {
            let frame = tokio::select! {
                biased;
                _ = self.stopped.wait_for(|stopped| *stopped) => {
                    return Err(Attempt::Failed(Failure::given_up()));
                }
                frame = frames.next() => frame,
            };
            match frame {
                Some(bytes) => {
                    let bytes = bytes.map_err(Failure::from)?;
                    self.moved.add(bytes.len() as u64);
                    writer.write(&bytes)?;
                }
                None => break,
            }
        }
        let position = writer.position();
        writer.commit().map_err(|error| {
            self.moved.take_back(position);
            self.kept.take_back(kept);
            Attempt::from(error)
        })
    }
}

/// Why one attempt at a blob failed.
enum Attempt {
    Failed(Failure),
    Mismatch(Failure),
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<longshore_store::StoreError> for Attempt {
    fn from(error: longshore_store::StoreError) -> Self {
        let mismatch = error.kind() == StoreErrorKind::Content;
        let failure = Failure::from(error);
        if mismatch {
            Self::Mismatch(failure)
        } else {
            Self::Failed(failure)
        }
    }
}
