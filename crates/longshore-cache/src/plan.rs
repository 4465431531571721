//! Decides what to do with a request, from what is known about its target.
//!
//! These functions are pure: they use no clock, store or socket.

use std::time::Duration;

/// Whether a tag or list that the upstream confirmed earlier can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// Young enough to be used without a request to the upstream.
    Fresh,
    /// To be revalidated, but usable if the upstream does not answer.
    Stale,
    /// Too old to be used without the upstream.
    Expired,
}

impl Age {
    /// Returns the age at one Unix time of something that was validated at another (CA8: a tag is
    /// fresh for its TTL, and stale but usable for a limited time after it).
    ///
    /// `ttl` of `None` means that it never changes. The system clock may have been set back since
    /// then: if the time of validation is more than one TTL in the future, the age is stale, so
    /// that the record is neither fresh for years nor lost.
    pub(crate) fn of(
        validated: Duration,
        now: Duration,
        ttl: Option<Duration>,
        stale_limit: Duration,
    ) -> Self {
        let Some(ttl) = ttl else {
            return Self::Fresh;
        };
        match now.checked_sub(validated) {
            Some(age) if age < ttl => Self::Fresh,
            Some(age) if age < ttl.saturating_add(stale_limit) => Self::Stale,
            Some(_) => Self::Expired,
            None if validated.saturating_sub(now) < ttl => Self::Fresh,
            None => Self::Stale,
        }
    }
}

/// What is known about something that the upstream can change: a tag or a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameFacts {
    /// The age of its record; `None` without a record.
    pub(crate) age: Option<Age>,
    /// Whether the content that the record names is in the cache.
    pub(crate) at_hand: bool,
    /// Whether the upstream answered recently that it does not exist.
    pub(crate) known_absent: bool,
    /// Whether the upstream is configured as offline.
    pub(crate) offline: bool,
    /// Whether to avoid requests to the upstream for now: it failed recently, or its rate limit is
    /// nearly used up.
    pub(crate) spare: bool,
}

/// What to do with a request for a tag or a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamePlan {
    /// Answer from the record.
    Serve {
        /// Whether the answer is marked as stale.
        stale: bool,
    },
    /// Ask the upstream whether the record is still current. With `stale`, the wait is short, and
    /// then the answer comes from the record.
    Revalidate {
        /// Whether the record may be used if the upstream does not answer.
        stale: bool,
    },
    /// Fetch it from the upstream.
    Fetch,
    /// Answer that it does not exist.
    Absent,
    /// Answer that it is not in the cache and that the upstream is offline.
    Offline,
}

/// Decides what to do with a request for a tag or a list.
pub(crate) const fn plan_name(facts: NameFacts) -> NamePlan {
    let record = if facts.at_hand { facts.age } else { None };
    match record {
        Some(Age::Fresh) => NamePlan::Serve { stale: false },
        Some(_) if facts.offline => NamePlan::Serve { stale: true },
        Some(_) if facts.known_absent => NamePlan::Absent,
        Some(Age::Stale) if facts.spare => NamePlan::Serve { stale: true },
        Some(age) => NamePlan::Revalidate {
            stale: matches!(age, Age::Stale),
        },
        None if facts.offline => NamePlan::Offline,
        None if facts.known_absent => NamePlan::Absent,
        None => NamePlan::Fetch,
    }
}

/// What is known about content that is named by its digest and so never changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContentFacts {
    /// Whether an upstream answer proved that this repository contains it (CA6).
    pub(crate) shown: bool,
    /// Whether its verified bytes are in the cache.
    pub(crate) at_hand: bool,
    /// Whether the upstream answered recently that this repository does not contain it.
    pub(crate) known_absent: bool,
    /// Whether the upstream is configured as offline.
    pub(crate) offline: bool,
}

/// What to do with a request for content by digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentPlan {
    /// Answer from the cache.
    Serve,
    /// Ask the upstream whether the repository contains it, then answer from the cache (CA6:
    /// presence in the store does not permit an answer).
    Show,
    /// Fetch it from the upstream, or join the transfer that runs.
    Fetch,
    /// Answer that it does not exist.
    Absent,
    /// Answer that it is not in the cache and that the upstream is offline.
    Offline,
}

/// Decides what to do with a request for content by digest.
pub(crate) const fn plan_content(facts: ContentFacts) -> ContentPlan {
    match facts {
        ContentFacts {
            shown: true,
            at_hand: true,
            ..
        } => ContentPlan::Serve,
        ContentFacts { offline: true, .. } => ContentPlan::Offline,
        ContentFacts {
            known_absent: true, ..
        } => ContentPlan::Absent,
        ContentFacts { at_hand: true, .. } => ContentPlan::Show,
        _ => ContentPlan::Fetch,
    }
}

