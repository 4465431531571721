//! Commits whose answer is wrong, lost, or late.

use bytes::Bytes;
use http::{Method, StatusCode};
use longshore::model::Digest;
use longshore::{ErrorKind, PushOptions, StreamContent, UploadOutcome};
use longshore_testkit::ScriptedResponse;
use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};

use crate::support::{BLOB, Once, chunked, lines, push, registry, repository, stored, whole};

/// A registry that misbehaves in the request that names the blob.
fn at_commit(what: Misbehaviour) -> Registry {
    let registry = registry(|_| {});
    registry.misbehave(Rule::on(Part::Upload, what).method(Method::PUT).times(1));
    registry
}

// DG7 (an upload succeeds only if the digest in the response is the expected one)
#[tokio::test]
async fn dg7_a_blob_that_is_acknowledged_under_another_digest_is_an_error() {
    let other = Digest::sha256(b"other");
    let registry = at_commit(Misbehaviour::DigestHeader(other.clone()));
    let failed = push(&registry, whole()).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Protocol);
    assert!(format!("{failed:?}").contains(other.as_str()), "{failed:?}");
    let registry = at_commit(Misbehaviour::NoDigestHeader);
    push(&registry, whole()).await.unwrap();
    assert_eq!(stored(&registry).unwrap(), BLOB);
}

// DG7 (after a failed commit the client sends HEAD before it uploads again)
#[tokio::test]
async fn dg7_nothing_is_sent_again_when_the_answer_to_a_commit_is_lost() {
    let lost = Misbehaviour::HangUp;
    let unclear = Misbehaviour::Status(StatusCode::INTERNAL_SERVER_ERROR);
    let gateway = Misbehaviour::Status(StatusCode::GATEWAY_TIMEOUT);
    for (what, status) in [(lost, 0), (unclear, 500), (gateway, 504)] {
        for (options, before) in [
            (whole(), &["POST uploads/ 202"][..]),
            (
                chunked(),
                &[
                    "POST uploads/ 202",
                    "PATCH uploads/session-1 0-9 [10] 202",
                    "PATCH uploads/session-1 10-19 [10] 202",
                    "PATCH uploads/session-1 20-25 [6] 202",
                ],
            ),
        ] {
            let length = if options.chunk.is_none() { "[26] " } else { "" };
            let registry = at_commit(what.clone());
            let pushed = push(&registry, options).await.unwrap();
            assert_eq!(pushed.outcome, UploadOutcome::Sent);
            let mut expected: Vec<_> = before.iter().map(|line| (*line).to_owned()).collect();
            expected.push(format!("PUT uploads/session-1?digest=D {length}{status}"));
            expected.push("HEAD D 200".to_owned());
            assert_eq!(lines(&registry), expected);
        }
    }
}

// DG7 (after a failed commit the client sends HEAD before it uploads again)
#[tokio::test]
async fn dg7_a_commit_that_did_not_arrive_is_repeated_after_the_registry_was_asked() {
    let registry = at_commit(Misbehaviour::CutRequestAfter(7));
    push(&registry, whole()).await.unwrap();
    assert_eq!(
        lines(&registry),
        [
            "POST uploads/ 202",
            "PUT uploads/session-1?digest=D [7] 0",
            "HEAD D 404",
            "GET uploads/session-1 204",
            "PATCH uploads/session-1 7-25 [19] 202",
            "PUT uploads/session-1?digest=D 201",
        ]
    );
    assert_eq!(stored(&registry).unwrap(), BLOB);
}

// DG7, where the session has gone with the commit that failed
#[tokio::test]
async fn dg7_a_commit_that_ends_the_session_without_a_blob_starts_again() {
    let registry = registry(|quirks| quirks.broken_chunk_ends_session = true);
    let cut = Rule::on(Part::Upload, Misbehaviour::CutRequestAfter(7));
    registry.misbehave(cut.method(Method::PUT).times(1));
    push(&registry, whole()).await.unwrap();
    assert_eq!(
        lines(&registry),
        [
            "POST uploads/ 202",
            "PUT uploads/session-1?digest=D [7] 0",
            "HEAD D 404",
            "GET uploads/session-1 404",
            "POST uploads/ 202",
            "PUT uploads/session-2?digest=D [26] 201",
        ]
    );
    assert_eq!(stored(&registry).unwrap(), BLOB);
}

#[tokio::test]
async fn a_lost_commit_is_found_although_head_is_refused() {
    let registry = registry(|quirks| quirks.blob_head = Some(StatusCode::FORBIDDEN));
    let lost = Rule::on(Part::Upload, Misbehaviour::HangUp);
    registry.misbehave(lost.method(Method::PUT).times(1));
    push(&registry, whole()).await.unwrap();
    let expected = [
        "POST uploads/ 202",
        "PUT uploads/session-1?digest=D [26] 0",
        "HEAD D 403",
        "GET D 200",
    ];
    assert_eq!(lines(&registry), expected);
}

/// More than the buffers of both ends of a connection hold.
fn large() -> Bytes {
    Bytes::from(vec![7; 48 * 1024 * 1024])
}

/// A registry that says once, before it reads the body, that it took it.
fn early(method: Method, status: StatusCode) -> Registry {
    let registry = registry(|_| {});
    let answer = Misbehaviour::AnswerEarly(Box::new(ScriptedResponse::status(status)));
    registry.misbehave(Rule::on(Part::Upload, answer).method(method).times(1));
    registry
}

// DG3, DG7 (an answer to content that was not sent and hashed to its end is no success)
#[tokio::test]
async fn dg7_a_success_before_the_content_was_sent_is_asked_about() {
    let content = large();
    let digest = Digest::sha256(&content);
    let chunk = Some(32 * 1024 * 1024);
    for (method, digest, chunk) in [
        (Method::PUT, Some(digest.clone()), None),
        (Method::PATCH, Some(digest.clone()), chunk),
        (Method::PATCH, None, chunk),
    ] {
        let registry = early(method.clone(), StatusCode::CREATED);
        let repository = repository(&registry).await;
        let mut options = PushOptions::default();
        (options.digest, options.chunk) = (digest, chunk);
        let pushed = repository.put_blob(&content, options).await.unwrap();
        assert_eq!(pushed.digest, Digest::sha256(&content), "{method}");
        let stored = registry.contents().blob("app", &pushed.digest).unwrap();
        assert_eq!(stored.bytes(), content, "{method}");
    }
}

// DG3, DG7
#[tokio::test]
async fn dg7_content_of_another_digest_is_found_although_the_registry_says_at_once_that_it_has_it()
{
    let registry = early(Method::PUT, StatusCode::CREATED);
    let repository = repository(&registry).await;
    let mut options = PushOptions::default();
    options.digest = Some(Digest::sha256(b"other"));
    let pushed = repository.put_blob(&large(), options).await;
    let failed = pushed.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Body, "{failed:?}");
    assert!(
        format!("{failed:?}").contains("its digest is"),
        "{failed:?}"
    );
}

// DG3: the digest of a stream is never that of its beginning.
#[tokio::test]
async fn dg3_a_stream_that_was_not_read_to_its_end_has_no_digest() {
    let registry = early(Method::PATCH, StatusCode::ACCEPTED);
    let repository = repository(&registry).await;
    let content = StreamContent::new(Once(Some(large())), None);
    let pushed = repository.put_blob(&content, PushOptions::default()).await;
    let failed = pushed.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Body, "{failed:?}");
    let seen = registry.requests().all();
    let seen: Vec<_> = seen.iter().map(|seen| seen.method.as_str()).collect();
    assert_eq!(seen, ["POST", "PATCH", "GET", "DELETE"]);
}
