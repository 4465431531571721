//! A store with a limit in bytes.

mod books;
mod health;
mod recency;
mod writer;

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use longshore_model::Digest;
use longshore_store::{RandomReader, Store, StoreError};
use longshore_transport::Clock;

pub use self::writer::BoundedWriter;

use self::books::{Books, Doomed, Room};
use self::health::{Time, WriteHealth};
use crate::evict::Key;

/// Number of entries that [`BoundedStore::entries`] copies at a time under the lock.
const PAGE: usize = 1_024;

/// A [`Store`] with a hard limit in bytes, which evicts blobs by S3-FIFO to stay below it.
///
/// The limit counts the lengths of blobs and partial blobs, and the space reserved for blobs that
/// are being written. It does not count the overhead of the file system, or up to 256 MiB of
/// damaged blobs that an [`FsStore`](longshore_store::FsStore) keeps. The sum never exceeds the
/// limit. A blob is not evicted while a [`StoredBlob`] of it exists.
///
/// Nothing else may write to the store meanwhile. Every method may block; [`BoundedStore::size`]
/// and [`BoundedStore::get`] block only for a lock that is held briefly, and `get` also to open a
/// file. Clones share one store.
#[derive(Clone)]
pub struct BoundedStore(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    books: Mutex<Books>,
    /// Signalled when a claim ends.
    unclaimed: Condvar,
    health: Mutex<WriteHealth>,
    time: Time,
    observers: Mutex<Vec<Observer>>,
}

/// A callback with the digest and size of a blob that was removed.
type Observer = Arc<dyn Fn(&Digest, u64) + Send + Sync>;

/// Builds a [`BoundedStore`].
pub struct BoundedStoreBuilder {
    store: Arc<dyn Store>,
    limit: u64,
    time: Time,
    recency: Vec<u8>,
}

impl BoundedStoreBuilder {
    /// Uses this clock; the default is the clock of the system.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.time = Time::Injected(clock);
        self
    }

    /// Restores what [`BoundedStore::snapshot`] returned before a restart, so that the least used
    /// blobs are evicted first. In a damaged snapshot, everything after the damage is ignored.
    #[must_use]
    pub fn recency(mut self, snapshot: Vec<u8>) -> Self {
        self.recency = snapshot;
        self
    }

    /// Lists the content of the store, and evicts blobs until the limit is met.
    ///
    /// If nothing can be deleted, as on a read-only file system, the store opens above its limit
    /// and accepts no new blobs.
    ///
    /// # Errors
    ///
    /// The store cannot list its blobs and partial blobs.
    pub fn open(self) -> Result<BoundedStore, StoreError> {
        let opened = BoundedStore(Arc::new(Shared {
            store: self.store,
            books: Mutex::new(Books::new(self.limit)),
            unclaimed: Condvar::new(),
            health: Mutex::default(),
            time: self.time,
            observers: Mutex::default(),
        }));
        let store = &opened.0.store;
        // The first write makes the store remove the temporary files of dead processes, before it
        // is listed.
        match store.begin(&Digest::sha256(b""), Some(0)) {
            Ok(writer) => writer.discard(),
            Err(error) => opened.note(&error),
        }
        let mut books = opened.books();
        for digest in store.list()? {
            let digest = digest?;
            if let Some(size) = store.size(&digest)? {
                books.blobs.insert_found(Key::of(&digest), size);
            }
        }
        for partial in store.partials()? {
            let partial = partial?;
            books.set_kept(&Key::of(&partial.digest), partial.size);
        }
        for place in recency::read(&self.recency).iter().rev() {
            books.blobs.place(place);
        }
        drop(books);
        opened.remove_surplus_partials();
        opened.make_room(0);
        Ok(opened)
    }
}

impl BoundedStore {
    /// Opens a store that may hold `limit` bytes; as [`BoundedStore::builder`] with the default
    /// settings.
    ///
    /// # Errors
    ///
    /// As [`BoundedStoreBuilder::open`].
    pub fn open(store: Arc<dyn Store>, limit: u64) -> Result<Self, StoreError> {
        Self::builder(store, limit).open()
    }

    /// Starts to build a store that may hold `limit` bytes.
    #[must_use]
    pub fn builder(store: Arc<dyn Store>, limit: u64) -> BoundedStoreBuilder {
        BoundedStoreBuilder {
            store,
            limit,
            time: Time::System(Instant::now()),
            recency: Vec::new(),
        }
    }

