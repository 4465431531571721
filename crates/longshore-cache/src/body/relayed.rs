//! Several parts of a blob, passed on from the upstream in sequence.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use longshore_proto::endpoint::{Multipart, MultipartPiece};

/// The pieces of an answer with several parts. A part is requested after the previous parts were
/// passed on.
pub(super) struct RelayedParts<F, S> {
    pieces: Multipart,
    open: F,
    part: Option<S>,
}

impl<F, S> RelayedParts<F, S> {
    /// Passes on these parts, each of which `open` requests.
    pub(super) const fn new(pieces: Multipart, open: F) -> Self {
        Self {
            pieces,
            open,
            part: None,
        }
    }
}

impl<F, S, E> Stream for RelayedParts<F, S>
where
    F: FnMut(Range<u64>) -> S + Unpin,
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<Bytes, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(part) = &mut this.part {
                match ready!(Pin::new(part).poll_next(cx)) {
                    Some(frame) => return Poll::Ready(Some(frame)),
                    None => this.part = None,
                }
            }
            match this.pieces.next() {
                Some(MultipartPiece::Delimiter(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Some(MultipartPiece::Content(range)) => this.part = Some((this.open)(range)),
                None => return Poll::Ready(None),
            }
        }
    }
}