/// Maximum distance in bytes between the end of the written bytes of a fill and the start of a
/// range that waits for the fill: 8 MiB. A range beyond it is requested separately from the
/// upstream.
pub(crate) const RANGE_REACH_BYTES: u64 = 8 * 1024 * 1024;

/// A range starts a fill only if the blob takes at most this part of the byte limit of the store:
/// one quarter.
const RANGE_FILL_DIVISOR: u64 = 4;

/// Number of bytes of a blob that are fetched in ranges before the whole blob is fetched: a quarter
/// of it, and at most 4 MiB.
const fn ranges_before_fill(size: u64) -> u64 {
    const MOST: u64 = 4 * 1024 * 1024;
    if size / 4 < MOST { size / 4 } else { MOST }
}

/// Maximum number of ranges of one request that are requested from the upstream one by one.
const RELAYED_RANGES: usize = 8;

/// What is known about a blob that is not stored and of which ranges are requested.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RangeFacts {
    /// Number of ranges.
    pub(crate) count: usize,
    /// Position of the first requested byte.
    pub(crate) first: u64,
    /// Number of requested bytes, plus the bytes that earlier requests for ranges got from the
    /// upstream.
    pub(crate) wanted: u64,
    /// Size of the blob.
    pub(crate) size: u64,
    /// Bytes that the running fill has written; `None` without one.
    pub(crate) written: Option<u64>,
    /// The byte limit of the store.
    pub(crate) store_limit: u64,
    /// Whether a range may be answered before the whole blob was verified.
    pub(crate) may_be_unverified: bool,
}

/// What to do with a range of a blob that is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RangePlan {
    /// Whether to join or start a fill.
    pub(crate) fill: bool,
    /// The source of the bytes.
    pub(crate) from: RangeSource,
}

/// The source of the bytes of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RangeSource {
    /// From the fill, once it has written them.
    Fill,
    /// From the store, once the fill has verified the blob.
    Verified,
    /// From a separate request to the upstream.
    Upstream,
}

