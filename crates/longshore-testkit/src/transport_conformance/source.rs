//! A request body that counts what is taken from it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use longshore_transport::{Body, Phase, TransportError, TransportErrorKind};

use crate::Gate;
use crate::valve::Waiting;

/// A number of equal frames, followed by an end or a failure.
pub(super) struct Source {
    frame: Bytes,
    left: u64,
    /// Whether the length is known in advance.
    announced: bool,
    /// Number of frames left when the body fails; it fails only after the gate has opened.
    fails_before_end: u64,
    gate: Waiting,
    taken: Arc<AtomicU64>,
}

impl Source {
    /// A body of `frames` times `frame`, whose length is known.
    pub(super) fn new(frame: impl Into<Bytes>, frames: u64) -> Self {
        Self {
            frame: frame.into(),
            left: frames,
            announced: true,
            fails_before_end: 0,
            gate: None,
            taken: Arc::default(),
        }
    }

    pub(super) fn unannounced(self) -> Self {
        Self {
            announced: false,
            ..self
        }
    }

    /// Makes the body fail when `fails_before_end` frames are left, after the gate has opened.
    pub(super) fn failing(self, fails_before_end: u64, gate: Gate) -> Self {
        Self {
            fails_before_end,
            gate: Some(Box::pin(async move { gate.passed().await })),
            ..self
        }
    }

    /// The count of bytes that were taken so far.
    pub(super) fn taken(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.taken)
    }

    pub(super) fn into_body(self) -> Body {
        Body::wrap(self)
    }
}

impl http_body::Body for Source {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        if self.left == self.fails_before_end {
            if let Some(gate) = &mut self.gate {
                ready!(gate.as_mut().poll(cx));
                self.gate = None;
            }
            let failed = (self.left > 0)
                .then(|| TransportError::new(TransportErrorKind::Canceled, Phase::Body));
            return Poll::Ready(failed.map(Err));
        }
        self.left -= 1;
        let frame = self.frame.clone();
        self.taken.fetch_add(frame.len() as u64, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn size_hint(&self) -> SizeHint {
        if self.announced {
            SizeHint::with_exact(self.left * self.frame.len() as u64)
        } else {
            SizeHint::default()
        }
    }
}
