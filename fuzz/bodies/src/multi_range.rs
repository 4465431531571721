//! Requests for several ranges, and their answers as a client reads them.
//!
//! ```text
//! input = length LF value           ; of the blob, and of the `Range` field
//! ```

use std::ops::Range;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use longshore_model::Digest;
use longshore_proto::endpoint::{BlobBody, BlobRequest, Endpoint, Multipart, MultipartPiece, Read};
use longshore_proto::range::{
    ByteRange, ContentRange, RANGES_LIMIT, RangeField, RangeSet, RangesError,
};
use longshore_proto::route::{self, RouteError};

use crate::answer::number;

/// Reads the bytes as a request for ranges of a blob, and answers it.
///
/// # Panics
///
/// When a second reader disagrees about the field, when a set is not written as it was read, when
/// the length in the head is not that of the body, or when a client that knows nothing but the
/// boundary does not find exactly the requested bytes.
pub fn multi_range(data: &[u8]) {
    let (length, value) = number(data);
    let value = value.strip_prefix(b"\n").unwrap_or(value);
    let field = RangeField::parse(value);
    assert_eq!(
        field,
        plain_field(std::str::from_utf8(value).unwrap_or("\u{fffd}"))
    );
    if let RangeField::Set(set) = &field {
        assert_eq!(RangeField::parse(set.to_string().as_bytes()), field);
    }
    let Ok(value) = HeaderValue::from_bytes(value) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::RANGE, value);
    for length in [length % CONTENT_LIMIT_BYTES, length] {
        let content = (length < CONTENT_LIMIT_BYTES).then(|| content(length));
        let digest = Digest::sha256(content.as_deref().unwrap_or_default());
        let path = format!("/v2/app/blobs/{digest}");
        match route::read_only(&Method::GET, &path, &headers) {
            Ok(Endpoint::Blob(request)) => answers(&request, length, content.as_deref()),
            Err(RouteError::Ranges(_)) => assert_eq!(field, RangeField::TooMany),
            other => panic!("{other:?}"),
        }
    }
}

/// Length below which the content of a blob is made and read again.
const CONTENT_LIMIT_BYTES: u64 = 512;

/// Content that looks like the text between parts.
fn content(length: u64) -> Vec<u8> {
    let pattern = b"\r\n--0a\r\nContent-Range: bytes 0-1/2\r\n\r\n";
    let bytes = pattern.iter().cycle().zip(0..length);
    bytes.map(|(byte, _)| *byte).collect()
}

/// `bytes=` and a list of ranges, by RFC 9110 §14.1.1, §14.1.2 and §5.6.1.
pub(crate) fn plain_field(text: &str) -> RangeField {
    let Some((unit, set)) = text.split_once('=') else {
        return RangeField::Ignored;
    };
    let elements = set
        .split(',')
        .map(|element| element.trim_matches(|c: char| c.is_ascii_whitespace()))
        .filter(|element| !element.is_empty());
    let elements: Option<Vec<_>> = elements.map(plain_element).collect();
    match elements {
        Some(elements) if unit.eq_ignore_ascii_case("bytes") => {
            let ranges: Vec<ByteRange> = elements.iter().copied().flatten().collect();
            if ranges.len() > RANGES_LIMIT {
                RangeField::TooMany
            } else if ranges.len() < elements.len() {
                RangeField::Unsatisfiable
            } else {
                RangeSet::new(ranges).map_or(RangeField::Ignored, RangeField::Set)
            }
        }
        _ => RangeField::Ignored,
    }
}

/// One element: `Some(None)` when its last position is before the first, `None` when it is
/// malformed.
fn plain_element(element: &str) -> Option<Option<ByteRange>> {
    let (first, last) = element.split_once('-')?;
    match (plain_number(first), plain_number(last)) {
        (Some(first), Some(last)) if first > last => Some(None),
        (Some(first), Some(last)) => Some(Some(ByteRange::Span(first, last))),
        (Some(first), None) if last.is_empty() => Some(Some(ByteRange::From(first))),
        (None, Some(count)) if first.is_empty() => Some(Some(ByteRange::Suffix(count))),
        _ => None,
    }
}

