//! A TCP proxy in front of any server that breaks chosen connections at chosen bytes.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Gate;
use crate::serve::Background;

/// What happens to one connection.
///
/// Bytes are those from the server to the client, as they stand on the wire: response heads, TLS
/// records and framing count.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing.
    None,
    /// The connection is closed as soon as it is accepted; the server does not see it.
    Refuse,
    /// The connection is reset, without warning, as soon as it is accepted.
    Reset,
    /// Nothing passes in either direction until the gate opens.
    Hold(Gate),
    /// The connection is closed after this many bytes have reached the client.
    CutAfter(u64),
    /// The connection is reset after this many bytes were sent to the client. What the client
    /// had not read by then may be lost to it.
    ResetAfter(u64),
    /// The connection is reset when the request of this number, counted from 1, has come: those
    /// before it are answered. Requests with a body are not meant.
    ResetOnRequest(usize),
    /// After this many bytes, nothing more reaches the client until the gate opens.
    StallAfter(u64, Gate),
}

/// Which connection gets which fault, fixed before the first one.
#[derive(Clone, Debug)]
pub struct Script {
    faults: BTreeMap<usize, Fault>,
    others: Fault,
}

impl Script {
    /// Every connection passes untouched.
    #[must_use]
    pub fn new() -> Self {
        Self {
            faults: BTreeMap::new(),
            others: Fault::None,
        }
    }

    /// Every connection not named by [`connection`](Self::connection) gets `fault`.
    #[must_use]
    pub fn every(fault: Fault) -> Self {
        Self {
            faults: BTreeMap::new(),
            others: fault,
        }
    }

    /// Connection `number`, counted from 0 in order of arrival, gets `fault`.
    #[must_use]
    pub fn connection(mut self, number: usize, fault: Fault) -> Self {
        self.faults.insert(number, fault);
        self
    }

    /// The first `count` connections get `fault`.
    #[must_use]
    pub fn first(self, count: usize, fault: &Fault) -> Self {
        (0..count).fold(self, |script, number| {
            script.connection(number, fault.clone())
        })
    }

    fn fault(&self, number: usize) -> Fault {
        self.faults.get(&number).unwrap_or(&self.others).clone()
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

/// The proxy; dropping it closes every connection through it.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    counters: Arc<Counters>,
    _thread: Background,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicUsize,
    to_client: AtomicU64,
    to_server: AtomicU64,
}

impl FaultProxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `server` as `script` says.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub fn start(server: SocketAddr, script: Script) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        let thread = Background::run(listener, move |client| {
            let counters = Arc::clone(&shared);
            let fault = script.fault(counters.connections.fetch_add(1, Ordering::SeqCst));
            async move {
                // Either side leaving ends the pair: nothing here is an error.
                let _ = forward(client, server, fault, &counters).await;
            }
        })?;
        Ok(Self {
            address,
            counters,
            _thread: thread,
        })
    }

    /// The address clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were accepted, broken ones among them.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.counters.connections.load(Ordering::SeqCst)
    }

    /// How many bytes went to clients, over all connections.
    #[must_use]
    pub fn bytes_to_client(&self) -> u64 {
        self.counters.to_client.load(Ordering::SeqCst)
    }

    /// How many bytes went to the server, over all connections.
    #[must_use]
    pub fn bytes_to_server(&self) -> u64 {
        self.counters.to_server.load(Ordering::SeqCst)
    }
}

