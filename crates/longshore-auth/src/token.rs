//! Bearer tokens, and the document a token endpoint answers with.

use std::time::Duration;

use longshore_origin::{JSON_DEPTH_LIMIT, JsonFault, JsonShapeError, Secret};

pub(crate) use self::response::Member;
use self::response::{Response, lifetime};

mod response;

/// A bearer token: 1 byte to 64 KiB of visible ASCII (CR9).
///
/// It is opaque and never decoded: registries issue JSON web tokens and other ones. `Debug` does
/// not show it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Token(Secret);

impl Token {
    /// Checks and takes over the text of a token.
    ///
    /// # Errors
    ///
    /// [`TokenError::Empty`], [`TokenError::Text`] and [`TokenError::TokenTooLong`] for text that
    /// is not allowed in a header (CR9).
    pub fn new(text: String) -> Result<Self, TokenError> {
        Secret::new(text).try_into()
    }

    /// Returns the text, for the one header that needs it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Returns the text as a secret without the guarantee about its form.
    pub fn into_secret(self) -> Secret {
        self.0
    }
}

impl TryFrom<Secret> for Token {
    type Error = TokenError;

    fn try_from(secret: Secret) -> Result<Self, TokenError> {
        check_text(secret.expose())?;
        Ok(Self(secret))
    }
}

/// `1*VCHAR`, RFC 5234 appendix B.1, and a length.
pub(crate) fn check_text(text: &str) -> Result<(), TokenError> {
    if text.is_empty() {
        return Err(TokenError::Empty);
    }
    if text.len() > TOKEN_LIMIT_BYTES {
        return Err(TokenError::TokenTooLong { bytes: text.len() });
    }
    match text.bytes().position(|b| !b.is_ascii_graphic()) {
        Some(at) => Err(TokenError::Text { at }),
        None => Ok(()),
    }
}

/// What a token endpoint issued.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Issued {
    /// The token.
    pub token: Token,
    /// How long the token is valid from the moment its response arrived, between
    /// [`LIFETIME_FLOOR`] and [`LIFETIME_LIMIT`] when read from a response (RT7).
    pub lifetime: Duration,
    /// The `expires_in` of the response in seconds, before the bounds of RT7 are applied; for
    /// programs that keep tokens themselves.
    ///
    /// A fraction is cut off. `None` if it is missing, negative or not a number.
    pub expires_in: Option<u64>,
    /// The `issued_at` of the response as sent: by the specification an RFC 3339 date and time,
    /// which is not checked. At most 64 characters, all of them digits or one of `-:.+TtZz` and
    /// space; anything else is `None`.
    ///
    /// It is informational and affects no lifetime: the server's clock may differ from ours (RT7).
    pub issued_at: Option<Box<str>>,
    /// A token to get further tokens with, if one was issued.
    pub refresh_token: Option<Secret>,
}

impl Issued {
    /// Makes the value for a token that did not come from a token endpoint.
    pub fn new(token: Token, lifetime: Duration) -> Self {
        Self {
            token,
            lifetime,
            expires_in: None,
            issued_at: None,
            refresh_token: None,
        }
    }

    /// Reads the body of a successful token response.
    ///
    /// Token Authentication "Token Response Fields", and RFC 6749 §5.1 for `access_token`. The
    /// specification leaves open which of the two token members counts where they differ: `token`
    /// is used, since it is the name that the specification requires, and `access_token` where
    /// `token` is missing, empty or not a string.
    ///
    /// `expires_in` may be a string, as some servers send it. The [`lifetime`](Self::lifetime) is
    /// 60 seconds where it is missing, below 60 or meaningless, and an hour where it is above an
    /// hour. `issued_at` does not affect it (RT7).
    ///
    /// # Errors
    ///
    /// [`TokenError`]. It repeats nothing of the body, since any part may be a secret.
    pub fn parse(body: &[u8]) -> Result<Self, TokenError> {
        if body.len() > TOKEN_RESPONSE_LIMIT_BYTES {
            return Err(TokenError::TooLong);
        }
        let response = Response::read(body)?;
        let token = response.token.text();
        let token = token
            .or_else(|| response.access_token.text())
            .ok_or(TokenError::Missing)?;
        let expires_in = response.expires_in.seconds();
        Ok(Self {
            token: Token::try_from(token)?,
            lifetime: lifetime(expires_in),
            expires_in,
            issued_at: response.issued_at.timestamp(),
            refresh_token: response.refresh_token.text(),
        })
    }
}

