//! Header fields that several endpoints share.

use std::fmt::Display;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use longshore_model::Digest;

use crate::range::number;
use crate::violation::Violation;

/// The digest of what was asked for, as the registry believes (distribution-spec v1.1.1
/// "Pulling manifests").
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// The subject that a registry recorded (distribution-spec v1.1.1 "Pushing Manifests with
/// Subject").
pub(crate) const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// Adds a field if there is a value and it fits into a header.
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: Option<&impl Display>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value.to_string()).ok()) {
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

/// The value of a list field, with its lines joined into one list (RFC 9110 §5.3).
pub(crate) fn list(headers: &HeaderMap, name: &HeaderName) -> Option<Box<str>> {
    let lines = headers.get_all(name).iter();
    let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(", ").into())
}

/// `Content-Length`, which must be one number below 2^63 (LI3).
pub(crate) fn length(headers: &HeaderMap, section: &'static str) -> Result<Option<u64>, Violation> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (number(value.as_bytes()), values.next()) {
        (Some(length), None) => Ok(Some(length)),
        _ => Err(Violation::header(
            section,
            &CONTENT_LENGTH,
            value.as_bytes(),
        )),
    }
}

/// `Docker-Content-Digest`, where an empty field counts as none.
pub(crate) fn digest(
    headers: &HeaderMap,
    section: &'static str,
) -> Result<Option<Digest>, Violation> {
    one_digest(headers, &CONTENT_DIGEST, section)
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

/// The digest of a field that stands once, or not at all; an empty field counts as none.
pub(crate) fn one_digest(
    headers: &HeaderMap,
    name: &HeaderName,
    section: &'static str,
) -> Result<Option<Digest>, Violation> {
    let mut values = headers
        .get_all(name)
        .iter()
        .filter(|value| !value.is_empty());
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let digest = value.to_str().ok().and_then(|text| text.parse().ok());
    match (digest, values.next()) {
        (Some(digest), None) => Ok(Some(digest)),
        _ => Err(Violation::header(section, name, value.as_bytes())),
    }
}
