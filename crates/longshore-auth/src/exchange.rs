//! Getting a token from a token endpoint: redirects, retries and a time limit.
//!
//! A driver calls [`TokenExchange::start`], does what the [`ExchangeAction`] says, and reports the
//! result as an [`ExchangeEvent`], until an action is `Finish`:
//!
//! ```text
//! start ──────────────────────────────────────────────────────────► Send
//!
//! Send ────┬─ Head 301 302 303 307 308 to a GET, same origin, twice (RE6) ─► Send
//!          ├─ Head 2xx ──────────────────────────────────────────► Collect a token
//!          ├─ Head 400 to a password in a POST ──────────────────► Collect a refusal
//!          ├─ Head 404 405 to a POST ────────────────────────────► Finish PostRefused
//!          ├─ Head 401 403 (CR7): CredentialsRefused or CredentialsRequired ─► Collect a text
//!          ├─ Head, another status: retry, or Status ────────────► Collect a text
//!          ├─ Transient ─────────────────────────────────────────► retry, else Finish Unreachable
//!          └─ Fatal ─────────────────────────────────────────────► Finish Unreachable
//!
//! Collect ─┬─ Body ──────────────────────────────────────────────► Finish Issued
//! a token  ├─ Body without a usable token, BodyTooLarge ─────────► Finish Response
//!          └─ BodyInterrupted ───────────────────────────────────► retry, else Finish Unreachable
//!
//! Collect ─┬─ Body with "invalid_grant" (CR7) ───────────────────► Finish CredentialsRefused
//! refusal  └─ another Body, BodyInterrupted, BodyTooLarge ───────► Finish PostRefused
//!
//! Collect ─── Body, BodyInterrupted, BodyTooLarge ───────────────► Finish with the error and, if
//! a text                                                           there is one, its text
//!
//! retry ───┬─ an attempt and time are left, the rule has a wait ─► Wait
//!          └─ else ──────────────────────────────────────────────► the Finish named above
//!
//! Wait ────── Waited ────────────────────────────────────────────► Send
//! ```
//!
//! An event that does not belong to the last action ends the exchange with `UnexpectedEvent`. The
//! whole exchange ends within [`TOKEN_EXCHANGE_LIMIT`]: after this time nothing is sent, and no
//! wait begins that would end later. How long to wait before a retry is decided by the
//! [`RetryRule`] of the driver; how many attempts there are, and what is never retried, is decided
//! here.
//!
//! A refused POST is repeated as a GET by the authenticator, if a token request is left (CR7).
//! Google's token server answers it with 404, Azure's with 400 where there is a password in it. A
//! 400 is also the answer of RFC 6749 §5.2 to a refresh token or a password that is not valid. For
//! a refresh token it counts as that; for a password the body tells the two apart, so that a wrong
//! password is not sent again (CR7).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION,
};
use http::response::Parts;
use http::{HeaderValue, Method, Request, StatusCode};
use longshore_origin::{AddressPolicy, Hop, HopError, Origin, Peer, check_json_object};
use serde::Deserialize;

use self::request::{FORM, RequestSecret, write_query};
use crate::{AuthError, Credential, Issued, TOKEN_RESPONSE_LIMIT_BYTES, TokenError, TokenKey};

pub(crate) use self::request::RequestOptions;

pub use self::said::TokenServerText;
pub(crate) use self::said::saying;

mod request;
mod said;
#[cfg(test)]
mod tests;

/// One exchange with a token endpoint: a request, its redirects and retries, and a token.
///
/// Made by [`Authenticator::begin`](crate::Authenticator::begin), which has checked that the realm
/// may be contacted (RE1–RE4). Without [`with_retries`](Self::with_retries) there is one attempt.
/// `Debug` shows no secret.
pub struct TokenExchange {
    key: TokenKey,
    hop: Hop,
    secret: RequestSecret,
    redirects: u8,
    retries: Option<Retries>,
    /// Attempts that have failed.
    failed: u32,
    /// When the exchange was started, by the driver's clock.
    started: Duration,
    state: State,
}

#[derive(Clone, Copy)]
struct Retries {
    attempts: u32,
    rule: RetryRule,
}

/// The action whose result is awaited.
enum State {
    Collecting(Meaning),
    /// No action: the exchange is over.
    Finished,
    /// No action yet: [`TokenExchange::start`] has not been called.
    Ready,
    Sending,
    /// Waiting for the next attempt; holds the error of the last one, in case no attempt follows.
    Waiting(AuthError),
}

