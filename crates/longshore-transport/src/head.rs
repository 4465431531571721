//! How much a peer may send before the body of its response.

use http::HeaderMap;

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

/// Maximum number of header fields of one response; one more is an error (LI).
pub const HEADER_LIMIT: usize = 128;

/// Maximum number of header bytes of one response, with four for the punctuation of each field;
/// one more is an error (LI).
pub const HEADER_LIMIT_BYTES: usize = 64 * 1024;

/// Maximum number of interim (1xx) responses to one request; one more is an error (LI).
pub const INTERIM_LIMIT: usize = 16;

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

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
}
