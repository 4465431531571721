//! Which entries of a list came before, in memory of a fixed size (LI2).

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

/// A Bloom filter of entries, 2 MiB large once it holds one.
///
/// With a million entries it takes one in four hundred new ones for an old one. That matters only
/// where more than [`STALE_PAGES_LIMIT`](super::STALE_PAGES_LIMIT) pages in a row have nothing
/// else. After a million entries it starts again, and takes old ones for new ones.
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
    /// Remembers an entry, and says whether it is new.
    pub(super) fn insert(&mut self, entry: &str) -> bool {
        if self.bits.is_empty() || self.entries == ENTRIES {
            self.bits.clear();
            self.bits.resize((BITS / 64) as usize, 0);
            self.entries = 0;
        }
        let hash = hash(entry);
        // Two halves of one hash make as many positions as are needed.
        let (first, step) = (hash >> 32, hash | 1);
        let mut is_new = false;
        for number in 0..BITS_PER_ENTRY {
            let bit = first.wrapping_add(step.wrapping_mul(number)) % BITS;
            let mask = 1 << (bit % 64);
            // There are as many words as `bit` can name.
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
    fn li2_a_million_entries_are_told_from_those_that_came() {
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
