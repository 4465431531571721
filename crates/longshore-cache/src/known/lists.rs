//! Recently used lists, in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::name::ImageName;
use crate::recent::Recent;
use crate::records::{ListKey, ListRecord};

/// Maximum memory for lists that are not large, in bytes: 8 MiB.
const LISTS_BYTES: usize = 8 * 1024 * 1024;

/// Weight in bytes above which a list is large: 4 MiB.
const LARGE_BYTES: usize = LISTS_BYTES / 2;

/// Upper bound of the memory for the key of a list and its place in the map, in bytes.
const KEY_BYTES: usize = 512;

/// Upper bound of the memory for an entry in addition to its text, in bytes.
const ENTRY_BYTES: usize = 40;

/// Maximum number of records of lists that are read at a time.
const READS: usize = 2;

type Key = (ImageName, ListKey);

/// Recently used lists, and the one large list that was used last.
///
/// An upstream may send a list that is larger than the memory for all others. Such a list stays
/// until the next one comes, so that its pages need no new read.
pub(super) struct Lists {
    small: Recent<Key, Arc<ListRecord>>,
    large: Mutex<Option<(Key, Arc<ListRecord>)>>,
    reads: Semaphore,
}

impl Lists {
    pub(super) fn new() -> Self {
        Self {
            small: Recent::with_weight(LISTS_BYTES, |list| weight(list)),
            large: Mutex::default(),
            reads: Semaphore::new(READS),
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<ListRecord>> {
        self.small.get(key).or_else(|| {
            let large = self.large();
            let found = large.as_ref().filter(|(known, _)| known == key);
            found.map(|(_, list)| Arc::clone(list))
        })
    }

    pub(super) fn insert(&self, key: Key, list: Arc<ListRecord>) {
        self.remove(&key);
        if weight(&list) > LARGE_BYTES {
            *self.large() = Some((key, list));
        } else {
            self.small.insert(key, list);
        }
    }

    pub(super) fn remove(&self, key: &Key) {
        self.small.remove(key);
        self.large().take_if(|(known, _)| known == key);
    }

    /// Waits until the record of a list may be read; `None` never happens while `self` exists.
    pub(super) async fn turn_to_read(&self) -> Option<SemaphorePermit<'_>> {
        self.reads.acquire().await.ok()
    }

    fn large(&self) -> MutexGuard<'_, Option<(Key, Arc<ListRecord>)>> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory that a list takes, in bytes.
fn weight(list: &ListRecord) -> usize {
    let entries = list.entries.iter().map(|entry| entry.len() + ENTRY_BYTES);
    entries.sum::<usize>() + size_of::<ListRecord>() + KEY_BYTES
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(repository: &str) -> Key {
        let (upstream, repository) = ("r.example".parse().unwrap(), repository.parse().unwrap());
        (ImageName::new(upstream, repository), ListKey::Tags)
    }

    fn list(bytes: usize) -> Arc<ListRecord> {
        Arc::new(ListRecord::new(vec!["a".repeat(bytes)], Duration::ZERO))
    }

    #[test]
    fn li2_one_large_list_stays_beside_the_others() {
        let lists = Lists::new();
        lists.insert(key("small"), list(10));
        for name in ["a", "b"] {
            lists.insert(key(name), list(LARGE_BYTES));
            assert_eq!(lists.get(&key(name)), Some(list(LARGE_BYTES)));
        }
        assert_eq!(lists.get(&key("a")), None);
        assert_eq!(lists.get(&key("small")), Some(list(10)));
        // A list may become small or large.
        lists.insert(key("b"), list(1));
        assert_eq!(lists.get(&key("b")), Some(list(1)));
        lists.insert(key("b"), list(LARGE_BYTES));
        assert_eq!(lists.get(&key("b")), Some(list(LARGE_BYTES)));
        lists.remove(&key("b"));
        assert_eq!(lists.get(&key("b")), None);
    }
}
