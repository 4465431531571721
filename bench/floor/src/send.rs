//! The least a push or a copy can cost: read or receive, hash, send.
//!
//! HTTP/1.1 with hyper on one thread: a POST and a PUT for each blob, then a PUT of the manifest. A
//! blob that is not what its digest says is broken off before its end.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::{BUFFER_BYTES, digests, verify};

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The body of a request.
type Outgoing = UnsyncBoxBody<Bytes, io::Error>;

/// A repository on a server.
#[derive(Clone)]
pub(crate) struct Place {
    host: String,
    repository: String,
}

impl Place {
    pub(crate) fn new(host: &str, repository: &str) -> Self {
        Self {
            host: host.to_owned(),
            repository: repository.to_owned(),
        }
    }
}

/// Pushes the first image of a layout.
pub(crate) fn push(directory: &Path, to: Place, tag: &str, connections: usize) -> io::Result<()> {
    let blobs = directory.join("blobs/sha256");
    let index = fs::read(directory.join("index.json"))?;
    let first = digests(&index)?.into_iter().next();
    let manifest = fs::read(blobs.join(first.unwrap_or_default()))?;
    runtime()?.block_on(async {
        let queue = Queue::new(&manifest)?;
        let mut workers = JoinSet::new();
        for _ in 0..connections.min(queue.len()) {
            let (queue, blobs, to) = (queue.clone(), blobs.clone(), to.clone());
            workers.spawn(async move {
                let mut to = Connection::open(to).await?;
                while let Some(digest) = queue.next() {
                    let file = File::open(blobs.join(&digest))?;
                    to.upload(&digest, FileBody::new(file)?.boxed_unsync())
                        .await?;
                }
                io::Result::Ok(())
            });
        }
        finish(workers, to, tag, manifest).await
    })
}

/// Copies an image, blob by blob, from one server to another.
pub(crate) fn copy(from: Place, to: Place, tag: &str, connections: usize) -> io::Result<()> {
    runtime()?.block_on(async {
        let mut source = Connection::open(from.clone()).await?;
        let manifest = source.get(&format!("manifests/{tag}")).await?;
        let manifest = manifest.collect().await.map_err(io::Error::other)?;
        let manifest = manifest.to_bytes().to_vec();
        let queue = Queue::new(&manifest)?;
        let mut workers = JoinSet::new();
        for _ in 0..connections.min(queue.len()) {
            let (queue, from, to) = (queue.clone(), from.clone(), to.clone());
            workers.spawn(async move {
                let mut from = Connection::open(from).await?;
                let mut to = Connection::open(to).await?;
                while let Some(digest) = queue.next() {
                    let body = from.get(&format!("blobs/sha256:{digest}")).await?;
                    let body = body.map_err(io::Error::other).boxed_unsync();
                    to.upload(&digest, body).await?;
                }
                io::Result::Ok(())
            });
        }
        finish(workers, to, tag, manifest).await
    })
}

/// Sends the manifest after all blobs.
async fn finish(
    mut workers: JoinSet<io::Result<()>>,
    to: Place,
    tag: &str,
    manifest: Vec<u8>,
) -> io::Result<()> {
    while let Some(worker) = workers.join_next().await {
        worker.map_err(io::Error::other)??;
    }
    let mut to = Connection::open(to).await?;
    let path = to.path(&format!("manifests/{tag}"));
    let body = full(manifest);
    to.send(Method::PUT, &path, body, StatusCode::CREATED)
        .await?;
    Ok(())
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
}

/// The digests that are still to be moved.
#[derive(Clone)]
struct Queue(Arc<Mutex<VecDeque<String>>>);

impl Queue {
    fn new(manifest: &[u8]) -> io::Result<Self> {
        let digests = digests(manifest)?.into_iter().map(str::to_owned);
        Ok(Self(Arc::new(Mutex::new(digests.collect()))))
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn next(&self) -> Option<String> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.pop_front()
    }
}

struct Connection {
    place: Place,
    sender: SendRequest<Outgoing>,
}

