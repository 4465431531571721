//! Secrets as the bytes of a request.

use bytes::Bytes;
use longshore_origin::Secret;

/// Returns the bytes of a secret, shared by all clones and wiped when the last is dropped (OU3).
///
/// Headers and bodies are cloned while a request is sent. A clone of these bytes shares them and
/// does not copy the secret.
pub(crate) fn wiped(secret: Secret) -> Bytes {
    Bytes::from_owner(Wiped(secret))
}

struct Wiped(Secret);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    // OU3
    #[test]
    fn ou3_what_goes_into_a_request_is_the_secret_itself_and_no_copy() {
        let secret = Secret::new("hunter2".into());
        let at = secret.expose().as_ptr();
        let bytes = wiped(secret);
        assert_eq!((&*bytes, bytes.as_ptr()), (&b"hunter2"[..], at));
        let value = HeaderValue::from_maybe_shared(bytes.clone()).unwrap();
        let values = [value.clone(), value];
        for shared in values.iter().map(HeaderValue::as_bytes).chain([&*bytes]) {
            assert_eq!(shared.as_ptr(), at);
        }
    }
}
