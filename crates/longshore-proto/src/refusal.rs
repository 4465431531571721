//! Error answers, as a client reads them and as a server writes them.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, response};

use crate::error_code::{ErrorBody, ErrorCode};
use crate::field;
use crate::retry::{RETRY_AFTER_LIMIT, allows_retry_after, retry_after};

/// An error answer: the status, and what the registry says about it.
///
/// ```
/// use http::{Method, StatusCode};
/// use longshore_proto::Refusal;
/// use longshore_proto::error_code::{ErrorBody, ErrorCode};
///
/// let body = ErrorBody::one(ErrorCode::ManifestUnknown, "manifest unknown");
/// let refusal = Refusal::new(StatusCode::NOT_FOUND, body);
/// let (head, body) = refusal.write(&Method::GET).into_parts();
/// assert_eq!(head.headers["content-type"], "application/json");
/// assert_eq!(Refusal::read(&head, &body, false), refusal);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// What the body says.
    pub body: ErrorBody,
    /// How long the registry asks to wait (RT3).
    pub retry_after: Option<Duration>,
    /// Whether the status means, on this host, that the thing asked for is not there.
    pub absent: bool,
    /// `Allow`: the methods that the endpoint has.
    pub allow: Vec<Method>,
    /// `WWW-Authenticate`, as sent: how to authenticate.
    pub challenges: Vec<HeaderValue>,
}

impl Refusal {
    /// A refusal with this status and body. A body without entries is not sent.
    #[must_use]
    pub const fn new(status: StatusCode, body: ErrorBody) -> Self {
        Self {
            status,
            body,
            retry_after: None,
            absent: false,
            allow: Vec::new(),
            challenges: Vec::new(),
        }
    }

    /// Asks the client to wait, in whole seconds, rounded up. A 429, a 503 and a 504 can ask for
    /// it; another status stays as it is. RT3: clients read `Retry-After` of a 429 or 503 only.
    /// With a 504 it tells other clients and operators when the gateway will have the answer.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        let partial = u64::from(wait.subsec_nanos() > 0);
        let seconds = wait.as_secs().saturating_add(partial);
        let wait = Duration::from_secs(seconds).min(RETRY_AFTER_LIMIT);
        let may_ask = allows_retry_after(self.status) || self.status == StatusCode::GATEWAY_TIMEOUT;
        self.retry_after = may_ask.then_some(wait);
        self
    }

    /// Names the methods that the endpoint has, as a 405 must (RFC 9110 §15.5.6).
    #[must_use]
    pub fn with_allow(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.allow = methods.into_iter().collect();
        self
    }

    /// Adds a challenge, which a 401 must have (RFC 9110 §15.5.2).
    #[must_use]
    pub fn with_challenge(mut self, challenge: HeaderValue) -> Self {
        self.challenges.push(challenge);
        self
    }

    /// Reads an error answer, with the beginning of its body.
    #[must_use]
    pub fn read(head: &response::Parts, body: &[u8], absent: bool) -> Self {
        let challenges = head.headers.get_all(header::WWW_AUTHENTICATE);
        let body = ErrorBody::parse(body);
        let status = if is_rate_limit(head.status, &body) {
            StatusCode::TOO_MANY_REQUESTS
        } else {
            head.status
        };
        Self {
            status: head.status,
            body,
            retry_after: retry_after(status, &head.headers),
            absent,
            allow: read_allow(&head.headers),
            challenges: challenges.iter().cloned().collect(),
        }
    }

    /// Writes the answer to a request with this method: to `HEAD` with the length of the body but
    /// without the body (RFC 9110 §9.3.2).
    #[must_use]
    pub fn write(&self, method: &Method) -> Response<Bytes> {
        let mut headers = HeaderMap::new();
        let body = match self.body.entries.as_slice() {
            [] => Bytes::new(),
            _ => {
                let json = HeaderValue::from_static("application/json");
                headers.insert(header::CONTENT_TYPE, json);
                self.body.to_bytes()
            }
        };
        if !self.allow.is_empty() || self.status == StatusCode::METHOD_NOT_ALLOWED {
            // Without a method the list is empty: the endpoint has none (RFC 9110 §10.2.1).
            let methods: Vec<_> = self.allow.iter().map(Method::as_str).collect();
            field::put(&mut headers, header::ALLOW, Some(&methods.join(", ")));
        }
        for challenge in &self.challenges {
            headers.append(header::WWW_AUTHENTICATE, challenge.clone());
        }
        let seconds = self.retry_after.map(|wait| wait.as_secs());
        field::put(&mut headers, header::RETRY_AFTER, seconds.as_ref());
        field::document(method, (self.status, headers), body)
    }

    /// Whether this is a 401 without a challenge, which RFC 9110 §15.5.2 does not allow. Old
    /// versions of Harbor answer like this for paths that they do not know.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED && self.challenges.is_empty()
    }

    /// What the registry means, status first: codes are too often wrong (quirks of Harbor and
    /// registry.redhat.io).
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        match self.status.as_u16() {
            _ if self.absent => RefusalKind::Absent,
            401 => RefusalKind::Unauthorized,
            _ if is_rate_limit(self.status, &self.body) => RefusalKind::RateLimited,
            403 => RefusalKind::Denied,
            404 => RefusalKind::Absent,
            405 | 501 => RefusalKind::Unsupported,
            400 if self.body.names(&ErrorCode::Unsupported) => RefusalKind::Unsupported,
            500..=599 | 408 => RefusalKind::Unavailable,
            _ => RefusalKind::Other,
        }
    }
}

