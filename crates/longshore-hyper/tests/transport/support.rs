//! Peers that say exactly what a test wants them to say.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use longshore_hyper::{HyperTransport, HyperTransportBuilder, ProxySettings};
use longshore_transport::{
    Body, Phase, Sensitivity, Transport, TransportError, TransportErrorKind,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A listener on loopback that counts its connections.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Runs `handle` for each connection.
    pub(crate) async fn start<F, R>(handle: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(handle(stream));
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// Gives each request on each connection this answer, byte for byte.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::start(move |mut stream| {
            let answer = answer.clone();
            async move {
                while read_head(&mut stream).await.is_some() {
                    stream.write_all(&answer).await.unwrap();
                }
            }
        })
        .await
    }

    /// Reads one request, writes this, and closes.
    pub(crate) async fn closing_after(answer: &'static [u8]) -> Self {
        Self::start(move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(answer).await.unwrap();
        })
        .await
    }

    /// Reads once, whatever comes, writes this, and closes.
    pub(crate) async fn closing_after_some(answer: &'static [u8]) -> Self {
        Self::start(move |mut stream| async move {
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(answer).await.unwrap();
        })
        .await
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/v2/", self.address)
    }
}

/// The head of a request, up to the empty line; `None` at the end.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// A transport that ignores the environment.
pub(crate) fn direct() -> HyperTransportBuilder {
    HyperTransport::builder().proxy(ProxySettings::none())
}

/// A request that declares that it carries no secret.
pub(crate) fn get(url: &str) -> Request<Body> {
    let mut request = Request::get(url).body(Body::empty()).unwrap();
    request.extensions_mut().insert(Sensitivity::Plain);
    request
}

pub(crate) async fn text(response: Response<Body>) -> Result<String, TransportError> {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(String::from_utf8(bytes).unwrap())
}

/// Sends and checks how it fails.
pub(crate) async fn fails(
    transport: &HyperTransport,
    request: Request<Body>,
    kind: TransportErrorKind,
    phase: Phase,
) -> TransportError {
    let error = match transport.send(request).await {
        Err(error) => error,
        Ok(response) => text(response).await.expect_err("the exchange fails"),
    };
    assert_eq!(
        (error.kind(), error.phase()),
        (kind, phase),
        "{}",
        chain(&error)
    );
    error
}

/// An error with all that is beneath it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
