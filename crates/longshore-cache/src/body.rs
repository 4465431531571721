//! The body of an answer.

mod buffers;
mod part;
mod relayed;
mod report;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Frame, SizeHint};
use longshore_proto::endpoint::Multipart;

use crate::bounded::StoredBlob;
use crate::fill::{Fill, FillError};
use crate::observer::{Observer, RequestId, RequestKind};
use crate::upstream::{UpstreamError, UpstreamFrames};

use part::{Content, Parts};
use relayed::RelayedParts;
use report::Report;

/// The body of an answer of a cache: bytes in memory, parts of a stored blob or of a running fill,
/// or frames passed on from an upstream.
///
/// A body of known length never ends without an error before all its bytes were sent (CA3).
#[derive(Default)]
pub struct CacheBody {
    inner: Inner,
    report: Option<Box<Report>>,
}

#[derive(Default)]
enum Inner {
    #[default]
    Empty,
    Bytes(Bytes),
    Parts(Box<Parts>),
    Relay(Relay),
}

/// Frames that are passed on without being verified.
struct Relay {
    frames: Pin<Box<dyn Stream<Item = Result<Bytes, UpstreamError>> + Send>>,
    /// Number of bytes that the upstream must still send.
    to_come: u64,
    /// The last frame. It is held back until the upstream ends its answer, so that an answer that
    /// is too long is an error. Otherwise the connection would send the announced length, and the
    /// client would not notice the error.
    last: Bytes,
}

