use http::Response;

use super::*;

const JITTER: Jitter = Jitter::new(0);

fn download() -> PartDownload {
    let name = "app".parse().unwrap();
    PartDownload::new(name, Digest::sha256(b"content"), 100_000, (10, 50_009)).unwrap()
}

fn head(status: u16, fields: &[(&str, &str)]) -> response::Parts {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(()).unwrap().into_parts().0
}

#[track_caller]
fn range(ask: &Ask) -> ByteRange {
    match &ask.endpoint {
        Endpoint::Blob(request) => request.range.as_ref().unwrap().ranges()[0],
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn asks(next: Result<Next, DownloadError>) -> Ask {
    match next.unwrap() {
        Next::Ask(ask) => ask,
        Next::Finished => panic!("there is more to come"),
    }
}

#[test]
fn only_parts_that_the_blob_has_can_be_asked_for() {
    let part = |size, range| {
        PartDownload::new("app".parse().unwrap(), Digest::sha256(b""), size, range).is_some()
    };
    assert!(part(1, (0, 0)));
    assert!(!part(0, (0, 0)));
    assert!(!part(9, (3, 2)));
    assert!(!part(9, (3, 9)));
}

#[test]
fn rt6_a_broken_part_asks_for_its_rest() {
    let mut part = download();
    assert_eq!(range(&part.ask()), ByteRange::Span(10, 50_009));
    let first = [
        ("content-range", "bytes 10-50009/100000"),
        ("etag", "\"a\""),
    ];
    assert_eq!(part.on_head(&head(206, &first)), Ok(Body::Read));
    assert_eq!(part.on_bytes(20_000), Ok(()));
    let ask = asks(part.on_end(JITTER));
    assert_eq!(range(&ask), ByteRange::Span(20_010, 50_009));
    assert_eq!(ask.delay, std::time::Duration::ZERO);
    // A part may be shorter than what was asked for (RFC 9110 §15.3.7): the rest comes next.
    let second = [("content-range", "bytes 20010-40009/100000")];
    assert_eq!(part.on_head(&head(206, &second)), Ok(Body::Read));
    assert_eq!(part.on_bytes(20_000), Ok(()));
    assert_eq!(
        range(&asks(part.on_end(JITTER))),
        ByteRange::Span(40_010, 50_009)
    );
    let third = [("content-range", "bytes 40010-50009/*"), ("etag", "\"a\"")];
    assert_eq!(part.on_head(&head(206, &third)), Ok(Body::Read));
    assert_eq!(part.on_bytes(10_000), Ok(()));
    assert_eq!(part.on_end(JITTER), Ok(Next::Finished));
}

#[test]
fn rt6_five_resumes_without_progress_are_the_last() {
    let mut part = download();
    for _ in 0..5 {
        assert_eq!(
            asks(part.on_end(JITTER)).delay,
            std::time::Duration::from_millis(100)
        );
    }
    assert_eq!(
        part.on_end(JITTER),
        Err(DownloadError::Resumes {
            resumes: 5,
            received: 10
        })
    );
}

#[test]
fn rt6_what_is_not_the_part_is_refused() {
    let other = Digest::sha256(b"other");
    let refused = |status, fields: &[(&str, &str)]| {
        let mut part = download();
        part.on_head(&head(status, fields)).unwrap_err()
    };
    for (status, fields) in [
        (200, &[][..]),
        (416, &[("content-range", "bytes */100000")]),
        (206, &[("content-range", "bytes 11-50009/100000")]),
        (206, &[("content-range", "bytes 10-50010/100000")]),
        (206, &[("content-range", "bytes 10-50009/100001")]),
    ] {
        assert_eq!(refused(status, fields), DownloadError::NoPart, "{fields:?}");
    }
    assert!(matches!(refused(206, &[]), DownloadError::Violation(_)));
    let range = ("content-range", "bytes 10-50009/100000");
    // DG2
    assert_eq!(
        refused(206, &[range, ("docker-content-digest", other.as_str())]),
        DownloadError::OtherDigest {
            claimed: other.clone()
        }
    );
    // DG6
    assert!(matches!(
        refused(206, &[range, ("content-encoding", "gzip")]),
        DownloadError::Violation(_)
    ));

    let mut part = download();
    assert_eq!(
        part.on_head(&head(206, &[range, ("etag", "\"a\"")])),
        Ok(Body::Read)
    );
    let _ = part.on_end(JITTER);
    assert_eq!(
        part.on_head(&head(206, &[range, ("etag", "\"b\"")])),
        Err(DownloadError::NoPart)
    );
}

#[test]
fn li3_reading_stops_at_the_end_of_the_part() {
    let mut part = download();
    let short = [("content-range", "bytes 10-19/100000")];
    assert_eq!(part.on_head(&head(206, &short)), Ok(Body::Read));
    assert_eq!(part.on_bytes(10), Ok(()));
    assert_eq!(part.on_bytes(1), Err(DownloadError::NoPart));
}

#[test]
fn a_weak_tag_says_nothing_about_bytes() {
    let mut part = download();
    for etag in ["W/\"a\"", "W/\"b\""] {
        let fields = [("content-range", "bytes 10-50009/100000"), ("etag", etag)];
        assert_eq!(part.on_head(&head(206, &fields)), Ok(Body::Read));
        asks(part.on_end(JITTER));
    }
}

#[test]
fn rt6_a_refused_resume_of_a_part_begins_the_part_again_once() {
    let begin = || {
        let mut part = download();
        let first = [
            ("content-range", "bytes 10-50009/100000"),
            ("etag", "\"a\""),
        ];
        assert_eq!(part.on_head(&head(206, &first)), Ok(Body::Read));
        assert_eq!(part.on_bytes(20_000), Ok(()));
        asks(part.on_end(JITTER));
        part
    };
    for (status, fields) in [
        (400, &[][..]),
        (403, &[]),
        (416, &[]),
        (501, &[]),
        (206, &[]),
        (206, &[("content-range", "bytes 10-50009/100000")]),
        (
            206,
            &[
                ("content-range", "bytes 20010-50009/100000"),
                ("etag", "\"b\""),
            ],
        ),
    ] {
        let mut part = begin();
        let code = StatusCode::from_u16(status).unwrap();
        assert!(part.takes(code), "{status}");
        match part.on_head(&head(status, fields)).unwrap() {
            Body::Ask(ask) => assert_eq!(range(&ask), ByteRange::Span(10, 50_009)),
            Body::Read => panic!("accepted: {status} {fields:?}"),
        }
        assert_eq!(part.takes(code), matches!(status, 206 | 416));
        let whole = [("content-range", "bytes 10-50009/100000")];
        assert_eq!(part.on_head(&head(206, &whole)), Ok(Body::Read));
        assert_eq!(part.on_bytes(50_000), Ok(()));
        assert_eq!(part.on_end(JITTER), Ok(Next::Finished));
    }
    // The first request for a part, and a status that is not a refusal of the range.
    assert!(!download().takes(StatusCode::BAD_REQUEST));
    assert!(!begin().takes(StatusCode::TOO_MANY_REQUESTS));
}
