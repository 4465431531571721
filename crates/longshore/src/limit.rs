//! How many requests one origin gets at a time, and how much memory all of them together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use longshore_origin::Origin;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests in flight per registry origin, bodies included.
pub const REQUESTS_PER_ORIGIN: usize = 32;

/// What the transfers of one client may have in memory together, in bytes (LI2): 64 MiB.
pub const MEMORY_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// What a transport may buffer of one large body, in bytes (LI2).
const LARGE_KIB: u32 = 2 * 1024;

/// What it may buffer of one that is smaller.
const SMALL_KIB: u32 = 1024;

/// Requests in flight, by origin.
#[derive(Debug)]
pub(crate) struct Limit {
    each: usize,
    origins: Mutex<HashMap<Origin, Arc<Semaphore>>>,
    /// Memory for bodies that are handed on as they arrive.
    streams: Room,
    /// Memory for bodies that are collected. Apart from the other, because a stream lasts until
    /// its reader is done with it, and that reader may want a document meanwhile.
    documents: Room,
}

impl Limit {
    pub(crate) fn new(each: usize, memory: usize) -> Self {
        let kib = u32::try_from(memory / 1024).unwrap_or(u32::MAX);
        let documents = kib / 2;
        Self {
            each: each.clamp(1, Semaphore::MAX_PERMITS),
            origins: Mutex::default(),
            streams: Room::new(kib - documents),
            documents: Room::new(documents),
        }
    }

    /// Waits for a request's turn at its origin; the permit gives it back when it is dropped.
    pub(crate) async fn acquire(&self, origin: &Origin) -> Permit {
        let semaphore = {
            let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = || Arc::new(Semaphore::new(self.each));
            Arc::clone(origins.entry(origin.clone()).or_insert_with(fresh))
        };
        // The semaphores are never closed, so there always is a permit in the end.
        Permit(semaphore.acquire_owned().await.ok())
    }

    /// Waits for memory to stream a body through. To be taken before the turn at an origin, so
    /// that nobody who waits for memory keeps others from theirs.
    pub(crate) async fn stream(&self, is_large: bool) -> Permit {
        let kib = if is_large { LARGE_KIB } else { SMALL_KIB };
        self.streams.take(kib).await
    }

    /// Waits for memory to collect a body of so many bytes. Whoever has it needs nothing more, so
    /// nobody waits for ever.
    pub(crate) async fn document(&self, length: u64) -> Permit {
        let kib = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX);
        self.documents.take(kib).await
    }
}

/// Memory, in KiB.
#[derive(Debug)]
struct Room {
    all: u32,
    free: Arc<Semaphore>,
}

impl Room {
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

    /// Waits for so much, or for all there is, where that is less.
    async fn take(&self, kib: u32) -> Permit {
        let kib = kib.min(self.all);
        Permit(Arc::clone(&self.free).acquire_many_owned(kib).await.ok())
    }
}

/// A turn, or memory, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(#[expect(dead_code, reason = "held")] Option<OwnedSemaphorePermit>);

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

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
        let first = try_now(limit.acquire(&origin)).unwrap();
        let _second = try_now(limit.acquire(&origin)).unwrap();
        assert!(try_now(limit.acquire(&origin)).is_none());
        drop(first);
        assert!(try_now(limit.acquire(&origin)).is_some());
    }

    #[test]
    fn origins_do_not_share_and_none_is_shut_out() {
        let limit = Limit::new(0, 0);
        let origin = |text: &str| text.parse::<Origin>().unwrap();
        let _a = try_now(limit.acquire(&origin("https://a.example"))).unwrap();
        assert!(try_now(limit.acquire(&origin("https://a.example"))).is_none());
        assert!(try_now(limit.acquire(&origin("http://a.example"))).is_some());
    }

    // RT9: whoever stops waiting is not served.
    #[test]
    fn rt9_a_dropped_wait_takes_no_room() {
        let limit = Limit::new(1, MEMORY_LIMIT_BYTES);
        let origin: Origin = "https://a.example".parse().unwrap();
        let held = try_now(limit.acquire(&origin)).unwrap();
        assert!(try_now(limit.acquire(&origin)).is_none());
        drop(held);
        assert!(try_now(limit.acquire(&origin)).is_some());
    }

    // LI2: 8 MiB are two large streams, or four small ones, and 4 MiB of documents.
    #[test]
    fn li2_all_transfers_share_the_memory() {
        let limit = Limit::new(32, 8 * 1024 * 1024);
        let _large = try_now(limit.stream(true)).unwrap();
        let small = [(); 2].map(|()| try_now(limit.stream(false)).unwrap());
        assert!(try_now(limit.stream(false)).is_none());
        drop(small);
        let _second = try_now(limit.stream(true)).unwrap();
        assert!(try_now(limit.stream(false)).is_none());

        let most = try_now(limit.document(4 * 1024 * 1024 - 1024)).unwrap();
        let _rest = try_now(limit.document(1)).unwrap();
        assert!(try_now(limit.document(1)).is_none());
        drop(most);
        assert!(try_now(limit.document(1)).is_some());
    }

    // LI2: one that is larger than all there is waits until it is alone.
    #[test]
    fn li2_no_transfer_is_shut_out_for_its_size() {
        let limit = Limit::new(32, 0);
        let _stream = try_now(limit.stream(true)).unwrap();
        let document = try_now(limit.document(u64::MAX)).unwrap();
        assert!(try_now(limit.document(0)).is_some());
        assert!(try_now(limit.document(1)).is_none());
        drop(document);
        assert!(try_now(limit.document(1)).is_some());
    }
}
