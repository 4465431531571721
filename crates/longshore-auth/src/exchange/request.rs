//! Writing a token request: the query of a GET, or the form of a POST.
//!
//! | credential | request | where POST is refused |
//! |---|---|---|
//! | none | GET | |
//! | password | GET with Basic | |
//! | password, and a refresh token is requested | POST, grant `password` | GET with Basic |
//! | identity token | POST, grant `refresh_token` | GET with Basic, user `<token>` |
//!
//! All token servers support GET, but not all support POST (OAuth2 Token Authentication, first
//! note). `<token>` is the user name of an identity token in Docker's credential helpers.

use bytes::Bytes;
use http::HeaderValue;
use longshore_origin::Secret;

use crate::credential::basic;
use crate::scope::items;
use crate::wiped::wiped;
use crate::{Credential, CredentialError, TokenKey};

/// What decides the form of a token request, apart from its key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestOptions {
    /// The token endpoint is known to refuse POST.
    pub(crate) get_only: bool,
    /// A refresh token is requested as well.
    pub(crate) offline: bool,
}

/// The credentials of a token request.
#[derive(Default)]
pub(super) struct RequestSecret {
    /// The `Authorization` field of a GET.
    pub(super) authorization: Option<HeaderValue>,
    /// The form of an OAuth2 request; without one the request is a GET.
    pub(super) form: Option<Bytes>,
}

impl RequestSecret {
    pub(super) fn new(key: &TokenKey, options: RequestOptions) -> Result<Self, CredentialError> {
        let form = |grant: &[_]| Self {
            form: Some(write_form(key, grant, options.offline)),
            ..Self::default()
        };
        let header = |username: &str, password: &Secret| {
            Ok(Self {
                authorization: Some(basic(username, password)?),
                ..Self::default()
            })
        };
        let Some(account) = key.account() else {
            return Ok(Self::default());
        };
        account.check()?;
        match account {
            Credential::Basic { username, password } if options.offline && !options.get_only => {
                Ok(form(&[
                    ("grant_type", "password"),
                    ("username", username),
                    ("password", password.expose()),
                ]))
            }
            Credential::Basic { username, password } => header(username, password),
            Credential::IdentityToken(token) if !options.get_only => Ok(form(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", token.expose()),
            ])),
            Credential::IdentityToken(token) => header(IDENTITY_USER, token),
            // A bearer token from the user is never exchanged: the authenticator makes no key for
            // it.
            Credential::Token(_) => Ok(Self::default()),
        }
    }
}

/// Token Authentication "Requesting a Token": the realm's own query, `service`, `offline_token`
/// with `client_id`, and one `scope` for each item (RE6: the realm's query is kept).
pub(super) fn write_query(key: &TokenKey, offline: bool) -> String {
    let mut text = key.realm().path_and_query().to_owned();
    let mut separator = match text.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    let service = Some(("service", key.service())).filter(|(_, s)| !s.is_empty());
    let offline = offline && !key.is_anonymous();
    let offline = offline.then_some([("offline_token", "true"), ("client_id", CLIENT_ID)]);
    let scopes = items(&key.source().scope).map(|item| ("scope", item));
    let pairs = service.into_iter().chain(offline.into_iter().flatten());
    for (name, value) in pairs.chain(scopes) {
        text.push_str(separator);
        push_pair(&mut text, name, value);
        separator = "&";
    }
    text
}

/// OAuth2 Token Authentication "Getting a Token".
///
/// A pair without a value is left out: some servers answer 400 to an empty `scope`.
fn write_form(key: &TokenKey, grant: &[(&str, &str)], offline: bool) -> Bytes {
    let scope = items(&key.source().scope).collect::<Vec<_>>().join(" ");
    let access = if offline { "offline" } else { "" };
    let known = [
        ("client_id", CLIENT_ID),
        ("service", key.service()),
        ("scope", &scope),
        ("access_type", access),
    ];
    let pairs = || grant.iter().chain(&known).filter(|pair| !pair.1.is_empty());
    // The capacity covers the longest form: growing would leave a copy of the secret behind.
    let room = pairs().map(|(name, value)| name.len() + 3 * value.len() + 2);
    let mut text = String::with_capacity(room.sum());
    for (name, value) in pairs() {
        if !text.is_empty() {
            text.push('&');
        }
        push_pair(&mut text, name, value);
    }
    wiped(Secret::new(text))
}

/// Appends `name "=" value`; every byte of the value is percent-encoded unless it is unreserved,
/// RFC 3986 §2.3. A form decodes to the same.
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

/// The client's name where OAuth2 requires one.
const CLIENT_ID: &str = "longshore";

/// The type of a body that [`write_form`] wrote.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// The user name to send with an identity token where a user name is required.
const IDENTITY_USER: &str = "<token>";
