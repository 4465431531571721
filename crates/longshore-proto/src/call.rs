//! One request until its final answer: attempts, hops, waits and mirrors.
//!
//! A [`Call`] is given the heads and failures that arrive and says what to do next. It knows
//! neither secrets nor sockets; the driver asks the authenticator before it sends.
//!
//! ```text
//!              start
//!                │
//!                ▼            401, 403 insufficient_scope ─► Authenticate (send again, or denied)
//!   Wait ──► Send (host, hop) ── 301 302 303 307 308 ──────► Send (hop followed, RD1 RD2 RD3)
//!     ▲          │    │
//!     │          │    ├── 408 429 500 502 503 504, or a transient failure, attempts left
//!     └──────────┼────┘                                      (RT1–RT3; repeatable requests, RT4)
//!                │    ├── a stale connection, once ────────► Send (RT5; repeatable requests)
//!                │    ├── HEAD, and no answer to its question ─► Send (GET, DG2)
//!                │    ├── 400 403, and 401 without a challenge ─► Excerpt, then on_refusal
//!                │    │     ├── the token expired, once ───────► Renew (send again, or denied)
//!                │    │     └── a rate limit ──────────────────► Wait, as for 429 (RT2)
//!                │    └── refused, absent or failed, and another host is left ─► Send (next host)
//!                ▼
//!        Answer (2xx, 304, 4xx, 5xx of the last host), or Fail
//! ```
//!
//! A request that only reads goes to the mirrors first. A request that writes goes to the registry
//! itself, which is the last host. A call that begins at a [`Place`] goes to the host of that
//! place. A write and a call that begins at a place try no other host.
//!
//! Some registries do not support `HEAD`, or redirect it to a store whose URLs are signed for
//! `GET`. If the answer to `HEAD` does not contain the requested fact, the same host gets a `GET`
//! (DG2). A 404 of the registry itself is an answer.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header, response};
use longshore_model::RepositoryName;
use longshore_origin::{AddressClass, Hop, HopError, Origin, Peer};

use crate::endpoint::{Access, AnswerBody, Endpoint, Need, Patience, Repeatable, RequestHead};
use crate::error_code::ErrorBody;
use crate::refusal::is_rate_limit;
use crate::retry::{Jitter, RetryPolicy, backoff, is_retryable, retry_after};
use crate::{HeadBlob, HeadManifest, Host, field};

/// What an operation wants to know or do, before any host is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ask {
    /// The request.
    pub endpoint: Endpoint,
    /// What is to be done with the body of a successful answer. A `HEAD` has none, unless `GET` is
    /// sent in its place.
    pub take: Take,
    /// The body of the request; `None` sends none.
    pub body: Option<BodyName>,
    /// Whether the request may be sent again after a failure (RT4). An operation whose body
    /// cannot be opened twice sets this to [`Repeatable::Never`].
    pub repeatable: Repeatable,
    /// Where the request goes; `None` is the path of the endpoint, on the first host that serves
    /// it.
    pub from: Option<Place>,
    /// Do not send before this much time has passed.
    pub delay: Duration,
    /// Whether the body of the request or of its answer is expected to be large.
    pub bulk: bool,
    /// Whether the request requires a new connection, because an earlier request of the operation
    /// was lost on a reused one. If a lost request may be repeated, the call itself repeats it on a
    /// new connection (RT5).
    pub fresh: bool,
    /// Whether to request push access although this request only reads: the same token then serves
    /// the writes that follow.
    pub pushes: bool,
    /// The repository to request read access for, when the endpoint itself names no repository.
    pub behalf: Option<RepositoryName>,
}

impl Ask {
    /// Makes an ask that is sent at once and without a body, and whose answer has ordinary size.
    #[must_use]
    pub fn new(endpoint: Endpoint, take: Take) -> Self {
        Self {
            repeatable: endpoint.repeatable(),
            endpoint,
            take,
            body: None,
            from: None,
            delay: Duration::ZERO,
            bulk: false,
            fresh: false,
            pushes: false,
            behalf: None,
        }
    }

