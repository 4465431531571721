use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use longshore_store::{Durability, FsStore, MemoryStore, StoreErrorKind};
use longshore_transport::TestClock;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

mod random;
mod stubborn;

/// Content of `size` bytes that differs with `id`.
fn content(id: u8, size: usize) -> Vec<u8> {
    vec![id; size]
}

fn digest(id: u8, size: usize) -> Digest {
    Digest::sha256(&content(id, size))
}

fn memory(limit: u64) -> (MemoryStore, BoundedStore) {
    let memory = MemoryStore::new();
    let store = BoundedStore::open(Arc::new(memory.clone()), limit).unwrap();
    (memory, store)
}

fn put(store: &BoundedStore, id: u8, size: usize) -> bool {
    store.put(&digest(id, size), &content(id, size)).unwrap()
}

fn has(store: &BoundedStore, id: u8, size: usize) -> bool {
    store.size(&digest(id, size)) == Some(size as u64)
}

fn read(blob: &StoredBlob) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(blob.size()).unwrap()];
    let count = blob.reader().read_at(&mut bytes, 0).unwrap();
    assert_eq!(count, bytes.len());
    bytes
}

fn fs_store(root: &Path, limit: u64) -> BoundedStore {
    let store = FsStore::open(root, Durability::None).unwrap();
    BoundedStore::open(Arc::new(store), limit).unwrap()
}

/// The evicted digests, in order.
fn evictions(store: &BoundedStore) -> Arc<Mutex<Vec<(Digest, u64)>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&seen);
    store.on_evicted(move |digest, size| locked(&list).push((digest.clone(), size)));
    seen
}

#[test]
fn a_reservation_evicts_until_it_fits_and_is_given_back() {
    let (memory, store) = memory(100);
    let evicted = evictions(&store);
    assert!(put(&store, 1, 40) && put(&store, 2, 40));
    let reservation = store.reserve(50).unwrap();
    assert_eq!((store.used(), store.len()), (90, 1));
    assert_eq!(*locked(&evicted), [(digest(1, 40), 40)]);
    assert_eq!(memory.size(&digest(1, 40)).unwrap(), None);
    assert!(!has(&store, 1, 40) && has(&store, 2, 40));
    drop(reservation);
    assert_eq!(store.used(), 40);
    assert!(store.reserve(101).is_none());
    assert!(store.reserve(u64::MAX).is_none());
    assert!(has(&store, 2, 40), "nothing leaves for what cannot fit");
    assert!(store.reserve(100).is_some());
    assert!(store.is_empty());
}

#[test]
fn ca9_what_is_in_use_or_reserved_is_not_evicted() {
    let (_, store) = memory(100);
    assert!(put(&store, 1, 60));
    let blob = store.get(&digest(1, 60)).unwrap().unwrap();
    let clone = blob.clone();
    assert!(store.reserve(50).is_none());
    assert!(!put(&store, 2, 50));
    drop(blob);
    assert!(store.reserve(50).is_none());
    assert_eq!(read(&clone), content(1, 60));
    drop(clone);
    let mut reservation = store.reserve(50).unwrap();
    assert!(!has(&store, 1, 60));
    assert!(reservation.grow(50));
    assert!(!reservation.grow(1));
    assert_eq!((reservation.bytes(), store.used()), (100, 100));
    assert!(store.reserve(1).is_none());
}

#[test]
fn a_base_layer_of_two_images_survives_the_eviction_of_one() {
    let (_, store) = memory(100);
    let evicted = evictions(&store);
    // Image A is the base and layer 1, image B is the base and layer 2.
    assert!(put(&store, 0, 40) && put(&store, 1, 20));
    assert!(store.get(&digest(0, 40)).unwrap().is_some());
    assert!(put(&store, 2, 20));
    for id in 3..20 {
        assert!(put(&store, id, 20));
    }
    assert!(has(&store, 0, 40));
    assert_eq!(
        locked(&evicted)[..2],
        [(digest(1, 20), 20), (digest(2, 20), 20)]
    );
}

#[test]
fn a_blob_that_is_answered_from_memory_stays() {
    let (_, store) = memory(100);
    assert!(put(&store, 0, 10) && put(&store, 1, 10));
    for id in 2..20 {
        store.touch(&digest(0, 10));
        assert!(put(&store, id, 20));
    }
    assert!(has(&store, 0, 10));
    assert!(!has(&store, 1, 10));
    store.touch(&digest(99, 10));
}

