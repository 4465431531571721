//! Error answers: the codes of the specification and the body that carries them.
//!
//! distribution-spec v1.1.1 "Error Codes":
//!
//! ```text
//! { "errors": [ { "code": "<IDENTIFIER>", "message": "<text>", "detail": <anything> }, … ] }
//! ```
//!
//! Member names and codes are case-insensitive, an entry may lack its code, and a malformed entry
//! does not hide the others. Other known forms of bodies are accepted too: `{"message": …}`,
//! `{"error": …}` with or without a description, a web page, of which the title is read, and plain
//! text.

use std::fmt;

use bytes::Bytes;
use longshore_origin::{Escaped, check_json_object};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::web_page::{is_web_page, visible_text};

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
    /// `BLOB_UPLOAD_INVALID`: an upload failed and cannot be continued.
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

/// Reads a code, without regard to case.
impl From<&str> for ErrorCode {
    fn from(text: &str) -> Self {
        Self::KNOWN
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(text))
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
    /// The code; an empty [`ErrorCode::Other`] if the entry has no code.
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
        match (self.code.as_str(), &self.message) {
            ("", Some(message)) => write!(f, "\"{}\"", Escaped::text(message)),
            (_, Some(message)) => write!(f, "{} ({})", self.code, Escaped::text(message)),
            (_, None) => write!(f, "{}", self.code),
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

#[derive(Serialize)]
struct Document<'a> {
    errors: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Value::is_null")]
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
        let document = document.and_then(|()| serde_json::from_slice(body).ok());
        let entries = document.as_ref().map(entries).unwrap_or_default();
        let is_list =
            document.is_some_and(|it| matches!(member(&it, &["errors"]), Some(Value::Array(_))));
        let excerpt = if is_list || !entries.is_empty() {
            None
        } else {
            Some(excerpt(body)).filter(|it| !it.is_empty())
        };
        Self { entries, excerpt }
    }

    /// Whether the body says that a token expired or is not valid, in the words of known
    /// registries. Such an answer has a status other than 401, or no challenge (CR7).
    #[must_use]
    pub fn says_token_expired(&self) -> bool {
        self.texts().any(|text| {
            let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
            says(&["token", "jwt"]) && says(&["expire", "invalid", "not valid"])
        })
    }

    /// Whether the body says that there were too many requests, in the words of known registries
    /// (RT2).
    #[must_use]
    pub fn says_rate_limit(&self) -> bool {
        const WORDS: [&str; 6] = [
            "toomanyrequests",
            "too many requests",
            "rate limit",
            "ratelimit",
            "rate exceeded",
            "throttl",
        ];
        self.texts()
            .any(|text| WORDS.iter().any(|word| text.contains(word)))
    }

    /// Everything the body says, in lower case.
    pub(crate) fn texts(&self) -> impl Iterator<Item = String> {
        let entries = self.entries.iter().map(|entry| {
            let message = entry.message.as_deref().unwrap_or_default();
            format!("{} {message}", entry.code.as_str())
        });
        let texts = entries.chain(self.excerpt.clone());
        texts.map(|text| text.to_lowercase())
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
            code: entry.code.as_str(),
            message: entry.message.as_deref(),
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

/// The entries of an error document, or of one of the other forms that registries send.
fn entries(document: &Map<String, Value>) -> Vec<ErrorEntry> {
    match member(document, &["errors"]) {
        Some(Value::Array(errors)) => errors
            .iter()
            .filter_map(entry)
            .take(ENTRIES_LIMIT)
            .collect(),
        Some(error) => entry(error).into_iter().collect(),
        None => other_form(document).into_iter().collect(),
    }
}

/// `{"message": …}`, or `{"error": …}` with a text or with an object that has a message.
fn other_form(document: &Map<String, Value>) -> Option<ErrorEntry> {
    match member(document, &["error"]) {
        Some(error @ Value::Object(_)) => entry(error),
        Some(Value::String(error)) => Some(match message(document) {
            Some(message) => ErrorEntry::new(error.as_str().into(), message),
            None => ErrorEntry::new("".into(), error),
        }),
        _ => object_entry(document),
    }
}

/// An entry with at least a code or a message.
fn entry(value: &Value) -> Option<ErrorEntry> {
    match value {
        Value::Object(object) => object_entry(object),
        Value::String(message) => Some(ErrorEntry::new("".into(), message)),
        _ => None,
    }
}

fn object_entry(object: &Map<String, Value>) -> Option<ErrorEntry> {
    let code = match member(object, &["code"]) {
        Some(Value::String(code)) => cut(code).to_owned(),
        Some(Value::Number(code)) => code.to_string(),
        _ => String::new(),
    };
    let message = message(object);
    (message.is_some() || !code.is_empty()).then(|| ErrorEntry {
        code: code.as_str().into(),
        message: message.map(|message| cut(message).to_owned()),
        detail: member(object, &["detail"]).and_then(detail_text),
    })
}

fn message(object: &Map<String, Value>) -> Option<&str> {
    const NAMES: [&str; 4] = ["message", "error_description", "msg", "details"];
    member(object, &NAMES)?.as_str()
}

/// The first member with one of these names, without regard to case.
fn member<'a>(object: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| {
        let mut members = object.iter();
        let (_, value) = members.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(value)
    })
}