    /// Returns the size of a blob in bytes, from memory. This does not count as a use.
    #[must_use]
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        self.books().blobs.size(&Key::of(digest))
    }

    /// Counts a use of a blob whose bytes the caller has in memory, so that the blob is not evicted
    /// as unused.
    pub fn touch(&self, digest: &Digest) {
        self.books().blobs.touch(&Key::of(digest));
    }

    /// Opens a blob and counts a use; `None` when it is absent.
    ///
    /// If the size of the file is wrong, the blob is quarantined; if the file is gone, the blob is
    /// forgotten. In both cases the result is `None` (CA3: opening a blob checks its size, and a
    /// bad blob is quarantined).
    ///
    /// # Errors
    ///
    /// The store cannot open the file, for another reason than that it is absent.
    pub fn get(&self, digest: &Digest) -> Result<Option<StoredBlob>, StoreError> {
        let key = Key::of(digest);
        let Some(size) = self.books().lease(&key) else {
            return Ok(None);
        };
        let lease = Lease {
            store: self.clone(),
            key,
        };
        match self.0.store.open(digest) {
            Ok(reader) if reader.size() == size => Ok(Some(StoredBlob {
                reader: reader.into_random(),
                size,
                _lease: Arc::new(lease),
            })),
            Ok(_) | Err(StoreError::NotAFile { .. }) => {
                self.quarantine(digest);
                Ok(None)
            }
            Err(StoreError::Absent { .. }) => {
                self.withdraw(digest, |store| store.delete(digest), true);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reserves space, and evicts blobs until it fits; `None` when blobs in use and reservations
    /// leave no room, or the store cannot be written to now ([`BoundedStore::is_degraded`]).
    #[must_use]
    pub fn reserve(&self, bytes: u64) -> Option<Reservation> {
        let granted = !self.is_degraded() && self.make_room(bytes);
        granted.then(|| Reservation {
            store: self.clone(),
            bytes,
        })
    }

    /// Starts to write a blob into reserved space. If the size is known, a partial blob is resumed;
    /// this hashes it first: see [`Store::resume`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] when the reservation is smaller than `size` and cannot grow; otherwise
    /// as [`Store::begin`]. The reservation is released.
    pub fn begin(
        &self,
        digest: &Digest,
        size: Option<u64>,
        mut reservation: Reservation,
    ) -> Result<BoundedWriter, StoreError> {
        let writer = match size {
            Some(size) => {
                let missing = size.saturating_sub(reservation.bytes);
                if missing > 0 && !reservation.grow(missing) {
                    return Err(self.full());
                }
                self.resume(digest, size)
            }
            None => self.0.store.begin(digest, None),
        };
        let writer = writer.inspect_err(|error| self.note(error))?;
        let resumable = size.is_some();
        Ok(BoundedWriter::new(
            self.clone(),
            writer,
            reservation,
            resumable,
        ))
    }

    fn resume(&self, digest: &Digest, size: u64) -> Result<longshore_store::Writer, StoreError> {
        let key = Key::of(digest);
        let _claim = self.claim(&key);
        let writer = self.0.store.resume(digest, size);
        match &writer {
            Ok(_) => self.books().set_kept(&key, 0),
            Err(_) => self.recount_kept(digest),
        }
        writer
    }

    /// Writes a small blob; returns whether there was room.
    ///
    /// # Errors
    ///
    /// As [`BoundedStore::begin`], [`BoundedWriter::write`] and [`BoundedWriter::commit`].
    pub fn put(&self, digest: &Digest, content: &[u8]) -> Result<bool, StoreError> {
        let size = content.len() as u64;
        if self.size(digest) == Some(size) && self.0.store.reuse(digest, size)? {
            return Ok(true);
        }
        let Some(reservation) = self.reserve(size) else {
            return Ok(false);
        };
        let mut writer = self.begin(digest, None, reservation)?;
        writer.write(content)?;
        writer.commit()?;
        Ok(true)
    }

    /// Removes a blob; open readers can still read it. If its file cannot be deleted, the blob is
    /// not served, its bytes still count, and the next eviction tries again to delete it.
    pub fn remove(&self, digest: &Digest) {
        self.withdraw(digest, |store| store.delete(digest), false);
    }

    /// Moves a blob with wrong bytes or a wrong size to the quarantine of the store (CA3).
    pub fn quarantine(&self, digest: &Digest) {
        tracing::warn!(%digest, "quarantined a damaged blob; the next request fetches it again");
        self.withdraw(digest, |store| store.quarantine(digest), true);
    }

    /// Calls `observer` with each blob that was evicted, quarantined or found absent, and its size
    /// in bytes. It is called without a lock, on the thread that may block.
    pub fn on_evicted(&self, observer: impl Fn(&Digest, u64) + Send + Sync + 'static) {
        locked(&self.0.observers).push(Arc::new(observer));
    }

    /// Returns the number of bytes of blobs, reservations and partial blobs.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.books().used()
    }

    /// Whether this is the same store as `other`: one is a clone of the other.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns the limit in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.books().limit
    }

    /// Returns the number of stored blobs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.books().blobs.len()
    }

    /// Returns whether no blob is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lists the blobs and their sizes in bytes, in no particular order. Blobs that are added or
    /// removed meanwhile may be listed or not.
    pub fn entries(&self) -> impl Iterator<Item = (Digest, u64)> {
        let mut from = Some(0);
        std::iter::from_fn(move || {
            let (page, next) = self.books().blobs.page(from?, PAGE);
            from = next;
            Some(page)
        })
        .flatten()
        .filter_map(|(key, size)| Some((key.digest()?, size)))
    }

    /// Returns the order in which blobs were used, as the content of a file for
    /// [`BoundedStoreBuilder::recency`]: at most 7.5 MB, for 100,000 blobs. Write it at shutdown
    /// and every few minutes.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let places = self.books().blobs.newest(recency::SNAPSHOT_LIMIT);
        recency::write(&places)
    }

    /// Returns whether a write failed in the last 10 s. Then no space is reserved (CA9: on a write
    /// error requests pass through, and hits are still served).
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        locked(&self.0.health).is_degraded(self.0.time.now())
    }

    /// Returns when the last write failed, by the clock; `None` when one succeeded since.
    #[must_use]
    pub fn last_write_error(&self) -> Option<Duration> {
        locked(&self.0.health).last_error()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        locked(&self.0.books)
    }

    fn full(&self) -> StoreError {
        StoreError::Full {
            limit: self.limit(),
        }
    }

    fn note(&self, error: &StoreError) {
        if locked(&self.0.health).note(error, self.0.time.now()) {
            let error: &dyn std::error::Error = error;
            tracing::warn!(
                error,
                "cannot write to the store; content passes through without being stored"
            );
        }
    }

    fn succeeded(&self) {
        locked(&self.0.health).succeeded();
    }

    /// Waits until no other thread writes or deletes files of a digest, and claims it.
    fn claim(&self, key: &Key) -> Claim<'_> {
        let mut books = self.books();
        while !books.claimed.insert(key.clone()) {
            books = self.wait(books);
        }
        Claim {
            store: self,
            key: key.clone(),
        }
    }

    fn wait<'a>(&self, books: MutexGuard<'a, Books>) -> MutexGuard<'a, Books> {
        let waited = self.0.unclaimed.wait(books);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Evicts blobs until `bytes` fit, and reserves them; returns whether that succeeded.
    fn make_room(&self, bytes: u64) -> bool {
        let mut books = self.books();
        loop {
            match books.room(bytes) {
                Room::Reserved => return true,
                Room::None => return false,
                Room::Wait => books = self.wait(books),
                Room::Delete(doomed) => {
                    drop(books);
                    if !self.delete(doomed) {
                        return false;
                    }
                    books = self.books();
                }
            }
        }
    }

    /// Deletes content whose key is claimed; returns whether it is gone.
    fn delete(&self, doomed: Doomed) -> bool {
        let (Doomed::Blob(key, _) | Doomed::Left(key) | Doomed::Partial(key)) = &doomed;
        let claim = Claim {
            store: self,
            key: key.clone(),
        };
        let Some(digest) = key.digest() else {
            return false;
        };
        let store = &self.0.store;
        let deleted = match &doomed {
            Doomed::Blob(..) | Doomed::Left(_) => store.delete(&digest),
            // A partial blob that is longer than the size is discarded.
            Doomed::Partial(_) => store.resume(&digest, 0).map(|writer| writer.discard()),
        };
        if let Err(error) = &deleted {
            self.note(error);
        }
        let mut evicted = None;
        match (doomed, deleted.is_ok()) {
            (Doomed::Blob(key, size), true) => {
                self.books().left(&key);
                evicted = Some(size);
            }
            // A blob that cannot be deleted is served again.
            (Doomed::Blob(key, size), false) => {
                let mut books = self.books();
                books.left(&key);
                books.blobs.insert(key, size);
            }
            (Doomed::Left(key), true) => self.books().left(&key),
            (Doomed::Left(_), false) => {}
            (Doomed::Partial(key), true) => self.books().set_kept(&key, 0),
            (Doomed::Partial(_), false) => self.recount_kept(&digest),
        }
        drop(claim);
        if let Some(size) = evicted {
            self.report(&digest, size);
        }
        deleted.is_ok()
    }

    /// Stops serving a blob, and removes its file.
    fn withdraw(
        &self,
        digest: &Digest,
        take: impl FnOnce(&dyn Store) -> Result<(), StoreError>,
        unasked: bool,
    ) {
        let key = Key::of(digest);
        let claim = self.claim(&key);
        let withdrawn = self.books().withdraw(&key);
        match take(&*self.0.store) {
            Ok(()) => self.books().left(&key),
            Err(error) => self.note(&error),
        }
        drop(claim);
        if let Some(size) = withdrawn.filter(|_| unasked) {
            self.report(digest, size);
        }
    }

    /// Called after a failed commit: if the blob became visible nevertheless, it must count or be
    /// deleted. The caller has claimed the digest.
    fn withdraw_unfinished(&self, digest: &Digest, reservation: &mut Reservation) {
        let key = Key::of(digest);
        let store = &self.0.store;
        let known = self.books().blobs.size(&key).is_some();
        let visible = if known {
            None
        } else {
            store.size(digest).ok().flatten()
        };
        let stuck = visible.filter(|_| store.delete(digest).is_err());
        let mut books = self.books();
        books.release(reservation.take());
        if let Some(size) = stuck {
            books.leave(key, size);
        }
    }

    /// Updates the size of the partial blob of a digest from the store. The caller has claimed the
    /// digest.
    fn recount_kept(&self, digest: &Digest) {
        let Ok(partials) = self.0.store.partials() else {
            return;
        };
        let mut partials = partials.flatten();
        let size = partials.find(|partial| partial.digest == *digest);
        self.books()
            .set_kept(&Key::of(digest), size.map_or(0, |partial| partial.size));
    }

    fn remove_surplus_partials(&self) {
        loop {
            let surplus = self.books().surplus_partial();
            match surplus {
                Some(partial) => {
                    if !self.delete(partial) {
                        return;
                    }
                }
                None => return,
            }
        }
    }

    fn report(&self, digest: &Digest, size: u64) {
        let observers = locked(&self.0.observers).clone();
        for observer in observers {
            observer(digest, size);
        }
    }
}

