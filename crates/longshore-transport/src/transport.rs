//! The trait, and the handle a client keeps.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};

use crate::guard;
use crate::{Body, Capabilities, Declared, TransportError};

/// Sends one request and gives its response.
///
/// # Contract
///
/// Everything above a transport relies on these rules. Module `transport_conformance` of the crate
/// `longshore-testkit` tests them, each by its name, against real servers.
///
/// ## The request
///
/// 1. One call sends one request. A transport follows no redirect, repeats nothing (not even after
///    a connection broke), keeps no cookies, and adds no credentials: not those of a `.netrc` file,
///    and not the user information of the URI, which it drops or refuses.
/// 2. Method, path, query and header fields are sent as they are, byte for byte. A transport that
///    cannot do so refuses the request. It may add `Host`, `User-Agent`, `Accept: */*` (which means
///    the same as no `Accept`), and what framing and the connection need.
/// 3. The body is streamed: it is read as fast as the peer takes it. Its length, where known, is
///    sent as `Content-Length`. A request whose body fails must not look complete to the peer.
/// 4. A URI of the scheme `https` is never sent without TLS.
/// 5. A request for this machine does not leave it: a request for `localhost`, a name below it or a
///    loopback address never goes through a proxy (RT12).
///
/// ## The response
///
/// 6. A response with any final status is returned as a response, never as an error; only a
///    response that a proxy sends in place of the peer may be an error. Header fields arrive as the
///    peer sent them; no content coding is removed. The body is streamed: the response is given as
///    soon as its head has arrived, and a body of any length takes a bounded amount of memory.
/// 7. Interim (1xx) responses are skipped. A transport that can count them refuses more than
///    [`INTERIM_LIMIT`](crate::INTERIM_LIMIT); otherwise the client's time limit ends the flood.
/// 8. A head over [`HEADER_LIMIT`](crate::HEADER_LIMIT) or
///    [`HEADER_LIMIT_BYTES`](crate::HEADER_LIMIT_BYTES) is refused;
///    [`check_head`](crate::check_head) does it.
/// 9. A body that does not end as its framing says is an error, never a clean end. A transfer
///    coding overrides a `Content-Length`, lengths that agree count as one, and lengths that do not
///    agree are an error (RFC 9112 §6.3).
///
/// ## Failure and dropping
///
/// 10. A failure is a [`TransportError`] of the kind that fits, because the
///     [kind](crate::TransportErrorKind::is_retryable) decides whether the request is repeated.
/// 11. [`NotTls`](crate::TransportErrorKind::NotTls) makes a client fall back from TLS to plain
///     http on loopback. It is for a peer that answered the handshake, but not in TLS. It is
///     never used for a certificate that is not acceptable, for a peer that closed the connection
///     (`Closed`), or through a proxy. A transport that cannot tell reports `Tls`, and there is no
///     fallback. [`TlsFault::Unanswered`](crate::TlsFault::Unanswered) has the same effect: it is
///     for a peer that sent no byte in answer to the first message of the handshake, and ended the
///     connection, reset it, or was silent for 2 s (RT12). It too is never used through a proxy.
/// 12. Dropping the future or the response body ends the exchange: nothing more is sent or read.
/// 13. Requests do not wait for each other, unless the peer or a limit on connections makes them.
///
/// ## Wishes and facts
///
/// 14. Wishes come in the request's extensions and are not sent:
///     [`AddressPolicy`](longshore_origin::AddressPolicy), [`TlsIdentity`](crate::TlsIdentity),
///     [`Sensitivity`](crate::Sensitivity), [`WireWish`](crate::WireWish) and
///     [`ConnectionWish`](crate::ConnectionWish). A wish that is absent has its default value. A
///     transport ignores wishes that it does not know, unless it [declares](Self::capabilities)
///     their capability.
/// 15. Facts go into the response's extensions, as a [`Peer`](longshore_origin::Peer). Without one,
///     nothing is known of the peer.
///
/// # Capabilities
///
/// The method [`capabilities`](Self::capabilities) declares which of these a transport has.
/// [`DynTransport`] makes requests fail closed if they need a capability that is not declared:
///
/// - **[Address policy](crate::Capability::AddressPolicy).** The transport checks the policy on
///   each address that it connects to, with no second look-up, and refuses with
///   [`AddressRefused`](crate::TransportErrorKind::AddressRefused) before it connects. Requests
///   under different policies share no connection. The hosts `localhost` and `*.localhost` are
///   127.0.0.1 and `::1`, whatever a resolver says (RFC 6761 §6.3): secrets may be sent to these
///   hosts over plain http, so they must not resolve to another machine (CR4).
///
///   *If not declared:* under a policy other than `Any`, a request to a literal address is checked
///   and a request to a name is refused (RE3, RD2). A secret for `localhost` or a name below it is
///   refused over plain http (CR4).
/// - **[Error phase](crate::Capability::ErrorPhase).** The transport reports
///   [`Phase::Connect`](crate::Phase::Connect) only if nothing of the request was sent, and
///   [`Phase::Body`](crate::Phase::Body) for every error of a response body. Errors and
///   [`Peer::reused`](longshore_origin::Peer::reused) say whether the connection had served before,
///   and a request that wishes for a [new connection](crate::ConnectionWish::New) gets one.
///
///   *If not declared:* a failed request counts as sent, on a new connection. It gets no immediate
///   second attempt (RT4, RT5).
/// - **[Peer class](crate::Capability::PeerClass).** The transport reports in
///   [`Peer::class`](longshore_origin::Peer::class) the class of the address that it is connected
///   to, or `None` through a proxy.
///
///   *If not declared:* the class is unknown, and a host that is a name counts as public: it cannot
///   lead the client to private addresses (RE3, RD2).
/// - **[TLS identity](crate::Capability::TlsIdentity).** The transport uses the TLS setting that
///   the request's identity names, and refuses a name it does not know. Requests under different
///   identities share no connection.
///
///   *If not declared:* a request over TLS that names a setting is refused, and not sent with the
///   default setting.
///
/// A refusal is an [`Unsupported`](crate::TransportErrorKind::Unsupported) error with a
/// [`MissingCapability`](crate::MissingCapability) beneath.
///
/// Behind a proxy the policy can be checked on literal addresses and loopback names only, and a
/// transport that does so may declare the address policy: the proxy is the user's choice, and its
/// own address is under no policy (RE3). A service in this process, which connects to nothing, may
/// declare everything.
pub trait Transport: Send + Sync + 'static {
    /// Sends one request and gives the head of its response, with the body to be read.
    ///
    /// # Errors
    ///
    /// No usable response head arrived; an HTTP error status is not an error here.
    fn send(
        &self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Body>, TransportError>> + Send;

    /// Returns the capabilities of this transport; the result never changes.
    ///
    /// The default declares nothing. Declaring a capability that the transport does not have is a
    /// security hole; see [Capabilities](#capabilities).
    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
    }

    /// Replaces the declared capabilities of this transport; the caller is responsible for their
    /// truth.
    ///
    /// Use it for transports that cannot know their capabilities: functions, services and test
    /// scripts.
    fn declaring(self, capabilities: Capabilities) -> Declared<Self>
    where
        Self: Sized,
    {
        Declared::new(self, capabilities)
    }
}

