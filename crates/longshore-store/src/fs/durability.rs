//! When blobs are made to outlive a power cut, and the batch that does it at once for many.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use longshore_model::Digest;

use super::blobs::Blobs;
use crate::dir::{Dir, Stamp};
use crate::error::{Action, StoreError};
use crate::interrupt::Interrupt;
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
    waiting: Mutex<BTreeMap<Digest, Origin>>,
    /// Held while a batch is made durable: whoever flushes also waits for what others began.
    flushing: Mutex<()>,
}

/// Where a blob of a batch comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// This store wrote it; the stamp is that of its file, where files have one.
    Written(Option<Stamp>),
    /// It existed before, so other images may refer to it.
    Reused,
}

impl Batch {
    /// Adds a blob. A blob that this store wrote keeps that origin when it is also reused.
    pub(super) fn add(&self, digest: Digest, origin: Origin) {
        let mut waiting = locked(&self.waiting);
        match origin {
            Origin::Written(_) => {
                waiting.insert(digest, origin);
            }
            Origin::Reused => {
                waiting.entry(digest).or_insert(origin);
            }
        }
    }

    pub(super) fn flush(&self, blobs: &Blobs, interrupt: &Interrupt) -> Result<(), StoreError> {
        self.flush_with(blobs, interrupt, Dir::sync_file)
    }

    /// As [`Batch::flush`], with the call that makes one file durable.
    pub(super) fn flush_with(
        &self,
        blobs: &Blobs,
        interrupt: &Interrupt,
        sync: impl Fn(&Dir, &str) -> io::Result<()> + Sync,
    ) -> Result<(), StoreError> {
        let _flushing = locked(&self.flushing);
        let batch: Vec<(Digest, Origin)> = std::mem::take(&mut *locked(&self.waiting))
            .into_iter()
            .collect();
        let sync_one = |(digest, origin): &(Digest, Origin)| {
            interrupt.check()?;
            sync_file(blobs, digest, *origin, &sync)
        };
        let synced = sync_files(&batch, sync_one).and_then(|()| sync_dirs(blobs, &batch));
        if synced.is_err() {
            // Whoever tries again shall not be told that all is well.
            for (digest, origin) in batch {
                self.add(digest, origin);
            }
        }
        synced
    }
}

/// Makes the names of a batch durable, with one sync for each directory.
fn sync_dirs(blobs: &Blobs, batch: &[(Digest, Origin)]) -> Result<(), StoreError> {
    let mut seen = BTreeSet::new();
    for (digest, _) in batch {
        if seen.insert((digest.algorithm(), blobs.arrangement.shard(digest)))
            && let Some(dir) = blobs.dir(digest)?
        {
            dir.sync()?;
        }
    }
    Ok(())
}

/// Makes the files of a batch durable, several at a time; returns the first error.
///
/// The journal of a file system commits once for many that wait together, so waiting in line
/// is what costs.
fn sync_files<T: Sync>(
    batch: &[T],
    sync: impl Fn(&T) -> Result<(), StoreError> + Sync,
) -> Result<(), StoreError> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    let work = || {
        while let Some(blob) = batch.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = sync(blob) {
                locked(&failed).get_or_insert(error);
            }
        }
    };
    thread::scope(|scope| {
        // This thread is one of them, so the work is done even where no other can be had.
        for _ in 1..batch.len().min(SYNC_THREADS) {
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    match locked(&failed).take() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn sync_file(
    blobs: &Blobs,
    digest: &Digest,
    origin: Origin,
    sync: impl Fn(&Dir, &str) -> io::Result<()>,
) -> Result<(), StoreError> {
    let Some(dir) = blobs.dir(digest)? else {
        return Ok(());
    };
    let name = digest.encoded();
    match sync(&dir, name) {
        // Deleted since: there is nothing to make durable.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            // A second fsync would report success even if the bytes were lost, so the file is
            // removed. Files that other processes wrote are kept, because their images may refer to
            // them.
            if let Origin::Written(written) = origin
                && is_same_file(&dir, name, written)
            {
                let _ = dir.remove(name);
            }
            Err(dir.failed(Action::Sync, name, error))
        }
        Ok(()) => Ok(()),
    }
}

/// Returns whether the file `name` is the one that was written, as far as the system can
/// distinguish files.
fn is_same_file(dir: &Dir, name: &str, written: Option<Stamp>) -> bool {
    let Ok(Some((file, _))) = dir.file(name) else {
        return false;
    };
    match (written, Stamp::of(&file)) {
        (Some(written), Some(found)) => written.inode == found.inode,
        (written, _) => written.is_none(),
    }
}

/// How many files are made durable at a time.
const SYNC_THREADS: usize = 16;
