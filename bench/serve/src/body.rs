//! The body of an answer: bytes, or a file that is read into buffers that are used again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// Bytes read at once. From 64 to 512 KiB the cost is the same.
const BUFFER_BYTES: usize = 256 * 1024;

/// Maximum number of buffers that are kept.
const BUFFERS: usize = 64;

thread_local! {
    /// Buffers, in the order in which they were last used; a frame may still refer to one.
    static POOL: RefCell<VecDeque<Bytes>> = const { RefCell::new(VecDeque::new()) };
}

pub(crate) struct Body(Source);

enum Source {
    Full(Option<Bytes>),
    File { file: File, position: u64, end: u64 },
}

impl Body {
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self(Source::Full(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    pub(crate) fn file(file: File, end: u64) -> Self {
        Self(Source::File {
            file,
            position: 0,
            end,
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = match &mut self.0 {
            Source::Full(bytes) => bytes.take().map(Ok),
            Source::File { position, end, .. } if position == end => None,
            Source::File {
                file,
                position,
                end,
            } => Some(read(file, *position, *end).inspect(|frame| *position += frame.len() as u64)),
        };
        Poll::Ready(frame.map(|frame| frame.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Full(bytes) => bytes.is_none(),
            Source::File { position, end, .. } => position == end,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.0 {
            Source::Full(bytes) => bytes.as_ref().map_or(0, Bytes::len) as u64,
            Source::File { position, end, .. } => end - position,
        })
    }
}

/// The next bytes of a file.
fn read(file: &File, position: u64, end: u64) -> io::Result<Bytes> {
    let mut buffer = take();
    let most = usize::try_from(end - position).unwrap_or(usize::MAX);
    let part = &mut buffer[..most.min(BUFFER_BYTES)];
    let count = match preadv2(
        file,
        &mut [IoSliceMut::new(part)],
        position,
        ReadWriteFlags::NOWAIT,
    ) {
        Ok(count) if count > 0 => count,
        Ok(_) | Err(Errno::AGAIN) => file.read_at(part, position)?,
        Err(error) => return Err(error.into()),
    };
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let whole = buffer.freeze();
    let frame = whole.slice(..count);
    give(whole);
    Ok(frame)
}

/// An initialised buffer that nothing else refers to.
fn take() -> BytesMut {
    POOL.with_borrow_mut(|pool| {
        for _ in 0..pool.len().min(2) {
            match pool.pop_front().map(Bytes::try_into_mut) {
                Some(Ok(buffer)) => return buffer,
                Some(Err(in_use)) => pool.push_back(in_use),
                None => {}
            }
        }
        BytesMut::zeroed(BUFFER_BYTES)
    })
}

fn give(buffer: Bytes) {
    POOL.with_borrow_mut(|pool| {
        if pool.len() < BUFFERS {
            pool.push_back(buffer);
        }
    });
}
