//! The trait, and the handle a client keeps.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};

use crate::{Body, TransportError};

/// Sends one request and gives its response.
///
/// # Contract
///
/// 1. A transport must not follow redirects, repeat a request, decode a body, or add credentials.
/// 2. It sends the request's headers as they are; it may add `Host`, `User-Agent` and what the
///    connection itself needs.
/// 3. Wishes come in the request's extensions: `longshore_origin::AddressPolicy` (which addresses
///    may be connected to), [`TlsIdentity`](crate::TlsIdentity) (which TLS setting to use) and
///    [`WireWish`](crate::WireWish).
///    Connections made under different policies or identities are never shared. What a transport
///    does not know it ignores, except that a transport which resolves names must obey the policy.
/// 4. Facts go into the response's extensions: `longshore_origin::Peer`. Without it the client
///    treats the peer's address as unknown, and only literal addresses are checked.
/// 5. Dropping the future or the body ends the exchange; no work goes on after it.
/// 6. A failed exchange is a [`TransportError`] with the right kind and phase; retries depend on
///    both.
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
}

/// A transport behind a pointer: what a client holds, cheap to clone.
#[derive(Clone)]
pub struct DynTransport(Arc<dyn Erased>);

impl DynTransport {
    /// Hides a transport's type.
    pub fn new(transport: impl Transport) -> Self {
        Self(Arc::new(transport))
    }
}

impl Transport for DynTransport {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        self.0.send_boxed(request).await
    }
}

impl fmt::Debug for DynTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynTransport")
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
/// ```
/// use longshore_transport::{Body, from_fn};
///
/// let transport = from_fn(|_request| async { Ok(http::Response::new(Body::empty())) });
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
