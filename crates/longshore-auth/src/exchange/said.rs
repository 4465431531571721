//! The message of a token server about a refusal, in the forms that servers use.
//!
//! ```text
//! { "error": "invalid_grant", "error_description": "…" }             RFC 6749 §5.2
//! { "errors": [ { "code": "UNAUTHORIZED", "message": "…" } ] }       distribution-spec v1.1.1
//! { "details": "…" }, { "message": "…" }                             Docker Hub and others
//! ```

use std::borrow::Cow;
use std::fmt;

use longshore_origin::{Escaped, Secret, check_json_object};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::token::Member;

/// The message of a token server about a refusal.
///
/// `Display` is one line of at most 512 characters, in which control characters are escaped (OU1).
/// It never contains a secret of the request (OU3).
#[derive(Clone, PartialEq, Eq)]
pub struct TokenServerText(Box<str>);

impl TokenServerText {
    /// Reads the message in a body; `None` if there is no message, or if it must not be shown.
    pub(super) fn read(body: &[u8], secrets: &[&str]) -> Option<Self> {
        let body = body.trim_ascii();
        let text = if check_json_object(body).is_ok() {
            serde_json::from_slice::<Said>(body).ok()?.text()
        } else if matches!(body.first(), Some(b'<' | b'{' | b'[' | b'"') | None) {
            // A web page says nothing about the credentials, and broken JSON may hold a token.
            return None;
        } else {
            let beginning = body.get(..TEXT_LIMIT_BYTES).unwrap_or(body);
            String::from_utf8_lossy(beginning).into_owned()
        };
        let shows = |secret: &&str| !secret.is_empty() && text.contains(*secret);
        if text.is_empty() || secrets.iter().any(shows) {
            return None;
        }
        let end = text.char_indices().map(|(at, _)| at).nth(TEXT_LIMIT_BYTES);
        Some(Self(text.get(..end.unwrap_or(text.len()))?.into()))
    }
}

impl fmt::Display for TokenServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped::text(&self.0).fmt(f)
    }
}

impl fmt::Debug for TokenServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped::text(&self.0).fmt(f)
    }
}

/// Formats the message as a suffix of an error message; empty if there is no message.
pub(crate) fn saying(said: &Option<TokenServerText>) -> String {
    said.as_ref()
        .map_or_else(String::new, |said| format!(" (it says: {said})"))
}

/// The members of an error body that are used.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    details: Member,
    error: Member,
    error_description: Member,
    errors: Entries,
    message: Member,
}

impl Said {
    fn text(self) -> String {
        let Entries(entries) = self.errors;
        let own = [
            self.error,
            self.error_description,
            self.message,
            self.details,
        ];
        let lines = entries.into_iter().chain([join(own)]);
        let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
        lines.join("; ")
    }
}

/// The texts among these members.
fn join<const N: usize>(members: [Member; N]) -> String {
    let texts = members.into_iter().filter_map(Member::text);
    let texts: Vec<Secret> = texts.collect();
    let texts: Vec<&str> = texts.iter().map(Secret::expose).collect();
    texts.join(": ")
}

/// The lines of a list of errors; empty for a value of another type.
#[derive(Default)]
struct Entries(Vec<String>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Errors(true)).map(Self)
    }
}

/// Reads a list of errors, or one of its entries.
struct Errors(bool);

impl<'de> DeserializeSeed<'de> for Errors {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<String>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Errors {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Vec<String>, E> {
        Ok(Vec::new())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Vec<String>, E> {
        Ok(Vec::new())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Vec<String>, E> {
        Ok(Vec::new())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Vec<String>, E> {
        Ok(Vec::new())
    }

    fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
        Ok(vec![text.to_owned()])
    }

    fn visit_unit<E>(self) -> Result<Vec<String>, E> {
        Ok(Vec::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
        let (mut code, mut message) = (Member::default(), Member::default());
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            match &*key {
                "code" => code = map.next_value()?,
                "message" => message = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(vec![join([code, message])])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
        let mut lines = Vec::new();
        while self.0 && lines.len() < ENTRIES_LIMIT {
            match list.next_element_seed(Self(false))? {
                Some(entry) => lines.extend(entry),
                None => return Ok(lines),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(lines)
    }
}

/// Length of the part of a text that is kept, in bytes or characters.
const TEXT_LIMIT_BYTES: usize = 1024;

/// Maximum number of errors whose text is kept.
const ENTRIES_LIMIT: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> String {
        let read = TokenServerText::read(body.as_bytes(), &["hunter2"]);
        read.map_or_else(String::new, |said| said.to_string())
    }

    #[test]
    fn the_text_of_a_token_server_is_found_in_every_form() {
        for (body, text) in [
            (r#"{"error":"invalid_grant"}"#, "invalid_grant"),
            (
                r#"{"error":"invalid_grant","error_description":"wrong","error_uri":"x"}"#,
                "invalid_grant: wrong",
            ),
            (r#"{"details":"incorrect username"}"#, "incorrect username"),
            (r#"{"message":"no","details":"x"}"#, "no: x"),
            (
                r#"{"errors":[{"code":"DENIED","message":"no"},{"message":"b","x":{}},7,"c"]}"#,
                "DENIED: no; b; c",
            ),
            (
                r#"{"errors":[{"code":7},[["x"]],null,{}],"message":"a"}"#,
                "a",
            ),
            (r#"{"errors":{"code":"A"},"error":{"x":1}}"#, "A"),
            (r#"{"errors":["1","2","3","4","5","6"]}"#, "1; 2; 3; 4; 5"),
            ("  try later\n", "try later"),
            ("", ""),
            ("{}", ""),
            ("<html>no</html>", ""),
            (r#"["a"]"#, ""),
            (r#"{"error":"#, ""),
        ] {
            assert_eq!(said(body), text, "{body}");
        }
    }

    #[test]
    fn ou1_the_text_is_escaped_and_bounded() {
        let shown = said("{\"error\":\"a\\u001b[2J\\u202e\\nb\"}");
        assert_eq!(shown, r"a\u{1b}[2J\u{202e}\u{a}b");
        assert!(said(&"\u{e4}".repeat(60_000)).chars().count() <= 513);
        let read = TokenServerText::read(&[b'x'; 60_000], &[]).unwrap();
        assert_eq!(read.0.len(), 1024);
    }

    // OU3: some servers echo the request.
    #[test]
    fn ou3_a_message_with_a_secret_in_it_is_not_shown() {
        assert_eq!(said(r#"{"error":"hunter2 is not the password"}"#), "");
        assert_eq!(said("wrong: hunter2"), "");
    }
}
