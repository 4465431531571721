//! Header fields that several endpoints share.

use std::fmt::Display;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use longshore_model::{Digest, Hasher, MediaType};

use crate::range::number;
use crate::violation::Violation;

/// The digest of what was asked for, as the registry believes (distribution-spec v1.1.1
/// "Pulling manifests").
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// The subject that a registry recorded (distribution-spec v1.1.1 "Pushing Manifests with
/// Subject").
pub(crate) const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// A tag that a registry set in addition (distribution-spec, after v1.1.1, "Pushing Manifests").
pub(crate) const TAG: HeaderName = HeaderName::from_static("oci-tag");

/// Adds a field if there is a value and it fits into a header.
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: Option<&impl Display>) {
    put_text(headers, name, value.map(ToString::to_string).as_deref());
}

/// No fields yet, with room for those of an answer that has content and for as many that a server
/// adds.
pub(crate) fn headers_of_content() -> HeaderMap {
    HeaderMap::with_capacity(12)
}

/// As [`put`], of text.
pub(crate) fn put_text(headers: &mut HeaderMap, name: HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(name, value);
    }
}

/// An answer with this head and, unless the method is `HEAD`, this body. Either way the length of
/// the body is in the head (RFC 9110 §8.6).
pub(crate) fn document(
    method: &Method,
    head: (StatusCode, HeaderMap),
    body: Bytes,
) -> Response<Bytes> {
    let mut head = head;
    put(&mut head.1, CONTENT_LENGTH, Some(&body.len()));
    let body = if *method == Method::HEAD {
        Bytes::new()
    } else {
        body
    };
    response(head, body)
}

/// An answer with this head and body.
pub(crate) fn response<B>((status, headers): (StatusCode, HeaderMap), body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The text of a field that stands once.
pub(crate) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| value.to_owned())
}

/// `Content-Type`, if it is a media type; any other value is ignored.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    text(headers, &CONTENT_TYPE).filter(|text| text.parse::<MediaType>().is_ok())
}

/// The value of a list field, with its lines joined into one list (RFC 9110 §5.3).
pub(crate) fn list(headers: &HeaderMap, name: &HeaderName) -> Option<Box<str>> {
    let lines = headers.get_all(name).iter();
    let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(", ").into())
}

/// `Content-Length`, if it is a number below 2^63 (LI3); equal repetitions count as one (RFC 9110
/// §8.6). Any other value is ignored.
pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    one(headers, &CONTENT_LENGTH, |value| number(value.as_bytes()))
}

/// `Docker-Content-Digest`, if it is a digest that can be verified. DG2: any other value is
/// ignored, see [`ignored_digest`].
pub(crate) fn digest(headers: &HeaderMap) -> Option<Digest> {
    let digest = one_digest(headers, &CONTENT_DIGEST)?;
    Hasher::new(&digest.algorithm()).is_ok().then_some(digest)
}

/// Refuses an answer that claims to have stored other content than was sent (DG7).
pub(crate) fn check_stored(
    stored: Option<&Digest>,
    sent: &Digest,
    section: &'static str,
) -> Result<(), Violation> {
    match stored {
        Some(stored) if stored.algorithm() == sent.algorithm() && stored != sent => {
            let found = stored.as_str().as_bytes();
            Err(Violation::header(section, &CONTENT_DIGEST, found))
        }
        _ => Ok(()),
    }
}

/// The digest of a field, if it holds one.
pub(crate) fn one_digest(headers: &HeaderMap, name: &HeaderName) -> Option<Digest> {
    one(headers, name, |value| value.to_str().ok()?.parse().ok())
}

/// The value that all non-empty lines of a field agree on; `None` if they disagree, or if one is
/// malformed.
fn one<T: PartialEq>(
    headers: &HeaderMap,
    name: &HeaderName,
    read: impl Fn(&HeaderValue) -> Option<T>,
) -> Option<T> {
    let lines = headers.get_all(name).iter();
    let mut values = lines.filter(|line| !line.is_empty()).map(read);
    let first = values.next()??;
    values
        .all(|value| value.as_ref() == Some(&first))
        .then_some(first)
}

/// The value of a `Docker-Content-Digest` that is ignored because it is malformed, differs between
/// lines, or uses an unsupported algorithm (DG2: a client ignores it with a warning).
///
/// This is text of the peer: escape it before it is shown.
#[must_use]
pub fn ignored_digest(headers: &HeaderMap) -> Option<&[u8]> {
    let mut lines = headers.get_all(CONTENT_DIGEST).iter();
    let line = lines.find(|line| !line.is_empty())?;
    digest(headers).is_none().then_some(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[track_caller]
    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, line.parse().unwrap());
        }
        headers
    }

    #[test]
    fn dg2_a_digest_header_that_cannot_be_verified_is_ignored() {
        let good: Digest = SHA256.parse().unwrap();
        let (hex, quoted) = (&SHA256[7..], format!("\"{SHA256}\""));
        let upper = SHA256.to_uppercase();
        for lines in [
            &[hex][..],
            &[&quoted],
            &[&upper],
            &["md5:abc"],
            &["md5:d41d8cd98f00b204e9800998ecf8427e"],
            &[SHA256, hex],
            &[
                SHA256,
                "sha256:0000000000000000000000000000000000000000000000000000000000000000",
            ],
        ] {
            let headers = headers(&CONTENT_DIGEST, lines);
            assert_eq!(digest(&headers), None, "{lines:?}");
            assert_eq!(ignored_digest(&headers), Some(lines[0].as_bytes()));
        }
        for lines in [&[SHA256][..], &[SHA256, SHA256], &["", SHA256]] {
            let headers = headers(&CONTENT_DIGEST, lines);
            assert_eq!(digest(&headers).as_ref(), Some(&good), "{lines:?}");
            assert_eq!(ignored_digest(&headers), None);
        }
        let none = headers(&CONTENT_DIGEST, &[""]);
        assert_eq!((digest(&none), ignored_digest(&none)), (None, None));
    }

    #[test]
    fn a_malformed_content_type_is_ignored() {
        for (lines, expected) in [
            (&["text/plain"][..], Some("text/plain")),
            (&["a/b; c=d"], Some("a/b; c=d")),
            (&["a/b;=\""], Some("a/b;=\"")),
            (&["no type"], None),
            (&["/"], None),
            (&[""], None),
            (&["a/b", "a/b"], None),
        ] {
            let headers = headers(&CONTENT_TYPE, lines);
            assert_eq!(media_type(&headers).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn li3_a_malformed_length_is_ignored() {
        for (lines, expected) in [
            (&["7"][..], Some(7)),
            (&["7", "7"], Some(7)),
            (&["9223372036854775807"], Some(u64::MAX >> 1)),
            (&["9223372036854775808"], None),
            (&["-1"], None),
            (&["7", "8"], None),
            (&["7, 7"], None),
            (&["many"], None),
            (&[], None),
        ] {
            let headers = headers(&CONTENT_LENGTH, lines);
            assert_eq!(length(&headers), expected, "{lines:?}");
        }
    }
}
