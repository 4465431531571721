//! The query of a request's URL: `name=value` pairs, percent-encoded (RFC 3986 §3.4).

use std::fmt::Write as _;

/// Appends a pair to a query or to a path and query that already has its question mark.
pub(super) fn push(query: &mut String, name: &str, value: &str) {
    let separator = match query.chars().next_back() {
        None | Some('?' | '&') => "",
        Some(_) => "&",
    };
    // Writing to a String cannot fail.
    let _ = write!(query, "{separator}{name}=");
    for byte in value.bytes() {
        let _ = match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                write!(query, "{}", char::from(byte))
            }
            _ => write!(query, "%{byte:02X}"),
        };
    }
}

/// Appends a pair to a path and query, which may have no query yet.
pub(super) fn push_to_path(path_and_query: &mut String, name: &str, value: &str) {
    if !path_and_query.contains('?') {
        path_and_query.push('?');
    }
    push(path_and_query, name, value);
}

/// The value of the first parameter of this name, decoded; `None` also when the decoded bytes are
/// not UTF-8.
pub(crate) fn first(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(found, _)| *found == name)?;
    String::from_utf8(decode(value.as_bytes())).ok()
}

/// Undoes percent-encoding and `+`; a percent sign before anything else stands for itself.
fn decode(text: &[u8]) -> Vec<u8> {
    let hex = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let (byte, after) = match (first, hex(after.first()), hex(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                // Two hexadecimal digits make one byte.
                let byte = u8::try_from(high << 4 | low).unwrap_or(b'%');
                (byte, after.get(2..).unwrap_or_default())
            }
            (b'+', ..) => (b' ', after),
            _ => (first, after),
        };
        decoded.push(byte);
        rest = after;
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_appended_to_any_query() {
        for (before, after) in [
            ("/upload", "/upload?digest=a%3Ab"),
            ("/upload?", "/upload?digest=a%3Ab"),
            (
                "/upload?_state=x%2F==",
                "/upload?_state=x%2F==&digest=a%3Ab",
            ),
            ("/upload?x&", "/upload?x&digest=a%3Ab"),
        ] {
            let mut path = before.to_owned();
            push_to_path(&mut path, "digest", "a:b");
            assert_eq!(path, after);
        }
    }

    #[test]
    fn a_value_is_decoded() {
        for (query, expected) in [
            ("last=a%2&n=%zz+", Some("a%2")),
            ("n=%zz+&last=%61+b", Some("a b")),
            ("last=%ff", None),
            ("n=5", None),
            ("last=1&last=2", Some("1")),
        ] {
            assert_eq!(first(query, "last").as_deref(), expected, "{query}");
        }
    }
}