/// The beginning of a body that is not an error document.
fn excerpt(body: &[u8]) -> String {
    if is_web_page(body) {
        let text = visible_text(&String::from_utf8_lossy(body));
        return cut(&text).to_owned();
    }
    let shown = body.get(..TEXT_LIMIT_BYTES).unwrap_or(body).trim_ascii();
    String::from_utf8_lossy(shown).into_owned()
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
        check("<html>no</html>", r#""no""#);
        check("no such thing\n", r#""no such thing""#);
        check("", "");
        check("[[]]", r#""[[]]""#);
    }

    #[test]
    fn a_malformed_entry_does_not_hide_the_others() {
        check(
            r#"{"errors":[{"message":"why"},{"code":"denied"},7,{},{"code":"X","message":8}]}"#,
            "\"why\"; DENIED; X",
        );
        check(
            r#"{"Errors":[{"Code":"Name_Unknown","Message":"no"},{"code":403},"text"]}"#,
            "NAME_UNKNOWN (no); 403; \"text\"",
        );
        let body = ErrorBody::parse(br#"{"errors":[{"message":"x"},{"code":"Manifest_Unknown"}]}"#);
        assert!(body.names(&ErrorCode::ManifestUnknown), "{body:?}");
        assert_eq!(ErrorBody::parse(&body.to_bytes()), body);
    }

    #[test]
    fn other_forms_are_read() {
        check(r#"{"message":"no"}"#, "\"no\"");
        check(r#"{"error":"no"}"#, "\"no\"");
        check(r#"{"code":"DENIED","message":"no"}"#, "DENIED (no)");
        check(r#"{"details":"wrong password"}"#, "\"wrong password\"");
        check(r#"{"errors":{"code":"DENIED"}}"#, "DENIED");
        check(
            r#"{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED"}}"#,
            "403 (no)",
        );
        check(
            r#"{"error":"invalid_grant","error_description":"no"}"#,
            "invalid_grant (no)",
        );
        check(r#"{"ok":false}"#, r#""{"ok":false}""#);
    }

    // CR7, RT2
    #[test]
    fn an_expired_token_and_a_rate_limit_are_recognised_in_known_wordings() {
        for (body, expired, limited) in [
            (
                r#"{"errors":[{"code":"DENIED","message":"Your token has expired."}]}"#,
                true,
                false,
            ),
            ("<Error><Code>ExpiredToken</Code></Error>", true, false),
            (r#"{"error":"invalid_token"}"#, true, false),
            ("jwt expired", true, false),
            (r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#, false, true),
            (r#"{"message":"API Rate Limit exceeded"}"#, false, true),
            ("<html><title>Too many requests</title>", false, true),
            (
                r#"{"message":"ThrottlingException: Rate exceeded"}"#,
                false,
                true,
            ),
            (
                r#"{"errors":[{"code":"DENIED","message":"requested access is denied"}]}"#,
                false,
                false,
            ),
            ("", false, false),
        ] {
            let parsed = ErrorBody::parse(body.as_bytes());
            let says = (parsed.says_token_expired(), parsed.says_rate_limit());
            assert_eq!(says, (expired, limited), "{body}");
        }
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