/// Reserved space in a [`BoundedStore`]. Dropping it releases the space.
#[derive(Debug)]
pub struct Reservation {
    store: BoundedStore,
    bytes: u64,
}

impl Reservation {
    /// Returns how many bytes are reserved.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reserves `more` bytes, as [`BoundedStore::reserve`]; returns whether that succeeded.
    pub fn grow(&mut self, more: u64) -> bool {
        let grown = !self.store.is_degraded() && self.store.make_room(more);
        if grown {
            self.bytes += more;
        }
        grown
    }

    /// Takes the bytes, so that the caller releases them together with other changes.
    fn take(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }

    fn release(&mut self) {
        let bytes = self.take();
        self.store.books().release(bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release();
    }
}

/// An open blob. It is not evicted while this or a clone of it exists.
#[derive(Clone, Debug)]
pub struct StoredBlob {
    reader: RandomReader,
    size: u64,
    _lease: Arc<Lease>,
}

impl StoredBlob {
    /// Returns the bytes.
    #[must_use]
    pub fn reader(&self) -> &RandomReader {
        &self.reader
    }

    /// Returns the size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// Protects a blob from eviction until it is dropped.
#[derive(Debug)]
struct Lease {
    store: BoundedStore,
    key: Key,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.store.books().end_lease(&self.key);
    }
}

/// The right to write and delete the files of a digest, until it is dropped.
struct Claim<'a> {
    store: &'a BoundedStore,
    key: Key,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.store.books().claimed.remove(&self.key);
        self.store.0.unclaimed.notify_all();
    }
}

impl fmt::Debug for BoundedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedStore").finish_non_exhaustive()
    }
}

impl fmt::Debug for BoundedStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedStoreBuilder")
            .finish_non_exhaustive()
    }
}

/// Locks a mutex whose content is consistent after every step, so a panic of another holder can be
/// ignored.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
