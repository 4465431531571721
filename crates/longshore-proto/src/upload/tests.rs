use http::Response;
use longshore_origin::Origin;

use super::*;
use crate::Host;
use crate::call::{Call, CallPolicy, Step};

fn digest() -> Digest {
    Digest::sha256(b"blob")
}

fn upload(size: u64) -> Upload {
    with(size, UploadOptions::default(), UploadQuirks::default())
}

fn chunked(size: u64, chunk: u64) -> Upload {
    let options = UploadOptions {
        chunk: Some(chunk),
        ..UploadOptions::default()
    };
    with(size, options, UploadQuirks::default())
}

fn with(size: u64, options: UploadOptions, quirks: UploadQuirks) -> Upload {
    let content = UploadContent::known(digest(), size);
    Upload::new("app".parse().unwrap(), content, options, quirks)
}

/// What a call knows after the answer to this request.
fn ended(ask: &Ask) -> Ended {
    let origin: Origin = "https://registry.example".parse().unwrap();
    let (mut call, step) = Call::start(
        ask.clone(),
        [Host::new(origin)].into(),
        CallPolicy::default(),
    );
    let step = match step {
        Step::Wait(_) => call.waited(),
        other => other,
    };
    assert!(matches!(step, Step::Send(_)), "{step:?}");
    call.end()
}

fn head(status: u16, headers: &[(&str, &str)]) -> response::Parts {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(()).unwrap().into_parts().0
}

/// Passes an answer to the upload.
fn answer(
    upload: &mut Upload,
    ask: &Ask,
    status: u16,
    headers: &[(&str, &str)],
) -> Result<UploadNext, UploadError> {
    upload.on_answer(&head(status, headers), &ended(ask), Jitter::default())
}

/// Passes an answer to the upload, and returns the request that follows.
#[track_caller]
fn then(upload: &mut Upload, ask: &Ask, status: u16, headers: &[(&str, &str)]) -> Ask {
    match answer(upload, ask, status, headers) {
        Ok(UploadNext::Ask(ask)) => ask,
        other => panic!("{other:?}"),
    }
}

