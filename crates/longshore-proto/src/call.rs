//! One request until its final answer: attempts, hops, waits and mirrors.
//!
//! A [`Call`] is given the heads and failures that arrive and says what to do next. It knows
//! neither secrets nor sockets; the driver asks the authenticator before it sends.
//!
//! ```text
//!              start
//!                │
//!                ▼            401, 403 insufficient_scope ─► Authenticate (send again, or denied)
//!   Wait ──► Send (host, hop) ── 301 302 303 307 308 ──────► Send (hop followed, RD1 RD2)
//!     ▲          │    │
//!     │          │    ├── 408 429 500 502 503 504, or a transient failure, attempts left
//!     └──────────┼────┘                                      (RT1–RT3)
//!                │    ├── a stale connection, once ────────► Send (RT5)
//!                │    └── refused, absent or failed, and another host is left ─► Send (next host)
//!                ▼
//!        Answer (2xx, 304, 4xx, 5xx of the last host), or Fail
//! ```

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header, response};
use longshore_model::RepositoryName;
use longshore_origin::{Hop, HopError, Peer};

use crate::Host;
use crate::endpoint::{Endpoint, Need, Read, RequestHead};
use crate::retry::{Jitter, RetryPolicy, backoff, is_retryable, retry_after};

/// What an operation wants to know, before any host is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ask {
    /// The request.
    pub endpoint: Endpoint,
    /// What is to be done with the body of a successful answer.
    pub take: Take,
    /// Do not send before this much time has passed.
    pub delay: Duration,
    /// Whether the body is expected to be large.
    pub bulk: bool,
    /// The repository on whose behalf a request is made that is about none itself.
    pub behalf: Option<RepositoryName>,
}

impl Ask {
    /// Asks at once, for a body of ordinary size.
    #[must_use]
    pub const fn new(endpoint: Endpoint, take: Take) -> Self {
        Self {
            endpoint,
            take,
            delay: Duration::ZERO,
            bulk: false,
            behalf: None,
        }
    }

    /// What the request needs at this host.
    fn need(&self, host: &Host) -> Option<Need> {
        if matches!(self.endpoint, Endpoint::Catalogue(_)) {
            return Some(Need::catalogue());
        }
        let name = self.endpoint.name().or(self.behalf.as_ref())?;
        Some(Need::pull(host.name_here(name)))
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
    /// There is none, or nobody wants it.
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
    /// How many redirects are followed in a row (RD1). Default 5.
    pub redirects: u32,
    /// How long to wait for the head of an answer. Default 30 s.
    pub head: Duration,
    /// How long to wait for the head of a blob, which a registry may fetch first. Default 300 s.
    pub blob_head: Duration,
}

impl Default for CallPolicy {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            redirects: 5,
            head: Duration::from_secs(30),
            blob_head: Duration::from_secs(300),
        }
    }
}

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
    /// What the request needs to be allowed to do.
    pub need: Option<Need>,
    /// How long to wait for the head of the answer.
    pub head_timeout: Duration,
    /// Whether the body of the answer is expected to be large.
    pub bulk: bool,
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
    /// Not final.
    Next(Step),
}

/// A request that got no usable answer, as a call needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a call tells these three apart")]
pub enum Failure {
    /// Another attempt cannot help: a certificate, a refused address, a proxy that wants a
    /// password.
    Fatal,
    /// A connection that had served before died before any byte of an answer.
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
    /// A redirect leads where it must not (RD1, RD2).
    #[error("a redirect was refused")]
    Redirect(#[source] HopError),
    /// Too many redirects in a row (RD1).
    #[error("more than {limit} redirects in a row")]
    Redirects {
        /// The limit.
        limit: u32,
    },
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
    attempts: u32,
    redirects: u32,
    waited: Duration,
    /// The one extra attempt after a stale connection (RT5) was used.
    spent: bool,
}

impl Call {
    /// Begins a call to the first of these hosts; the others are asked in turn when it cannot
    /// serve. The last one is the registry itself.
    #[must_use]
    pub fn start(ask: Ask, hosts: Arc<[Host]>, policy: CallPolicy) -> (Self, Step) {
        let delay = ask.delay;
        let mut call = Self {
            ask,
            hosts,
            policy,
            at: 0,
            hop: None,
            attempts: 0,
            redirects: 0,
            waited: Duration::ZERO,
            spent: false,
        };
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
        let status = head.status;
        if status == StatusCode::UNAUTHORIZED || lacks_scope(head) {
            return Verdict::Authenticate;
        }
        if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Verdict::Next(self.follow(head, peer));
        }
        if is_retryable(status) {
            let asked = retry_after(status, &head.headers);
            if asked.is_none_or(|wait| wait <= self.policy.retry.retry_after)
                && let Some(step) = self.again(asked, jitter)
            {
                return Verdict::Next(step);
            }
        }
        if !status.is_success()
            && status != StatusCode::RANGE_NOT_SATISFIABLE
            && let Some(step) = self.next_host()
        {
            return Verdict::Next(step);
        }
        Verdict::Answer(self.take(status))
    }

