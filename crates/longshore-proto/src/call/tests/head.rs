//! Requests where the answer to `HEAD` is not usable (DG2).

use super::*;
use crate::endpoint::BlobRequest;
use crate::{HeadBlob, HeadManifest, Quirks};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const LIMIT: u64 = 1000;

fn blob() -> Ask {
    let request = BlobRequest::new(Read::Head, "app".parse().unwrap(), Digest::sha256(b"layer"));
    Ask::new(Endpoint::Blob(request), Take::Nothing)
}

fn manifest(target: &str) -> Ask {
    let (name, target) = ("app".parse().unwrap(), target.parse().unwrap());
    let request = ManifestRequest::new(Read::Head, name, target);
    Ask::new(Endpoint::Manifest(request), Take::Document { limit: LIMIT })
}

fn ask(ask: Ask) -> Call {
    let (call, step) = Call::start(ask, [host("r.example")].into(), CallPolicy::default());
    assert_eq!(sent(step).method, Method::HEAD);
    call
}

/// Asserts that after this answer the same request is sent with `GET`.
#[track_caller]
fn asks_with_get(call: &mut Call, head: &response::Parts) {
    let sending = sent(next(call.on_head(head, public(), JITTER)));
    assert_eq!(sending.method, Method::GET);
    let uri = sending.hop.uri().to_string();
    assert!(uri.starts_with("https://r.example/v2/app/"), "{uri}");
    assert_eq!(call.attempts(), 1);
}

#[test]
fn dg2_get_follows_a_refused_head() {
    for status in [400, 401, 403, 405, 406, 501, 505, 204, 206, 304] {
        for ask_for in [blob(), manifest("v1")] {
            let take = ask_for.take;
            let mut call = ask(ask_for);
            asks_with_get(&mut call, &head(status, &[]));
            answers(&call.on_head(&head(200, &[]), public(), JITTER), take);
            assert_eq!(call.end().endpoint.answer_body(), AnswerBody::Content);
        }
    }
}

#[test]
fn dg2_no_get_follows_absence_or_a_failure_of_the_registry() {
    for status in [404, 410, 429] {
        let mut call = ask(blob());
        let refused = head(status, &[("retry-after", "900")]);
        answers(&call.on_head(&refused, public(), JITTER), Take::Nothing);
    }
    for status in [500, 502, 503] {
        let mut call = ask(blob());
        for _ in 1..5 {
            assert_eq!(again(&mut call, &head(status, &[])).method, Method::HEAD);
        }
        answers(
            &call.on_head(&head(status, &[]), public(), JITTER),
            Take::Nothing,
        );
    }
}

#[test]
fn dg2_get_follows_a_head_that_a_store_refused() {
    let moved = head(
        307,
        &[("location", "https://store.example/blob?signature=for-get")],
    );
    for status in [400, 401, 403, 404, 405] {
        let mut call = ask(blob());
        sent_to(
            next(call.on_head(&moved, public(), JITTER)),
            "https://store.example/blob?signature=for-get",
        );
        asks_with_get(&mut call, &head(status, &[]));
    }
    let mut call = ask(manifest("v1"));
    for _ in 0..5 {
        again(&mut call, &moved);
        if call.attempts() < 5 {
            again(&mut call, &head(503, &[]));
        }
    }
    asks_with_get(&mut call, &head(503, &[]));
    // A store that closes the connection.
    let mut call = ask(blob());
    for _ in 0..4 {
        again(&mut call, &moved);
        let step = call.on_error(FailureClass::Transient, JITTER);
        assert!(matches!(step, Step::Wait(_)), "{step:?}");
        assert_eq!(sent(call.waited()).method, Method::HEAD);
    }
    again(&mut call, &moved);
    let step = call.on_error(FailureClass::Transient, JITTER);
    assert_eq!(sent(step).method, Method::GET);
    // A redirect within the registry may lead to a store behind it.
    let mut call = ask(blob());
    again(&mut call, &head(307, &[("location", "/elsewhere")]));
    asks_with_get(&mut call, &head(404, &[]));
    again(&mut call, &head(307, &[("location", "/elsewhere")]));
    answers(
        &call.on_head(&head(404, &[]), public(), JITTER),
        Take::Excerpt,
    );
}

#[test]
fn dg2_get_reuses_the_token_of_a_refused_head() {
    let challenge = ("www-authenticate", "Bearer realm=\"https://r.example/t\"");
    for status in [401, 403] {
        let mut call = ask(blob());
        let verdict = call.on_head(&head(401, &[challenge]), public(), JITTER);
        assert!(matches!(verdict, Verdict::Authenticate), "{verdict:?}");
        call.sends_secret(true);
        asks_with_get(&mut call, &head(status, &[challenge]));
        // Only the answer to GET shows whether the token is accepted.
        call.sends_secret(true);
        let verdict = call.on_head(&head(401, &[challenge]), public(), JITTER);
        assert!(matches!(verdict, Verdict::Authenticate), "{verdict:?}");
    }
}

