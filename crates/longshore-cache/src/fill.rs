//! Fills: one transfer of a blob from an upstream, for any number of readers.
//!
//! A transfer runs in a separate task. It writes into the partial file of the store and publishes
//! its progress; each reader reads that file at its own offset and speed. Readers that leave or are
//! slow do not affect the transfer (CA5).

mod error;
mod limits;
mod places;
mod progress;
mod readers;
mod ring;
mod source;
mod spool;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transfer;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use longshore_model::{Digest, RepositoryName};
use longshore_store::StoreError;
use longshore_transport::Clock;
use tokio::sync::watch;

use crate::bounded::BoundedStore;
use crate::name::UpstreamName;
use crate::observer::{Event, NoObserver, Observer};

pub use error::{FillError, FillErrorKind};
pub(crate) use progress::{FillState, Progress};
pub(crate) use source::{BlobSource, FillSource, Frames};
pub(crate) use spool::Piece;

use places::Places;
use readers::{ReaderId, Readers};
use ring::Ring;
use spool::Spool;
use transfer::Transfer;

/// Number of bytes at the end of a blob that readers get only after the digest was verified: 64 KiB
/// (CA4).
pub const FILL_HOLD_BACK_BYTES: u64 = 64 * 1024;

/// Maximum duration of a fill, even if bytes still arrive: 6 hours.
pub const FILL_DEADLINE: Duration = Duration::from_secs(6 * 3600);

/// A fill without readers ends after this time, unless it is nearly complete or small: 30 s.
pub const FILL_UNREAD_GRACE: Duration = Duration::from_secs(30);

/// A fill without readers continues to its end if more than this part of the blob arrived: 25 %.
pub const FILL_UNREAD_PERCENT: u64 = 25;

/// A fill without readers continues to its end if the blob is smaller than this: 64 MiB.
pub const FILL_UNREAD_SMALL_BYTES: u64 = 64 * 1024 * 1024;

/// Default maximum number of transfers that run concurrently from one upstream, each in a thread
/// that may block: 32. Further transfers wait, but not for those of other upstreams (CA5).
pub const CONCURRENT_FILLS: usize = 32;

/// Maximum number of transfers that run concurrently from all upstreams: 256. It leaves half of the
/// threads of Tokio that may block (512 by default) to readers; with the default of each upstream,
/// 7 upstreams that hang do not reach it.
pub const CONCURRENT_FILLS_TOTAL: usize = 256;

/// The running fills of a cache. Clones share the fills, and several services may share them.
///
/// When the last clone and the last body of a fill are dropped, the transfers end as with
/// [`stop`](Self::stop). A Tokio runtime that is dropped before that waits for the transfers.
#[derive(Clone)]
pub struct Fills(Arc<PoolUse>);

/// Ends the transfers when the last clone of a pool is dropped.
#[derive(Debug)]
struct PoolUse(Arc<Pool>);

/// Builds [`Fills`].
#[must_use = "builders do nothing until `build` is called"]
pub struct FillsBuilder {
    store: BoundedStore,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    concurrency: usize,
}

/// The blob of a fill. The same digest from two upstreams is transferred twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FillKey {
    pub(crate) upstream: UpstreamName,
    pub(crate) digest: Digest,
}

/// State that all transfers share.
struct Pool {
    store: BoundedStore,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    places: Places,
    running: Mutex<HashMap<FillKey, Arc<Shared>>>,
    /// Number of transfers; [`Fills::stop`] waits until it is 0.
    count: watch::Sender<usize>,
    /// Becomes true when the transfers must end.
    stopping: watch::Sender<bool>,
    /// Whether the last attempt to store a blob failed.
    is_degraded: AtomicBool,
}

/// State that a transfer and its readers share.
#[derive(Debug)]
struct Shared {
    key: FillKey,
    repository: RepositoryName,
    progress: watch::Sender<Progress>,
    readers: Readers,
    /// Set before the head is published.
    spool: OnceLock<Spool>,
    /// Whether the transfer has ended and its writes to the store are complete.
    settled: watch::Sender<bool>,
}

/// The handle of one client to a fill. The fill counts as read while this handle exists, or the
/// body that was made from it.
#[derive(Debug)]
pub(crate) struct Fill {
    shared: Arc<Shared>,
    reader: ReaderId,
    #[expect(dead_code, reason = "held, never read")]
    pool: Arc<PoolUse>,
}

/// A handle that waits for the end of a fill. It does not count as a reader.
#[derive(Debug)]
pub(crate) struct Verdict(Arc<Shared>);

impl Verdict {
    /// Waits until the blob was verified, and was stored or passed through.
    ///
    /// # Errors
    ///
    /// Why the fill failed.
    pub(crate) async fn reached(&self) -> Result<(), FillError> {
        // The sender lives as long as `self`.
        let _ = self
            .0
            .settled
            .subscribe()
            .wait_for(|is_settled| *is_settled)
            .await;
        self.0.done().await
    }

    /// As [`Fill::shows`].
    pub(crate) fn shows(&self, repository: &RepositoryName) -> bool {
        self.0.shows(repository)
    }
}

