//! Request ids, and the access log: one line for each request.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use longshore_origin::RedactedUri;

use crate::observer::{AnswerNote, RequestId};

/// The header with the id of a request, in requests and answers.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Maximum length in bytes of an id from a client.
const ID_LIMIT_BYTES: usize = 128;

/// Assigns ids to requests. The first id is random, so that ids of two processes differ.
#[derive(Debug)]
pub(super) struct RequestIds(AtomicU64);

impl RequestIds {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(RandomState::new().hash_one("request")))
    }

    pub(super) fn next(&self) -> RequestId {
        RequestId::new(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// The id in the answer and the log: the id that the client sent if it is well-formed (1 to 128
/// visible ASCII characters), otherwise the id that the server assigned.
pub(super) fn shown_id(headers: &HeaderMap, own: RequestId) -> HeaderValue {
    let mut values = headers.get_all(REQUEST_ID).iter();
    match (values.next(), values.next()) {
        (Some(id), None) if is_well_formed(id.as_bytes()) => id.clone(),
        _ => {
            let own = HeaderValue::from_bytes(&own.digits());
            own.unwrap_or_else(|_| HeaderValue::from_static("unknown"))
        }
    }
}

fn is_well_formed(id: &[u8]) -> bool {
    (1..=ID_LIMIT_BYTES).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// Whether the access log is enabled.
pub(super) fn is_enabled() -> bool {
    tracing::enabled!(target: "longshore_cache::access", tracing::Level::INFO)
}

/// The line of the access log for a request.
#[derive(Debug)]
pub(super) struct AccessLine {
    id: HeaderValue,
    client: SocketAddr,
    method: Method,
    uri: Uri,
    started: Duration,
}

impl AccessLine {
    pub(super) fn new<B>(
        id: &HeaderValue,
        client: SocketAddr,
        request: &Request<B>,
        started: Duration,
    ) -> Self {
        Self {
            id: id.clone(),
            client,
            method: request.method().clone(),
            uri: request.uri().clone(),
            started,
        }
    }

    /// Writes the line. It has no status if the client disconnected before the answer.
    pub(super) fn write(&self, end: &AccessEnd, now: Duration) {
        let upstream = end.note.as_ref().and_then(|note| note.upstream.as_ref());
        tracing::info!(
            target: "longshore_cache::access",
            id = self.id.to_str().unwrap_or_default(),
            client = %self.client,
            method = %Shown(&self.method),
            uri = %RedactedUri::new(&self.uri),
            status = end.status.map(|status| status.as_u16()),
            bytes = end.bytes,
            complete = end.complete,
            milliseconds = rounded(now.saturating_sub(self.started)),
            kind = end.note.as_ref().map(|note| note.kind.as_str()),
            outcome = end.note.as_ref().map(|note| note.outcome.as_str()),
            upstream = upstream.map(|upstream| upstream.as_str()),
            "request"
        );
    }
}

/// Milliseconds with one decimal.
#[expect(
    clippy::cast_precision_loss,
    reason = "the duration of an answer is small enough"
)]
fn rounded(time: Duration) -> f64 {
    let tenths = (time.as_micros() + 50) / 100;
    tenths as f64 / 10.0
}

/// How a request ended.
#[derive(Debug, Default)]
pub(super) struct AccessEnd {
    pub(super) status: Option<StatusCode>,
    pub(super) note: Option<AnswerNote>,
    /// Number of bytes of the body that were passed to the connection.
    pub(super) bytes: u64,
    /// Whether that was the whole body.
    pub(super) complete: bool,
}

/// A method, which is text of the client.
struct Shown<'a>(&'a Method);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        longshore_origin::Escaped::text(self.0.as_str()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ou1_the_id_of_a_client_is_taken_only_if_it_is_well_formed() {
        let own = RequestId::new(0xab);
        let long = "x".repeat(ID_LIMIT_BYTES);
        for (sent, shown) in [
            (vec!["trace-1/a=b"], "trace-1/a=b"),
            (vec![long.as_str()], long.as_str()),
            (vec![], "00000000000000ab"),
            (vec![""], "00000000000000ab"),
            (vec!["two words"], "00000000000000ab"),
            (vec!["caf\u{e9}"], "00000000000000ab"),
            (vec!["one", "two"], "00000000000000ab"),
            (vec![&format!("{long}x")], "00000000000000ab"),
        ] {
            let mut headers = HeaderMap::new();
            for value in sent {
                headers.append(
                    REQUEST_ID,
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                );
            }
            assert_eq!(shown_id(&headers, own), shown);
        }
    }

    #[test]
    fn requests_have_different_ids() {
        let ids = RequestIds::new();
        assert_ne!(ids.next(), ids.next());
        assert_ne!(ids.next(), RequestIds::new().next());
    }
}
