use std::time::Duration;

use http::Response;

use super::*;

const JITTER: Jitter = Jitter::new(0);

fn download(size: Option<u64>) -> Download {
    Download::new("app".parse().unwrap(), Digest::sha256(b"content"), size)
}

fn head(status: u16, fields: &[(&str, &str)]) -> response::Parts {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(()).unwrap().into_parts().0
}

#[track_caller]
fn range(ask: &Ask) -> Option<ByteRange> {
    match &ask.endpoint {
        Endpoint::Blob(request) => request.range.as_ref().map(|set| set.ranges()[0]),
        other => panic!("{other:?}"),
    }
}

/// Asks, reads `received` bytes of a 200, and breaks off.
#[track_caller]
fn broken_at(size: Option<u64>, received: u64, fields: &[(&str, &str)]) -> (Download, Ask) {
    let mut download = download(size);
    assert_eq!(range(&download.ask()), None);
    assert_eq!(download.on_head(&head(200, fields)), Ok(Body::Read));
    assert_eq!(download.on_bytes(received), Ok(0));
    match download.on_interrupted(JITTER).unwrap() {
        Next::Ask(ask) => (download, ask),
        Next::Finished => panic!("a broken download is not finished"),
    }
}

#[test]
fn a_download_ends_at_its_size() {
    let mut download = download(Some(7));
    assert!(!download.ask().bulk);
    assert_eq!(
        download.on_head(&head(200, &[("content-length", "7")])),
        Ok(Body::Read)
    );
    assert_eq!(download.on_bytes(3), Ok(0));
    assert_eq!(download.on_bytes(4), Ok(0));
    assert_eq!(download.on_end(JITTER), Ok(Next::Finished));
}

#[test]
fn the_size_is_learned_when_no_descriptor_told_it() {
    let mut download = download(None);
    let _ = download.ask();
    assert_eq!(
        download.on_head(&head(200, &[("content-length", "7")])),
        Ok(Body::Read)
    );
    assert_eq!(download.size(), Some(7));
}

#[test]
fn rt6_a_broken_download_asks_for_the_rest() {
    let (mut download, ask) = broken_at(Some(40_000), 30_000, &[("etag", "\"a\"")]);
    assert_eq!(range(&ask), Some(ByteRange::From(30_000)));
    assert_eq!(ask.delay, Duration::ZERO);
    match &ask.endpoint {
        Endpoint::Blob(request) => assert_eq!(request.if_range.as_deref(), Some("\"a\"")),
        other => panic!("{other:?}"),
    }
    let rest = [
        ("content-range", "bytes 30000-39999/40000"),
        ("etag", "\"a\""),
    ];
    assert_eq!(download.on_head(&head(206, &rest)), Ok(Body::Read));
    assert_eq!(download.on_bytes(10_000), Ok(0));
    assert_eq!(download.on_end(JITTER), Ok(Next::Finished));
}

#[test]
fn rt6_a_200_to_a_resume_drops_what_was_received() {
    let (mut download, _) = broken_at(Some(100), 30, &[]);
    assert_eq!(
        download.on_head(&head(200, &[("content-length", "100")])),
        Ok(Body::Read)
    );
    assert_eq!(download.on_bytes(20), Ok(20));
    assert_eq!(download.on_bytes(20), Ok(10));
    assert_eq!(download.on_bytes(60), Ok(0));
    assert_eq!(download.on_end(JITTER), Ok(Next::Finished));
}

#[test]
fn rt6_a_206_that_is_not_ours_restarts_once() {
    for fields in [
        &[("content-range", "bytes 29-99/100")][..],
        &[("content-range", "bytes 30-98/99")],
        &[("content-range", "bytes 30-99/100"), ("etag", "\"b\"")],
        &[
            ("content-range", "bytes 30-99/100"),
            ("content-range", "bytes 30-99/100"),
        ],
        &[("content-range", "nonsense")],
        &[],
    ] {
        let (mut download, _) = broken_at(Some(100), 30, &[("etag", "\"a\"")]);
        match download.on_head(&head(206, fields)).unwrap() {
            Body::Ask(ask) => assert_eq!(range(&ask), None, "{fields:?}"),
            Body::Read => panic!("accepted: {fields:?}"),
        }
        let again = download.on_head(&head(206, fields)).unwrap_err();
        assert!(matches!(again, DownloadError::Violation(_)), "{again:?}");
    }
}

