//! The promise *your transport*: a program that implements [`Transport`] over something else gets
//! authentication, redirects, retries, resume and verification without writing any of them.

#![expect(clippy::unwrap_used, reason = "in a test, panicking is how to fail")]

use std::sync::Mutex;

use http::{Request, Response};
use longshore::Client;
use longshore::model::{Digest, Reference};
use longshore::transport::{
    Body, Capabilities, Phase, TestClock, Transport, TransportError, TransportErrorKind,
};

/// A registry that is a few lines of this program: no socket, no HTTP library, and nothing in it
/// knows of tokens renewed, redirects followed or downloads resumed.
struct InProcess {
    /// Each request as it came.
    log: Mutex<Vec<String>>,
}

const BLOB: &[u8] = b"not all of this arrives at once";

impl Transport for &'static InProcess {
    /// This transport connects to nothing, so it meets the contract of every capability.
    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let header = |name| {
            request
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap())
        };
        let (uri, shown) = (request.uri().to_string(), header("authorization"));
        let range = header("range");
        let line = [Some(uri.as_str()), range, shown]
            .map(Option::unwrap_or_default)
            .join(" ");
        let again = {
            let mut log = self.log.lock().unwrap();
            log.push(line.trim_end().to_owned());
            log.iter().filter(|seen| **seen == line.trim_end()).count() > 1
        };
        let (host, path) = (request.uri().host().unwrap(), request.uri().path());
        match (host, path, shown) {
            ("tokens.example.com", ..) => Ok(answer(200, &[], r#"{"token":"t"}"#)),
            ("registry.example.com", _, None) => {
                let challenge = r#"Bearer realm="https://tokens.example.com/",service="registry""#;
                Ok(answer(401, &[("www-authenticate", challenge)], ""))
            }
            // Busy the first time.
            ("registry.example.com", "/v2/app/manifests/v1", _) if !again => {
                Ok(answer(503, &[("retry-after", "2")], ""))
            }
            ("registry.example.com", "/v2/app/manifests/v1", _) => Ok(answer(200, &[], manifest())),
            ("registry.example.com", ..) => Ok(answer(
                307,
                &[("location", "https://storage.example.net/blob?signature=s")],
                "",
            )),
            // Breaks off the first time.
            ("storage.example.net", ..) => Ok(match range {
                None => answer(
                    200,
                    &[("content-length", "31")],
                    Body::wrap(Half(Some(false))),
                ),
                Some("bytes=16-") => answer(
                    206,
                    &[("content-range", "bytes 16-30/31")],
                    BLOB.split_at(16).1.to_vec(),
                ),
                Some(other) => panic!("{other}"),
            }),
            _ => Err(TransportError::new(
                TransportErrorKind::Resolve,
                Phase::Connect,
            )),
        }
    }
}

/// The first half of the blob, and then a broken connection.
struct Half(Option<bool>);

impl http_body::Body for Half {
    type Data = bytes::Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        let next = match self.0 {
            None => None,
            Some(false) => Some(Ok(http_body::Frame::data(BLOB.split_at(16).0.into()))),
            Some(true) => Some(Err(TransportError::new(
                TransportErrorKind::Closed,
                Phase::Body,
            ))),
        };
        self.0 = self.0.and_then(|given| (!given).then_some(true));
        std::task::Poll::Ready(next)
    }
}

fn answer(status: u16, fields: &[(&str, &str)], body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

fn manifest() -> Vec<u8> {
    let (digest, size) = (Digest::sha256(BLOB), BLOB.len());
    let layer =
        format!(r#"{{"mediaType":"application/octet-stream","digest":"{digest}","size":{size}}}"#);
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{layer},"layers":[{layer}]}}"#
    )
    .into_bytes()
}

#[tokio::test]
async fn your_transport() -> Result<(), Box<dyn std::error::Error>> {
    let service: &'static InProcess = Box::leak(Box::new(InProcess {
        log: Mutex::default(),
    }));
    let client = Client::builder()
        .transport(service)
        .clock(TestClock::default())
        .build()?;
    let reference: Reference = "registry.example.com/app:v1".parse()?;
    let repository = client.repository(&reference).await?;

    let pulled = repository.manifest(&reference.target()).await?;
    let image = pulled.manifest.document().as_image().ok_or("an image")?;
    let layer = image.layers.first().ok_or("a layer")?;
    let content = repository
        .blob(&layer.digest, Some(layer.size))?
        .bytes(1024)
        .await?;

    assert_eq!(content, BLOB);
    let blob = format!("https://registry.example.com/v2/app/blobs/{}", layer.digest);
    assert_eq!(
        *service.log.lock().unwrap(),
        [
            "https://registry.example.com/v2/app/manifests/v1",
            "https://tokens.example.com/?service=registry&scope=repository%3Aapp%3Apull",
            "https://registry.example.com/v2/app/manifests/v1  Bearer t",
            "https://registry.example.com/v2/app/manifests/v1  Bearer t",
            &format!("{blob}  Bearer t"),
            "https://storage.example.net/blob?signature=s",
            &format!("{blob} bytes=16- Bearer t"),
            "https://storage.example.net/blob?signature=s bytes=16-",
        ]
    );
    Ok(())
}
