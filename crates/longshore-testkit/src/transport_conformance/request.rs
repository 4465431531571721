//! A request arrives unchanged, and exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::{LOCATION, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode, Uri};
use longshore_transport::{Body, Transport as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::finding::{Outcome, chain, ensure, equal};
use super::server::{OK, Server, read_head};
use super::source::Source;
use super::subject::{Subject, failure, get, read, request};
use crate::recorder::Recorder;
use crate::{Gate, Listen, ScriptedResponse};

/// A server that gives each head it reads to the case.
fn listener() -> std::io::Result<(Server, mpsc::UnboundedReceiver<Vec<u8>>)> {
    let (sender, heads) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let sender = sender.clone();
        async move {
            loop {
                let head = read_head(&mut stream).await?;
                let _ = sender.send(head);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await?;
            }
        }
    })?;
    Ok((server, heads))
}

/// The header fields of a head, names in lower case.
fn fields(head: &[u8]) -> Vec<(String, Bytes)> {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    let fields = lines.filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        Some((name, Bytes::copy_from_slice(value)))
    });
    fields.collect()
}

pub(super) async fn heads_arrive_unchanged(subject: &Subject) -> Outcome {
    const GIVEN: [(&str, &[u8]); 9] = [
        ("accept", b"application/vnd.oci.image.index.v1+json"),
        (
            "accept",
            b"application/vnd.oci.image.manifest.v1+json;q=0.5",
        ),
        ("accept-encoding", b"identity"),
        ("authorization", b"Bearer abc.def"),
        ("if-none-match", b"\"etag\""),
        ("range", b"bytes=5-"),
        ("x-binary", b"\xe9\xff"),
        ("x-empty", b""),
        ("user-agent", b"conformance/1"),
    ];
    let (server, mut heads) = listener()?;
    let transport = subject.transport();
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
        let mut sent = request(method, &format!("{}/path/", server.url()), Body::empty())?;
        for (name, value) in GIVEN {
            let value = HeaderValue::from_bytes(value).map_err(http::Error::from)?;
            sent.headers_mut().append(name, value);
        }
        read(transport.send(sent).await?).await?;
        let head = heads.recv().await.unwrap_or_default();
        let line = format!("{method} /path/ HTTP/1.1\r\n");
        ensure(head.starts_with(line.as_bytes()), || {
            let found = String::from_utf8_lossy(&head);
            format!("the request line is not {line:?} in {found:?}")
        })?;
        let arrived = fields(&head);
        for (name, _) in GIVEN {
            let values = |all: &mut dyn Iterator<Item = (&str, Bytes)>| -> Vec<Bytes> {
                all.filter(|(other, _)| *other == name)
                    .map(|(_, value)| value)
                    .collect()
            };
            let mut given = GIVEN.map(|(n, v)| (n, Bytes::from_static(v))).into_iter();
            let mut found = arrived.iter().map(|(n, v)| (n.as_str(), v.clone()));
            let what = format!("{name} of a {method}");
            equal(&what, values(&mut found), values(&mut given))?;
        }
        for (name, value) in arrived {
            let is_given = GIVEN.iter().any(|(given, _)| *given == name);
            ensure(is_given || FRAMING.contains(&name.as_str()), || {
                format!("the field {name}: {value:?} was added to a {method}")
            })?;
        }
    }
    // A request without header fields may get additional fields, if they do not change its meaning.
    read(transport.send(get(&server.url())?).await?).await?;
    for (name, value) in fields(&heads.recv().await.unwrap_or_default()) {
        let is_neutral = name == "user-agent" || (name == "accept" && value == "*/*");
        ensure(is_neutral || FRAMING.contains(&name.as_str()), || {
            format!("the field {name}: {value:?} was added to a bare GET")
        })?;
    }
    Ok(())
}

/// The fields a transport adds for framing and for the connection.
const FRAMING: [&str; 5] = [
    "connection",
    "content-length",
    "host",
    "te",
    "transfer-encoding",
];

