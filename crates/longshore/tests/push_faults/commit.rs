//! Commits whose answer is wrong, lost, or late.

use http::StatusCode;
use longshore::model::Digest;
use longshore::{ErrorKind, UploadOutcome};
use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};

use crate::support::{BLOB, chunked, lines, push, registry, stored, whole};

/// A registry that misbehaves in the request that names the blob.
fn at_commit(what: Misbehaviour) -> Registry {
    let registry = registry(|_| {});
    registry.misbehave(
        Rule::on(Part::Upload, what)
            .method(http::Method::PUT)
            .times(1),
    );
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
    registry.misbehave(cut.method(http::Method::PUT).times(1));
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
    registry.misbehave(lost.method(http::Method::PUT).times(1));
    push(&registry, whole()).await.unwrap();
    let expected = [
        "POST uploads/ 202",
        "PUT uploads/session-1?digest=D [26] 0",
        "HEAD D 403",
        "GET D 200",
    ];
    assert_eq!(lines(&registry), expected);
}
