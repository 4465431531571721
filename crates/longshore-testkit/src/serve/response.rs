//! Scripted responses of a test server.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use longshore_proto::endpoint::{BlobBody, MultipartPiece};

use super::line::Line;
use super::outgoing::{Course, Outgoing};
use crate::content::BlobContent;
use crate::{Gate, Valve};

/// A response, and how it reaches the client: whole, cut short, held, or not at all.
#[derive(Clone, Debug)]
pub struct ScriptedResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    content: BlobContent,
    range: (u64, u64),
    announced: bool,
    claimed: Option<u64>,
    course: Course,
    first: Bytes,
    gate: Option<Gate>,
    delay: Duration,
    hang_up: bool,
}

impl ScriptedResponse {
    /// An answer with this status, no header fields of its own and no body.
    #[must_use]
    pub fn status(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            content: BlobContent::from(Bytes::new()),
            range: (0, 0),
            announced: true,
            claimed: None,
            course: Course::Whole,
            first: Bytes::new(),
            gate: None,
            delay: Duration::ZERO,
            hang_up: false,
        }
    }

    /// No answer: the connection closes.
    #[must_use]
    pub fn hang_up() -> Self {
        Self {
            hang_up: true,
            ..Self::status(StatusCode::OK)
        }
    }

    /// 200 with a JSON document.
    #[must_use]
    pub fn json(document: &serde_json::Value) -> Self {
        Self::status(StatusCode::OK)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(document.to_string())
    }

    /// Changes the status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Sets a header field, replacing one of that name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds a header field alongside existing fields of that name.
    #[must_use]
    pub fn and_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Removes a header field.
    #[must_use]
    pub fn without_header(mut self, name: &HeaderName) -> Self {
        self.headers.remove(name);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, content: impl Into<BlobContent>) -> Self {
        self.content = content.into();
        self.range = (0, self.content.length());
        self
    }

    /// Makes the response with the head of `response` and, as its body, the range of `content` that
    /// `response` names.
    pub(crate) fn of(response: Response<Range<u64>>, content: impl Into<BlobContent>) -> Self {
        let (head, bytes) = response.into_parts();
        let mut answer = Self::status(head.status).body(content);
        answer.headers = head.headers;
        answer.range = (bytes.start, bytes.end);
        answer
    }

    /// As [`of`](Self::of), for a blob, of which the response may name several ranges.
    pub(crate) fn of_blob(response: Response<BlobBody>, blob: BlobContent) -> Self {
        let (head, body) = response.into_parts();
        match body {
            BlobBody::Bytes(bytes) => Self::of(Response::from_parts(head, bytes), blob),
            BlobBody::Multipart(parts) => {
                let pieces = parts.map(|piece| match piece {
                    MultipartPiece::Delimiter(text) => BlobContent::from(text),
                    MultipartPiece::Content(range) => blob.cut(range),
                });
                let nothing = BlobContent::from(Bytes::new());
                let mut answer =
                    Self::status(head.status).body(pieces.fold(nothing, BlobContent::then));
                answer.headers = head.headers;
                answer
            }
        }
    }

    /// Sends the whole content instead of the range that [`of`](Self::of) selected.
    pub(crate) fn unsliced(mut self) -> Self {
        self.range = (0, self.content.length());
        self
    }

    /// Does not announce the length: HTTP/1.1 sends the body in chunks.
    #[must_use]
    pub fn unannounced(mut self) -> Self {
        self.announced = false;
        self.headers.remove(CONTENT_LENGTH);
        self
    }

    /// Announces this length instead of the length of the body.
    ///
    /// If it is larger, the connection closes at the end of the body. If it is smaller, only this
    /// many bytes of the body are sent.
    #[must_use]
    pub fn claiming(mut self, length: u64) -> Self {
        self.claimed = Some(length);
        self
    }

    /// Writes these bytes to the connection before the answer, for example interim responses. They
    /// need not be HTTP. For HTTP/1.1 only: on HTTP/2 they break the framing of the connection.
    #[must_use]
    pub fn preceded_by(mut self, bytes: impl Into<Bytes>) -> Self {
        self.first = bytes.into();
        self
    }

    /// Sends the body only as far as `valve` allows.
    #[must_use]
    pub fn paced(mut self, valve: Valve) -> Self {
        self.course = Course::Paced(valve);
        self
    }

    /// Closes the connection after exactly `bytes` of the body, whose whole length is announced.
    #[must_use]
    pub fn cut_after(mut self, bytes: u64) -> Self {
        self.course = Course::CutAfter(bytes);
        self
    }

    /// Sends `bytes` of the body and the rest once `gate` is open.
    #[must_use]
    pub fn hold_after(mut self, bytes: u64, gate: Gate) -> Self {
        self.course = Course::HoldAfter(bytes, gate);
        self
    }

    /// Holds the whole answer, head and body, until `gate` is open.
    #[must_use]
    pub fn hold(mut self, gate: Gate) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Waits this long before answering, in real time: for demonstrations. Tests hold a gate.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Waits until the answer may be sent.
    pub(super) async fn ready(&self) {
        if let Some(gate) = &self.gate {
            gate.passed().await;
        }
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
    }

    /// The part of the body that would be sent, in memory.
    pub(crate) fn part(&self) -> BlobContent {
        let (from, end) = self.range;
        if (from, end) == (0, self.content.length()) {
            return self.content.clone();
        }
        let cut = |at| usize::try_from(at).unwrap_or(usize::MAX);
        BlobContent::from(self.content.bytes().slice(cut(from)..cut(end)))
    }

    /// The response. Its header states the length even where `HEAD` sends no body. `None` when the
    /// connection is closed instead.
    pub(super) fn into_response(
        mut self,
        method: &Method,
        line: Line,
    ) -> Option<Response<Outgoing>> {
        if self.hang_up {
            return None;
        }
        let (from, end) = self.range;
        let bodiless =
            self.status == StatusCode::NO_CONTENT || self.status == StatusCode::NOT_MODIFIED;
        if self.announced && !bodiless && !self.headers.contains_key(CONTENT_LENGTH) {
            self.headers
                .insert(CONTENT_LENGTH, HeaderValue::from(end - from));
        }
        if let Some(claimed) = self.claimed.filter(|_| !bodiless) {
            self.headers
                .insert(CONTENT_LENGTH, HeaderValue::from(claimed));
            if claimed > end - from && matches!(self.course, Course::Whole) {
                self.course = Course::CutAfter(end - from);
            }
            // hyper would notice the wrong length and panic.
            self.announced = method == Method::HEAD;
        }
        if bodiless || method == Method::HEAD {
            self.content = BlobContent::from(Bytes::new());
            self.range = (0, 0);
            self.course = Course::Whole;
        }
        if !self.first.is_empty() {
            line.say_first(self.first);
        }
        let body = Outgoing::new(self.content, self.range, self.announced, self.course, line);
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        Some(response)
    }
}

impl<B: Into<Bytes>> From<Response<B>> for ScriptedResponse {
    fn from(response: Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        let mut answer = Self::status(parts.status).body(body.into());
        answer.headers = parts.headers;
        answer
    }
}