pub(super) async fn paths_arrive_unchanged(subject: &Subject) -> Outcome {
    /// Paths that registries and storage services use.
    const USUAL: [&str; 7] = [
        "/path/",
        "/path/library/app/manifests/latest",
        "/path/a/blobs/sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "/path/_catalog?n=100&last=a%2Fb",
        "/path/a/blobs/uploads/?mount=sha256%3Aabc&from=b%2Fc",
        "/blob?X-Amz-Signature=a%2fB%3D%3D&empty=&flag&q=a+b~c,d;e!f$g*(h)@:i",
        "/a%20b/%7Ec/%2F/-._~",
    ];
    /// Paths that URL libraries like to rewrite.
    const UNUSUAL: [&str; 10] = [
        "/a/../b",
        "/a/./b",
        "/a/%2e%2e/b",
        "//double//slash",
        "/x?",
        "/x?a?b/../c",
        "/x?q='quoted'",
        "/x?q=\"{a}|b^c`d",
        "/a|b{c}'d'\"e\"",
        "/a%zz",
    ];
    let (server, mut heads) = listener()?;
    let transport = subject.transport();
    let unusual = UNUSUAL.iter().filter(|path| path.parse::<Uri>().is_ok());
    for path in USUAL.iter().chain(unusual) {
        match transport
            .send(get(&format!("{}{path}", server.url()))?)
            .await
        {
            Ok(response) => {
                read(response).await?;
                let head = heads.recv().await.unwrap_or_default();
                let line = format!("GET {path} HTTP/1.1\r\n");
                ensure(head.starts_with(line.as_bytes()), || {
                    let found = String::from_utf8_lossy(&head);
                    format!("the request line is not {line:?} in {found:?}")
                })?;
            }
            Err(error) => {
                ensure(!USUAL.contains(path), || {
                    format!("{path} was refused: {}", chain(&error))
                })?;
                ensure(!error.kind().is_retryable(), || {
                    format!(
                        "{path} was refused as {:?}, which a client retries",
                        error.kind()
                    )
                })?;
                ensure(heads.try_recv().is_err(), || {
                    format!("{path} was refused, but sent")
                })?;
            }
        }
    }
    Ok(())
}

pub(super) async fn request_bodies_arrive_with_their_length(subject: &Subject) -> Outcome {
    let server = Recorder::silent()?;
    let transport = subject.transport();
    let content = "x".repeat(3 * 1000);
    let frames = || Source::new("x".repeat(1000), 3);
    let known = Some(content.len().to_string());
    for (body, length, expected) in [
        (Body::from("abc"), Some("3".to_owned()), "abc"),
        (frames().into_body(), known, content.as_str()),
        (frames().unannounced().into_body(), None, content.as_str()),
    ] {
        server.requests().clear();
        let sent = request("PUT", &server.url(), body)?;
        read(transport.send(sent).await?).await?;
        let [arrived] = server
            .requests()
            .all()
            .try_into()
            .map_err(|_| "not one request")?;
        equal("the body", &arrived.body[..], expected.as_bytes())?;
        let found = arrived.header("content-length").map(str::to_owned);
        equal("its content-length", found, length)?;
    }
    for method in ["GET", "PUT"] {
        server.requests().clear();
        let sent = request(method, &server.url(), Body::empty())?;
        read(transport.send(sent).await?).await?;
        let [arrived] = server
            .requests()
            .all()
            .try_into()
            .map_err(|_| "not one request")?;
        let length = arrived.header("content-length").unwrap_or("0");
        let coding = arrived.header("transfer-encoding");
        let what = format!("the framing of an empty {method}");
        equal(&what, (length, coding), ("0", None))?;
    }
    Ok(())
}

pub(super) async fn request_bodies_are_streamed(subject: &Subject) -> Outcome {
    let body = Source::new(vec![0; FRAME_BYTES], LARGE_BYTES / FRAME_BYTES as u64);
    let (taken, count) = (body.taken(), body.taken());
    let (sender, mut seen) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let (count, sender) = (Arc::clone(&count), sender.clone());
        async move {
            read_head(&mut stream).await?;
            // The server has read only this byte of the body.
            stream.read_u8().await?;
            let _ = sender.send(count.load(Ordering::SeqCst));
            let mut rest = (&mut stream).take(LARGE_BYTES - 1);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
            stream.write_all(OK.as_bytes()).await
        }
    })?;
    let sent = request("PUT", &server.url(), body.into_body())?;
    read(subject.transport().send(sent).await?).await?;
    let at_first = seen.recv().await.unwrap_or_default();
    equal(
        "bytes taken at the end",
        taken.load(Ordering::SeqCst),
        LARGE_BYTES,
    )?;
    ensure(at_first < LARGE_BYTES, || {
        "all of the body was taken before the peer had read more than one byte".to_owned()
    })
}

pub(super) async fn a_failed_request_body_is_never_complete(subject: &Subject) -> Outcome {
    const FRAMES: u64 = 5;
    let transport = subject.transport();
    for announced in [true, false] {
        let (sender, mut completed) = mpsc::unbounded_channel();
        let gate = Gate::new();
        let begun = gate.clone();
        let server = Server::start(move |mut stream| {
            let (sender, begun) = (sender.clone(), begun.clone());
            async move {
                read_head(&mut stream).await?;
                let mut body = vec![stream.read_u8().await?];
                // The body has begun; now it may fail.
                begun.open();
                let is_whole = |body: &[u8]| {
                    body.len() as u64 == FRAMES * 1000 || body.ends_with(b"\r\n0\r\n\r\n")
                };
                // A reset ends the connection as well as a close does.
                while !is_whole(&body) && matches!(stream.read_buf(&mut body).await, Ok(1..)) {}
                let _ = sender.send(is_whole(&body));
                Ok(())
            }
        })?;
        let body = Source::new("x".repeat(1000), FRAMES).failing(3, gate);
        let body = if announced { body } else { body.unannounced() };
        failure(&transport, request("PUT", &server.url(), body.into_body())?).await?;
        ensure(completed.recv().await == Some(false), || {
            "a body that failed was ended as if it were whole".to_owned()
        })?;
    }
    Ok(())
}

