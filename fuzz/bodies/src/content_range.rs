//! `Range` and `Content-Range`, against a second reader, and both sides of them.

use http::response::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use longshore_model::Digest;
use longshore_proto::endpoint::{BlobAnswer, BlobRequest, Endpoint, Extent, Read};
use longshore_proto::range::{ByteRange, ContentRange, RangeField};
use longshore_proto::{Host, route};

use crate::multi_range::{plain_field, plain_number};

/// Reads the bytes as the value of `Content-Range`, and of `Range`.
///
/// # Panics
///
/// When the two readers disagree, when a part is not one of its blob, or when client and server
/// read each other otherwise than they wrote.
pub fn content_range(data: &[u8]) {
    let text = std::str::from_utf8(data).unwrap_or("\u{fffd}");
    let read = ContentRange::parse(data);
    assert_eq!(read, plain_content_range(text));
    if let Some(range) = read {
        assert_eq!(ContentRange::parse(range.to_string().as_bytes()), read);
    }
    answers(data, read);

    let read = RangeField::parse(data);
    assert_eq!(read, plain_field(text));
    let RangeField::Set(set) = read else { return };
    for range in set.ranges() {
        let one = RangeField::parse(range.to_string().as_bytes());
        assert_eq!(one, RangeField::Set((*range).into()));
        lies_within(*range);
        is_asked_and_served(*range);
    }
}

/// `bytes F-L/T`, `bytes F-L/*` or `bytes */T`, by RFC 9110 §14.4.
fn plain_content_range(text: &str) -> Option<ContentRange> {
    let (unit, rest) = text.split_once(' ')?;
    let (range, total) = rest.split_once('/')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    if range == "*" {
        let total = plain_number(total)?;
        return Some(ContentRange::Unsatisfied { total });
    }
    let (first, last) = range.split_once('-')?;
    let (first, last) = (plain_number(first)?, plain_number(last)?);
    let total = match total {
        "*" => None,
        digits => Some(plain_number(digits)?),
    };
    let makes_sense = first <= last && total.is_none_or(|total| last < total);
    makes_sense.then_some(ContentRange::Part { first, last, total })
}

/// A part is exactly those positions of the content that the range names.
fn lies_within(range: ByteRange) {
    let near = match range {
        ByteRange::From(n) | ByteRange::Suffix(n) | ByteRange::Span(n, _) => n,
    };
    for length in (0..20).chain([near, near.saturating_add(1), i64::MAX as u64]) {
        let part = range.within(length);
        if let Some((first, last)) = part {
            assert!(first <= last && last < length, "{range} of {length}");
        }
        if length < 20 {
            let is_named = |at: &u64| match range {
                ByteRange::From(first) => *at >= first,
                ByteRange::Span(first, last) => *at >= first && *at <= last,
                ByteRange::Suffix(count) => length - at <= count,
            };
            let named: Vec<u64> = (0..length).filter(is_named).collect();
            let part = part.map_or_else(Vec::new, |(first, last)| (first..=last).collect());
            assert_eq!(part, named, "{range} of {length}");
        }
    }
}

/// What a client writes a server reads, and the other way round.
fn is_asked_and_served(range: ByteRange) {
    let origin = "https://r.test".parse();
    let host = Host::new(origin.unwrap_or_else(|error| panic!("{error}")));
    let name = "app".parse().unwrap_or_else(|error| panic!("{error}"));
    let digest = Digest::sha256(b"keel");
    let request = BlobRequest::new(Read::Get, name, digest.clone()).with_range(range);
    let asked = Endpoint::Blob(request);
    let head = asked.write(&host);
    let read = route::read(&head.method, &head.path_and_query, &head.headers);
    assert!(read.is_ok_and(|read| read == asked), "{range}");
    for length in [0, 1, 4096] {
        let answer = BlobAnswer::part(digest.clone(), length, range);
        let (status, headers) = answer.write();
        assert_eq!(
            BlobAnswer::read(&parts(status, headers)).as_ref(),
            Ok(&answer)
        );
    }
}

/// RT6: a 206 has exactly one `Content-Range`, and one that makes sense.
fn answers(value: &[u8], read: Option<ContentRange>) {
    let Ok(value) = HeaderValue::from_bytes(value) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.append(header::CONTENT_RANGE, value.clone());
    let answer = BlobAnswer::read(&parts(StatusCode::PARTIAL_CONTENT, headers.clone()));
    let expected = match read {
        Some(ContentRange::Part { first, last, total }) => {
            Some(Extent::Part { first, last, total })
        }
        _ => None,
    };
    assert_eq!(answer.ok().map(|answer| answer.extent), expected, "RT6");
    headers.append(header::CONTENT_RANGE, value);
    let twice = BlobAnswer::read(&parts(StatusCode::PARTIAL_CONTENT, headers));
    assert!(twice.is_err(), "RT6");
}

fn parts(status: StatusCode, headers: HeaderMap) -> Parts {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.into_parts().0
}