#[test]
fn rt6_a_416_restarts_once_and_the_whole_is_dropped_up_to_where_we_were() {
    let (mut download, _) = broken_at(Some(100), 30, &[]);
    assert!(matches!(
        download.on_head(&head(416, &[])),
        Ok(Body::Ask(_))
    ));
    assert_eq!(download.on_head(&head(200, &[])), Ok(Body::Read));
    assert_eq!(download.on_bytes(100), Ok(30));
    assert_eq!(download.on_end(JITTER), Ok(Next::Finished));
}

#[test]
fn a_206_that_nobody_asked_for_is_a_violation() {
    let mut download = download(Some(7));
    let _ = download.ask();
    let found = download.on_head(&head(206, &[("content-range", "bytes 0-6/7")]));
    assert!(
        matches!(found, Err(DownloadError::Violation(_))),
        "{found:?}"
    );
}

#[test]
fn an_early_end_is_a_broken_download() {
    let mut download = download(Some(100));
    let _ = download.ask();
    assert_eq!(download.on_head(&head(200, &[])), Ok(Body::Read));
    assert_eq!(download.on_bytes(60), Ok(0));
    match download.on_end(JITTER).unwrap() {
        Next::Ask(ask) => assert_eq!(range(&ask), Some(ByteRange::From(60))),
        Next::Finished => panic!("60 of 100 bytes are not all"),
    }
}

#[test]
fn rt6_five_resumes_without_progress_are_the_last() {
    let (mut download, mut ask) = broken_at(Some(1 << 30), 10, &[]);
    for stalled in 2..=STALLED_RESUMES {
        assert!(ask.delay >= Duration::from_millis(100), "{stalled}");
        let at = format!(
            "bytes {}-{}/{}",
            download.received(),
            (1 << 30) - 1,
            1 << 30
        );
        assert_eq!(
            download.on_head(&head(206, &[("content-range", &at)])),
            Ok(Body::Read)
        );
        assert_eq!(download.on_bytes(PROGRESS_BYTES - 1), Ok(0));
        ask = match download.on_interrupted(JITTER).unwrap() {
            Next::Ask(ask) => ask,
            Next::Finished => panic!("not finished"),
        };
    }
    let last = download.on_interrupted(JITTER).unwrap_err();
    assert!(
        matches!(last, DownloadError::Resumes { resumes: 5, .. }),
        "{last:?}"
    );
}

#[test]
fn rt6_resumes_are_counted_alike_after_a_first_answer_with_progress() {
    let (mut download, ask) = broken_at(Some(1 << 30), PROGRESS_BYTES, &[]);
    assert_eq!(ask.delay, Duration::ZERO);
    for _ in 1..STALLED_RESUMES {
        download.budget.begin(download.received());
        download.on_interrupted(JITTER).unwrap();
    }
    let last = download.on_interrupted(JITTER).unwrap_err();
    assert!(
        matches!(last, DownloadError::Resumes { resumes: 5, .. }),
        "{last:?}"
    );
}

#[test]
fn rt6_two_hundred_resumes_are_the_last() {
    let (mut download, _) = broken_at(Some(1 << 40), PROGRESS_BYTES, &[]);
    for _ in 1..RESUMES {
        let at = format!(
            "bytes {}-{}/{}",
            download.received(),
            (1_u64 << 40) - 1,
            1_u64 << 40
        );
        assert_eq!(
            download.on_head(&head(206, &[("content-range", &at)])),
            Ok(Body::Read)
        );
        assert_eq!(download.on_bytes(PROGRESS_BYTES), Ok(0));
        download.on_interrupted(JITTER).unwrap();
    }
    let last = download.on_interrupted(JITTER).unwrap_err();
    assert!(
        matches!(last, DownloadError::Resumes { resumes: 200, .. }),
        "{last:?}"
    );
}

#[test]
fn li1_a_larger_announcement_fails_at_once() {
    let mut download = download(Some(7));
    let _ = download.ask();
    let found = download.on_head(&head(200, &[("content-length", "8")]));
    let (expected, confirmed) = (7, false);
    assert_eq!(
        found,
        Err(DownloadError::TooLong {
            expected,
            confirmed
        })
    );
}

