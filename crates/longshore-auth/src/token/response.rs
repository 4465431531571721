//! The document of a token response, member by member.

use std::fmt;
use std::time::Duration;

use longshore_origin::{Secret, check_json_object};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{LIFETIME_FLOOR, LIFETIME_LIMIT, TokenError};

/// The members of a token response that are used.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Response {
    pub(super) token: Member,
    pub(super) access_token: Member,
    pub(super) expires_in: Member,
    pub(super) refresh_token: Member,
}

impl Response {
    /// Reads the body of a token response, which must be one JSON object (LI).
    pub(super) fn read(body: &[u8]) -> Result<Self, TokenError> {
        check_json_object(body)?;
        // The text of the error may quote the body: only the place is kept.
        serde_json::from_slice(body).map_err(|e| TokenError::Json {
            line: e.line(),
            column: e.column(),
        })
    }
}

/// A member of any type. A value of an unexpected type counts as missing.
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