/// Decides how to answer a range of a blob that is not stored.
///
/// A few small ranges do not make the cache fetch a whole blob. A range also never makes the store
/// evict a large part of its content: for a blob larger than a quarter of the limit, a range only
/// joins a running fill and starts none.
pub(crate) const fn plan_range(facts: RangeFacts) -> RangePlan {
    let written = match facts.written {
        Some(written) => written,
        None => 0,
    };
    let running = facts.written.is_some();
    let fits = facts.size <= facts.store_limit / RANGE_FILL_DIVISOR;
    let near = facts.first <= written.saturating_add(RANGE_REACH_BYTES);
    let many = facts.wanted >= ranges_before_fill(facts.size);
    // Each range would be a request of its own.
    let costly = facts.count > RELAYED_RANGES;
    let fill = running || fits && many || costly || !facts.may_be_unverified;
    let from = if !facts.may_be_unverified {
        RangeSource::Verified
    } else if fill && (near || costly) {
        RangeSource::Fill
    } else {
        RangeSource::Upstream
    };
    RangePlan { fill, from }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn ca8_a_tag_is_fresh_then_stale_then_expired() {
        let (ttl, limit) = (seconds(300), seconds(86_400));
        for (validated, now, expected) in [
            (1000, 1000, Age::Fresh),
            (1000, 1299, Age::Fresh),
            (1000, 1300, Age::Stale),
            (1000, 1300 + 86_399, Age::Stale),
            (1000, 1300 + 86_400, Age::Expired),
        ] {
            let found = Age::of(seconds(validated), seconds(now), Some(ttl), limit);
            assert_eq!(found, expected, "{validated} {now}");
        }
        let found = Age::of(seconds(0), seconds(u64::MAX), None, limit);
        assert_eq!(found, Age::Fresh);
    }

    #[test]
    fn ca8_a_clock_that_was_set_back_neither_freezes_nor_loses_a_tag() {
        let (ttl, limit) = (seconds(300), seconds(86_400));
        for (ahead, expected) in [(1, Age::Fresh), (299, Age::Fresh), (300, Age::Stale)] {
            let (validated, now) = (seconds(10_000 + ahead), seconds(10_000));
            assert_eq!(Age::of(validated, now, Some(ttl), limit), expected);
        }
        let year = seconds(365 * 86_400);
        assert_eq!(Age::of(year, seconds(0), Some(ttl), limit), Age::Stale);
    }

    const UNKNOWN: NameFacts = NameFacts {
        age: None,
        at_hand: false,
        known_absent: false,
        offline: false,
        spare: false,
    };

    #[test]
    fn a_name_is_served_revalidated_fetched_or_refused() {
        let known = |age| NameFacts {
            age: Some(age),
            at_hand: true,
            ..UNKNOWN
        };
        let offline = |facts| NameFacts {
            offline: true,
            ..facts
        };
        let spare = |facts| NameFacts {
            spare: true,
            ..facts
        };
        let absent = |facts| NameFacts {
            known_absent: true,
            ..facts
        };
        let evicted = |facts| NameFacts {
            at_hand: false,
            ..facts
        };
        let serve = |stale| NamePlan::Serve { stale };
        let revalidate = |stale| NamePlan::Revalidate { stale };
        for (facts, expected) in [
            (UNKNOWN, NamePlan::Fetch),
            (spare(UNKNOWN), NamePlan::Fetch),
            (absent(UNKNOWN), NamePlan::Absent),
            (offline(UNKNOWN), NamePlan::Offline),
            (offline(absent(UNKNOWN)), NamePlan::Offline),
            (known(Age::Fresh), serve(false)),
            (absent(known(Age::Fresh)), serve(false)),
            (absent(known(Age::Stale)), NamePlan::Absent),
            (offline(absent(known(Age::Stale))), serve(true)),
            (offline(known(Age::Fresh)), serve(false)),
            (known(Age::Stale), revalidate(true)),
            (known(Age::Expired), revalidate(false)),
            (spare(known(Age::Stale)), serve(true)),
            (spare(known(Age::Expired)), revalidate(false)),
            (offline(known(Age::Stale)), serve(true)),
            (offline(known(Age::Expired)), serve(true)),
            (evicted(known(Age::Fresh)), NamePlan::Fetch),
            (offline(evicted(known(Age::Fresh))), NamePlan::Offline),
        ] {
            assert_eq!(plan_name(facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn ca6_presence_in_the_store_is_no_permission() {
        for (shown, at_hand, known_absent, offline, expected) in [
            (true, true, false, false, ContentPlan::Serve),
            (true, true, true, true, ContentPlan::Serve),
            (false, true, false, false, ContentPlan::Show),
            (false, true, true, false, ContentPlan::Absent),
            (false, true, false, true, ContentPlan::Offline),
            (true, false, false, false, ContentPlan::Fetch),
            (false, false, false, false, ContentPlan::Fetch),
            (true, false, true, false, ContentPlan::Absent),
            (true, false, false, true, ContentPlan::Offline),
        ] {
            let facts = ContentFacts {
                shown,
                at_hand,
                known_absent,
                offline,
            };
            assert_eq!(plan_content(facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn a_range_waits_for_a_near_fill_and_starts_one_when_it_is_worth_it() {
        const MIB: u64 = 1 << 20;
        let (fill, verified, upstream) = (
            RangeSource::Fill,
            RangeSource::Verified,
            RangeSource::Upstream,
        );
        let base = RangeFacts {
            count: 1,
            first: 0,
            wanted: 4 * MIB,
            size: 100 * MIB,
            written: None,
            store_limit: 1024 * MIB,
            may_be_unverified: true,
        };
        let few = RangeFacts { wanted: 10, ..base };
        let small = RangeFacts {
            store_limit: 128 * MIB,
            ..base
        };
        let at = |first, facts| RangeFacts { first, ..facts };
        let running = |written, facts| RangeFacts {
            written: Some(written),
            ..facts
        };
        let wait = |facts| RangeFacts {
            may_be_unverified: false,
            ..facts
        };
        for (facts, expected) in [
            (base, (true, fill)),
            (at(8 * MIB, base), (true, fill)),
            (at(8 * MIB + 1, base), (true, upstream)),
            (few, (false, upstream)),
            (running(0, few), (true, fill)),
            (at(20 * MIB, running(12 * MIB, few)), (true, fill)),
            (at(20 * MIB, running(11 * MIB, few)), (true, upstream)),
            (small, (false, upstream)),
            (running(0, small), (true, fill)),
            (wait(few), (true, verified)),
            (wait(at(90 * MIB, small)), (true, verified)),
            (RangeFacts { size: 39, ..few }, (true, fill)),
            (RangeFacts { size: 44, ..few }, (false, upstream)),
            (RangeFacts { count: 8, ..few }, (false, upstream)),
            (RangeFacts { count: 9, ..few }, (true, fill)),
            (at(90 * MIB, RangeFacts { count: 9, ..small }), (true, fill)),
        ] {
            let RangePlan { fill, from } = plan_range(facts);
            assert_eq!((fill, from), expected, "{facts:?}");
        }
    }
}
