//! Events that a cache reports: for metrics, logs and tests.

use std::fmt;
use std::sync::Arc;

use http::{Method, StatusCode};
use longshore_model::Digest;

use crate::name::{ImageName, UpstreamName};
use crate::upstream::UpstreamCall;

/// Receives the events of a cache, for example to count them.
///
/// Several threads report events, often while a client waits, so an observer must not block. Events
/// borrow existing data, so that a report allocates nothing.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use longshore_cache::{Event, Observer};
///
/// /// Counts the requests that the store answered.
/// #[derive(Default)]
/// struct Hits(AtomicU64);
///
/// impl Observer for Hits {
///     fn event(&self, event: &Event<'_>) {
///         if let Event::Answered(answer) = event
///             && answer.outcome.is_hit()
///         {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Receives one event.
    fn event(&self, event: &Event<'_>);
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn event(&self, event: &Event<'_>) {
        (**self).event(event);
    }
}

/// An observer that ignores every event.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NoObserver;

impl NoObserver {
    /// Makes an observer that ignores every event.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Observer for NoObserver {
    fn event(&self, _event: &Event<'_>) {}
}

/// Several observers. Each receives every event, in the order in which they were added.
#[derive(Clone, Default)]
pub struct Observers(Vec<Arc<dyn Observer>>);

impl Observers {
    /// Makes an empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds an observer.
    #[must_use]
    pub fn with(mut self, observer: impl Observer) -> Self {
        self.0.push(Arc::new(observer));
        self
    }
}

impl Observer for Observers {
    fn event(&self, event: &Event<'_>) {
        for observer in &self.0 {
            observer.event(event);
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers")
            .field("count", &self.0.len())
            .finish()
    }
}

/// The number of a request: different for each request of a process.
///
/// A listener puts the id into the extensions of a request; a service assigns an id to a request
/// without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

impl RequestId {
    /// Makes an id of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The text of the id, without a formatter: every answer has it.
    #[cfg(any(feature = "server", test))]
    pub(crate) fn digits(self) -> [u8; 16] {
        let mut digits = [b'0'; 16];
        let mut rest = self.0;
        for digit in digits.iter_mut().rev() {
            let value = rest as u8 & 0xf;
            *digit = value + if value < 10 { b'0' } else { b'a' - 10 };
            rest >>= 4;
        }
        digits
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// An event of a cache.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A request was assigned to an upstream. A request that names no upstream, such as `ping`, has
    /// no such event.
    Routed(Routed<'a>),
    /// The head of an answer is ready. Every request has exactly one such event.
    Answered(Answered<'a>),
    /// The body of an answer has been sent, or its client has left.
    Sent(Sent),
    /// A fill started: one transfer of a blob from an upstream, for any number of readers.
    FillStarted {
        /// The upstream.
        upstream: &'a UpstreamName,
        /// The blob.
        digest: &'a Digest,
    },
    /// A client reads from a fill that another client started.
    FillJoined {
        /// The upstream.
        upstream: &'a UpstreamName,
        /// The blob.
        digest: &'a Digest,
    },
    /// A fill ended.
    FillEnded {
        /// The upstream.
        upstream: &'a UpstreamName,
        /// The blob.
        digest: &'a Digest,
        /// How many bytes arrived from the upstream.
        bytes: u64,
        /// How it ended.
        end: FillEnd,
    },
    /// An answer with a range of a blob is sent before the whole blob was verified; it is marked.
    UnverifiedRange {
        /// The upstream.
        upstream: &'a UpstreamName,
        /// The blob.
        digest: &'a Digest,
    },
    /// The store cannot be written to (`true`), or can be again (`false`). Meanwhile content is
    /// passed through without being stored.
    StoreDegraded(bool),
    /// A request to an upstream ended. Reported by upstreams that were built with
    /// [`UpstreamBuilder::observer`](crate::UpstreamBuilder::observer).
    UpstreamCall(&'a UpstreamCall<'a>),
    /// The number of open connections of clients changed.
    Connections(usize),
    /// A connection was refused because too many are open.
    ConnectionRefused,
    /// A request was refused because too many answers are open.
    RequestRefused,
}

/// A request was assigned to an upstream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Routed<'a> {
    /// The request.
    pub id: RequestId,
    /// The repository at the upstream.
    pub image: &'a ImageName,
    /// What was requested.
    pub kind: RequestKind,
}

impl<'a> Routed<'a> {
    /// Describes the assignment.
    #[must_use]
    pub const fn new(id: RequestId, image: &'a ImageName, kind: RequestKind) -> Self {
        Self { id, image, kind }
    }
}

/// The head of an answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answered<'a> {
    /// The request.
    pub id: RequestId,
    /// What was requested.
    pub kind: RequestKind,
    /// The method of the request.
    pub method: &'a Method,
    /// The repository at the upstream; `None` if the request named none.
    pub image: Option<&'a ImageName>,
    /// The tag or digest; `None` if the request named none.
    pub target: Option<&'a str>,
    /// Where the answer came from.
    pub outcome: Outcome,
    /// The status of the answer. It is independent of the outcome: an answer with 206, 304 or 404
    /// may be a hit or a miss.
    pub status: StatusCode,
}

impl<'a> Answered<'a> {
    /// Describes an answer to a request that names neither a repository nor a target.
    #[must_use]
    pub const fn new(
        id: RequestId,
        kind: RequestKind,
        method: &'a Method,
        outcome: Outcome,
        status: StatusCode,
    ) -> Self {
        Self {
            id,
            kind,
            method,
            image: None,
            target: None,
            outcome,
            status,
        }
    }