/// A transport behind a pointer: what a client holds, cheap to clone.
///
/// It refuses requests that need a capability which the transport does not declare, and ignores
/// facts that need such a capability; see [`Transport`](Transport#capabilities).
#[derive(Clone)]
pub struct DynTransport {
    transport: Arc<dyn Erased>,
    capabilities: Capabilities,
}

impl DynTransport {
    /// Hides a transport's type.
    pub fn new(transport: impl Transport) -> Self {
        Self {
            capabilities: transport.capabilities(),
            transport: Arc::new(transport),
        }
    }
}

impl Transport for DynTransport {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        guard::check(&request, self.capabilities)?;
        match self.transport.send_boxed(request).await {
            Ok(response) => Ok(guard::believe(response, self.capabilities)),
            Err(error) => Err(guard::doubt(error, self.capabilities)),
        }
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }
}

impl fmt::Debug for DynTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynTransport")
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}

type Sending<'a> =
    Pin<Box<dyn Future<Output = Result<Response<Body>, TransportError>> + Send + 'a>>;

/// `Transport` in a form that fits behind a pointer.
trait Erased: Send + Sync {
    fn send_boxed(&self, request: Request<Body>) -> Sending<'_>;
}

impl<T: Transport> Erased for T {
    fn send_boxed(&self, request: Request<Body>) -> Sending<'_> {
        Box::pin(self.send(request))
    }
}

/// A function as a transport; made by [`from_fn`].
pub struct FnTransport<F>(F);

/// Makes a transport of a function, for tests and in-process services.
///
/// It declares no capability, because the function may do anything. A function that connects to
/// nothing may [declare](Transport::declaring) all of them.
///
/// ```
/// use longshore_transport::{Body, Capabilities, Transport, from_fn};
///
/// let transport = from_fn(|_request| async { Ok(http::Response::new(Body::empty())) })
///     .declaring(Capabilities::all());
/// # let _ = transport;
/// ```
pub const fn from_fn<F, R>(function: F) -> FnTransport<F>
where
    F: Fn(Request<Body>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Response<Body>, TransportError>> + Send,
{
    FnTransport(function)
}

impl<F, R> Transport for FnTransport<F>
where
    F: Fn(Request<Body>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Response<Body>, TransportError>> + Send,
{
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        (self.0)(request).await
    }
}

impl<F> fmt::Debug for FnTransport<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FnTransport")
    }
}
