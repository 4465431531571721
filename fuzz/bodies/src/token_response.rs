//! Token responses, beside a plain JSON reader.

use std::time::Duration;

use http::HeaderValue;
use longshore_auth::{Issued, TOKEN_LIMIT_BYTES, TOKEN_RESPONSE_LIMIT_BYTES, Token, TokenError};
use longshore_origin::{JSON_DEPTH_LIMIT, Secret, is_unsafe};
use serde_json::Value;

use crate::json;
use crate::shown::is_plain;

/// Reads the bytes as the body of a token response.
///
/// # Panics
///
/// When a token is taken that cannot stand in a header, or is not the one that a plain JSON reader
/// finds; when a lifetime lies outside its bounds, when a usable response is refused, or when a
/// secret is shown.
pub fn token_response(data: &[u8]) {
    match Issued::parse(data) {
        Ok(issued) => {
            assert!(data.len() <= TOKEN_RESPONSE_LIMIT_BYTES, "LI1");
            assert!(json::depth(data) < JSON_DEPTH_LIMIT, "LI");
            fits_a_header(&issued.token);
            is_what_the_body_says(&issued, data);
            shows_no_secret(&issued);
        }
        Err(error) => {
            is_plain(&error);
            is_no_usable_response(data, error);
        }
    }
}

/// CR9
fn fits_a_header(token: &Token) {
    let text = token.expose();
    assert!((1..=TOKEN_LIMIT_BYTES).contains(&text.len()), "CR9");
    let value = HeaderValue::from_str(&format!("Bearer {text}"));
    let same = value.is_ok_and(|value| value.to_str().is_ok_and(|value| value.ends_with(text)));
    assert!(same, "CR9");
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "CR9");
}

fn is_what_the_body_says(issued: &Issued, body: &[u8]) {
    // Members nobody wants are skipped unread, be they too large or no text.
    let Ok(plain) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    assert_eq!(usable_token(&plain), Some(issued.token.expose()));
    let refresh = text(&plain, "refresh_token");
    assert_eq!(issued.refresh_token.as_ref().map(Secret::expose), refresh);
    let (floor, limit) = (Duration::from_secs(60), Duration::from_secs(3600));
    assert!((floor..=limit).contains(&issued.lifetime), "RT7");
    match plain.get("expires_in") {
        None | Some(Value::Null) => {
            assert_eq!((issued.lifetime, issued.expires_in), (floor, None), "RT7");
        }
        Some(value) => {
            if let Some(seconds) = value.as_u64() {
                assert_eq!(issued.lifetime.as_secs(), seconds.clamp(60, 3600), "RT7");
                assert_eq!(issued.expires_in, Some(seconds), "RT7");
            }
        }
    }
    if let Some(issued_at) = &issued.issued_at {
        let sent = plain.get("issued_at").and_then(Value::as_str);
        assert_eq!(sent, Some(&**issued_at));
        assert!(!issued_at.contains(is_unsafe), "OU1");
    }
}

/// Token Authentication "Token Response Fields": `token`, or else `access_token`.
fn usable_token(plain: &Value) -> Option<&str> {
    text(plain, "token").or_else(|| text(plain, "access_token"))
}

fn text<'a>(plain: &'a Value, key: &str) -> Option<&'a str> {
    let text = plain.get(key).and_then(Value::as_str);
    text.filter(|text| !text.is_empty())
}

/// OU3: what is shown is the same whatever the secrets are.
fn shows_no_secret(issued: &Issued) {
    let token = Token::new("another".to_owned());
    let mut other = Issued::new(
        token.unwrap_or_else(|error| panic!("{error}")),
        issued.lifetime,
    );
    let refresh = issued.refresh_token.as_ref();
    other.refresh_token = refresh.map(|_| Secret::new("another".to_owned()));
    other.expires_in = issued.expires_in;
    other.issued_at.clone_from(&issued.issued_at);
    assert_eq!(format!("{issued:?}"), format!("{other:?}"), "OU3");
}

/// What is refused has no token that could be shown to anybody.
fn is_no_usable_response(body: &[u8], error: TokenError) {
    let Some(plain) = json::strict(body).filter(Value::is_object) else {
        return;
    };
    if body.len() > TOKEN_RESPONSE_LIMIT_BYTES {
        return assert_eq!(error, TokenError::TooLong);
    }
    let token = usable_token(&plain);
    let usable = token.filter(|text| {
        text.len() <= TOKEN_LIMIT_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
    });
    assert_eq!(usable, None, "refused: {error}");
}