    /// What the request needs at this host.
    fn needs(&self, host: &Host) -> Vec<Need> {
        let mut needs = match &self.behalf {
            Some(name) => vec![Need::new(host, name, Access::Pull)],
            None => self.endpoint.needs(host),
        };
        if self.pushes
            && let [Need::Repository { access, .. }] = needs.as_mut_slice()
            && *access == Access::Pull
        {
            *access = Access::Push;
        }
        needs
    }

    /// Whether only one host may get this request.
    fn is_pinned(&self) -> bool {
        self.from.is_some() || !self.endpoint.is_read()
    }
}

/// The part of the content that is the body of a request. An operation names this part and does not
/// hold its bytes: the driver opens it again each time it sends the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a part of some content has a beginning and a length"
)]
pub struct BodyName {
    /// The position of the first byte in the content of the operation.
    pub offset: u64,
    /// How many bytes; `None` is everything up to the end, of unknown length.
    pub length: Option<u64>,
}

/// A URL that an answer came from or named, and the host that the URL belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    hop: Box<Hop>,
    /// The position of the host in the list that the call was started with.
    host: usize,
}

impl Place {
    /// Resolves the `Location` of an answer from this place, for example to the session of an
    /// upload (RD4: a location on another origin gets no secret).
    ///
    /// `peer` is what the transport reported of the connection the answer came over.
    ///
    /// # Errors
    ///
    /// [`HopError`] when the location is not a usable URL, or must not be followed (RD2, RD7).
    pub fn follow(&self, location: &[u8], peer: Peer) -> Result<Self, HopError> {
        Ok(Self {
            hop: Box::new(self.hop.follow(location, peer)?),
            host: self.host,
        })
    }

    /// Restores the place of an earlier run from its URL and its [`floor`](Hop::floor). `host` is
    /// the registry itself, and `position` its position in the list that calls are started with.
    ///
    /// # Errors
    ///
    /// [`HopError`] when the URL is not usable, or must not be followed from the registry (RD2).
    pub fn revisit(
        host: &Host,
        position: usize,
        url: &str,
        floor: Option<AddressClass>,
    ) -> Result<Self, HopError> {
        let first = Hop::first(host.origin().clone(), "/")?.allowing(host.allowed().clone());
        Ok(Self {
            hop: Box::new(first.revisit(url.as_bytes(), floor)?),
            host: position,
        })
    }

    /// The URL, and how far it is trusted.
    #[must_use]
    pub fn hop(&self) -> &Hop {
        &self.hop
    }
}

/// What the driver does with the body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Take {
    /// Collect it; more than this many bytes is an error (LI1).
    Document {
        /// The limit in bytes.
        limit: u64,
    },
    /// Collect its beginning: an error body, of which the rest is dropped.
    Excerpt,
    /// There is no body, or it is not needed.
    Nothing,
    /// Hand it on as it arrives.
    Stream,
}

/// The numbers a call keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallPolicy {
    /// How often and how patiently a request is repeated.
    pub retry: RetryPolicy,
    /// Maximum number of redirects in a row (RD1). Default 5. A request that writes follows at most
    /// [`WRITE_REDIRECTS`].
    pub redirects: u32,
    /// How long to wait for the head of an answer. Default 30 s.
    pub head: Duration,
    /// Time limit for the head of an answer before which the registry may move a whole blob
    /// ([`Patience::WholeBlob`]). Default 300 s.
    pub whole_blob_head: Duration,
}

impl Default for CallPolicy {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            redirects: 5,
            head: Duration::from_secs(30),
            whole_blob_head: Duration::from_secs(300),
        }
    }
}

/// Maximum number of redirects in a row for a request that writes (RD3).
pub const WRITE_REDIRECTS: u32 = 2;

/// What to do next.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle every step")]
pub enum Step {
    /// The call is over.
    Fail(CallError),
    /// Send this, and report what comes of it.
    Send(Box<Sending>),
    /// Wait this long, then ask [`Call::waited`].
    Wait(Duration),
}