/// What is known about a blob after the upstream has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FillHead {
    /// The size in bytes; `None` if neither the caller nor the upstream stated it.
    pub(crate) size: Option<u64>,
}

/// The bytes that are available to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Available {
    /// Bytes, up to this position.
    UpTo(u64),
    /// The end of the blob.
    End,
}

impl Fills {
    /// Starts to build fills into this store.
    pub fn builder(store: BoundedStore, clock: Arc<dyn Clock>) -> FillsBuilder {
        FillsBuilder {
            store,
            clock,
            observer: Arc::new(NoObserver::new()),
            concurrency: CONCURRENT_FILLS,
        }
    }

    /// Returns the store into which the fills write.
    #[must_use]
    pub fn store(&self) -> &BoundedStore {
        &self.pool().store
    }

    /// Joins the running fill of a blob, if there is one that can still be read from its beginning.
    ///
    /// The caller has proved that its repository contains the digest (CA6).
    pub(crate) fn join(&self, key: &FillKey) -> Option<Fill> {
        let running = self.pool().running();
        let fill = running
            .get(key)
            .and_then(|shared| self.join_running(shared));
        drop(running);
        if fill.is_some() {
            self.pool().joined(key);
        }
        fill
    }

    /// Joins the running fill of a blob, or starts one.
    ///
    /// If there is no room to store a blob, it passes through. A client that comes after its first
    /// bytes were dropped gets a separate transfer.
    ///
    /// The caller has proved that its repository contains the digest (CA6). It must be within a
    /// Tokio runtime.
    pub(crate) fn begin<S: BlobSource>(&self, key: FillKey, source: S, size: Option<u64>) -> Fill {
        let mut running = self.pool().running();
        if let Some(fill) = running
            .get(&key)
            .and_then(|shared| self.join_running(shared))
        {
            drop(running);
            self.pool().joined(&key);
            return fill;
        }
        let shared = Arc::new(Shared {
            key: key.clone(),
            repository: source.repository().clone(),
            progress: watch::Sender::new(Progress::new(size)),
            readers: Readers::default(),
            spool: OnceLock::new(),
            settled: watch::Sender::new(false),
        });
        running.insert(key, Arc::clone(&shared));
        self.pool().count.send_modify(|count| *count += 1);
        let fill = self.enter(&shared);
        drop(running);
        tokio::spawn(Transfer::new(Arc::clone(self.pool()), shared, source).run());
        fill
    }

    /// Ends all transfers and waits for them. Partial blobs are kept, and resumed after the next
    /// start. Transfers that start later end immediately.
    pub async fn stop(&self) {
        self.pool().stop();
        // The sender lives as long as `self`.
        let _ = self
            .pool()
            .count
            .subscribe()
            .wait_for(|count| *count == 0)
            .await;
    }

    fn pool(&self) -> &Arc<Pool> {
        &self.0.0
    }

    /// `None` if the first bytes were dropped.
    fn join_running(&self, shared: &Arc<Shared>) -> Option<Fill> {
        let ring = shared.spool.get().and_then(Spool::as_ring);
        ring.is_none_or(Ring::is_whole).then(|| self.enter(shared))
    }

    fn enter(&self, shared: &Arc<Shared>) -> Fill {
        Fill {
            shared: Arc::clone(shared),
            reader: shared.readers.enter(),
            pool: Arc::clone(&self.0),
        }
    }
}

impl Drop for PoolUse {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl FillsBuilder {
    /// Reports events to this observer.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Sets the maximum number of transfers that run concurrently from one upstream; by default it
    /// is [`CONCURRENT_FILLS`]. Each large one occupies a thread that may block. Transfers from all
    /// upstreams are limited to this number or [`CONCURRENT_FILLS_TOTAL`], whichever is larger.
    pub const fn concurrency(mut self, transfers: usize) -> Self {
        self.concurrency = transfers;
        self
    }

    /// Builds the fills.
    #[must_use]
    pub fn build(self) -> Fills {
        let pool = Pool {
            store: self.store,
            clock: self.clock,
            observer: self.observer,
            places: Places::new(self.concurrency),
            running: Mutex::default(),
            count: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            is_degraded: AtomicBool::new(false),
        };
        Fills(Arc::new(PoolUse(Arc::new(pool))))
    }
}

impl Pool {
    fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// The values stay consistent even if a thread panics while it holds the lock.
    fn running(&self) -> MutexGuard<'_, HashMap<FillKey, Arc<Shared>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a fill, unless another one has replaced it.
    fn remove(&self, shared: &Arc<Shared>) {
        remove_from(&mut self.running(), shared);
    }

    /// Removes a fill, unless it has a reader again.
    fn remove_unread(&self, shared: &Arc<Shared>) -> bool {
        let mut running = self.running();
        let is_unread = shared.readers.is_empty();
        if is_unread {
            remove_from(&mut running, shared);
        }
        is_unread
    }

    fn joined(&self, key: &FillKey) {
        self.observer.event(&Event::FillJoined {
            upstream: &key.upstream,
            digest: &key.digest,
        });
    }

