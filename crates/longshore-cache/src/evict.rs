//! Chooses which blob a full store evicts: S3-FIFO, by bytes.
//!
//! Source: Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP
//! 2023. This module does no input or output and uses no clock.
//!
//! A new blob enters the *small* queue, which gets a tenth of the limit. When it is the oldest
//! there, it moves to the *main* queue if it was used again; otherwise it is evicted, and its
//! digest is remembered in the *ghost* queue. A blob that returns while its digest is remembered
//! enters the main queue directly. The oldest blob of the main queue is evicted if it was not used
//! since it was last the oldest; each use, up to three, gives it another round. A use only
//! increments a counter, so a hit changes neither queue.
//!
//! **Scans.** Images that are pulled once pass through the small queue and evict only each other.
//!
//! **Shared layers.** Blobs are counted, not images. The layers of an image that is not pulled
//! again have a count of 0 and are evicted. A pull of another image with the same base layer
//! increments the count of that layer, so the base layer stays longer than the layers of only one
//! image.
//!
//! **Memory.** A blob takes 64 bytes in a slot and 4 to 8 in the hash table. A digest in the ghost
//! queue takes 18 to 37; the ghost queue never has more entries than there are blobs. So a million
//! blobs take 86 to 109 MB, and up to 64 MB more when the vector of slots has just grown.
//!
//! **Evidence.** The tests of this module measure hit ratios of requests for popular blobs under
//! S3-FIFO, LRU and FIFO. A trace has 100,000 requests. There are 10,000 popular blobs of 1 to 100
//! units; requests for them follow the Zipf distribution with exponent 0.9. The limit is a tenth of
//! their bytes. In the second trace every other run of 2,000 requests is a scan: requests for blobs
//! that are not requested again.
//!
//! | trace | FIFO | LRU | S3-FIFO |
//! |---|---|---|---|
//! | Zipf | 50.8 % | 55.4 % | 62.7 % |
//! | Zipf and scans | 45.4 % | 45.8 % | 61.7 % |

mod entries;
mod ghost;
mod key;

use self::entries::{Entries, Number};
use self::ghost::Ghost;

pub(crate) use self::entries::Queue;
pub(crate) use self::key::Key;

/// The small queue gets one tenth of the limit, as in the paper.
const SMALL_SHARE: u64 = 10;

/// The highest count of uses. Source: the paper uses two bits.
const COUNT_LIMIT: u8 = 3;

/// The sizes and uses of the blobs in a store, and the order of their eviction.
#[derive(Debug)]
pub(crate) struct Eviction {
    entries: Entries,
    ghost: Ghost,
    small_limit: u64,
}

/// One blob with its place in a queue, to restore the place after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) key: Key,
    pub(crate) queue: Queue,
    pub(crate) count: u8,
}

