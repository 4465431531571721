//! The last bytes of a transfer that is not stored.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::FILL_HOLD_BACK_BYTES;
use super::readers::Place;

/// Size of the ring of a transfer that is not stored, in bytes: 4 MiB.
pub(crate) const RING_BYTES: usize = 4 * 1024 * 1024;

/// The last bytes of a transfer that is not stored (CA9: without a disk, a blob passes through).
///
/// A byte stays until all readers have read it, but a slow reader delays others only for a limited
/// time; see [`Room`].
#[derive(Debug)]
pub(crate) struct Ring {
    /// The position of the first byte that is not in a file.
    from: u64,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    /// The position of the first byte in the ring.
    start: u64,
    frames: VecDeque<Bytes>,
    bytes: usize,
}

/// Whether bytes can be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Free,
    /// The readers must read first. None of them waits for another one, so the wait is not limited.
    Unread,
    /// The slowest reader must read first and delays another reader that has read everything, or a
    /// client has not started to read.
    HeldUp,
}

impl Ring {
    pub(crate) const fn new(from: u64) -> Self {
        let held = Held {
            start: from,
            frames: VecDeque::new(),
            bytes: 0,
        };
        Self {
            from,
            held: Mutex::new(held),
        }
    }

    /// The position of the first byte that is not in a file.
    pub(crate) const fn from(&self) -> u64 {
        self.from
    }

    /// Whether a reader from the first byte of the blob still finds all bytes.
    pub(crate) fn is_whole(&self) -> bool {
        self.lock().start == self.from
    }

    /// Removes bytes that all these readers have read, until there is room for `bytes` more.
    ///
    /// It does not wait for a reader whose next byte was already removed.
    pub(crate) fn make_room(&self, bytes: usize, places: &[Place]) -> Room {
        let mut held = self.lock();
        let start = held.start;
        let position = |place: &Place| place.position.max(self.from);
        let waited_for = || places.iter().filter(|place| position(place) >= start);
        let slowest = waited_for().min_by_key(|place| position(place));
        let keep_from = slowest.map_or(u64::MAX, position);
        while !held.has_room(bytes) {
            if held.first_end() > keep_from {
                let released = held.end().saturating_sub(FILL_HOLD_BACK_BYTES);
                let has_all = |place: &Place| place.is_reading && position(place) >= released;
                let is_reading = slowest.is_some_and(|slowest| slowest.is_reading);
                return match is_reading && !waited_for().any(has_all) {
                    true => Room::Unread,
                    false => Room::HeldUp,
                };
            }
            held.remove_first();
        }
        Room::Free
    }

    /// Removes the oldest bytes until there is room for `bytes` more. Readers that need them have
    /// [fallen behind](RingRead::Behind).
    pub(crate) fn force_room(&self, bytes: usize) {
        let mut held = self.lock();
        while !held.has_room(bytes) {
            held.remove_first();
        }
    }

    pub(crate) fn push(&self, frame: Bytes) {
        let mut held = self.lock();
        held.bytes += frame.len();
        held.frames.push_back(frame);
    }

    /// Returns bytes from this position: at most `limit`, and at most to the end of a frame; `None`
    /// if they were removed.
    pub(crate) fn read(&self, position: u64, limit: u64) -> Option<Bytes> {
        let held = self.lock();
        let mut start = held.start;
        let frame = held.frames.iter().find_map(|frame| {
            let offset = usize::try_from(position.checked_sub(start)?).ok()?;
            start += frame.len() as u64;
            (offset < frame.len()).then(|| frame.slice(offset..))
        });
        drop(held);
        let mut frame = frame?;
        frame.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Some(frame)
    }

    /// The values stay consistent even if a thread panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// An empty ring accepts a frame of any length.
    fn has_room(&self, bytes: usize) -> bool {
        self.frames.is_empty() || self.bytes.saturating_add(bytes) <= RING_BYTES
    }

    const fn end(&self) -> u64 {
        self.start + self.bytes as u64
    }

    fn first_end(&self) -> u64 {
        self.start + self.frames.front().map_or(0, Bytes::len) as u64
    }

    fn remove_first(&mut self) {
        if let Some(frame) = self.frames.pop_front() {
            self.start += frame.len() as u64;
            self.bytes -= frame.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn reader(position: u64) -> Place {
        Place {
            position,
            is_reading: true,
        }
    }

    fn full(from: u64) -> Ring {
        let ring = Ring::new(from);
        for number in 0..4 {
            assert_eq!(ring.make_room(MIB, &[reader(from)]), Room::Free);
            ring.push(vec![number; MIB].into());
        }
        ring
    }

    #[test]
    fn bytes_are_read_across_frames_until_they_are_removed() {
        let ring = full(10);
        assert_eq!(ring.read(9, 1), None);
        assert_eq!(ring.read(10, 3).as_deref(), Some(&[0, 0, 0][..]));
        let end = 10 + MIB as u64;
        assert_eq!(ring.read(end - 1, 9).as_deref(), Some(&[0][..]));
        assert_eq!(ring.read(end, 1).as_deref(), Some(&[1][..]));
        assert_eq!(ring.read(10 + 4 * MIB as u64, 1), None);
        assert!(ring.is_whole());
        ring.force_room(1);
        assert!(!ring.is_whole());
        assert_eq!(ring.read(end - 1, 9), None);
        assert_eq!(ring.read(end, 1).as_deref(), Some(&[1][..]));
    }

    #[test]
    fn ca9_the_slowest_reader_holds_the_ring() {
        let mib = MIB as u64;
        // A reader that still reads the file will need the ring from its beginning.
        assert_eq!(full(10).make_room(1, &[reader(0)]), Room::Unread);
        assert_eq!(full(10).make_room(1, &[reader(9 + mib)]), Room::Unread);
        assert_eq!(full(10).make_room(1, &[reader(10 + mib)]), Room::Free);
        assert_eq!(full(0).make_room(1, &[]), Room::Free);
        let waiting = Place {
            position: 0,
            is_reading: false,
        };
        assert_eq!(full(0).make_room(1, &[waiting]), Room::HeldUp);
        let released = 4 * mib - FILL_HOLD_BACK_BYTES;
        for (fast, expected) in [(released - 1, Room::Unread), (released, Room::HeldUp)] {
            let both = [reader(5), reader(fast)];
            let ring = full(0);
            assert_eq!(ring.make_room(1, &both), expected);
            ring.force_room(1);
            // The ring does not wait for the reader that has fallen behind.
            assert_eq!(ring.make_room(MIB + 1, &both), Room::Free);
        }
    }
}
