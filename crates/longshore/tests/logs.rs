//! What the client logs of its requests, and what it does not. Alone in its process: whoever
//! listens to logs is found by everybody in it.

#![expect(clippy::unwrap_used, reason = "in a test, panicking is how to fail")]

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use longshore::model::{Digest, Reference};
use longshore::origin::Secret;
use longshore::transport::{Body, Capabilities, TestClock, Transport as _, from_fn};
use longshore::{Client, Credential, OneCredential};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps everything that is logged, at every level, one event a line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut log = self.0.lock().unwrap();
        event.record(&mut Line(&mut log));
        log.push('\n');
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

/// A registry with a token service, whose blobs are elsewhere, under signed URLs.
fn answer(request: &Request<Body>) -> Response<Body> {
    let header = request.headers().get("authorization");
    let shown = header.map(|value| value.to_str().unwrap());
    match (request.uri().host().unwrap(), shown) {
        ("evil.example.net", None) => Response::new("hello".into()),
        ("auth.example.com", Some("Basic YWhhYjp3aGl0ZS13aGFsZQ==")) => {
            Response::new(r#"{"token":"home-token"}"#.into())
        }
        ("r.example.com", Some("Bearer home-token")) => Response::builder()
            .status(307)
            .header(
                "location",
                "https://evil.example.net/b?digest=d&X-Amz-Signature=signed",
            )
            .body(Body::empty())
            .unwrap(),
        _ => Response::builder()
            .status(401)
            .header(
                "www-authenticate",
                r#"Bearer realm="https://auth.example.com/token",service="r""#,
            )
            .body(Body::empty())
            .unwrap(),
    }
}

// OU3, OU4
#[tokio::test]
async fn ou4_urls_are_logged_without_what_they_are_signed_with() {
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    let ahab = Credential::basic("ahab", Secret::new("white-whale".to_owned())).unwrap();
    let transport = from_fn(|request| async move { Ok(answer(&request)) });
    let client = Client::builder()
        .transport(transport.declaring(Capabilities::all()))
        .clock(TestClock::default())
        .credentials(OneCredential::new("r.example.com", ahab))
        .build()
        .unwrap();
    let app: Reference = "r.example.com/app".parse().unwrap();
    let app = client.repository(&app).await.unwrap();
    let digest = Digest::sha256(b"hello");
    let reader = app.blob(&digest, Some(5)).unwrap();
    assert_eq!(reader.bytes(5).await.unwrap(), "hello");
    drop(guard);

    let log = log.0.lock().unwrap();
    for secret in [
        "home-token",
        "white-whale",
        "YWhhYjp3aGl0ZS13aGFsZQ==",
        "signed",
        "Bearer",
        "uthorization",
    ] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
    let requests: Vec<_> = log
        .lines()
        .filter_map(|line| line.strip_prefix("message=GET "))
        .map(|line| line.trim_end().trim_end_matches(" (0 ms)"))
        .collect();
    let blob = format!("https://r.example.com/v2/app/blobs/{digest}");
    assert_eq!(
        requests,
        [
            &format!("{blob} 401"),
            "https://auth.example.com/token?service=r&scope=repository%3Aapp%3Apull 200",
            &format!("{blob} 307"),
            "https://evil.example.net/b?digest=d&X-Amz-Signature=REDACTED 200",
        ]
    );
}
