//! The entries of the two queues: slots in one vector, linked into queues and hash chains by slot
//! number.

use std::hash::{BuildHasher as _, RandomState};

use super::key::Key;

/// The number of a slot, or [`NONE`].
pub(super) type Number = u32;

/// No slot. A store never has this many entries, because memory would run out.
pub(super) const NONE: Number = Number::MAX;

/// The queue an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    Small,
    Main,
}

/// The entry of one blob: 64 bytes.
#[derive(Debug)]
pub(super) struct Slot {
    /// `None` when the slot is free.
    key: Option<Key>,
    pub(super) size: u64,
    /// The neighbours in the queue; of a free slot `older` is the next free one.
    newer: Number,
    older: Number,
    /// The next entry in the same hash chain.
    chain: Number,
    pub(super) count: u8,
    pub(super) queue: Queue,
}

/// The ends and the sum of one queue.
#[derive(Debug)]
pub(super) struct Ends {
    newest: Number,
    pub(super) oldest: Number,
    pub(super) len: usize,
    pub(super) bytes: u64,
}

impl Ends {
    const EMPTY: Self = Self {
        newest: NONE,
        oldest: NONE,
        len: 0,
        bytes: 0,
    };
}

/// Entries by key, each in one of two queues.
///
/// The hash table stores numbers of slots only, so a key is in memory once. Hashes have a random
/// key per process, so that clients cannot choose digests that share a chain.
#[derive(Debug)]
pub(super) struct Entries {
    slots: Vec<Slot>,
    free: Number,
    chains: Vec<Number>,
    hasher: RandomState,
    small: Ends,
    main: Ends,
}

