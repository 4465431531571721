//! Properties of the protocol values and machines.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use http::{HeaderMap, HeaderValue, Response, response};
use longshore_model::{Digest, MediaType, RepositoryName, Tag, TagOrDigest};
use longshore_origin::{AddressClass, Origin, Peer, Scheme};
use longshore_proto::call::{Ask, Call, CallPolicy, FailureClass, Step, Take, Verdict};
use longshore_proto::download::{Body, Download, Next, PartDownload, RESUMES};
use longshore_proto::endpoint::{
    BlobAnswer, BlobRequest, CatalogueRequest, ChunkRange, Deletable, DeleteRequest, Endpoint,
    Extent, ListAnswer, ManifestAnswer, ManifestPut, ManifestRequest, ManifestStored, PageQuery,
    PingAnswer, Read, ReferrersRequest, TagsRequest, UploadRequest, UploadSession, UploadStep,
    read_repositories, read_tags, write_repositories, write_tags,
};
use longshore_proto::error_code::{ErrorBody, ErrorCode};
use longshore_proto::range::{ByteRange, ContentRange, RangeField};
use longshore_proto::retry::Jitter;
use longshore_proto::{Host, RateLimit, link, route, warning};
use proptest::collection::vec;
use proptest::prelude::*;

fn name() -> impl Strategy<Value = RepositoryName> {
    "[a-z0-9]{1,8}(/(manifests|blobs|[a-z0-9]{1,8}(\\.|_|__|-)[a-z0-9]{1,4})){0,3}"
        .prop_map(|text| text.parse().unwrap())
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 8]>().prop_map(|content| Digest::sha256(&content))
}

fn target() -> impl Strategy<Value = TagOrDigest> {
    prop_oneof![
        "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}"
            .prop_map(|text| TagOrDigest::from(text.parse::<Tag>().unwrap())),
        digest().prop_map(TagOrDigest::from),
    ]
}

fn range() -> impl Strategy<Value = ByteRange> {
    let position = 0..i64::MAX as u64;
    prop_oneof![
        position.clone().prop_map(ByteRange::From),
        (position.clone(), position.clone()).prop_map(|(a, b)| ByteRange::Span(a.min(b), a.max(b))),
        position.prop_map(ByteRange::Suffix),
    ]
}

fn read() -> impl Strategy<Value = Read> {
    prop_oneof![Just(Read::Get), Just(Read::Head)]
}

fn media_type() -> impl Strategy<Value = MediaType> {
    proptest::sample::select(vec![
        MediaType::OCI_MANIFEST,
        MediaType::OCI_INDEX,
        MediaType::DOCKER_MANIFEST,
        MediaType::DOCKER_LIST,
    ])
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let page = "(n=[0-9]{1,4}(&last=[a-z0-9%]{0,9})?)?";
    prop_oneof![
        Just(Endpoint::Ping),
        page.prop_map(|page| Endpoint::Catalogue(CatalogueRequest::new(PageQuery::raw(&page)))),
        (name(), page).prop_map(|(name, page)| {
            Endpoint::Tags(TagsRequest::new(name, PageQuery::raw(&page)))
        }),
        (
            name(),
            digest(),
            proptest::option::of(media_type()),
            proptest::option::of(page)
        )
            .prop_map(|(name, subject, artifact_type, page)| {
                let mut request = ReferrersRequest::new(name, subject, artifact_type.as_ref());
                // A following page: its query is the registry's.
                if let Some(page) = page {
                    request.page = PageQuery::raw(&page);
                }
                Endpoint::Referrers(request)
            }),
        (read(), name(), target(), vec(media_type(), 0..4)).prop_map(
            |(read, name, target, accept)| {
                let mut request = ManifestRequest::new(read, name, target);
                request.accept = accept;
                Endpoint::Manifest(request)
            }
        ),
        (
            read(),
            name(),
            digest(),
            proptest::option::of(range()),
            proptest::option::of("\"[a-z]{1,9}\"")
        )
            .prop_map(|(read, name, digest, range, if_range)| {
                let mut request = BlobRequest::new(read, name, digest);
                request.range = range;
                request.if_range = if_range;
                Endpoint::Blob(request)
            }),
        (name(), target(), media_type()).prop_map(|(name, target, media_type)| {
            Endpoint::ManifestPut(ManifestPut::new(name, target, media_type))
        }),
        (name(), deletable())
            .prop_map(|(name, content)| Endpoint::Delete(DeleteRequest::new(name, content))),
        (name(), upload_step())
            .prop_map(|(name, step)| Endpoint::Upload(UploadRequest::new(name, step))),
    ]
}

fn deletable() -> impl Strategy<Value = Deletable> {
    prop_oneof![
        digest().prop_map(Deletable::Blob),
        target().prop_map(Deletable::Manifest),
    ]
}

