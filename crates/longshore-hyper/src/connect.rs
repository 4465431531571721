//! From a URI to an open connection: addresses, policy, proxy, TLS.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, thread};

use http::Uri;
use longshore_origin::{AddressClass, AddressPolicy, Origin, OriginError, Scheme};
use longshore_transport::{Phase, TlsFault, TlsIdentity, TransportError, TransportErrorKind};
use rustls::pki_types::ServerName;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::failure::{self, ConnectFailure};
use crate::heard::Heard;
use crate::proxy::{Proxy, ProxyProtocol, ProxySettings};
use crate::tls::{self, HTTP_2, Offer, Tls};
use crate::wire::{Protocol, Stream, Wire};

/// What all connections of a transport have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    /// Finds the addresses of a host; may block.
    pub(crate) look_up: fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
    pub(crate) proxy: ProxySettings,
    pub(crate) tls: HashMap<TlsIdentity, Arc<Tls>>,
}

/// Makes the connections of one pool, all of them under one policy and one TLS identity.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    pub(crate) shared: Arc<Shared>,
    pub(crate) policy: AddressPolicy,
    pub(crate) identity: TlsIdentity,
    pub(crate) offer: Offer,
}

impl tower_service::Service<Uri> for Connector {
    type Response = Wire;
    type Error = ConnectFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, ConnectFailure>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { Ok(connector.connect(&uri).await?) })
    }
}

impl Connector {
    async fn connect(&self, uri: &Uri) -> Result<Wire, TransportError> {
        let origin = origin_of(uri)?;
        match self.shared.proxy.intercept(&origin) {
            None => self.connect_directly(&origin).await,
            Some(proxy) => self.connect_through(proxy, &origin).await,
        }
    }

    async fn connect_directly(&self, origin: &Origin) -> Result<Wire, TransportError> {
        let stream = self.open(origin, &self.policy).await?;
        let address = stream.peer_addr().map_err(failure::connecting)?.ip();
        let class = Some(AddressClass::of(address));
        if origin.scheme() == Scheme::Http {
            return Ok(Wire::new(Box::new(stream), class, Protocol::Http1));
        }
        let heard = Heard::default();
        let stream = buffered(Box::new(heard.listen(stream)));
        let patience = origin.is_loopback_name().then_some(&heard);
        let secured = self.secure(stream, origin, class, patience).await;
        secured.map_err(|error| match error.kind() {
            TransportErrorKind::Closed | TransportErrorKind::Timeout if !heard.anything() => {
                error.with_tls(TlsFault::Unanswered)
            }
            _ => error,
        })
    }

    async fn connect_through(
        &self,
        proxy: &Arc<Proxy>,
        origin: &Origin,
    ) -> Result<Wire, TransportError> {
        check_known(&self.policy, origin)?;
        let stream = match proxy.protocol {
            ProxyProtocol::Http => {
                let stream = self.reach(proxy).await?;
                if origin.scheme() == Scheme::Http {
                    let wire = Wire::new(stream, None, Protocol::Http1Absolute);
                    return Ok(wire.through(proxy));
                }
                let mut buffer = buffered(stream);
                self.ask(proxy, proxy.tunnel(&mut buffer, origin)).await?;
                buffer
            }
            ProxyProtocol::Socks { remote } => {
                let stream = self.open_socks(proxy, origin, remote).await?;
                if origin.scheme() == Scheme::Http {
                    return Ok(Wire::new(stream, None, Protocol::Http1));
                }
                buffered(stream)
            }
        };
        // The proxy itself may have sent plain text, so the client must not fall back to plain http
        // (RT12).
        self.secure(stream, origin, None, None)
            .await
            .map_err(|error| match error.kind() {
                TransportErrorKind::NotTls => {
                    TransportError::new(TransportErrorKind::Tls, Phase::Connect).with_source(error)
                }
                _ => error,
            })
    }

    /// A connection to the proxy itself. The proxy is the user's own choice: any address will do.
    async fn reach(&self, proxy: &Proxy) -> Result<Stream, TransportError> {
        let stream = self.open(&proxy.origin, &AddressPolicy::Any).await;
        let stream = Box::new(stream.map_err(|error| proxy.blamed(error))?);
        if proxy.origin.scheme() == Scheme::Http {
            return Ok(stream);
        }
        let default = TlsIdentity::default();
        let stream = buffered(stream);
        let handshake = self.handshake(stream, &proxy.origin, &default, Offer::Http1, None);
        let secured = handshake.await.map_err(|error| proxy.blamed(error))?;
        Ok(secured.0)
    }