impl Entries {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            chains: vec![NONE; 16],
            hasher: RandomState::new(),
            small: Ends::EMPTY,
            main: Ends::EMPTY,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.small.len + self.main.len
    }

    pub(super) fn queue(&self, queue: Queue) -> &Ends {
        match queue {
            Queue::Small => &self.small,
            Queue::Main => &self.main,
        }
    }

    fn queue_mut(&mut self, queue: Queue) -> &mut Ends {
        match queue {
            Queue::Small => &mut self.small,
            Queue::Main => &mut self.main,
        }
    }

    /// Returns an entry; `None` for the number of a free slot.
    pub(super) fn get(&self, number: Number) -> Option<(&Key, &Slot)> {
        let slot = self.slots.get(number as usize)?;
        Some((slot.key.as_ref()?, slot))
    }

    pub(super) fn get_mut(&mut self, number: Number) -> Option<&mut Slot> {
        self.slots.get_mut(number as usize)
    }

    /// Returns how many slots there are, free ones included: a bound for walks over all entries.
    pub(super) fn slots(&self) -> Number {
        Number::try_from(self.slots.len()).unwrap_or(NONE)
    }

    /// Returns the entries of a queue, from the newest to the oldest.
    pub(super) fn newest(&self, queue: Queue) -> impl Iterator<Item = (&Key, &Slot)> {
        let mut number = self.queue(queue).newest;
        std::iter::from_fn(move || {
            let (key, slot) = self.get(number)?;
            number = slot.older;
            Some((key, slot))
        })
    }

    pub(super) fn find(&self, key: &Key) -> Option<Number> {
        let mut number = *self.chains.get(self.chain_of(key))?;
        while let Some(slot) = self.slots.get(number as usize) {
            if slot.key.as_ref() == Some(key) {
                return Some(number);
            }
            number = slot.chain;
        }
        None
    }

    /// Adds a new entry, as the newest of its queue.
    pub(super) fn add(&mut self, key: Key, size: u64, queue: Queue) {
        if self.len() >= self.chains.len() {
            self.grow();
        }
        let chain = self.chain_of(&key);
        let slot = Slot {
            key: Some(key),
            size,
            newer: NONE,
            older: NONE,
            chain: self.chains.get(chain).copied().unwrap_or(NONE),
            count: 0,
            queue,
        };
        let number = self.store(slot);
        if let Some(first) = self.chains.get_mut(chain) {
            *first = number;
        }
        self.link(number, queue);
    }

    /// Removes an entry from its queue and its hash chain.
    pub(super) fn remove(&mut self, number: Number) -> Option<(Key, u64)> {
        self.unlink(number);
        self.unchain(number);
        let free = self.free;
        let slot = self.slots.get_mut(number as usize)?;
        let key = slot.key.take()?;
        let size = slot.size;
        slot.older = free;
        self.free = number;
        Some((key, size))
    }

    /// Makes an entry the newest of a queue.
    pub(super) fn renew(&mut self, number: Number, queue: Queue) {
        self.unlink(number);
        self.link(number, queue);
    }

    /// Corrects the size of an entry.
    pub(super) fn resize(&mut self, number: Number, size: u64) {
        let Some(slot) = self.slots.get_mut(number as usize) else {
            return;
        };
        let (queue, before) = (slot.queue, std::mem::replace(&mut slot.size, size));
        let ends = self.queue_mut(queue);
        ends.bytes = (ends.bytes - before) + size;
    }

    fn store(&mut self, slot: Slot) -> Number {
        let number = self.free;
        if let Some(free) = self.slots.get_mut(number as usize) {
            self.free = free.older;
            *free = slot;
            return number;
        }
        self.slots.push(slot);
        Number::try_from(self.slots.len() - 1).unwrap_or(NONE)
    }

    fn link(&mut self, number: Number, queue: Queue) {
        let newest = self.queue(queue).newest;
        let Some(slot) = self.slots.get_mut(number as usize) else {
            return;
        };
        (slot.queue, slot.older, slot.newer) = (queue, newest, NONE);
        let size = slot.size;
        if let Some(before) = self.slots.get_mut(newest as usize) {
            before.newer = number;
        }
        let ends = self.queue_mut(queue);
        if ends.oldest == NONE {
            ends.oldest = number;
        }
        ends.newest = number;
        ends.len += 1;
        ends.bytes += size;
    }

    fn unlink(&mut self, number: Number) {
        let Some((_, slot)) = self.get(number) else {
            return;
        };
        let (queue, newer, older, size) = (slot.queue, slot.newer, slot.older, slot.size);
        if let Some(slot) = self.slots.get_mut(newer as usize) {
            slot.older = older;
        }
        if let Some(slot) = self.slots.get_mut(older as usize) {
            slot.newer = newer;
        }
        let ends = self.queue_mut(queue);
        if ends.newest == number {
            ends.newest = older;
        }
        if ends.oldest == number {
            ends.oldest = newer;
        }
        ends.len -= 1;
        ends.bytes -= size;
    }

    fn unchain(&mut self, number: Number) {
        let Some((key, slot)) = self.get(number) else {
            return;
        };
        let (chain, next) = (self.chain_of(key), slot.chain);
        let Some(first) = self.chains.get_mut(chain) else {
            return;
        };
        if *first == number {
            *first = next;
            return;
        }
        let mut before = *first;
        while let Some(slot) = self.slots.get_mut(before as usize) {
            if slot.chain == number {
                slot.chain = next;
                return;
            }
            before = slot.chain;
        }
    }

    fn chain_of(&self, key: &Key) -> usize {
        // The number of chains is a power of two.
        (self.hasher.hash_one(key) as usize) & (self.chains.len() - 1)
    }

    /// Doubles the number of hash chains: there is at least one for each entry.
    fn grow(&mut self) {
        self.chains = vec![NONE; self.chains.len() * 2];
        for number in 0..self.slots.len() {
            let Some(key) = self.slots.get(number).and_then(|slot| slot.key.as_ref()) else {
                continue;
            };
            let chain = self.chain_of(key);
            let (Some(first), Some(slot)) =
                (self.chains.get_mut(chain), self.slots.get_mut(number))
            else {
                continue;
            };
            slot.chain = std::mem::replace(first, Number::try_from(number).unwrap_or(NONE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_takes_64_bytes() {
        assert_eq!(size_of::<Slot>(), 64);
    }
}
