//! Getting a token from a token endpoint.
//!
//! ```text
//!            ┌── 301 302 303 307 308 to the same origin, at most twice (GET only)
//!            ▼                  │
//!  new ──► request ──► on_head ─┼─ 2xx ─────────► collect the body ──► on_body ──► Issued
//!                               ├─ 401 403 ─────► CredentialsRefused / CredentialsRequired
//!                               ├─ 404 405 to a POST ─► PostRefused
//!                               ├─ 400 to a password in a POST ─► collect the body ──► on_body
//!                               │      invalid_grant ─► CredentialsRefused, else PostRefused
//!                               └─ all others ──► Exchange(Status)
//! ```
//!
//! A refused POST is repeated as a GET by the authenticator, if a token request is left (CR7).
//! Google's token server answers it with 404, Azure's with 400 where there is a password in it. A
//! 400 is also the answer of RFC 6749 §5.2 to a refresh token or a password that is not valid. For a
//! refresh token it counts as that; for a password the body tells the two apart, so that a wrong
//! password is not sent again (CR7).
//!
//! Whether and when a request that failed for a passing reason (429, 5xx, no answer) is sent again
//! is for the driver: [`TokenExchange::request`] gives the same request as often as it is called.

use std::borrow::Cow;

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

mod request;
#[cfg(test)]
mod tests;

/// One exchange with a token endpoint: a request, at most two redirects, and a token.
///
/// Made by [`Authenticator::begin`](crate::Authenticator::begin), which has seen to it that the
/// realm may be asked (RE1–RE4). `Debug` shows no secret.
pub struct TokenExchange {
    key: TokenKey,
    hop: Hop,
    authorization: Option<HeaderValue>,
    /// The form of an OAuth2 request; without one the request is a GET.
    form: Option<Bytes>,
    redirects: u8,
    /// The password was not taken, and the body to come says whether for itself.
    is_refused: bool,
}

/// What a driver does after the head of a token response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "closed: a driver must do every one of these"
)]
pub enum ExchangeStep {
    /// Collect the body, no more than so many bytes and one, and give it to
    /// [`TokenExchange::on_body`].
    Collect {
        /// The most bytes of a usable body.
        limit: usize,
    },
    /// Send [`TokenExchange::request`], which has changed.
    Send,
}

