//! Answers, written and read.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use longshore_model::{Descriptor, MediaType, TagOrDigest};
use longshore_proto::endpoint::{
    BlobAnswer, BlobBody, BlobRequest, Extent, ManifestAnswer, ManifestRequest, ManifestStored,
    NotModified, PingAnswer, Read,
};
use longshore_proto::error_code::{ErrorBody, ErrorCode, ErrorEntry};
use longshore_proto::range::{ByteRange, RangeSet};
use longshore_proto::{RateLimit, Refusal, warning};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{digest, head, name, range, read, tag};

fn error_body() -> impl Strategy<Value = ErrorBody> {
    // Longer texts and more entries than a reader keeps.
    let text = prop_oneof![9 => ".{0,30}", 1 => "\\PC{1000,1100}"];
    let detail = prop_oneof![
        Just("null".to_owned()),
        any::<i32>().prop_map(|number| format!("[{number} , {{}}]")),
        ".{0,30}",
        "[a-z]{1000,1100}",
    ];
    let entry = ("[A-Z_]{1,20}|.{0,30}", text, proptest::option::of(detail));
    let entry = entry.prop_map(|(code, message, detail)| {
        let entry = ErrorEntry::new(ErrorCode::from(code.as_str()), &message);
        match detail {
            Some(detail) => entry.with_detail(&detail),
            None => entry,
        }
    });
    vec(entry, 0..8).prop_map(|entries| {
        let body = ErrorBody::default();
        entries.into_iter().fold(body, ErrorBody::with_entry)
    })
}

/// No condition, or one that holds or not.
fn conditional() -> impl Strategy<Value = Option<bool>> {
    proptest::option::of(any::<bool>())
}

/// Every refusal that the constructors of [`Refusal`] can make.
fn refusal() -> impl Strategy<Value = Refusal> {
    let methods = vec(
        prop_oneof![
            Just(Method::GET),
            Just(Method::DELETE),
            Just("X-1".parse().unwrap())
        ],
        0..4,
    );
    let challenges = vec("(Basic|Bearer) realm=\"[a-z:/]{0,9}\"", 0..3);
    let wait = proptest::option::of(any::<u64>().prop_map(Duration::from_millis));
    let status = prop_oneof![
        proptest::sample::select(&[401_u16, 404, 405, 429, 503, 504][..]),
        400..600_u16,
    ];
    let parts = (status, error_body(), methods, challenges, wait);
    parts.prop_map(|(status, body, methods, challenges, wait)| {
        let status = StatusCode::from_u16(status).unwrap();
        let refusal = Refusal::new(status, body).with_allow(methods);
        let challenges = challenges.iter().map(|text| text.parse().unwrap());
        let refusal = challenges.fold(refusal, Refusal::with_challenge);
        match wait {
            Some(wait) => refusal.with_retry_after(wait),
            None => refusal,
        }
    })
}

