//! From a URI to an open connection: addresses, policy, proxy, TLS.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use longshore_origin::{AddressClass, AddressPolicy, Origin, OriginError, Scheme};
use longshore_transport::{Phase, TlsIdentity, TransportError, TransportErrorKind};
use rustls::pki_types::ServerName;
use tokio::io::BufReader;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::failure::{self, ConnectFailure};
use crate::proxy::{Proxy, ProxySettings};
use crate::tls::{self, HTTP_2, Offer, Tls};
use crate::wire::{Protocol, Stream, Wire};

/// What all connections of a transport have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
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
        match self.shared.proxy.intercept(uri)? {
            None => self.connect_directly(&origin).await,
            Some(proxy) => self.connect_through(&proxy, &origin).await,
        }
    }

    async fn connect_directly(&self, origin: &Origin) -> Result<Wire, TransportError> {
        let stream = self.open(origin, &self.policy).await?;
        let address = stream.peer_addr().map_err(failure::connecting)?.ip();
        let class = Some(AddressClass::of(address));
        let stream = Box::new(stream);
        match origin.scheme() {
            Scheme::Http => Ok(Wire::new(stream, class, Protocol::Http1)),
            Scheme::Https => self.secure(buffered(stream), origin, class).await,
        }
    }

    async fn connect_through(
        &self,
        proxy: &Proxy,
        origin: &Origin,
    ) -> Result<Wire, TransportError> {
        check_known(&self.policy, origin)?;
        // The proxy is the user's own choice: any address will do.
        let stream = self.open(&proxy.origin, &AddressPolicy::Any).await?;
        let stream: Stream = match proxy.origin.scheme() {
            Scheme::Http => Box::new(stream),
            Scheme::Https => {
                let default = TlsIdentity::default();
                let stream = buffered(Box::new(stream));
                self.handshake(stream, &proxy.origin, &default, Offer::Http1)
                    .await
                    .map_err(|e| not_direct(e, TransportErrorKind::Proxy))?
                    .0
            }
        };
        if origin.scheme() == Scheme::Http {
            return Ok(Wire::new(stream, None, Protocol::Http1Absolute));
        }
        let mut stream = buffered(stream);
        timeout(TUNNEL_TIMEOUT, proxy.tunnel(&mut stream, origin))
            .await
            .map_err(|elapsed| timed_out(elapsed.into()))??;
        self.secure(stream, origin, None)
            .await
            .map_err(|e| not_direct(e, TransportErrorKind::Tls))
    }

    /// A TCP connection to the first address that answers and that the policy lets through.
    async fn open(
        &self,
        origin: &Origin,
        policy: &AddressPolicy,
    ) -> Result<TcpStream, TransportError> {
        let addresses = permitted(resolve(origin).await?, policy)?;
        race(addresses, self.shared.connect_timeout)
            .await
            .map_err(failure::connecting)
    }

    async fn secure(
        &self,
        stream: BufReader<Stream>,
        origin: &Origin,
        class: Option<AddressClass>,
    ) -> Result<Wire, TransportError> {
        let secured = self
            .handshake(stream, origin, &self.identity, self.offer)
            .await;
        let (stream, protocol) = secured?;
        Ok(Wire::new(stream, class, protocol))
    }

    async fn handshake(
        &self,
        stream: BufReader<Stream>,
        origin: &Origin,
        identity: &TlsIdentity,
        offer: Offer,
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
        let handshake = timeout(
            self.shared.handshake_timeout,
            connector.connect(name, stream),
        );
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

fn origin_of(uri: &Uri) -> Result<Origin, TransportError> {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let origin = match uri.scheme_str() {
        Some("http") => Origin::from_authority(Scheme::Http, authority),
        Some("https") => Origin::from_authority(Scheme::Https, authority),
        _ => Err(OriginError::Scheme),
    };
    origin
        .map_err(|e| TransportError::new(TransportErrorKind::Other, Phase::Connect).with_source(e))
}

/// All addresses of a host, by the system's resolver on a blocking thread.
async fn resolve(origin: &Origin) -> Result<Vec<SocketAddr>, TransportError> {
    if let Some(address) = origin.address() {
        return Ok(vec![SocketAddr::new(address, origin.port())]);
    }
    if origin.is_loopback_name() {
        return Ok(loopback()
            .map(|address| SocketAddr::new(address, origin.port()))
            .into());
    }
    let failed = |e: io::Error| {
        TransportError::new(TransportErrorKind::Resolve, Phase::Connect).with_source(e)
    };
    let found: Vec<_> = lookup_host((origin.host(), origin.port()))
        .await
        .map_err(failed)?
        .collect();
    if found.is_empty() {
        return Err(failed(io::Error::new(
            io::ErrorKind::NotFound,
            "the host has no address",
        )));
    }
    Ok(found)
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

/// An error of a connection through a proxy: [`TransportErrorKind::NotTls`] becomes `kind`, because
/// the proxy itself may have sent the plain text, and the client must not fall back to plain http
/// for that reason.
fn not_direct(error: TransportError, kind: TransportErrorKind) -> TransportError {
    match error.kind() {
        TransportErrorKind::NotTls => TransportError::new(kind, Phase::Connect).with_source(error),
        _ => error,
    }
}

fn timed_out(elapsed: io::Error) -> TransportError {
    TransportError::new(TransportErrorKind::Timeout, Phase::Connect).with_source(elapsed)
}

#[derive(Debug, thiserror::Error)]
#[error("no TLS setting has the name \"{name}\"")]
struct UnknownIdentity {
    name: Box<str>,
}

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
