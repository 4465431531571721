use http::Method;

use super::*;
use crate::endpoint::Endpoint;
use crate::route;

const LENGTH: u64 = 10;

/// What a server that has the ten bytes answers to a request with these headers.
#[track_caller]
fn answer(method: &Method, fields: &[(&'static str, &str)]) -> (response::Parts, Range<u64>) {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let value = value.replace("DIGEST", digest().as_str());
        headers.append(*name, value.parse().unwrap());
    }
    let path = format!("/v2/app/blobs/{}", digest());
    match route::read_only(method, &path, &headers).unwrap() {
        Endpoint::Blob(request) => request.answer(LENGTH).into_parts(),
        other => panic!("{other:?}"),
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
    check(&[("range", "bytes=0-1,4-5")], 200, 0..10);
    check(&[("range", "items=0-1")], 200, 0..10);
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
    let whole = request.answer(0);
    assert_eq!((whole.status(), whole.body()), (StatusCode::OK, &(0..0)));
    let part = request.with_range(ByteRange::From(0)).answer(0);
    assert_eq!(part.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(part.headers()["content-range"], "bytes */0");
}