impl TokenExchange {
    /// Writes the request for a realm that passed the guard.
    pub(crate) fn new(key: TokenKey, options: RequestOptions) -> Result<Self, AuthError> {
        let RequestSecret {
            authorization,
            form,
        } = RequestSecret::new(&key, options).map_err(|source| AuthError::Credential {
            registry: key.registry().clone(),
            source,
        })?;
        let path_and_query = match form {
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
            authorization,
            form,
            redirects: 0,
            is_refused: false,
        })
    }

    /// The request to send now.
    ///
    /// Its extensions hold the [`AddressPolicy`] it must be sent under (RE3). Secrets in it are
    /// wiped when it, all that was cloned from it, and the exchange are dropped (OU3). The body of
    /// a POST is such a secret, and in plain bytes: it is not to be shown, nor is the request.
    pub fn request(&self) -> Request<Bytes> {
        let mut request = Request::new(self.form.clone().unwrap_or_default());
        *request.uri_mut() = self.hop.uri().clone();
        request.extensions_mut().insert(self.policy().clone());
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if self.form.is_some() {
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

    /// Takes the head of the response.
    ///
    /// # Errors
    ///
    /// [`AuthError::CredentialsRefused`] and [`AuthError::CredentialsRequired`] for 401 and 403,
    /// with and without credentials (CR7); [`AuthError::Exchange`] for any other answer that does
    /// not lead to a token.
    pub fn on_head(&mut self, head: &Parts, peer: Peer) -> Result<ExchangeStep, AuthError> {
        match head.status {
            status if status.is_success() => self.expect_body(head),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.refusal()),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED if self.form.is_some() => {
                let status = head.status;
                Err(self.error(ExchangeError::PostRefused { status }))
            }
            StatusCode::BAD_REQUEST if self.form.is_some() && self.has_password() => {
                self.is_refused = true;
                self.expect_body(head)
            }
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => {
                self.hop = self.redirect(head, peer).map_err(|e| self.error(e))?;
                Ok(ExchangeStep::Send)
            }
            status => Err(self.error(ExchangeError::Status { status })),
        }
    }

    /// Takes the body that was to be collected.
    ///
    /// # Errors
    ///
    /// [`AuthError::Exchange`] when there is no usable token in it,
    /// [`AuthError::CredentialsRefused`] when it says that the password is not valid.
    pub fn on_body(&self, body: &[u8]) -> Result<Issued, AuthError> {
        if self.is_refused {
            let status = StatusCode::BAD_REQUEST;
            return Err(if is_invalid_grant(body) {
                self.refusal()
            } else {
                self.error(ExchangeError::PostRefused { status })
            });
        }
        Issued::parse(body).map_err(|e| self.error(ExchangeError::Response(e)))
    }

    fn has_password(&self) -> bool {
        matches!(self.key.account(), Some(Credential::Basic { .. }))
    }

    /// LI1: a body that says it is too long is not read at all.
    fn expect_body(&self, head: &Parts) -> Result<ExchangeStep, AuthError> {
        let limit = TOKEN_RESPONSE_LIMIT_BYTES;
        let length = head.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|l| l.to_str().ok()?.parse::<u64>().ok());
        // A usize is at most 64 bits wide on every target there is.
        if length.is_some_and(|length| length > limit as u64) {
            return Err(self.error(ExchangeError::Response(TokenError::TooLong)));
        }
        Ok(ExchangeStep::Collect { limit })
    }

    /// RE6: at most 2, to the same origin. The form of a POST has a secret in it, and is not sent
    /// anywhere but to the realm itself.
    fn redirect(&mut self, head: &Parts, peer: Peer) -> Result<Hop, ExchangeError> {
        self.redirects += 1;
        if self.redirects > TOKEN_REDIRECTS_LIMIT || self.form.is_some() {
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
            return AuthError::CredentialsRequired { registry };
        }
        AuthError::CredentialsRefused {
            registry,
            by: self.hop.origin().clone(),
        }
    }

    fn error(&self, source: ExchangeError) -> AuthError {
        AuthError::Exchange {
            realm: self.hop.origin().clone(),
            source,
        }
    }
}

impl std::fmt::Debug for TokenExchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenExchange")
            .field("key", &self.key)
            .field("hop", &self.hop)
            .field("redirects", &self.redirects)
            .finish_non_exhaustive()
    }
}

/// What a token endpoint answered instead of a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The request cannot be written, or leads where it may not go.
    #[error(transparent)]
    Location(HopError),
    /// A redirect without one `Location` (RD7).
    #[error("it redirects to nowhere")]
    NoLocation,
    /// A redirect to another origin (RE6).
    #[error("it redirects to {to}, which is not followed")]
    OtherOrigin {
        /// Where to.
        to: Origin,
    },
    /// A POST is answered as by one who only knows GET. The authenticator asks again by GET, where
    /// it may ask again (CR7), and does so from then on.
    #[error("it answers {status} to a POST")]
    PostRefused {
        /// The status.
        status: StatusCode,
    },
    /// A success without a usable token.
    #[error(transparent)]
    Response(TokenError),
    /// A status that is neither success, nor redirect, nor 401 or 403.
    #[error("it answers {status}")]
    Status {
        /// The status.
        status: StatusCode,
    },
    /// More redirects than [`TOKEN_REDIRECTS_LIMIT`], or any of a request that must not be sent
    /// twice (RE6).
    #[error("it redirects too often")]
    TooManyRedirects,
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

/// The most redirects a token endpoint may answer with, all to its own origin (RE6).
pub const TOKEN_REDIRECTS_LIMIT: u8 = 2;