    /// Records that a blob was stored.
    fn stored(&self) {
        if self.is_degraded.swap(false, Ordering::Relaxed) {
            self.observer.event(&Event::StoreDegraded(false));
        }
    }

    /// Records that a blob could not be stored and passes through (CA9).
    fn not_stored(&self, digest: &Digest, error: &StoreError) {
        if !self.is_degraded.swap(true, Ordering::Relaxed) {
            self.observer.event(&Event::StoreDegraded(true));
        }
        // The store also logs a warning, but not for each blob.
        let error = error as &dyn std::error::Error;
        tracing::debug!(%digest, error, "cannot store a blob; it passes through");
    }
}

fn remove_from(running: &mut HashMap<FillKey, Arc<Shared>>, shared: &Arc<Shared>) {
    let known = running.get(&shared.key);
    if known.is_some_and(|known| Arc::ptr_eq(known, shared)) {
        running.remove(&shared.key);
    }
}

impl Fill {
    /// The repository from which the blob is transferred. A failure of the fill says nothing about
    /// other repositories.
    pub(crate) fn repository(&self) -> &RepositoryName {
        &self.shared.repository
    }

    /// Whether the fill proves that this repository contains the blob, because the upstream sent it
    /// from that repository (CA6). A fill that found the blob in the store sent no request and
    /// proves nothing.
    pub(crate) fn shows(&self, repository: &RepositoryName) -> bool {
        self.shared.shows(repository)
    }

    /// Waits until the upstream has answered.
    ///
    /// # Errors
    ///
    /// Why the fill failed.
    pub(crate) async fn head(&self) -> Result<FillHead, FillError> {
        let is_known = |progress: &Progress| !matches!(progress.state, FillState::Asking);
        let progress = self.shared.wait_for(is_known).await;
        match progress.state {
            FillState::Failed(error) => Err(error),
            _ => Ok(FillHead {
                size: progress.size,
            }),
        }
    }

    /// Waits until the blob was verified.
    ///
    /// # Errors
    ///
    /// Why the fill failed.
    pub(crate) async fn done(&self) -> Result<(), FillError> {
        self.shared.done().await
    }

    pub(crate) fn progress(&self) -> Progress {
        self.shared.progress.borrow().clone()
    }

    /// A handle to the end of the fill, for a caller that does not read it.
    pub(crate) fn verdict(&self) -> Verdict {
        Verdict(Arc::clone(&self.shared))
    }

    /// Whether the blob passes through without being stored. Then only readers from the beginning
    /// find all bytes.
    pub(crate) fn passes_through(&self) -> bool {
        self.shared.spool.get().and_then(Spool::as_ring).is_some()
    }

    /// Returns the position up to which bytes may be read; `None` while it is not beyond
    /// `position`.
    ///
    /// # Errors
    ///
    /// Why the fill failed.
    pub(crate) fn available(&self, position: u64) -> Result<Option<Available>, FillError> {
        let progress = self.shared.progress.borrow();
        match &progress.state {
            FillState::Failed(error) => Err(error.clone()),
            FillState::Verified if position >= progress.written => Ok(Some(Available::End)),
            _ => {
                let released = progress.released();
                Ok((released > position).then_some(Available::UpTo(released)))
            }
        }
    }

    /// Ends when bytes beyond this position may be read, or the fill has ended.
    pub(crate) fn wait_beyond(&self, position: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut receiver = self.shared.progress.subscribe();
        Box::pin(async move {
            let is_reached = |it: &Progress| it.is_over() || it.released() > position;
            // If the sender is gone, the fill has ended.
            let _ = receiver.wait_for(is_reached).await;
        })
    }

    /// Finds bytes that are available.
    pub(crate) fn find(&self, range: Range<u64>) -> Piece<'_> {
        let spool = self.shared.spool.get();
        spool.map_or(Piece::Gone, |spool| spool.find(range))
    }

    /// Records that the client starts to read at this position.
    pub(crate) fn starts_reading(&self, position: u64) {
        self.shared.readers.moved(self.reader, position);
    }

    /// Records the next byte that this reader needs. Only a transfer that is not stored uses it.
    pub(crate) fn needs(&self, position: u64) {
        if self.passes_through() {
            self.shared.readers.moved(self.reader, position);
        }
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        self.shared.readers.leave(self.reader);
    }
}

impl Shared {
    async fn wait_for(&self, is_reached: impl FnMut(&Progress) -> bool) -> Progress {
        let mut receiver = self.progress.subscribe();
        let reached = receiver.wait_for(is_reached).await.map(|it| it.clone());
        // The sender lives as long as `self`.
        reached.unwrap_or_else(|_| self.progress.borrow().clone())
    }

    fn shows(&self, repository: &RepositoryName) -> bool {
        self.repository == *repository && !matches!(self.spool.get(), Some(Spool::Stored(_)))
    }

    async fn done(&self) -> Result<(), FillError> {
        match self.wait_for(Progress::is_over).await.state {
            FillState::Failed(error) => Err(error),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("running", &self.running().len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Fills {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fills")
            .field("running", &self.pool().running().len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for FillsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FillsBuilder")
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}
