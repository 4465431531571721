//! One connection, and how to end it after exactly the bytes it was meant to carry.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::requests::unpoisoned;

/// Shared by a connection and the bodies it carries; a body that is to break off cuts it.
///
/// Failing the body instead would lose whatever hyper had not yet flushed, and a test that asks
/// for a cut after N bytes means N.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cut: AtomicBool,
    /// What goes out before anything else does.
    first: Mutex<Bytes>,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Writes these bytes, which are nobody's message, before what is written next.
    pub(crate) fn say_first(&self, bytes: Bytes) {
        *unpoisoned(&self.0.first) = bytes;
    }

    /// Closes the connection as soon as everything written so far has gone out.
    pub(crate) fn cut(&self) {
        self.0.cut.store(true, Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::SeqCst)
    }
}

/// A stream that fails its first flush after the line was cut.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    line: Line,
}

impl<S> Watched<S> {
    pub(crate) fn new(stream: S, line: Line) -> Self {
        Self { stream, line }
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    /// Writes what is to be said first.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut first = unpoisoned(&self.line.0.first);
        while !first.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &first))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            first.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_first(cx))?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_first(cx))?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes the stream only when its own buffer is empty.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.line.is_cut() {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionAborted)));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
