//! Warnings of a registry to its users: the `Warning` fields of an answer.
//!
//! RFC 7234 §5.5, of which distribution-spec v1.1.1 "Warnings" allows the code 299, the agent `-`
//! and no date:
//!
//! ```text
//! Warning       = 1#warning-value
//! warning-value = "299" SP "-" SP warn-text    ; of 3DIGIT SP warn-agent SP warn-text [ SP date ]
//! warn-text     = quoted-string
//! ```
//!
//! A client shows a warning once, and does nothing else about it.

use http::{HeaderMap, HeaderValue, header};

/// Maximum length of all warnings of one answer, in bytes. A registry must not send more
/// (distribution-spec v1.1.1 "Warnings"); the rest is dropped.
pub const WARNINGS_LIMIT_BYTES: usize = 4096;

/// The texts of the warnings of an answer; peer text, to be shown escaped.
///
/// A warning of another code or agent, with a date, or malformed is left out: it was not written
/// by a registry for its users.
#[must_use]
pub fn read(headers: &HeaderMap) -> Vec<String> {
    let mut room = WARNINGS_LIMIT_BYTES;
    let mut texts = Vec::new();
    for value in headers.get_all(header::WARNING) {
        let Some(left) = room.checked_sub(value.len()) else {
            break;
        };
        room = left;
        texts.extend(elements(value.as_bytes()).into_iter().filter_map(text_of));
    }
    texts
}

/// Adds a warning to an answer. Text that no header can hold, or that is longer than
/// [`WARNINGS_LIMIT_BYTES`] with all else, is left out.
pub fn write(headers: &mut HeaderMap, text: &str) {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    let before = headers.get_all(header::WARNING).iter();
    let before: usize = before.map(HeaderValue::len).sum();
    if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{escaped}\""))
        && before + value.len() <= WARNINGS_LIMIT_BYTES
    {
        headers.append(header::WARNING, value);
    }
}

/// The elements of a list (RFC 9110 §5.6.1), where a comma within quotes parts nothing.
fn elements(field: &[u8]) -> Vec<&[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    field
        .split(|&byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = quoted,
                b'"' => quoted = !quoted,
                _ => {}
            }
            byte == b',' && !quoted
        })
        .map(<[u8]>::trim_ascii)
        .collect()
}

/// The text of one warning of the form that the specification allows.
fn text_of(element: &[u8]) -> Option<String> {
    let quoted = element.strip_prefix(b"299 - \"")?.strip_suffix(b"\"")?;
    let mut text = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => return None,
            b'\\' => text.push(*bytes.next()?),
            _ => text.push(byte),
        }
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[&str], expected: &[&str]) {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(
                header::WARNING,
                HeaderValue::from_bytes(field.as_bytes()).unwrap(),
            );
        }
        assert_eq!(read(&headers), expected, "{fields:?}");
    }

    #[test]
    fn every_warning_for_users_is_read() {
        check(&[r#"299 - "one""#, r#"299 - "two""#], &["one", "two"]);
        check(&[r#"299 - "a, b" , 299 - "c""#], &["a, b", "c"]);
        check(
            &[r#"299 - "say \"no\", \\ or \n""#],
            &[r#"say "no", \ or n"#],
        );
        check(&["299 - \"ä\""], &["ä"]);
        check(&[r#"299 - """#], &[""]);
        check(&[], &[]);
    }

    #[test]
    fn what_is_no_warning_for_users_is_left_out() {
        for field in [
            r#"199 - "x""#,
            r#"299 r.example "x""#,
            r#"299 - "x" "Sat, 25 Aug 2012 23:34:45 GMT""#,
            r#"299 - "x"#,
            r#"299 - "x\""#,
            "299 - x",
            "299 -",
            ", ,",
            "",
        ] {
            check(&[field], &[]);
        }
        check(&[r#"110 - "stale", 299 - "b""#], &["b"]);
    }

    #[test]
    fn li_no_more_is_read_than_a_registry_may_send() {
        let long = format!("299 - \"{}\"", "a".repeat(4000));
        let text = "a".repeat(4000);
        check(&[&long, r#"299 - "b""#], &[&text, "b"]);
        check(&[&long, &long, r#"299 - "b""#], &[&text]);
    }

    #[test]
    fn a_written_warning_reads_back() {
        let mut headers = HeaderMap::new();
        write(&mut headers, r#"a "b", \c"#);
        write(&mut headers, "no\nheader");
        write(&mut headers, &"x".repeat(WARNINGS_LIMIT_BYTES));
        assert_eq!(read(&headers), [r#"a "b", \c"#]);
    }
}