fn upload_step() -> impl Strategy<Value = UploadStep> {
    let session = "[A-Za-z0-9_=~-]{1,40}".prop_map(|text| UploadSession::parse(&text));
    let range = (0..i64::MAX as u64, 0..i64::MAX as u64)
        .prop_map(|(a, b)| ChunkRange::new(a.min(b), a.max(b)));
    let range = prop_oneof![Just(None), range];
    prop_oneof![
        proptest::option::of(digest()).prop_map(|digest| UploadStep::Start { digest }),
        (digest(), proptest::option::of(name()))
            .prop_map(|(digest, from)| UploadStep::Mount { digest, from }),
        (session.clone(), range.clone())
            .prop_map(|(session, range)| UploadStep::Chunk { session, range }),
        (session.clone(), digest(), range).prop_map(|(session, digest, range)| {
            UploadStep::Finish {
                session,
                digest,
                range,
            }
        }),
        session
            .clone()
            .prop_map(|session| UploadStep::Status { session }),
        session.prop_map(|session| UploadStep::Cancel { session }),
    ]
}

fn host() -> Host {
    Host::new(Origin::from_authority(Scheme::Https, "r.example").unwrap())
}

fn head(status: http::StatusCode, headers: HeaderMap) -> response::Parts {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = status;
    parts.headers = headers;
    parts
}

/// One thing that may happen to a request.
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