    /// Adds the repository, and the tag or digest.
    #[must_use]
    pub const fn of(mut self, image: &'a ImageName, target: Option<&'a str>) -> Self {
        self.image = Some(image);
        self.target = target;
        self
    }
}

/// The end of the body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// The request.
    pub id: RequestId,
    /// What was requested.
    pub kind: RequestKind,
    /// Number of bytes of the body that were passed to the connection.
    pub bytes: u64,
    /// Whether that was the whole body.
    pub complete: bool,
}

impl Sent {
    /// Describes the end of a body.
    #[must_use]
    pub const fn new(id: RequestId, kind: RequestKind, bytes: u64, complete: bool) -> Self {
        Self {
            id,
            kind,
            bytes,
            complete,
        }
    }
}

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestKind {
    /// The version check.
    Ping,
    /// A manifest, by tag or digest.
    Manifest,
    /// A blob.
    Blob,
    /// The list of the tags of a repository.
    Tags,
    /// The list of the referrers of a manifest.
    Referrers,
    /// The list of the repositories in the cache.
    Catalogue,
    /// Anything else, such as a write, or a path outside the protocol.
    Other,
}

impl RequestKind {
    /// Returns the name used in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Tags => "tags",
            Self::Referrers => "referrers",
            Self::Catalogue => "catalogue",
            Self::Other => "other",
        }
    }
}

/// The source of the answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// From the store or memory, without a request to the upstream.
    Hit,
    /// From the store, after the upstream confirmed that it is current.
    Revalidated,
    /// From the store, although the upstream did not confirm that it is current.
    Stale,
    /// From memory: the upstream answered recently that it has no such content.
    Negative,
    /// From the upstream.
    Miss(MissReason),
    /// From a transfer that another client started.
    Joined,
    /// A range of a blob, passed on from the upstream without being stored.
    PassedThrough,
    /// The cache refused the request: it is malformed or not allowed, or the cache itself failed.
    Refused,
}

impl Outcome {
    /// Whether the content came from the store or memory.
    #[must_use]
    pub const fn is_hit(self) -> bool {
        match self {
            Self::Hit | Self::Revalidated | Self::Stale | Self::Negative => true,
            Self::Miss(_) | Self::Joined | Self::PassedThrough | Self::Refused => false,
        }
    }

    /// Whether the request needed the upstream, even if the upstream did not have the content or
    /// failed.
    #[must_use]
    pub const fn is_miss(self) -> bool {
        match self {
            Self::Miss(_) | Self::Joined | Self::PassedThrough => true,
            Self::Hit | Self::Revalidated | Self::Stale | Self::Negative | Self::Refused => false,
        }
    }

