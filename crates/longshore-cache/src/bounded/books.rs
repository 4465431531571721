//! The accounts of a bounded store: bytes that are stored, reserved or being deleted.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::evict::{Eviction, Key};

/// Partial blobs may take one tenth of the limit.
const KEPT_SHARE: u64 = 10;

/// Maximum number of partial blobs. The limit bounds linear searches of their list.
const KEPT_LIMIT: usize = 1_024;

/// The blobs, leases, partial blobs and reservations of a store.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) limit: u64,
    pub(super) blobs: Eviction,
    /// Number of leases of each leased blob.
    leases: HashMap<Key, u32>,
    /// Digests whose files are being written or deleted.
    pub(super) claimed: HashSet<Key>,
    /// Blobs that are no longer served but whose files may still exist.
    leaving: HashMap<Key, u64>,
    leaving_bytes: u64,
    /// Partial blobs, from the oldest to the newest.
    kept: VecDeque<(Key, u64)>,
    kept_bytes: u64,
    reserved: u64,
}

/// The next step of a reservation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// The bytes were reserved.
    Reserved,
    /// This content must be deleted first; its key is claimed.
    Delete(Doomed),
    /// Another thread is deleting content: wait for it.
    Wait,
    /// Nothing can be deleted.
    None,
}

/// Content to delete. Its key is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Doomed {
    /// A blob that was just evicted, with its size.
    Blob(Key, u64),
    /// A blob whose earlier deletion failed.
    Left(Key),
    /// A partial blob.
    Partial(Key),
}

impl Books {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            blobs: Eviction::new(limit),
            leases: HashMap::new(),
            claimed: HashSet::new(),
            leaving: HashMap::new(),
            leaving_bytes: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            reserved: 0,
        }
    }

    /// Returns the bytes that count towards the limit.
    pub(super) fn used(&self) -> u64 {
        self.blobs.bytes() + self.leaving_bytes + self.kept_bytes + self.reserved
    }

    /// Reserves bytes, or returns the step that is required first.
    pub(super) fn room(&mut self, bytes: u64) -> Room {
        let fits = |used: u64, limit| used.checked_add(bytes).is_some_and(|sum| sum <= limit);
        if fits(self.used(), self.limit) {
            self.reserved += bytes;
            return Room::Reserved;
        }
        let leased = self.leases.keys().filter_map(|key| self.blobs.size(key));
        if !fits(self.reserved + leased.sum::<u64>(), self.limit) {
            return Room::None;
        }
        match self.doomed() {
            Some(doomed) => Room::Delete(doomed),
            None if !self.leaving.is_empty() => Room::Wait,
            None => Room::None,
        }
    }

    fn doomed(&mut self) -> Option<Doomed> {
        let left = self.leaving.keys().find(|key| !self.claimed.contains(*key));
        if let Some(key) = left.cloned() {
            self.claimed.insert(key.clone());
            return Some(Doomed::Left(key));
        }
        let (leases, claimed) = (&self.leases, &self.claimed);
        let in_use = |key: &Key| leases.contains_key(key) || claimed.contains(key);
        if let Some((key, size)) = self.blobs.evict(in_use) {
            self.leave(key.clone(), size);
            self.claimed.insert(key.clone());
            return Some(Doomed::Blob(key, size));
        }
        self.oldest_partial()
    }

    fn oldest_partial(&mut self) -> Option<Doomed> {
        let mut kept = self.kept.iter().map(|(key, _)| key);
        let key = kept.find(|key| !self.claimed.contains(*key))?.clone();
        self.claimed.insert(key.clone());
        Some(Doomed::Partial(key))
    }

    /// Returns a partial blob to delete if there are too many.
    pub(super) fn surplus_partial(&mut self) -> Option<Doomed> {
        let surplus = self.kept_bytes > self.limit / KEPT_SHARE || self.kept.len() > KEPT_LIMIT;
        surplus.then(|| self.oldest_partial())?
    }

    /// Releases reserved bytes.
    pub(super) fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    /// Counts a use of a blob, protects it from eviction and returns its size. A use that starts
    /// during another use is not counted, so that parallel ranges of one client count once.
    pub(super) fn lease(&mut self, key: &Key) -> Option<u64> {
        let size = match self.leases.contains_key(key) {
            true => self.blobs.size(key)?,
            false => self.blobs.touch(key)?,
        };
        *self.leases.entry(key.clone()).or_default() += 1;
        Some(size)
    }

    /// Ends a lease of [`Books::lease`].
    pub(super) fn end_lease(&mut self, key: &Key) {
        if let Some(count) = self.leases.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.leases.remove(key);
            }
        }
    }

    /// Adds a written blob; it replaces all other files of the same digest.
    pub(super) fn store(&mut self, key: Key, size: u64) {
        self.left(&key);
        self.set_kept(&key, 0);
        self.blobs.insert(key, size);
    }

    /// Removes a blob from the served blobs; its bytes count until [`Books::left`].
    pub(super) fn withdraw(&mut self, key: &Key) -> Option<u64> {
        let size = self.blobs.remove(key)?;
        self.leave(key.clone(), size);
        Some(size)
    }

    /// Counts the file of a blob that is not served.
    pub(super) fn leave(&mut self, key: Key, size: u64) {
        self.left(&key);
        self.leaving_bytes += size;
        self.leaving.insert(key, size);
    }

    /// Records that the file of a withdrawn blob was deleted or replaced.
    pub(super) fn left(&mut self, key: &Key) {
        if let Some(size) = self.leaving.remove(key) {
            self.leaving_bytes -= size;
        }
    }

    /// Returns the size of the partial blob of a digest.
    pub(super) fn kept(&self, key: &Key) -> u64 {
        let mut kept = self.kept.iter();
        kept.find(|(kept, _)| kept == key)
            .map_or(0, |(_, size)| *size)
    }

    /// Sets the size of the partial blob of a digest, and makes it the newest; 0 removes it.
    pub(super) fn set_kept(&mut self, key: &Key, size: u64) {
        if let Some(at) = self.kept.iter().position(|(kept, _)| kept == key) {
            self.kept_bytes -= self.kept.remove(at).map_or(0, |(_, size)| size);
        }
        if size > 0 {
            self.kept_bytes += size;
            self.kept.push_back((key.clone(), size));
        }
    }
}