#[test]
fn rt8_head_is_repeated_with_a_new_token_if_the_token_was_refused() {
    for (status, error) in [(401, "invalid_token"), (403, "insufficient_scope")] {
        let challenge = format!("Bearer realm=\"https://r.example/t\",error=\"{error}\"");
        let refused = head(status, &[("www-authenticate", &challenge)]);
        let mut call = ask(manifest("v1"));
        call.sends_secret(true);
        let verdict = call.on_head(&refused, public(), JITTER);
        assert!(matches!(verdict, Verdict::Authenticate), "{verdict:?}");
        // A second refusal does not blame the token again.
        asks_with_get(&mut call, &refused);
    }
}

#[track_caller]
fn check(ask_for: Ask, fields: &[(&str, &str)], enough: bool) {
    let mut call = ask(ask_for);
    let head = head(200, fields);
    if enough {
        answers(&call.on_head(&head, public(), JITTER), Take::Nothing);
    } else {
        asks_with_get(&mut call, &head);
    }
}

#[test]
fn dg2_the_answer_to_head_of_a_blob_must_have_a_valid_length() {
    for (length, enough) in [
        ("5", true),
        ("0", false),
        ("-1", false),
        ("9223372036854775808", false),
        ("many", false),
    ] {
        check(blob(), &[("content-length", length)], enough);
    }
    check(blob(), &[], false);
    check(
        blob(),
        &[("content-length", "5"), ("content-encoding", "gzip")],
        false,
    );
    let request = BlobRequest::new(Read::Head, "app".parse().unwrap(), Digest::sha256(b""));
    let empty = || Ask::new(Endpoint::Blob(request.clone()), Take::Nothing);
    check(empty(), &[("content-length", "0")], true);
    check(empty(), &[("content-length", "7")], false);
}

#[test]
fn dg2_the_answer_to_head_of_a_tag_must_have_a_verifiable_digest() {
    let digest = |value| ("docker-content-digest", value);
    let length = |value| ("content-length", value);
    check(manifest("v1"), &[digest(DIGEST), length("7")], true);
    check(manifest("v1"), &[digest(DIGEST)], true);
    check(manifest("v1"), &[length("7")], false);
    for malformed in [&DIGEST[7..], "\"sha256:00\"", "SHA256:00", "md5:abc"] {
        check(manifest("v1"), &[digest(malformed), length("7")], false);
    }
    for impossible in ["0", "-7", "x", "1001"] {
        check(manifest("v1"), &[digest(DIGEST), length(impossible)], false);
    }
    // A request by digest names it.
    check(manifest(DIGEST), &[length("7")], true);
    let page = ("content-type", "Text/HTML; charset=utf-8");
    check(manifest(DIGEST), &[length("7"), page], false);
    check(manifest(DIGEST), &[digest("sha256:short")], true);
}

#[test]
fn a_host_that_refuses_head_of_blobs_is_asked_with_get() {
    let quirks = Quirks {
        head_blob: HeadBlob::Get,
        ..Quirks::default()
    };
    let hosts = [host("a.example").with_quirks(quirks)];
    let start = |ask: Ask| Call::start(ask, hosts.clone().into(), CallPolicy::default());
    let (mut call, step) = start(blob());
    assert_eq!(sent(step).method, Method::GET);
    let answered = call.on_head(&head(200, &[]), public(), JITTER);
    answers(&answered, Take::Nothing);
    // This does not concern manifests.
    assert_eq!(sent(start(manifest("v1")).1).method, Method::HEAD);
}

#[test]
fn each_host_is_asked_with_head_unless_it_is_known_not_to_answer() {
    let quirks = Quirks {
        head_manifest: HeadManifest::Get,
        ..Quirks::default()
    };
    let hosts = [
        host("a.example"),
        host("b.example"),
        host("c.example").with_quirks(quirks),
    ];
    let (mut call, step) = Call::start(manifest("v1"), hosts.into(), CallPolicy::default());
    assert_eq!(sent(step).method, Method::HEAD);
    let sending = again(&mut call, &head(405, &[]));
    assert_eq!((sending.method, call.asked()), (Method::GET, 0));
    let sending = again(&mut call, &head(404, &[]));
    assert_eq!((sending.method, call.asked()), (Method::HEAD, 1));
    let sending = again(&mut call, &head(404, &[]));
    assert_eq!((sending.method, call.asked()), (Method::GET, 2));
    let document = Take::Document { limit: LIMIT };
    answers(&call.on_head(&head(200, &[]), public(), JITTER), document);
}
