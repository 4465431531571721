//! A bounded map of recently used entries.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A map that drops the least recently used entries.
///
/// It holds two generations. New and used entries are in the young one; when the young generation
/// is full, it becomes the old one, and the entries left in the previous old generation are
/// dropped. The total weight is at most twice the limit of a generation. A look-up of a young entry
/// takes only a read lock.
pub(crate) struct Recent<K, V> {
    generations: RwLock<Generations<K, V>>,
    /// The largest weight of one generation.
    limit: usize,
    weight: fn(&V) -> usize,
}

struct Generations<K, V> {
    young: HashMap<K, V>,
    young_weight: usize,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq, V: Clone> Recent<K, V> {
    /// Makes a map of at most `most` entries.
    pub(crate) fn with_entries(most: usize) -> Self {
        Self::with_weight(most, |_| 1)
    }

    /// Makes a map whose entries have at most the total weight `most`.
    pub(crate) fn with_weight(most: usize, weight: fn(&V) -> usize) -> Self {
        Self {
            generations: RwLock::new(Generations {
                young: HashMap::new(),
                young_weight: 0,
                old: HashMap::new(),
            }),
            limit: most / 2,
            weight,
        }
    }

    /// Returns the value of a key, and counts it as used.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let generations = self.read();
        if let Some(value) = generations.young.get(key) {
            return Some(value.clone());
        }
        if !generations.old.contains_key(key) {
            return None;
        }
        drop(generations);
        let mut generations = self.write();
        if let Some((key, value)) = generations.old.remove_entry(key) {
            self.add(&mut generations, key, value.clone());
            return Some(value);
        }
        // Another thread moved the entry to the young generation.
        generations.young.get(key).cloned()
    }

    /// Sets the value of a key. A value that is heavier than a generation is not kept.
    pub(crate) fn insert(&self, key: K, value: V) {
        let mut generations = self.write();
        generations.old.remove(&key);
        self.add(&mut generations, key, value);
    }

    /// Removes a key.
    pub(crate) fn remove(&self, key: &K) {
        let mut generations = self.write();
        generations.old.remove(key);
        if let Some(value) = generations.young.remove(key) {
            let weight = (self.weight)(&value);
            generations.young_weight = generations.young_weight.saturating_sub(weight);
        }
    }

    fn add(&self, generations: &mut Generations<K, V>, key: K, value: V) {
        let weight = (self.weight)(&value);
        if weight > self.limit {
            return;
        }
        let replaced = match generations.young.entry(key) {
            Entry::Occupied(mut entry) => (self.weight)(&entry.insert(value)),
            Entry::Vacant(entry) => {
                entry.insert(value);
                0
            }
        };
        let before = generations.young_weight.saturating_sub(replaced);
        generations.young_weight = before + weight;
        if generations.young_weight > self.limit {
            generations.old = std::mem::take(&mut generations.young);
            generations.young_weight = 0;
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Generations<K, V>> {
        self.generations
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Generations<K, V>> {
        self.generations
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let recent = Recent::with_entries(20);
        recent.insert(0, 'a');
        for key in 1..200 {
            recent.insert(key, 'b');
            assert_eq!(recent.get(&0), Some('a'), "{key}");
        }
        assert_eq!(recent.get(&1), None);
        assert_eq!(recent.get(&199), Some('b'));
        let generations = recent.read();
        assert!(generations.young.len() + generations.old.len() <= 22);
    }

    #[test]
    fn the_weight_is_bounded_and_a_heavy_value_is_not_kept() {
        let recent = Recent::with_weight(100, Vec::len);
        recent.insert(1, vec![0_u8; 51]);
        assert_eq!(recent.get(&1), None);
        for key in 2..50 {
            recent.insert(key, vec![0; 10]);
            recent.insert(key, vec![0; 20]);
            let generations = recent.read();
            let all = generations.young.values().chain(generations.old.values());
            assert!(all.map(Vec::len).sum::<usize>() <= 120);
        }
        recent.remove(&49);
        assert_eq!(recent.get(&49), None);
    }
}
