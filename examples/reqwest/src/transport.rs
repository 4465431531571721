//! The transport.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use http::{Request, Response, Uri};
use http_body::{Frame, SizeHint};
use longshore::origin::{AddressClass, AddressPolicy, Peer};
use longshore::transport::{
    Body, Capabilities, Capability, HEADER_LIMIT, Phase, TlsIdentity, Transport, TransportError,
    TransportErrorKind, check_head,
};
use reqwest::{Client, ClientBuilder, Url, redirect, retry};

use crate::failure;
use crate::resolver::PolicyResolver;

/// Sends requests with reqwest.
///
/// It declares the capabilities address policy, peer class and TLS identity. It does not declare
/// error phase, because reqwest does not say whether a failed request was sent on a connection that
/// had served before; the client then treats every failure as one after sending.
///
/// Requests must be sent inside a tokio runtime.
pub struct ReqwestTransport {
    settings: HashMap<TlsIdentity, Settings>,
    clients: Mutex<HashMap<Key, Client>>,
}

/// Returns a client builder with the user's settings: roots, certificates, timeouts, user agent.
type Settings = Box<dyn Fn() -> ClientBuilder + Send + Sync>;

/// What two requests must have in common to share a connection. There are a handful of these: the
/// policy of the registry itself, and those of the places it sends clients to.
type Key = (TlsIdentity, AddressPolicy);

impl ReqwestTransport {
    /// Makes a transport whose clients are built from the builder that `settings` returns.
    ///
    /// The transport overrides the settings for redirects, retries, proxies and the resolver. The
    /// settings must not enable a cookie store, decompression or default headers.
    pub fn new(settings: impl Fn() -> ClientBuilder + Send + Sync + 'static) -> Self {
        Self {
            settings: HashMap::from([(TlsIdentity::default(), Box::new(settings) as Settings)]),
            clients: Mutex::default(),
        }
    }

    /// Uses these settings for requests with this identity.
    #[must_use]
    pub fn identity(
        mut self,
        identity: TlsIdentity,
        settings: impl Fn() -> ClientBuilder + Send + Sync + 'static,
    ) -> Self {
        self.settings.insert(identity, Box::new(settings));
        self
    }

    /// The client for requests with these wishes.
    fn client(&self, key: Key) -> Result<Client, TransportError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let (identity, policy) = &key;
        let settings = self.settings.get(identity).ok_or_else(|| {
            let name = identity.name().unwrap_or_default().into();
            refused(UnknownIdentity { name })
        })?;
        let builder = settings()
            // The client above the transport decides these.
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            // A proxy would resolve the name itself, so the address could not be checked.
            .no_proxy()
            .dns_resolver(PolicyResolver(policy.clone()))
            // One more than the limit, so that `check_head` sees what is over it.
            .http1_max_headers(HEADER_LIMIT + 1);
        let client = builder.build().map_err(refused)?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}

impl Transport for ReqwestTransport {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let (mut head, body) = request.into_parts();
        let identity: TlsIdentity = head.extensions.remove().unwrap_or_default();
        let policy: AddressPolicy = head.extensions.remove().unwrap_or_default();
        let url = url(&head.uri, &policy)?;
        let mut request = reqwest::Request::new(head.method, url);
        *request.headers_mut() = head.headers;
        // This is where `Body` must be `Sync`.
        *request.body_mut() = Some(reqwest::Body::wrap(body));

        let client = self.client((identity, policy))?;
        let response = client.execute(request).await.map_err(failure::sending)?;
        check_head(response.headers())?;
        let address = response.remote_addr();
        let class = address.map(|address| AddressClass::of(address.ip()));

        let (mut head, body) = Response::<reqwest::Body>::from(response).into_parts();
        head.extensions.insert(Peer::new(class, false));
        Ok(Response::from_parts(head, Body::wrap(Received(body))))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
            .with(Capability::AddressPolicy)
            .with(Capability::PeerClass)
            .with(Capability::TlsIdentity)
    }
}

/// Converts the URI to a URL of reqwest. Fails if that changes it, or if its literal address is not
/// permitted.
fn url(uri: &Uri, policy: &AddressPolicy) -> Result<Url, TransportError> {
    if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
        return Err(refused(UserInformation));
    }
    let url: Url = uri.to_string().parse().map_err(refused)?;
    // Literal addresses do not pass the resolver. The check uses the URL instead of the URI,
    // because reqwest connects to the host of the URL, and the URL type recognizes more spellings
    // of an address.
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = literal.parse::<IpAddr>() {
        policy.check(address).map_err(|refused| {
            let (kind, phase) = (TransportErrorKind::AddressRefused, Phase::Connect);
            TransportError::new(kind, phase).with_source(refused)
        })?;
    }
    // A URL is normalised: `/a/../b` becomes `/b`, and `'` in a query becomes `%27`, which breaks a
    // signature. What would be changed is refused.
    if url.path() != uri.path() || url.query() != uri.query() {
        return Err(refused(Normalised));
    }
    Ok(url)
}

/// Why a request cannot be sent.
fn refused(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TransportError {
    TransportError::new(TransportErrorKind::Unsupported, Phase::Connect).with_source(source)
}

#[derive(Debug, thiserror::Error)]
#[error("no TLS settings have the name \"{name}\"")]
struct UnknownIdentity {
    name: Box<str>,
}

#[derive(Debug, thiserror::Error)]
#[error("the URI has user information")]
struct UserInformation;

#[derive(Debug, thiserror::Error)]
#[error("reqwest would change the path or the query")]
struct Normalised;

/// The body of a response, with errors that a client understands.
struct Received(reqwest::Body);

impl http_body::Body for Received {
    type Data = <reqwest::Body as http_body::Body>::Data;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, TransportError>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(failure::receiving)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Debug for ReqwestTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestTransport")
            .field("identities", &self.settings.keys())
            .finish_non_exhaustive()
    }
}
