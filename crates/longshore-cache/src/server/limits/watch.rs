//! Whether a connection has waited for its client for too long.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Limits;

/// The state of one connection. The socket, the requests and the bodies report to it; the task of
/// the connection gets a verdict from it.
///
/// Reports only set flags. The task adds the time when it checks them, so that a request reads the
/// clock only once.
#[derive(Debug)]
pub(in crate::server) struct Watch {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    protocol: ClientProtocol,
    /// Number of requests that are being answered.
    active: usize,
    /// Number of bodies that gave data to the connection and were not yet polled for more.
    unasked: usize,
    /// Whether the socket accepts no more data.
    blocked: bool,
    /// Whether bytes arrived while no request was being answered.
    received: bool,
    /// Whether data was sent to the client since the last check.
    progressed: bool,
    progress: Duration,
    idle_since: Option<Duration>,
    head_since: Option<Duration>,
}

/// The protocol of the client, from its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientProtocol {
    /// The bytes so far match the preface of HTTP/2; this is their number.
    Unknown(usize),
    Http1,
    Http2,
}

/// How a client opens an HTTP/2 connection (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What to do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Verdict {
    /// Keep it, and check again at this time.
    Until(Duration),
    /// Close it.
    Cut(Overdue),
}

/// The action that a client did not complete in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Overdue {
    /// Send a request.
    Idle,
    /// Finish the head of a request.
    Head,
    /// Read the answer.
    Stalled,
}

impl Overdue {
    pub(in crate::server) fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Head => "the head of a request took too long",
            Self::Stalled => "the client does not read the answer",
        }
    }
}

/// Maximum time between two checks of a connection, because a stalled body sends no report.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Watch {
    pub(in crate::server) fn new(limits: Limits, now: Duration) -> Arc<Self> {
        Arc::new(Self {
            limits,
            state: Mutex::new(State {
                protocol: ClientProtocol::Unknown(0),
                active: 0,
                unasked: 0,
                blocked: false,
                received: false,
                progressed: false,
                progress: now,
                idle_since: Some(now),
                head_since: None,
            }),
        })
    }

    /// The head of a request is complete. The request ends when the result is dropped.
    pub(in crate::server) fn request(self: &Arc<Self>) -> Active {
        let mut state = self.lock();
        state.active += 1;
        state.received = false;
        state.head_since = None;
        state.idle_since = None;
        drop(state);
        Active {
            watch: Arc::clone(self),
            unasked: false,
        }
    }

    /// Decides about the connection, and adds the time to the reports since the last check.
    pub(in crate::server) fn look(&self, now: Duration) -> Verdict {
        let mut state = self.lock();
        if std::mem::take(&mut state.progressed) {
            state.progress = now;
        }
        let (due, overdue) = state.due(self.limits, now);
        if due <= now {
            Verdict::Cut(overdue)
        } else {
            Verdict::Until(due.min(now.saturating_add(LOOK_EVERY)))
        }
    }

    fn received(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.protocol = state.protocol.after(bytes);
        state.received |= state.active == 0;
    }

    fn wrote(&self, blocked: bool) {
        let mut state = self.lock();
        if state.blocked && !blocked {
            // The time of a slow last write is not idle time.
            state.idle_since = None;
        }
        state.blocked = blocked;
        state.progressed |= !blocked;
    }

    /// The values stay consistent even if a thread panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// When the connection is cut if nothing is reported before, and why.
    fn due(&mut self, limits: Limits, now: Duration) -> (Duration, Overdue) {
        if self.blocked || self.unasked > 0 {
            return (
                self.progress.saturating_add(limits.stall_time),
                Overdue::Stalled,
            );
        }
        if self.active > 0 {
            // The client waits for the server.
            return (Duration::MAX, Overdue::Stalled);
        }
        if std::mem::take(&mut self.received) && self.protocol != ClientProtocol::Http2 {
            self.head_since.get_or_insert(now);
        } else if self.protocol == ClientProtocol::Http2 {
            // The preface was complete. Frames without a request do not keep a connection open.
            self.head_since = None;
        }
        match self.head_since {
            Some(since) => (since.saturating_add(limits.head_time), Overdue::Head),
            None => {
                let since = *self.idle_since.get_or_insert(now);
                (since.saturating_add(limits.idle_time), Overdue::Idle)
            }
        }
    }
}

impl ClientProtocol {
    fn after(self, bytes: &[u8]) -> Self {
        let Self::Unknown(matched) = self else {
            return self;
        };
        let rest = PREFACE.get(matched..).unwrap_or_default();
        let common = rest.len().min(bytes.len());
        if rest.get(..common) != bytes.get(..common) {
            Self::Http1
        } else if common == rest.len() {
            Self::Http2
        } else {
            Self::Unknown(matched + common)
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(in crate::server) struct Active {
    watch: Arc<Watch>,
    unasked: bool,
}

impl Active {
    /// Reports that the connection polled the body for data (`false`), or that the body returned
    /// data (`true`).
    pub(in crate::server) fn gave(&mut self, data: bool) {
        if data {
            let mut state = self.watch.lock();
            state.progressed = true;
            state.unasked += usize::from(!self.unasked);
        } else if self.unasked {
            self.watch.lock().unasked -= 1;
        }
        self.unasked = data;
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let mut state = self.watch.lock();
        state.active -= 1;
        state.unasked -= usize::from(self.unasked);
    }
}

/// A socket that reports to a [`Watch`].
#[derive(Debug)]
pub(in crate::server) struct Watched<T> {
    stream: T,
    watch: Arc<Watch>,
}

impl<T> Watched<T> {
    pub(in crate::server) fn new(stream: T, watch: Arc<Watch>) -> Self {
        Self { stream, watch }
    }

    /// Reports the result of a write, and returns it.
    fn written<R>(&self, result: Poll<R>) -> Poll<R> {
        self.watch.wrote(result.is_pending());
        result
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let arrived = buffer.filled().get(before..).unwrap_or_default();
        if !arrived.is_empty() {
            self.watch.received(arrived);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        if result.is_pending() {
            // TLS buffers data until the socket accepts it.
            self.watch.wrote(true);
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(result)
    }
}

#[cfg(test)]
mod tests;
