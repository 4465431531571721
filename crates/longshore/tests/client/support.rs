//! Services in this process, what they were sent, and time in the test's hands.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use longshore::model::{Digest, Reference};
use longshore::origin::{AddressPolicy, Secret};
use longshore::transport::{
    Body, Capabilities, Clock, ConnectionWish, DynTransport, Phase, Sensitivity, TestClock, Timer,
    TlsIdentity, Transport, TransportError, TransportErrorKind, from_fn,
};
use longshore::{Client, ClientBuilder, Credential, OneCredential, Repository};

/// The registry of most tests, the token service of its domain, and somebody else.
pub(crate) const HOME: &str = "https://r.example.com";
pub(crate) const AUTH: &str = "https://auth.example.com";
pub(crate) const EVIL: &str = "https://evil.example.net";

pub(crate) const MANIFEST: &str = concat!(
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
    r#""config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"#,
    r#""digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"#,
    r#""layers":[]}"#,
);

pub(crate) const USER: &str = "ahab";
pub(crate) const PASSWORD: &str = "white-whale";
/// `ahab:white-whale`, as Basic sends it.
pub(crate) const BASIC: &str = "Basic YWhhYjp3aGl0ZS13aGFsZQ==";

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) tls: Option<TlsIdentity>,
    /// Whether only a new connection will do.
    pub(crate) fresh: bool,
    pub(crate) policy: Option<AddressPolicy>,
    pub(crate) sensitivity: Sensitivity,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Whether any part of the request holds this text.
    pub(crate) fn holds(&self, text: &str) -> bool {
        let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(text);
        self.uri.contains(text)
            || part(&self.body)
            || self.headers.values().any(|value| part(value.as_bytes()))
    }

    fn line(&self) -> String {
        let mut line = format!("{} {}", self.method, self.uri);
        for name in ["range", "authorization"] {
            if let Some(value) = self.header(name) {
                line = format!("{line} {value}");
            }
        }
        line
    }
}

/// A transport that remembers what it was sent. It connects to nothing, so it declares every
/// capability.
#[derive(Clone)]
pub(crate) struct Net {
    seen: Arc<Mutex<Vec<Seen>>>,
    inner: DynTransport,
}

impl Net {
    pub(crate) fn over(transport: impl Transport) -> Self {
        Self {
            seen: Arc::default(),
            inner: DynTransport::new(transport.declaring(Capabilities::all())),
        }
    }

    /// A service that answers at once.
    pub(crate) fn serving(
        handle: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        Self::over(from_fn(move |request| {
            let response = handle(&seen(&request));
            async { Ok(response) }
        }))
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Each request as one line: method, URI, range and authorization.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }

    /// How many requests went to URIs that begin like this.
    pub(crate) fn count(&self, beginning: &str) -> usize {
        let all = self.seen();
        all.iter().filter(|s| s.uri.starts_with(beginning)).count()
    }

    /// Fails if a request to this origin holds one of these texts (CR1).
    #[track_caller]
    pub(crate) fn was_never_told(&self, origin: &str, secrets: &[&str]) {
        for seen in self.seen().iter().filter(|s| s.uri.starts_with(origin)) {
            for secret in secrets {
                assert!(!seen.holds(secret), "{origin} was told {secret}: {seen:?}");
            }
        }
    }
}

impl Transport for Net {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        self.seen.lock().unwrap().push(seen(&request));
        self.inner.send(request).await
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}

pub(crate) fn seen(request: &Request<Body>) -> Seen {
    Seen {
        method: request.method().clone(),
        uri: request.uri().to_string(),
        headers: request.headers().clone(),
        body: request.body().known().unwrap().to_vec(),
        tls: request.extensions().get().cloned(),
        fresh: request.extensions().get() == Some(&ConnectionWish::New),
        policy: request.extensions().get().cloned(),
        sensitivity: Sensitivity::of(request),
    }
}

/// Passes requests on with their bodies in memory, where [`Net`] can see them.
pub(crate) fn collecting(net: &Net) -> impl Transport {
    let net = net.clone();
    let transport = from_fn(move |request: Request<Body>| {
        let net = net.clone();
        async move {
            let (head, mut body) = request.into_parts();
            let mut content = Vec::new();
            while let Some(frame) = body.frame().await {
                content.extend_from_slice(&frame?.into_data().unwrap());
            }
            net.send(Request::from_parts(head, Body::from(content)))
                .await
        }
    });
    transport.declaring(Capabilities::all())
}

