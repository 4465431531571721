//! How many requests to one origin may be in flight, and how long they wait.
//!
//! Additive increase, multiplicative decrease (AIMD, RFC 5681 §3.1): an answer that asks the client
//! to slow down halves the limit. The limit rises by one after as many good answers as the limit.
//!
//! ```text
//!            ┌── good answers, as many as the limit ─► limit + 1, up to the maximum
//!   limit ───┤
//!            └── 429, 503, 403 that is a rate limit ─► limit / 2, at least 1 (once a round)
//! ```
//!
//! Halving the limit ends a round. The other requests of that round get the same refusal for the
//! same reason, so they do not halve the limit again.

use std::time::Duration;

/// The pace of the requests to one origin. All times are durations since a start that the caller
/// chooses.
///
/// ```
/// use std::time::Duration;
/// use longshore_proto::pace::Pace;
///
/// let mut pace = Pace::new(32);
/// let (first, second) = (pace.round(), pace.round());
/// let now = Duration::from_secs(100);
/// pace.on_pushback(first, now, Some(Duration::from_secs(5)));
/// pace.on_pushback(second, now, None);
/// assert_eq!(pace.limit(), 16);
/// assert_eq!(pace.wait(now), Duration::from_secs(5));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    most: usize,
    limit: usize,
    round: u64,
    /// Number of good answers since the limit was changed.
    good: usize,
    not_before: Duration,
}

/// The round in which a request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round(u64);

impl Pace {
    /// Makes a pace of at most this many requests in flight. The limit starts at this maximum; 0
    /// counts as 1.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        let most = if most == 0 { 1 } else { most };
        Self {
            most,
            limit: most,
            round: 0,
            good: 0,
            not_before: Duration::ZERO,
        }
    }

    /// The maximum number of requests in flight now.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// The current round; a request keeps it until its answer arrives.
    #[must_use]
    pub const fn round(&self) -> Round {
        Round(self.round)
    }

    /// How long a request has to wait because of the answers to other requests.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Duration {
        self.not_before.saturating_sub(now)
    }

    /// An answer arrived that did not ask to slow down.
    pub fn on_good(&mut self) {
        if self.limit == self.most {
            return;
        }
        self.good += 1;
        if self.good >= self.limit {
            self.limit += 1;
            self.good = 0;
        }
    }

    /// An answer to a request of the round `sent` asked to slow down, and to wait for `wait`.
    pub fn on_pushback(&mut self, sent: Round, now: Duration, wait: Option<Duration>) {
        let until = now.saturating_add(wait.unwrap_or_default());
        self.not_before = self.not_before.max(until);
        if sent.0 == self.round {
            self.limit = (self.limit / 2).max(1);
            self.round += 1;
        }
        self.good = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn good(pace: &mut Pace, times: usize) -> usize {
        for _ in 0..times {
            pace.on_good();
        }
        pace.limit()
    }

    #[test]
    fn a_round_of_refusals_halves_the_limit_once() {
        let mut pace = Pace::new(32);
        let in_flight = [pace.round(); 32];
        for sent in in_flight {
            pace.on_pushback(sent, NOW, None);
        }
        assert_eq!(pace.limit(), 16);
        // Requests that are sent under the new limit count again.
        for limit in [8, 4, 2, 1, 1] {
            let sent = pace.round();
            pace.on_pushback(sent, NOW, None);
            assert_eq!(pace.limit(), limit);
        }
    }

    #[test]
    fn the_limit_recovers_by_one_after_as_many_good_answers() {
        let mut pace = Pace::new(4);
        for _ in 0..2 {
            let sent = pace.round();
            pace.on_pushback(sent, NOW, None);
        }
        assert_eq!(pace.limit(), 1);
        assert_eq!(good(&mut pace, 1), 2);
        assert_eq!(good(&mut pace, 1), 2);
        assert_eq!(good(&mut pace, 1), 3);
        assert_eq!(good(&mut pace, 3), 4);
        assert_eq!(good(&mut pace, 100), 4);
        // Only good answers in a row count: a refusal resets the count.
        let old = pace.round();
        pace.on_pushback(old, NOW, None);
        assert_eq!(good(&mut pace, 1), 2);
        pace.on_pushback(old, NOW, None);
        assert_eq!(good(&mut pace, 1), 2);
    }

    // RT3: a Retry-After is for every request to the origin.
    #[test]
    fn rt3_the_longest_wait_counts_until_it_is_over() {
        let mut pace = Pace::new(32);
        assert_eq!(pace.wait(NOW), Duration::ZERO);
        for (seconds, expected) in [(5, 5), (3, 5), (7, 7)] {
            let sent = pace.round();
            pace.on_pushback(sent, NOW, Some(Duration::from_secs(seconds)));
            assert_eq!(pace.wait(NOW), Duration::from_secs(expected));
        }
        assert_eq!(pace.wait(NOW * 2), Duration::ZERO);
        let sent = pace.round();
        pace.on_pushback(sent, NOW, Some(Duration::MAX));
        assert_eq!(pace.wait(NOW), Duration::MAX - NOW);
    }

    #[derive(Clone, Debug)]
    enum Event {
        Good,
        Pushback(u64, Option<u64>),
    }

    fn event() -> impl Strategy<Value = Event> {
        let wait = proptest::option::of(0..100_u64);
        let pushback = (0..4_u64, wait).prop_map(|(age, wait)| Event::Pushback(age, wait));
        prop_oneof![4 => Just(Event::Good), 1 => pushback]
    }

    proptest! {
        #[test]
        fn the_limit_stays_in_its_range_and_moves_by_the_rule(
            most in 0..40_usize,
            events in proptest::collection::vec(event(), 0..400),
        ) {
            let mut pace = Pace::new(most);
            for event in events {
                let before = pace.clone();
                match event {
                    Event::Good => {
                        pace.on_good();
                        prop_assert!(pace.limit() - before.limit() <= 1);
                    }
                    Event::Pushback(age, wait) => {
                        let sent = Round(before.round.saturating_sub(age));
                        let is_current = sent == before.round();
                        let wait = wait.map(Duration::from_secs);
                        pace.on_pushback(sent, NOW, wait);
                        let halved = (before.limit() / 2).max(1);
                        let expected = if is_current { halved } else { before.limit() };
                        prop_assert_eq!(pace.limit(), expected);
                        prop_assert!(pace.wait(NOW) >= wait.unwrap_or_default());
                    }
                }
                prop_assert!((1..=most.max(1)).contains(&pace.limit()));
                prop_assert!(pace.wait(NOW) >= before.wait(NOW));
            }
            // It recovers in full, however far it fell.
            prop_assert_eq!(good(&mut pace, 40 * 40), most.max(1));
        }
    }
}
