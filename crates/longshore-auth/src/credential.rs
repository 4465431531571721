//! Credentials as a user has them, and the header they become.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use longshore_origin::{Hop, Origin, Secret};

use crate::Token;
use crate::token::check_text;
use crate::wiped::wiped;

/// What a user authenticates with at one registry.
///
/// Belongs to exactly one origin, which is not part of the value: see
/// [`AuthCall::provide`](crate::AuthCall::provide) (CR1). Has no `Display`; `Debug` shows the user
/// name only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Credential {
    /// A user name, and a password or an access token used as one.
    Basic {
        /// The user name; without a colon.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token of the registry's token endpoint, exchanged there for bearer tokens.
    IdentityToken(Secret),
    /// A bearer token obtained elsewhere, sent to the registry as it is.
    Token(Secret),
}

impl Credential {
    /// A user name and a password.
    ///
    /// # Errors
    ///
    /// [`CredentialError`] when the user name has a colon, which ends it in the header, or when one
    /// of the two has a control character.
    pub fn basic(username: &str, password: Secret) -> Result<Self, CredentialError> {
        let credential = Self::Basic {
            username: username.to_owned(),
            password,
        };
        credential.check()?;
        Ok(credential)
    }

    /// Whether the credential can be put into a header.
    ///
    /// ```text
    /// user-pass = user-id ":" password  ; RFC 7617 §2: no colon in user-id, no control characters
    /// b64token                          ; RFC 6750 §2.1; here any visible ASCII (CR9)
    /// ```
    ///
    /// # Errors
    ///
    /// [`CredentialError`] when it cannot.
    pub(crate) fn check(&self) -> Result<(), CredentialError> {
        match self {
            Self::Basic { username, .. } if username.contains(':') => Err(CredentialError::Colon),
            Self::Basic { username, password }
                if has_control(username) || has_control(password.expose()) =>
            {
                Err(CredentialError::Control)
            }
            Self::Token(secret) if check_text(secret.expose()).is_err() => {
                Err(CredentialError::Token)
            }
            Self::Basic { .. } | Self::IdentityToken(_) | Self::Token(_) => Ok(()),
        }
    }
}

impl From<Token> for Credential {
    /// Passes a token that one client fetched to another.
    fn from(token: Token) -> Self {
        Self::Token(token.into_secret())
    }
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// Why a credential cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The user name has a colon, at which a server splits it from the password.
    #[error("the user name has a colon")]
    Colon,
    /// The user name or the password has a control character.
    #[error("the user name or the password has a control character")]
    Control,
    /// The token is empty, too long, or has other characters than visible ASCII (CR9).
    #[error("the token is empty, too long, or not visible ASCII")]
    Token,
}

/// The value of an `Authorization` field, for the hop it was prepared for (CR1).
///
/// Only [`Authenticator::prepare`](crate::Authenticator::prepare) makes one. `Debug` shows the
/// origin only.
#[derive(Clone)]
pub struct Authorization {
    origin: Origin,
    at_home: bool,
    header: HeaderValue,
}

impl Authorization {
    pub(crate) fn new(hop: &Hop, header: HeaderValue) -> Self {
        Self {
            origin: hop.origin().clone(),
            at_home: hop.is_home(),
            header,
        }
    }

    /// Returns the header value, marked as sensitive, if it may go with this hop: to the origin it
    /// was prepared for, unless the redirects passed through another origin before they came back
    /// (RD1).
    pub fn header(&self, hop: &Hop) -> Option<&HeaderValue> {
        let same = *hop.origin() == self.origin && hop.is_home() == self.at_home;
        same.then_some(&self.header)
    }

    /// Returns whether a text repeats the secret: the token, or a password in the clear or in
    /// base64. Such a text must not be shown (OU3).
    pub fn is_in(&self, text: &[u8]) -> bool {
        let Some((_, secret)) = self.header.to_str().ok().and_then(|it| it.split_once(' ')) else {
            return false;
        };
        // `basic` built this value from text.
        let pair = STANDARD
            .decode(secret)
            .ok()
            .and_then(|pair| String::from_utf8(pair).ok());
        let pair = pair.map(Secret::new);
        let password = pair.as_ref().and_then(|pair| pair.expose().split_once(':'));
        let password = password.map(|(_, password)| password.as_bytes());
        let secrets = [Some(secret.as_bytes()), password];
        let mut secrets = secrets.into_iter().flatten().filter(|it| !it.is_empty());
        secrets.any(|secret| text.windows(secret.len()).any(|window| window == secret))
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorization({}, [redacted])", self.origin)
    }
}

/// `"Bearer" SP token`, RFC 6750 §2.1; marked as sensitive.
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, CredentialError> {
    check_text(token).map_err(|_| CredentialError::Token)?;
    sensitive("Bearer ", token).ok_or(CredentialError::Token)
}