/// One request to one host, ready but for the secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sending {
    /// Where it goes and how far that place is trusted.
    pub hop: Hop,
    /// The method.
    pub method: Method,
    /// The headers; never a secret among them.
    pub headers: HeaderMap,
    /// The access that the request needs; the access to its main subject comes first.
    pub needs: Vec<Need>,
    /// The body to open.
    pub body: Option<BodyName>,
    /// How long to wait for the head of the answer.
    pub head_timeout: Duration,
    /// Whether the body of the request or of its answer is expected to be large.
    pub bulk: bool,
    /// Whether the request requires a new connection (RT5).
    pub fresh: bool,
}

/// What the head of an answer means.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a driver must handle every verdict"
)]
pub enum Verdict {
    /// The final answer, success or not, and what to do with its body.
    Answer(Take),
    /// Ask the authenticator; if it has something new, send the same again, else ask
    /// [`Call::denied`].
    Authenticate,
    /// Collect the beginning of the body as for [`Take::Excerpt`], and ask [`Call::on_refusal`].
    Excerpt,
    /// Not final.
    Next(Step),
    /// The registry says that the token expired (CR7). Tell the authenticator; if it has something
    /// new, send the same again. If the request carried none of its tokens, ask
    /// [`Call::on_refusal`] once more; if the authenticator has nothing new, ask [`Call::denied`].
    Renew,
}

/// Why a request got no usable answer, in the classes that a call tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a call tells these three apart")]
pub enum FailureClass {
    /// Another attempt cannot help: a certificate, a refused address, a proxy that wants a
    /// password.
    Fatal,
    /// A connection that had served an earlier request closed before any byte of an answer.
    Stale,
    /// Another attempt may help.
    Transient,
}

/// Why a call ended without an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The transport failed each time; the last failure is the driver's to tell.
    #[error("no answer after {attempts} {}", if *.attempts == 1 { "attempt" } else { "attempts" })]
    Failed {
        /// How often the request was sent to the last host.
        attempts: u32,
    },
    /// A request cannot be written for this host.
    #[error("the request cannot be addressed")]
    Hop(#[source] HopError),
    /// A redirect says nowhere to go, or says it twice (RD7).
    #[error("status {status} without one Location header")]
    Location {
        /// The status of the redirect.
        status: u16,
    },
    /// A redirect of a request that writes leads to another origin (RD3).
    #[error("a request that writes is redirected to {to}, which is not followed")]
    ForeignWrite {
        /// The origin it leads to.
        to: Origin,
    },
    /// A redirect of a request that deletes leads to something else than it names: to another
    /// repository, tag or digest (RD3).
    #[error("a request that deletes is redirected to other content, which is not followed")]
    OtherDeleted,
    /// A redirect leads to a forbidden place (RD1, RD2).
    #[error("a redirect was refused")]
    Redirect(#[source] HopError),
    /// Too many redirects in a row (RD1).
    #[error("more than {limit} redirects in a row")]
    Redirects {
        /// The limit.
        limit: u32,
    },
    /// A redirect that would change the method of a request that writes (RD3).
    #[error("a request that writes is redirected by status {status}, which is not followed")]
    WriteRedirect {
        /// The status of the redirect; only 307 and 308 keep method and body.
        status: u16,
    },
}

/// What is known about a call that has ended with an answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ended {
    /// The endpoint that was requested; a `GET` if it replaced a `HEAD`.
    pub endpoint: Endpoint,
    /// Where the answer came from.
    pub place: Option<Place>,
    /// What the transport reported of the connection it came over.
    pub peer: Peer,
    /// How often the request was sent to the host that answered.
    pub attempts: u32,
}