/// A client over this transport whose waits end at once and are as short as they may be.
pub(crate) fn builder(net: &Net) -> ClientBuilder {
    timed(net, &TestClock::default())
}

pub(crate) fn timed(net: &Net, clock: &TestClock) -> ClientBuilder {
    let builder = Client::builder().transport(net.clone());
    builder.clock(clock.clone()).jitter(|| 0)
}

pub(crate) fn basic() -> OneCredential {
    credential("r.example.com")
}

pub(crate) fn credential(registry: &str) -> OneCredential {
    let password = Secret::new(PASSWORD.to_owned());
    OneCredential::new(registry, Credential::basic(USER, password).unwrap())
}

pub(crate) fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// The repository `app` of [`HOME`].
pub(crate) async fn app(client: Client) -> Repository {
    client
        .repository(&reference("r.example.com/app"))
        .await
        .unwrap()
}

pub(crate) fn reply(status: u16, fields: &[(&str, &str)], body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, value.as_bytes());
    }
    response.body(body.into()).unwrap()
}

/// The answer to a blob request from a server that knows ranges.
pub(crate) fn blob(seen: &Seen, content: &[u8]) -> Response<Body> {
    let Some(range) = seen.header("range") else {
        return reply(200, &[], content.to_vec());
    };
    let first = range.strip_prefix("bytes=").unwrap().strip_suffix('-');
    let first: usize = first.unwrap().parse().unwrap();
    let (last, total) = (content.len() - 1, content.len());
    let range = format!("bytes {first}-{last}/{total}");
    reply(206, &[("content-range", &range)], content[first..].to_vec())
}

pub(crate) fn blob_uri(origin: &str, content: &[u8]) -> String {
    format!("{origin}/v2/app/blobs/{}", Digest::sha256(content))
}

pub(crate) fn closed(phase: Phase) -> TransportError {
    TransportError::new(TransportErrorKind::Closed, phase)
}

/// An error with all that is beneath it.
pub(crate) fn chain(error: &dyn StdError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// Polls once, and drops what is not ready.
pub(crate) fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    poll_times(1, future)
}

/// Polls until the future is ready, at most so many times, and drops what is not ready.
pub(crate) fn poll_times<F: Future>(times: usize, future: F) -> Poll<F::Output> {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    let mut polls = (0..times).map(|_| future.as_mut().poll(&mut cx));
    polls.find(Poll::is_ready).unwrap_or(Poll::Pending)
}

/// What a body does next.
pub(crate) enum Piece {
    Bytes(Bytes),
    Breaks(TransportError),
    /// Is not there when it is first asked for, and when it is asked again this much time has gone
    /// by, and it still is not.
    Late(Duration),
    /// The second half of that.
    Later(Duration),
    /// Never goes on.
    Stalls,
}

/// A body made of pieces, on a clock of its own.
pub(crate) struct Pieces {
    pub(crate) pieces: VecDeque<Piece>,
    pub(crate) clock: TestClock,
}

impl Pieces {
    pub(crate) fn body(clock: &TestClock, pieces: impl IntoIterator<Item = Piece>) -> Body {
        Body::wrap(Self {
            pieces: pieces.into_iter().collect(),
            clock: clock.clone(),
        })
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        match self.pieces.pop_front() {
            None => Poll::Ready(None),
            Some(Piece::Bytes(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(Piece::Breaks(error)) => Poll::Ready(Some(Err(error))),
            Some(Piece::Late(time)) => {
                self.pieces.push_front(Piece::Later(time));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Piece::Later(time)) => {
                self.clock.advance(time);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Piece::Stalls) => {
                self.pieces.push_front(Piece::Stalls);
                Poll::Pending
            }
        }
    }
}

/// A clock whose alarms ring when the time has come; for bodies that move it on as they come.
#[derive(Clone)]
pub(crate) struct Punctual(pub(crate) TestClock);

impl Clock for Punctual {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> Timer {
        self.0.sleep(duration)
    }

    fn alarm(&self, duration: Duration) -> Timer {
        let clock = self.0.clone();
        let end = clock.now() + duration;
        Box::pin(std::future::poll_fn(move |_| {
            if clock.now() < end {
                return Poll::Pending;
            }
            Poll::Ready(())
        }))
    }
}