impl Connection {
    async fn open(place: Place) -> io::Result<Self> {
        let stream = TcpStream::connect(&place.host).await?;
        stream.set_nodelay(true)?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BUFFER_BYTES);
        let handshake = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self { place, sender })
    }

    fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.place.repository)
    }

    async fn get(&mut self, rest: &str) -> io::Result<Incoming> {
        let path = self.path(rest);
        let response = self.send(Method::GET, &path, empty(), StatusCode::OK).await;
        Ok(response?.into_body())
    }

    /// Opens an upload and sends the blob.
    async fn upload(&mut self, digest: &str, body: Outgoing) -> io::Result<()> {
        let start = self.path("blobs/uploads/");
        let opened = self
            .send(Method::POST, &start, empty(), StatusCode::ACCEPTED)
            .await?;
        let location = opened.headers().get(header::LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        let location = location.unwrap_or_default();
        // Relative, or absolute.
        let path = location.find("/v2/").and_then(|at| location.get(at..));
        let path = path.unwrap_or_default().to_owned();
        // The same connection carries the blob; it is free only after this answer's end.
        opened
            .into_body()
            .collect()
            .await
            .map_err(io::Error::other)?;
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}digest=sha256:{digest}");
        let body = Hashed {
            left: body.size_hint().lower(),
            body,
            hasher: Sha256::new(),
            digest: digest.to_owned(),
        };
        let stored = self
            .send(Method::PUT, &path, body.boxed_unsync(), StatusCode::CREATED)
            .await?;
        let rest = stored.into_body().collect().await;
        rest.map(drop).map_err(io::Error::other)
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Outgoing,
        expected: StatusCode,
    ) -> io::Result<Response<Incoming>> {
        let request = Request::builder()
            .method(&method)
            .uri(path)
            .header(header::HOST, &self.place.host)
            .header(header::ACCEPT, MANIFEST_TYPE)
            .header(header::CONTENT_TYPE, MANIFEST_TYPE)
            .body(body)
            .map_err(io::Error::other)?;
        self.sender.ready().await.map_err(io::Error::other)?;
        let response = self.sender.send_request(request).await;
        let response = response.map_err(io::Error::other)?;
        match response.status() {
            status if status == expected => Ok(response),
            status => Err(io::Error::other(format!("{method} {path}: {status}"))),
        }
    }
}

fn empty() -> Outgoing {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn full(bytes: Vec<u8>) -> Outgoing {
    let body = Full::new(Bytes::from(bytes));
    body.map_err(|never| match never {}).boxed_unsync()
}

/// A file that is read as it is sent.
struct FileBody {
    file: File,
    left: u64,
    /// The last pieces; one that has been sent is filled again.
    pieces: [Piece; 2],
}

#[derive(Clone, Default)]
struct Piece(Arc<Vec<u8>>);

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FileBody {
    fn new(file: File) -> io::Result<Self> {
        let left = file.metadata()?.len();
        let pieces = [Piece::default(), Piece::default()];
        Ok(Self { file, left, pieces })
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let Self { file, left, pieces } = &mut *self;
        pieces.swap(0, 1);
        let [piece, _] = pieces;
        if Arc::get_mut(&mut piece.0).is_none_or(|bytes| bytes.is_empty()) {
            *piece = Piece(Arc::new(vec![0; BUFFER_BYTES]));
        }
        let bytes = Arc::get_mut(&mut piece.0).ok_or(io::ErrorKind::Other)?;
        let count = match file.read(bytes)? {
            0 => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            count => count,
        };
        *left = left.saturating_sub(count as u64);
        let bytes = Bytes::from_owner(piece.clone()).slice(..count);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A body that is hashed as it is sent, and fails before its end if it is another blob.
struct Hashed {
    body: Outgoing,
    left: u64,
    hasher: Sha256,
    digest: String,
}

impl Body for Hashed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)?) else {
            return Poll::Ready(None);
        };
        if let Some(piece) = frame.data_ref() {
            self.hasher.update(piece);
            self.left = self.left.saturating_sub(piece.len() as u64);
            if self.left == 0 {
                verify(std::mem::take(&mut self.hasher), &self.digest)?;
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