/// Why a body ended early. The connection is then aborted, so that the client cannot take the
/// received part for the whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheBodyError {
    /// A stored file became shorter than the blob (CA3).
    #[error("the stored blob ends at byte {position}: it was truncated")]
    Truncated {
        /// Where it ends.
        position: u64,
    },
    /// A stored file cannot be read.
    #[error("cannot read the stored blob at byte {position}")]
    Read {
        /// Where reading failed.
        position: u64,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The transfer of the blob from the upstream failed.
    #[error("the transfer of the blob from the upstream failed")]
    Fill(#[source] FillError),
    /// The blob is not stored, and this client was much slower than its other readers.
    #[error("the blob is not stored, and the client is too slow to read it as it arrives")]
    FellBehind,
    /// The upstream failed while its frames were passed on.
    #[error("the upstream failed while the cache passed its answer on")]
    Relay(#[source] UpstreamError),
    /// The upstream sent fewer or more bytes than it announced.
    #[error("the upstream sent {} bytes than announced", if *.longer { "more" } else { "fewer" })]
    Length {
        /// Whether the upstream sent more.
        longer: bool,
    },
}

impl CacheBody {
    /// An empty body.
    #[must_use]
    pub const fn empty() -> Self {
        Self::of(Inner::Empty)
    }

    /// A body of these bytes.
    #[must_use]
    pub const fn full(bytes: Bytes) -> Self {
        Self::of(Inner::Bytes(bytes))
    }

    /// A part of a stored blob. The blob is not evicted while the body exists.
    #[must_use]
    pub fn stored(blob: StoredBlob, range: Range<u64>) -> Self {
        let end = range.end.min(blob.size());
        Self::parts(Parts::one(Content::Stored(blob), range.start..end))
    }

    /// Several parts of a stored blob.
    #[must_use]
    pub fn stored_parts(blob: StoredBlob, parts: Multipart) -> Self {
        Self::parts(Parts::several(Content::Stored(blob), parts))
    }

    /// A part of the blob of a fill, at most to its end. If the size is not known, `0..u64::MAX` is
    /// the whole blob. Call this after the head of the fill was received.
    pub(crate) fn filling(fill: Fill, range: Range<u64>) -> Self {
        let end = fill.progress().size.unwrap_or(u64::MAX);
        let range = range.start..range.end.min(end);
        Self::parts(Parts::one(Content::filling(fill), range))
    }

    /// Several parts of the blob of a fill.
    pub(crate) fn filling_parts(fill: Fill, parts: Multipart) -> Self {
        Self::parts(Parts::several(Content::filling(fill), parts))
    }

    /// The bytes of an upstream answer, which must have exactly `length` bytes. They are not
    /// verified.
    #[must_use]
    pub fn relay(frames: UpstreamFrames, length: u64) -> Self {
        Self::pass_on(frames, length)
    }

    fn pass_on(
        frames: impl Stream<Item = Result<Bytes, UpstreamError>> + Send + 'static,
        length: u64,
    ) -> Self {
        Self::of(Inner::Relay(Relay {
            frames: Box::pin(frames),
            to_come: length,
            last: Bytes::new(),
        }))
    }

    /// Several parts of a blob, each of which `open` requests from the upstream. They are not
    /// verified.
    pub(crate) fn relay_parts(
        parts: Multipart,
        open: impl FnMut(Range<u64>) -> UpstreamFrames + Send + Unpin + 'static,
    ) -> Self {
        let length = parts.length();
        Self::pass_on(RelayedParts::new(parts, open), length)
    }

    /// The same body, with a report of its end.
    pub(crate) fn reported(
        mut self,
        id: RequestId,
        kind: RequestKind,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let mut report = Report::new(id, kind, observer);
        report.complete = http_body::Body::is_end_stream(&self);
        self.report = Some(Box::new(report));
        self
    }

    /// Adds bytes to the report. A connection may not poll a body of known length for its end.
    fn reported_bytes(&mut self, bytes: usize) {
        if let Some(report) = &mut self.report {
            report.bytes += bytes as u64;
            report.complete = self.inner.is_at_end();
        }
    }

    const fn of(inner: Inner) -> Self {
        Self {
            inner,
            report: None,
        }
    }

    fn parts(parts: Parts) -> Self {
        Self::of(Inner::Parts(Box::new(parts)))
    }
}

impl Relay {
    /// Number of bytes that were not yet returned.
    const fn left(&self) -> u64 {
        self.to_come + self.last.len() as u64
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, CacheBodyError>>> {
        loop {
            match ready!(self.frames.as_mut().poll_next(cx)) {
                Some(Ok(frame)) if frame.is_empty() => {}
                Some(Ok(frame)) => {
                    let to_come = self.to_come.checked_sub(frame.len() as u64);
                    self.to_come = to_come.ok_or(CacheBodyError::Length { longer: true })?;
                    if self.to_come > 0 {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    self.last = frame;
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(CacheBodyError::Relay(error)))),
                None if self.to_come > 0 => {
                    return Poll::Ready(Some(Err(CacheBodyError::Length { longer: false })));
                }
                None => return Poll::Ready(Some(Ok(std::mem::take(&mut self.last)))),
            }
        }
    }
}

impl Inner {
    /// Whether it is known that no bytes follow.
    fn is_at_end(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Parts(parts) => parts.left() == Some(0),
            Self::Relay(relay) => relay.left() == 0,
        }
    }
}

impl http_body::Body for CacheBody {
    type Data = Bytes;
    type Error = CacheBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CacheBodyError>>> {
        let this = self.get_mut();
        let frame = match &mut this.inner {
            Inner::Empty => None,
            Inner::Bytes(bytes) => Some(Ok(std::mem::take(bytes))).filter(not_empty),
            Inner::Parts(parts) => ready!(parts.poll_frame(cx)),
            Inner::Relay(relay) => ready!(relay.poll_frame(cx)).filter(not_empty),
        };
        match &frame {
            Some(Ok(bytes)) => this.reported_bytes(bytes.len()),
            // After the end or an error nothing follows: release files and readers.
            None => {
                this.inner = Inner::Empty;
                this.reported_bytes(0);
            }
            Some(Err(_)) => {
                this.inner = Inner::Empty;
                this.report = None;
            }
        }
        Poll::Ready(frame.map(|frame| frame.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        let left = match &self.inner {
            Inner::Empty => Some(0),
            Inner::Bytes(bytes) => Some(bytes.len() as u64),
            Inner::Parts(parts) => parts.left(),
            Inner::Relay(relay) => Some(relay.left()),
        };
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn not_empty(bytes: &Result<Bytes, CacheBodyError>) -> bool {
    !matches!(bytes, Ok(bytes) if bytes.is_empty())
}

impl From<Bytes> for CacheBody {
    fn from(bytes: Bytes) -> Self {
        Self::full(bytes)
    }
}

impl fmt::Debug for CacheBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = http_body::Body::size_hint(self);
        f.debug_struct("CacheBody")
            .field("left", &hint.exact())
            .finish_non_exhaustive()
    }
}
