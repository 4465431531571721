//! The query of a request's URL: `name=value` pairs, percent-encoded (RFC 3986 §3.4).

use std::fmt::Write as _;
use std::string::FromUtf8Error;

/// Appends a pair to a query.
pub(super) fn push(query: &mut String, name: &str, value: &str) {
    if !matches!(query.chars().next_back(), None | Some('&')) {
        query.push('&');
    }
    push_pair(query, name, value);
}

fn push_pair(query: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = write!(query, "{name}=");
    for byte in value.bytes() {
        push_byte(query, byte, |byte| {
            byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
        });
    }
}

/// Appends a byte, percent-encoded unless it may stand for itself.
fn push_byte(query: &mut String, byte: u8, is_plain: impl Fn(u8) -> bool) {
    if is_plain(byte) {
        query.push(char::from(byte));
    } else {
        // Writing to a String cannot fail.
        let _ = write!(query, "%{byte:02X}");
    }
}

/// Appends a pair to a path and query, which may have no query yet. Only the first question mark
/// begins the query; others belong to it (RFC 3986 §3.4).
pub(super) fn push_to_path(path_and_query: &mut String, name: &str, value: &str) {
    let separator = match path_and_query.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    path_and_query.push_str(separator);
    push_pair(path_and_query, name, value);
}

/// The value of the first parameter of this name, decoded; `None` also when the decoded bytes are
/// not UTF-8.
pub(crate) fn first(query: &str, name: &str) -> Option<String> {
    String::from_utf8(first_bytes(query, name)?).ok()
}

/// The value of the first parameter of this name, decoded.
pub(super) fn first_bytes(query: &str, name: &str) -> Option<Vec<u8>> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(found, _)| *found == name)?;
    Some(decode(value.as_bytes()))
}

/// The values of all parameters of this name in their order, decoded. A value whose decoded bytes
/// are not UTF-8 is an error.
pub(crate) fn all(query: &str, name: &str) -> Result<Vec<String>, FromUtf8Error> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let named = pairs.filter(|(found, _)| *found == name);
    named
        .map(|(_, value)| String::from_utf8(decode(value.as_bytes())))
        .collect()
}

/// The query without the parameters of these names. Bytes that may stand in a query stay as they
/// are; others are encoded (RFC 3986 §3.4).
pub(super) fn without(query: &str, names: &[&str]) -> String {
    let mut kept = String::new();
    let is_named = |pair: &str| names.contains(&pair.split('=').next().unwrap_or_default());
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    for pair in pairs.filter(|pair| !is_named(pair)) {
        if !kept.is_empty() {
            kept.push('&');
        }
        for byte in pair.bytes() {
            push_byte(&mut kept, byte, |byte| {
                byte.is_ascii_alphanumeric() || b"-._~!$'()*+,;=:@/?%".contains(&byte)
            });
        }
    }
    kept
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
            ("/upload?x=/?", "/upload?x=/?&digest=a%3Ab"),
        ] {
            let mut path = before.to_owned();
            push_to_path(&mut path, "digest", "a:b");
            assert_eq!(path, after);
        }
    }

    #[test]
    fn a_query_keeps_what_is_not_replaced() {
        for (before, after) in [
            ("", ""),
            ("n=1&last=a", ""),
            ("n&last", ""),
            ("ns=docker.io&n=1&x=%2f+,;", "ns=docker.io&x=%2f+,;"),
            ("last=1&%6E=2&&n2=3", "%6E=2&n2=3"),
            ("a=>; rel=\"x\"&n=1", "a=%3E;%20rel=%22x%22"),
            ("a=\r\n\u{e4}", "a=%0D%0A%C3%A4"),
        ] {
            assert_eq!(without(before, &["n", "last"]), after, "{before}");
        }
    }

    #[test]
    fn repeated_parameters_keep_their_order() {
        let tags = all("tag=b&x=1&tag=%61&tag", "tag");
        assert_eq!(tags.unwrap(), ["b", "a"]);
        assert!(all("tag=%ff", "tag").is_err());
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
