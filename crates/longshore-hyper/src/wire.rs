//! An open connection and what is known of it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::{fmt, io};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use longshore_origin::{AddressClass, Peer};
use tokio::io::{AsyncRead, AsyncWrite};

#[cfg(feature = "http2")]
use crate::frames::{Counted, Trouble};
use crate::proxy::Proxy;

/// Any stream of bytes. One virtual call a read is nothing beside the system call beneath it.
pub(crate) type Stream = Box<dyn AsyncStream>;

/// A stream that can be read and written.
pub(crate) trait AsyncStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> AsyncStream for T {}

/// What a connector hands to the pool.
pub(crate) struct Wire {
    io: TokioIo<Stream>,
    facts: Facts,
    protocol: Protocol,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    /// HTTP/1.1 to a proxy, which wants to be told the whole URI.
    Http1Absolute,
    Http2,
}

impl Wire {
    pub(crate) fn new(stream: Stream, class: Option<AddressClass>, protocol: Protocol) -> Self {
        let facts = Facts {
            class,
            proxy: None,
            answers: Arc::default(),
            #[cfg(feature = "http2")]
            trouble: Arc::default(),
        };
        #[cfg(feature = "http2")]
        let stream = match protocol {
            Protocol::Http2 => Box::new(Counted::new(stream, Arc::clone(&facts.trouble))),
            _ => stream,
        };
        Self {
            io: TokioIo::new(stream),
            facts,
            protocol,
        }
    }

    /// Says that a proxy reads the requests on this connection.
    pub(crate) fn through(mut self, proxy: &Arc<Proxy>) -> Self {
        self.facts.proxy = Some(Arc::clone(proxy));
        self
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("facts", &self.facts)
            .field("protocol", &self.protocol)
            .finish()
    }
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(self.facts.clone());
        match self.protocol {
            Protocol::Http1 => connected,
            Protocol::Http1Absolute => connected.proxy(true),
            Protocol::Http2 => connected.negotiated_h2(),
        }
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}

/// What is known of a connection; hyper-util copies it into every response and error.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    class: Option<AddressClass>,
    /// The proxy that reads the requests.
    proxy: Option<Arc<Proxy>>,
    /// Response heads that came over this connection so far.
    answers: Arc<AtomicUsize>,
    #[cfg(feature = "http2")]
    trouble: Arc<Trouble>,
}

impl Facts {
    /// The facts about a response that just came.
    pub(crate) fn answered(&self) -> Peer {
        Peer::new(self.class, self.answers.fetch_add(1, Ordering::Relaxed) > 0)
    }

    /// Whether the connection had brought a response before the request that failed on it.
    pub(crate) fn is_reused(&self) -> bool {
        self.answers.load(Ordering::Relaxed) > 0
    }

    /// Why the connection failed, as far as its stream knows.
    #[cfg(feature = "http2")]
    pub(crate) fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// The proxy that reads the requests on this connection.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_deref()
    }
}