#[test]
fn dg3_a_smaller_announcement_fails_at_once() {
    let mut download = download(Some(7));
    let _ = download.ask();
    let found = download.on_head(&head(200, &[("content-length", "6")]));
    let (expected, announced) = (7, 6);
    assert_eq!(
        found,
        Err(DownloadError::TooShort {
            expected,
            announced,
            confirmed: false
        })
    );
}

#[test]
fn li3_reading_stops_one_byte_beyond_the_size() {
    let mut download = download(Some(7));
    let _ = download.ask();
    assert_eq!(download.on_head(&head(200, &[])), Ok(Body::Read));
    assert_eq!(download.on_bytes(7), Ok(0));
    assert_eq!(
        download.on_bytes(1),
        Err(DownloadError::TooLong {
            expected: 7,
            confirmed: false
        })
    );
}

#[test]
fn a_body_that_breaks_behind_its_last_byte_is_whole() {
    for (size, fields) in [(Some(7), &[][..]), (None, &[("content-length", "7")])] {
        let mut download = download(size);
        let _ = download.ask();
        assert_eq!(download.on_head(&head(200, fields)), Ok(Body::Read));
        assert_eq!(download.on_bytes(7), Ok(0));
        assert_eq!(download.on_interrupted(JITTER), Ok(Next::Finished));
    }
}

#[test]
fn dg2_a_blob_said_to_be_another_is_refused() {
    let claim = |digest: &Digest| head(200, &[("docker-content-digest", digest.as_str())]);
    let sha512 = Digest::of(&longshore_model::Algorithm::Sha512, b"other").unwrap();
    for same in [Digest::sha256(b"content"), sha512] {
        assert_eq!(download(None).on_head(&claim(&same)), Ok(Body::Read));
    }
    let claimed = Digest::sha256(b"other");
    assert_eq!(
        download(None).on_head(&claim(&claimed)),
        Err(DownloadError::OtherDigest { claimed })
    );
}

#[test]
fn rt6_a_whole_that_ends_before_what_was_received_is_no_end() {
    let (mut download, _) = broken_at(None, 100, &[]);
    assert_eq!(download.on_head(&head(200, &[])), Ok(Body::Read));
    assert_eq!(download.on_bytes(50), Ok(50));
    let next = download.on_end(JITTER);
    assert!(matches!(next, Ok(Next::Ask(_))), "{next:?}");
}

#[test]
fn dg3_an_early_end_at_the_same_place_is_the_end_of_the_blob() {
    let mut download = download(Some(40_000));
    let _ = download.ask();
    let short = |download: &mut Download, dropped| {
        assert_eq!(download.on_head(&head(200, &[])), Ok(Body::Read));
        assert_eq!(download.on_bytes(30_000), Ok(dropped));
        download.on_end(JITTER)
    };
    match short(&mut download, 0).unwrap() {
        Next::Ask(ask) => assert_eq!(range(&ask), Some(ByteRange::From(30_000))),
        Next::Finished => panic!("10,000 bytes are missing"),
    }
    // RT6: there is no such part, so the whole is asked for once more.
    let beyond = head(416, &[("content-range", "bytes */30000")]);
    assert!(matches!(download.on_head(&beyond), Ok(Body::Ask(_))));
    assert_eq!(
        short(&mut download, 30_000),
        Err(DownloadError::TooShort {
            expected: 40_000,
            announced: 30_000,
            confirmed: false
        })
    );
}

#[test]
fn rt6_a_body_of_no_bytes_is_asked_for_again() {
    let mut download = download(Some(9));
    let _ = download.ask();
    for _ in 0..3 {
        assert_eq!(download.on_head(&head(200, &[])), Ok(Body::Read));
        assert!(matches!(download.on_end(JITTER), Ok(Next::Ask(_))));
    }
    assert_eq!(download.on_head(&head(200, &[])), Ok(Body::Read));
    assert_eq!(download.on_bytes(9), Ok(0));
    assert_eq!(download.on_end(JITTER), Ok(Next::Finished));
}

#[test]
fn dg3_less_than_has_arrived_cannot_be_the_whole() {
    let (mut download, _) = broken_at(None, 4, &[]);
    assert_eq!(
        download.on_head(&head(200, &[("content-length", "3")])),
        Err(DownloadError::Shrunk {
            received: 4,
            announced: 3
        })
    );
}

