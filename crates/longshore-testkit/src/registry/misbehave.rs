//! Named ways in which a registry goes wrong.

use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LINK, LOCATION, RETRY_AFTER,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use longshore_model::Digest;
use longshore_proto::Refusal;
use longshore_proto::error_code::{ErrorBody, ErrorCode};

use super::Part;
use super::serving::is_write;
use crate::image::gzip_stored;
use crate::serve::Reading;
use crate::{BlobContent, Gate, RecordedRequest, ScriptedResponse, Valve};

/// One thing that goes wrong.
///
/// Each changes the answer the registry would have given, so several rules add up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// The answer has this header field in addition to existing fields of that name.
    AddHeader(HeaderName, HeaderValue),
    /// The registry sends this response before it reads the body of the request, and ignores the
    /// request otherwise.
    AnswerEarly(Box<ScriptedResponse>),
    /// The body is this, and `Content-Length` that of it; all else is said as of the right one.
    Body(BlobContent),
    /// `Content-Range` says this, where the answer has one.
    ContentRange(String),
    /// `Content-Type` says this.
    ContentType(String),
    /// The byte at this position of the body is another; the length stays.
    Corrupt(u64),
    /// The connection closes after this many bytes of the body, whose length is announced.
    CutAfter(u64),
    /// The connection closes after this many bytes of the request body. An upload session keeps
    /// these bytes.
    CutRequestAfter(u64),
    /// `Docker-Content-Digest` names this digest.
    DigestHeader(Digest),
    /// Every upload session ends after this request.
    ForgetUploads,
    /// The body comes in gzip and says so in `Content-Encoding`, whatever was accepted.
    Gzip,
    /// The connection closes without an answer.
    HangUp,
    /// The answer has this header field.
    Header(HeaderName, HeaderValue),
    /// The answer has this many additional header fields, with values of this many bytes.
    Headers(u16, usize),
    /// The whole answer waits for the gate.
    Hold(Gate),
    /// The body waits for the gate after this many bytes.
    HoldAfter(u64, Gate),
    /// The answer is whatever the function makes of the right one.
    Hook(Hook),
    /// A range is answered with 200 and everything.
    IgnoreRange,
    /// So many interim responses (103) come before the answer. HTTP/1.1 alone.
    Interim(usize),
    /// `Content-Length` has this value instead of the length of the body; see
    /// [`ScriptedResponse::claiming`].
    Length(u64),
    /// `Location` has this value, in which `{location}` stands for the correct value.
    Location(String),
    /// `Link` leads to this next page, in which `{n}` stands for how many there were before.
    NextPage(String),
    /// There is no `Docker-Content-Digest`.
    NoDigestHeader,
    /// The answer lacks this header field.
    NoHeader(HeaderName),
    /// There is no `Content-Length`; HTTP/1.1 sends chunks.
    NoLength,
    /// The body goes as far as the valve lets it.
    Pace(Valve),
    /// The registry reads the body of the request only as far as the valve allows.
    ///
    /// The socket buffers of both systems hold several megabytes that the registry has not read, so
    /// only a larger body becomes slow for the client.
    PaceRequest(Valve),
    /// 307 to this URL, in which `{path}` stands for the path of the request and `{n}` for how many
    /// there were before.
    Redirect(String),
    /// The registry sends this response instead of the correct one.
    Response(Box<ScriptedResponse>),
    /// Every token issued so far is refused after this request, with `invalid_token`.
    RevokeTokens,
    /// This status with this value of `Retry-After`: 429 and 503 are the ones that have it.
    RetryAfter(StatusCode, String),
    /// The answer is 403 with the text that GHCR uses for its secondary rate limit.
    SecondaryRateLimit,
    /// The registry reads this many bytes of the request body, and no more until the gate opens. An
    /// upload session keeps these bytes. About buffers, see [`PaceRequest`](Self::PaceRequest).
    StallRequestAfter(u64, Gate),
    /// This status, with an error body where the specification has a code for it.
    Status(StatusCode),
}

/// A function from the request and the right answer to the one sent.
#[derive(Clone)]
pub struct Hook(Arc<Change>);

type Change = dyn Fn(&RecordedRequest, ScriptedResponse) -> ScriptedResponse + Send + Sync;

impl Hook {
    /// A misbehaviour of the test's own.
    #[must_use]
    pub fn new<F>(hook: F) -> Self
    where
        F: Fn(&RecordedRequest, ScriptedResponse) -> ScriptedResponse + Send + Sync + 'static,
    {
        Self(Arc::new(hook))
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook(..)")
    }
}

impl Misbehaviour {
    /// Whether this affects how the body of the request is read.
    const fn is_of_request(&self) -> bool {
        matches!(
            self,
            Self::AnswerEarly(_)
                | Self::CutRequestAfter(_)
                | Self::PaceRequest(_)
                | Self::StallRequestAfter(..)
        )
    }