    /// A connection to `origin` through a SOCKS proxy.
    async fn open_socks(
        &self,
        proxy: &Proxy,
        origin: &Origin,
        remote: bool,
    ) -> Result<Stream, TransportError> {
        // Connect before the name is resolved: an unreachable proxy should be reported first.
        let mut stream = self.reach(proxy).await?;
        if remote && origin.address().is_none() {
            return self.ask(proxy, proxy.socks(stream, origin, None)).await;
        }
        let mut addresses = self.addresses(origin, &self.policy).await?.into_iter();
        let mut address = addresses.next();
        loop {
            let asked = self.ask(proxy, proxy.socks(stream, origin, address)).await;
            address = addresses.next();
            match asked {
                Err(error) if error.kind() == TransportErrorKind::Connect && address.is_some() => {
                    stream = self.reach(proxy).await?;
                }
                asked => return asked,
            }
        }
    }

    /// The answer of a proxy, within [`TUNNEL_TIMEOUT`].
    async fn ask<T>(
        &self,
        proxy: &Proxy,
        answer: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        match timeout(TUNNEL_TIMEOUT, answer).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(proxy.blamed(timed_out(elapsed.into()))),
        }
    }

    /// A TCP connection to the first address that answers and that the policy lets through.
    async fn open(
        &self,
        origin: &Origin,
        policy: &AddressPolicy,
    ) -> Result<TcpStream, TransportError> {
        let addresses = self.addresses(origin, policy).await?;
        race(addresses, self.shared.connect_timeout)
            .await
            .map_err(failure::connecting)
    }

    /// The addresses of a host that the policy lets through, in the order they are tried.
    async fn addresses(
        &self,
        origin: &Origin,
        policy: &AddressPolicy,
    ) -> Result<Vec<SocketAddr>, TransportError> {
        let found = self.shared.resolve(origin).await?;
        permitted(found, policy)
    }

    async fn secure(
        &self,
        stream: BufReader<Stream>,
        origin: &Origin,
        class: Option<AddressClass>,
        patience: Option<&Heard>,
    ) -> Result<Wire, TransportError> {
        let secured = self
            .handshake(stream, origin, &self.identity, self.offer, patience)
            .await;
        let (stream, protocol) = secured?;
        Ok(Wire::new(stream, class, protocol))
    }

    /// Secures a connection. With `patience` the peer must send its first byte soon (RT12).
    async fn handshake(
        &self,
        stream: BufReader<Stream>,
        origin: &Origin,
        identity: &TlsIdentity,
        offer: Offer,
        patience: Option<&Heard>,
    ) -> Result<(Stream, Protocol), TransportError> {
        let unknown = || {
            let name = identity.name().unwrap_or_default().into();
            tls::refused(UnknownIdentity { name })
        };
        let tls = self.shared.tls.get(identity).ok_or_else(unknown)?;
        let connector = tls.connector(offer).await?;
        let name = match origin.address() {
            Some(address) => ServerName::from(address),
            None => ServerName::try_from(origin.host().to_owned()).map_err(tls::refused)?,
        };
        let handshake = connector.connect(name, stream);
        let handshake = timeout(self.shared.handshake_timeout, async {
            match patience {
                None => handshake.await,
                Some(heard) => heard.within(HELLO_LIMIT, handshake).await,
            }
        });
        let stream = match handshake.await {
            Ok(secured) => secured.map_err(failure::connecting)?,
            Err(elapsed) => return Err(timed_out(elapsed.into())),
        };
        let (_, session) = stream.get_ref();
        let protocol = match session.alpn_protocol() {
            Some(HTTP_2) => Protocol::Http2,
            _ => Protocol::Http1,
        };
        Ok((Box::new(stream), protocol))
    }
}

pub(crate) fn origin_of(uri: &Uri) -> Result<Origin, TransportError> {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let origin = match uri.scheme_str() {
        Some("http") => Origin::from_authority(Scheme::Http, authority),
        Some("https") => Origin::from_authority(Scheme::Https, authority),
        _ => Err(OriginError::Scheme),
    };
    origin
        .map_err(|e| TransportError::new(TransportErrorKind::Other, Phase::Connect).with_source(e))
}

/// All addresses of a host, by the system's resolver.
pub(crate) fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    (host, port).to_socket_addrs().map(Vec::from_iter)
}

impl Shared {
    /// All addresses of a host.
    async fn resolve(&self, origin: &Origin) -> Result<Vec<SocketAddr>, TransportError> {
        let (port, look_up) = (origin.port(), self.look_up);
        let known = match origin.address() {
            Some(address) => vec![address],
            None if origin.is_loopback_name() => loopback().into(),
            None => Vec::new(),
        };
        if !known.is_empty() {
            let known = known.into_iter();
            return Ok(known
                .map(|address| SocketAddr::new(address, port))
                .collect());
        }
        let failed = |e: io::Error| {
            TransportError::new(TransportErrorKind::Resolve, Phase::Connect).with_source(e)
        };
        let host = origin.host().to_owned();
        let found = abandonable(self.connect_timeout, move || look_up(&host, port)).await;
        let found = found.map_err(failed)?;
        if found.is_empty() {
            return Err(failed(io::Error::new(
                io::ErrorKind::NotFound,
                "the host has no address",
            )));
        }
        Ok(found)
    }
}