/// The request as it is sent: method, path and query, `Content-Range`, and the body.
fn sent(ask: &Ask) -> String {
    let origin: Origin = "https://registry.example".parse().unwrap();
    let (mut call, step) = Call::start(
        ask.clone(),
        [Host::new(origin)].into(),
        CallPolicy::default(),
    );
    let step = match step {
        Step::Wait(_) => call.waited(),
        other => other,
    };
    let Step::Send(sending) = step else {
        panic!("{step:?}");
    };
    let range = sending.headers.get("content-range");
    let range = range.map_or("", |range| range.to_str().unwrap());
    let path = sending.hop.path_and_query().replace(digest().as_str(), "D");
    let path = path.replace(&digest().as_str().replace(':', "%3A"), "D");
    let body = match sending.body {
        None => String::new(),
        Some(BodyName { offset, length }) => {
            let length = length.map_or_else(|| "end".to_owned(), |length| length.to_string());
            format!("{offset}+{length}")
        }
    };
    let words = [sending.method.as_str(), &path, range, &body];
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

const SESSION: &[(&str, &str)] = &[("location", "/s/1?state=a%2Fb"), ("range", "0-0")];

#[test]
fn a_blob_is_a_post_and_a_put() {
    let mut upload = upload(10);
    let start = upload.start();
    assert_eq!(sent(&start), "POST /v2/app/blobs/uploads/");
    let put = then(&mut upload, &start, 202, SESSION);
    assert_eq!(sent(&put), "PUT /s/1?state=a%2Fb&digest=D 0+10");
    let done = answer(&mut upload, &put, 201, &[]);
    assert_eq!(done, Ok(UploadNext::Finished(UploadOutcome::Sent)));
    assert_eq!(upload.session(), None);
}

#[test]
fn a_stream_of_a_known_digest_is_named_after_its_end() {
    let mut content = UploadContent::stream();
    content.digest = Some(digest());
    let name = "app".parse().unwrap();
    let options = UploadOptions::default();
    let mut upload = Upload::new(name, content, options, UploadQuirks::default());
    let start = upload.start();
    let chunk = then(&mut upload, &start, 202, SESSION);
    assert_eq!(sent(&chunk), "PATCH /s/1?state=a%2Fb 0+end");
    let next = answer(&mut upload, &chunk, 202, &[]);
    assert_eq!(next, Ok(UploadNext::Digest));
    let Ok(UploadNext::Ask(finish)) = upload.on_digest(digest(), 10) else {
        panic!();
    };
    assert_eq!(sent(&finish), "PUT /s/1?state=a%2Fb&digest=D");
}

#[test]
fn a_stream_of_unknown_size_that_breaks_off_names_the_position_that_is_needed() {
    let content = UploadContent::stream();
    let name = "app".parse().unwrap();
    let options = UploadOptions::default();
    let mut upload = Upload::new(name, content, options, UploadQuirks::default());
    let start = upload.start();
    then(&mut upload, &start, 202, SESSION);
    let Ok(UploadNext::Ask(status)) = upload.on_failed(Jitter::default()) else {
        panic!();
    };
    let failed = answer(&mut upload, &status, 204, &[("range", "0-4095")]);
    assert_eq!(failed, Err(UploadError::NotSeekable { received: 4096 }));
}

#[test]
fn chunks_follow_the_range_and_the_location_of_each_answer() {
    let mut upload = chunked(10, 4);
    let start = upload.start();
    let first = then(&mut upload, &start, 202, SESSION);
    assert_eq!(sent(&first), "PATCH /s/1?state=a%2Fb 0-3 0+4");
    let moved = [("location", "/s/2"), ("range", "0-3")];
    let second = then(&mut upload, &first, 202, &moved);
    assert_eq!(sent(&second), "PATCH /s/2 4-7 4+4");
    // Without Range and Location, the client uses its own count.
    let third = then(&mut upload, &second, 204, &[]);
    assert_eq!(sent(&third), "PATCH /s/2 8-9 8+2");
    let finish = then(&mut upload, &third, 201, &[("range", "bytes=0-9")]);
    assert_eq!(sent(&finish), "PUT /s/2?digest=D");
    let done = answer(&mut upload, &finish, 201, &[]);
    assert_eq!(done, Ok(UploadNext::Finished(UploadOutcome::Sent)));
}

#[test]
fn a_session_with_a_minimum_chunk_length_gets_longer_chunks() {
    let mut upload = chunked(10, 2);
    let start = upload.start();
    let session = [("location", "/s"), ("oci-chunk-min-length", "6")];
    let first = then(&mut upload, &start, 202, &session);
    assert_eq!(sent(&first), "PATCH /s 0-5 0+6");
    let last = then(&mut upload, &first, 202, &[("range", "0-5")]);
    assert_eq!(sent(&last), "PATCH /s 6-9 6+4");
}

#[test]
fn a_blob_of_one_chunk_is_a_post_and_a_put() {
    for (size, chunk, expected) in [
        (10, 10, "PUT /s/1?state=a%2Fb&digest=D 0+10"),
        (10, 11, "PUT /s/1?state=a%2Fb&digest=D 0+10"),
        (0, 4, "PUT /s/1?state=a%2Fb&digest=D"),
        (10, 9, "PATCH /s/1?state=a%2Fb 0-8 0+9"),
    ] {
        let mut upload = chunked(size, chunk);
        let start = upload.start();
        let first = then(&mut upload, &start, 202, SESSION);
        assert_eq!(sent(&first), expected);
    }
    let mut upload = chunked(10 * MIB, 128 * MIB);
    let start = upload.start();
    let whole = then(&mut upload, &start, 202, SESSION);
    let again = then(&mut upload, &whole, 413, &[]);
    let first = then(&mut upload, &again, 202, SESSION);
    assert_eq!(sent(&first), "PATCH /s/1?state=a%2Fb 0-8388607 0+8388608");
}

#[test]
fn an_empty_stream_is_named_after_its_end() {
    let name = "app".parse().unwrap();
    let options = UploadOptions::default();
    let quirks = UploadQuirks::default();
    let mut upload = Upload::new(name, UploadContent::stream(), options, quirks);
    let start = upload.start();
    let patch = then(&mut upload, &start, 202, SESSION);
    let due = answer(&mut upload, &patch, 202, &[]);
    assert_eq!(due, Ok(UploadNext::Digest));
    let Ok(UploadNext::Ask(finish)) = upload.on_digest(digest(), 0) else {
        panic!("{upload:?}");
    };
    // Not with a body: the stream cannot be read again.
    assert_eq!(sent(&finish), "PUT /s/1?state=a%2Fb&digest=D");
}

// RT1, RT3: `Retry-After: 0` is no leave to ask again at once.
#[test]
fn rt1_an_upload_waits_although_the_registry_asks_for_no_wait() {
    for (asked, expected) in [("0", 100), ("7", 7000)] {
        let mut upload = chunked(10, 4);
        let start = upload.start();
        let first = then(&mut upload, &start, 202, SESSION);
        let status = then(&mut upload, &first, 503, &[("retry-after", asked)]);
        assert_eq!(status.delay, Duration::from_millis(expected));
    }
}

#[test]
fn a_mount_saves_the_upload_and_a_refusal_does_not_end_it() {
    let options = UploadOptions {
        mount: Some("base".parse().unwrap()),
        ..UploadOptions::default()
    };
    for (status, headers, next) in [
        (201, &[][..], None),
        (202, SESSION, Some("PUT /s/1?state=a%2Fb&digest=D 0+3")),
        (403, &[], Some("POST /v2/app/blobs/uploads/")),
        (404, &[], Some("POST /v2/app/blobs/uploads/")),
    ] {
        let mut upload = with(3, options.clone(), UploadQuirks::default());
        let mount = upload.start();
        assert_eq!(
            sent(&mount),
            "POST /v2/app/blobs/uploads/?mount=D&from=base"
        );
        match (answer(&mut upload, &mount, status, headers), next) {
            (Ok(UploadNext::Ask(ask)), Some(next)) => assert_eq!(sent(&ask), next),
            (Ok(UploadNext::Finished(UploadOutcome::Mounted)), None) => {}
            other => panic!("{other:?}"),
        }
        let refused = upload.mount_refused().map(|status| status.as_u16());
        assert_eq!(refused, (status > 400).then_some(status));
    }
}

#[test]
fn a_mount_needs_a_source_unless_the_registry_finds_one() {
    for (mounts, first) in [
        (Mounts::From, "POST /v2/app/blobs/uploads/"),
        (Mounts::Never, "POST /v2/app/blobs/uploads/"),
        (Mounts::Anonymous, "POST /v2/app/blobs/uploads/?mount=D"),
    ] {
        let quirks = UploadQuirks {
            mounts,
            ..UploadQuirks::default()
        };
        let mut upload = with(3, UploadOptions::default(), quirks);
        assert_eq!(sent(&upload.start()), first, "{mounts:?}");
    }
}

#[test]
fn a_blob_that_exists_is_not_sent() {
    let options = UploadOptions {
        check: true,
        ..UploadOptions::default()
    };
    for (status, exists) in [(200, true), (404, false), (405, false), (403, false)] {
        let mut upload = with(3, options.clone(), UploadQuirks::default());
        let check = upload.start();
        assert_eq!(sent(&check), "HEAD /v2/app/blobs/D");
        match answer(&mut upload, &check, status, &[]) {
            Ok(UploadNext::Finished(UploadOutcome::Existing)) => assert!(exists, "{status}"),
            Ok(UploadNext::Ask(ask)) => {
                assert!(!exists, "{status}");
                assert_eq!(sent(&ask), "POST /v2/app/blobs/uploads/");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_body_that_is_too_large_is_sent_in_chunks() {
    let mut upload = upload(100 * MIB);
    let start = upload.start();
    let put = then(&mut upload, &start, 202, SESSION);
    let again = then(&mut upload, &put, 413, &[]);
    assert_eq!(sent(&again), "POST /v2/app/blobs/uploads/");
    let first = then(&mut upload, &again, 202, SESSION);
    assert_eq!(sent(&first), "PATCH /s/1?state=a%2Fb 0-67108863 0+67108864");
    let again = then(&mut upload, &first, 413, &[]);
    let first = then(&mut upload, &again, 202, SESSION);
    assert_eq!(sent(&first), "PATCH /s/1?state=a%2Fb 0-8388607 0+8388608");
}

#[test]
fn a_registry_that_accepts_no_chunks_gets_none() {
    let quirks = UploadQuirks {
        chunks: Chunks::Never,
        ..UploadQuirks::default()
    };
    let mut upload = with(1 << 40, UploadOptions::default(), quirks);
    let start = upload.start();
    let put = then(&mut upload, &start, 202, SESSION);
    assert_eq!(put.body.unwrap().length, Some(1 << 40));
    let refused = answer(&mut upload, &put, 413, &[]);
    assert_eq!(refused, Err(UploadError::Refused));
}

#[test]
fn a_large_blob_is_divided_by_what_the_registry_allows() {
    for (chunks, length) in [
        (Chunks::Allowed, CHUNK_BYTES),
        (Chunks::AtMost(4 * MIB), 4 * MIB),
        (Chunks::Never, WHOLE_LIMIT_BYTES + 1),
    ] {
        let quirks = UploadQuirks {
            chunks,
            ..UploadQuirks::default()
        };
        let mut upload = with(WHOLE_LIMIT_BYTES + 1, UploadOptions::default(), quirks);
        let start = upload.start();
        let first = then(&mut upload, &start, 202, SESSION);
        assert_eq!(first.body.unwrap().length, Some(length), "{chunks:?}");
    }
}

// RT4: a chunk is sent again only after the session said how much it has.
#[test]
fn rt4_a_chunk_without_an_answer_is_continued_where_the_session_is() {
    let mut upload = chunked(10, 4);
    let start = upload.start();
    let first = then(&mut upload, &start, 202, SESSION);
    let second = then(&mut upload, &first, 202, &[("range", "0-3")]);
    assert_eq!(sent(&second), "PATCH /s/1?state=a%2Fb 4-7 4+4");
    let Ok(UploadNext::Ask(status)) = upload.on_failed(Jitter::default()) else {
        panic!("{upload:?}");
    };
    assert_eq!(sent(&status), "GET /s/1?state=a%2Fb");
    let rest = then(&mut upload, &status, 204, &[("range", "0-5")]);
    assert_eq!(sent(&rest), "PATCH /s/1?state=a%2Fb 6-9 6+4");
}

// The call does not repeat a request with content (RT4, RT5), so the machine requests a new
// connection for the next one, which would be lost in the same way.
#[test]
fn rt5_after_a_request_was_lost_the_next_ones_get_new_connections() {
    let mut upload = chunked(8, 4);
    let start = upload.start();
    let first = then(&mut upload, &start, 202, SESSION);
    assert!(!start.fresh && !first.fresh);
    let Ok(UploadNext::Ask(status)) = upload.on_failed(Jitter::default()) else {
        panic!("{upload:?}");
    };
    let rest = then(&mut upload, &status, 204, &[("range", "0-3")]);
    assert_eq!(sent(&rest), "PATCH /s/1?state=a%2Fb 4-7 4+4");
    let finish = then(&mut upload, &rest, 202, &[("range", "0-7")]);
    // The call itself repeats the request for the state of the session.
    assert_eq!(
        [status.fresh, rest.fresh, finish.fresh],
        [false, true, true]
    );
}

#[test]
fn a_session_that_is_gone_starts_again() {
    for status in [404, 400] {
        let mut upload = chunked(10, 4);
        let start = upload.start();
        let first = then(&mut upload, &start, 202, SESSION);
        upload.on_failed(Jitter::default()).unwrap();
        let again = then(&mut upload, &first, status, &[]);
        assert_eq!(sent(&again), "POST /v2/app/blobs/uploads/");
        let first = then(&mut upload, &again, 202, SESSION);
        assert_eq!(sent(&first), "PATCH /s/1?state=a%2Fb 0-3 0+4");
    }
}

// DG7 (after a failed commit the client sends HEAD before it uploads again)
#[test]
fn dg7_head_follows_a_commit_without_a_clear_answer() {
    for (status, next) in [
        (200, None),
        (404, Some("GET /s/1?state=a%2Fb")),
        (405, Some("GET /s/1?state=a%2Fb")),
    ] {
        let mut upload = upload(10);
        let start = upload.start();
        let put = then(&mut upload, &start, 202, SESSION);
        let confirm = then(&mut upload, &put, 502, &[]);
        assert_eq!(sent(&confirm), "HEAD /v2/app/blobs/D");
        match (answer(&mut upload, &confirm, status, &[]), next) {
            (Ok(UploadNext::Finished(UploadOutcome::Sent)), None) => {}
            (Ok(UploadNext::Ask(ask)), Some(next)) => assert_eq!(sent(&ask), next),
            other => panic!("{other:?}"),
        }
    }
}

// DG7 (the digest in the response is the expected one)
#[test]
fn dg7_another_digest_is_not_a_success() {
    let other = Digest::sha256(b"other");
    let headers = [("docker-content-digest", other.as_str())];
    let mut upload = upload(10);
    let start = upload.start();
    let put = then(&mut upload, &start, 202, SESSION);
    let refused = answer(&mut upload, &put, 201, &headers);
    assert!(
        matches!(&refused, Err(UploadError::Violation(violation))
            if violation.to_string().contains(other.as_str())),
        "{refused:?}"
    );
    let sha512 = Digest::of(&Algorithm::Sha512, b"other").unwrap();
    for ignored in ["nonsense", sha512.as_str()] {
        let headers = [("docker-content-digest", ignored)];
        let mut upload = self::upload(10);
        let start = upload.start();
        let put = then(&mut upload, &start, 202, SESSION);
        let done = answer(&mut upload, &put, 201, &headers);
        assert_eq!(done, Ok(UploadNext::Finished(UploadOutcome::Sent)));
    }
}

// RD7 (a missing or repeated Location is an error)
#[test]
fn rd7_a_session_without_one_location_is_an_error() {
    for headers in [&[][..], &[("location", "/a"), ("location", "/b")]] {
        let mut upload = upload(10);
        let start = upload.start();
        let refused = answer(&mut upload, &start, 202, headers);
        assert_eq!(refused, Err(UploadError::NoLocation { status: 202 }));
    }
    let mut upload = upload(10);
    let start = upload.start();
    let refused = answer(&mut upload, &start, 202, &[("location", "http://[::1")]);
    assert!(
        matches!(refused, Err(UploadError::Location(_))),
        "{refused:?}"
    );
}

#[test]
fn a_range_that_does_not_move_ends_the_upload() {
    let mut upload = chunked(10, 4);
    let start = upload.start();
    let mut ask = then(&mut upload, &start, 202, SESSION);
    for _ in 0..STALLED_RESUMES {
        ask = then(&mut upload, &ask, 202, &[("range", "0-0")]);
        assert_eq!(sent(&ask), "PATCH /s/1?state=a%2Fb 0-3 0+4");
    }
    let last = answer(&mut upload, &ask, 202, &[("range", "0-0")]);
    let error = UploadError::Resumes {
        resumes: STALLED_RESUMES,
        received: 0,
    };
    assert_eq!(last, Err(error));
}

// RT6 (at most 5 resumes in a row that each bring less than 16 KiB), also where the first part of
// the chunk was taken.
#[test]
fn rt6_a_range_that_stays_within_a_large_chunk_ends_the_upload_after_waits() {
    let mut upload = chunked(1_000_000, 30_000);
    let start = upload.start();
    let mut ask = then(&mut upload, &start, 202, SESSION);
    let mut delays = Vec::new();
    let ended = loop {
        match answer(&mut upload, &ask, 202, &[("range", "0-19999")]) {
            Ok(UploadNext::Ask(next)) => ask = next,
            other => break other,
        }
        assert_eq!(sent(&ask), "PATCH /s/1?state=a%2Fb 20000-49999 20000+30000");
        delays.push(ask.delay.as_millis());
    };
    // The first one brought 20,000 bytes.
    assert_eq!(delays, [0, 100, 100, 100, 100]);
    let (resumes, received) = (5, 20_000);
    assert_eq!(ended, Err(UploadError::Resumes { resumes, received }));
}

// RT6: what is sent again is no progress. Each chunk of this registry seems to arrive, and the
// session always falls back to the end of the first.
#[test]
fn rt6_an_upload_that_always_falls_back_ends() {
    let size = 1_000_000;
    let mut upload = chunked(size, 65_536);
    let start = upload.start();
    let mut ask = then(&mut upload, &start, 202, SESSION);
    let (mut bytes, first) = (0, [("range", "0-65535")]);
    let ended = loop {
        bytes += ask.body.and_then(|body| body.length).unwrap_or_default();
        let status = match sent(&ask).split(' ').next() {
            Some("PATCH") => 202,
            Some("PUT") => 416,
            _ => 204,
        };
        match answer(&mut upload, &ask, status, &first) {
            Ok(UploadNext::Ask(next)) => ask = next,
            other => break other,
        }
    };
    assert!(
        matches!(ended, Err(UploadError::Resumes { .. })),
        "{ended:?}"
    );
    assert!(bytes <= 7 * size, "{bytes}");
}

// RT6: only resumes without progress count, and the session says what progress there was.
#[test]
fn rt6_an_upload_that_breaks_off_again_and_again_with_progress_goes_on() {
    let mut upload = upload(100 * MIB);
    let start = upload.start();
    then(&mut upload, &start, 202, SESSION);
    for received in 1..=20 {
        upload.on_failed(Jitter::default()).unwrap();
        let status = upload.status();
        let range = format!("0-{}", received * MIB - 1);
        let part = then(&mut upload, &status, 204, &[("range", &range)]);
        assert_eq!(part.body.unwrap().offset, received * MIB);
    }
}

#[test]
fn a_range_that_counts_the_chunk_is_read_as_one() {
    let mut upload = chunked(10, 4);
    let start = upload.start();
    let first = then(&mut upload, &start, 202, SESSION);
    let second = then(&mut upload, &first, 202, &[("range", "0-3")]);
    let third = then(&mut upload, &second, 202, &[("range", "0-3")]);
    assert_eq!(sent(&third), "PATCH /s/1?state=a%2Fb 8-9 8+2");
}

#[test]
fn a_range_is_ignored_after_a_chunk_at_its_position_was_refused() {
    let mut upload = chunked(10, 3);
    let start = upload.start();
    let first = then(&mut upload, &start, 202, SESSION);
    // The registry has six bytes now, but says five.
    let second = then(&mut upload, &first, 202, &[("range", "0-2")]);
    let third = then(&mut upload, &second, 202, &[("range", "0-4")]);
    assert_eq!(sent(&third), "PATCH /s/1?state=a%2Fb 5-7 5+3");
    let third = then(&mut upload, &third, 416, &[]);
    assert_eq!(sent(&third), "PATCH /s/1?state=a%2Fb 6-8 6+3");
    let last = then(&mut upload, &third, 202, &[("range", "0-4")]);
    assert_eq!(sent(&last), "PATCH /s/1?state=a%2Fb 9-9 9+1");
}

#[test]
fn a_range_beyond_what_was_sent_is_an_error() {
    let mut upload = chunked(10, 4);
    let start = upload.start();
    let first = then(&mut upload, &start, 202, SESSION);
    let error = UploadError::Range {
        received: 9,
        sent: 4,
    };
    let refused = answer(&mut upload, &first, 202, &[("range", "0-8")]);
    assert_eq!(refused, Err(error));
}

#[test]
fn a_stream_is_one_patch_and_its_digest_comes_last() {
    let name = "app".parse().unwrap();
    let options = UploadOptions::default();
    let mut upload = Upload::new(
        name,
        UploadContent::stream(),
        options,
        UploadQuirks::default(),
    );
    let start = upload.start();
    let patch = then(&mut upload, &start, 202, SESSION);
    assert_eq!(sent(&patch), "PATCH /s/1?state=a%2Fb 0+end");
    let due = answer(&mut upload, &patch, 202, &[("range", "0-9")]);
    assert_eq!(due, Ok(UploadNext::Digest));
    let Ok(UploadNext::Ask(finish)) = upload.on_digest(digest(), 10) else {
        panic!("{upload:?}");
    };
    assert_eq!(sent(&finish), "PUT /s/1?state=a%2Fb&digest=D");
}

#[test]
fn a_stream_that_broke_off_cannot_start_again() {
    let mut content = UploadContent::known(digest(), 10);
    content.seekable = false;
    let options = UploadOptions::default();
    let name = "app".parse().unwrap();
    let mut upload = Upload::new(name, content, options, UploadQuirks::default());
    let start = upload.start();
    let put = then(&mut upload, &start, 202, SESSION);
    let confirm = then(&mut upload, &put, 500, &[]);
    let status = then(&mut upload, &confirm, 404, &[]);
    let error = UploadError::NotSeekable { received: 5 };
    let refused = answer(&mut upload, &status, 204, &[("range", "0-4")]);
    assert_eq!(refused, Err(error));
}

/// A session of an earlier run.
fn earlier(location: &str) -> Place {
    let host = Host::new("https://registry.example".parse().unwrap());
    Place::revisit(&host, 0, location, None).unwrap()
}

#[test]
fn an_earlier_session_is_continued_where_it_is() {
    let place = earlier("https://registry.example/s/9");
    assert!(place.hop().is_home());
    let mut upload = chunked(10, 1).resumed(place, 2);
    let status = upload.start();
    assert_eq!(sent(&status), "GET /s/9");
    let part = then(&mut upload, &status, 204, &[("range", "0-6")]);
    assert_eq!(sent(&part), "PATCH /s/9 7-8 7+2");
    let last = then(&mut upload, &part, 202, &[("range", "0-8")]);
    assert_eq!(sent(&last), "PATCH /s/9 9-9 9+1");
    let finish = then(&mut upload, &last, 202, &[("range", "0-9")]);
    assert_eq!(sent(&finish), "PUT /s/9?digest=D");
}

// DG7 (the earlier run may have ended after the registry stored the blob)
#[test]
fn dg7_head_follows_an_earlier_session_that_no_longer_exists() {
    let too_much: &[_] = &[("range", "0-10")];
    for (status, headers) in [(404, &[][..]), (400, &[]), (204, &[]), (204, too_much)] {
        let mut upload = upload(10).resumed(earlier("https://registry.example/s/9"), 0);
        let saved = upload.start();
        let exists = then(&mut upload, &saved, status, headers);
        assert_eq!(sent(&exists), "HEAD /v2/app/blobs/D", "{status}");
        assert_eq!(upload.session(), None);
        let mut finished = upload.clone();
        let found = answer(&mut finished, &exists, 200, &[]);
        assert_eq!(found, Ok(UploadNext::Finished(UploadOutcome::Existing)));
        let start = then(&mut upload, &exists, 404, &[]);
        assert_eq!(sent(&start), "POST /v2/app/blobs/uploads/");
        let whole = then(&mut upload, &start, 202, SESSION);
        assert_eq!(sent(&whole), "PUT /s/1?state=a%2Fb&digest=D 0+10");
    }
}

#[test]
fn an_earlier_session_at_another_origin_without_an_answer_is_given_up() {
    for (location, expected) in [
        ("https://registry.example/s/9", None),
        ("https://store.example/s/9", Some("HEAD /v2/app/blobs/D")),
    ] {
        let mut upload = upload(10).resumed(earlier(location), 0);
        let _ = upload.start();
        let next = match upload.on_failed(Jitter::default()) {
            Ok(UploadNext::Ask(ask)) => Some(sent(&ask)),
            other => {
                assert_eq!(other, Err(UploadError::Failed));
                None
            }
        };
        assert_eq!(next.as_deref(), expected);
    }
}

#[test]
fn content_that_is_read_once_does_not_continue_an_earlier_session() {
    let known = UploadContent::known(digest(), 10);
    let mut unnamed = known.clone();
    unnamed.digest = None;
    let mut unmeasured = known.clone();
    unmeasured.size = None;
    let mut once = known.clone();
    once.seekable = false;
    for (content, expected) in [
        (known, "GET /s/9"),
        (unnamed, "POST /v2/app/blobs/uploads/"),
        (unmeasured, "POST /v2/app/blobs/uploads/"),
        (once, "POST /v2/app/blobs/uploads/"),
    ] {
        let name = "app".parse().unwrap();
        let options = UploadOptions::default();
        let upload = Upload::new(name, content, options, UploadQuirks::default());
        let mut upload = upload.resumed(earlier("https://registry.example/s/9"), 0);
        assert_eq!(sent(&upload.start()), expected);
    }
}

#[test]
fn a_session_can_be_cancelled() {
    let mut upload = upload(10);
    assert_eq!(upload.cancel(), None);
    let start = upload.start();
    then(&mut upload, &start, 202, SESSION);
    let cancel = upload.cancel().unwrap();
    assert_eq!(sent(&cancel), "DELETE /s/1?state=a%2Fb");
}

#[test]
fn nothing_is_deleted_where_content_may_be() {
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (location, cancels) in [
        ("/v2/app/blobs/uploads/1?state=manifests", true),
        ("/artifacts-uploads/namespaces/a/uploads/AF:9", true),
        ("/v2/app/manifests/1.0", false),
        ("/v2/app/manifests//1.0", false),
        ("/v2/app/%6Danifests/1.0", false),
        ("/v2/app/blobs/uploads/../../manifests/1.0", false),
        ("/v2/app/blobs/DIGEST", false),
        ("/v2/app/blobs//DIGEST", false),
        ("https://elsewhere.example/v2/app/blobs/DIGEST", false),
        ("https://elsewhere.example/session", true),
    ] {
        let location = location.replace("DIGEST", digest);
        let mut upload = upload(10);
        let start = upload.start();
        then(&mut upload, &start, 202, &[("location", &location)]);
        assert_eq!(upload.cancel().is_some(), cancels, "{location}");
    }
}

#[test]
fn a_mount_that_authentication_refuses_does_not_end_the_upload() {
    let options = UploadOptions {
        mount: Some("base".parse().unwrap()),
        ..UploadOptions::default()
    };
    for status in [None, Some(StatusCode::FORBIDDEN)] {
        let mut upload = with(3, options.clone(), UploadQuirks::default());
        let _ = upload.start();
        let Ok(UploadNext::Ask(start)) = upload.on_denied(status) else {
            panic!("{upload:?}");
        };
        assert_eq!(sent(&start), "POST /v2/app/blobs/uploads/");
        let expected = status.unwrap_or(StatusCode::UNAUTHORIZED);
        assert_eq!(upload.mount_refused(), Some(expected));
        assert_eq!(upload.on_denied(status), Err(UploadError::Failed));
    }
    // A session without a place.
    let mut upload = with(3, options, UploadQuirks::default());
    let mount = upload.start();
    let start = then(&mut upload, &mount, 202, &[]);
    assert_eq!(sent(&start), "POST /v2/app/blobs/uploads/");
    assert_eq!(upload.mount_refused(), Some(StatusCode::ACCEPTED));
}

// RT4: what arrived is not sent again while the registry cannot say how much that is.
#[test]
fn rt4_a_session_that_cannot_say_what_it_has_is_asked_again() {
    let mut upload = chunked(10, 4);
    let start = upload.start();
    let first = then(&mut upload, &start, 202, SESSION);
    let mut ask = then(&mut upload, &first, 503, &[]);
    for _ in 0..STATUS_RETRIES {
        ask = then(&mut upload, &ask, 503, &[]);
        assert_eq!(sent(&ask), "GET /s/1?state=a%2Fb");
        assert!(!ask.delay.is_zero());
    }
    let mut answered = upload.clone();
    let rest = then(&mut answered, &ask, 204, &[("range", "0-2")]);
    assert_eq!(sent(&rest), "PATCH /s/1?state=a%2Fb 3-6 3+4");
    let again = then(&mut upload, &ask, 503, &[]);
    assert_eq!(sent(&again), "POST /v2/app/blobs/uploads/");
}

#[test]
fn an_earlier_session_that_cannot_say_what_it_has_is_asked_again() {
    let mut upload = upload(10).resumed(earlier("https://registry.example/s/9"), 0);
    let mut saved = upload.start();
    for _ in 0..STATUS_RETRIES {
        saved = then(&mut upload, &saved, 503, &[]);
        assert_eq!(sent(&saved), "GET /s/9");
    }
    let exists = then(&mut upload, &saved, 503, &[]);
    assert_eq!(sent(&exists), "HEAD /v2/app/blobs/D");
}

// RT1 (1 attempt switches retries off)
#[test]
fn rt1_with_one_attempt_nothing_is_sent_again() {
    let options = UploadOptions {
        chunk: Some(4),
        once: Some(Duration::from_secs(60)),
        ..UploadOptions::default()
    };
    for status in [404, 416, 503] {
        let mut upload = with(10, options.clone(), UploadQuirks::default());
        let start = upload.start();
        let first = then(&mut upload, &start, 202, SESSION);
        let ended = answer(&mut upload, &first, status, &[]);
        assert_eq!(ended, Err(UploadError::Refused), "{status}");
    }
    let mut upload = with(10, options, UploadQuirks::default());
    let start = upload.start();
    let first = then(&mut upload, &start, 202, SESSION);
    let mut failed = upload.clone();
    let failed = failed.on_failed(Jitter::default());
    assert_eq!(failed, Err(UploadError::Failed));
    // The end of a rate limit's window is no failure.
    let mut limited = upload.clone();
    let status = then(&mut limited, &first, 429, &[("retry-after", "3600")]);
    assert_eq!(status.delay, Duration::from_secs(3600));
    // A smaller body is another request.
    let mut large = with(
        100 * MIB,
        UploadOptions {
            once: Some(Duration::from_secs(60)),
            ..UploadOptions::default()
        },
        UploadQuirks::default(),
    );
    let start = large.start();
    let whole = then(&mut large, &start, 202, SESSION);
    let again = then(&mut large, &whole, 413, &[]);
    assert_eq!(sent(&again), "POST /v2/app/blobs/uploads/");
    let second = then(&mut upload, &first, 202, &[("range", "0-3")]);
    assert_eq!(sent(&second), "PATCH /s/1?state=a%2Fb 4-7 4+4");
}

// DG7 (what the registry has is what was sent)
#[test]
fn dg7_a_blob_of_another_size_is_not_the_blob() {
    let options = UploadOptions {
        check: true,
        ..UploadOptions::default()
    };
    for (length, exists) in [("10", true), ("0", true), ("9", false)] {
        let mut upload = with(10, options.clone(), UploadQuirks::default());
        let check = upload.start();
        let found = answer(&mut upload, &check, 200, &[("content-length", length)]);
        let expected = Ok(UploadNext::Finished(UploadOutcome::Existing));
        assert_eq!(found == expected, exists, "{length}");
        let Some(start) = (match found {
            Ok(UploadNext::Ask(start)) => Some(start),
            _ => None,
        }) else {
            continue;
        };
        let put = then(&mut upload, &start, 202, SESSION);
        let confirm = then(&mut upload, &put, 502, &[]);
        let stored = answer(&mut upload, &confirm, 200, &[("content-length", length)]);
        let error = UploadError::Stored {
            stored: 9,
            size: 10,
        };
        assert_eq!(stored, Err(error));
    }
}

#[test]
fn another_algorithm_is_named_when_the_session_opens() {
    let content = UploadContent::known(Digest::of(&Algorithm::Sha512, b"blob").unwrap(), 4);
    let options = UploadOptions::default();
    let name = "app".parse().unwrap();
    let mut upload = Upload::new(name, content, options, UploadQuirks::default());
    assert_eq!(
        sent(&upload.start()),
        "POST /v2/app/blobs/uploads/?digest-algorithm=sha512"
    );
}