#[cfg(test)]
mod tests {
    use longshore_model::Digest;

    use super::*;

    #[test]
    fn what_somebody_writes_or_deletes_is_not_evicted() {
        let [one, two] = [b"1", b"2"].map(|content| Key::of(&Digest::sha256(content)));
        let mut books = Books::new(100);
        books.store(one.clone(), 40);
        books.set_kept(&two, 40);
        books.claimed.extend([one.clone(), two.clone()]);
        assert_eq!(books.room(50), Room::None);
        books.claimed.remove(&two);
        assert_eq!(books.room(50), Room::Delete(Doomed::Partial(two.clone())));
        books.claimed.remove(&one);
        assert_eq!(books.room(50), Room::Delete(Doomed::Blob(one.clone(), 40)));
        assert_eq!((books.used(), books.room(50)), (80, Room::Wait));
        books.left(&one);
        assert_eq!((books.room(50), books.used()), (Room::Reserved, 90));
    }

    #[test]
    fn partial_blobs_are_limited_in_number() {
        let mut books = Books::new(1_000_000);
        let key = |id: usize| Key::of(&Digest::sha256(&id.to_be_bytes()));
        for id in 0..KEPT_LIMIT {
            books.set_kept(&key(id), 1);
        }
        assert_eq!(books.surplus_partial(), None);
        books.set_kept(&key(KEPT_LIMIT), 1);
        assert_eq!(books.surplus_partial(), Some(Doomed::Partial(key(0))));
    }

    #[test]
    fn uses_at_the_same_time_count_once() {
        let key = Key::of(&Digest::sha256(b"1"));
        let mut books = Books::new(100);
        assert_eq!(books.lease(&key), None);
        books.store(key.clone(), 40);
        let count = |books: &Books| books.blobs.newest(1).first().map(|place| place.count);
        for _ in 0..3 {
            assert_eq!(books.lease(&key), Some(40));
        }
        assert_eq!(count(&books), Some(1));
        for _ in 0..3 {
            books.end_lease(&key);
        }
        assert_eq!(books.lease(&key), Some(40));
        assert_eq!(count(&books), Some(2));
    }
}
