//! The server of `longshore serve`: listeners, limits, metrics and logs around a service.
//!
//! [`Server`] runs any service of HTTP requests, such as the one of this crate.
//!
//! ```
//! use std::convert::Infallible;
//! use std::future::{Ready, ready};
//! use std::task::{Context, Poll};
//!
//! use http::{Request, Response};
//! use longshore_cache::server::{DrainReport, Metrics, Server};
//!
//! #[derive(Clone)]
//! struct Hello;
//!
//! impl<B> tower_service::Service<Request<B>> for Hello {
//!     type Response = Response<String>;
//!     type Error = Infallible;
//!     type Future = Ready<Result<Response<String>, Infallible>>;
//!
//!     fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
//!         Poll::Ready(Ok(()))
//!     }
//!
//!     fn call(&mut self, _request: Request<B>) -> Self::Future {
//!         ready(Ok(Response::new("hello".to_owned())))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let metrics = Metrics::new();
//! let server = Server::builder(Hello)
//!     .listen("127.0.0.1:0".parse()?)
//!     .admin("127.0.0.1:0".parse()?)
//!     .observer(metrics.clone())
//!     .metrics(metrics)
//!     .bind()
//!     .await?;
//! println!("clients can connect to {:?}", server.addresses());
//!
//! let handle = server.handle();
//! let running = tokio::spawn(server.run());
//! // A program would await `handle.obey_signals()` here.
//! handle.drain();
//! let report: DrainReport = running.await?;
//! assert_eq!(report.cut, 0);
//! # Ok(())
//! # }
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use longshore_hyper::TokioClock;
use longshore_transport::{Clock, Timer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower_service::Service;

use self::admin::{Admin, Probes, Report};
use self::drain::{Phase, PhaseControl};
use self::listen::connection::Shared;
use self::listen::{Door, Slots};
use self::log::RequestIds;
use self::tls::Identity;
use crate::observer::{NoObserver, Observer};

mod admin;
pub mod client_config;
pub mod config;
mod drain;
mod limits;
mod listen;
mod log;
mod metrics;
mod run;
mod tls;

pub use self::admin::{Readiness, ShownText, StoreHealth, UpstreamReadiness};
pub use self::drain::ServerHandle;
pub use self::limits::{Limits, default_connections, raise_descriptor_limit};
pub use self::listen::ListenError;
pub use self::metrics::{METRICS_CONTENT_TYPE, Metrics};
pub use self::run::{CacheServer, StartError, ping_upstreams};
pub use self::tls::{CertificateError, TlsFiles};

/// Serves clients with a service, over HTTP/1.1 and HTTP/2, without TLS and with TLS.
///
/// Without TLS, HTTP/2 needs prior knowledge; with TLS, ALPN offers both protocols. Every request
/// gets an id, which is in `X-Request-Id` of the answer and in the access log: the id that the
/// client sent if it is well-formed, otherwise a new one. The extensions of a request have its
/// [`RequestId`](crate::RequestId); a service may put an [`AnswerNote`](crate::AnswerNote) into the
/// extensions of its response.
///
/// `/healthz` and `/readyz` are answered before the service, and have no line in the access log.
/// Only the [admin listener](ServerBuilder::admin) serves `/readyz` with details, and `/metrics`.
///
/// The server does not read the body of a request; only the service may read it. If the body is
/// incomplete after the answer, the connection (HTTP/1.1) or the stream (HTTP/2) is closed.
pub struct Server<S> {
    service: S,
    listeners: Vec<Listener>,
    admin: Option<Listener>,
    parts: Parts,
}

struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Identity>>,
}

/// The parts of a server except its service and its listeners.
struct Parts {
    clock: Arc<dyn Clock>,
    limits: Limits,
    observer: Arc<dyn Observer>,
    report: Report,
    metrics: Option<Metrics>,
    reloaded: Vec<Box<dyn Fn() + Send + Sync>>,
    handle: ServerHandle,
}

/// How a [`Server`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Number of connections that were cut because they were still open at the end.
    pub cut: usize,
}