/// Why a token response cannot be used.
///
/// It holds positions and sizes, but no part of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The text of a token is empty.
    #[error("the token is empty")]
    Empty,
    /// The body is not JSON, or repeats a member name.
    #[error("the token response is not JSON (line {line}, column {column})")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// Neither `token` nor `access_token` is a string that is not empty.
    #[error("the token response has no token")]
    Missing,
    /// The body is other JSON, or not JSON.
    #[error("the token response is not a JSON object")]
    NotAnObject,
    /// The token has a byte that is not visible ASCII (CR9).
    #[error("the token has a character at byte {at} that is not visible ASCII")]
    Text {
        /// Its position in the token, in bytes from 0.
        at: usize,
    },
    /// The token is longer than [`TOKEN_LIMIT_BYTES`] (CR9).
    #[error("the token has {bytes} bytes, and at most {TOKEN_LIMIT_BYTES} are allowed")]
    TokenTooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Arrays and objects in the body nest as deep as [`JSON_DEPTH_LIMIT`] (LI).
    #[error(
        "the token response nests {JSON_DEPTH_LIMIT} levels deep (line {line}, column {column})"
    )]
    TooDeep {
        /// The line of the bracket that reaches the limit, from 1.
        line: usize,
        /// Its column in bytes, from 1.
        column: usize,
    },
    /// The body is longer than [`TOKEN_RESPONSE_LIMIT_BYTES`].
    #[error("the token response is longer than {TOKEN_RESPONSE_LIMIT_BYTES} bytes")]
    TooLong,
}

impl From<JsonShapeError> for TokenError {
    fn from(error: JsonShapeError) -> Self {
        let (line, column) = (error.line, error.column);
        match error.fault {
            JsonFault::TooDeep => Self::TooDeep { line, column },
            _ => Self::NotAnObject,
        }
    }
}

/// Maximum length of a token in bytes; a longer one is refused (CR9).
pub const TOKEN_LIMIT_BYTES: usize = 64 * 1024;

/// Maximum length of the body of a token response in bytes; a longer one is refused.
///
/// Threat rule table LI, "token response body".
pub const TOKEN_RESPONSE_LIMIT_BYTES: usize = 256 * 1024;

/// The lifetime of a token whose response gives none or a shorter one (RT7; Token Authentication
/// "Token Response Fields": no client should see less than 60 seconds).
pub const LIFETIME_FLOOR: Duration = Duration::from_secs(60);

