//! Machines, under any script of answers.

use http::{HeaderMap, HeaderValue, response};
use longshore_model::Digest;
use longshore_origin::{AddressClass, Origin, Peer, Scheme};
use longshore_proto::call::{Ask, Call, CallPolicy, Ended, FailureClass, Step, Take, Verdict};
use longshore_proto::download::{Body, Download, Next, PartDownload, RESUMES};
use longshore_proto::endpoint::{BlobRequest, Endpoint, Read};
use longshore_proto::range::ByteRange;
use longshore_proto::retry::Jitter;
use longshore_proto::upload::{Upload, UploadContent, UploadNext, UploadOptions, UploadOutcome};
use longshore_proto::{Host, UploadQuirks};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{head, host};

/// An event of a request.
#[derive(Clone, Debug)]
enum Event {
    Head(u16, Vec<(&'static str, String)>),
    Fails(FailureClass),
}

fn event() -> impl Strategy<Value = Event> {
    let status = prop_oneof![
        proptest::sample::select(&[200_u16, 206, 301, 307, 401, 403, 404, 416, 429, 500, 503][..]),
        100..600_u16,
    ];
    let field = prop_oneof![
        "(https?://)?[a-c]\\.example(:[0-9]{1,5})?/[a-z]{0,3}|/[a-z?=]{0,5}|[ -~]{0,9}"
            .prop_map(|location| ("location", location)),
        "[0-9]{1,11}|[a-z ]{0,5}".prop_map(|wait| ("retry-after", wait)),
        "bytes [0-9]{1,3}-[0-9]{1,3}/([0-9]{1,3}|\\*)".prop_map(|part| ("content-range", part)),
        "[0-9]{1,4}".prop_map(|length| ("content-length", length)),
        "\"[ab]\"".prop_map(|tag| ("etag", tag)),
    ];
    prop_oneof![
        4 => (status, vec(field, 0..3)).prop_map(|(status, fields)| Event::Head(status, fields)),
        1 => Just(Event::Fails(FailureClass::Transient)),
        1 => Just(Event::Fails(FailureClass::Stale)),
        1 => Just(Event::Fails(FailureClass::Fatal)),
    ]
}

/// Events as in [`event`], with the answers of an upload.
fn upload_event() -> impl Strategy<Value = Event> {
    let status = proptest::sample::select(&[201_u16, 202, 202, 202, 204, 404, 413, 416, 500][..]);
    let location = proptest::option::weighted(0.8, "/s/[a-c]|https://a\\.example/s|[ -~]{0,9}");
    let range = proptest::option::of("0-[0-9]{1,3}|[a-z0-9-]{0,5}");
    let answer = (status, location, range).prop_map(|(status, location, range)| {
        let location = location.map(|location| ("location", location));
        let range = range.map(|range| ("range", range));
        Event::Head(status, location.into_iter().chain(range).collect())
    });
    prop_oneof![3 => answer, 1 => event()]
}

fn event_head(status: u16, fields: &[(&'static str, String)]) -> response::Parts {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    head(http::StatusCode::from_u16(status).unwrap(), headers)
}

proptest! {
    /// Two hosts, each with five attempts of at most six hops, and one stale connection.
    #[test]
    fn no_script_of_answers_exceeds_the_budget_of_a_call(
        events in vec(event(), 80..90),
        bits: u32,
    ) {
        const BUDGET: usize = 2 * 5 * 6 + 6;
        let mirror = Host::new(Origin::from_authority(Scheme::Https, "a.example").unwrap());
        let request = BlobRequest::new(Read::Get, "app".parse().unwrap(), Digest::sha256(b""));
        let ask = Ask::new(Endpoint::Blob(request), Take::Stream);
        let (mut call, mut step) =
            Call::start(ask, [mirror, host()].into(), CallPolicy::default());
        let (mut sent, mut waited) = (0, std::time::Duration::ZERO);
        let mut left_home = false;
        let mut events = events.into_iter();
        loop {
            match step {
                Step::Fail(_) => break,
                Step::Wait(wait) => {
                    waited += wait;
                    step = call.waited();
                }
                Step::Send(sending) => {
                    sent += 1;
                    prop_assert!(sent <= BUDGET, "{} requests", sent);
                    // RD1: once a foreign origin was asked, no later hop is trusted again.
                    let first = sending.hop.path_and_query().starts_with("/v2/app/blobs/");
                    left_home = !first && (left_home || sending.hop.origin() != sending.hop.home());
                    prop_assert!(!(left_home && sending.hop.is_home()));
                    prop_assert!(!sending.headers.contains_key("authorization"));
                    let peer = Peer::new(Some(AddressClass::Public), false);
                    let Some(event) = events.next() else { break };
                    match event {
                        Event::Fails(failure) => {
                            step = call.on_error(failure, Jitter::new(bits));
                        }
                        Event::Head(status, fields) => {
                            let head = event_head(status, &fields);
                            let jitter = Jitter::new(bits);
                            let mut verdict = call.on_head(&head, peer, jitter);
                            if let Verdict::Excerpt = verdict {
                                verdict = call.on_refusal(&head, b"token expired", jitter);
                            }
                            match verdict {
                                Verdict::Answer(_) => break,
                                Verdict::Excerpt => panic!("the body was read"),
                                Verdict::Authenticate | Verdict::Renew => match call.denied() {
                                    Some(next) => step = next,
                                    None => break,
                                },
                                Verdict::Next(next) => step = next,
                            }
                        }
                    }
                }
            }
        }
        prop_assert!(waited <= std::time::Duration::from_secs(120));
    }

    #[test]
    fn no_script_of_answers_makes_a_download_endless_or_too_long(
        events in vec((event(), vec(0..600_u64, 0..4), any::<bool>()), 1..40),
        size in proptest::option::of(0..500_u64),
    ) {
        let mut download = Download::new("app".parse().unwrap(), Digest::sha256(b""), size);
        let _ = download.ask();
        let mut asked = 0;
        let mut delivered = 0;
        'script: for (event, pieces, clean) in events.into_iter().cycle() {
            asked += 1;
            prop_assert!(asked <= RESUMES + 2, "{} requests", asked);
            let Event::Head(status, fields) = event else {
                if download.on_interrupted(Jitter::default()).is_err() { break }
                continue;
            };
            match download.on_head(&event_head(status, &fields)) {
                Err(_) => break,
                Ok(Body::Ask(_)) => continue,
                Ok(Body::Read) => {}
            }
            for piece in pieces {
                match download.on_bytes(piece) {
                    Ok(dropped) => delivered += piece - dropped,
                    Err(_) => break 'script,
                }
            }
            prop_assert_eq!(delivered, download.received());
            let next = if clean {
                download.on_end(Jitter::default())
            } else {
                download.on_interrupted(Jitter::default())
            };
            match next {
                Ok(Next::Ask(_)) => {}
                Ok(Next::Finished) => {
                    prop_assert!(size.is_none_or(|size| size == delivered));
                    break;
                }
                Err(_) => break,
            }
        }
        prop_assert!(download.size().is_none_or(|size| delivered <= size));
    }

    #[test]
    fn no_script_of_answers_makes_a_part_endless_or_too_long(
        events in vec((event(), vec(0..300_u64, 0..4)), 1..40),
        first in 0..200_u64,
        length in 1..300_u64,
    ) {
        let range = (first, first + length - 1);
        let name = "app".parse().unwrap();
        let part = PartDownload::new(name, Digest::sha256(b""), 500, range);
        let mut part = part.unwrap();
        let (mut asked, mut delivered) = (0, 0);
        'script: for (event, pieces) in events.into_iter().cycle() {
            asked += 1;
            prop_assert!(asked <= RESUMES + 2, "{} requests", asked);
            if let Event::Head(status, fields) = event {
                match part.on_head(&event_head(status, &fields)) {
                    Err(_) => break,
                    Ok(Body::Ask(_)) => {
                        delivered = 0;
                        continue;
                    }
                    Ok(Body::Read) => {}
                }
                for piece in pieces {
                    if part.on_bytes(piece).is_err() { break 'script }
                    delivered += piece;
                }
            }
            match part.on_end(Jitter::default()) {
                Ok(Next::Ask(ask)) => {
                    let Endpoint::Blob(request) = ask.endpoint else { unreachable!() };
                    let rest = ByteRange::Span(first + delivered, range.1);
                    prop_assert_eq!(request.range, Some(rest.into()));
                }
                Ok(Next::Finished) => {
                    prop_assert_eq!(delivered, length);
                    break;
                }
                Err(_) => break,
            }
        }
        prop_assert!(delivered <= length);
    }

    #[test]
    fn no_script_of_answers_makes_an_upload_endless_or_skips_a_byte(
        events in vec(upload_event(), 1..40),
        size in 0..500_u64,
        chunk in proptest::option::of(1..200_u64),
        check: bool,
        seekable: bool,
    ) {
        let mut content = UploadContent::known(Digest::sha256(b""), size);
        content.seekable = seekable;
        let mut options = UploadOptions::default();
        (options.chunk, options.check) = (chunk, check);
        let name = "app".parse().unwrap();
        let mut upload = Upload::new(name, content, options, UploadQuirks::default());
        let mut ask = upload.start();
        let mut asked = 0;
        let mut covered = 0;
        for event in events.into_iter().cycle() {
            asked += 1;
            prop_assert!(asked <= 4 * RESUMES + 600, "{} requests", asked);
            if let Some(body) = ask.body {
                prop_assert!(body.offset <= covered, "{:?} leaves a gap", body);
                let end = body.offset + body.length.unwrap_or_default();
                prop_assert!(end <= size);
                prop_assert!(seekable || body.offset == covered || body.offset == 0);
                covered = covered.max(end);
            }
            let next = match event {
                Event::Fails(_) => upload.on_failed(Jitter::default()),
                Event::Head(status, fields) => {
                    let ended = ended(&ask);
                    upload.on_answer(&event_head(status, &fields), &ended, Jitter::default())
                }
            };
            match next {
                Ok(UploadNext::Ask(next)) => ask = next,
                Ok(UploadNext::Finished(UploadOutcome::Sent)) => {
                    prop_assert_eq!(covered, size);
                    break;
                }
                Ok(UploadNext::Finished(_)) | Err(_) => break,
                Ok(UploadNext::Digest) => prop_assert!(false, "the digest is known"),
            }
        }
    }
}

/// What a call knows after an answer to this request.
fn ended(ask: &Ask) -> Ended {
    let host = Host::new("https://registry.example".parse().unwrap());
    let (mut call, step) = Call::start(ask.clone(), [host].into(), CallPolicy::default());
    if let Step::Wait(_) = step {
        let _ = call.waited();
    }
    call.end()
}
