//! Tests a client that is not Longshore's: forty lines over hyper that push a blob in chunks.
//!
//! ```text
//! cargo run -p longshore-testkit --example foreign_client
//! ```
//!
//! The client works as the first version of a client usually does: it sends chunks of one size,
//! follows `Location`, and stops at the first status that is not a success. The example uses it to
//! push to registries that differ from the specification, and prints how each push ended, what the
//! registry stored, and which requests it received. A test would assert these results instead of
//! printing them.

use std::error::Error;
use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{CONTENT_RANGE, HOST, LOCATION};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use longshore_model::Digest;
use longshore_testkit::registry::{
    LocationForm, Misbehaviour, Part, Quirks, RangeForm, Registry, Rule,
};
use tokio::net::TcpStream;

type Failure = Box<dyn Error + Send + Sync>;

/// The client under test.
struct Client {
    authority: String,
}

impl Client {
    /// Pushes a blob in chunks, and returns its digest.
    async fn push(&self, name: &str, content: &Bytes, chunk: usize) -> Result<Digest, Failure> {
        let digest = Digest::sha256(content);
        let target = format!("/v2/{name}/blobs/uploads/");
        let opened = self.send(Method::POST, &target, None, Bytes::new()).await?;
        let mut target = location(&target, &opened)?;
        let mut first = 0;
        while first < content.len() {
            let end = content.len().min(first + chunk);
            let range = format!("{first}-{}", end - 1);
            let part = content.slice(first..end);
            let sent = self.send(Method::PATCH, &target, Some(&range), part);
            target = location(&target, &sent.await?)?;
            first = end;
        }
        let separator = if target.contains('?') { '&' } else { '?' };
        let target = format!("{target}{separator}digest={digest}");
        self.send(Method::PUT, &target, None, Bytes::new()).await?;
        Ok(digest)
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        range: Option<&str>,
        body: Bytes,
    ) -> Result<Response<()>, Failure> {
        let stream = TcpStream::connect(&self.authority).await?;
        let stream = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        tokio::spawn(connection);
        let request = Request::builder().method(method.clone()).uri(target);
        let request = match range {
            Some(range) => request.header(CONTENT_RANGE, range),
            None => request,
        };
        let request = request
            .header(HOST, &self.authority)
            .body(Full::new(body))?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let said = body.collect().await?.to_bytes();
        if head.status.is_success() {
            Ok(Response::from_parts(head, ()))
        } else {
            let said = String::from_utf8_lossy(&said).into_owned();
            let text = format!("{method}: {} {said}", head.status.as_u16());
            Err(text.trim_end().into())
        }
    }
}

/// The path and query of the session.
fn location(base: &str, answer: &Response<()>) -> Result<String, Failure> {
    let location = answer.headers().get(LOCATION).ok_or("no Location")?;
    let location = location.to_str()?;
    let is_path = location.starts_with('/');
    Ok(match location.strip_prefix("http://") {
        Some(rest) => rest
            .split_once('/')
            .map_or_else(String::new, |(_, path)| format!("/{path}")),
        None if is_path => location.to_owned(),
        // Relative to the directory of the request (RFC 3986 §5.2.3).
        None => {
            let path = base.split('?').next().unwrap_or_default();
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
            format!("{directory}/{location}")
        }
    })
}

/// The registries, each with a name for the output.
fn registries() -> Vec<(&'static str, Quirks)> {
    let mut stuck = Quirks::default();
    stuck.range = RangeForm::FirstChunk;
    let mut relative = Quirks::default();
    relative.location = LocationForm::Relative;
    let mut small = Quirks::default();
    small.chunk_max_bytes = Some(4);
    vec![
        ("the specification", Quirks::default()),
        ("distribution", Quirks::distribution()),
        ("a range that does not move", stuck),
        ("relative locations", relative),
        ("Artifactory", Quirks::artifactory()),
        ("Google", Quirks::google()),
        ("chunks of at most 4 bytes", small),
    ]
}

/// How a push of the client ended, in one line.
async fn report(registry: &Registry) -> String {
    let client = Client {
        authority: registry.authority(),
    };
    let content = Bytes::from_static(b"the content of a blob");
    let outcome = match client.push("app", &content, 8).await {
        Ok(digest) => match registry.contents().blob("app", &digest) {
            Some(stored) if stored.bytes() == content => "stored".to_owned(),
            Some(stored) => format!("damaged: {} of {} bytes", stored.length(), content.len()),
            None => "acknowledged, but not stored".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    let uploads = registry.requests_to(Part::Upload);
    format!("{outcome} ({} requests)", uploads.len())
}

/// Everything that the example prints.
pub(crate) fn run() -> Result<String, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut text = String::new();
    for (name, quirks) in registries() {
        let registry = Registry::builder().writable().quirks(quirks).start()?;
        let outcome = runtime.block_on(report(&registry));
        writeln!(text, "{name}: {outcome}")?;
    }
    let registry = Registry::builder().writable().start()?;
    let limit = Misbehaviour::RetryAfter(StatusCode::TOO_MANY_REQUESTS, "1".to_owned());
    registry.misbehave(Rule::on_writes(limit).after(2).times(1));
    let outcome = runtime.block_on(report(&registry));
    writeln!(text, "a rate limit on the third request: {outcome}")?;
    Ok(text)
}

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn main() -> Result<(), Failure> {
    print!("{}", run()?);
    Ok(())
}