/// Maximum lifetime of a token, whatever its response says (RT7).
pub const LIFETIME_LIMIT: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_member_is_the_token() {
        token(r#"{"token":"a"}"#, Ok("a"));
        token(r#"{"access_token":"b"}"#, Ok("b"));
        token(r#"{"token":"a","access_token":"b"}"#, Ok("a"));
        token(r#"{"token":"","access_token":"b"}"#, Ok("b"));
        token(r#"{"token":null,"access_token":"b"}"#, Ok("b"));
        token(
            r#"{"access_token":{"token":"a"}}"#,
            Err(TokenError::Missing),
        );
        token(r#"{"Token":"a"}"#, Err(TokenError::Missing));
        token(r#" {"token":"\u0061"}"#, Ok("a"));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in [
            "",
            " ",
            "null",
            "\"a\"",
            "[\"a\",\"b\",1,\"c\"]",
            "<html>",
            "\u{feff}{}",
        ] {
            token(body, Err(TokenError::NotAnObject));
        }
        token("{", Err(TokenError::Json { line: 1, column: 1 }));
        token(
            "{\n\"token\":\"a\",\"token\":\"b\"}",
            Err(TokenError::Json {
                line: 2,
                column: 19,
            }),
        );
    }

    // LI: in known and unknown members alike.
    #[test]
    fn li_a_response_that_nests_too_deep_is_refused() {
        for name in ["x", "issued_at", "access_token", "expires_in"] {
            let nested = |levels: usize| {
                let (open, close) = ("[".repeat(levels), "]".repeat(levels));
                format!("{{\"token\":\"a\",\n\"{name}\":{open}1{close}}}")
            };
            // The object of the response is a level, too.
            token(&nested(JSON_DEPTH_LIMIT - 2), Ok("a"));
            let line = 2;
            let column = name.len() + "\"\":".len() + JSON_DEPTH_LIMIT - 1;
            let refused = Err(TokenError::TooDeep { line, column });
            token(&nested(JSON_DEPTH_LIMIT - 1), refused);
            token(&nested(10_000), refused);
        }
    }

    // CR9
    #[test]
    fn cr9_a_token_that_may_not_stand_in_a_header_is_refused() {
        token(r#"{"token":"a b"}"#, Err(TokenError::Text { at: 1 }));
        token(r#"{"token":"ab\r\nX: y"}"#, Err(TokenError::Text { at: 2 }));
        token(r#"{"token":"\u0000"}"#, Err(TokenError::Text { at: 0 }));
        token(r#"{"token":"ä"}"#, Err(TokenError::Text { at: 0 }));
        token(r#"{"token":"a\u007f"}"#, Err(TokenError::Text { at: 1 }));
        let long = "x".repeat(TOKEN_LIMIT_BYTES);
        token(&format!(r#"{{"token":"{long}"}}"#), Ok(&long));
        let bytes = TOKEN_LIMIT_BYTES + 1;
        token(
            &format!(r#"{{"token":"{long}x"}}"#),
            Err(TokenError::TokenTooLong { bytes }),
        );
    }

    #[test]
    fn no_more_than_256_kib_are_read() {
        let mut body = br#"{"token":"a"}"#.to_vec();
        body.resize(TOKEN_RESPONSE_LIMIT_BYTES, b' ');
        assert_eq!(Issued::parse(&body).unwrap().token.expose(), "a");
        body.push(b' ');
        assert_eq!(Issued::parse(&body), Err(TokenError::TooLong));
    }

    fn token(body: &str, expected: Result<&str, TokenError>) {
        let found = Issued::parse(body.as_bytes());
        let found = found.as_ref().map(|i| i.token.expose());
        assert_eq!(found.map_err(|e| *e), expected, "{body:.80}");
    }

    // RT7: a lifetime lies between a minute and an hour; the value as sent is reported separately.
    #[test]
    fn rt7_lifetimes_lie_between_a_minute_and_an_hour() {
        for (expires_in, seconds, sent) in [
            ("null", 60, None),
            ("0", 60, Some(0)),
            ("59", 60, Some(59)),
            ("60", 60, Some(60)),
            ("61", 61, Some(61)),
            ("300.9", 300, Some(300)),
            ("\"3599\"", 3599, Some(3599)),
            ("\" 90 \"", 90, Some(90)),
            ("3600", 3600, Some(3600)),
            ("3601", 3600, Some(3601)),
            ("18446744073709551615", 3600, Some(u64::MAX)),
            ("1e300", 3600, Some(u64::MAX)),
            ("-1", 60, None),
            ("-1e300", 60, None),
            ("-0.5", 60, None),
            ("\"soon\"", 60, None),
            ("true", 60, None),
            ("[300]", 60, None),
        ] {
            let body = format!(r#"{{"token":"t","expires_in":{expires_in},"issued_at":7}}"#);
            let issued = Issued::parse(body.as_bytes()).unwrap();
            let expected = (Duration::from_secs(seconds), sent);
            assert_eq!(
                (issued.lifetime, issued.expires_in),
                expected,
                "{expires_in}"
            );
        }
        let issued = Issued::parse(br#"{"token":"t"}"#).unwrap();
        assert_eq!((issued.lifetime, issued.expires_in), (LIFETIME_FLOOR, None));
    }

    // RT7: issued_at changes no lifetime. OU1, OU3: only what a date and time can hold is kept.
    #[test]
    fn rt7_issued_at_is_a_fact_and_decides_nothing() {
        let long = "1".repeat(65);
        for (issued_at, expected) in [
            (
                r#""2014-10-05T00:00:00.123456789+02:00""#,
                Some("2014-10-05T00:00:00.123456789+02:00"),
            ),
            (r#""1970-01-01 00:00:00Z""#, Some("1970-01-01 00:00:00Z")),
            (r#""""#, None),
            (r#""2014-10-05\u001b[2J""#, None),
            (r#""eyJhbGciOiJub25lIn0.e30.""#, None),
            (&format!("\"{long}\""), None),
            ("1412467200", None),
            ("null", None),
            ("{}", None),
        ] {
            let body = format!(r#"{{"token":"t","expires_in":300,"issued_at":{issued_at}}}"#);
            let issued = Issued::parse(body.as_bytes()).unwrap();
            assert_eq!(issued.issued_at.as_deref(), expected, "{issued_at}");
            assert_eq!(issued.lifetime, Duration::from_secs(300));
        }
    }

    #[test]
    fn a_refresh_token_is_kept_apart() {
        let issued = Issued::parse(br#"{"token":"t","refresh_token":"r"}"#).unwrap();
        assert_eq!(issued.refresh_token, Some(Secret::new("r".into())));
        let issued = Issued::parse(br#"{"token":"t","refresh_token":""}"#).unwrap();
        assert_eq!(issued, Issued::new(issued.token.clone(), LIFETIME_FLOOR));
        assert!(!format!("{issued:?}").contains("\"t\""));
    }
}
