//! The document of a token response, member by member.

use std::fmt;
use std::time::Duration;

use longshore_origin::Secret;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{LIFETIME_FLOOR, LIFETIME_LIMIT, TOKEN_RESPONSE_DEPTH_LIMIT, TokenError};

/// What of a token response is of use to us.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Response {
    pub(super) token: Member,
    pub(super) access_token: Member,
    pub(super) expires_in: Member,
    pub(super) refresh_token: Member,
}

impl Response {
    pub(super) fn read(body: &[u8]) -> Result<Self, TokenError> {
        // A sequence would do for a struct, too.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(TokenError::NotAnObject);
        }
        // Members nobody wants are skipped without recursion, so without a limit.
        if is_too_deep(body) {
            return Err(TokenError::TooDeep);
        }
        // The text of the error may quote the body: only the place is kept.
        serde_json::from_slice(body).map_err(|e| TokenError::Json {
            line: e.line(),
            column: e.column(),
        })
    }
}

/// Whether arrays and objects nest too deep in a document that is JSON; of another it does not
/// matter.
fn is_too_deep(document: &[u8]) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in document {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth >= TOKEN_RESPONSE_DEPTH_LIMIT {
            return true;
        }
    }
    false
}

/// A member of whatever type; one of another than it should have is as if missing.
#[derive(Default)]
pub(super) enum Member {
    Number(f64),
    #[default]
    Other,
    /// A secret, whatever its name: also the token that is not taken is wiped (OU3).
    Text(Secret),
}

impl Member {
    /// The text, if there is any.
    pub(super) fn text(self) -> Option<Secret> {
        match self {
            Self::Text(text) if !text.expose().is_empty() => Some(text),
            Self::Number(_) | Self::Other | Self::Text(_) => None,
        }
    }

    /// RT7
    pub(super) fn lifetime(&self) -> Duration {
        let seconds = match self {
            // A cast saturates, and makes 0 of what is negative.
            Self::Number(seconds) => Some(*seconds as u64),
            Self::Text(text) => text.expose().trim().parse().ok(),
            Self::Other => None,
        };
        seconds
            .map_or(LIFETIME_FLOOR, Duration::from_secs)
            .clamp(LIFETIME_FLOOR, LIFETIME_LIMIT)
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyMember)
    }
}

struct AnyMember;

impl<'de> Visitor<'de> for AnyMember {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Member, E> {
        Ok(Member::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Member, E> {
        // Exact enough: whatever is not between a minute and an hour is not told apart.
        Ok(Member::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Member, E> {
        Ok(Member::Number(number as f64))
    }

    fn visit_str<E>(self, text: &str) -> Result<Member, E> {
        Ok(Member::Text(Secret::new(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Member::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Member, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Member::Other)
    }
}