fn event_head(status: u16, fields: &[(&'static str, String)]) -> response::Parts {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    head(http::StatusCode::from_u16(status).unwrap(), headers)
}

proptest! {
    #[test]
    fn reading_what_was_written_gives_the_endpoint_back(endpoint in endpoint()) {
        let head = endpoint.write(&host());
        let path = head.path_and_query.as_str();
        prop_assert_eq!(route::read(&head.method, path, &head.headers).unwrap(), endpoint);
    }

    #[test]
    fn routing_never_panics(path in "(/v2)?(/|[ -~]{0,40})", method in "[A-Z]{1,6}") {
        let method = method.parse().unwrap();
        if let Err(error) = route::read(&method, &path, &HeaderMap::new()) {
            prop_assert!(error.status().is_client_error());
        }
    }

    #[test]
    fn reading_what_was_written_gives_the_answer_back(
        digest in digest(),
        total in 0..i64::MAX as u64,
        range in range(),
        etag in proptest::option::of("\"[a-z]{1,9}\""),
    ) {
        let manifest = ManifestAnswer::new(&MediaType::OCI_INDEX, total, digest.clone());
        let (status, headers) = manifest.write();
        prop_assert_eq!(ManifestAnswer::read(&head(status, headers)).unwrap(), manifest);
        for mut blob in [
            BlobAnswer::whole(digest.clone(), total),
            BlobAnswer::part(digest, total, range),
        ] {
            blob.etag.clone_from(&etag);
            let (status, headers) = blob.write();
            prop_assert_eq!(BlobAnswer::read(&head(status, headers)).unwrap(), blob);
        }
    }

    #[test]
    fn any_answer_that_can_be_made_reads_back(
        name in "[ -~]{0,9}",
        length in proptest::option::of(0..=i64::MAX as u64),
        digest in proptest::option::of(digest()),
        subject in proptest::option::of(digest()),
        (first, last) in (0..1000_u64, 0..1000_u64),
        total in proptest::option::of(1000..i64::MAX as u64),
    ) {
        let text = Some(name.trim().to_owned());
        let mut manifest = ManifestAnswer::default();
        (manifest.content_type, manifest.length) = (text.clone(), length);
        manifest.digest.clone_from(&digest);
        let (status, headers) = manifest.write();
        prop_assert_eq!(ManifestAnswer::read(&head(status, headers)).unwrap(), manifest);
        let mut stored = ManifestStored::default();
        (stored.location, stored.subject) = (text, subject);
        stored.digest.clone_from(&digest);
        let (status, headers) = stored.write();
        prop_assert_eq!(ManifestStored::read(&head(status, headers)).unwrap(), stored);
        let part = Extent::Part { first: first.min(last), last: first.max(last), total };
        for extent in [Extent::Whole, Extent::Beyond(total), part] {
            let mut blob = BlobAnswer::default();
            (blob.length, blob.extent) = (length, extent);
            blob.digest.clone_from(&digest);
            let (status, headers) = blob.write();
            prop_assert_eq!(BlobAnswer::read(&head(status, headers)).unwrap(), blob);
        }
        for ping in [PingAnswer::default(), PingAnswer::named()] {
            let (status, headers) = ping.write();
            prop_assert_eq!(PingAnswer::read(&head(status, headers)).unwrap(), ping);
        }
    }

    #[test]
    fn pages_of_names_read_back(repository in name(), names in vec("\\PC{1,20}", 0..9)) {
        prop_assert_eq!(&read_tags(&write_tags(&repository, &names)).unwrap(), &names);
        prop_assert_eq!(&read_repositories(&write_repositories(&names)).unwrap(), &names);
    }

    #[test]
    fn warnings_and_rate_limits_read_back(
        texts in vec("[ -~\u{a1}-\u{ff}]{0,30}", 0..9),
        remaining in proptest::option::of(0..=i64::MAX as u64),
        limit in proptest::option::of(0..=i64::MAX as u64),
        window in proptest::option::of(0..1_000_000_u64),
    ) {
        let mut headers = HeaderMap::new();
        for text in &texts {
            warning::write(&mut headers, text);
        }
        prop_assert_eq!(warning::read(&headers), texts);
        let mut rate = RateLimit::default();
        (rate.remaining, rate.limit) = (remaining, limit);
        rate.window = window.map(std::time::Duration::from_secs);
        rate.write(&mut headers);
        let expected = (remaining.is_some() || limit.is_some()).then_some(rate);
        prop_assert_eq!(RateLimit::read(&headers), expected);
    }

    #[test]
    fn no_bytes_make_a_warning_panic_or_grow(bytes in vec(any::<u8>(), 0..60)) {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            headers.insert("warning", value.clone());
            headers.insert("ratelimit-limit", value);
        }
        let shown: usize = warning::read(&headers).iter().map(String::len).sum();
        // A byte that is no UTF-8 becomes one character of three.
        prop_assert!(shown <= 3 * bytes.len());
        let _ = RateLimit::read(&headers);
    }

    #[test]
    fn a_page_that_was_written_reads_back(
        next in proptest::option::of("/v2/[a-z]{1,5}/tags/list\\?last=[a-z,;]{0,9}"),
        filtered: bool,
    ) {
        let mut answer = ListAnswer::last("application/json");
        answer.next = next;
        answer.filtered = filtered;
        let (status, headers) = answer.write();
        prop_assert_eq!(ListAnswer::read(&head(status, headers)).unwrap(), answer);
    }

    #[test]
    fn no_bytes_make_a_link_panic(bytes in vec(any::<u8>(), 0..60)) {
        if let Ok(Some(target)) = link::next([bytes.as_slice()]) {
            prop_assert!(target.len() <= bytes.len());
        }
    }

    #[test]
    fn a_link_is_found_behind_any_other(
        target in "[a-z/?=,;]{0,20}",
        title in "[ -!#-\\[\\]-~]{0,9}",
    ) {
        let field = format!("<x>; title=\"{title}\", <{target}>; title=\"{title}\"; rel=next");
        prop_assert_eq!(link::next([field.as_bytes()]), Ok(Some(target.as_bytes())));
    }

    #[test]
    fn ranges_print_and_parse(range in range(), total in 1..i64::MAX as u64) {
        let field = RangeField::parse(range.to_string().as_bytes());
        prop_assert_eq!(field, RangeField::One(range));
        if let Some((first, last)) = range.within(total) {
            prop_assert!(first <= last && last < total);
            let part = ContentRange::Part { first, last, total: Some(total) };
            prop_assert_eq!(ContentRange::parse(part.to_string().as_bytes()), Some(part));
        }
    }

    #[test]
    fn no_bytes_make_a_range_panic(bytes in vec(any::<u8>(), 0..40)) {
        let _ = RangeField::parse(&bytes);
        if let Some(ContentRange::Part { first, last, total }) = ContentRange::parse(&bytes) {
            prop_assert!(first <= last && total.is_none_or(|total| last < total));
        }
    }

    #[test]
    fn error_bodies_print_and_parse(
        entries in vec(("[A-Z_]{1,20}", ".{0,30}", proptest::option::of(any::<i32>())), 0..5),
    ) {
        let mut body = ErrorBody::default();
        for (code, message, detail) in &entries {
            let mut one = ErrorBody::one(ErrorCode::from(code.as_str()), message);
            one.entries[0].detail = detail.map(|detail| format!("[{detail}]"));
            body.entries.extend(one.entries);
        }
        prop_assert_eq!(ErrorBody::parse(&body.to_bytes()), body);
    }

    #[test]
    fn no_bytes_make_an_error_body_panic_or_grow(bytes in vec(any::<u8>(), 0..3000)) {
        let body = ErrorBody::parse(&bytes);
        prop_assert!(body.entries.len() <= 5);
        prop_assert!(body.to_string().len() < 20_000);
    }

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
                            match call.on_head(&head, peer, Jitter::new(bits)) {
                                Verdict::Answer(_) => break,
                                Verdict::Authenticate => match call.denied() {
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
            prop_assert!(asked <= RESUMES + 1, "{} requests", asked);
            if let Event::Head(status, fields) = event {
                if part.on_head(&event_head(status, &fields)).is_err() { break }
                for piece in pieces {
                    if part.on_bytes(piece).is_err() { break 'script }
                    delivered += piece;
                }
            }
            match part.on_end(Jitter::default()) {
                Ok(Next::Ask(ask)) => {
                    let Endpoint::Blob(request) = ask.endpoint else { unreachable!() };
                    let rest = ByteRange::Span(first + delivered, range.1);
                    prop_assert_eq!(request.range, Some(rest));
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
}