/// One [`Ask`] until its final answer.
#[derive(Clone, Debug)]
pub struct Call {
    ask: Ask,
    hosts: Arc<[Host]>,
    policy: CallPolicy,
    /// Which of the hosts is being asked.
    at: usize,
    hop: Option<Hop>,
    /// Who the last answer came from.
    peer: Peer,
    attempts: u32,
    redirects: u32,
    waited: Duration,
    /// How long the call has waited for rate limit windows to end.
    quota_waited: Duration,
    /// The one extra attempt after a stale connection (RT5) was used.
    spent: bool,
    /// The `GET` that replaces a `HEAD` without a usable answer at this host (DG2).
    get: Option<Endpoint>,
    /// Whether the request that was sent last carried a secret.
    authorized: bool,
    /// Whether a token was already discarded because the registry reported it as expired, or
    /// refused it for `HEAD` (CR7).
    renewed: bool,
}

impl Call {
    /// Begins a call. A request that reads goes to the first of these hosts, and in turn to the
    /// others when it cannot serve. The last one is the registry itself, and gets all writes.
    #[must_use]
    pub fn start(ask: Ask, hosts: Arc<[Host]>, policy: CallPolicy) -> (Self, Step) {
        let delay = ask.delay;
        let at = match &ask.from {
            Some(place) => place.host,
            None if ask.endpoint.is_read() => 0,
            None => hosts.len().saturating_sub(1),
        };
        let mut call = Self {
            ask,
            hosts,
            policy,
            at,
            hop: None,
            peer: Peer::default(),
            attempts: 0,
            redirects: 0,
            waited: Duration::ZERO,
            quota_waited: Duration::ZERO,
            spent: false,
            get: None,
            authorized: false,
            renewed: false,
        };
        call.meet_host();
        let step = if delay.is_zero() {
            call.waited()
        } else {
            Step::Wait(delay)
        };
        (call, step)
    }

    /// The wait is over.
    pub fn waited(&mut self) -> Step {
        self.attempts += 1;
        self.first_hop()
    }

