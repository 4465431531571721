//! Error answers: the codes of the specification and the body that carries them.
//!
//! distribution-spec v1.1.1 "Error Codes":
//!
//! ```text
//! { "errors": [ { "code": "<IDENTIFIER>", "message": "<text>", "detail": <anything> }, … ] }
//! ```

use std::fmt;

use bytes::Bytes;
use longshore_origin::{Escaped, check_json_object};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Error bodies are read up to this many bytes; the rest is dropped (LI).
pub const ERROR_BODY_LIMIT_BYTES: usize = 64 * 1024;

/// Number of entries of an error body that are kept; further ones are dropped (LI: everything whose
/// length a peer chooses has a limit).
const ENTRIES_LIMIT: usize = 5;

/// Length in bytes to which a code, a message or a foreign error body is cut (LI).
const TEXT_LIMIT_BYTES: usize = 1024;

/// What went wrong, in the registry's own words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// `BLOB_UNKNOWN`: no such blob.
    BlobUnknown,
    /// `BLOB_UPLOAD_INVALID`: an upload went wrong and cannot be gone on with.
    BlobUploadInvalid,
    /// `BLOB_UPLOAD_UNKNOWN`: no such upload.
    BlobUploadUnknown,
    /// `DENIED`: access to the resource is denied.
    Denied,
    /// `DIGEST_INVALID`: the digest does not match the content, or is malformed.
    DigestInvalid,
    /// `MANIFEST_BLOB_UNKNOWN`: a manifest refers to content the registry does not have.
    ManifestBlobUnknown,
    /// `MANIFEST_INVALID`: the manifest or its reference is invalid.
    ManifestInvalid,
    /// `MANIFEST_UNKNOWN`: no such manifest.
    ManifestUnknown,
    /// `NAME_INVALID`: the repository name is malformed.
    NameInvalid,
    /// `NAME_UNKNOWN`: no such repository.
    NameUnknown,
    /// A code the specification does not have, kept as sent.
    Other(String),
    /// `SIZE_INVALID`: the length does not match the content.
    SizeInvalid,
    /// `TOOMANYREQUESTS`: a rate limit.
    TooManyRequests,
    /// `UNAUTHORIZED`: authentication required.
    Unauthorized,
    /// `UNSUPPORTED`: the operation is not supported.
    Unsupported,
}

impl ErrorCode {
    const KNOWN: [(Self, &'static str); 14] = [
        (Self::BlobUnknown, "BLOB_UNKNOWN"),
        (Self::BlobUploadInvalid, "BLOB_UPLOAD_INVALID"),
        (Self::BlobUploadUnknown, "BLOB_UPLOAD_UNKNOWN"),
        (Self::Denied, "DENIED"),
        (Self::DigestInvalid, "DIGEST_INVALID"),
        (Self::ManifestBlobUnknown, "MANIFEST_BLOB_UNKNOWN"),
        (Self::ManifestInvalid, "MANIFEST_INVALID"),
        (Self::ManifestUnknown, "MANIFEST_UNKNOWN"),
        (Self::NameInvalid, "NAME_INVALID"),
        (Self::NameUnknown, "NAME_UNKNOWN"),
        (Self::SizeInvalid, "SIZE_INVALID"),
        (Self::TooManyRequests, "TOOMANYREQUESTS"),
        (Self::Unauthorized, "UNAUTHORIZED"),
        (Self::Unsupported, "UNSUPPORTED"),
    ];

    /// The identifier as it stands in a body.
    #[must_use]
    pub fn as_str(&self) -> &str {
        if let Self::Other(text) = self {
            return text;
        }
        Self::KNOWN
            .iter()
            .find(|(code, _)| code == self)
            .map_or("", |(_, text)| text)
    }
}

impl From<&str> for ErrorCode {
    fn from(text: &str) -> Self {
        Self::KNOWN
            .iter()
            .find(|(_, known)| *known == text)
            .map_or_else(|| Self::Other(text.to_owned()), |(code, _)| code.clone())
    }
}

/// Shown with everything a terminal could obey made harmless (OU1).
impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped::text(self.as_str()).fmt(f)
    }
}

