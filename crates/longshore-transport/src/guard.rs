//! Fails closed when a request needs a capability that the transport does not declare.
//!
//! This protects three rules: a server must not lead the client to addresses of a narrower class
//! than its own (RE3, RD2), a secret must not travel in the clear (CR4), and only a request that
//! was not answered on a reused connection gets an extra attempt (RT5).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::uri::Scheme as UriScheme;
use http::{Request, Response, Uri};
use http_body::{Frame, SizeHint};
use longshore_origin::{AddressPolicy, Escaped, Origin, Peer, Scheme};

use crate::head::settle_length;
use crate::{
    Body, Capabilities, Capability, MissingCapability, Phase, Sensitivity, TlsIdentity,
    TransportError, TransportErrorKind,
};

/// Refuses a request that needs a capability which the transport does not declare.
pub(crate) fn check(request: &Request<Body>, declared: Capabilities) -> Result<(), TransportError> {
    if !declared.has(Capability::TlsIdentity) {
        check_identity(request)?;
    }
    if !declared.has(Capability::AddressPolicy) {
        check_addresses(request)?;
    }
    Ok(())
}

/// Refuses a named TLS setting. Plain http needs no TLS setting, so the request is sent.
fn check_identity(request: &Request<Body>) -> Result<(), TransportError> {
    let identity = request.extensions().get::<TlsIdentity>();
    let is_named = identity.is_some_and(|identity| identity.name().is_some());
    if is_named && request.uri().scheme() != Some(&UriScheme::HTTP) {
        return Err(missing(Capability::TlsIdentity, request.uri()));
    }
    Ok(())
}

/// Checks a literal address; refuses a host name if the request depends on the addresses that the
/// name resolves to.
fn check_addresses(request: &Request<Body>) -> Result<(), TransportError> {
    let policy = request.extensions().get::<AddressPolicy>();
    let policy = policy.unwrap_or(&AddressPolicy::Any);
    let origin = origin_of(request.uri());
    if let Some(address) = origin.as_ref().and_then(Origin::address) {
        // The transport connects to the address in the URI, so it can be checked here (RE3, RD2).
        return policy.check(address).map_err(|refused| {
            let (kind, phase) = (TransportErrorKind::AddressRefused, Phase::Connect);
            TransportError::new(kind, phase).with_source(refused)
        });
    }
    // A secret may go to this machine over plain http (CR4), but whether `localhost` is this
    // machine depends on the resolver.
    let is_for_loopback = origin.is_some_and(|origin| {
        origin.scheme() == Scheme::Http
            && origin.is_loopback_name()
            && Sensitivity::of(request) == Sensitivity::Secret
    });
    if *policy != AddressPolicy::Any || is_for_loopback {
        return Err(missing(Capability::AddressPolicy, request.uri()));
    }
    Ok(())
}

fn origin_of(uri: &Uri) -> Option<Origin> {
    let scheme = match uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        _ => return None,
    };
    Origin::from_authority(scheme, uri.authority()?.as_str()).ok()
}

fn missing(capability: Capability, uri: &Uri) -> TransportError {
    let host = Escaped::text(uri.host().unwrap_or_default());
    let host = host.to_string().into();
    TransportError::new(TransportErrorKind::Unsupported, Phase::Connect)
        .with_source(MissingCapability { capability, host })
}

/// Removes facts from a response if the transport does not declare the capability to report them,
/// and normalises the length fields of its header.
pub(crate) fn believe(mut response: Response<Body>, declared: Capabilities) -> Response<Body> {
    settle_length(response.headers_mut());
    let trusts_phase = declared.has(Capability::ErrorPhase);
    if let Some(peer) = response.extensions_mut().get_mut::<Peer>() {
        if !declared.has(Capability::PeerClass) {
            peer.class = None;
        }
        peer.reused &= trusts_phase;
    }
    // A body in memory cannot fail.
    if trusts_phase || response.body().known().is_some() {
        return response;
    }
    response.map(|body| Body::wrap(Doubted(body)))
}

/// Corrects an error if the transport does not declare the error phase: the request then counts as
/// sent on a new connection, so it gets no extra attempt (RT5).
pub(crate) fn doubt(error: TransportError, declared: Capabilities) -> TransportError {
    if declared.has(Capability::ErrorPhase) {
        return error;
    }
    error.in_phase(Phase::Head).on_reused(false)
}

/// A body whose transport does not declare the error phase, so the phase in its errors is not
/// trusted.
struct Doubted(Body);

impl http_body::Body for Doubted {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        Poll::Ready(
            frame.map(|frame| frame.map_err(|error| error.in_phase(Phase::Body).on_reused(false))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