    /// The head of an answer arrived, from this peer.
    pub fn on_head(&mut self, head: &response::Parts, peer: Peer, jitter: Jitter) -> Verdict {
        self.peer = peer;
        let status = head.status;
        // RT8: renew the token for HEAD if the registry blames the token.
        let blamed = names_error(head, b"invalid_token") || names_error(head, INSUFFICIENT_SCOPE);
        if self.is_head() && self.authorized && blamed && !self.renewed {
            self.renewed = true;
            return Verdict::Authenticate;
        }
        let unanswered = self.is_unanswered(head);
        if !unanswered && (status == StatusCode::UNAUTHORIZED || lacks_scope(head)) {
            let challenged = head.headers.contains_key(header::WWW_AUTHENTICATE);
            if self.authorized && !challenged {
                return Verdict::Excerpt;
            }
            if !self.is_foreign_place() {
                return Verdict::Authenticate;
            }
        }
        if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Verdict::Next(self.follow(head, peer));
        }
        if is_retryable(status)
            && let Some(step) = self.repeat(status, retry_after(status, &head.headers), jitter)
        {
            return Verdict::Next(step);
        }
        if unanswered && let Some(step) = self.send_get() {
            return Verdict::Next(step);
        }
        let may_say_more =
            status == StatusCode::FORBIDDEN || status == StatusCode::BAD_REQUEST && self.authorized;
        if may_say_more && !self.is_head() {
            return Verdict::Excerpt;
        }
        self.settle(status)
    }

    /// The beginning of the body of a refusal arrived: it may say that the token expired, or that a
    /// 403 is a rate limit (CR7, RT2).
    pub fn on_refusal(
        &mut self,
        head: &response::Parts,
        excerpt: &[u8],
        jitter: Jitter,
    ) -> Verdict {
        let body = ErrorBody::parse(excerpt);
        if self.authorized && !self.renewed && body.says_token_expired() {
            self.renewed = true;
            return Verdict::Renew;
        }
        if is_rate_limit(head.status, &body) {
            let status = StatusCode::TOO_MANY_REQUESTS;
            let asked = retry_after(status, &head.headers);
            if let Some(step) = self.repeat(status, asked, jitter) {
                return Verdict::Next(step);
            }
        }
        match head.status {
            StatusCode::UNAUTHORIZED => Verdict::Authenticate,
            status => self.settle(status),
        }
    }

    /// Says whether the request that is about to be sent carries a secret.
    pub const fn sends_secret(&mut self, is_authorized: bool) {
        self.authorized = is_authorized;
    }

    /// No answer, or not the whole of a document, arrived.
    pub fn on_error(&mut self, failure: FailureClass, jitter: Jitter) -> Step {
        if failure == FailureClass::Stale && !self.spent && self.is_repeatable() {
            self.spent = true;
            return self.first_hop();
        }
        if failure != FailureClass::Fatal
            && self.is_repeatable()
            && let Some(step) = self.again(None, jitter)
        {
            return step;
        }
        let attempts = self.attempts;
        let get = if failure != FailureClass::Fatal && self.is_away() {
            self.send_get()
        } else {
            None
        };
        get.or_else(|| self.next_host())
            .unwrap_or(Step::Fail(CallError::Failed { attempts }))
    }

    /// The authenticator has nothing more to say to this host; gives the next one, if any.
    pub fn denied(&mut self) -> Option<Step> {
        self.next_host()
    }

    /// Ends the call and returns what is known about it, including the endpoint that was requested.
    #[must_use]
    pub fn end(self) -> Ended {
        Ended {
            endpoint: self.get.unwrap_or(self.ask.endpoint),
            place: self.hop.map(|hop| Place {
                hop: Box::new(hop),
                host: self.at,
            }),
            peer: self.peer,
            attempts: self.attempts,
        }
    }

    /// How often the request was sent to the host that is being asked.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The position of the host that is being asked, from 0. A call never returns to an earlier
    /// host.
    ///
    /// What an authenticator remembers about one host does not apply to the next.
    #[must_use]
    pub const fn asked(&self) -> usize {
        self.at
    }

    /// Whether this status means, on the host that is being asked, that the thing is not there.
    #[must_use]
    pub fn is_absent(&self, status: StatusCode) -> bool {
        self.host()
            .is_some_and(|host| host.quirks().absent.includes(status))
    }

    fn host(&self) -> Option<&Host> {
        self.hosts.get(self.at)
    }

    /// Whether the call began at a place on another origin than its registry (RD4: no secret goes
    /// there, and a 401 from there is final).
    fn is_foreign_place(&self) -> bool {
        let from = self.ask.from.as_ref();
        from.is_some_and(|place| !place.hop().is_home())
    }

    /// The endpoint that is requested from this host.
    fn endpoint(&self) -> &Endpoint {
        self.get.as_ref().unwrap_or(&self.ask.endpoint)
    }

    fn is_head(&self) -> bool {
        self.endpoint().answer_body() == AnswerBody::Never
    }

    /// Whether a redirect has led away from the registry's origin.
    fn is_away(&self) -> bool {
        self.hop.as_ref().is_some_and(|hop| !hop.is_home())
    }

    /// Whether the answer to a `HEAD` does not contain the requested fact (DG2).
    ///
    /// Behind a redirect no failure says anything about the content: the target may be signed for
    /// `GET`.
    fn is_unanswered(&self, head: &response::Parts) -> bool {
        let status = head.status;
        if !self.is_head() || status == StatusCode::TOO_MANY_REQUESTS {
            return false;
        }
        if (self.redirects > 0 || self.is_away()) && !status.is_success() {
            return true;
        }
        let limit = match self.ask.take {
            Take::Document { limit } => limit,
            _ => u64::MAX,
        };
        let is_too_long = field::length(&head.headers).is_some_and(|length| length > limit);
        match status.as_u16() {
            // Without a challenge there is no way to authenticate.
            401 => self.authorized || !head.headers.contains_key(header::WWW_AUTHENTICATE),
            404 | 410 => false,
            _ if is_retryable(status) || self.is_absent(status) => false,
            _ => is_too_long || !self.endpoint().is_answered_by(head),
        }
    }

    /// Sends `GET` instead of `HEAD` to this host.
    fn send_get(&mut self) -> Option<Step> {
        self.get = Some(self.endpoint().with_get()?);
        self.attempts = 1;
        Some(self.first_hop())
    }

    fn is_repeatable(&self) -> bool {
        self.ask.repeatable == Repeatable::Always
    }

    /// What to do with the body of a final answer.
    fn take(&self, status: StatusCode) -> Take {
        match (self.endpoint().answer_body(), status.is_success()) {
            (AnswerBody::Never, _) | (AnswerBody::Errors, true) => Take::Nothing,
            (AnswerBody::Content, true) => self.ask.take,
            (AnswerBody::Content | AnswerBody::Errors, false) => Take::Excerpt,
        }
    }

    fn write(&self, host: &Host) -> RequestHead {
        match &self.ask.from {
            Some(place) => {
                let location = place.hop.path_and_query();
                self.endpoint().write_at(host, location)
            }
            None => self.endpoint().write(host),
        }
    }

    fn first_hop(&mut self) -> Step {
        self.redirects = 0;
        let Some(host) = self.host() else {
            return Step::Fail(CallError::Failed { attempts: 0 });
        };
        let head = self.write(host);
        let hop = match &self.ask.from {
            Some(place) => place.hop.with_path_and_query(&head.path_and_query),
            None => Hop::first(host.origin().clone(), &head.path_and_query)
                .map(|hop| hop.allowing(host.allowed().clone())),
        };
        match hop {
            Ok(hop) => self.send(hop, head),
            Err(error) => Step::Fail(CallError::Hop(error)),
        }
    }

    /// RD1: the headers of each hop are those of the endpoint, built anew.
    fn follow(&mut self, head: &response::Parts, peer: Peer) -> Step {
        match self.next_hop(head, peer) {
            Ok((hop, head)) => {
                self.redirects += 1;
                self.send(hop, head)
            }
            Err(error) => Step::Fail(error),
        }
    }

    /// The target of a redirect (RD1–RD3), and the head of the request to it.
    fn next_hop(
        &self,
        head: &response::Parts,
        peer: Peer,
    ) -> Result<(Hop, RequestHead), CallError> {
        let (Some(hop), Some(host)) = (&self.hop, self.host()) else {
            let attempts = self.attempts;
            return Err(CallError::Failed { attempts });
        };
        let request = self.write(host);
        let writes = !matches!(request.method, Method::GET | Method::HEAD);
        let status = head.status.as_u16();
        if writes && !matches!(status, 307 | 308) {
            return Err(CallError::WriteRedirect { status });
        }
        let limit = if writes {
            self.policy.redirects.min(WRITE_REDIRECTS)
        } else {
            self.policy.redirects
        };
        if self.redirects >= limit {
            return Err(CallError::Redirects { limit });
        }
        let mut locations = head.headers.get_all(header::LOCATION).iter();
        let (Some(location), None) = (locations.next(), locations.next()) else {
            return Err(CallError::Location { status });
        };
        let next = hop.follow(location.as_bytes(), peer);
        let next = next.map_err(CallError::Redirect)?;
        if writes && next.origin() != hop.origin() {
            let to = next.origin().clone();
            return Err(CallError::ForeignWrite { to });
        }
        if request.method == Method::DELETE && !names_the_same(&request, next.path_and_query()) {
            return Err(CallError::OtherDeleted);
        }
        Ok((next, request))
    }

    fn send(&mut self, hop: Hop, head: RequestHead) -> Step {
        self.hop = Some(hop.clone());
        self.authorized = false;
        Step::Send(Box::new(Sending {
            hop,
            method: head.method,
            headers: head.headers,
            needs: self
                .host()
                .map_or_else(Vec::new, |host| self.ask.needs(host)),
            body: self.ask.body,
            head_timeout: match self.endpoint().patience() {
                Patience::Ordinary => self.policy.head,
                Patience::WholeBlob => self.policy.whole_blob_head,
            },
            bulk: self.ask.bulk,
            // This includes the redirects of the extra attempt: the stale connection may have been
            // to any of these hosts.
            fresh: self.spent || self.ask.fresh,
        }))
    }

    /// The answer is final at this host.
    fn settle(&mut self, status: StatusCode) -> Verdict {
        if !status.is_success()
            && status != StatusCode::RANGE_NOT_SATISFIABLE
            && let Some(step) = self.next_host()
        {
            return Verdict::Next(step);
        }
        Verdict::Answer(self.take(status))
    }

    /// Another attempt after an answer that asks to wait this long, if it may be made.
    fn repeat(
        &mut self,
        status: StatusCode,
        asked: Option<Duration>,
        jitter: Jitter,
    ) -> Option<Step> {
        let retry = &self.policy.retry;
        if !self.is_repeatable() {
            return None;
        }
        let Some(wait) = asked.filter(|wait| *wait > retry.retry_after) else {
            return self.again(asked, jitter);
        };
        // A new window starts with the full number of attempts. The sum of all waits is limited.
        let waited = self.quota_waited.saturating_add(wait);
        if waited > retry.longest_wait(status == StatusCode::TOO_MANY_REQUESTS) {
            return None;
        }
        self.quota_waited = waited;
        self.attempts = 0;
        Some(Step::Wait(wait))
    }

    /// Another attempt on the same host, if the budgets of attempts and waits have room.
    fn again(&mut self, asked: Option<Duration>, jitter: Jitter) -> Option<Step> {
        let retry = &self.policy.retry;
        let wait = backoff(self.attempts, jitter);
        let wait = match asked {
            // RT1: a write is not repeated at once, even where the registry asks for no wait.
            Some(asked) if !self.ask.endpoint.is_read() => asked.max(wait),
            Some(asked) => asked,
            None => wait,
        };
        let waited = self.waited.saturating_add(wait);
        if self.attempts >= retry.attempts || waited > retry.waits {
            return None;
        }
        self.waited = waited;
        Some(Step::Wait(wait))
    }

    fn next_host(&mut self) -> Option<Step> {
        if self.ask.is_pinned() || self.at + 1 >= self.hosts.len() {
            return None;
        }
        self.at += 1;
        self.attempts = 1;
        self.renewed = false;
        self.meet_host();
        Some(self.first_hop())
    }

    /// Sends `GET` at once to a host that is known not to answer `HEAD`.
    fn meet_host(&mut self) {
        let refuses_head = self.host().is_some_and(|host| match self.ask.endpoint {
            Endpoint::Blob(_) => host.quirks().head_blob == HeadBlob::Get,
            Endpoint::Manifest(_) => host.quirks().head_manifest == HeadManifest::Get,
            _ => false,
        });
        self.get = self.ask.endpoint.with_get().filter(|_| refuses_head);
    }
}

