//! Concurrent work whose results are used in the order in which it was started.

use std::collections::{BTreeMap, VecDeque};

use tokio::task::JoinSet;

use crate::error::TransferError;

/// Runs work concurrently within limits, and gives the results in the order of the starts. Dropping
/// it ends the work.
pub(crate) struct InOrder<T> {
    running: JoinSet<(u64, T)>,
    /// Results that came before their turn.
    early: BTreeMap<u64, T>,
    /// The weights of what was started, and whose result was not given yet.
    weights: VecDeque<u64>,
    weight: u64,
    started: u64,
    most: usize,
    heaviest: u64,
}

impl<T: Send + 'static> InOrder<T> {
    /// Runs at most `most` pieces of work, which weigh at most `heaviest` together; one that is
    /// heavier runs alone.
    pub(crate) fn new(most: usize, heaviest: u64) -> Self {
        Self {
            running: JoinSet::new(),
            early: BTreeMap::new(),
            weights: VecDeque::new(),
            weight: 0,
            started: 0,
            most,
            heaviest,
        }
    }

    /// Returns whether work of this weight may start now. Results that are still to be given count
    /// as work.
    pub(crate) fn has_room(&self, weight: u64) -> bool {
        let fits = self.weight.saturating_add(weight) <= self.heaviest;
        self.weights.is_empty() || (self.weights.len() < self.most && fits)
    }

    pub(crate) fn start(&mut self, weight: u64, work: impl Future<Output = T> + Send + 'static) {
        let number = self.started;
        self.started += 1;
        self.weights.push_back(weight);
        self.weight = self.weight.saturating_add(weight);
        self.running.spawn(async move { (number, work.await) });
    }

    /// Gives the next result; `None` when nothing is left.
    pub(crate) async fn next(&mut self) -> Option<Result<T, TransferError>> {
        let weight = *self.weights.front()?;
        let turn = self.started - self.weights.len() as u64;
        loop {
            if let Some(result) = self.early.remove(&turn) {
                self.weights.pop_front();
                self.weight = self.weight.saturating_sub(weight);
                return Some(Ok(result));
            }
            match self.running.join_next().await? {
                Ok((number, result)) => self.early.insert(number, result),
                Err(_) => return Some(Err(TransferError::Worker)),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn results_come_in_the_order_of_the_starts() {
        let mut order = InOrder::new(2, 100);
        let (first, waits) = oneshot::channel();
        order.start(1, async move { waits.await.unwrap() });
        order.start(1, async move {
            first.send("first").unwrap();
            "second"
        });
        assert!(!order.has_room(1));
        assert_eq!(order.next().await.unwrap().unwrap(), "first");
        assert!(order.has_room(99));
        assert!(!order.has_room(100));
        assert_eq!(order.next().await.unwrap().unwrap(), "second");
        assert!(order.has_room(101));
        assert!(order.next().await.is_none());
    }
}