#[test]
fn rt6_a_refused_range_restarts_once() {
    for status in [400, 403, 404, 405, 412, 416, 501] {
        let (mut download, _) = broken_at(Some(100), 30, &[]);
        let code = StatusCode::from_u16(status).unwrap();
        assert!(download.takes(code), "{status}");
        match download.on_head(&head(status, &[])).unwrap() {
            Body::Ask(ask) => assert_eq!(range(&ask), None, "{status}"),
            Body::Read => panic!("{status} has no bytes"),
        }
        // The whole is not asked for with a range again, whatever happens.
        assert_eq!(download.takes(code), status == 416, "{status}");
        assert_eq!(download.on_head(&head(200, &[])), Ok(Body::Read));
        assert_eq!(download.on_bytes(60), Ok(30));
        match download.on_interrupted(JITTER).unwrap() {
            Next::Ask(ask) => assert_eq!(range(&ask), None),
            Next::Finished => panic!("40 bytes are missing"),
        }
        assert_eq!(download.on_head(&head(200, &[])), Ok(Body::Read));
        assert_eq!(download.on_bytes(100), Ok(60));
        assert_eq!(download.on_end(JITTER), Ok(Next::Finished));
    }
}

#[test]
fn rt6_other_refusals_and_those_of_the_whole_are_final() {
    let (resumed, _) = broken_at(Some(100), 30, &[]);
    for status in [401, 429, 500, 503] {
        let status = StatusCode::from_u16(status).unwrap();
        assert!(!resumed.takes(status), "{status}");
    }
    let mut whole = download(Some(100));
    let _ = whole.ask();
    for status in [400, 403, 404, 501] {
        let status = StatusCode::from_u16(status).unwrap();
        assert!(!whole.takes(status), "{status}");
    }
}

#[test]
fn rt6_a_refused_range_of_an_earlier_run_restarts_once() {
    let mut download = download(Some(100)).resumed(30);
    assert_eq!(range(&download.ask()), Some(ByteRange::From(30)));
    assert!(download.takes(StatusCode::BAD_REQUEST));
    let next = download.on_head(&head(400, &[]));
    assert!(matches!(next, Ok(Body::Ask(_))), "{next:?}");
    assert_eq!(download.on_head(&head(200, &[])), Ok(Body::Read));
    assert_eq!(download.on_bytes(100), Ok(30));
    assert_eq!(download.on_end(JITTER), Ok(Next::Finished));
}

#[test]
fn li_a_blob_without_a_descriptor_ends_at_the_limit() {
    let over = Err(DownloadError::OverLimit { limit: 9 });
    let mut announced = download(None).with_limit(9);
    let _ = announced.ask();
    let found = announced.on_head(&head(200, &[("content-length", "10")]));
    assert_eq!(found, over.clone().map(|()| Body::Read));
    let mut endless = download(None).with_limit(9);
    let _ = endless.ask();
    assert_eq!(endless.on_head(&head(200, &[])), Ok(Body::Read));
    assert_eq!(endless.on_bytes(9), Ok(0));
    assert_eq!(endless.on_bytes(1), over.map(|()| 0));
    // A descriptor says how much is wanted.
    let mut described = download(Some(10)).with_limit(9);
    let _ = described.ask();
    assert_eq!(described.on_head(&head(200, &[])), Ok(Body::Read));
    assert_eq!(described.on_bytes(10), Ok(0));
    assert_eq!(BLOB_LIMIT_BYTES, 1 << 35);
    // Without a limit of the caller, the registry may announce more.
    let mut large = download(None);
    let _ = large.ask();
    let length = (BLOB_LIMIT_BYTES + 1).to_string();
    let found = large.on_head(&head(200, &[("content-length", &length)]));
    assert_eq!(found, Ok(Body::Read));
}

#[test]
fn a_wrong_size_is_blamed_on_the_descriptor_where_the_digest_is_confirmed() {
    let digest = Digest::sha256(b"content");
    let claim = ("docker-content-digest", digest.as_str());
    for (length, message) in [
        (
            "6",
            "the descriptor says 7 bytes, but the registry has 6 under the same digest: the size \
             in the descriptor is wrong",
        ),
        (
            "8",
            "the descriptor says 7 bytes, but the registry has more under the same digest: the \
             size in the descriptor is wrong",
        ),
    ] {
        let mut download = download(Some(7));
        let _ = download.ask();
        let answer = head(200, &[claim, ("content-length", length)]);
        assert_eq!(download.on_head(&answer).unwrap_err().to_string(), message);
    }
}