/// One entry of an error body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorEntry {
    /// The code.
    pub code: ErrorCode,
    /// The message, where there is one; peer text, to be shown escaped.
    pub message: Option<String>,
    /// The detail, where there is one, as JSON text of at most 1 KiB; a longer one is dropped.
    /// Peer text, and not part of what [`Display`](fmt::Display) shows: it is made for programs.
    pub detail: Option<String>,
}

impl ErrorEntry {
    /// An entry with a message, which is cut to 1 KiB: readers keep no more of it.
    #[must_use]
    pub fn new(code: ErrorCode, message: &str) -> Self {
        Self {
            code: ErrorCode::from(cut(code.as_str())),
            message: Some(cut(message).to_owned()),
            detail: None,
        }
    }

    /// Adds a detail, which is JSON text; any other text becomes a JSON string. A detail of more
    /// than 1 KiB is dropped.
    #[must_use]
    pub fn with_detail(mut self, detail: &str) -> Self {
        self.detail = detail_text(&json(detail));
        self
    }
}

impl fmt::Display for ErrorEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        match &self.message {
            Some(message) => write!(f, " ({})", Escaped::text(message)),
            None => Ok(()),
        }
    }
}

/// The body of an error answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorBody {
    /// The first five entries of the body.
    pub entries: Vec<ErrorEntry>,
    /// The beginning of a body that is no error document, to be shown escaped.
    pub excerpt: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Document<'a> {
    #[serde(borrow)]
    errors: Vec<Entry<'a>>,
}

#[derive(Deserialize, Serialize)]
struct Entry<'a> {
    #[serde(borrow)]
    code: std::borrow::Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    message: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    detail: Value,
}

impl ErrorBody {
    /// A body with one entry.
    #[must_use]
    pub fn one(code: ErrorCode, message: &str) -> Self {
        Self {
            entries: vec![ErrorEntry::new(code, message)],
            excerpt: None,
        }
    }

    /// Reads an error body; anything that is no error document becomes the excerpt.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        let document = check_json_object(body).ok();
        let document = document.and_then(|()| serde_json::from_slice::<Document<'_>>(body).ok());
        let Some(document) = document else {
            let shown = body.get(..TEXT_LIMIT_BYTES).unwrap_or(body).trim_ascii();
            let excerpt = String::from_utf8_lossy(shown).into_owned();
            return Self {
                entries: Vec::new(),
                excerpt: Some(excerpt).filter(|e| !e.is_empty()),
            };
        };
        let entries = document
            .errors
            .iter()
            .take(ENTRIES_LIMIT)
            .map(|entry| ErrorEntry {
                code: ErrorCode::from(cut(&entry.code)),
                message: entry.message.as_deref().map(|text| cut(text).to_owned()),
                detail: detail_text(&entry.detail),
            });
        Self {
            entries: entries.collect(),
            excerpt: None,
        }
    }

    /// Adds an entry. More than five are dropped: readers keep no more.
    #[must_use]
    pub fn with_entry(mut self, entry: ErrorEntry) -> Self {
        if self.entries.len() < ENTRIES_LIMIT {
            self.entries.push(entry);
        }
        self
    }

    /// Writes the body as a registry sends it.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let errors = self.entries.iter().map(|entry| Entry {
            code: entry.code.as_str().into(),
            message: entry.message.as_deref().map(Into::into),
            detail: entry.detail.as_deref().map_or(Value::Null, json),
        });
        let document = Document {
            errors: errors.collect(),
        };
        // Strings in a list always serialise.
        serde_json::to_vec(&document).unwrap_or_default().into()
    }

    /// Whether the body names this code.
    #[must_use]
    pub fn names(&self, code: &ErrorCode) -> bool {
        self.entries.iter().any(|entry| entry.code == *code)
    }
}

