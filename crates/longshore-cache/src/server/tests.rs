use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

use http::StatusCode;
use http_body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::observer::{AnswerNote, Event, Outcome, RequestKind};

mod cache;
mod draining;
mod http2;
mod limits;
mod logs;
mod probes;
mod secure;

/// A service that answers by path. A test releases held answers through channels.
#[derive(Clone, Default)]
struct Toy(Arc<Mutex<Channels>>);

#[derive(Default)]
struct Channels {
    /// The body of the next answer to `/held`.
    held: Option<mpsc::UnboundedReceiver<Bytes>>,
    /// Ends the wait of the next request to `/wait`; the sender gets a message when the request
    /// arrives.
    wait: Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>,
}

enum ToyBody {
    Fixed(Bytes),
    Held(mpsc::UnboundedReceiver<Bytes>),
    Endless,
}

impl Body for ToyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match &mut *self {
            Self::Fixed(bytes) if bytes.is_empty() => None,
            Self::Fixed(bytes) => Some(std::mem::take(bytes)),
            Self::Held(bytes) => std::task::ready!(bytes.poll_recv(cx)),
            Self::Endless => Some(Bytes::from_static(&[7; 64 * 1024])),
        };
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Fixed(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Fixed(bytes) => http_body::SizeHint::with_exact(bytes.len() as u64),
            Self::Held(_) | Self::Endless => http_body::SizeHint::default(),
        }
    }
}

impl Service<Request<Incoming>> for Toy {
    type Response = Response<ToyBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ToyBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        assert!(request.extensions().get::<crate::RequestId>().is_some());
        let mut channels = self.0.lock().unwrap();
        let (held, wait) = match request.uri().path() {
            "/held" => (channels.held.take(), None),
            "/wait" => (None, channels.wait.take()),
            _ => (None, None),
        };
        Box::pin(async move {
            if let Some((arrived, go_on)) = wait {
                arrived.send(()).unwrap();
                go_on.await.unwrap();
            }
            let body = match (request.uri().path(), held) {
                (_, Some(held)) => ToyBody::Held(held),
                ("/endless", _) => ToyBody::Endless,
                _ => ToyBody::Fixed(Bytes::from_static(b"hello")),
            };
            let mut response = Response::new(body);
            let upstream = Some("quay.io".parse().unwrap());
            let note = AnswerNote::new(RequestKind::Blob, Outcome::Hit, upstream);
            response.extensions_mut().insert(note);
            Ok(response)
        })
    }
}

impl Toy {
    /// Holds back the body of the next answer to `/held`.
    fn hold(&self) -> mpsc::UnboundedSender<Bytes> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.lock().unwrap().held = Some(receiver);
        sender
    }

    /// Holds back the next answer to `/wait`: the first channel reports that the request arrived,
    /// the second releases the answer.
    fn wait(&self) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let (arrived, arrival) = oneshot::channel();
        let (go_on, going_on) = oneshot::channel();
        self.0.lock().unwrap().wait = Some((arrived, going_on));
        (arrival, go_on)
    }
}

/// Sends each event as text to a channel.
struct Reporter(mpsc::UnboundedSender<String>);

impl Observer for Reporter {
    fn event(&self, event: &Event<'_>) {
        // The test may have dropped the receiver.
        let _ = self.0.send(format!("{event:?}"));
    }
}

struct Running {
    toy: Toy,
    address: SocketAddr,
    admin: Option<SocketAddr>,
    handle: ServerHandle,
    task: JoinHandle<DrainReport>,
    events: mpsc::UnboundedReceiver<String>,
}

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Starts a server on a loopback port.
async fn start(configure: impl FnOnce(ServerBuilder<Toy>) -> ServerBuilder<Toy>) -> Running {
    start_on(|builder| configure(builder.listen(ANY))).await
}

async fn start_on(configure: impl FnOnce(ServerBuilder<Toy>) -> ServerBuilder<Toy>) -> Running {
    let toy = Toy::default();
    let (sender, events) = mpsc::unbounded_channel();
    let builder = Server::builder(toy.clone()).observer(Reporter(sender));
    let server = configure(builder).bind().await.unwrap();
    let address = server.addresses()[0];
    let (handle, admin) = (server.handle(), server.admin_address());
    let task = tokio::spawn(server.run());
    Running {
        toy,
        address,
        admin,
        handle,
        task,
        events,
    }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Waits for an event whose text contains this.
    async fn event(&mut self, part: &str) -> String {
        loop {
            let event = self.events.recv().await.unwrap();
            if event.contains(part) {
                return event;
            }
        }
    }
}

/// Sends text on a new connection, and reads until the server closes it.
async fn exchange(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    read_to_end(&mut stream).await
}

/// Reads until the connection ends, also by a reset.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset also ends the connection.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8(bytes).unwrap()
}

/// Reads until the received text ends with this.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        let byte = stream.read_u8().await;
        let so_far = String::from_utf8_lossy(&bytes);
        bytes.push(byte.unwrap_or_else(|error| panic!("{error} after:\n{so_far}")));
    }
    String::from_utf8(bytes).unwrap()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: cache\r\n\r\n")
}

fn get_and_close(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: cache\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn several_addresses_are_served() {
    let server = Server::builder(Toy::default()).listen(ANY).listen(ANY);
    let server = server.bind().await.unwrap();
    let addresses = server.addresses();
    assert_eq!(addresses.len(), 2);
    tokio::spawn(server.run());
    for address in addresses {
        let answer = exchange(address, &get_and_close("/")).await;
        assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    }
}

#[tokio::test]
async fn a_busy_address_is_named() {
    let taken = std::net::TcpListener::bind(ANY).unwrap();
    let address = taken.local_addr().unwrap();
    let error = Server::builder(Toy::default()).listen(address).bind().await;
    assert_eq!(
        error.unwrap_err().to_string(),
        format!("cannot listen on {address}: the address is in use; choose another")
    );
    let error = Server::builder(Toy::default()).listen(ANY).admin(address);
    assert_eq!(
        error.bind().await.unwrap_err().to_string(),
        format!(
            "cannot listen on {address} for probes and metrics: the address is in use; choose \
             another"
        )
    );
    let error = Server::builder(Toy::default()).bind().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no address to listen on; set one"
    );
}

#[tokio::test]
async fn a_body_that_nobody_reads_does_not_disturb_the_answer() {
    let server = start(|builder| builder).await;
    let mut stream = server.connect().await;
    let head = "POST / HTTP/1.1\r\nhost: cache\r\ncontent-length: 100000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[0; 100_000]).await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("hello"), "{answer}");
}
