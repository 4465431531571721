//! One connection of a client, from its handshake to its end.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use longshore_transport::{Clock, Timer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tower_service::Service;

use super::body::{Exchange, ServedBody};
use super::{places, refuse};
use crate::observer::{AnswerNote, Event, Observer};
use crate::server::admin::Probes;
use crate::server::drain::{Phase, PhaseWatch};
use crate::server::limits::watch::{Verdict, Watch, Watched};
use crate::server::limits::{HEAD_LIMIT_BYTES, Limits, STREAM_QUEUE_BYTES, STREAMS_LIMIT};
use crate::server::log::{self, AccessEnd, AccessLine, RequestIds};

/// A service that a server can run.
pub(in crate::server) trait HttpService<B>:
    Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + 'static
{
}

impl<S, B> HttpService<B> for S where
    S: Service<
            Request<Incoming>,
            Response = Response<B>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static
{
}

/// A body that a server can send.
pub(in crate::server) trait HttpBody:
    Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static
{
}

impl<B> HttpBody for B where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static
{
}

/// State that all connections of a server share.
pub(in crate::server) struct Shared {
    pub(in crate::server) clock: Arc<dyn Clock>,
    pub(in crate::server) limits: Limits,
    /// The places of open answers, in addition to one for each connection.
    pub(in crate::server) answers: Arc<Semaphore>,
    pub(in crate::server) observer: Arc<dyn Observer>,
    pub(in crate::server) ids: RequestIds,
    pub(in crate::server) probes: Probes,
    pub(in crate::server) access_log: bool,
}

/// State that the requests of one connection share.
pub(super) struct Context {
    pub(super) clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    /// The place of one answer. Clients with many answers cannot take it from others.
    first: Arc<Semaphore>,
    client: SocketAddr,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// Answers the requests of a connection until it ends.
pub(super) async fn serve<T, S, B>(
    shared: Arc<Shared>,
    stream: T,
    client: SocketAddr,
    service: S,
    phase: PhaseWatch,
) -> Ending
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: HttpService<B>,
    B: HttpBody,
{
    let watch = Watch::new(shared.limits, shared.clock.now());
    let context = Arc::new(Context {
        clock: Arc::clone(&shared.clock),
        shared,
        watch: Arc::clone(&watch),
        first: places(1),
        client,
    });
    let answering = Arc::clone(&context);
    let service =
        service_fn(move |request| answer(Arc::clone(&answering), service.clone(), request));
    let builder = builder();
    let io = TokioIo::new(Watched::new(stream, watch));
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut guard = Guard::new(&context, phase);
    poll_fn(|cx| {
        match guard.poll_phase(cx) {
            Some(Phase::Stopped) => return Poll::Ready(Ending::Stopped),
            // Do this before the connection is polled, so that the next head has `Connection:
            // close`.
            Some(_) => connection.as_mut().graceful_shutdown(),
            None => {}
        }
        // An error of a connection is caused by the client: it disconnected, or violated the
        // protocol.
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ending::Over);
        }
        guard.poll_timer(cx).map(|()| Ending::Over)
    })
    .await
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client closed it, the server drained it, or it was overdue.
    Over,
    /// The server stopped.
    Stopped,
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .max_buf_size(HEAD_LIMIT_BYTES as usize)
        // The watch limits the time for a head and the idle time separately.
        .header_read_timeout(None);
    builder
        .http2()
        .max_concurrent_streams(STREAMS_LIMIT)
        .max_send_buf_size(STREAM_QUEUE_BYTES)
        .max_header_list_size(HEAD_LIMIT_BYTES);
    builder
}

/// Watches the phase of the server and the time limits of a connection.
struct Guard<'a> {
    context: &'a Context,
    phase: Pin<Box<dyn Future<Output = Phase> + Send>>,
    watch: PhaseWatch,
    timer: Option<(Duration, Timer)>,
    /// The waker with which the phase and the timer were polled. They need no further poll until
    /// they wake it.
    waker: Option<Waker>,
}

impl<'a> Guard<'a> {
    fn new(context: &'a Context, watch: PhaseWatch) -> Self {
        Self {
            context,
            phase: reached(&watch, Phase::Draining),
            watch,
            timer: None,
            waker: None,
        }
    }

