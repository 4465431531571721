//! Buffers that are used again after the connection has sent them.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Maximum size of a frame that is read from a file: 128 KiB. Larger ones cost the processor no
/// less, and memory for each connection.
pub(super) const FRAME_BYTES: usize = 128 * 1024;

/// Maximum number of buffers of one body that are kept: those that the connection holds.
const BUFFERS_KEPT: usize = 4;

/// The buffers of one body. A new buffer costs the time to clear its memory.
#[derive(Debug, Default)]
pub(super) struct Buffers(VecDeque<Bytes>);

impl Buffers {
    /// Returns a buffer of this length, at most [`FRAME_BYTES`]: the one that was lent first if the
    /// connection has sent it, or a new one.
    pub(super) fn take(&mut self, length: usize) -> BytesMut {
        let length = length.min(FRAME_BYTES);
        match self.0.pop_front().map(Bytes::try_into_mut) {
            Some(Ok(mut buffer)) => {
                buffer.resize(length, 0);
                return buffer;
            }
            Some(Err(in_use)) if self.0.len() + 1 < BUFFERS_KEPT => self.0.push_front(in_use),
            Some(Err(_)) | None => {}
        }
        BytesMut::zeroed(length)
    }

    /// Freezes what was read, and keeps the buffer.
    pub(super) fn lend(&mut self, buffer: BytesMut) -> Bytes {
        let frame = buffer.freeze();
        self.0.push_back(frame.clone());
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_when_its_frame_was_sent() {
        let mut buffers = Buffers::default();
        let mut lend = |length, read| {
            let mut buffer = buffers.take(length);
            assert_eq!(buffer.len(), length.min(FRAME_BYTES));
            buffer.truncate(read);
            buffers.lend(buffer)
        };
        let first = lend(FRAME_BYTES + 1, FRAME_BYTES);
        let second = lend(FRAME_BYTES, 7);
        let addresses = [first.as_ptr(), second.as_ptr()];
        assert_ne!(addresses[0], addresses[1]);
        drop(first);
        let third = lend(FRAME_BYTES, FRAME_BYTES);
        assert_eq!(third.as_ptr(), addresses[0]);
        drop(second);
        assert_eq!(lend(FRAME_BYTES, 1).as_ptr(), addresses[1]);
        assert_eq!(third.len(), FRAME_BYTES);
    }

    #[test]
    fn no_more_buffers_are_kept_than_there_is_room_for() {
        let mut buffers = Buffers::default();
        let mut frames = Vec::new();
        for _ in 0..3 * BUFFERS_KEPT {
            let buffer = buffers.take(1);
            frames.push(buffers.lend(buffer));
            assert!(buffers.0.len() <= BUFFERS_KEPT);
        }
    }
}
