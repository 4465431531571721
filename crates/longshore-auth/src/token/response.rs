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
    pub(super) issued_at: Member,
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
pub(crate) enum Member {
    /// A number of at least zero, without its fraction.
    Number(u64),
    #[default]
    Other,
    /// Text, which may be a secret under any name. A token that is not used is wiped, too (OU3).
    Text(Secret),
}

impl Member {
    /// Returns text that is not empty.
    pub(crate) fn text(self) -> Option<Secret> {
        match self {
            Self::Text(text) if !text.expose().is_empty() => Some(text),
            Self::Number(_) | Self::Other | Self::Text(_) => None,
        }
    }

    /// Reads a number of seconds, which some servers send as text.
    pub(super) fn seconds(&self) -> Option<u64> {
        match self {
            Self::Number(seconds) => Some(*seconds),
            Self::Text(text) => text.expose().trim().parse().ok(),
            Self::Other => None,
        }
    }

    /// Reads a point in time, as text.
    ///
    /// Only characters of an RFC 3339 date and time are let through: the text is shown, and must
    /// neither control a terminal nor repeat a token that stands in another member (OU1, OU3).
    pub(super) fn timestamp(&self) -> Option<Box<str>> {
        let Self::Text(text) = self else { return None };
        let text = text.expose();
        let fits = |byte: u8| byte.is_ascii_digit() || b"-:.+TtZz ".contains(&byte);
        let is_safe = (1..=ISSUED_AT_LIMIT_BYTES).contains(&text.len()) && text.bytes().all(fits);
        is_safe.then(|| text.into())
    }
}

/// RT7: local time of receipt plus `expires_in`; missing, below 60 or absurd: 60 s; above 1 h: 1 h.
pub(super) fn lifetime(expires_in: Option<u64>) -> Duration {
    expires_in
        .map_or(LIFETIME_FLOOR, Duration::from_secs)
        .clamp(LIFETIME_FLOOR, LIFETIME_LIMIT)
}

/// Longest `issued_at` that is kept, in bytes; RFC 3339 with nanoseconds takes 35.
const ISSUED_AT_LIMIT_BYTES: usize = 64;

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
        // NaN and infinity are not JSON; what is too large for the type counts as its maximum.
        Ok(if number < 0.0 {
            Member::Other
        } else {
            Member::Number(number as u64)
        })
    }

    fn visit_i64<E>(self, number: i64) -> Result<Member, E> {
        Ok(u64::try_from(number).map_or(Member::Other, Member::Number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Member, E> {
        Ok(Member::Number(number))
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
