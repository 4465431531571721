//! Limits on the concurrent requests to one origin, and on the memory of all transfers together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_model::document_memory_bytes;
use longshore_origin::Origin;
use longshore_proto::call::{Ask, Take};
use longshore_proto::pace::{Pace, Round};
use longshore_transport::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests in flight per registry origin, bodies included. The same number of requests may send
/// content at the same time, because that content may come from the same origin. Both numbers are
/// lower while the registry asks the client to slow down ([`Pace`]).
pub const REQUESTS_PER_ORIGIN: usize = 32;

/// The memory that all transfers of one client, and the documents that it reads, may use together,
/// in bytes (LI2): 64 MiB.
pub const MEMORY_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// What a transport may buffer of one large body, in bytes (LI2).
const LARGE_KIB: u32 = 2 * 1024;

/// What it may buffer of one that is smaller.
const SMALL_KIB: u32 = 1024;

/// Requests in flight by origin, and memory for bodies.
#[derive(Debug)]
pub(crate) struct Limit {
    each: usize,
    origins: Mutex<HashMap<Origin, Arc<Lane>>>,
    /// Memory for the bodies of requests. Their content may come from another request, so this pool
    /// and their slots are separate from those of reads.
    contents: MemoryPool,
    /// Memory for bodies that are handed on as they arrive.
    streams: MemoryPool,
    /// Memory for collected bodies and for their parsed form. This pool is separate, because a
    /// stream keeps its memory until its reader has finished, and the reader may request a document
    /// before that.
    documents: MemoryPool,
}

/// What a request needs to hold while it is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotDemand {
    /// The memory for a stream; `None` for a body that is collected.
    stream_kib: Option<u32>,
    /// The memory for the body of the request; `None` when there is none.
    content_kib: Option<u32>,
}

/// The two kinds of requests, each with its own slots.
///
/// A request that sends content keeps its slot until the source has produced all of it. The source
/// may be another request, which needs a slot of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Flow {
    Content,
    Other,
}

/// The number of flows.
const FLOWS: usize = 2;

impl Flow {
    /// The value of this flow among those of all.
    const fn of<T>(self, [content, other]: &[T; FLOWS]) -> &T {
        match self {
            Self::Content => content,
            Self::Other => other,
        }
    }

    const fn of_mut<T>(self, [content, other]: &mut [T; FLOWS]) -> &mut T {
        match self {
            Self::Content => content,
            Self::Other => other,
        }
    }
}

impl SlotDemand {
    pub(crate) fn of(ask: &Ask) -> Self {
        let size = if ask.bulk { LARGE_KIB } else { SMALL_KIB };
        Self {
            stream_kib: (ask.take == Take::Stream).then_some(size),
            content_kib: ask.body.map(|body| content_kib(body.length)),
        }
    }

    const fn flow(self) -> Flow {
        match self.content_kib {
            Some(_) => Flow::Content,
            None => Flow::Other,
        }
    }
}

/// The permits that a request holds until its body has been read (LI2).
#[derive(Debug)]
pub(crate) struct RequestSlot {
    turn: Turn,
    #[expect(dead_code, reason = "held, never read")]
    memory: Option<Permit>,
}

impl RequestSlot {
    /// Records an answer to a request of this slot that did not ask to slow down.
    pub(crate) fn on_good(&self) {
        self.turn.lane.change(Pace::on_good);
    }

    /// Records an answer that asked to slow down, and to wait this long with every request.
    pub(crate) fn on_pushback(&self, now: Duration, wait: Option<Duration>) {
        let sent = self.turn.round;
        let lane = &self.turn.lane;
        lane.change(|pace| pace.on_pushback(sent, now, wait));
    }
}

/// The requests to one origin: semaphores with as many permits as its pace allows.
#[derive(Debug)]
struct Lane {
    /// The slots of each flow.
    turns: [Arc<Semaphore>; FLOWS],
    state: Mutex<LaneState>,
}

