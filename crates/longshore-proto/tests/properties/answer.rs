//! Answers, written and read.

use http::{HeaderMap, HeaderValue};
use longshore_model::MediaType;
use longshore_proto::endpoint::{BlobAnswer, Extent, ManifestAnswer, ManifestStored, PingAnswer};
use longshore_proto::error_code::{ErrorBody, ErrorCode};
use longshore_proto::{RateLimit, warning};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{digest, head, range};

proptest! {
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
}