#[test]
fn a_commit_takes_the_place_of_its_reservation() {
    let (_, store) = memory(100);
    let bytes = content(1, 30);
    let reservation = store.reserve(50).unwrap();
    let mut writer = store.begin(&digest(1, 30), None, reservation).unwrap();
    writer.write(&bytes[..10]).unwrap();
    let reader = writer.reader().unwrap();
    assert_eq!((writer.position(), store.used()), (10, 50));
    writer.write(&bytes[10..]).unwrap();
    writer.commit().unwrap();
    assert_eq!(store.used(), 30);
    let mut read = [0; 30];
    assert_eq!(reader.read_at(&mut read, 0).unwrap(), 30);

    // A blob of unknown size grows until nothing more can be evicted.
    let _blob = store.get(&digest(1, 30)).unwrap().unwrap();
    let reservation = store.reserve(0).unwrap();
    let mut writer = store.begin(&digest(2, 90), None, reservation).unwrap();
    writer.write(&content(2, 70)).unwrap();
    assert_eq!(store.used(), 100);
    let error = writer.write(b"2").unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full);
    assert!(!store.is_degraded(), "the budget is no write error");
    drop(writer);
    assert_eq!(store.used(), 30);
    let reservation = store.reserve(10).unwrap();
    let error = store.begin(&digest(2, 90), Some(90), reservation);
    assert_eq!(error.unwrap_err().kind(), StoreErrorKind::Full);
}

#[test]
fn a_wrong_blob_leaves_nothing() {
    let (memory, store) = memory(100);
    let reservation = store.reserve(5).unwrap();
    let mut writer = store.begin(&digest(1, 5), Some(5), reservation).unwrap();
    writer.write(b"wrong").unwrap();
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Content);
    assert_eq!(store.used(), 0);
    assert_eq!(memory.partials().unwrap().count(), 0);
    assert!(!store.is_degraded());
}

#[test]
fn partial_blobs_count_and_are_resumed() {
    let (memory, store) = memory(1_000);
    let begin = || {
        let reservation = store.reserve(200).unwrap();
        store
            .begin(&digest(1, 200), Some(200), reservation)
            .unwrap()
    };
    let mut writer = begin();
    writer.write(&content(1, 80)).unwrap();
    writer.keep().unwrap();
    assert_eq!(store.used(), 80);
    let mut writer = begin();
    assert_eq!((writer.position(), store.used()), (80, 200));
    writer.write(&content(1, 10)).unwrap();
    drop(writer);
    assert_eq!(store.used(), 90);

    // The partial blob still counts after a restart.
    let again = BoundedStore::open(Arc::new(memory.clone()), 1_000).unwrap();
    assert_eq!(again.used(), 90);

    // The partial blob is evicted when no blob can be evicted.
    let reservation = store.reserve(950).unwrap();
    assert_eq!(store.used(), 950);
    assert_eq!(memory.partials().unwrap().count(), 0);
    drop(reservation);

    // A partial blob larger than a tenth of the limit is not kept.
    let mut writer = begin();
    writer.write(&content(1, 101)).unwrap();
    drop(writer);
    assert_eq!(store.used(), 0);
    assert_eq!(memory.partials().unwrap().count(), 0);
}

#[test]
fn a_restart_finds_what_is_there_and_obeys_a_lower_limit() {
    let root = tempfile::tempdir().unwrap();
    let store = fs_store(root.path(), 1_000);
    for id in 0..5 {
        assert!(put(&store, id, 100));
    }
    assert!(store.get(&digest(0, 100)).unwrap().is_some());
    assert!(store.get(&digest(3, 100)).unwrap().is_some());
    let snapshot = store.snapshot();
    drop(store);
    let reopened = || Arc::new(FsStore::open(root.path(), Durability::None).unwrap());
    let store = BoundedStore::open(reopened(), 1_000).unwrap();
    assert_eq!((store.used(), store.len()), (500, 5));
    drop(store);
    let builder = BoundedStore::builder(reopened(), 250);
    let store = builder.recency(snapshot).open().unwrap();
    assert_eq!((store.used(), store.limit()), (200, 250));
    let mut entries: Vec<_> = store.entries().collect();
    entries.sort();
    let mut expected = [(digest(0, 100), 100), (digest(3, 100), 100)];
    expected.sort();
    assert_eq!(entries, expected);
}

#[test]
fn a_damaged_snapshot_is_ignored_from_the_damage_on() {
    let (memory, store) = memory(1_000);
    assert!(put(&store, 1, 10) && put(&store, 2, 10));
    assert!(store.get(&digest(1, 10)).unwrap().is_some());
    let snapshot = store.snapshot();
    let expected = format!(
        "longshore recency 1\ns0 {}\ns1 {}\n",
        digest(2, 10),
        digest(1, 10)
    );
    assert_eq!(String::from_utf8(snapshot.clone()).unwrap(), expected);
    assert_eq!(recency::read(&snapshot).len(), 2);
    for length in 0..snapshot.len() {
        let mut damaged = snapshot[..length].to_vec();
        assert!(recency::read(&damaged).len() < 2 || length + 1 == snapshot.len());
        damaged.extend(b"\xff\nx9 sha256:\n");
        let builder = BoundedStore::builder(Arc::new(memory.clone()), 1_000);
        assert_eq!(builder.recency(damaged).open().unwrap().used(), 20);
    }
}

