//! Limits on the time that a body may take.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use longshore_transport::{Body, Clock, Phase, Timer, TransportError, TransportErrorKind};

/// Nothing for this long ends a body; what is missing of a blob is asked for again (RT).
pub const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// Over this much time spent waiting, a body brings [`SLOW_BYTES`] or is given up (RT).
pub const SLOW_WINDOW: Duration = Duration::from_secs(60);

/// What a body brings at least in each [`SLOW_WINDOW`]: 1 KiB/s.
pub const SLOW_BYTES: u64 = 60 * 1024;

/// Ends a body that stalls or trickles.
///
/// Only time spent waiting for the body counts: a slow consumer is no fault of the peer. One
/// alarm runs for a whole period and is armed again when it rings, so a frame that is there costs
/// no timer.
pub(crate) struct StallGuard {
    clock: Arc<dyn Clock>,
    alarm: Option<Timer>,
    /// When the wait that is going on began.
    since: Option<Duration>,
    /// Time waited for the next byte before that.
    idle: Duration,
    /// Time waited, and bytes that came, in the current window.
    waited: Duration,
    bytes: u64,
}

impl StallGuard {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            alarm: None,
            since: None,
            idle: Duration::ZERO,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// A new body begins.
    pub(crate) fn begin(&mut self) {
        *self = Self::new(Arc::clone(&self.clock));
    }

    /// The data of the next frame; trailers are passed over.
    pub(crate) fn poll_frame(
        &mut self,
        body: &mut Body,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, TransportError>>> {
        loop {
            return match http_body::Body::poll_frame(Pin::new(&mut *body), cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) if self.arrived(bytes.len()) => Poll::Ready(Some(Ok(bytes))),
                    Ok(_) => Poll::Ready(Some(Err(stalled()))),
                    Err(_trailers) => continue,
                },
                Poll::Ready(other) => Poll::Ready(other.map(|frame| frame.map(|_| Bytes::new()))),
                Poll::Pending => match self.waits(cx) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(stalled()))),
                    Poll::Pending => Poll::Pending,
                },
            };
        }
    }

    /// Nobody waits any more, for now.
    pub(crate) fn pause(&mut self) {
        if let Some(since) = self.since.take() {
            self.idle += self.clock.now().saturating_sub(since);
        }
    }

    /// Bytes came; says whether they come fast enough.
    fn arrived(&mut self, count: usize) -> bool {
        self.pause();
        self.bytes += count as u64;
        self.waited += std::mem::take(&mut self.idle);
        if self.waited < SLOW_WINDOW {
            return true;
        }
        let fast = self.bytes >= SLOW_BYTES;
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        fast
    }

    /// Nothing came; ready when that has gone on for too long.
    fn waits(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(|| self.clock.now());
        loop {
            let alarm = self
                .alarm
                .get_or_insert_with(|| self.clock.alarm(IDLE_LIMIT));
            ready!(alarm.as_mut().poll(cx));
            let idle = self.idle + self.clock.now().saturating_sub(since);
            if idle >= IDLE_LIMIT {
                return Poll::Ready(());
            }
            self.alarm = Some(self.clock.alarm(IDLE_LIMIT - idle));
        }
    }
}

fn stalled() -> TransportError {
    TransportError::new(TransportErrorKind::Timeout, Phase::Body)
}
