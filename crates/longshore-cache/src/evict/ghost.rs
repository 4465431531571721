//! The digests of evicted blobs.

use std::collections::{HashSet, VecDeque};

/// A first-in, first-out queue of fingerprints of digests.
///
/// The fingerprint of a blob that returned stays in the queue until it is the oldest. If the blob
/// is evicted again before that, its fingerprint is forgotten earlier than others. The blob may
/// then enter the small queue once more; in exchange no linked list is needed.
#[derive(Debug, Default)]
pub(super) struct Ghost {
    order: VecDeque<u64>,
    remembered: HashSet<u64>,
}

impl Ghost {
    /// Remembers a fingerprint, and forgets the oldest ones beyond `limit`.
    pub(super) fn add(&mut self, fingerprint: u64, limit: usize) {
        if self.remembered.insert(fingerprint) {
            self.order.push_back(fingerprint);
        }
        while self.order.len() > limit {
            if let Some(oldest) = self.order.pop_front() {
                self.remembered.remove(&oldest);
            }
        }
    }

    /// Returns whether a fingerprint was remembered, and forgets it.
    pub(super) fn take(&mut self, fingerprint: u64) -> bool {
        self.remembered.remove(&fingerprint)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}