pub(super) async fn no_credentials_are_added(subject: &Subject) -> Outcome {
    const PASSWORD: &str = "p4ssw0rd-of-the-uri";
    let transport = subject.transport();
    let server = Recorder::silent()?;
    let url = format!("http://user:{PASSWORD}@{}/path/", server.address());
    // The transport may also refuse the URI.
    if let Ok(response) = transport.send(get(&url)?).await {
        read(response).await?;
    }
    ensure(!server.requests().hold(PASSWORD), || {
        "the user information of the URI was sent".to_owned()
    })?;
    for (status, name) in [
        (StatusCode::UNAUTHORIZED, WWW_AUTHENTICATE),
        (
            StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            http::header::PROXY_AUTHENTICATE,
        ),
    ] {
        let challenge = HeaderValue::from_static("Basic realm=\"r\"");
        let server = Recorder::start(Listen::loopback(), move |_| {
            ScriptedResponse::status(status).header(name.clone(), challenge.clone())
        })?;
        let response = transport.send(get(&server.url())?).await?;
        equal("the status", response.status(), status)?;
        equal("requests", server.requests().len(), 1)?;
        let fields = ["authorization", "proxy-authorization"];
        let added = |field: &&str| server.requests().count(|it| it.header(field).is_some()) > 0;
        equal("added", fields.iter().find(|field| added(field)), None)?;
    }
    Ok(())
}

pub(super) async fn cookies_are_not_kept(subject: &Subject) -> Outcome {
    let server = Recorder::start(Listen::loopback(), |_| {
        let cookie = HeaderValue::from_static("session=1; Path=/");
        ScriptedResponse::status(StatusCode::OK).header(SET_COOKIE, cookie)
    })?;
    let transport = subject.transport();
    for _ in 0..2 {
        let response = transport.send(get(&server.url())?).await?;
        let given = response.headers().contains_key(SET_COOKIE);
        ensure(given, || {
            "Set-Cookie was taken out of a response".to_owned()
        })?;
        read(response).await?;
    }
    let sent = server.requests().count(|it| it.header("cookie").is_some());
    equal("requests with a cookie", sent, 0)
}

pub(super) async fn redirects_are_not_followed(subject: &Subject) -> Outcome {
    let elsewhere = Recorder::silent()?;
    let transport = subject.transport();
    for status in [301, 302, 303, 307, 308] {
        for location in [format!("{}/x", elsewhere.url()), "/again".to_owned()] {
            let status = StatusCode::from_u16(status).map_err(http::Error::from)?;
            let value = HeaderValue::try_from(&location).map_err(http::Error::from)?;
            let server = Recorder::start(Listen::loopback(), move |_| {
                ScriptedResponse::status(status).header(LOCATION, value.clone())
            })?;
            let response = transport.send(get(&server.url())?).await?;
            equal("the status", response.status(), status)?;
            let given = response.headers().get(LOCATION).map(HeaderValue::as_bytes);
            equal("its Location", given, Some(location.as_bytes()))?;
            read(response).await?;
            equal("requests", server.requests().len(), 1)?;
            equal("requests elsewhere", elsewhere.requests().len(), 0)?;
        }
    }
    Ok(())
}

pub(super) async fn requests_are_not_repeated(subject: &Subject) -> Outcome {
    let transport = subject.transport();
    for status in [408, 421, 425, 429, 500, 502, 503, 504] {
        let status = StatusCode::from_u16(status).map_err(http::Error::from)?;
        let server = Recorder::start(Listen::loopback(), move |_| {
            ScriptedResponse::status(status).header(RETRY_AFTER, HeaderValue::from_static("0"))
        })?;
        let response = transport.send(get(&server.url())?).await?;
        equal("the status", response.status(), status)?;
        read(response).await?;
        let what = format!("requests after status {status}");
        equal(&what, server.requests().len(), 1)?;
    }
    for method in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
        let server = Recorder::start(Listen::loopback(), |_| ScriptedResponse::hang_up())?;
        failure(&transport, request(method, &server.url(), "abc".into())?).await?;
        let what = format!("times a {method} was sent on connections that closed");
        equal(&what, server.requests().len(), 1)?;
    }
    // The server does not answer its second request, which most likely arrives on a reused
    // connection.
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let server = Server::start(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            loop {
                read_head(&mut stream).await?;
                if count.fetch_add(1, Ordering::SeqCst) == 1 {
                    return Ok(());
                }
                stream.write_all(OK.as_bytes()).await?;
            }
        }
    })?;
    read(transport.send(get(&server.url())?).await?).await?;
    failure(&transport, get(&server.url())?).await?;
    let found = requests.load(Ordering::SeqCst);
    equal("requests on a connection that had served", found, 2)
}

/// Size in bytes of a body that a transport must not hold in memory as a whole.
pub(super) const LARGE_BYTES: u64 = 64 * 1024 * 1024;

/// Size in bytes of the frames of that body.
pub(super) const FRAME_BYTES: usize = 64 * 1024;
