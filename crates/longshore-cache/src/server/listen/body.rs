//! The body of an answer, with reports to the watch and the access log.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::connection::Context as ConnectionContext;
use crate::server::limits::watch::Active;
use crate::server::log::{AccessEnd, AccessLine};

/// A request, from its head to the end of its answer. Dropping it ends the request and writes its
/// line to the access log.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) context: Arc<ConnectionContext>,
    pub(super) active: Active,
    /// `None` if the access log is off.
    pub(super) line: Option<AccessLine>,
    pub(super) end: AccessEnd,
    /// The place of the answer among those that are open; `None` for an answer of the listener.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let end = &self.end;
        if let Some(line) = &self.line {
            line.write(end, self.context.clock.now());
        }
    }
}

/// The body of an answer of a service or of the listener itself.
#[derive(Debug)]
pub(super) struct ServedBody<B> {
    body: Source<B>,
    exchange: Exchange,
}

#[derive(Debug)]
enum Source<B> {
    Service(B),
    Own(BytesBody),
}

/// The last frame of an answer. HTTP/2 drops the body once the frame is queued, which is long
/// before it is sent if the client does not read, so the frame keeps the place of the answer.
struct LastFrame {
    bytes: Bytes,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for LastFrame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body in memory.
#[derive(Debug)]
pub(in crate::server) struct BytesBody(pub(in crate::server) Bytes);

impl Body for BytesBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.0);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.0.len()).unwrap_or(u64::MAX))
    }
}

impl<B: Body<Data = Bytes> + Unpin> ServedBody<B> {
    pub(super) fn of_service(body: B, exchange: Exchange) -> Self {
        Self::new(Source::Service(body), exchange)
    }

    pub(super) fn own(body: Bytes, exchange: Exchange) -> Self {
        Self::new(Source::Own(BytesBody(body)), exchange)
    }

    fn new(body: Source<B>, mut exchange: Exchange) -> Self {
        exchange.end.complete |= body.is_over();
        Self { body, exchange }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Source<B> {
    fn is_over(&self) -> bool {
        match self {
            Self::Service(body) => body.is_end_stream(),
            Self::Own(body) => body.is_end_stream(),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self {
            Self::Service(body) => Pin::new(body).poll_frame(cx),
            Self::Own(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})))
            }
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ServedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        this.exchange.active.gave(false);
        let mut frame = ready!(this.body.poll(cx));
        match &mut frame {
            None => this.exchange.end.complete = true,
            Some(Ok(frame)) => {
                let data = frame.data_ref().map_or(0, Bytes::len);
                this.exchange.end.bytes += u64::try_from(data).unwrap_or(u64::MAX);
                this.exchange.end.complete = this.body.is_over();
                this.exchange.active.gave(true);
                if let Some(bytes) = frame.data_mut()
                    && this.body.is_over()
                    && let Some(place) = this.exchange.place.take()
                {
                    *bytes = Bytes::from_owner(LastFrame {
                        bytes: std::mem::take(bytes),
                        _place: place,
                    });
                }
            }
            Some(Err(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Source::Service(body) => body.size_hint(),
            Source::Own(body) => body.size_hint(),
        }
    }
}