impl Eviction {
    /// Makes an empty index for a store of at most `limit` bytes. The limit only sets the size of
    /// the small queue: the caller decides when to evict a blob.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            entries: Entries::new(),
            ghost: Ghost::default(),
            small_limit: limit / SMALL_SHARE,
        }
    }

    /// Returns how many blobs there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the sum of the sizes of all blobs.
    pub(crate) fn bytes(&self) -> u64 {
        let queue = |queue| self.entries.queue(queue).bytes;
        queue(Queue::Small) + queue(Queue::Main)
    }

    /// Returns the size of a blob.
    pub(crate) fn size(&self, key: &Key) -> Option<u64> {
        let (_, slot) = self.entries.get(self.entries.find(key)?)?;
        Some(slot.size)
    }

    /// Adds a written blob. An existing blob gets this size and keeps its place.
    pub(crate) fn insert(&mut self, key: Key, size: u64) {
        if let Some(number) = self.entries.find(&key) {
            self.entries.resize(number, size);
            return;
        }
        let queue = match self.ghost.take(key.fingerprint()) {
            true => Queue::Main,
            false => Queue::Small,
        };
        self.entries.add(key, size, queue);
    }

    /// Adds a blob of unknown use to the main queue, so that it is not on probation as new blobs
    /// are.
    pub(crate) fn insert_found(&mut self, key: Key, size: u64) {
        if self.entries.find(&key).is_none() {
            self.entries.add(key, size, Queue::Main);
        }
    }

    /// Counts a use of a blob and returns its size; `None` when there is no such blob.
    pub(crate) fn touch(&mut self, key: &Key) -> Option<u64> {
        let slot = self.entries.get_mut(self.entries.find(key)?)?;
        slot.count = slot.count.saturating_add(1).min(COUNT_LIMIT);
        Some(slot.size)
    }

    /// Removes a blob and returns its size.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<u64> {
        let (_, size) = self.entries.remove(self.entries.find(key)?)?;
        Some(size)
    }

    /// Removes and returns the next blob to evict that is not in use now; `None` when every blob is
    /// in use.
    ///
    /// If the oldest blob of a queue is in use, it becomes the newest. So a call visits each blob
    /// in use at most once in the small queue and four times in the main queue. It visits a
    /// constant number of other blobs on average, because each further visit consumes one counted
    /// use.
    pub(crate) fn evict(&mut self, in_use: impl Fn(&Key) -> bool) -> Option<(Key, u64)> {
        // Visits of blobs in use in the small queue, and of all blobs that stay in the main queue.
        let (mut small_looks, mut main_looks) = (0, 0);
        loop {
            let small = self.entries.queue(Queue::Small);
            let main = self.entries.queue(Queue::Main);
            let small_open = small_looks < small.len;
            let main_open = main_looks < main.len * (usize::from(COUNT_LIMIT) + 1);
            let main_spent = main.len > 0 && !main_open;
            let small_full = small.bytes > self.small_limit;
            let number = match (small_open, main_open) {
                (true, main_open) if small_full || !main_open => small.oldest,
                (_, true) => main.oldest,
                _ => return None,
            };
            let (key, slot) = self.entries.get(number)?;
            let (queue, count) = (slot.queue, slot.count);
            match (queue, in_use(key)) {
                (Queue::Small, true) => {
                    self.entries.renew(number, Queue::Small);
                    small_looks += 1;
                }
                // If nothing can be evicted from the main queue, evict a blob on probation.
                (Queue::Small, false) if count == 0 || main_spent => {
                    return self.evict_small(number);
                }
                (Queue::Small, false) => self.promote(number),
                (Queue::Main, false) if count == 0 => return self.entries.remove(number),
                (Queue::Main, in_use) => {
                    self.next_round(number, in_use);
                    main_looks += 1;
                }
            }
        }
    }

    fn evict_small(&mut self, number: Number) -> Option<(Key, u64)> {
        let (key, size) = self.entries.remove(number)?;
        self.ghost.add(key.fingerprint(), self.entries.len());
        Some((key, size))
    }

    fn promote(&mut self, number: Number) {
        if let Some(slot) = self.entries.get_mut(number) {
            slot.count = 0;
        }
        self.entries.renew(number, Queue::Main);
    }

    fn next_round(&mut self, number: Number, in_use: bool) {
        if let Some(slot) = self.entries.get_mut(number) {
            slot.count -= u8::from(!in_use);
        }
        self.entries.renew(number, Queue::Main);
    }

    /// Returns up to `limit` blobs: those of the small queue, then those of the main queue, each
    /// from the newest to the oldest.
    pub(crate) fn newest(&self, limit: usize) -> Vec<Place> {
        let queue = |queue| self.entries.newest(queue);
        queue(Queue::Small)
            .chain(queue(Queue::Main))
            .map(|(key, slot)| Place {
                key: key.clone(),
                queue: slot.queue,
                count: slot.count,
            })
            .take(limit)
            .collect()
    }

    /// Restores the place of a blob, as the newest of its queue. An absent blob is ignored.
    pub(crate) fn place(&mut self, place: &Place) {
        let Some(number) = self.entries.find(&place.key) else {
            return;
        };
        if let Some(slot) = self.entries.get_mut(number) {
            slot.count = place.count.min(COUNT_LIMIT);
        }
        self.entries.renew(number, place.queue);
    }

    /// Returns up to `limit` blobs and where the next page begins, `None` at the end. The first
    /// page begins at 0. Blobs that are added or removed between calls may be listed or not.
    pub(crate) fn page(&self, from: Number, limit: usize) -> (Vec<(Key, u64)>, Option<Number>) {
        let slots = self.entries.slots();
        let end = from.saturating_add(Number::try_from(limit).unwrap_or(Number::MAX));
        let end = end.min(slots);
        let blobs = (from..end)
            .filter_map(|number| self.entries.get(number))
            .map(|(key, slot)| (key.clone(), slot.size))
            .collect();
        (blobs, (end < slots).then_some(end))
    }
}

#[cfg(test)]
mod tests;