/// Settings of a [`Server`].
pub struct ServerBuilder<S> {
    service: S,
    addresses: Vec<(SocketAddr, Option<TlsFiles>)>,
    admin: Option<SocketAddr>,
    parts: Parts,
}

impl<S> Server<S> {
    /// Starts to build a server with the default settings and no address.
    pub fn builder(service: S) -> ServerBuilder<S> {
        ServerBuilder {
            service,
            addresses: Vec::new(),
            admin: None,
            parts: Parts {
                clock: Arc::new(TokioClock::new()),
                limits: Limits::default(),
                observer: Arc::new(NoObserver::new()),
                report: Arc::new(Readiness::new),
                metrics: None,
                reloaded: Vec::new(),
                handle: ServerHandle::new(),
            },
        }
    }

    /// Returns the addresses of the listeners for clients, in the order in which they were given.
    /// Port 0 is replaced by the port that the system chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|one| one.address).collect()
    }

    /// Returns the address of the admin listener.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// Returns the same server with another service.
    #[must_use]
    pub fn with_service<T>(self, service: T) -> Server<T> {
        Server {
            service,
            listeners: self.listeners,
            admin: self.admin,
            parts: self.parts,
        }
    }

    /// Returns the handle that stops the server.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.parts.handle.clone()
    }
}

impl<S> ServerBuilder<S> {
    /// Listens on an address, without TLS.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.addresses.push((address, None));
        self
    }

    /// Listens on an address, with TLS.
    ///
    /// The files are read when the server binds its addresses, within a minute after a change, and
    /// after [`ServerHandle::reload`]. If changed files cannot be used, the log says so, and the
    /// old certificate stays in use.
    #[must_use]
    pub fn listen_tls(mut self, address: SocketAddr, files: TlsFiles) -> Self {
        self.addresses.push((address, Some(files)));
        self
    }

    /// Listens on an address for probes and metrics, without TLS.
    ///
    /// It has no authentication and shows the names and the state of the upstreams, so it should be
    /// a loopback or internal address.
    #[must_use]
    pub const fn admin(mut self, address: SocketAddr) -> Self {
        self.admin = Some(address);
        self
    }

    /// Sets the limits of clients.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.parts.limits = limits;
        self
    }

    /// Sets the observer of the events of listeners. Set [`Metrics`] here too if they should count
    /// connections.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.parts.observer = Arc::new(observer);
        self
    }

    /// Serves these metrics at `/metrics`.
    #[must_use]
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.parts.metrics = Some(metrics);
        self
    }

    /// Sets the report of `/readyz`. It is called for each probe, so it must not block.
    #[must_use]
    pub fn readiness(mut self, report: impl Fn() -> Readiness + Send + Sync + 'static) -> Self {
        self.parts.report = Arc::new(report);
        self
    }

    /// Adds an action that runs after [`ServerHandle::reload`]. It must not block.
    #[must_use]
    pub fn on_reload(mut self, action: impl Fn() + Send + Sync + 'static) -> Self {
        self.parts.reloaded.push(Box::new(action));
        self
    }

    /// Sets the clock; the default is the clock of tokio.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.parts.clock = clock;
        self
    }

    /// Binds all addresses. Clients can connect from now on, and are served once the server
    /// [runs](Server::run).
    ///
    /// # Errors
    ///
    /// [`ListenError`]; after an error no address stays bound.
    pub async fn bind(self) -> Result<Server<S>, ListenError> {
        if self.addresses.is_empty() {
            return Err(ListenError::NoAddress);
        }
        let mut listeners = Vec::new();
        for (address, files) in self.addresses {
            let tls = files.map(|files| Identity::load(&files)).transpose();
            let tls = tls.map_err(|source| ListenError::Tls { address, source })?;
            listeners.push(Listener::bind(address, tls).await?);
        }
        let admin = match self.admin {
            None => None,
            Some(address) => match Listener::bind(address, None).await {
                Err(ListenError::Busy { address }) => {
                    return Err(ListenError::AdminBusy { address });
                }
                bound => Some(bound?),
            },
        };
        Ok(Server {
            service: self.service,
            listeners,
            admin,
            parts: self.parts,
        })
    }
}