/// The longest beginning of a text that is not longer than [`TEXT_LIMIT_BYTES`].
fn cut(text: &str) -> &str {
    let mut end = TEXT_LIMIT_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A detail as JSON text; `None` where there is none or it is too long.
fn detail_text(detail: &Value) -> Option<String> {
    let text = (!detail.is_null()).then(|| detail.to_string());
    text.filter(|text| text.len() <= TEXT_LIMIT_BYTES)
}

/// JSON text as the value it says; any other text as a string.
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(excerpt) = &self.excerpt {
            return write!(f, "\"{}\"", Escaped::text(excerpt));
        }
        for (index, entry) in self.entries.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{entry}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, shown: &str) {
        assert_eq!(
            ErrorBody::parse(body.as_bytes()).to_string(),
            shown,
            "{body}"
        );
    }

    #[test]
    fn codes_and_messages_are_kept() {
        check(r#"{"errors":[{"code":"DENIED"}]}"#, "DENIED");
        check(
            r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no","detail":[1]},{"code":"X"}]}"#,
            "NAME_UNKNOWN (no); X",
        );
        check(r#"{"errors":[]}"#, "");
        check("<html>no</html>", r#""<html>no</html>""#);
        check("", "");
        check("[[]]", r#""[[]]""#);
    }

    #[test]
    fn a_detail_is_kept_for_programs() {
        for (sent, kept) in [
            (
                r#"{"Name": "a", "n": [1, null]}"#,
                Some(r#"{"Name":"a","n":[1,null]}"#),
            ),
            (r#""text""#, Some(r#""text""#)),
            ("null", None),
            ("false", Some("false")),
        ] {
            let body = format!(r#"{{"errors":[{{"code":"DENIED","detail":{sent}}}]}}"#);
            let body = ErrorBody::parse(body.as_bytes());
            assert_eq!(body.entries[0].detail.as_deref(), kept, "{sent}");
            assert_eq!(body.to_string(), "DENIED");
            assert_eq!(ErrorBody::parse(&body.to_bytes()), body);
        }
        let long = format!(
            r#"{{"errors":[{{"code":"A","detail":"{}"}}]}}"#,
            "x".repeat(1023)
        );
        assert_eq!(ErrorBody::parse(long.as_bytes()).entries[0].detail, None);
    }

    #[test]
    fn li_five_entries_are_kept() {
        let many = [r#"{"code":"DENIED"}"#; 9].join(",");
        let body = ErrorBody::parse(format!(r#"{{"errors":[{many}]}}"#).as_bytes());
        assert_eq!(body.entries.len(), 5);
    }

    #[test]
    fn li_what_readers_would_drop_is_not_written() {
        // A character of three bytes does not fit between the 1,023rd byte and the limit.
        let long = format!("{}\u{20ac}", "x".repeat(1023));
        let entry = ErrorEntry::new(ErrorCode::from(long.as_str()), &long);
        assert_eq!(entry.code.as_str(), "x".repeat(1023));
        assert_eq!(entry.message.as_deref(), Some("x".repeat(1023).as_str()));
        assert_eq!(entry.clone().with_detail(&long).detail, None);
        let body = ErrorBody::default();
        let body = (0..9).fold(body, |body, _| {
            body.with_entry(entry.clone().with_detail("{ }"))
        });
        assert_eq!(body.entries.len(), 5);
        assert_eq!(ErrorBody::parse(&body.to_bytes()), body);
    }

    #[test]
    fn ou1_a_message_cannot_reach_the_terminal_raw() {
        let body = "{\"errors\":[{\"code\":\"A\\u001b[2J\",\"message\":\"b\\u202ec\"}]}";
        let shown = ErrorBody::parse(body.as_bytes()).to_string();
        assert!(
            !shown.contains('\u{1b}') && !shown.contains('\u{202e}'),
            "{shown}"
        );
    }

    #[test]
    fn a_written_body_reads_back() {
        let body = ErrorBody::one(ErrorCode::ManifestUnknown, "manifest unknown");
        assert_eq!(ErrorBody::parse(&body.to_bytes()), body);
        assert!(body.names(&ErrorCode::ManifestUnknown));
    }
}