proptest! {
    #[test]
    fn every_refusal_that_can_be_made_reads_back(refusal in refusal(), absent: bool) {
        let mut refusal = refusal;
        refusal.absent = absent;
        let (get, body) = refusal.write(&Method::GET).into_parts();
        prop_assert_eq!(get.headers["content-length"].to_str().unwrap(), body.len().to_string());
        let (head, nothing) = refusal.write(&Method::HEAD).into_parts();
        // RT3: a client reads the wait of a 429 and a 503 only.
        refusal.retry_after = refusal.retry_after.filter(|_| refusal.status != 504);
        prop_assert_eq!(&Refusal::read(&get, &body, absent), &refusal);
        prop_assert!(nothing.is_empty());
        prop_assert_eq!(&head.headers, &get.headers);
        refusal.body = ErrorBody::default();
        prop_assert_eq!(Refusal::read(&head, &nothing, absent), refusal);
    }

    #[test]
    fn what_a_request_for_a_blob_answers_reads_back(
        (read, name, digest) in (read(), name(), digest()),
        length in prop_oneof![0..20_u64, 0..=i64::MAX as u64],
        range in proptest::option::of(prop_oneof![range(), (0..20_u64).prop_map(ByteRange::From)]),
        (if_range, known) in (conditional(), conditional()),
    ) {
        let tag = |condition: Option<bool>| condition.map(|is_same| match is_same {
            true => format!("\"{digest}\""),
            false => "\"other\"".to_owned(),
        });
        let mut request = BlobRequest::new(read, name, digest.clone());
        request.range = range.map(RangeSet::from);
        request.if_range = tag(if_range);
        request.if_none_match = tag(known).map(String::into);
        let (head, body) = request.answer(length).unwrap().into_parts();
        let BlobBody::Bytes(bytes) = body else { panic!("{body:?}") };
        prop_assert!(bytes.start <= bytes.end && bytes.end <= length);
        if known == Some(true) {
            prop_assert_eq!(NotModified::read(&head).unwrap(), NotModified::new(digest));
            prop_assert!(bytes.is_empty());
            return Ok(());
        }
        let answer = BlobAnswer::read(&head).unwrap();
        prop_assert_eq!(answer.digest, Some(digest.clone()));
        prop_assert_eq!(answer.etag, Some(format!("\"{digest}\"")));
        let part = range.filter(|_| read == Read::Get && if_range != Some(false));
        let expected = match part.map(|range| range.within(length)) {
            None => (Extent::Whole, 0..length),
            Some(None) => (Extent::Beyond(Some(length)), 0..0),
            Some(Some((first, last))) => {
                (Extent::Part { first, last, total: Some(length) }, first..last + 1)
            }
        };
        prop_assert_eq!(answer.extent, expected.0);
        prop_assert_eq!(answer.length, Some(expected.1.end - expected.1.start));
        let sent = if read == Read::Head { 0..0 } else { expected.1 };
        prop_assert_eq!(bytes, sent);
    }

    #[test]
    fn what_a_request_for_a_manifest_answers_reads_back(
        (read, name, content) in (read(), name(), vec(any::<u8>(), 0..9)),
        is_known: bool,
    ) {
        let manifest = Descriptor::of(MediaType::OCI_INDEX, &content);
        let target = TagOrDigest::from(manifest.digest.clone());
        let mut request = ManifestRequest::new(read, name, target);
        request.if_none_match = Some(match is_known {
            true => format!("\"a\", \"{}\"", manifest.digest).into(),
            false => "\"a\"".into(),
        });
        let (head, bytes) = request.answer(&manifest).into_parts();
        let (digest, size) = (manifest.digest, manifest.size);
        if is_known {
            prop_assert_eq!(NotModified::read(&head).unwrap(), NotModified::new(digest));
            prop_assert!(bytes.is_empty());
        } else {
            let answer = ManifestAnswer::new(&MediaType::OCI_INDEX, size, digest);
            prop_assert_eq!(ManifestAnswer::read(&head).unwrap(), answer);
            prop_assert_eq!(bytes, if read == Read::Get { 0..size } else { 0..0 });
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
        media_type in "[a-z]{1,9}/[a-z]{1,9}(; [a-z]{1,9}=[a-z]{0,9})?",
        length in proptest::option::of(0..=i64::MAX as u64),
        digest in proptest::option::of(digest()),
        subject in proptest::option::of(digest()),
        tags in vec(tag(), 0..4),
        (first, last) in (0..1000_u64, 0..1000_u64),
        total in proptest::option::of(1000..i64::MAX as u64),
    ) {
        let text = Some(name.trim().to_owned());
        let mut manifest = ManifestAnswer::default();
        (manifest.content_type, manifest.length) = (Some(media_type), length);
        manifest.digest.clone_from(&digest);
        let (status, headers) = manifest.write();
        prop_assert_eq!(ManifestAnswer::read(&head(status, headers)).unwrap(), manifest);
        let mut stored = ManifestStored::default();
        (stored.location, stored.subject, stored.tags) = (text, subject, tags);
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
        rate.window = window.map(Duration::from_secs);
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
    fn no_bytes_make_an_error_body_panic_or_grow(bytes in vec(any::<u8>(), 0..3000)) {
        let body = ErrorBody::parse(&bytes);
        prop_assert!(body.entries.len() <= 5);
        prop_assert!(body.to_string().len() < 20_000);
    }
}