/// What the status says about the body that follows.
enum Meaning {
    /// The exchange has failed with this error; the body may contain the reason.
    Failure(AuthError),
    /// 400 to a password in a POST: either the password is refused, or the POST.
    Refusal,
    /// 2xx: the body holds a token.
    Token,
}

/// The retry rule for token requests: how long to wait before the next attempt, or `None` where
/// another attempt would not help.
///
/// Arguments: how many attempts have failed, from 1; the head of the answer, or `None` where no
/// whole answer came; and 32 random bits for jitter. It is not called for successes, redirects, or
/// refusals such as 401 and 403 (CR7). The rule is injected, as [`PublicSuffixes`] are: token
/// requests follow the rule of all other requests of a client, which this crate does not know.
///
/// [`PublicSuffixes`]: crate::PublicSuffixes
pub type RetryRule = fn(failed: u32, answer: Option<&Parts>, jitter: u32) -> Option<Duration>;

/// What the driver of a [`TokenExchange`] does next.
#[derive(Debug)]
#[must_use]
#[expect(
    clippy::exhaustive_enums,
    reason = "closed: a driver must do every one of these"
)]
pub enum ExchangeAction {
    /// Collect the body of the answer, and report [`ExchangeEvent::Body`],
    /// [`ExchangeEvent::BodyInterrupted`] or, after one byte more than `limit`,
    /// [`ExchangeEvent::BodyTooLarge`].
    Collect {
        /// The longest usable body, in bytes (LI).
        limit: usize,
    },
    /// The exchange is over; give this to [`Authenticator::finish`](crate::Authenticator::finish).
    Finish(Result<Issued, AuthError>),
    /// Send [`TokenExchange::request`], and report [`ExchangeEvent::Head`],
    /// [`ExchangeEvent::Transient`] or [`ExchangeEvent::Fatal`].
    Send,
    /// Wait this long, and report [`ExchangeEvent::Waited`].
    Wait(Duration),
}

