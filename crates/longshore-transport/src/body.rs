//! The one body type of requests and responses.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::TransportError;

/// The body of a request or a response: nothing, some bytes, or a stream of frames.
///
/// It is `Send` and `Sync`, so the body types of other HTTP libraries can wrap it.
///
/// ```
/// use longshore_transport::Body;
///
/// assert_eq!(Body::from("abc").known(), Some(b"abc".as_slice()));
/// ```
#[derive(Default)]
pub struct Body(Inner);

#[derive(Default)]
enum Inner {
    #[default]
    Empty,
    Bytes(Bytes),
    Stream(Pin<Box<dyn http_body::Body<Data = Bytes, Error = TransportError> + Send + Sync>>),
}

impl Body {
    /// A body without a byte.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Inner::Empty)
    }

    /// Wraps another body; its errors become transport errors.
    ///
    /// The body need not be `Sync`.
    pub fn wrap<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<TransportError>,
    {
        Self::wrap_with(body, Into::into)
    }

    /// Wraps the body of another HTTP library; `into_error` makes a transport error of each of its
    /// errors.
    ///
    /// The body need not be `Sync`.
    ///
    /// ```
    /// use longshore_transport::{Body, Phase, TransportError, TransportErrorKind};
    ///
    /// # let theirs = Body::from("abc");
    /// let body = Body::wrap_with(theirs, |error| {
    ///     TransportError::new(TransportErrorKind::Closed, Phase::Body).with_source(error)
    /// });
    /// # let _ = body;
    /// ```
    pub fn wrap_with<B, F>(body: B, into_error: F) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        F: Fn(B::Error) -> TransportError + Send + Sync + Unpin + 'static,
    {
        let body = Mutex::new(body);
        Self(Inner::Stream(Box::pin(Wrapped { body, into_error })))
    }

    /// The next frame, or `None` at the end.
    ///
    /// Cancel-safe: dropping the future loses no frame.
    ///
    /// # Errors
    ///
    /// What the transport reports, normally in [`Phase::Body`](crate::Phase::Body).
    pub async fn frame(&mut self) -> Option<Result<Frame<Bytes>, TransportError>> {
        poll_fn(|cx| http_body::Body::poll_frame(Pin::new(self), cx)).await
    }

    /// The whole content where it is in memory, and so can be sent more than once.
    #[must_use]
    pub fn known(&self) -> Option<&[u8]> {
        match &self.0 {
            Inner::Empty => Some(&[]),
            Inner::Bytes(bytes) => Some(bytes),
            Inner::Stream(_) => None,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        let inner = &mut self.get_mut().0;
        if let Inner::Stream(stream) = inner {
            return stream.as_mut().poll_frame(cx);
        }
        Poll::Ready(match std::mem::take(inner) {
            Inner::Bytes(bytes) if !bytes.is_empty() => Some(Ok(Frame::data(bytes))),
            _ => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Bytes(bytes) => bytes.is_empty(),
            Inner::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Stream(stream) => stream.size_hint(),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Inner::Bytes(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::from(Bytes::from_static(text.as_bytes()))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Empty => f.write_str("Body(empty)"),
            Inner::Bytes(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Inner::Stream(_) => f.write_str("Body(stream)"),
        }
    }
}

/// A foreign body with errors of our type, made `Sync` by a mutex.
///
/// Reading a frame needs `&mut self` and takes no lock. Only the methods that take `&self` (size
/// hint and end of stream) lock the mutex.
struct Wrapped<B, F> {
    body: Mutex<B>,
    into_error: F,
}

impl<B, F> Wrapped<B, F> {
    fn lock(&self) -> MutexGuard<'_, B> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B, F> http_body::Body for Wrapped<B, F>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    F: Fn(B::Error) -> TransportError + Unpin,
{
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        let Self { body, into_error } = &mut *self;
        let body = body.get_mut().unwrap_or_else(PoisonError::into_inner);
        let frame = ready!(Pin::new(body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(into_error)))
    }

    fn is_end_stream(&self) -> bool {
        self.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().size_hint()
    }
}

impl From<Infallible> for TransportError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