    /// Returns each phase after [`Phase::Running`] once. Call it before
    /// [`poll_timer`](Self::poll_timer).
    fn poll_phase(&mut self, cx: &mut TaskContext<'_>) -> Option<Phase> {
        let known = self.waker.as_ref();
        if known.is_none_or(|known| !known.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
            // The timer would wake the old waker.
            self.timer = None;
        } else if !self.watch.has_changed() {
            return None;
        }
        let Poll::Ready(phase) = self.phase.as_mut().poll(cx) else {
            return None;
        };
        self.phase = reached(&self.watch, Phase::Stopped);
        // Registers the waker for the last phase.
        match self.phase.as_mut().poll(cx) {
            Poll::Ready(last) => Some(last),
            Poll::Pending => Some(phase),
        }
    }

    /// Ends when the client is overdue.
    fn poll_timer(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        let clock = &self.context.clock;
        loop {
            let now = clock.now();
            let due = match self.context.watch.look(now) {
                Verdict::Until(due) => due,
                Verdict::Cut(overdue) => {
                    let client = self.context.client;
                    tracing::debug!(%client, reason = overdue.as_str(), "connection cut");
                    return Poll::Ready(());
                }
            };
            // A timer that ends too early costs one more check, which is cheaper than a new timer.
            if self
                .timer
                .as_ref()
                .is_some_and(|(set, _)| now < *set && *set <= due)
            {
                return Poll::Pending;
            }
            let mut timer = clock.alarm(due.saturating_sub(now));
            if timer.as_mut().poll(cx).is_pending() {
                self.timer = Some((due, timer));
                return Poll::Pending;
            }
        }
    }
}

fn reached(watch: &PhaseWatch, phase: Phase) -> Pin<Box<dyn Future<Output = Phase> + Send>> {
    let mut watch = watch.clone();
    Box::pin(async move { watch.reached(phase).await })
}

impl Exchange {
    /// Takes a place for the answer of the service. If no place is free, returns the answer (CA10).
    fn enter(&mut self, request: &Request<Incoming>) -> Option<Response<Bytes>> {
        let shared = &self.context.shared;
        let places = [&self.context.first, &shared.answers];
        let mut places = places.into_iter();
        self.place = places.find_map(|it| Arc::clone(it).try_acquire_owned().ok());
        if self.place.is_some() {
            return None;
        }
        shared.observer.event(&Event::RequestRefused);
        let message = "too many open answers; try again later";
        Some(refuse(message, request))
    }
}

/// Answers one request.
async fn answer<S, B>(
    context: Arc<Context>,
    mut service: S,
    mut request: Request<Incoming>,
) -> Result<Response<ServedBody<B>>, Infallible>
where
    S: HttpService<B>,
    B: HttpBody,
{
    let id = context.shared.ids.next();
    let shown = log::shown_id(request.headers(), id);
    let line = (context.shared.access_log && log::is_enabled())
        .then(|| AccessLine::new(&shown, context.client, &request, context.clock.now()));
    let mut exchange = Exchange {
        active: context.watch.request(),
        line,
        end: AccessEnd::default(),
        place: None,
        context,
    };
    let head_only = *request.method() == Method::HEAD;
    let own = exchange.context.shared.probes.answer(&request);
    if own.is_some() {
        // Probes come every few seconds, so they are not logged.
        exchange.line = None;
    }
    let own = own.or_else(|| exchange.enter(&request));
    let mut response = match own {
        Some(own) => {
            let (parts, body) = own.into_parts();
            exchange.end.status = Some(parts.status);
            exchange.end.complete = head_only;
            Response::from_parts(parts, ServedBody::own(body, exchange))
        }
        None => {
            request.extensions_mut().insert(id);
            let Ok(()) = poll_fn(|cx| service.poll_ready(cx)).await;
            let Ok(response) = service.call(request).await;
            let (mut parts, body) = response.into_parts();
            exchange.end.status = Some(parts.status);
            exchange.end.note = parts.extensions.remove::<AnswerNote>();
            exchange.end.complete = head_only;
            Response::from_parts(parts, ServedBody::of_service(body, exchange))
        }
    };
    response.headers_mut().insert(log::REQUEST_ID, shown);
    Ok(response)
}