/// The result of an [`ExchangeAction`].
#[expect(
    clippy::exhaustive_enums,
    reason = "closed: these are all the results of the actions"
)]
pub enum ExchangeEvent<'a> {
    /// The whole body of the answer.
    Body(&'a [u8]),
    /// The body ended before it was complete, or took too long.
    BodyInterrupted(BoxError),
    /// The body is longer than the limit.
    BodyTooLarge,
    /// No answer came, and another attempt would not help: a certificate that is not valid, or an
    /// address that is not permitted.
    Fatal(BoxError),
    /// The head of the answer, and the peer that sent it.
    Head(&'a Parts, Peer),
    /// No answer came, and another attempt may help: a connection that broke, or a timeout.
    Transient(BoxError),
    /// The wait is over.
    Waited,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl TokenExchange {
    /// Writes the request for a realm that passed the guard.
    pub(crate) fn new(key: TokenKey, options: RequestOptions) -> Result<Self, AuthError> {
        let secret = RequestSecret::new(&key, options);
        let secret = secret.map_err(|source| AuthError::Credential {
            registry: key.registry().clone(),
            source,
        })?;
        let path_and_query = match secret.form {
            Some(_) => key.realm().path_and_query().to_owned(),
            None => write_query(&key, options.offline),
        };
        let realm = key.realm().origin();
        let hop =
            Hop::first(realm.clone(), &path_and_query).map_err(|source| AuthError::Exchange {
                realm: realm.clone(),
                source: ExchangeError::Location(source),
            })?;
        Ok(Self {
            key,
            hop,
            secret,
            redirects: 0,
            retries: None,
            failed: 0,
            started: Duration::ZERO,
            state: State::Ready,
        })
    }

    /// Allows at most `attempts` attempts, with the waits of `rule` between them (RT1–RT3).
    #[must_use]
    pub fn with_retries(self, attempts: u32, rule: RetryRule) -> Self {
        Self {
            retries: Some(Retries { attempts, rule }),
            ..self
        }
    }

    /// Starts the exchange, and its time limit.
    ///
    /// `now` and the times given to [`on`](Self::on) are durations since one start of the driver's
    /// choice, which need not be that of the authenticator.
    pub fn start(&mut self, now: Duration) -> ExchangeAction {
        match std::mem::replace(&mut self.state, State::Finished) {
            State::Ready => {
                self.started = now;
                self.send(now)
            }
            _ => fail(self.error(ExchangeError::UnexpectedEvent)),
        }
    }

    /// Takes the result of the last action, and says what to do next.
    ///
    /// `jitter` is 32 random bits; it is used where a wait begins. Never panics: an event that does
    /// not belong to the last action ends the exchange with [`ExchangeError::UnexpectedEvent`].
    pub fn on(&mut self, event: ExchangeEvent<'_>, now: Duration, jitter: u32) -> ExchangeAction {
        match (std::mem::replace(&mut self.state, State::Finished), event) {
            (State::Sending, ExchangeEvent::Head(head, peer)) => {
                self.on_answer(head, peer, now, jitter)
            }
            (State::Sending, ExchangeEvent::Fatal(source)) => fail(self.unreachable(source)),
            (State::Sending, ExchangeEvent::Transient(source))
            | (State::Collecting(Meaning::Token), ExchangeEvent::BodyInterrupted(source)) => {
                self.retry(None, self.unreachable(source), now, jitter)
            }
            (State::Collecting(meaning), ExchangeEvent::Body(body)) => {
                ExchangeAction::Finish(self.read(meaning, body))
            }
            // A failure counts even if its text is incomplete or missing.
            (
                State::Collecting(Meaning::Failure(error)),
                ExchangeEvent::BodyInterrupted(_) | ExchangeEvent::BodyTooLarge,
            ) => fail(error),
            (State::Collecting(meaning), ExchangeEvent::BodyTooLarge) => self.too_large(meaning),
            // A refusal counts even if its body is incomplete or missing (CR7).
            (State::Collecting(Meaning::Refusal), ExchangeEvent::BodyInterrupted(_)) => {
                fail(self.post_refused(StatusCode::BAD_REQUEST))
            }
            (State::Waiting(error), ExchangeEvent::Waited) => {
                if self.time_left(now).is_zero() {
                    return fail(error);
                }
                self.send(now)
            }
            _ => fail(self.error(ExchangeError::UnexpectedEvent)),
        }
    }

    /// The time that is left of [`TOKEN_EXCHANGE_LIMIT`].
    ///
    /// Neither a send nor the collecting of a body may take longer: the driver sets an alarm, and
    /// reports a timeout as [`ExchangeEvent::Transient`] or [`ExchangeEvent::BodyInterrupted`].
    pub fn time_left(&self, now: Duration) -> Duration {
        TOKEN_EXCHANGE_LIMIT.saturating_sub(now.saturating_sub(self.started))
    }

    /// The request to send now.
    ///
    /// It stays the same from one attempt to the next, unless a redirect was followed. Its
    /// extensions hold the [`AddressPolicy`] that it must be sent under (RE3). Secrets in it are
    /// wiped when the request, all its clones and the exchange are dropped (OU3). The body of a
    /// POST is such a secret in plain bytes, so neither body nor request may be logged.
    pub fn request(&self) -> Request<Bytes> {
        let mut request = Request::new(self.secret.form.clone().unwrap_or_default());
        *request.uri_mut() = self.hop.uri().clone();
        request.extensions_mut().insert(self.policy().clone());
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(authorization) = &self.secret.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if self.secret.form.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
            *request.method_mut() = Method::POST;
        }
        request
    }

    /// Where the request goes. The hop never leaves the origin of the realm.
    pub fn hop(&self) -> &Hop {
        &self.hop
    }

    /// The addresses the request may be sent to (RE3); part of [`request`](Self::request), too.
    pub fn policy(&self) -> &AddressPolicy {
        &self.key.source().addresses
    }

    /// What the token is for.
    pub fn key(&self) -> &TokenKey {
        &self.key
    }

    fn on_answer(
        &mut self,
        head: &Parts,
        peer: Peer,
        now: Duration,
        jitter: u32,
    ) -> ExchangeAction {
        let is_post = self.secret.form.is_some();
        match head.status {
            status if status.is_success() => self.collect(Meaning::Token, head),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                self.collect(Meaning::Failure(self.refusal()), head)
            }
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED if is_post => {
                fail(self.post_refused(head.status))
            }
            StatusCode::BAD_REQUEST if is_post && self.has_password() => {
                self.collect(Meaning::Refusal, head)
            }
            // A refresh token that has expired or was revoked (RFC 6749 §5.2).
            StatusCode::BAD_REQUEST if is_post => {
                self.collect(Meaning::Failure(self.refusal()), head)
            }
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => match self.redirect(head, peer) {
                Ok(hop) => {
                    self.hop = hop;
                    self.send(now)
                }
                Err(error) => fail(self.error(error)),
            },
            status => {
                let error = self.error(ExchangeError::Status { status, said: None });
                match self.retry(Some(head), error, now, jitter) {
                    ExchangeAction::Finish(Err(error)) => {
                        self.collect(Meaning::Failure(error), head)
                    }
                    action => action,
                }
            }
        }
    }

    fn send(&mut self, now: Duration) -> ExchangeAction {
        if self.time_left(now).is_zero() {
            return fail(self.unreachable(OUT_OF_TIME.into()));
        }
        self.state = State::Sending;
        ExchangeAction::Send
    }

    /// Waits for another attempt, or gives up with `error`.
    fn retry(
        &mut self,
        answer: Option<&Parts>,
        error: AuthError,
        now: Duration,
        jitter: u32,
    ) -> ExchangeAction {
        self.failed += 1;
        let retries = self.retries.filter(|it| self.failed < it.attempts);
        let wait = retries.and_then(|it| (it.rule)(self.failed, answer, jitter));
        match wait.filter(|wait| *wait < self.time_left(now)) {
            Some(wait) => {
                self.state = State::Waiting(error);
                ExchangeAction::Wait(wait)
            }
            None => fail(error),
        }
    }

    /// LI1: a body whose announced length is above the limit is not read at all.
    fn collect(&mut self, meaning: Meaning, head: &Parts) -> ExchangeAction {
        let limit = match meaning {
            Meaning::Failure(_) => ERROR_BODY_LIMIT_BYTES,
            Meaning::Refusal | Meaning::Token => TOKEN_RESPONSE_LIMIT_BYTES,
        };
        let length = head.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|l| l.to_str().ok()?.parse::<u64>().ok());
        // A usize is at most 64 bits wide on every target there is.
        if length.is_some_and(|length| length > limit as u64) {
            return self.too_large(meaning);
        }
        self.state = State::Collecting(meaning);
        ExchangeAction::Collect { limit }
    }

    fn too_large(&self, meaning: Meaning) -> ExchangeAction {
        fail(match meaning {
            Meaning::Failure(error) => error,
            Meaning::Refusal => self.post_refused(StatusCode::BAD_REQUEST),
            Meaning::Token => self.error(ExchangeError::Response(TokenError::TooLong)),
        })
    }

    fn read(&self, meaning: Meaning, body: &[u8]) -> Result<Issued, AuthError> {
        match meaning {
            Meaning::Failure(error) => Err(error.with_text(self.text(body))),
            Meaning::Refusal if is_invalid_grant(body) => {
                Err(self.refusal().with_text(self.text(body)))
            }
            Meaning::Refusal => Err(self.post_refused(StatusCode::BAD_REQUEST)),
            Meaning::Token => {
                Issued::parse(body).map_err(|e| self.error(ExchangeError::Response(e)))
            }
        }
    }

    /// The text in the body of a refusal, unless it repeats a secret of the request (OU3).
    fn text(&self, body: &[u8]) -> Option<TokenServerText> {
        let header = self.secret.authorization.as_ref();
        let header = header.and_then(|value| value.to_str().ok()?.split_once(' '));
        let sent = header.map_or("", |(_, encoded)| encoded);
        let secret = match self.key.account() {
            Some(Credential::Basic { password, .. }) => password.expose(),
            Some(Credential::IdentityToken(token) | Credential::Token(token)) => token.expose(),
            None => "",
        };
        TokenServerText::read(body, &[sent, secret])
    }

    fn has_password(&self) -> bool {
        matches!(self.key.account(), Some(Credential::Basic { .. }))
    }

    /// RE6: at most two redirects, to the same origin. The form of a POST holds a secret, so it is
    /// sent to the realm only.
    fn redirect(&mut self, head: &Parts, peer: Peer) -> Result<Hop, ExchangeError> {
        self.redirects += 1;
        if self.redirects > TOKEN_REDIRECTS_LIMIT || self.secret.form.is_some() {
            return Err(ExchangeError::TooManyRedirects);
        }
        let mut locations = head.headers.get_all(LOCATION).iter();
        let (Some(location), None) = (locations.next(), locations.next()) else {
            return Err(ExchangeError::NoLocation);
        };
        let hop = self.hop.follow(location.as_bytes(), peer);
        let hop = hop.map_err(ExchangeError::Location)?;
        if !hop.is_home() {
            let to = hop.origin().clone();
            return Err(ExchangeError::OtherOrigin { to });
        }
        Ok(hop)
    }

    fn refusal(&self) -> AuthError {
        let registry = self.key.registry().clone();
        if self.key.is_anonymous() {
            return AuthError::CredentialsRequired {
                registry,
                said: None,
            };
        }
        AuthError::CredentialsRefused {
            registry,
            by: self.hop.origin().clone(),
            said: None,
        }
    }

    fn post_refused(&self, status: StatusCode) -> AuthError {
        self.error(ExchangeError::PostRefused { status })
    }

    fn unreachable(&self, source: BoxError) -> AuthError {
        AuthError::unreachable(self.hop.origin().clone(), source)
    }

    fn error(&self, source: ExchangeError) -> AuthError {
        AuthError::Exchange {
            realm: self.hop.origin().clone(),
            source,
        }
    }
}

