//! Moving blobs: registry → verifier → store.
//!
//! A large blob gets a thread that may block, which drives the stream, hashes and writes in
//! place: no channel, no copy between threads. A small one is written where it arrives.

use std::sync::Arc;

use longshore::Repository;
use longshore_store::{FsStore, Store as _, StoreErrorKind};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::plan::{Part, Plan};
use crate::exit::Failure;
use crate::progress::{Moved, draw};

/// From this size on a blob gets a thread of its own.
const LARGE_BYTES: u64 = 1024 * 1024;

/// So many small blobs move for each large one that may, but no more than [`SMALL_LIMIT`].
const SMALL_PER_LARGE: usize = 8;

/// More small requests at once gain nothing on one connection pool.
const SMALL_LIMIT: usize = 32;

/// More threads than these are not started at once, however many jobs are allowed.
const LARGE_LIMIT: u32 = 512;

/// How blobs are moved, and whether they still are.
pub(super) struct Moving {
    /// Each thread that moves a large blob holds one permit of these.
    large: Arc<Semaphore>,
    threads: u32,
    small: Arc<Semaphore>,
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
        let small = jobs
            .saturating_mul(SMALL_PER_LARGE)
            .min(SMALL_LIMIT.max(jobs));
        Self {
            large: Arc::new(Semaphore::new(threads as usize)),
            threads,
            small: Arc::new(Semaphore::new(small.min(Semaphore::MAX_PERMITS))),
            stopped: watch::Sender::new(false),
        }
    }

    /// From now on no blob is begun or gone on with; what came of a large one is kept for the
    /// next run, out of sight.
    ///
    /// Ends when every thread has: they need the runtime, so it must not end before them.
    pub(super) async fn stop(&self) {
        self.stopped.send_replace(true);
        // The semaphore is never closed.
        let _ = self.large.acquire_many(self.threads).await;
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
        let mut running: JoinSet<Result<(), Failure>> = JoinSet::new();
        for blob in blobs {
            let large = blob.size >= LARGE_BYTES;
            let lane = Arc::clone(if large { &self.large } else { &self.small });
            // The semaphores are never closed. A blob that fails while we wait ends it all.
            let permit = loop {
                tokio::select! {
                    permit = Arc::clone(&lane).acquire_owned() => break permit.ok(),
                    Some(done) = running.join_next() => done.map_err(Failure::task)??,
                }
            };
            let one = One {
                repository: repository.clone(),
                store: store.clone(),
                blob,
                moved: moved.clone(),
                kept: kept.clone(),
                stopped: self.stopped.subscribe(),
            };
            if large {
                let handle = Handle::current();
                running.spawn_blocking(move || {
                    let _permit = permit;
                    handle.block_on(one.fetch())
                });
            } else {
                running.spawn(async move {
                    let _permit = permit;
                    one.fetch().await
                });
            }
            while let Some(done) = running.try_join_next() {
                done.map_err(Failure::task)??;
            }
        }
        while let Some(done) = running.join_next().await {
            done.map_err(Failure::task)??;
        }
        Ok(())
    }
}

/// One blob on its way.
struct One {
    repository: Repository,
    store: FsStore,
    blob: Part,
    moved: Moved,
    /// What was there of it from an earlier run.
    kept: Moved,
    stopped: watch::Receiver<bool>,
}

impl One {
    /// Fetches the blob, and once more if what came is not what it should be (RT2).
    async fn fetch(mut self) -> Result<(), Failure> {
        match self.attempt().await {
            Err(Attempt::Mismatch(_)) => match self.attempt().await {
                Err(Attempt::Mismatch(failure) | Attempt::Failed(failure)) => Err(failure),
                Ok(()) => Ok(()),
            },
            Err(Attempt::Failed(failure)) => Err(failure),
            Ok(()) => Ok(()),
        }
    }

    /// A large blob goes on from what an earlier run kept of it; the store hashes that again.
    async fn attempt(&mut self) -> Result<(), Attempt> {
        let (digest, size) = (&self.blob.digest, self.blob.size);
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