/// LI3: digits below 2^63, and no sign.
pub(crate) fn plain_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let digits = digits.then(|| text.trim_start_matches('0'))?;
    match digits {
        "" => Some(0),
        digits if digits.len() > 19 => None,
        digits => {
            let number = digits.parse::<u128>().ok()?;
            u64::try_from(number).ok().filter(|n| *n < 1 << 63)
        }
    }
}

/// Checks the answer against the positions that each range names.
fn answers(request: &BlobRequest, length: u64, content: Option<&[u8]>) {
    let response = match request.answer(length) {
        Ok(response) => response,
        Err(refusal) => {
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
            let set = request.range.as_ref().map(|set| set.within(length));
            return assert_eq!(set, Some(Err(RangesError::Overlapping)));
        }
    };
    let head = BlobRequest::new(Read::Head, request.name.clone(), request.digest.clone());
    assert_eq!(
        head.answer(length).map(|head| head.status()),
        Ok(StatusCode::OK)
    );
    let (head, body) = response.into_parts();
    let announced = head.headers.get(header::CONTENT_LENGTH).cloned();
    let (bytes, parts) = match body {
        BlobBody::Bytes(range) => {
            assert!(range.end <= length);
            (range.end - range.start, vec![range])
        }
        BlobBody::Multipart(parts) => {
            assert!(parts.ranges().len() > 1);
            if let Some(content) = content {
                is_recovered(parts.clone(), content);
            }
            (parts.length(), parts.ranges().to_vec())
        }
    };
    assert_eq!(announced, Some(HeaderValue::from(bytes)));
    let wanted = request.range.iter().flat_map(|set| set.ranges());
    let wanted: Vec<_> = wanted
        .filter_map(|range| range.within(length))
        .map(|(first, last)| first..last + 1)
        .collect();
    match head.status {
        StatusCode::OK => assert_eq!((parts.first(), parts.len()), (Some(&(0..length)), 1)),
        StatusCode::PARTIAL_CONTENT => assert_eq!(parts, wanted),
        status => {
            assert_eq!((status, bytes), (StatusCode::RANGE_NOT_SATISFIABLE, 0));
            assert!(wanted.is_empty());
        }
    }
}

/// Reads the body by its boundary alone, and finds each part where its head says it is.
fn is_recovered(parts: Multipart, content: &[u8]) {
    let (boundary, told, wanted) = (
        parts.boundary().to_owned(),
        parts.length(),
        parts.ranges().to_vec(),
    );
    let mut body = b"\r\n".to_vec();
    for piece in parts {
        match piece {
            MultipartPiece::Delimiter(text) => body.extend_from_slice(&text),
            MultipartPiece::Content(range) => body.extend_from_slice(part(content, &range)),
        }
    }
    assert_eq!(body.len() as u64, told + 2);
    let delimiter = format!("\r\n--{boundary}");
    let mut pieces = split(&body, delimiter.as_bytes());
    assert_eq!(pieces.first().copied(), Some(&b""[..]));
    assert_eq!(pieces.pop(), Some(&b"--\r\n"[..]));
    let found = pieces.into_iter().skip(1).map(|piece| {
        let end = find(piece, b"\r\n\r\n").unwrap_or_else(|| panic!("a part without a head"));
        let (head, bytes) = piece.split_at(end);
        let head = String::from_utf8_lossy(head).into_owned();
        let range = head
            .split("\r\n")
            .find_map(|line| line.strip_prefix("Content-Range: "));
        let range = range.and_then(|range| ContentRange::parse(range.as_bytes()));
        let Some(ContentRange::Part { first, last, total }) = range else {
            panic!("{head}")
        };
        assert_eq!(total, Some(content.len() as u64));
        let range = first..last + 1;
        assert_eq!(
            bytes.strip_prefix(b"\r\n\r\n"),
            Some(part(content, &range)),
            "{head}"
        );
        range
    });
    assert!(found.eq(wanted));
}

fn part<'a>(content: &'a [u8], range: &Range<u64>) -> &'a [u8] {
    let at = |position| usize::try_from(position).unwrap_or(usize::MAX);
    content
        .get(at(range.start)..at(range.end))
        .unwrap_or_else(|| panic!("{range:?}"))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

fn split<'a>(text: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some(at) = find(rest, separator) {
        let (piece, after) = rest.split_at(at);
        pieces.push(piece);
        rest = after.strip_prefix(separator).unwrap_or_default();
    }
    pieces.push(rest);
    pieces
}
