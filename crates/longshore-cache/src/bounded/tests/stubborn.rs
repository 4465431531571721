//! A store that deletes slowly, or not at all.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use longshore_store::{Digests, Interrupt, Partials, Reader, Writer};

use super::*;

#[derive(Clone, Default)]
pub(super) struct Stubborn {
    memory: MemoryStore,
    refuses: Arc<AtomicBool>,
}

impl Stubborn {
    pub(super) fn with_limit_bytes(limit: u64) -> Self {
        Self {
            memory: MemoryStore::with_limit_bytes(limit),
            ..Self::default()
        }
    }
}

impl Store for Stubborn {
    fn begin(&self, digest: &Digest, size: Option<u64>) -> Result<Writer, StoreError> {
        self.memory.begin(digest, size)
    }

    fn resume(&self, digest: &Digest, size: u64) -> Result<Writer, StoreError> {
        self.memory.resume(digest, size)
    }

    fn partials(&self) -> Result<Partials<'_>, StoreError> {
        self.memory.partials()
    }

    fn clear_partials(&self) -> Result<(), StoreError> {
        self.memory.clear_partials()
    }

    fn open(&self, digest: &Digest) -> Result<Reader, StoreError> {
        self.memory.open(digest)
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        self.memory.size(digest)
    }

    fn delete(&self, digest: &Digest) -> Result<(), StoreError> {
        // Runs actions of other threads that must not succeed now.
        for _ in 0..20 {
            thread::yield_now();
        }
        match self.refuses.load(Ordering::SeqCst) {
            true => Err(StoreError::Full { limit: 0 }),
            false => self.memory.delete(digest),
        }
    }

    fn list(&self) -> Result<Digests<'_>, StoreError> {
        self.memory.list()
    }

    fn path(&self, digest: &Digest) -> Option<PathBuf> {
        self.memory.path(digest)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.memory.flush()
    }

    fn interruptible(&self, _interrupt: &Interrupt) -> Arc<dyn Store> {
        Arc::new(self.clone())
    }
}

fn stubborn() -> (Stubborn, TestClock, BoundedStore) {
    let (disk, clock) = (Stubborn::default(), TestClock::default());
    let builder = BoundedStore::builder(Arc::new(disk.clone()), 100);
    let store = builder.clock(Arc::new(clock.clone())).open().unwrap();
    (disk, clock, store)
}

#[test]
fn ca9_a_blob_that_cannot_be_deleted_is_served_on() {
    let (disk, clock, store) = stubborn();
    let evicted = evictions(&store);
    assert!(put(&store, 1, 80));
    disk.refuses.store(true, Ordering::SeqCst);
    assert!(store.reserve(50).is_none());
    assert!(store.is_degraded());
    assert_eq!(store.used(), 80);
    let blob = store.get(&digest(1, 80)).unwrap().unwrap();
    assert_eq!(read(&blob), content(1, 80));
    drop(blob);
    assert_eq!(*locked(&evicted), []);

    disk.refuses.store(false, Ordering::SeqCst);
    assert!(store.reserve(50).is_none(), "not before 10 s");
    clock.advance(Duration::from_secs(10));
    assert!(store.reserve(50).is_some());
    assert_eq!(*locked(&evicted), [(digest(1, 80), 80)]);

    // A store that is above its limit and cannot delete accepts nothing new.
    assert!(put(&store, 2, 80));
    disk.refuses.store(true, Ordering::SeqCst);
    let smaller = BoundedStore::open(Arc::new(disk), 70).unwrap();
    assert_eq!((smaller.used(), smaller.len()), (80, 1));
    assert!(smaller.reserve(1).is_none());
    assert!(smaller.get(&digest(2, 80)).unwrap().is_some());
}

#[test]
fn ca3_a_bad_blob_that_cannot_be_deleted_is_not_served_and_counts() {
    let (disk, clock, store) = stubborn();
    assert!(put(&store, 1, 40) && put(&store, 2, 40));
    disk.refuses.store(true, Ordering::SeqCst);
    store.quarantine(&digest(1, 40));
    assert!(store.get(&digest(1, 40)).unwrap().is_none());
    assert_eq!((store.used(), store.len()), (80, 1));

    // Its file is deleted first when that is possible.
    disk.refuses.store(false, Ordering::SeqCst);
    clock.advance(Duration::from_secs(10));
    let reservation = store.reserve(60).unwrap();
    assert_eq!((store.used(), store.len()), (100, 1));
    assert_eq!(disk.size(&digest(1, 40)).unwrap(), None);
    drop(reservation);

    // Or the file is replaced.
    disk.refuses.store(true, Ordering::SeqCst);
    store.quarantine(&digest(2, 40));
    clock.advance(Duration::from_secs(10));
    assert!(put(&store, 2, 40));
    assert_eq!((store.used(), store.len()), (40, 1));
    assert!(store.get(&digest(2, 40)).unwrap().is_some());
}