async fn forward(
    mut client: TcpStream,
    server: SocketAddr,
    fault: Fault,
    counters: &Counters,
) -> io::Result<()> {
    let mut requests = usize::MAX;
    let (limit, at_limit) = match fault {
        Fault::None => (u64::MAX, AtLimit::Close),
        Fault::Refuse => return Ok(()),
        Fault::Reset => return client.set_zero_linger(),
        Fault::Hold(gate) => {
            gate.passed().await;
            (u64::MAX, AtLimit::Close)
        }
        Fault::CutAfter(bytes) => (bytes, AtLimit::Close),
        Fault::ResetAfter(bytes) => (bytes, AtLimit::Reset),
        Fault::ResetOnRequest(number) => {
            requests = number;
            (u64::MAX, AtLimit::Reset)
        }
        Fault::StallAfter(bytes, gate) => (bytes, AtLimit::Wait(gate)),
    };
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let up = Heads::until(requests);
    let end = exchange(&mut client, &mut server, limit, &at_limit, up, counters).await?;
    if end == End::Limit && matches!(at_limit, AtLimit::Reset) {
        return client.set_zero_linger();
    }
    drop(server);
    client.shutdown().await?;
    // Closing with bytes unread would reset the connection and might lose the last ones sent.
    tokio::io::copy(&mut client, &mut tokio::io::sink())
        .await
        .map(drop)
}

/// Copies both ways until the server is done or the limit is reached for good.
async fn exchange(
    client: &mut TcpStream,
    server: &mut TcpStream,
    limit: u64,
    at_limit: &AtLimit,
    mut heads: Heads,
    counters: &Counters,
) -> io::Result<End> {
    let (mut client_read, mut client_write) = client.split();
    let (mut server_read, mut server_write) = server.split();
    let up = async {
        let end = pump(
            &mut client_read,
            &mut server_write,
            u64::MAX,
            |bytes| heads.are_left(bytes),
            &counters.to_server,
        )
        .await?;
        if end == End::Closed {
            server_write.shutdown().await?;
        }
        Ok(end)
    };
    let down = async {
        let mut end = pump(
            &mut server_read,
            &mut client_write,
            limit,
            |_| true,
            &counters.to_client,
        )
        .await?;
        if let (End::Limit, AtLimit::Wait(gate)) = (&end, at_limit) {
            gate.passed().await;
            end = pump(
                &mut server_read,
                &mut client_write,
                u64::MAX,
                |_| true,
                &counters.to_client,
            )
            .await?;
        }
        Ok::<_, io::Error>(end)
    };
    tokio::pin!(up, down);
    tokio::select! {
        end = &mut down => end,
        // The client has sent all it will; what the server still says goes on.
        sent = &mut up => match sent {
            Ok(End::Closed) => down.await,
            Ok(End::Limit) => Ok(End::Limit),
            Err(error) => Err(error),
        },
    }
}

enum AtLimit {
    Close,
    Reset,
    Wait(Gate),
}

#[derive(Debug, PartialEq)]
enum End {
    Closed,
    Limit,
}

/// Counts the heads of requests as they go by, up to a number.
#[derive(Debug)]
struct Heads {
    left: usize,
    /// How much of the empty line that ends a head has come.
    matched: usize,
}

impl Heads {
    fn until(number: usize) -> Self {
        Self {
            left: number,
            matched: 0,
        }
    }

    /// Whether the last of them has not come with these bytes.
    fn are_left(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            self.matched = match (self.matched, byte) {
                (0 | 2, b'\r') | (1 | 3, b'\n') => self.matched + 1,
                (_, b'\r') => 1,
                _ => 0,
            };
            if self.matched == 4 {
                self.matched = 0;
                self.left = self.left.saturating_sub(1);
            }
        }
        self.left > 0
    }
}

/// Copies until the end, until exactly `limit` bytes have passed, or until `go_on` says no of some,
/// which then do not pass.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    limit: u64,
    mut go_on: impl FnMut(&[u8]) -> bool,
    counter: &AtomicU64,
) -> io::Result<End> {
    let mut left = limit;
    let mut buffer = vec![0; BUFFER_BYTES];
    while left > 0 {
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(BUFFER_BYTES);
        let read = from
            .read(buffer.get_mut(..most).unwrap_or_default())
            .await?;
        if read == 0 {
            return Ok(End::Closed);
        }
        if !go_on(buffer.get(..read).unwrap_or_default()) {
            return Ok(End::Limit);
        }
        // Counted first, so that the count includes the bytes when the client has them.
        counter.fetch_add(read as u64, Ordering::SeqCst);
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
        left -= read as u64;
    }
    Ok(End::Limit)
}

const BUFFER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests;
