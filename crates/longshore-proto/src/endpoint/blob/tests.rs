use http::Method;

use super::*;
use crate::endpoint::{Endpoint, MultipartPiece};
use crate::route;

const LENGTH: u64 = 10;

/// What a server that has the ten bytes answers to a request with these headers.
#[track_caller]
fn respond(
    method: &Method,
    fields: &[(&'static str, &str)],
) -> Result<Response<BlobBody>, Refusal> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let value = value.replace("DIGEST", digest().as_str());
        headers.append(*name, value.parse().unwrap());
    }
    let path = format!("/v2/app/blobs/{}", digest());
    match route::read_only(method, &path, &headers).unwrap() {
        Endpoint::Blob(request) => request.answer(LENGTH),
        other => panic!("{other:?}"),
    }
}

/// As [`respond`], for an answer without several parts.
#[track_caller]
fn answer(method: &Method, fields: &[(&'static str, &str)]) -> (response::Parts, Range<u64>) {
    match respond(method, fields).unwrap().into_parts() {
        (head, BlobBody::Bytes(bytes)) => (head, bytes),
        (_, other) => panic!("{other:?}"),
    }
}

fn digest() -> Digest {
    Digest::sha256(b"0123456789")
}

#[track_caller]
fn check(fields: &[(&'static str, &str)], status: u16, bytes: Range<u64>) {
    let (head, sent) = answer(&Method::GET, fields);
    assert_eq!(
        (head.status.as_u16(), &sent),
        (status, &bytes),
        "{fields:?}"
    );
    let etag = format!("\"{}\"", digest());
    assert_eq!(head.headers["etag"], etag, "{fields:?}");
    assert_eq!(head.headers["docker-content-digest"], digest().as_str());
    if status == 304 {
        assert!(!head.headers.contains_key("content-length"));
        assert_eq!(NotModified::read(&head), Ok(NotModified::new(digest())));
        return;
    }
    let length = (bytes.end - bytes.start).to_string();
    assert_eq!(head.headers["content-length"], length, "{fields:?}");
    assert_eq!(head.headers["accept-ranges"], "bytes", "{fields:?}");
    let read = BlobAnswer::read(&head).unwrap();
    let extent = match status {
        206 => Extent::Part {
            first: bytes.start,
            last: bytes.end - 1,
            total: Some(LENGTH),
        },
        416 => Extent::Beyond(Some(LENGTH)),
        _ => Extent::Whole,
    };
    assert_eq!(read.extent, extent, "{fields:?}");
}

#[test]
fn a_range_is_answered_with_its_part() {
    check(&[], 200, 0..10);
    check(&[("range", "bytes=2-5")], 206, 2..6);
    check(&[("range", "bytes=7-")], 206, 7..10);
    check(&[("range", "bytes=-3")], 206, 7..10);
    check(&[("range", "bytes=0-99")], 206, 0..10);
    for beyond in ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=5-2"] {
        check(&[("range", beyond)], 416, 0..0);
    }
}

#[test]
fn a_range_that_is_not_one_is_answered_with_the_whole() {
    check(&[("range", "items=0-1")], 200, 0..10);
    check(&[("range", "bytes=0-1,x")], 200, 0..10);
    check(
        &[("range", "bytes=0-1"), ("range", "bytes=0-1")],
        200,
        0..10,
    );
}

#[test]
fn rt6_a_part_is_of_the_blob_that_the_client_has_begun() {
    for (if_range, status, bytes) in [
        ("\"DIGEST\"", 206, 2..10),
        ("W/\"DIGEST\"", 200, 0..10),
        ("\"other\"", 200, 0..10),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 200, 0..10),
    ] {
        let fields = [("range", "bytes=2-"), ("if-range", if_range)];
        check(&fields, status, bytes);
    }
    check(
        &[("range", "bytes=12-"), ("if-range", "\"other\"")],
        200,
        0..10,
    );
    check(&[("if-range", "\"other\"")], 200, 0..10);
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    check(&[("if-none-match", "\"DIGEST\"")], 304, 0..0);
    check(&[("if-none-match", "W/\"DIGEST\"")], 304, 0..0);
    check(&[("if-none-match", "*"), ("range", "bytes=2-")], 304, 0..0);
    let lines = [("if-none-match", "\"a\""), ("if-none-match", "\"DIGEST\"")];
    check(&lines, 304, 0..0);
    check(&[("if-none-match", "\"other\"")], 200, 0..10);
}

#[test]
fn a_head_names_the_length_of_the_whole_and_sends_nothing() {
    for fields in [
        &[][..],
        &[("range", "bytes=2-5")],
        &[("range", "bytes=10-")],
    ] {
        let (head, bytes) = answer(&Method::HEAD, fields);
        assert_eq!((head.status, bytes), (StatusCode::OK, 0..0), "{fields:?}");
        assert_eq!(head.headers["content-length"], "10");
        assert!(!head.headers.contains_key("content-range"));
    }
    let (head, _) = answer(&Method::HEAD, &[("if-none-match", "*")]);
    assert_eq!(head.status, StatusCode::NOT_MODIFIED);
}

#[test]
fn an_empty_blob_has_no_part() {
    let request = BlobRequest::new(Read::Get, "app".parse().unwrap(), Digest::sha256(b""));
    let whole = request.answer(0).unwrap();
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(whole.body(), &BlobBody::Bytes(0..0));
    let part = request.with_range(ByteRange::From(0)).answer(0).unwrap();
    assert_eq!(part.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(part.headers()["content-range"], "bytes */0");
}

#[test]
fn several_ranges_are_answered_with_their_parts() {
    let (head, body) = respond(&Method::GET, &[("range", "bytes=7-8, 0-2,90-,-1")])
        .unwrap()
        .into_parts();
    let BlobBody::Multipart(parts) = body else {
        panic!("{body:?}")
    };
    assert_eq!(head.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(parts.ranges(), [7..9, 0..3, 9..10]);
    let boundary = parts.boundary().to_owned();
    let is_hexadecimal = boundary.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_hexadecimal && boundary.len() == 32, "{boundary}");
    let media_type = format!("multipart/byteranges; boundary={boundary}");
    assert_eq!(head.headers["content-type"], media_type);
    assert_eq!(head.headers["accept-ranges"], "bytes");
    assert_eq!(head.headers["etag"], format!("\"{}\"", digest()));
    assert_eq!(head.headers["docker-content-digest"], digest().as_str());
    assert!(!head.headers.contains_key("content-range"));
    let length = parts.length().to_string();
    let body = sent(parts);
    let expected = format!(
        "--{boundary}\r\nContent-Type: application/octet-stream\r\n\
         Content-Range: bytes 7-8/10\r\n\r\n78\r\n\
         --{boundary}\r\nContent-Type: application/octet-stream\r\n\
         Content-Range: bytes 0-2/10\r\n\r\n012\r\n\
         --{boundary}\r\nContent-Type: application/octet-stream\r\n\
         Content-Range: bytes 9-9/10\r\n\r\n9\r\n--{boundary}--\r\n"
    );
    assert_eq!(body, expected);
    assert_eq!(head.headers["content-length"], body.len().to_string());
    assert_eq!(length, body.len().to_string());
}

/// The whole body with parts of the ten bytes.
fn sent(parts: Multipart) -> String {
    let at = |position| usize::try_from(position).unwrap();
    let pieces = parts.map(|piece| match piece {
        MultipartPiece::Delimiter(text) => String::from_utf8(text.to_vec()).unwrap(),
        MultipartPiece::Content(range) => "0123456789"[at(range.start)..at(range.end)].to_owned(),
    });
    pieces.collect()
}

#[test]
fn a_boundary_differs_between_sets_and_stays_for_one() {
    let boundary = |range| match respond(&Method::GET, &[("range", range)]).unwrap().body() {
        BlobBody::Multipart(parts) => parts.boundary().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(boundary("bytes=0-1,4-5"), boundary("bytes=0-1, 4-5,77-"));
    assert_ne!(boundary("bytes=0-1,4-5"), boundary("bytes=4-5,0-1"));
}

#[test]
fn a_set_that_leaves_one_part_or_none_is_answered_like_one_range() {
    check(&[("range", "bytes=2-3,10-,12-")], 206, 2..4);
    check(&[("range", "bytes=10-,-0")], 416, 0..0);
    check(&[("range", "bytes=0-1,3-2")], 416, 0..0);
}

#[test]
fn the_conditions_of_a_request_apply_to_several_ranges() {
    let several = ("range", "bytes=0-1,4-5");
    check(&[several, ("if-none-match", "*")], 304, 0..0);
    check(&[several, ("if-range", "\"other\"")], 200, 0..10);
    let same = [several, ("if-range", "\"DIGEST\"")];
    let body = respond(&Method::GET, &same).unwrap().into_body();
    assert!(matches!(body, BlobBody::Multipart(_)), "{body:?}");
    for range in ["bytes=0-1,4-5", "bytes=0-4,4-5"] {
        let (head, bytes) = answer(&Method::HEAD, &[("range", range)]);
        assert_eq!((head.status, bytes), (StatusCode::OK, 0..0), "{range}");
    }
}

#[test]
fn overlapping_and_too_many_ranges_are_refused() {
    let many: Vec<_> = (0..1025)
        .map(|at| format!("{}-{}", at * 2, at * 2))
        .collect();
    let many = format!("bytes={}", many.join(","));
    let mut headers = HeaderMap::new();
    headers.insert("range", many.parse().unwrap());
    let path = format!("/v2/app/blobs/{}", digest());
    let too_many = route::read_only(&Method::GET, &path, &headers).unwrap_err();
    let overlapping = respond(&Method::GET, &[("range", "bytes=0-4,4-5")]).unwrap_err();
    for (refusal, message) in [
        (
            too_many.refusal(),
            "more than 1024 ranges are requested; send several requests",
        ),
        (
            overlapping,
            "the requested ranges overlap; request every byte at most once",
        ),
    ] {
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
        let entry = &refusal.body.entries[0];
        assert_eq!(
            (entry.code.as_str(), entry.message.as_deref()),
            ("RANGE_INVALID", Some(message))
        );
    }
    // A HEAD ignores the field (RFC 9110 §14.2).
    assert!(route::read_only(&Method::HEAD, &path, &headers).is_ok());
    // Bytes that would overlap, but do not exist, do not.
    check(&[("range", "bytes=8-,10-12,11-20")], 206, 8..10);
    // A request that changes nothing has no use for its ranges.
    check(
        &[("range", "bytes=0-4,4-5"), ("if-none-match", "*")],
        304,
        0..0,
    );
}
