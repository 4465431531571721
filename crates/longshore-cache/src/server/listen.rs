//! Listeners: they accept connections, and serve or refuse them.

use std::convert::Infallible;
use std::future::{self, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use longshore_proto::Refusal;
use longshore_proto::error_code::{ErrorBody, ErrorCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use self::body::BytesBody;
use self::connection::{Ending, HttpBody, HttpService, Shared};
use super::drain::{Phase, PhaseWatch};
use super::tls::CertificateError;
use crate::observer::Event;

pub(super) mod body;
pub(super) mod connection;

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Another program uses the address.
    #[error("cannot listen on {address}: the address is in use; choose another")]
    Busy {
        /// The address.
        address: SocketAddr,
    },
    /// Another program uses the address for the admin listener.
    #[error(
        "cannot listen on {address} for probes and metrics: the address is in use; choose another"
    )]
    AdminBusy {
        /// The address.
        address: SocketAddr,
    },
    /// The system does not let the server listen.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate or key cannot be used.
    #[error("cannot listen on {address} with TLS")]
    Tls {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: CertificateError,
    },
    /// There is no address to listen on.
    #[error("there is no address to listen on; set one")]
    NoAddress,
}

/// Listens on an address.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::Busy { address },
        _ => ListenError::Bind { address, source },
    })
}

/// A source of connections.
pub(super) trait Accept: Send + 'static {
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Accept for TcpListener {
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept().await
    }
}

/// Accepts connections until the server reaches a phase.
pub(super) async fn accept<A, S, B>(source: A, door: Door<S>, until: Phase)
where
    A: Accept,
    S: HttpService<B>,
    B: HttpBody,
{
    let mut phase = door.phase.clone();
    let mut pause = PAUSE_MIN;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = phase.reached(until) => return,
            accepted = source.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                pause = PAUSE_MIN;
                door.admit(stream, client);
            }
            Err(error) if is_about_one_client(&error) => {}
            // The usual error is `EMFILE`: the connection stays in the queue of the system, and an
            // immediate retry would fail again.
            Err(error) => {
                if pause == PAUSE_MIN {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot accept a connection; retrying"
                    );
                }
                tokio::select! {
                    biased;
                    _ = phase.reached(until) => return,
                    () = door.shared.clock.sleep(pause) => {}
                }
                pause = pause.saturating_mul(2).min(PAUSE_MAX);
            }
        }
    }
}

/// Pause after the first failed accept; doubled after each further one.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Whether a connection failed before it was accepted.
fn is_about_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

/// Admits or refuses connections.
#[derive(Clone)]
pub(super) struct Door<S> {
    pub(super) shared: Arc<Shared>,
    pub(super) service: S,
    pub(super) slots: Slots,
    pub(super) phase: PhaseWatch,
    pub(super) tls: Option<TlsAcceptor>,
}

/// The limit of open connections.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    served: Arc<Semaphore>,
    refused: Arc<Semaphore>,
    limit: u32,
    open: Arc<AtomicUsize>,
    cut: Arc<AtomicUsize>,
}

/// Maximum number of connections above the limit that concurrently get a 503. Further ones are
/// closed without an answer.
const REFUSED_LIMIT: u32 = 32;

/// A limit of things that exist concurrently.
pub(super) fn places(number: u32) -> Arc<Semaphore> {
    let number = usize::try_from(number).unwrap_or(Semaphore::MAX_PERMITS);
    Arc::new(Semaphore::new(number))
}

impl Slots {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            served: places(limit),
            refused: places(REFUSED_LIMIT),
            limit,
            open: Arc::new(AtomicUsize::new(0)),
            cut: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// The number of connections that ended because the server stopped.
    pub(super) fn cut(&self) -> usize {
        self.cut.load(Ordering::Relaxed)
    }