/// The result of a blocking look-up, unless it takes too long.
///
/// The look-up has its own thread: a runtime waits for its blocking tasks when it is dropped, so a
/// name server that does not answer would delay the end of the program by half a minute.
async fn abandonable<T: Send + 'static>(
    limit: Duration,
    look_up: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "the name server does not answer");
    let stopped = |_| io::Error::other("the thread that looks up names ended");
    timeout(limit, async {
        let permit = LOOK_UPS.acquire().await.map_err(io::Error::other)?;
        let (done, result) = oneshot::channel();
        thread::Builder::new()
            .name("longshore-resolve".to_owned())
            .spawn(move || {
                let _permit = permit;
                // The receiver may have been dropped.
                let _ = done.send(look_up());
            })?;
        result.await.map_err(stopped)?
    })
    .await
    .map_err(|_| late())?
}

/// What `localhost` and the names below it are, whatever a resolver says: secrets may go there
/// over plain http (CR4), so nobody on the network may have a say (RFC 6761 §6.3).
fn loopback() -> [IpAddr; 2] {
    [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
}

/// The addresses the policy lets through, in the order they are tried.
fn permitted(
    found: Vec<SocketAddr>,
    policy: &AddressPolicy,
) -> Result<Vec<SocketAddr>, TransportError> {
    let mut refused = None;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let family = found.first().is_some_and(SocketAddr::is_ipv6);
    for address in found {
        match policy.check(address.ip()) {
            Ok(()) if address.is_ipv6() == family => first.push(address),
            Ok(()) => second.push(address),
            Err(error) => refused = Some(error),
        }
    }
    // The resolver's order, but the families take turns (RFC 8305 §4).
    let mut second = second.into_iter();
    let mut ordered = Vec::new();
    for address in first {
        ordered.push(address);
        ordered.extend(second.next());
    }
    ordered.extend(second);
    ordered.truncate(ADDRESS_LIMIT);
    match refused {
        Some(error) if ordered.is_empty() => Err(TransportError::new(
            TransportErrorKind::AddressRefused,
            Phase::Connect,
        )
        .with_source(error)),
        _ => Ok(ordered),
    }
}

/// Checks what can be known of a host that a proxy will resolve.
fn check_known(policy: &AddressPolicy, origin: &Origin) -> Result<(), TransportError> {
    let known = match origin.address() {
        Some(address) => vec![address],
        None if origin.is_loopback_name() => loopback().into(),
        None => return Ok(()),
    };
    let known = known
        .into_iter()
        .map(|address| SocketAddr::new(address, origin.port()));
    permitted(known.collect(), policy).map(drop)
}

/// Tries each address, beginning the next when one has failed or been silent for a while; the
/// first connection wins and ends the others (RFC 8305 §5).
async fn race(addresses: Vec<SocketAddr>, limit: Duration) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    let mut waiting = addresses.into_iter();
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(connect_one(address, limit));
        }
        let ended = if waiting.len() == 0 {
            attempts.join_next().await
        } else {
            match timeout(HEAD_START, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => failed = error,
            Some(Err(error)) => failed = io::Error::other(error),
            None => return Err(failed),
        }
    }
}

async fn connect_one(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = timeout(limit, TcpStream::connect(address)).await??;
    // Requests are written whole; waiting to fill a segment only delays them.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Puts a buffer beneath TLS, which asks for little at a time: one copy more, thirty times fewer
/// system calls.
fn buffered(stream: Stream) -> BufReader<Stream> {
    BufReader::with_capacity(TLS_READ_BYTES, stream)
}

fn timed_out(elapsed: io::Error) -> TransportError {
    TransportError::new(TransportErrorKind::Timeout, Phase::Connect).with_source(elapsed)
}

#[derive(Debug, thiserror::Error)]
#[error("no TLS setting has the name \"{name}\"")]
struct UnknownIdentity {
    name: Box<str>,
}

/// How long to wait for a peer on this machine to answer the first message of a TLS handshake. A
/// peer that stays silent for longer does not speak TLS (RT12).
const HELLO_LIMIT: Duration = Duration::from_secs(2);

/// Permits for the name look-ups of this process, including abandoned ones.
static LOOK_UPS: Semaphore = Semaphore::const_new(64);

/// How long an address may stay silent before the next one is tried beside it.
///
/// RFC 8305 §8, "Connection Attempt Delay".
const HEAD_START: Duration = Duration::from_millis(250);

/// How many addresses of one host are tried; a server's name can have thousands.
const ADDRESS_LIMIT: usize = 16;

/// How long a proxy may take to open a tunnel: as long as for any response head.
const TUNNEL_TIMEOUT: Duration = Duration::from_secs(30);

/// The read buffer beneath TLS, in bytes.
const TLS_READ_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests;
