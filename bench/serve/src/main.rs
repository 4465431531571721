//! The least that serving a registry's files over HTTP can cost: hyper, files, and nothing else.
//!
//! Manifests are read at the start and answered from memory. Blobs are opened for each request and
//! read on a thread of the runtime, of which each core has one, without waiting for the disk where
//! the system can do that. It knows no ranges, conditions, lists or uploads, and believes every
//! path that has no `..`.

mod body;

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use body::Body;
use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

const USAGE: &str = "bench-serve DIR: serves the files below DIR; the address is the first line";

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

fn main() -> io::Result<()> {
    let Some(root) = std::env::args_os().nth(1) else {
        return Err(io::Error::other(USAGE));
    };
    let files = Arc::new(Files::read(Path::new(&root))?);
    let runtime = Builder::new_multi_thread().enable_io().build()?;
    runtime.block_on(serve(files))
}

async fn serve(files: Arc<Files>) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let files = Arc::clone(&files);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = files.answer(&request);
                async { Ok::<_, Infallible>(answer) }
            });
            // A client may leave at any time.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// The files of a registry.
struct Files {
    root: PathBuf,
    manifests: HashMap<String, Manifest>,
}

struct Manifest {
    digest: HeaderValue,
    bytes: Bytes,
}

impl Files {
    fn read(root: &Path) -> io::Result<Self> {
        let mut files = Self {
            root: root.to_path_buf(),
            manifests: HashMap::new(),
        };
        files.gather(root)?;
        Ok(files)
    }

    /// Reads the manifests below a directory.
    fn gather(&mut self, directory: &Path) -> io::Result<()> {
        let is_manifests = directory.ends_with("manifests");
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                self.gather(&path)?;
            } else if is_manifests {
                let bytes = Bytes::from(fs::read(&path)?);
                let hash = Sha256::digest(&bytes);
                let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
                let digest = HeaderValue::try_from(format!("sha256:{hex}"));
                let digest = digest.map_err(io::Error::other)?;
                let name = path.strip_prefix(&self.root).map_err(io::Error::other)?;
                let name = format!("/{}", name.display());
                self.manifests.insert(name, Manifest { digest, bytes });
            }
        }
        Ok(())
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        let found = match self.manifests.get(path) {
            Some(manifest) => Some(manifest.answer(request.method())),
            None if path == "/v2/" => Some(Response::new(Body::full(Bytes::from_static(b"{}")))),
            None => self.blob(path, request.method()),
        };
        found.unwrap_or_else(|| {
            let mut answer = Response::new(Body::full(Bytes::new()));
            *answer.status_mut() = StatusCode::NOT_FOUND;
            answer
        })
    }

    fn blob(&self, path: &str, method: &Method) -> Option<Response<Body>> {
        let (_, digest) = path.rsplit_once("/blobs/")?;
        if path.contains("..") {
            return None;
        }
        let file = File::open(self.root.join(path.strip_prefix('/')?)).ok()?;
        let length = file.metadata().ok()?.len();
        let digest = HeaderValue::try_from(digest).ok()?;
        let body = match *method {
            Method::HEAD => Body::full(Bytes::new()),
            _ => Body::file(file, length),
        };
        Some(answer("application/octet-stream", digest, length, body))
    }
}

impl Manifest {
    fn answer(&self, method: &Method) -> Response<Body> {
        let body = match *method {
            Method::HEAD => Bytes::new(),
            _ => self.bytes.clone(),
        };
        let length = self.bytes.len() as u64;
        answer(MANIFEST_TYPE, self.digest.clone(), length, Body::full(body))
    }
}

/// An answer with the fields of a registry.
fn answer(
    media_type: &'static str,
    digest: HeaderValue,
    length: u64,
    body: Body,
) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(ETAG, digest.clone());
    headers.insert("docker-content-digest", digest);
    response
}
