//! A server that runs a function of the test case on each connection.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::serve::Background;

/// A server on loopback that runs a function of the test case on each connection.
pub(super) struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _thread: Background,
}

impl Server {
    /// Runs `serve` for each connection; an error ends that connection.
    pub(super) fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> io::Result<Self>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let thread = Background::run(listener, move |stream| {
            count.fetch_add(1, Ordering::SeqCst);
            let serving = serve(stream);
            async move {
                // An error means that the client left early; a case that needs to know this checks
                // it.
                let _ = serving.await;
            }
        })?;
        Ok(Self {
            address,
            connections,
            _thread: thread,
        })
    }

    /// Answers every request on every connection with the same bytes.
    pub(super) fn answering(answer: impl Into<Bytes>) -> io::Result<Self> {
        let answer = answer.into();
        Self::start(move |mut stream| {
            let answer = answer.clone();
            async move {
                loop {
                    read_head(&mut stream).await?;
                    stream.write_all(&answer).await?;
                }
            }
        })
    }

    /// Reads one request on each connection, answers with these bytes, and closes.
    pub(super) fn closing_after(answer: impl Into<Bytes>) -> io::Result<Self> {
        let answer = answer.into();
        Self::start(move |mut stream| {
            let answer = answer.clone();
            async move {
                read_head(&mut stream).await?;
                stream.write_all(&answer).await
            }
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its origin as a URL, without a slash at the end.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were accepted.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// The head of a request, with the empty line at its end.
pub(super) async fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

/// Reads until the client closes or resets the connection, and gives what it sent.
pub(super) async fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    // A reset ends the connection as well as a close does.
    let _ = stream.read_to_end(&mut received).await;
    received
}

/// A short answer that keeps the connection open.
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
