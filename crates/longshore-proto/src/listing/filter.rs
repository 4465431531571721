//! A filter for repeated entries of a list, in memory of a fixed size (LI2).

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

/// A Bloom filter of entries. It takes 2 MiB from the first entry.
///
/// With a million entries, one in four hundred new entries counts as repeated. That matters only if
/// more than [`STALE_PAGES_LIMIT`](super::STALE_PAGES_LIMIT) pages in a row have no other entry.
/// After a million entries the filter is cleared, so that repeated entries count as new.
#[derive(Clone, Debug, Default)]
pub(super) struct EntryFilter {
    bits: Vec<u64>,
    entries: u64,
}

/// The number of bits, a power of two.
const BITS: u64 = 1 << 24;

/// The number of bits of one entry.
const BITS_PER_ENTRY: u64 = 4;

/// The number of new entries after which the filter starts again.
const ENTRIES: u64 = 1_000_000;

impl EntryFilter {
    /// Adds an entry; returns whether it is new.
    pub(super) fn insert(&mut self, entry: &str) -> bool {
        if self.bits.is_empty() || self.entries == ENTRIES {
            self.bits.clear();
            self.bits.resize((BITS / 64) as usize, 0);
            self.entries = 0;
        }
        let hash = hash(entry);
        // All positions are computed from the two halves of one hash (double hashing).
        let (first, step) = (hash >> 32, hash | 1);
        let mut is_new = false;
        for number in 0..BITS_PER_ENTRY {
            let bit = first.wrapping_add(step.wrapping_mul(number)) % BITS;
            let mask = 1 << (bit % 64);
            // `bit` is below `BITS`, so the word exists.
            if let Some(word) = self.bits.get_mut((bit / 64) as usize) {
                is_new |= *word & mask == 0;
                *word |= mask;
            }
        }
        self.entries += u64::from(is_new);
        is_new
    }
}

pub(super) fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn li2_new_entries_are_recognised_among_a_million() {
        let mut filter = EntryFilter::default();
        let mut mistaken = 0;
        for number in 0..ENTRIES {
            mistaken += u32::from(!filter.insert(&number.to_string()));
        }
        assert!(mistaken < 1_000, "{mistaken}");
        assert_eq!(filter.bits.len() * 8, 2 * 1024 * 1024);
        for number in (0..ENTRIES).step_by(1000) {
            assert!(!filter.insert(&number.to_string()), "{number}");
        }
    }
}