    /// The answer, after the misbehaviour has struck `struck` times before.
    pub(super) fn apply(
        &self,
        request: &RecordedRequest,
        struck: usize,
        answer: ScriptedResponse,
    ) -> ScriptedResponse {
        match self {
            Self::AddHeader(name, value) => answer.and_header(name.clone(), value.clone()),
            // The registry itself carries these out.
            Self::AnswerEarly(_)
            | Self::CutRequestAfter(_)
            | Self::ForgetUploads
            | Self::PaceRequest(_)
            | Self::RevokeTokens
            | Self::StallRequestAfter(..) => answer,
            Self::Location(value) => {
                let right = answer.headers.get(LOCATION).map(HeaderValue::as_bytes);
                let right = String::from_utf8_lossy(right.unwrap_or_default()).into_owned();
                answer.header(LOCATION, text(&value.replace("{location}", &right)))
            }
            Self::SecondaryRateLimit => {
                let body = ErrorBody::one(ErrorCode::Denied, SECONDARY_LIMIT);
                let refusal = Refusal::new(StatusCode::FORBIDDEN, body);
                refusal.write(&request.method).into()
            }
            Self::Body(content) => answer.without_header(&CONTENT_LENGTH).body(content.clone()),
            Self::ContentRange(value) if answer.headers.contains_key(CONTENT_RANGE) => {
                answer.header(CONTENT_RANGE, text(value))
            }
            Self::ContentType(value) => answer.header(CONTENT_TYPE, text(value)),
            Self::Corrupt(position) => corrupt(answer, *position),
            Self::CutAfter(bytes) => answer.cut_after(*bytes),
            Self::DigestHeader(digest) => answer.header(CONTENT_DIGEST, text(digest.as_str())),
            Self::Gzip => {
                let body = gzip_stored(&answer.part().bytes());
                answer
                    .without_header(&CONTENT_LENGTH)
                    .header(CONTENT_ENCODING, HeaderValue::from_static("gzip"))
                    .body(body)
            }
            Self::HangUp => ScriptedResponse::hang_up(),
            Self::Header(name, value) => answer.header(name.clone(), value.clone()),
            Self::Headers(count, length) => (0..*count).fold(answer, |answer, number| {
                // Names of digits are names: RFC 9110 §5.6.2.
                match HeaderName::try_from(number.to_string()) {
                    Ok(name) => answer.and_header(name, text(&"x".repeat(*length))),
                    Err(_) => answer,
                }
            }),
            Self::Hold(gate) => answer.hold(gate.clone()),
            Self::HoldAfter(bytes, gate) => answer.hold_after(*bytes, gate.clone()),
            Self::Hook(Hook(hook)) => hook(request, answer),
            Self::IgnoreRange if answer.headers.contains_key(CONTENT_RANGE) => answer
                .with_status(StatusCode::OK)
                .without_header(&CONTENT_RANGE)
                .without_header(&CONTENT_LENGTH)
                .unsliced(),
            Self::ContentRange(_) | Self::IgnoreRange => answer,
            Self::Interim(count) => answer.preceded_by(INTERIM.repeat(*count)),
            Self::Length(length) => answer.claiming(*length),
            Self::NextPage(target) => {
                let target = target.replace("{n}", &struck.to_string());
                answer.header(LINK, text(&format!("<{target}>; rel=\"next\"")))
            }
            Self::NoDigestHeader => answer.without_header(&CONTENT_DIGEST),
            Self::NoHeader(name) => answer.without_header(name),
            Self::NoLength => answer.unannounced(),
            Self::Pace(valve) => answer.paced(valve.clone()),
            Self::Redirect(url) => {
                let url = url.replace("{path}", request.path());
                let url = url.replace("{n}", &struck.to_string());
                ScriptedResponse::status(StatusCode::TEMPORARY_REDIRECT)
                    .header(LOCATION, text(&url))
            }
            Self::Response(instead) => (**instead).clone(),
            Self::RetryAfter(status, value) => {
                failure(*status, &request.method).header(RETRY_AFTER, text(value))
            }
            Self::Status(status) => failure(*status, &request.method),
        }
    }
}

/// When a misbehaviour strikes: on which requests, after how many, how often.
#[derive(Clone, Debug)]
pub struct Rule {
    part: Option<Part>,
    method: Option<Method>,
    writes: bool,
    path: String,
    skip: usize,
    times: usize,
    struck: usize,
    refused_too: bool,
    what: Misbehaviour,
}

impl Rule {
    /// On every request to one kind of endpoint that authentication lets through.
    #[must_use]
    pub fn on(part: Part, what: Misbehaviour) -> Self {
        Self {
            part: Some(part),
            ..Self::always(what)
        }
    }