    /// Returns the name used in logs and metrics, such as `hit`; for a miss it is the reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Revalidated => "revalidated",
            Self::Stale => "stale",
            Self::Negative => "negative",
            Self::Miss(reason) => reason.as_str(),
            Self::Joined => "joined",
            Self::PassedThrough => "passed_through",
            Self::Refused => "refused",
        }
    }
}

/// Why a request was a miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissReason {
    /// The cache has no record of the content.
    Cold,
    /// The TTL of a tag or list was over, and the upstream has a newer one.
    Expired,
    /// The content was known, but it was evicted.
    Evicted,
    /// The content is stored, but no upstream answer has proved yet that this repository contains
    /// it.
    Unmarked,
    /// The stored content was damaged.
    Damaged,
    /// The content is not stored, and the upstream is configured as offline.
    Offline,
}

impl MissReason {
    /// Returns the name used in logs and metrics, such as `miss_cold`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "miss_cold",
            Self::Expired => "miss_expired",
            Self::Evicted => "miss_evicted",
            Self::Unmarked => "miss_unmarked",
            Self::Damaged => "miss_damaged",
            Self::Offline => "miss_offline",
        }
    }
}

/// How a fill ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FillEnd {
    /// The content was verified; it is in the store unless there was no room.
    Verified,
    /// The bytes did not match the digest or the size.
    Mismatch,
    /// Every host of the upstream failed.
    Upstream,
    /// The fill did not end within its deadline.
    Deadline,
    /// The store failed.
    Store,
    /// No client read the fill any more.
    Abandoned,
}

impl FillEnd {
    /// Returns the name used in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Mismatch => "mismatch",
            Self::Upstream => "upstream",
            Self::Deadline => "deadline",
            Self::Store => "store",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Facts about an answer for the access log that the listener cannot know.
///
/// A service puts it into the extensions of a response; [`Event::Answered`] has the same facts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnswerNote {
    /// What was requested.
    pub kind: RequestKind,
    /// Where the answer came from.
    pub outcome: Outcome,
    /// The upstream; `None` if the request named none.
    pub upstream: Option<UpstreamName>,
}

impl AnswerNote {
    /// Describes an answer.
    #[must_use]
    pub const fn new(kind: RequestKind, outcome: Outcome, upstream: Option<UpstreamName>) -> Self {
        Self {
            kind,
            outcome,
            upstream,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Observer for Kept {
        fn event(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(format!("{event:?}"));
        }
    }

    #[test]
    fn several_observers_take_every_event() {
        let (first, second) = (Arc::new(Kept::default()), Arc::new(Kept::default()));
        let all = Observers::new()
            .with(Arc::clone(&first))
            .with(NoObserver::new())
            .with(Arc::clone(&second));
        all.event(&Event::StoreDegraded(true));
        all.event(&Event::Connections(7));
        let expected = ["StoreDegraded(true)", "Connections(7)"];
        assert_eq!(*first.0.lock().unwrap(), expected);
        assert_eq!(*second.0.lock().unwrap(), expected);
    }

    #[test]
    fn every_outcome_but_a_refusal_is_either_a_hit_or_a_miss() {
        let outcomes = [
            Outcome::Hit,
            Outcome::Revalidated,
            Outcome::Stale,
            Outcome::Negative,
            Outcome::Miss(MissReason::Cold),
            Outcome::Miss(MissReason::Expired),
            Outcome::Miss(MissReason::Evicted),
            Outcome::Miss(MissReason::Unmarked),
            Outcome::Miss(MissReason::Damaged),
            Outcome::Miss(MissReason::Offline),
            Outcome::Joined,
            Outcome::PassedThrough,
        ];
        for outcome in outcomes {
            assert_ne!(outcome.is_hit(), outcome.is_miss(), "{outcome:?}");
        }
        assert!(!Outcome::Refused.is_hit() && !Outcome::Refused.is_miss());
    }
}
