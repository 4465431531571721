//! A peer that says fixed bytes: not HTTP, not TLS, or HTTP that no library would write.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::requests::unpoisoned;
use crate::serve::Background;

/// A server that answers whatever it is sent first with the same bytes, and closes.
///
/// ```
/// use longshore_testkit::raw::RawServer;
///
/// let two_lengths = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n";
/// let broken = RawServer::start(two_lengths)?;
/// let mute = RawServer::start("")?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct RawServer {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Bytes>>>,
    _thread: Background,
}

impl RawServer {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub fn start(answer: impl Into<Bytes>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let received = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&received), answer.into());
        let thread = Background::run(listener, move |stream| {
            let (kept, answer) = (Arc::clone(&kept), answer.clone());
            async move {
                // A client that leaves early has had its answer.
                let _ = converse(stream, &answer, &kept).await;
            }
        })?;
        Ok(Self {
            address,
            received,
            _thread: thread,
        })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What each connection sent before it was answered, in the order they were answered.
    #[must_use]
    pub fn received(&self) -> Vec<Bytes> {
        unpoisoned(&self.received).clone()
    }
}

async fn converse(
    mut stream: TcpStream,
    answer: &[u8],
    received: &Mutex<Vec<Bytes>>,
) -> io::Result<()> {
    let mut buffer = vec![0; FIRST_BYTES];
    let read = stream.read(&mut buffer).await?;
    buffer.truncate(read);
    unpoisoned(received).push(Bytes::from(buffer));
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    // Closing with bytes unread would reset the connection under the answer.
    tokio::io::copy(&mut stream, &mut tokio::io::sink())
        .await
        .map(drop)
}

/// As much as a request head or a `ClientHello` is long.
const FIRST_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn it_says_its_bytes_and_closes() {
        let server = RawServer::start("SSH-2.0-test\r\n").unwrap();
        let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said, "SSH-2.0-test\r\n");
        assert_eq!(server.received(), ["hello"]);
    }
}