fn fail(error: AuthError) -> ExchangeAction {
    ExchangeAction::Finish(Err(error))
}

impl fmt::Debug for TokenExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenExchange")
            .field("key", &self.key)
            .field("hop", &self.hop)
            .field("redirects", &self.redirects)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// Shows the kind of the event only: a body holds secrets (OU3).
impl fmt::Debug for ExchangeEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Body(_) => "Body",
            Self::BodyInterrupted(_) => "BodyInterrupted",
            Self::BodyTooLarge => "BodyTooLarge",
            Self::Fatal(_) => "Fatal",
            Self::Head(..) => "Head",
            Self::Transient(_) => "Transient",
            Self::Waited => "Waited",
        })
    }
}

/// Why a token endpoint issued no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The request cannot be written, or a redirect is not followed.
    #[error(transparent)]
    Location(HopError),
    /// A redirect without one `Location` (RD7).
    #[error("a redirect without exactly one Location field")]
    NoLocation,
    /// A redirect to another origin (RE6).
    #[error("a redirect to {to}, another origin, is not followed")]
    OtherOrigin {
        /// The origin of its location.
        to: Origin,
    },
    /// The endpoint does not support POST. The authenticator uses GET from then on, and for this
    /// token if a token request is left (CR7).
    #[error("the answer to a POST is {status}")]
    PostRefused {
        /// The status.
        status: StatusCode,
    },
    /// The answer is a success without a usable token.
    #[error(transparent)]
    Response(TokenError),
    /// A status that is neither success, nor redirect, nor 401 or 403.
    #[error("the answer is {status}{}", saying(.said))]
    Status {
        /// The status.
        status: StatusCode,
        /// The message of the endpoint.
        said: Option<TokenServerText>,
    },
    /// More redirects than [`TOKEN_REDIRECTS_LIMIT`], or a redirect of a POST, whose form is sent
    /// to the realm only (RE6).
    #[error("more than {TOKEN_REDIRECTS_LIMIT} redirects, or a redirect of a POST")]
    TooManyRedirects,
    /// The driver reported an event that does not belong to the last [`ExchangeAction`].
    #[error("the driver of the exchange reported an event that does not belong to the last action")]
    UnexpectedEvent,
}

/// Whether this is how OAuth 2 says that a password is not valid (RFC 6749 §5.2).
fn is_invalid_grant(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Refusal<'a> {
        #[serde(borrow)]
        error: Cow<'a, str>,
    }
    check_json_object(body).is_ok()
        && serde_json::from_slice::<Refusal<'_>>(body)
            .is_ok_and(|said| said.error == "invalid_grant")
}

/// Maximum number of redirects of a token endpoint, all to its own origin (RE6).
pub const TOKEN_REDIRECTS_LIMIT: u8 = 2;

/// Time that one exchange may take, redirects, retries and waits included (RT table, "token request
/// in all").
pub const TOKEN_EXCHANGE_LIMIT: Duration = Duration::from_secs(30);

/// Maximum length of the body of a refusal that is read, in bytes (LI).
const ERROR_BODY_LIMIT_BYTES: usize = 64 * 1024;

const OUT_OF_TIME: &str = "no token within 30 seconds";
