//! Parts of a blob, read from the store or from a fill.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use longshore_proto::endpoint::{Multipart, MultipartPiece};
use longshore_store::RandomReader;
use tokio::task::JoinHandle;

use super::CacheBodyError;
use super::buffers::Buffer;
use crate::bounded::StoredBlob;
use crate::fill::{Available, Fill, Piece};

/// One part of a blob, or several parts with the delimiters between them.
pub(super) struct Parts {
    content: Content,
    /// The next bytes of the blob.
    range: Range<u64>,
    /// The parts after them.
    rest: Option<Multipart>,
    /// Number of remaining bytes; `None` if the size of the blob is not known.
    left: Option<u64>,
    /// A read that may block, in another thread.
    reading: Option<JoinHandle<ReadAnswer>>,
}

type ReadAnswer = (Buffer, io::Result<usize>);

/// The source of the bytes of a blob.
pub(super) enum Content {
    Stored(StoredBlob),
    Filling {
        fill: Fill,
        /// Waits until more bytes are available.
        wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    },
}

impl Content {
    pub(super) const fn filling(fill: Fill) -> Self {
        Self::Filling { fill, wait: None }
    }
}

impl Parts {
    pub(super) fn one(content: Content, range: Range<u64>) -> Self {
        let left = range.end.saturating_sub(range.start);
        let is_known = range.end < u64::MAX;
        Self::new(content, range, None, is_known.then_some(left))
    }

    pub(super) fn several(content: Content, parts: Multipart) -> Self {
        let left = parts.length();
        Self::new(content, 0..0, Some(parts), Some(left))
    }

    fn new(
        content: Content,
        range: Range<u64>,
        rest: Option<Multipart>,
        left: Option<u64>,
    ) -> Self {
        if let Content::Filling { fill, .. } = &content {
            fill.starts_reading(range.start);
        }
        Self {
            content,
            range,
            rest,
            left,
            reading: None,
        }
    }

    pub(super) const fn left(&self) -> Option<u64> {
        self.left
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, CacheBodyError>>> {
        while self.range.is_empty() {
            match self.rest.as_mut().and_then(Iterator::next) {
                Some(MultipartPiece::Delimiter(text)) => {
                    return Poll::Ready(Some(Ok(self.sent(text))));
                }
                Some(MultipartPiece::Content(range)) => self.range = range,
                None => return Poll::Ready(None),
            }
        }
        let bytes = match ready!(self.poll_bytes(cx)) {
            Ok(Some(bytes)) => bytes,
            Ok(None) if self.left.is_none() => return Poll::Ready(None),
            Ok(None) => return Poll::Ready(Some(Err(self.truncated()))),
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        self.range.start += bytes.len() as u64;
        if let Content::Filling { fill, .. } = &self.content {
            fill.needs(self.range.start);
        }
        Poll::Ready(Some(Ok(self.sent(bytes))))
    }

    fn sent(&mut self, bytes: Bytes) -> Bytes {
        self.left = self
            .left
            .map(|left| left.saturating_sub(bytes.len() as u64));
        bytes
    }

    /// The next bytes of the range; `None` at the end of a blob whose size was not known.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, CacheBodyError>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let answer = ready!(Pin::new(reading).poll(cx));
                self.reading = None;
                let (buffer, read) = answer.map_err(|error| self.read_error(error.into()))?;
                return Poll::Ready(self.read(buffer, read).map(Some));
            }
            let (start, end) = (self.range.start, self.range.end);
            let (reader, end) = match &mut self.content {
                Content::Stored(blob) => (blob.reader(), end),
                Content::Filling { fill, wait } => {
                    match ready!(poll_piece(fill, wait, start, cx)) {
                        Err(error) => return Poll::Ready(Err(error)),
                        Ok(Available::End) => return Poll::Ready(Ok(None)),
                        Ok(Available::UpTo(available)) => {
                            match fill.find(start..end.min(available)) {
                                Piece::Source(reader, end) => (reader, end),
                                Piece::Bytes(bytes) => return Poll::Ready(Ok(Some(bytes))),
                                Piece::Gone => return Poll::Ready(Err(CacheBodyError::FellBehind)),
                            }
                        }
                    }
                }
            };
            let length = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
            let mut buffer = Buffer::take(length);
            match reader.try_read_at(buffer.as_mut(), start).transpose() {
                Some(read) => return Poll::Ready(self.read(buffer, read).map(Some)),
                None => self.reading = Some(read_elsewhere(reader.clone(), buffer, start)),
            }
        }
    }

    fn read(&self, buffer: Buffer, read: io::Result<usize>) -> Result<Bytes, CacheBodyError> {
        match read.map_err(|source| self.read_error(source))? {
            0 => Err(self.truncated()),
            count => Ok(buffer.into_frame(count)),
        }
    }

    const fn truncated(&self) -> CacheBodyError {
        CacheBodyError::Truncated {
            position: self.range.start,
        }
    }

    const fn read_error(&self, source: io::Error) -> CacheBodyError {
        CacheBodyError::Read {
            position: self.range.start,
            source,
        }
    }
}

/// Waits until a fill has released bytes at this position.
fn poll_piece(
    fill: &Fill,
    wait: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    position: u64,
    cx: &mut Context<'_>,
) -> Poll<Result<Available, CacheBodyError>> {
    loop {
        if let Some(waiting) = wait {
            ready!(waiting.as_mut().poll(cx));
            *wait = None;
        }
        match fill.available(position).map_err(CacheBodyError::Fill)? {
            Some(available) => return Poll::Ready(Ok(available)),
            None => *wait = Some(fill.wait_beyond(position)),
        }
    }
}

/// Reads on a thread that may block.
fn read_elsewhere(
    reader: RandomReader,
    mut buffer: Buffer,
    position: u64,
) -> JoinHandle<ReadAnswer> {
    tokio::task::spawn_blocking(move || {
        let read = loop {
            match reader.read_at(buffer.as_mut(), position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        (buffer, read)
    })
}
