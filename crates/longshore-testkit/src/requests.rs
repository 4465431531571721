//! What a server was sent, kept for a test to look at.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, Version};

/// One request as it arrived, and the status it was answered with.
///
/// Secrets are kept as they came: that is what the record is for. Print only [`line`](Self::line).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecordedRequest {
    /// The method.
    pub method: Method,
    /// The target as the request had it: a path, or an absolute URI through a proxy or HTTP/2.
    pub uri: Uri,
    /// The protocol version.
    pub version: Version,
    /// Every header field.
    pub headers: HeaderMap,
    /// The body, as far as the server read it.
    pub body: Bytes,
    /// Whether the server read the body to its end.
    pub complete: bool,
    /// Whether the server paused while it read the body.
    pub(crate) paused: bool,
    /// Which connection of this server it came on, from 0 in order of arrival.
    pub connection: usize,
    /// The status of the answer; `None` while there is none, or when the connection was closed.
    pub status: Option<StatusCode>,
}

impl RecordedRequest {
    /// The path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The query, empty when there is none.
    #[must_use]
    pub fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }

    /// The first value of a header, when it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the request carried an `Authorization` field.
    #[must_use]
    pub fn is_authorized(&self) -> bool {
        self.headers.contains_key(http::header::AUTHORIZATION)
    }

    /// Whether `secret` stands anywhere in the request: target, header fields or body, as it is
    /// or in base64, alone or as the password of a `user:password` pair.
    #[must_use]
    pub fn holds(&self, secret: &str) -> bool {
        let target = self.uri.to_string();
        let fields = self
            .headers
            .iter()
            .flat_map(|(name, value)| [name.as_ref(), value.as_bytes()]);
        [target.as_bytes(), &self.body]
            .into_iter()
            .chain(fields)
            .any(|text| contains(text, secret))
    }

    /// One line: method, target without its query's values, how it was authorised, status.
    #[must_use]
    pub fn line(&self) -> String {
        let scheme = self.header("authorization").map_or("anonymous", |value| {
            value.split(' ').next().unwrap_or_default()
        });
        let range = self.header("range").map(|range| format!(" range={range}"));
        let status = self
            .status
            .map_or_else(|| "-".to_owned(), |status| status.as_u16().to_string());
        format!(
            "{} {}{} {} -> {status}",
            self.method,
            longshore_origin::RedactedUri::new(&self.uri),
            range.unwrap_or_default(),
            scheme.to_ascii_lowercase(),
        )
    }
}

/// The requests a server has had, oldest first. Clones share one record.
#[derive(Clone, Default)]
pub struct Requests(Arc<Shared>);

#[derive(Default)]
struct Shared {
    list: Mutex<Vec<RecordedRequest>>,
    watcher: Mutex<Option<Watcher>>,
}

type Watcher = Box<dyn Fn(&RecordedRequest) + Send>;

impl Requests {
    /// An empty record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every request so far.
    #[must_use]
    pub fn all(&self) -> Vec<RecordedRequest> {
        self.list().clone()
    }

    /// The requests `wanted` says yes to.
    #[must_use]
    pub fn matching(&self, wanted: impl Fn(&RecordedRequest) -> bool) -> Vec<RecordedRequest> {
        self.list()
            .iter()
            .filter(|request| wanted(request))
            .cloned()
            .collect()
    }

    /// How many requests `wanted` says yes to.
    #[must_use]
    pub fn count(&self, wanted: impl Fn(&RecordedRequest) -> bool) -> usize {
        self.list().iter().filter(|request| wanted(request)).count()
    }

    /// How many requests there were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list().len()
    }

    /// Whether there was none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list().is_empty()
    }

    /// Whether any request held `secret`, in any of the forms of [`RecordedRequest::holds`].
    #[must_use]
    pub fn hold(&self, secret: &str) -> bool {
        self.list().iter().any(|request| request.holds(secret))
    }

    /// The [`RecordedRequest::line`] of every request, for assertions with readable failures.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.list().iter().map(RecordedRequest::line).collect()
    }

    /// Forgets what was kept.
    pub fn clear(&self) {
        self.list().clear();
    }

    /// Calls `watcher` for each answered request from now on, on the server's thread.
    pub fn watch(&self, watcher: impl Fn(&RecordedRequest) + Send + 'static) {
        *unpoisoned(&self.0.watcher) = Some(Box::new(watcher));
    }

    /// Keeps a request and returns its place, for [`answered`](Self::answered).
    pub(crate) fn arrived(&self, request: RecordedRequest) -> LogPosition {
        let mut list = self.list();
        list.push(request);
        LogPosition(list.len() - 1)
    }

    /// Notes how the request at `place` was answered, and tells the watcher.
    pub(crate) fn answered(
        &self,
        place: &LogPosition,
        mut request: RecordedRequest,
        status: Option<StatusCode>,
    ) {
        request.status = status;
        if let Some(kept) = self.list().get_mut(place.0) {
            kept.status = status;
        }
        if let Some(watcher) = unpoisoned(&self.0.watcher).as_ref() {
            watcher(&request);
        }
    }

    fn list(&self) -> MutexGuard<'_, Vec<RecordedRequest>> {
        unpoisoned(&self.0.list)
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lines()).finish()
    }
}

/// Where a request stands in the record.
pub(crate) struct LogPosition(usize);

/// Locks even where another test thread panicked: the record is only ever appended to.
pub(crate) fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether `secret` stands in `text`, as it is, percent-encoded, or inside a base64 word.
fn contains(text: &[u8], secret: &str) -> bool {
    let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    holds(text, secret.as_bytes())
        || holds(text, encoded.as_bytes())
        || text
            .split(|byte| !(byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte)))
            .filter_map(|word| {
                STANDARD
                    .decode(word)
                    .or_else(|_| URL_SAFE_NO_PAD.decode(word))
                    .ok()
            })
            .any(|decoded| holds(&decoded, secret.as_bytes()))
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, authorization: Option<&str>) -> RecordedRequest {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(http::header::AUTHORIZATION, value.parse().unwrap());
        }
        RecordedRequest {
            method: Method::GET,
            uri: target.parse().unwrap(),
            version: Version::HTTP_11,
            headers,
            body: Bytes::new(),
            complete: true,
            paused: false,
            connection: 0,
            status: None,
        }
    }

    #[test]
    fn a_secret_is_found_in_every_dress() {
        for (target, authorization, holds) in [
            ("/", Some("Basic dXNlcjpzZWNyZXQ="), true),
            ("/", Some("Bearer secret"), true),
            ("/?password=s%65cret", None, false),
            ("/?password=secret", None, true),
            ("/?password=other", Some("Basic dXNlcjpvdGhlcg=="), false),
        ] {
            assert_eq!(
                request(target, authorization).holds("secret"),
                holds,
                "{target}"
            );
        }
        assert!(request("/?p=a%20b", None).query().contains("a%20b"));
        assert!(request("/?p=a+b", None).holds("a b"));
    }

    #[test]
    fn a_cleared_record_takes_late_answers() {
        let requests = Requests::new();
        let place = requests.arrived(request("/", None));
        requests.clear();
        requests.answered(&place, request("/", None), Some(StatusCode::OK));
        assert!(requests.is_empty());
    }
}
