//! Getting a token from a token endpoint.
//!
//! ```text
//!            ┌── 301 302 303 307 308 to the same origin, at most twice (GET only)
//!            ▼                  │
//!  new ──► request ──► on_head ─┼─ 2xx ─────────► collect the body ──► on_body ──► Issued
//!                               ├─ 401 403 ─────► CredentialsRefused / CredentialsRequired
//!                               └─ all others ──► Exchange(Status)
//! ```
//!
//! Whether and when a request that failed for a passing reason (429, 5xx, no answer) is sent again
//! is for the driver: [`TokenExchange::request`] gives the same request as often as it is called.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION,
};
use http::response::Parts;
use http::{HeaderValue, Method, Request, StatusCode};
use longshore_origin::{AddressPolicy, Hop, HopError, Origin, Peer, Secret};

use crate::credential::basic;
use crate::scope::items;
use crate::{AuthError, Credential, Issued, TOKEN_RESPONSE_LIMIT_BYTES, TokenError, TokenKey};

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
    form: Option<Secret>,
    redirects: u8,
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
    pub(crate) fn new(key: TokenKey) -> Result<Self, AuthError> {
        let (mut authorization, mut form) = (None, None);
        match key.account() {
            Some(Credential::Basic { username, password }) => {
                let header = basic(username, password).map_err(|source| AuthError::Credential {
                    registry: key.registry().clone(),
                    source,
                })?;
                authorization = Some(header);
            }
            Some(Credential::IdentityToken(token)) => form = Some(write_form(&key, token)),
            // A ready bearer is never exchanged; the authenticator makes no key of it.
            Some(Credential::Token(_)) | None => {}
        }
        let path_and_query = match form {
            Some(_) => key.realm().path_and_query().to_owned(),
            None => write_query(&key),
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
        })
    }

    /// The request to send now.
    ///
    /// Its extensions hold the [`AddressPolicy`] it must be sent under (RE3).
    pub fn request(&self) -> Request<Bytes> {
        let form = self.form.as_ref().map(|form| form.expose().to_owned());
        let mut request = Request::new(form.unwrap_or_default().into());
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
        &self.key.request().reach
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

    /// Takes the body of a successful response.
    ///
    /// # Errors
    ///
    /// [`AuthError::Exchange`] when there is no usable token in it.
    pub fn on_body(&self, body: &[u8]) -> Result<Issued, AuthError> {
        Issued::parse(body).map_err(|e| self.error(ExchangeError::Response(e)))
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

/// Token Authentication "Requesting a Token": the realm's own query, `service`, and a `scope` for
/// each item (F15, RE6).
fn write_query(key: &TokenKey) -> String {
    let mut text = key.realm().path_and_query().to_owned();
    let mut separator = match text.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    let service = Some(("service", key.service())).filter(|(_, s)| !s.is_empty());
    let scopes = items(&key.request().scope).map(|item| ("scope", item));
    for (name, value) in service.into_iter().chain(scopes) {
        text.push_str(separator);
        push_pair(&mut text, name, value);
        separator = "&";
    }
    text
}

/// OAuth2 Token Authentication "Getting a Token", grant type `refresh_token`.
fn write_form(key: &TokenKey, token: &Secret) -> Secret {
    let scope = items(&key.request().scope).collect::<Vec<_>>().join(" ");
    let mut text = String::with_capacity(FORM_BYTES + 3 * token.expose().len());
    for (name, value) in [
        ("grant_type", "refresh_token"),
        ("client_id", CLIENT_ID),
        ("service", key.service()),
        ("scope", &scope),
        ("refresh_token", token.expose()),
    ] {
        if !value.is_empty() {
            if !text.is_empty() {
                text.push('&');
            }
            push_pair(&mut text, name, value);
        }
    }
    Secret::new(text)
}

/// `name "=" value`, with every byte of the value percent-encoded that is not unreserved,
/// RFC 3986 §2.3; a form reads it the same.
fn push_pair(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            for digit in [byte >> 4, byte & 0xf] {
                let digit = char::from_digit(digit.into(), 16).unwrap_or_default();
                text.push(digit.to_ascii_uppercase());
            }
        }
    }
}

/// The most redirects a token endpoint may answer with, all to its own origin (RE6).
pub const TOKEN_REDIRECTS_LIMIT: u8 = 2;

/// How we name ourselves where OAuth2 wants a name.
const CLIENT_ID: &str = "longshore";

const FORM: &str = "application/x-www-form-urlencoded";

/// Room for the form but its token, so that growing leaves no copy of the token behind.
const FORM_BYTES: usize = 8 * 1024;
