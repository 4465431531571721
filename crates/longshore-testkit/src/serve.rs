//! The server under every server here: a thread, a listener, HTTP/1.1 and HTTP/2, a record.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::listen::Listen;
use crate::requests::{RecordedRequest, Requests};

use self::intake::End;
pub(crate) use self::intake::{Intake, Reading};
use self::line::{Line, Watched};
use self::outgoing::Outgoing;
pub use self::response::ScriptedResponse;

mod intake;
mod line;
mod outgoing;
mod response;

/// What a server does with a request.
pub(crate) trait Handler: Send + Sync {
    /// Decides how the body is read. `request` does not contain it yet.
    fn intake(&self, _request: &RecordedRequest) -> Intake {
        Intake::Read(Reading::whole())
    }

    /// Takes the part of a body that has arrived when reading pauses.
    fn paused(&self, _request: &RecordedRequest) {}

    /// Answers a request. The answer to an incomplete request is not sent.
    fn answer(&self, request: &RecordedRequest) -> ScriptedResponse;
}

impl<F> Handler for F
where
    F: Fn(&RecordedRequest) -> ScriptedResponse + Send + Sync,
{
    fn answer(&self, request: &RecordedRequest) -> ScriptedResponse {
        self(request)
    }
}

/// A running server; dropping it stops it and closes its connections.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    scheme: &'static str,
    connections: Arc<AtomicUsize>,
    requests: Requests,
    _thread: Background,
}

impl Server {
    /// Listens, and serves from a thread of its own.
    pub(crate) fn start(listen: &Listen, handler: impl Handler + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind(listen.address)?;
        let address = listener.local_addr()?;
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Requests::new();
        let service = Service {
            handler: Arc::new(handler),
            connections: Arc::clone(&connections),
            requests: requests.clone(),
            tls: listen.identity.as_ref().map(|identity| {
                let all: &[&[u8]] = &[b"h2", b"http/1.1"];
                let protocols = if listen.http2 {
                    all
                } else {
                    &[b"http/1.1" as &[u8]]
                };
                TlsAcceptor::from(identity.server_config(protocols))
            }),
            http2: listen.http2,
        };
        let scheme = if service.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let thread = Background::run(listener, move |stream| service.clone().serve(stream))?;
        Ok(Self {
            address,
            scheme,
            connections,
            requests,
            _thread: thread,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:1234`, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// How many connections were accepted.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A thread with a runtime that accepts connections until it is dropped.
#[derive(Debug)]
pub(crate) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Calls `serve` with each connection; whatever runs when this is dropped is dropped too.
    pub(crate) fn run<F>(
        listener: TcpListener,
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        listener.set_nonblocking(true)?;
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("testkit".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                        return;
                    };
                    let accepting = async {
                        loop {
                            if let Ok((stream, _)) = listener.accept().await {
                                tokio::spawn(serve(stream));
                            }
                        }
                    };
                    tokio::select! { () = accepting => {} _ = stopped => {} }
                });
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has already been printed, and shows as a missing answer.
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Service {
    handler: Arc<dyn Handler>,
    connections: Arc<AtomicUsize>,
    requests: Requests,
    tls: Option<TlsAcceptor>,
    http2: bool,
}

impl Service {
    async fn serve(self, stream: TcpStream) {
        let connection = self.connections.fetch_add(1, Ordering::SeqCst);
        // Best effort: without it answers are only slower.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls.clone() else {
            return self.speak(stream, connection).await;
        };
        // A failed handshake is the client's to report.
        if let Ok(stream) = tls.accept(stream).await {
            self.speak(stream, connection).await;
        }
    }

    async fn speak<S>(self, stream: S, connection: usize)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let line = Line::new();
        let io = TokioIo::new(Watched::new(stream, line.clone()));
        let mut builder = auto::Builder::new(TokioExecutor::new());
        if !self.http2 {
            builder = builder.http1_only();
        }
        let service = service_fn(|request| {
            let (this, line) = (self.clone(), line.clone());
            async move { this.respond(request, connection, line).await }
        });
        // A client that leaves in the middle is no failure of the server.
        let _ = builder.serve_connection(io, service).await;
    }

    async fn respond(
        self,
        request: Request<Incoming>,
        connection: usize,
        line: Line,
    ) -> Result<Response<Outgoing>, HungUp> {
        let (parts, mut body) = request.into_parts();
        let mut recorded = RecordedRequest {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: parts.headers,
            body: bytes::Bytes::new(),
            complete: false,
            paused: false,
            connection,
            status: None,
        };
        let early = match self.handler.intake(&recorded) {
            Intake::Answer(answer) => Some(*answer),
            Intake::Read(how) => self.read(&mut body, how, &mut recorded).await,
        };
        let place = self.requests.arrived(recorded.clone());
        let answer = match early {
            Some(answer) => {
                tokio::spawn(intake::drain(body));
                answer
            }
            None => {
                let answer = self.handler.answer(&recorded);
                if recorded.complete {
                    answer
                } else {
                    ScriptedResponse::hang_up()
                }
            }
        };
        answer.ready().await;
        let response = answer.into_response(&recorded.method, line);
        let status = response.as_ref().map(Response::status);
        self.requests.answered(&place, recorded, status);
        response.ok_or(HungUp)
    }
}

impl Service {
    /// Reads a body into the record. Returns the answer if the body is too long.
    async fn read(
        &self,
        body: &mut Incoming,
        how: Reading,
        recorded: &mut RecordedRequest,
    ) -> Option<ScriptedResponse> {
        let mut so_far = recorded.clone();
        let paused = |bytes: &[u8]| {
            so_far.body = bytes::Bytes::copy_from_slice(bytes);
            so_far.paused = true;
            self.handler.paused(&so_far);
        };
        let (bytes, end) = intake::read(body, how, paused).await;
        recorded.paused = so_far.paused;
        recorded.body = bytes;
        recorded.complete = end == End::Complete;
        (end == End::TooLong).then(|| ScriptedResponse::status(StatusCode::PAYLOAD_TOO_LARGE))
    }
}

/// The answer is no answer: the connection closes.
#[derive(Debug)]
struct HungUp;

impl std::fmt::Display for HungUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the server hung up, as it was told to")
    }
}

impl std::error::Error for HungUp {}

#[cfg(test)]
mod tests;