    /// Waits until all connections have ended. No new connections may be admitted.
    pub(super) async fn all_free(&self) {
        // The semaphores are never closed.
        let _ = self.served.acquire_many(self.limit).await;
        let _ = self.refused.acquire_many(REFUSED_LIMIT).await;
    }
}

/// A connection that takes a slot.
struct Open {
    shared: Arc<Shared>,
    slots: Slots,
    _slot: OwnedSemaphorePermit,
}

impl Open {
    fn new(shared: &Arc<Shared>, slots: &Slots, slot: OwnedSemaphorePermit) -> Self {
        let open = slots.open.fetch_add(1, Ordering::Relaxed) + 1;
        shared.observer.event(&Event::Connections(open));
        Self {
            shared: Arc::clone(shared),
            slots: slots.clone(),
            _slot: slot,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let open = self.slots.open.fetch_sub(1, Ordering::Relaxed) - 1;
        self.shared.observer.event(&Event::Connections(open));
    }
}

impl<S> Door<S> {
    fn admit<B>(&self, stream: TcpStream, client: SocketAddr)
    where
        S: HttpService<B>,
        B: HttpBody,
    {
        // Without this option answers are only slower.
        let _ = stream.set_nodelay(true);
        if let Ok(slot) = Arc::clone(&self.slots.served).try_acquire_owned() {
            let open = Open::new(&self.shared, &self.slots, slot);
            let serving = converse(self.clone(), stream, client);
            tokio::spawn(async move {
                if serving.await == Ending::Stopped {
                    open.slots.cut.fetch_add(1, Ordering::Relaxed);
                }
                drop(open);
            });
            return;
        }
        self.shared.observer.event(&Event::ConnectionRefused);
        if let Ok(slot) = Arc::clone(&self.slots.refused).try_acquire_owned() {
            let door = Door {
                shared: Arc::clone(&self.shared),
                service: Refuser,
                slots: self.slots.clone(),
                phase: self.phase.clone(),
                tls: self.tls.clone(),
            };
            let limit = self.shared.limits.head_time;
            let alarm = self.shared.clock.alarm(limit);
            tokio::spawn(async move {
                tokio::select! {
                    _ = converse(door, stream, client) => {}
                    // HTTP/2 has no `Connection: close`.
                    () = alarm => {}
                }
                drop(slot);
            });
        }
    }
}

/// Does the TLS handshake, if the listener uses TLS, and answers requests.
async fn converse<S, B>(door: Door<S>, stream: TcpStream, client: SocketAddr) -> Ending
where
    S: HttpService<B>,
    B: HttpBody,
{
    let Some(tls) = &door.tls else {
        return connection::serve(door.shared, stream, client, door.service, door.phase).await;
    };
    let mut phase = door.phase.clone();
    let shaken = tokio::select! {
        biased;
        _ = phase.reached(Phase::Stopped) => return Ending::Stopped,
        () = door.shared.clock.alarm(door.shared.limits.head_time) => return Ending::Over,
        shaken = tls.accept(stream) => shaken,
    };
    match shaken {
        Ok(stream) => {
            connection::serve(door.shared, stream, client, door.service, door.phase).await
        }
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(%client, error, "TLS handshake failed");
            Ending::Over
        }
    }
}

/// Answers every request with 503 and ends the connection.
#[derive(Clone, Copy, Debug)]
struct Refuser;

/// `Retry-After` of the answer to a refused client.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The answer to a request above a limit (CA10).
fn refuse(message: &str, request: &Request<Incoming>) -> Response<Bytes> {
    let body = ErrorBody::one(ErrorCode::from("UNAVAILABLE"), message);
    let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, body);
    refusal
        .with_retry_after(RETRY_AFTER)
        .write(request.method())
}

impl Service<Request<Incoming>> for Refuser {
    type Response = Response<BytesBody>;
    type Error = Infallible;
    type Future = future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let mut response = refuse("too many open connections; try again later", &request);
        if request.version() < Version::HTTP_2 {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        ready(Ok(response.map(BytesBody)))
    }
}