#[derive(Debug)]
struct LaneState {
    pace: Pace,
    /// For each flow, the number of permits to remove that requests in flight still hold.
    excess: [usize; FLOWS],
}

impl Lane {
    fn new(most: usize) -> Self {
        Self {
            turns: std::array::from_fn(|_| Arc::new(Semaphore::new(most))),
            state: Mutex::new(LaneState {
                pace: Pace::new(most),
                excess: [0; FLOWS],
            }),
        }
    }

    /// Changes the pace, and the number of permits with it.
    fn change(&self, change: impl FnOnce(&mut Pace)) {
        let mut state = self.state();
        let before = state.pace.limit();
        change(&mut state.pace);
        let after = state.pace.limit();
        for (turns, excess) in self.turns.iter().zip(&mut state.excess) {
            *excess += before.saturating_sub(after);
            *excess -= turns.forget_permits(*excess);
            let more = after.saturating_sub(before);
            let kept = more.min(*excess);
            *excess -= kept;
            turns.add_permits(more - kept);
        }
    }

    fn state(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot of a request at its origin; dropping it frees the slot.
#[derive(Debug)]
struct Turn {
    lane: Arc<Lane>,
    flow: Flow,
    round: Round,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.lane.state();
        let excess = self.flow.of_mut(&mut state.excess);
        if *excess > 0
            && let Some(permit) = self.permit.take()
        {
            *excess -= 1;
            permit.forget();
        }
    }
}

impl Limit {
    pub(crate) fn new(each: usize, memory: usize) -> Self {
        let kib = u32::try_from(memory / 1024).unwrap_or(u32::MAX);
        let documents = kib / 4;
        let contents = kib / 4;
        Self {
            each: each.clamp(1, Semaphore::MAX_PERMITS),
            origins: Mutex::default(),
            contents: MemoryPool::new(contents),
            streams: MemoryPool::new(kib - documents - contents),
            documents: MemoryPool::new(documents),
        }
    }

    /// Waits for everything that a request needs. Memory comes first, so that a request that waits
    /// for memory does not occupy a slot at the origin.
    ///
    /// A request also waits if the answer to another request asked for it, because it would get the
    /// same answer.
    pub(crate) async fn slot(
        &self,
        origin: &Origin,
        demand: SlotDemand,
        clock: &dyn Clock,
    ) -> RequestSlot {
        let memory = match (demand.content_kib, demand.stream_kib) {
            (Some(kib), _) => Some(self.contents.take(kib).await),
            (None, Some(kib)) => Some(self.streams.take(kib).await),
            (None, None) => None,
        };
        let mut turn = self.turn(origin, demand.flow()).await;
        loop {
            let wait = {
                let state = turn.lane.state();
                turn.round = state.pace.round();
                state.pace.wait(clock.now())
            };
            if wait.is_zero() {
                return RequestSlot { turn, memory };
            }
            clock.sleep(wait).await;
        }
    }

    /// How long the origin asked to wait with every request, from now on.
    pub(crate) fn requested_wait(&self, origin: &Origin, now: Duration) -> Duration {
        let origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = origins.get(origin);
        lane.map_or(Duration::ZERO, |lane| lane.state().pace.wait(now))
    }

    /// Waits for a slot at the origin.
    async fn turn(&self, origin: &Origin, flow: Flow) -> Turn {
        let lane = {
            let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = || Arc::new(Lane::new(self.each));
            Arc::clone(origins.entry(origin.clone()).or_insert_with(fresh))
        };
        // The semaphores are never closed, so there always is a permit in the end.
        let turns = Arc::clone(flow.of(&lane.turns));
        let permit = turns.acquire_owned().await.ok();
        let round = lane.state().pace.round();
        Turn {
            lane,
            flow,
            round,
            permit,
        }
    }

