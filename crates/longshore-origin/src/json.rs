//! The outer shape of JSON from a peer, checked before a parser reads it.
//!
//! `serde_json` bounds the nesting of values that it builds, but it skips unknown members without
//! counting, and a derived `Deserialize` accepts an array of member values in place of an object.
//! Both are refused here, in one pass and without an allocation.

/// Checks that a document is one JSON object, nested less deep than [`JSON_DEPTH_LIMIT`] (LI).
///
/// Only brackets and strings are checked; the parser checks the rest.
///
/// ```
/// use longshore_origin::{JsonFault, check_json_object};
///
/// assert_eq!(check_json_object(br#" {"tags":[]}"#), Ok(()));
/// let error = check_json_object(b"\n [1]").unwrap_err();
/// assert_eq!((error.line, error.column, error.fault), (2, 2, JsonFault::NotAnObject));
/// ```
///
/// # Errors
///
/// [`JsonShapeError`] with [`JsonFault::NotAnObject`] or [`JsonFault::TooDeep`].
pub fn check_json_object(document: &[u8]) -> Result<(), JsonShapeError> {
    // ws = *( %x20 / %x09 / %x0A / %x0D )                                       RFC 8259 §2
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let blanks = document.iter().take_while(|byte| is_blank(byte)).count();
    if document.get(blanks) != Some(&b'{') {
        return Err(JsonShapeError::new(
            document,
            blanks,
            JsonFault::NotAnObject,
        ));
    }
    check_json_depth(document)
}

/// Checks that arrays and objects of a document nest less deep than [`JSON_DEPTH_LIMIT`] (LI).
///
/// Members that the parser will skip count as well. For a document that must be an object, use
/// [`check_json_object`].
///
/// # Errors
///
/// [`JsonShapeError`] with [`JsonFault::TooDeep`], at the bracket that reaches the limit.
pub fn check_json_depth(document: &[u8]) -> Result<(), JsonShapeError> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in document.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth >= JSON_DEPTH_LIMIT {
            return Err(JsonShapeError::new(document, at, JsonFault::TooDeep));
        }
    }
    Ok(())
}

/// JSON that is refused before it is parsed, and where.
///
/// The error contains no text of the document, which may be long, hostile or secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at line {line} column {column}")]
#[non_exhaustive]
pub struct JsonShapeError {
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
    /// What is wrong there.
    pub fault: JsonFault,
}

impl JsonShapeError {
    fn new(document: &[u8], at: usize, fault: JsonFault) -> Self {
        let before = document.get(..at).unwrap_or(document);
        let line_start = before.iter().rposition(|byte| *byte == b'\n');
        Self {
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            column: before.len() + 1 - line_start.map_or(0, |newline| newline + 1),
            fault,
        }
    }
}

/// What is wrong with the outer shape of a JSON document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum JsonFault {
    /// The document does not begin with `{`.
    #[error("not a JSON object")]
    NotAnObject,
    /// Arrays and objects nest as deep as [`JSON_DEPTH_LIMIT`].
    #[error("JSON nested {JSON_DEPTH_LIMIT} levels deep")]
    TooDeep,
}

/// Nesting depth of arrays and objects at which a document is refused.
///
/// Threat rule table LI, "JSON nesting". The outermost object is the first level.
pub const JSON_DEPTH_LIMIT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn object(document: &str, expected: Result<(), (usize, usize, JsonFault)>) {
        let found = check_json_object(document.as_bytes());
        let found = found.map_err(|error| (error.line, error.column, error.fault));
        assert_eq!(found, expected, "{document:.40}");
    }

    #[test]
    fn only_an_object_passes_as_one() {
        for document in ["{}", " \t\r\n{", "{\"a\":[1,{}]}", "{nonsense"] {
            object(document, Ok(()));
        }
        for (document, line, column) in [
            ("", 1, 1),
            ("  ", 1, 3),
            ("null", 1, 1),
            ("\n\n [{}]", 3, 2),
            ("<html>", 1, 1),
            ("\u{feff}{}", 1, 1),
            ("\u{c}{}", 1, 1),
        ] {
            object(document, Err((line, column, JsonFault::NotAnObject)));
        }
    }

    // LI: JSON nests at most 127 levels deep, in known and unknown members alike.
    #[test]
    fn li_nesting_is_refused_at_the_bracket_that_reaches_the_limit() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |levels: usize| {
                let (open, close) = (open.repeat(levels), close.repeat(levels));
                format!("{{\"x\":1,\n\"y\":{open}1{close}}}")
            };
            object(&nested(JSON_DEPTH_LIMIT - 2), Ok(()));
            let column = "\"y\":".len() + (JSON_DEPTH_LIMIT - 2) * open.len() + 1;
            let refused = Err((2, column, JsonFault::TooDeep));
            object(&nested(JSON_DEPTH_LIMIT - 1), refused);
            object(&nested(10_000), refused);
        }
    }

    #[test]
    fn li_levels_that_were_closed_and_brackets_in_strings_do_not_count() {
        let siblings = "[],{},".repeat(1_000);
        assert_eq!(check_json_depth(siblings.as_bytes()), Ok(()));
        let text = format!("{{\"a\":\"\\\"{}\\\\\",\"b\":[1]}}", "[".repeat(1_000));
        object(&text, Ok(()));
        // A closing bracket too many does not make room for more.
        let unbalanced = format!("{{}}]]{}", "[".repeat(JSON_DEPTH_LIMIT));
        let column = "{}]]".len() + JSON_DEPTH_LIMIT;
        object(&unbalanced, Err((1, column, JsonFault::TooDeep)));
    }

    #[test]
    fn an_error_says_what_is_wrong_and_where() {
        let error = check_json_object(b"[]").unwrap_err();
        assert_eq!(error.to_string(), "not a JSON object at line 1 column 1");
        let error = check_json_depth("[".repeat(128).as_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "JSON nested 128 levels deep at line 1 column 128"
        );
    }
}