    /// On every request that authentication lets through.
    #[must_use]
    pub fn always(what: Misbehaviour) -> Self {
        Self {
            part: None,
            method: None,
            writes: false,
            path: String::new(),
            skip: 0,
            times: usize::MAX,
            struck: 0,
            refused_too: false,
            what,
        }
    }

    /// Applies to every request that changes something and passes authentication.
    #[must_use]
    pub fn on_writes(what: Misbehaviour) -> Self {
        Self {
            writes: true,
            ..Self::always(what)
        }
    }

    /// Only on requests with this method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Only on requests whose path contains this text: a digest, a tag, a repository.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        part.clone_into(&mut self.path);
        self
    }

    /// Only after `count` requests that match have been spared.
    #[must_use]
    pub fn after(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    /// Only `count` times.
    #[must_use]
    pub fn times(mut self, count: usize) -> Self {
        self.times = count;
        self
    }

    /// Also on requests that authentication refuses.
    #[must_use]
    pub fn before_authentication(mut self) -> Self {
        self.refused_too = true;
        self
    }

    /// How often the rule has struck before, if it strikes now; counts the request if it is one of
    /// its own.
    fn strikes(&mut self, request: &RecordedRequest, allowed: bool) -> Option<usize> {
        let concerned = (allowed || self.refused_too)
            && (!self.writes || is_write(&request.method))
            && self.part.is_none_or(|part| part == Part::of(request))
            && self
                .method
                .as_ref()
                .is_none_or(|method| *method == request.method)
            && request.path().contains(&self.path);
        if !concerned || self.struck == self.times {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.struck += 1;
        Some(self.struck - 1)
    }
}

/// The rules in force, in the order they were given.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    pub(super) fn push(&mut self, rule: Rule) {
        self.0.push(rule);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The misbehaviours that apply to the answer, each with the number of earlier times.
    pub(super) fn strikes(
        &mut self,
        request: &RecordedRequest,
        allowed: bool,
    ) -> Vec<(Misbehaviour, usize)> {
        let rules = self.0.iter_mut().filter(|rule| !rule.what.is_of_request());
        rules
            .filter_map(|rule| {
                let struck = rule.strikes(request, allowed)?;
                Some((rule.what.clone(), struck))
            })
            .collect()
    }

    /// Changes how the body of a request is read. Returns an answer that is sent without reading
    /// the body, if there is one.
    pub(super) fn read(
        &mut self,
        request: &RecordedRequest,
        allowed: bool,
        reading: &mut Reading,
    ) -> Option<ScriptedResponse> {
        let mut early = None;
        for rule in self.0.iter_mut().filter(|rule| rule.what.is_of_request()) {
            if rule.strikes(request, allowed).is_none() {
                continue;
            }
            match &rule.what {
                Misbehaviour::AnswerEarly(answer) => early = Some((**answer).clone()),
                Misbehaviour::CutRequestAfter(bytes) => reading.cut = Some(*bytes),
                Misbehaviour::PaceRequest(valve) => reading.pace = Some(valve.clone()),
                Misbehaviour::StallRequestAfter(bytes, gate) => {
                    reading.stall = Some((*bytes, gate.clone()));
                }
                _ => {}
            }
        }
        early
    }
}

impl From<Vec<Rule>> for Rules {
    fn from(rules: Vec<Rule>) -> Self {
        Self(rules)
    }
}

fn corrupt(answer: ScriptedResponse, position: u64) -> ScriptedResponse {
    let mut body = BytesMut::from(answer.part().bytes().as_ref());
    if let Some(byte) = usize::try_from(position)
        .ok()
        .and_then(|position| body.get_mut(position))
    {
        *byte ^= 0x20;
    }
    answer.body(body.freeze())
}

fn failure(status: StatusCode, method: &Method) -> ScriptedResponse {
    let code = match status {
        StatusCode::UNAUTHORIZED => ErrorCode::Unauthorized,
        StatusCode::FORBIDDEN => ErrorCode::Denied,
        StatusCode::TOO_MANY_REQUESTS => ErrorCode::TooManyRequests,
        StatusCode::METHOD_NOT_ALLOWED => ErrorCode::Unsupported,
        _ => return ScriptedResponse::status(status),
    };
    let refusal = Refusal::new(status, ErrorBody::one(code, "as told"));
    refusal.write(method).into()
}

/// A value the test wrote; one that no header can carry is a mistake there.
#[track_caller]
fn text(value: &str) -> HeaderValue {
    match HeaderValue::from_str(value) {
        Ok(value) => value,
        Err(_) => panic!("not a header value: {value:?}"),
    }
}

/// The message of GHCR for its secondary rate limit, which GHCR sends with 403 and not with 429.
const SECONDARY_LIMIT: &str = "You have exceeded a secondary rate limit. \
    Please wait a few minutes before you try again.";

/// RFC 8297 §2.
const INTERIM: &str = "HTTP/1.1 103 Early Hints\r\nlink: </>; rel=preload\r\n\r\n";

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