    /// Waits for memory to collect a document of this length in bytes and to parse it. A document
    /// that needs more than the whole budget waits until no other document is held.
    ///
    /// The holder of a permit only waits for the rest of its document, so every wait ends.
    pub(crate) async fn document(&self, length: u64) -> Permit {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let kib = document_memory_bytes(length).div_ceil(1024);
        self.documents
            .take(u32::try_from(kib).unwrap_or(u32::MAX))
            .await
    }
}

/// The memory for the body of a request with this length in bytes, in KiB: for the pieces that are
/// read ahead, and for those that the transport buffers.
fn content_kib(length: Option<u64>) -> u32 {
    let kib = length.map_or(u64::MAX, |length| length.div_ceil(1024).max(1));
    u32::try_from(kib).map_or(LARGE_KIB, |kib| kib.min(LARGE_KIB))
}

/// Memory, in KiB.
#[derive(Debug)]
struct MemoryPool {
    all: u32,
    free: Arc<Semaphore>,
}

impl MemoryPool {
    fn new(kib: u32) -> Self {
        let all = kib.max(1);
        // A semaphore holds fewer permits than this only where `usize` has 32 bits or less.
        let permits = usize::try_from(all).map_or(Semaphore::MAX_PERMITS, |all| {
            all.min(Semaphore::MAX_PERMITS)
        });
        Self {
            all: u32::try_from(permits).unwrap_or(all),
            free: Arc::new(Semaphore::new(permits)),
        }
    }

