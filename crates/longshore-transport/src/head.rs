//! How much a peer may send before the body of its response.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue};

use crate::{Phase, TransportError, TransportErrorKind};

/// Refuses a response head that is over [`HEADER_LIMIT`] or [`HEADER_LIMIT_BYTES`].
///
/// The HTTP library under a transport should stop reading at about these limits; this check makes
/// them exact and the same for every transport.
///
/// # Errors
///
/// [`TransportErrorKind::HeaderLimit`] in [`Phase::Head`].
pub fn check_head(headers: &HeaderMap) -> Result<(), TransportError> {
    let around = ": \r\n".len();
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + around)
        .sum();
    if headers.len() > HEADER_LIMIT || bytes > HEADER_LIMIT_BYTES {
        let (kind, phase) = (TransportErrorKind::HeaderLimit, Phase::Head);
        return Err(TransportError::new(kind, phase));
    }
    Ok(())
}

/// Normalises the length fields of a response.
///
/// A transfer coding overrides a length, and lengths that agree count as one (RFC 9112 §6.3, RFC
/// 9110 §8.6). Lengths that do not agree are left as they are.
pub(crate) fn settle_length(headers: &mut HeaderMap) {
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
        return;
    }
    let Some(first) = headers.get(CONTENT_LENGTH) else {
        return;
    };
    let first = first.as_bytes().split(|b| *b == b',').next();
    let first = first.unwrap_or_default().trim_ascii();
    let mut lengths = headers
        .get_all(CONTENT_LENGTH)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','));
    if lengths.all(|length| length.trim_ascii() == first)
        && let Ok(length) = HeaderValue::from_bytes(first)
    {
        headers.insert(CONTENT_LENGTH, length);
    }
}

/// Maximum number of header fields of one response; one more is an error (LI).
pub const HEADER_LIMIT: usize = 128;

/// Maximum number of header bytes of one response, with four for the punctuation of each field;
/// one more is an error (LI).
pub const HEADER_LIMIT_BYTES: usize = 64 * 1024;

/// Maximum number of interim (1xx) responses to one request; one more is an error (LI).
pub const INTERIM_LIMIT: usize = 16;

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[track_caller]
    fn check(count: usize, length: usize, passes: bool) {
        let value = HeaderValue::try_from("x".repeat(length)).unwrap();
        let name = HeaderName::from_static("a");
        let headers: HeaderMap = std::iter::repeat_n((name, value), count).collect();
        let kind = check_head(&headers).err().map(|error| error.kind());
        let expected = (!passes).then_some(TransportErrorKind::HeaderLimit);
        assert_eq!(kind, expected, "{count} fields of {length} bytes");
    }

    // LI
    #[test]
    fn li_a_head_has_at_most_128_fields_and_64_kib() {
        check(0, 0, true);
        check(128, 1, true);
        check(129, 1, false);
        check(1, 64 * 1024 - 5, true);
        check(1, 64 * 1024 - 4, false);
        check(64, 1024 - 5, true);
        check(64, 1024 - 4, false);
    }

    #[track_caller]
    fn check_length(fields: &[(&'static str, &'static str)], expected: &[&str]) {
        let mut headers: HeaderMap = fields
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_static(value);
                (HeaderName::from_static(name), value)
            })
            .collect();
        settle_length(&mut headers);
        let found: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
        assert_eq!(found, expected, "{fields:?}");
    }

    #[test]
    fn lengths_that_agree_are_one_and_a_coding_overrides_them() {
        let length = "content-length";
        check_length(&[], &[]);
        check_length(&[(length, "7")], &["7"]);
        check_length(&[(length, "7"), (length, " 7 ")], &["7"]);
        check_length(&[(length, "7, 7"), (length, "7")], &["7"]);
        check_length(&[(length, "7"), (length, "8")], &["7", "8"]);
        check_length(&[(length, "7, 8")], &["7, 8"]);
        let coding = "transfer-encoding";
        check_length(&[(length, "7"), (coding, "chunked"), (length, "8")], &[]);
    }
}
