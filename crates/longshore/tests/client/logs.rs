//! What the client logs of its requests, and what it does not.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use longshore::model::Digest;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::auth::CHALLENGE;
use crate::support::{AUTH, BASIC, EVIL, Net, PASSWORD, app, basic, blob_uri, builder, reply};

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

// OU3, OU4
#[tokio::test]
async fn ou4_urls_are_logged_without_what_they_are_signed_with() {
    let net = Net::serving(|seen| {
        if seen.uri.starts_with(EVIL) {
            return reply(200, &[], "hello");
        }
        match seen.header("authorization") {
            Some(BASIC) if seen.uri.starts_with(AUTH) => {
                reply(200, &[], r#"{"token":"home-token"}"#)
            }
            Some("Bearer home-token") => {
                let signed = "https://evil.example.net/b?digest=d&X-Amz-Signature=signed";
                reply(307, &[("location", signed)], "")
            }
            _ => reply(401, &[("www-authenticate", CHALLENGE)], ""),
        }
    });
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    let app = app(builder(&net).credentials(basic()).build().unwrap()).await;
    let reader = app.blob(&Digest::sha256(b"hello"), Some(5)).unwrap();
    assert_eq!(reader.bytes(5).await.unwrap(), "hello");
    drop(guard);

    let log = log.0.lock().unwrap();
    for secret in [
        "home-token",
        PASSWORD,
        BASIC,
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
    let blob = blob_uri("https://r.example.com", b"hello");
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