/// Whether a redirect of a request keeps what it names, below a base path that may differ. It is
/// what follows the first `/v2/`.
fn names_the_same(request: &RequestHead, location: &str) -> bool {
    let path = location.split('?').next().unwrap_or_default();
    let named = |path: &str| path.split_once("/v2/").map(|(_, named)| named.to_owned());
    path == request.path_and_query || named(path) == named(&request.path_and_query)
}

/// Whether a 403 asks for a token that covers more (RFC 6750 §3.1).
fn lacks_scope(head: &response::Parts) -> bool {
    head.status == StatusCode::FORBIDDEN && names_error(head, INSUFFICIENT_SCOPE)
}

/// The error of a challenge for a token that covers more (RFC 6750 §3.1).
const INSUFFICIENT_SCOPE: &[u8] = b"insufficient_scope";

/// Whether a 401 or 403 has a challenge with this error.
fn names_error(head: &response::Parts, error: &[u8]) -> bool {
    let mut challenges = head.headers.get_all(header::WWW_AUTHENTICATE).iter();
    matches!(head.status.as_u16(), 401 | 403)
        && challenges.any(|challenge| {
            let mut parts = challenge.as_bytes().windows(error.len());
            parts.any(|part| part == error)
        })
}

#[cfg(test)]
mod tests;
