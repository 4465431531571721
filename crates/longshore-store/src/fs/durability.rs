//! When blobs are made to outlive a power cut, and the batch that does it at once for many.

use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use longshore_model::Digest;

use super::blobs::Blobs;
use crate::error::{Action, StoreError};
use crate::lock::locked;

/// When a committed blob is made to outlive a power cut.
///
/// Whatever is chosen, a killed process harms nothing: what was committed stays with the
/// operating system. What is kept of unfinished blobs is never made durable, since it is hashed
/// again before it is gone on with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "before, together, never: there is no fourth"
)]
pub enum Durability {
    /// All blobs together, at [`Store::flush`](crate::Store::flush), side by side, and before
    /// anything that refers to them. A power cut before it may leave blobs that are visible and
    /// yet incomplete, but nothing refers to these.
    #[default]
    Batch,
    /// One by one, each before it is visible: a power cut costs no blob that was finished, and
    /// many small blobs take long.
    Each,
    /// Whenever the operating system gets to it. A power cut soon after may leave incomplete
    /// blobs that are referred to; one that is too short is written again when it is next
    /// needed, any other damage is for a verification to find.
    None,
}

/// The blobs that are visible but not yet known to outlive a power cut.
#[derive(Debug, Default)]
pub(super) struct Batch {
    waiting: Mutex<BTreeSet<Digest>>,
    /// Held while a batch is made durable: whoever flushes also waits for what others began.
    flushing: Mutex<()>,
}

impl Batch {
    pub(super) fn add(&self, digest: Digest) {
        locked(&self.waiting).insert(digest);
    }

    pub(super) fn flush(&self, blobs: &Blobs) -> Result<(), StoreError> {
        let _flushing = locked(&self.flushing);
        let digests: Vec<Digest> = std::mem::take(&mut *locked(&self.waiting))
            .into_iter()
            .collect();
        let synced = sync_files(blobs, &digests).and_then(|()| sync_dirs(blobs, &digests));
        if synced.is_err() {
            // Whoever tries again shall not be told that all is well.
            locked(&self.waiting).extend(digests);
        }
        synced
    }
}

/// Makes the names of `digests` durable: one digest of each algorithm leads to its directory.
fn sync_dirs(blobs: &Blobs, digests: &[Digest]) -> Result<(), StoreError> {
    let mut seen = BTreeSet::new();
    for digest in digests {
        if seen.insert(digest.algorithm())
            && let Some(dir) = blobs.dir(digest)?
        {
            dir.sync()?;
        }
    }
    Ok(())
}

/// Makes the files of `digests` durable, several at a time; returns the first error.
///
/// The journal of a file system commits once for many that wait together, so waiting in line
/// is what costs.
fn sync_files(blobs: &Blobs, digests: &[Digest]) -> Result<(), StoreError> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    let work = || {
        while let Some(digest) = digests.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = sync_file(blobs, digest) {
                locked(&failed).get_or_insert(error);
            }
        }
    };
    thread::scope(|scope| {
        // This thread is one of them, so the work is done even where no other can be had.
        for _ in 1..digests.len().min(SYNC_THREADS) {
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    match locked(&failed).take() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn sync_file(blobs: &Blobs, digest: &Digest) -> Result<(), StoreError> {
    let Some(dir) = blobs.dir(digest)? else {
        return Ok(());
    };
    match dir.sync_file(digest.encoded()) {
        // Deleted since: there is nothing to make durable.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            // A second attempt would report success whatever became of the bytes.
            let _ = dir.remove(digest.encoded());
            Err(dir.failed(Action::Sync, digest.encoded(), error))
        }
        Ok(()) => Ok(()),
    }
}

/// How many files are made durable at a time.
const SYNC_THREADS: usize = 16;