impl Listener {
    async fn bind(address: SocketAddr, tls: Option<Arc<Identity>>) -> Result<Self, ListenError> {
        let socket = listen::bind(address).await?;
        let local = socket.local_addr();
        let address = local.map_err(|source| ListenError::Bind { address, source })?;
        Ok(Self {
            socket,
            address,
            tls,
        })
    }
}

impl<S> Server<S> {
    /// Serves clients until the [handle](Self::handle) drains or stops the server and all
    /// connections have ended.
    ///
    /// Draining ends after [`Limits::with_drain_time`] at the latest. The admin listener answers
    /// until the end. Dropping the future stops the server immediately.
    pub async fn run<B>(self) -> DrainReport
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let mut parts = self.parts;
        let reloaded = std::mem::take(&mut parts.reloaded);
        let phase = parts.handle.phase();
        let slots = Slots::new(parts.limits.connections);
        // Connections end with their server, however the server ends.
        let admin_phase = PhaseControl::new();
        let _stop = StopOnDrop([phase.clone(), admin_phase.clone()]);

        let mut admin = JoinSet::new();
        if let Some(listener) = self.admin {
            let door = parts.admin_door(&admin_phase);
            admin.spawn(listen::accept(listener.socket, door, Phase::Stopped));
        }
        let identities: Vec<_> = self
            .listeners
            .iter()
            .filter_map(|one| one.tls.clone())
            .collect();
        let (clock, handle) = (Arc::clone(&parts.clock), parts.handle.clone());
        admin.spawn(tls::keep_current(identities, reloaded, clock, handle));

        let mut accepting = JoinSet::new();
        let shared = parts.shared(false);
        for listener in self.listeners {
            let door = Door {
                shared: Arc::clone(&shared),
                service: self.service.clone(),
                slots: slots.clone(),
                phase: phase.watch(),
                tls: listener.tls.as_ref().map(Identity::acceptor),
            };
            accepting.spawn(listen::accept(listener.socket, door, Phase::Draining));
        }
        drop(self.service);
        while accepting.join_next().await.is_some() {}
        end(&slots, phase, parts.clock.alarm(parts.limits.drain_time)).await
    }
}

/// Waits until all connections have ended, and cuts those that are still open at the deadline.
async fn end(slots: &Slots, phase: &PhaseControl, deadline: Timer) -> DrainReport {
    let mut stopped = phase.watch();
    tokio::select! {
        () = slots.all_free() => {}
        _ = stopped.reached(Phase::Stopped) => {}
        () = deadline => {}
    }
    phase.enter(Phase::Stopped);
    slots.all_free().await;
    DrainReport { cut: slots.cut() }
}

struct StopOnDrop([PhaseControl; 2]);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        for phase in &self.0 {
            phase.enter(Phase::Stopped);
        }
    }
}

impl Parts {
    fn shared(&self, admin: bool) -> Arc<Shared> {
        Arc::new(Shared {
            clock: Arc::clone(&self.clock),
            limits: self.limits,
            answers: listen::places(self.limits.answers),
            observer: if admin {
                // Connections of the admin listener do not count as connections of clients.
                Arc::new(NoObserver::new())
            } else {
                Arc::clone(&self.observer)
            },
            ids: RequestIds::new(),
            access_log: !admin,
            probes: Probes {
                report: Arc::clone(&self.report),
                phase: self.handle.phase().clone(),
                detailed: admin,
            },
        })
    }

    fn admin_door(&self, phase: &PhaseControl) -> Door<Admin> {
        Door {
            shared: self.shared(true),
            service: Admin {
                metrics: self.metrics.clone(),
            },
            slots: Slots::new(ADMIN_CONNECTIONS),
            phase: phase.watch(),
            tls: None,
        }
    }
}

/// Maximum number of connections of the admin listener. They do not count as connections of
/// clients.
const ADMIN_CONNECTIONS: u32 = 64;

impl<S> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses())
            .field("admin", &self.admin_address())
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for ServerBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("addresses", &self.addresses)
            .field("admin", &self.admin)
            .field("limits", &self.parts.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