/// Whether an answer is a rate limit: a 429, or a 403 whose body says so (RT2).
pub(crate) fn is_rate_limit(status: StatusCode, body: &ErrorBody) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::FORBIDDEN && body.says_rate_limit()
}

/// The methods of the `Allow` fields, without malformed entries (RFC 9110 §10.2.1).
fn read_allow(headers: &HeaderMap) -> Vec<Method> {
    let fields = headers.get_all(header::ALLOW).iter();
    let names = fields.flat_map(|field| field.as_bytes().split(|&byte| byte == b','));
    names
        .filter_map(|name| Method::from_bytes(name.trim_ascii()).ok())
        .collect()
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status.as_u16())?;
        let body = self.body.to_string();
        if body.is_empty() {
            Ok(())
        } else {
            write!(f, ", {body}")
        }
    }
}

impl std::error::Error for Refusal {}

/// What a refusal means to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The thing asked for does not exist.
    Absent,
    /// Access is denied.
    Denied,
    /// Something else.
    Other,
    /// Too many requests.
    RateLimited,
    /// Credentials are required.
    Unauthorized,
    /// The registry cannot answer now.
    Unavailable,
    /// The registry does not support this.
    Unsupported,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
        let value = response.headers().get(name)?;
        Some(value.to_str().unwrap())
    }

    fn body() -> ErrorBody {
        ErrorBody::one(ErrorCode::TooManyRequests, "slow down")
    }

    #[test]
    fn a_refusal_is_an_error_document() {
        let refusal = Refusal::new(StatusCode::NOT_FOUND, body());
        let response = refusal.write(&Method::GET);
        let json = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.body(), json.as_bytes());
        assert_eq!(header(&response, "content-type"), Some("application/json"));
        let length = json.len().to_string();
        assert_eq!(header(&response, "content-length"), Some(length.as_str()));
        let head = refusal.write(&Method::HEAD);
        assert_eq!(head.headers(), response.headers());
        assert_eq!(head.body(), "");
    }

    #[test]
    fn a_refusal_without_entries_has_no_body() {
        let response = Refusal::new(StatusCode::BAD_GATEWAY, ErrorBody::default());
        let response = response.write(&Method::GET);
        assert_eq!(header(&response, "content-length"), Some("0"));
        assert_eq!(header(&response, "content-type"), None);
        assert_eq!(header(&response, "allow"), None);
    }

    #[test]
    fn rt3_a_wait_is_written_in_whole_seconds() {
        for (status, milliseconds, written) in [
            (429, 7000, Some("7")),
            (503, 1, Some("1")),
            (429, 0, Some("0")),
            (503, u64::MAX, Some("1000000000")),
            (504, 7000, Some("7")),
            (500, 7000, None),
        ] {
            let refusal = Refusal::new(StatusCode::from_u16(status).unwrap(), body());
            let refusal = refusal.with_retry_after(Duration::from_millis(milliseconds));
            let response = refusal.write(&Method::GET);
            assert_eq!(header(&response, "retry-after"), written, "{status}");
            // A client honours it in the answers that RT3 names only.
            let (head, body) = response.into_parts();
            let read = Refusal::read(&head, &body, false).retry_after;
            assert_eq!(
                read,
                refusal.retry_after.filter(|_| status != 504),
                "{status}"
            );
        }
    }

    #[test]
    fn a_401_without_a_challenge_is_silent() {
        let refusal = Refusal::new(StatusCode::UNAUTHORIZED, body());
        assert!(refusal.is_silent());
        let challenge = HeaderValue::from_static("Basic realm=\"r\"");
        let refusal = refusal.with_challenge(challenge);
        assert!(!refusal.is_silent());
        let response = refusal.write(&Method::GET);
        let written = header(&response, "www-authenticate");
        assert_eq!(written, Some("Basic realm=\"r\""));
        assert!(!Refusal::new(StatusCode::FORBIDDEN, body()).is_silent());
    }

    #[test]
    fn what_is_no_method_is_left_out_of_allow() {
        let mut headers = HeaderMap::new();
        for field in ["GET ,, HEAD", "", "no method", "PUT"] {
            headers.append(header::ALLOW, HeaderValue::from_static(field));
        }
        let allow = [Method::GET, Method::HEAD, Method::PUT];
        assert_eq!(read_allow(&headers), allow);
    }
}