    /// Waits for this much, or for the whole pool if that is less.
    async fn take(&self, kib: u32) -> Permit {
        let kib = kib.min(self.all);
        Permit(Arc::clone(&self.free).acquire_many_owned(kib).await.ok())
    }
}

/// Memory, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit(
    #[expect(dead_code, reason = "held, never read")] Option<OwnedSemaphorePermit>,
);

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use longshore_transport::TestClock;

    use super::*;

    const OTHER: SlotDemand = SlotDemand {
        stream_kib: None,
        content_kib: None,
    };

    fn try_now<F: Future>(future: F) -> Option<F::Output> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    // LI2
    #[test]
    fn li2_a_permit_makes_room_when_it_is_dropped() {
        let limit = Limit::new(2, MEMORY_LIMIT_BYTES);
        let origin: Origin = "https://a.example".parse().unwrap();
        let first = try_now(limit.turn(&origin, Flow::Other)).unwrap();
        let _second = try_now(limit.turn(&origin, Flow::Other)).unwrap();
        assert!(try_now(limit.turn(&origin, Flow::Other)).is_none());
        drop(first);
        assert!(try_now(limit.turn(&origin, Flow::Other)).is_some());
    }

    #[test]
    fn a_lane_has_as_many_turns_as_its_pace_allows() {
        let limit = Limit::new(4, MEMORY_LIMIT_BYTES);
        let origin: Origin = "https://a.example".parse().unwrap();
        let clock = TestClock::default();
        let take = || try_now(limit.slot(&origin, OTHER, &clock));
        let mut held: Vec<_> = (0..4).map(|_| take().unwrap()).collect();
        for slot in &held {
            slot.on_pushback(clock.now(), None);
        }
        // Two permits are to be removed, so the first two requests that end free no slot.
        held.truncate(2);
        assert!(take().is_none());
        held.truncate(1);
        held.push(take().unwrap());
        assert!(take().is_none());
        // Two good answers allow a third request.
        held[0].on_good();
        held[0].on_good();
        held.push(take().unwrap());
        assert!(take().is_none());
        // Halved again, and raised while the permits to remove are held.
        held[1].on_pushback(clock.now(), None);
        held[0].on_good();
        held.truncate(2);
        assert!(take().is_none());
        held.clear();
        let two = [take().unwrap(), take().unwrap()];
        assert!(take().is_none());
        drop(two);
    }

    // RT3: a Retry-After is for every request to the origin.
    #[test]
    fn rt3_a_request_waits_as_long_as_the_answer_to_another_asked() {
        let limit = Limit::new(4, MEMORY_LIMIT_BYTES);
        let clock = TestClock::default();
        let origin = |text: &str| text.parse::<Origin>().unwrap();
        let (one, other) = (origin("https://a.example"), origin("https://b.example"));
        let slot = try_now(limit.slot(&one, OTHER, &clock)).unwrap();
        let wait = Duration::from_secs(7);
        slot.on_pushback(clock.now(), Some(wait));
        try_now(limit.slot(&other, OTHER, &clock)).unwrap();
        assert_eq!(clock.slept(), []);
        try_now(limit.slot(&one, OTHER, &clock)).unwrap();
        assert_eq!(clock.slept(), [wait]);
        try_now(limit.slot(&one, OTHER, &clock)).unwrap();
        assert_eq!(clock.slept(), [wait]);
    }

    #[test]
    fn origins_do_not_share_and_none_is_shut_out() {
        let limit = Limit::new(0, 0);
        let origin = |text: &str| text.parse::<Origin>().unwrap();
        let _a = try_now(limit.turn(&origin("https://a.example"), Flow::Other)).unwrap();
        assert!(try_now(limit.turn(&origin("https://a.example"), Flow::Other)).is_none());
        assert!(try_now(limit.turn(&origin("http://a.example"), Flow::Other)).is_some());
    }

    // RT9: a dropped wait takes nothing.
    #[test]
    fn rt9_a_dropped_wait_takes_no_room() {
        let limit = Limit::new(1, MEMORY_LIMIT_BYTES);
        let origin: Origin = "https://a.example".parse().unwrap();
        let held = try_now(limit.turn(&origin, Flow::Other)).unwrap();
        assert!(try_now(limit.turn(&origin, Flow::Other)).is_none());
        drop(held);
        assert!(try_now(limit.turn(&origin, Flow::Other)).is_some());
    }

    // LI2: 8 MiB are two large streams, or four small ones, 2 MiB of documents (their bytes and
    // what these are parsed into), and one large body of a request, or several small ones.
    #[test]
    fn li2_all_transfers_share_the_memory() {
        let limit = Limit::new(32, 8 * 1024 * 1024);
        let _large = try_now(limit.streams.take(LARGE_KIB)).unwrap();
        let small = [(); 2].map(|()| try_now(limit.streams.take(SMALL_KIB)).unwrap());
        assert!(try_now(limit.streams.take(SMALL_KIB)).is_none());
        drop(small);
        let _second = try_now(limit.streams.take(LARGE_KIB)).unwrap();
        assert!(try_now(limit.streams.take(SMALL_KIB)).is_none());

        // This one alone takes more than half of the memory when it is parsed.
        let first = try_now(limit.document(10_000)).unwrap();
        assert!(try_now(limit.document(10_000)).is_none());
        let _small = try_now(limit.document(1)).unwrap();
        drop(first);
        assert!(try_now(limit.document(10_000)).is_some());

        let _large = try_now(limit.contents.take(content_kib(None))).unwrap();
        assert!(try_now(limit.contents.take(content_kib(Some(1)))).is_none());
        assert_eq!(
            [0, 1, 65_537].map(|bytes| content_kib(Some(bytes))),
            [1, 1, 65]
        );
        assert_eq!(content_kib(Some(u64::MAX)), LARGE_KIB);
    }

    // LI2: one that is larger than all there is waits until it is alone.
    #[test]
    fn li2_no_transfer_is_shut_out_for_its_size() {
        let limit = Limit::new(32, 0);
        let _stream = try_now(limit.streams.take(LARGE_KIB)).unwrap();
        let document = try_now(limit.document(u64::MAX)).unwrap();
        assert!(try_now(limit.document(0)).is_some());
        assert!(try_now(limit.document(1)).is_none());
        drop(document);
        assert!(try_now(limit.document(1)).is_some());
    }
}
