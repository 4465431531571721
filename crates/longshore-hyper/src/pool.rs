//! Pools of connections, one for each way of making them.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use longshore_origin::{AddressPolicy, Peer};
use longshore_transport::{
    Body, ConnectionWish, HEADER_LIMIT, INTERIM_LIMIT, Phase, TlsIdentity, TransportError,
    TransportErrorKind, WireWish, check_head,
};
use tokio::sync::Notify;

use crate::connect::{Connector, Shared, origin_of};
use crate::failure;
use crate::tls::Offer;
use crate::transport::Http2;
use crate::wire::Facts;

type Client = legacy::Client<Connector, Body>;

/// All pools of a transport.
pub(crate) struct Pools {
    pub(crate) shared: Arc<Shared>,
    pub(crate) http2: Http2,
    pub(crate) idle_timeout: Duration,
    /// As many as there are combinations in use: a handful.
    pub(crate) clients: Mutex<HashMap<Key, Client>>,
}

/// What two requests must agree on to share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    identity: TlsIdentity,
    policy: AddressPolicy,
    offer: Offer,
}

impl Pools {
    pub(crate) async fn send(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, TransportError> {
        let key = self.key(&mut request);
        let fresh = request.extensions_mut().remove::<ConnectionWish>();
        if request.uri().scheme_str() == Some("http") {
            let origin = origin_of(request.uri())?;
            let proxy = self.shared.proxy.intercept(&origin);
            if let Some(authorization) = proxy.and_then(|proxy| proxy.authorization()) {
                // The proxy itself reads this request (CR10); in a tunnel it would be the server.
                let headers = request.headers_mut();
                headers.insert(PROXY_AUTHORIZATION, authorization.clone());
            }
        }
        let client = match fresh {
            // A new pool has no connection that has already served a request (RT5).
            Some(ConnectionWish::New) => self.open(key),
            _ => self.client(key),
        };
        let interim = Interim::watch(&mut request);
        let response = first(client.request(request), interim.exceeded()).await?;
        received(response)
    }

    /// Takes the wishes out of a request.
    fn key(&self, request: &mut Request<Body>) -> Key {
        let is_https = request.uri().scheme_str() == Some("https");
        let wishes = request.extensions_mut();
        let identity = wishes.remove::<TlsIdentity>().unwrap_or_default();
        let policy = wishes.remove::<AddressPolicy>().unwrap_or_default();
        let wish = wishes.remove::<WireWish>().unwrap_or_default();
        if is_https {
            Key {
                identity,
                policy,
                offer: self.http2.offer(wish),
            }
        } else {
            // Without TLS these make no difference, and need not split the pool.
            Key {
                identity: TlsIdentity::default(),
                policy,
                offer: Offer::Http1,
            }
        }
    }

    fn client(&self, key: Key) -> Client {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients
            .entry(key)
            .or_insert_with_key(|key| self.open(key.clone()))
            .clone()
    }

    fn open(
        &self,
        Key {
            identity,
            policy,
            offer,
        }: Key,
    ) -> Client {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            .retry_canceled_requests(false)
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.idle_timeout)
            .pool_max_idle_per_host(IDLE_LIMIT)
            .http1_max_buf_size(READ_LIMIT_BYTES)
            .http1_max_headers(HEADER_LIMIT);
        #[cfg(feature = "http2")]
        builder
            .http2_max_header_list_size(longshore_transport::HEADER_LIMIT_BYTES as u32)
            .http2_initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
            .http2_initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES);
        let shared = self.shared.clone();
        builder.build(Connector {
            shared,
            policy,
            identity,
            offer,
        })
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

/// Checks a response's head and says what is known of its peer.
fn received(response: Response<Incoming>) -> Result<Response<Body>, TransportError> {
    let (mut parts, incoming) = response.into_parts();
    let facts = parts.extensions.remove::<Facts>();
    let peer = facts.as_ref().map_or_else(Peer::default, Facts::answered);
    check_head(&parts.headers).map_err(|error| error.on_reused(peer.reused))?;
    if let Some(proxy) = facts.as_ref().and_then(Facts::proxy)
        && let Some(error) = proxy.objection(&parts)
    {
        return Err(error.on_reused(peer.reused));
    }
    parts.extensions.insert(peer);
    let body = Body::wrap(WireBody {
        incoming,
        reused: peer.reused,
        facts,
    });
    Ok(Response::from_parts(parts, body))
}

/// A response's body with our errors.
struct WireBody {
    incoming: Incoming,
    reused: bool,
    facts: Option<Facts>,
}

impl http_body::Body for WireBody {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        let failed = |error| failure::receiving(error, self.reused, self.facts.as_ref());
        Poll::Ready(frame.map(|frame| frame.map_err(failed)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Counts the interim responses to one request: hyper skips any number of them.
///
/// HTTP/1.1 only: hyper does not report the interim responses of HTTP/2, so `frames` counts them.
#[derive(Default)]
struct Interim {
    count: AtomicUsize,
    exceeded: Notify,
}

impl Interim {
    fn watch(request: &mut Request<Body>) -> Arc<Self> {
        let interim = Arc::new(Self::default());
        let counter = interim.clone();
        hyper::ext::on_informational(request, move |_| {
            if counter.count.fetch_add(1, Ordering::Relaxed) == INTERIM_LIMIT {
                counter.exceeded.notify_one();
            }
        });
        interim
    }

    async fn exceeded(&self) -> TransportError {
        self.exceeded.notified().await;
        TransportError::new(TransportErrorKind::HeaderLimit, Phase::Head)
            .with_source(TooManyInterim)
    }
}

/// The response, unless the other future ends before it; dropping the request closes its
/// connection.
async fn first(
    response: legacy::ResponseFuture,
    spoiled: impl Future<Output = TransportError>,
) -> Result<Response<Incoming>, TransportError> {
    let (mut response, mut spoiled) = (pin!(response), pin!(spoiled));
    poll_fn(|cx| {
        // In this order: a connection on another thread may spoil a response and bring it between
        // the two.
        let response = response.as_mut().poll(cx);
        if let Poll::Ready(error) = spoiled.as_mut().poll(cx) {
            return Poll::Ready(Err(error));
        }
        response.map_err(failure::sending)
    })
    .await
}

#[derive(Debug, thiserror::Error)]
#[error("the peer sent more than {INTERIM_LIMIT} interim responses")]
struct TooManyInterim;

/// How far one read from a plain connection may grow, in bytes: hyper begins small and doubles
/// while reads come back full.
const READ_LIMIT_BYTES: usize = 512 * 1024;

/// Idle connections kept for one origin.
const IDLE_LIMIT: usize = 32;

/// What one HTTP/2 response may send ahead of its reader, in bytes.
#[cfg(feature = "http2")]
const HTTP2_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// What all responses on one HTTP/2 connection may send ahead of their readers, in bytes.
#[cfg(feature = "http2")]
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