/// Returns the file of a blob.
fn file(store: &BoundedStore, id: u8, size: usize) -> std::path::PathBuf {
    store.0.store.path(&digest(id, size)).unwrap()
}

#[test]
fn ca3_a_blob_of_another_size_is_quarantined_and_absent() {
    let root = tempfile::tempdir().unwrap();
    let store = fs_store(root.path(), 100);
    let gone = evictions(&store);
    assert!(put(&store, 1, 40) && put(&store, 2, 40));
    let path = file(&store, 1, 40);
    fs::write(&path, content(1, 39)).unwrap();
    assert!(store.get(&digest(1, 40)).unwrap().is_none());
    assert!(!path.exists());
    assert_eq!((store.used(), store.size(&digest(1, 40))), (40, None));
    assert_eq!(*locked(&gone), [(digest(1, 40), 40)]);
    // The blob is written again.
    assert!(put(&store, 1, 40));
    let blob = store.get(&digest(1, 40)).unwrap().unwrap();
    assert_eq!(read(&blob), content(1, 40));
}

#[test]
fn ca3_a_blob_whose_hash_is_wrong_is_quarantined_on_request() {
    let (memory, store) = memory(100);
    assert!(put(&store, 1, 40));
    let blob = store.get(&digest(1, 40)).unwrap().unwrap();
    store.quarantine(&digest(1, 40));
    assert!(store.get(&digest(1, 40)).unwrap().is_none());
    assert_eq!(memory.size(&digest(1, 40)).unwrap(), None);
    assert_eq!(read(&blob), content(1, 40), "readers keep what they have");
    assert_eq!(store.used(), 0);
}

#[test]
fn a_blob_deleted_by_hand_is_a_miss() {
    let root = tempfile::tempdir().unwrap();
    let store = fs_store(root.path(), 100);
    assert!(put(&store, 1, 40));
    fs::remove_file(file(&store, 1, 40)).unwrap();
    assert!(store.get(&digest(1, 40)).unwrap().is_none());
    assert_eq!((store.used(), store.len()), (0, 0));
    assert!(put(&store, 1, 40));
    fs::remove_file(file(&store, 1, 40)).unwrap();
    assert!(put(&store, 1, 40), "the file is looked for");
    assert!(store.get(&digest(1, 40)).unwrap().is_some());
    store.remove(&digest(1, 40));
    assert!(!file(&store, 1, 40).exists());
    assert_eq!(store.used(), 0);
}

#[test]
fn ca9_a_write_error_gives_the_reservation_back_and_hits_go_on() {
    let clock = TestClock::default();
    clock.advance(Duration::from_secs(1_000));
    // The disk is smaller than the limit of the store.
    let disk = MemoryStore::with_limit_bytes(50);
    let builder = BoundedStore::builder(Arc::new(disk), 100);
    let store = builder.clock(Arc::new(clock.clone())).open().unwrap();
    assert!(put(&store, 1, 40));
    let error = store.put(&digest(2, 20), &content(2, 20)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full);
    assert_eq!(store.used(), 40);
    assert!(store.is_degraded());
    assert_eq!(store.last_write_error(), Some(Duration::from_secs(1_000)));
    assert!(store.reserve(1).is_none(), "requests pass through");
    let blob = store.get(&digest(1, 40)).unwrap().unwrap();
    assert_eq!(read(&blob), content(1, 40));

    clock.advance(Duration::from_secs(10));
    assert!(!store.is_degraded());
    assert!(put(&store, 3, 10));
    assert_eq!(store.last_write_error(), None);
}

#[test]
fn ca9_write_errors_are_logged_once_a_minute() {
    let mut health = WriteHealth::default();
    let full = StoreError::Full { limit: 1 };
    let times = [0, 1, 59, 60, 61, 119, 120];
    let logged = times.map(|second| health.note(&full, Duration::from_secs(second)));
    assert_eq!(logged, [true, false, false, true, false, false, true]);
    health.succeeded();
    assert!(!health.note(&StoreError::Interrupted, Duration::from_secs(500)));
    assert_eq!(health.last_error(), None);
    assert!(!health.is_degraded(Duration::from_secs(120)));
}