/// `"Basic" SP base64( user-id ":" password )`, RFC 7617 §2; marked as sensitive.
pub(crate) fn basic(username: &str, password: &Secret) -> Result<HeaderValue, CredentialError> {
    Credential::basic(username, password.clone())?;
    let pair = Secret::new([username, ":", password.expose()].concat());
    let encoded = Secret::new(STANDARD.encode(pair.expose()));
    sensitive("Basic ", encoded.expose()).ok_or(CredentialError::Control)
}

fn sensitive(scheme: &str, text: &str) -> Option<HeaderValue> {
    let value = wiped(Secret::new([scheme, text].concat()));
    let mut value = HeaderValue::from_maybe_shared(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use longshore_origin::Peer;

    use super::*;

    #[test]
    fn a_basic_header_is_the_example_of_rfc_7617() {
        // RFC 7617 §2 and §2.1
        let header = |user, password: &str| basic(user, &Secret::new(password.into())).unwrap();
        let value = header("Aladdin", "open sesame");
        assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(value.is_sensitive());
        assert_eq!(header("test", "123\u{a3}"), "Basic dGVzdDoxMjPCow==");
        assert_eq!(header("", ":"), "Basic Ojo=");
    }

    #[test]
    fn cr9_what_could_be_misread_is_not_sent() {
        let basic = |user, password: &str| Credential::basic(user, Secret::new(password.into()));
        assert_eq!(basic("a:b", "c"), Err(CredentialError::Colon));
        assert_eq!(basic("a\r\nx", "c"), Err(CredentialError::Control));
        assert_eq!(basic("a", "c\u{85}"), Err(CredentialError::Control));
        let token = |text: &str| Credential::Token(Secret::new(text.into())).check();
        assert_eq!(token("a b"), Err(CredentialError::Token));
        assert_eq!(token("a\r\nX: y"), Err(CredentialError::Token));
        assert_eq!(token(""), Err(CredentialError::Token));
        assert_eq!(token("a.b-c=="), Ok(()));
        assert_eq!(bearer("a b"), Err(CredentialError::Token));
        assert_eq!(bearer("a.b").unwrap(), "Bearer a.b");
    }

    // OU3
    #[test]
    fn ou3_a_text_that_repeats_the_secret_is_recognised() {
        let home = Hop::first("https://r.example".parse().unwrap(), "/v2/").unwrap();
        let basic = basic("me", &Secret::new("hunter2".into())).unwrap();
        let basic = Authorization::new(&home, basic);
        let bearer = Authorization::new(&home, bearer("a.b.c").unwrap());
        for (text, in_basic, in_bearer) in [
            ("Basic bWU6aHVudGVyMg==", true, false),
            ("denied for me:hunter2", true, false),
            ("hunter2", true, false),
            ("Bearer a.b.c", false, true),
            ("denied for me", false, false),
            ("", false, false),
        ] {
            assert_eq!(basic.is_in(text.as_bytes()), in_basic, "{text}");
            assert_eq!(bearer.is_in(text.as_bytes()), in_bearer, "{text}");
        }
    }

    // CR1, RD1
    #[test]
    fn cr1_a_header_is_for_the_hop_it_was_prepared_for() {
        let peer = Peer::default();
        let home = Hop::first("https://r.example".parse().unwrap(), "/v2/").unwrap();
        let again = home.follow(b"/v2/other", peer).unwrap();
        let away = home.follow(b"https://evil.example/", peer).unwrap();
        let back = away.follow(b"https://r.example/v2/", peer).unwrap();
        let value = HeaderValue::from_static("Bearer t");
        let own = Authorization::new(&home, value.clone());
        assert_eq!(own.header(&home), Some(&value));
        assert_eq!(own.header(&again), Some(&value));
        assert_eq!(own.header(&away), None);
        assert_eq!(own.header(&back), None);
        let anybodys = Authorization::new(&back, value.clone());
        assert_eq!(anybodys.header(&back), Some(&value));
        assert_eq!(anybodys.header(&home), None);
    }

    // OU3
    #[test]
    fn ou3_debug_shows_no_secret() {
        let secret = || Secret::new("hunter2".into());
        let hop = Hop::first("https://r.example".parse().unwrap(), "/").unwrap();
        let texts = [
            format!("{:?}", Credential::basic("me", secret())),
            format!("{:?}", Credential::IdentityToken(secret())),
            format!("{:?}", Credential::Token(secret())),
            format!("{:?}", Authorization::new(&hop, bearer("hunter2").unwrap())),
        ];
        for text in texts {
            assert!(
                text.contains("[redacted]") && !text.contains("hunter2"),
                "{text}"
            );
        }
    }
}