    /// No answer, or not the whole of a document, arrived.
    pub fn on_error(&mut self, failure: Failure, jitter: Jitter) -> Step {
        if failure == Failure::Stale && !self.spent {
            self.spent = true;
            return self.first_hop();
        }
        if failure != Failure::Fatal
            && let Some(step) = self.again(None, jitter)
        {
            return step;
        }
        let attempts = self.attempts;
        self.next_host()
            .unwrap_or(Step::Fail(CallError::Failed { attempts }))
    }

    /// The authenticator has nothing more to say to this host; gives the next one, if any.
    pub fn denied(&mut self) -> Option<Step> {
        self.next_host()
    }

    /// How often the request was sent to the host that is being asked.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Which of the hosts is being asked, from 0. They are asked in turn, none of them twice.
    ///
    /// What an authenticator remembers of one host's answers is not for the next.
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

    /// What to do with the body of a final answer.
    fn take(&self, status: StatusCode) -> Take {
        let head = match &self.ask.endpoint {
            Endpoint::Blob(request) => request.read == Read::Head,
            Endpoint::Manifest(request) => request.read == Read::Head,
            _ => false,
        };
        match (head, status.is_success()) {
            (true, _) => Take::Nothing,
            (false, true) => self.ask.take,
            (false, false) => Take::Excerpt,
        }
    }

    fn first_hop(&mut self) -> Step {
        self.redirects = 0;
        let Some(host) = self.host() else {
            return Step::Fail(CallError::Failed { attempts: 0 });
        };
        let head = self.ask.endpoint.write(host);
        match Hop::first(host.origin().clone(), &head.path_and_query) {
            Ok(hop) => self.send(hop.allowing(host.allowed().clone()), head),
            Err(error) => Step::Fail(CallError::Hop(error)),
        }
    }

    /// RD1: the headers of each hop are those of the endpoint, built anew.
    fn follow(&mut self, head: &response::Parts, peer: Peer) -> Step {
        let limit = self.policy.redirects;
        if self.redirects >= limit {
            return Step::Fail(CallError::Redirects { limit });
        }
        let mut locations = head.headers.get_all(header::LOCATION).iter();
        let (Some(location), None) = (locations.next(), locations.next()) else {
            return Step::Fail(CallError::Location {
                status: head.status.as_u16(),
            });
        };
        let (Some(hop), Some(host)) = (&self.hop, self.host()) else {
            return Step::Fail(CallError::Failed {
                attempts: self.attempts,
            });
        };
        match hop.follow(location.as_bytes(), peer) {
            Ok(hop) => {
                let head = self.ask.endpoint.write(host);
                self.redirects += 1;
                self.send(hop, head)
            }
            Err(error) => Step::Fail(CallError::Redirect(error)),
        }
    }

    fn send(&mut self, hop: Hop, head: RequestHead) -> Step {
        let blob = matches!(&self.ask.endpoint, Endpoint::Blob(blob) if blob.read == Read::Get);
        self.hop = Some(hop.clone());
        Step::Send(Box::new(Sending {
            hop,
            method: head.method,
            headers: head.headers,
            need: self.host().and_then(|host| self.ask.need(host)),
            head_timeout: if blob {
                self.policy.blob_head
            } else {
                self.policy.head
            },
            bulk: self.ask.bulk,
        }))
    }

    /// Another attempt on the same host, if the budgets of attempts and waits have room.
    fn again(&mut self, asked: Option<Duration>, jitter: Jitter) -> Option<Step> {
        let retry = &self.policy.retry;
        let wait = asked.unwrap_or_else(|| backoff(self.attempts, jitter));
        let waited = self.waited.saturating_add(wait);
        if self.attempts >= retry.attempts || waited > retry.waits {
            return None;
        }
        self.waited = waited;
        Some(Step::Wait(wait))
    }

    fn next_host(&mut self) -> Option<Step> {
        if self.at + 1 >= self.hosts.len() {
            return None;
        }
        self.at += 1;
        self.attempts = 1;
        Some(self.first_hop())
    }
}

/// Whether a 403 asks for a token that covers more (RFC 6750 §3.1).
fn lacks_scope(head: &response::Parts) -> bool {
    let wanted = b"insufficient_scope";
    head.status == StatusCode::FORBIDDEN
        && head
            .headers
            .get_all(header::WWW_AUTHENTICATE)
            .iter()
            .any(|value| {
                value
                    .as_bytes()
                    .windows(wanted.len())
                    .any(|part| part == wanted)
            })
}

#[cfg(test)]
mod tests;
