//! Buffers that are reused after a connection has sent them.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Maximum size of a frame that is read from a file: 128 KiB. Larger frames save no processor time,
/// and cost memory for each connection.
pub(super) const FRAME_BYTES: usize = 128 * 1024;

/// A smaller frame gets a new buffer of its length.
const SMALL_BYTES: usize = 16 * 1024;

/// Maximum number of free buffers that one thread keeps: 1 MiB.
const BUFFERS_KEPT: usize = 8;

/// Maximum number of buffers of [`FRAME_BYTES`] that are used concurrently: 64 MiB (CA10).
/// Connections hold frames of answers that their clients do not read.
const BUFFERS_LIMIT: usize = 512;

/// Size of a frame while all of these buffers are used: 8 KiB.
const SCARCE_BYTES: usize = 8 * 1024;

/// Number of buffers of [`FRAME_BYTES`] that are used.
static USED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Free buffers of [`FRAME_BYTES`]. Reuse saves the time to zero a new buffer, and often the
    /// time to get memory from the system.
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer that is returned to the free list when its last frame is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    memory: Vec<u8>,
    /// Number of bytes that are used.
    length: usize,
}

impl Buffer {
    /// Returns a buffer of this length, or a shorter one, with arbitrary content. It has at most
    /// [`FRAME_BYTES`]; while [`BUFFERS_LIMIT`] is reached, fewer than [`SMALL_BYTES`].
    pub(super) fn take(length: usize) -> Self {
        let length = length.min(FRAME_BYTES);
        if length < SMALL_BYTES {
            return Self::small(length);
        }
        if USED.fetch_add(1, Ordering::Relaxed) >= BUFFERS_LIMIT {
            USED.fetch_sub(1, Ordering::Relaxed);
            return Self::small(SCARCE_BYTES);
        }
        let free = FREE.try_with(|free| free.borrow_mut().pop());
        let memory = free.ok().flatten().unwrap_or_else(|| vec![0; FRAME_BYTES]);
        Self { memory, length }
    }

    fn small(length: usize) -> Self {
        let memory = vec![0; length];
        Self { memory, length }
    }

    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(..self.length).unwrap_or_default()
    }

    /// Returns the first `length` bytes as a frame.
    pub(super) fn into_frame(mut self, length: usize) -> Bytes {
        self.length = length.min(self.length);
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.memory.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        if memory.len() == FRAME_BYTES {
            USED.fetch_sub(1, Ordering::Relaxed);
            // A thread that is ending keeps no buffers.
            let _ = FREE.try_with(|free| {
                let mut free = free.borrow_mut();
                if free.len() < BUFFERS_KEPT {
                    free.push(memory);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free() -> usize {
        FREE.with_borrow(Vec::len)
    }

    fn frame(length: usize) -> Bytes {
        let mut buffer = Buffer::take(length);
        buffer.as_mut().fill(7);
        buffer.into_frame(length)
    }

    #[test]
    fn a_buffer_is_used_again_when_its_frame_was_sent() {
        let first = frame(FRAME_BYTES + 1);
        assert_eq!(first.len(), FRAME_BYTES);
        let second = frame(SMALL_BYTES);
        assert_eq!(&second[..], [7; SMALL_BYTES]);
        let address = first.as_ptr();
        assert_ne!(address, second.as_ptr());
        let part = first.slice(..1);
        drop(first);
        assert_eq!(free(), 0);
        drop(part);
        assert_eq!(free(), 1);
        let third = frame(SMALL_BYTES);
        assert_eq!((third.as_ptr(), third.len()), (address, SMALL_BYTES));
    }

    #[test]
    fn ca10_frames_are_small_while_64_mib_are_not_sent() {
        let held: Vec<Bytes> = (0..BUFFERS_LIMIT)
            .map(|_| Buffer::take(FRAME_BYTES).into_frame(FRAME_BYTES))
            .collect();
        assert_eq!(frame(FRAME_BYTES).len(), SCARCE_BYTES);
        assert_eq!(frame(SMALL_BYTES).len(), SCARCE_BYTES);
        assert_eq!(frame(SMALL_BYTES - 1).len(), SMALL_BYTES - 1);
        drop(held);
        assert_eq!(frame(FRAME_BYTES).len(), FRAME_BYTES);
    }

    #[test]
    fn small_buffers_are_not_kept_and_others_up_to_a_number() {
        assert_eq!(frame(SMALL_BYTES - 1).len(), SMALL_BYTES - 1);
        assert_eq!(frame(0).len(), 0);
        assert_eq!(free(), 0);
        let frames: Vec<Bytes> = (0..2 * BUFFERS_KEPT).map(|_| frame(FRAME_BYTES)).collect();
        drop(frames);
        assert_eq!(free(), BUFFERS_KEPT);
    }
}
