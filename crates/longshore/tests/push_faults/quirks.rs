//! Registries that differ from the specification.

use http::StatusCode;
use longshore::{ErrorKind, PushOptions, UploadOutcome};
use longshore_testkit::registry::{
    Chunks, LocationForm, LocationQuery, MountForm, Quirks, Quota, RangeForm, Registry,
};

use crate::support::{
    BLOB, app, builder, chunked, lines, push, registry, repository, stored, stream, whole,
};

/// Pushes in chunks of ten bytes, and expects these requests and a whole blob.
async fn pushes(set: impl FnOnce(&mut Quirks), expected: &[&str]) {
    let registry = registry(set);
    let pushed = push(&registry, chunked()).await.unwrap();
    assert_eq!(pushed.outcome, UploadOutcome::Sent);
    assert_eq!(lines(&registry), expected);
    assert_eq!(stored(&registry).unwrap(), BLOB);
}

#[tokio::test]
async fn chunks_are_accepted_with_any_success() {
    for status in [200, 201, 202, 204] {
        let set = |quirks: &mut Quirks| {
            quirks.patch_status = StatusCode::from_u16(status).unwrap();
        };
        let patch = |range: &str, length: u8| {
            format!("PATCH uploads/session-1 {range} [{length}] {status}")
        };
        let parts = [patch("0-9", 10), patch("10-19", 10), patch("20-25", 6)];
        let expected = [
            "POST uploads/ 202",
            &parts[0],
            &parts[1],
            &parts[2],
            "PUT uploads/session-1?digest=D 201",
        ];
        pushes(set, &expected).await;
    }
}

#[tokio::test]
async fn a_chunk_is_as_long_as_the_registry_demands() {
    let set = |quirks: &mut Quirks| quirks.chunk_min_bytes = Some(16);
    let expected = [
        "POST uploads/ 202",
        "PATCH uploads/session-1 0-15 [16] 202",
        "PATCH uploads/session-1 16-25 [10] 202",
        "PUT uploads/session-1?digest=D 201",
    ];
    pushes(set, &expected).await;
}

// RT6 (a resume never loops on a range that does not move)
#[tokio::test]
async fn rt6_a_range_that_stays_at_the_first_chunk_does_not_loop() {
    let set = |quirks: &mut Quirks| quirks.range = RangeForm::FirstChunk;
    // The last chunk is shorter than the range, so the client goes back once, is refused, and
    // relies on its own count from then on.
    let expected = [
        "POST uploads/ 202",
        "PATCH uploads/session-1 0-9 [10] 202",
        "PATCH uploads/session-1 10-19 [10] 202",
        "PATCH uploads/session-1 20-25 [6] 202",
        "PATCH uploads/session-1 10-19 [10] 416",
        "PUT uploads/session-1?digest=D 201",
    ];
    pushes(set, &expected).await;
}

#[tokio::test]
async fn a_range_that_counts_the_chunk_or_is_missing_is_no_hindrance() {
    for form in [RangeForm::Chunk, RangeForm::Missing] {
        let set = |quirks: &mut Quirks| quirks.range = form;
        let expected = [
            "POST uploads/ 202",
            "PATCH uploads/session-1 0-9 [10] 202",
            "PATCH uploads/session-1 10-19 [10] 202",
            "PATCH uploads/session-1 20-25 [6] 202",
            "PUT uploads/session-1?digest=D 201",
        ];
        pushes(set, &expected).await;
    }
}

// RD4 (an upload `Location` may be relative or absolute and keeps its query byte for byte)
#[tokio::test]
async fn rd4_the_location_is_followed_in_every_form_with_its_query() {
    for form in [
        LocationForm::Absolute,
        LocationForm::Http,
        LocationForm::Path,
        LocationForm::Relative,
    ] {
        for latest in [false, true] {
            let registry = registry(|quirks| {
                quirks.location = form;
                quirks.location_query = LocationQuery::Signed;
                quirks.latest_location_only = latest;
            });
            push(&registry, chunked()).await.unwrap();
            let statuses = registry.requests().all();
            let statuses: Vec<_> = statuses.iter().map(|seen| seen.status.unwrap()).collect();
            assert_eq!(statuses, [202, 202, 202, 202, 201], "{form:?}");
            assert_eq!(stored(&registry).unwrap(), BLOB);
        }
    }
}

#[tokio::test]
async fn a_registry_without_chunks_gets_the_whole_blob() {
    let none = registry(|quirks| quirks.chunks = Chunks::Refused);
    push(&none, whole()).await.unwrap();
    let expected = [
        "POST uploads/ 202",
        "PUT uploads/session-1?digest=D [26] 201",
    ];
    assert_eq!(lines(&none), expected);
    assert_eq!(stored(&none).unwrap(), BLOB);
    let refusing = registry(|quirks| quirks.chunks = Chunks::Refused);
    let failed = push(&refusing, chunked()).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unsupported);
    assert_eq!(
        lines(&refusing).last().unwrap(),
        "DELETE uploads/session-1 204"
    );
    assert_eq!(stored(&refusing), None);
}

#[tokio::test]
async fn a_mount_is_taken_used_as_a_session_or_replaced_by_an_upload() {
    let refused = MountForm::Refused(StatusCode::FORBIDDEN);
    for (form, outcome, refusal) in [
        (MountForm::From, UploadOutcome::Mounted, None),
        (MountForm::FromRequired, UploadOutcome::Mounted, None),
        (MountForm::Session, UploadOutcome::Sent, None),
        (refused, UploadOutcome::Sent, Some(403)),
    ] {
        let registry = registry(|quirks| quirks.mount = form);
        let digest = whole().digest.unwrap();
        registry.contents().set_blob("base", &digest, BLOB);
        let mut options = whole();
        options.mount = Some("base".parse().unwrap());
        let pushed = push(&registry, options).await.unwrap();
        assert_eq!(pushed.outcome, outcome, "{form:?}");
        let status = pushed.mount_refused.map(|status| status.as_u16());
        assert_eq!(status, refusal);
        let expected: &[&str] = match form {
            MountForm::Session => &[
                "POST uploads/?mount=D&from=base 202",
                "PUT uploads/session-1?digest=D [26] 201",
            ],
            MountForm::Refused(_) => &[
                "POST uploads/?mount=D&from=base 403",
                "POST uploads/ 202",
                "PUT uploads/session-1?digest=D [26] 201",
            ],
            _ => &["POST uploads/?mount=D&from=base 201"],
        };
        assert_eq!(lines(&registry), expected);
        assert_eq!(stored(&registry).unwrap(), BLOB);
    }
}

/// The refusal of a push.
async fn refused(registry: &Registry, options: PushOptions) -> (ErrorKind, String) {
    let failed = push(registry, options).await.unwrap_err();
    assert_eq!(stored(registry), None);
    (failed.kind(), failed.to_string())
}

#[tokio::test]
async fn a_refusal_of_the_registry_is_shown_and_not_repeated() {
    for (status, kind) in [
        (StatusCode::FORBIDDEN, ErrorKind::Denied),
        (StatusCode::INSUFFICIENT_STORAGE, ErrorKind::Unavailable),
    ] {
        let registry = registry(|quirks| quirks.quota = Some(Quota::new(10, status)));
        let (found, text) = refused(&registry, whole()).await;
        assert_eq!(found, kind, "{text}");
        assert!(text.contains("the quota is exceeded"), "{text}");
        let expected = [
            "POST uploads/ 202".to_owned(),
            format!("PUT uploads/session-1?digest=D [26] {}", status.as_u16()),
            "DELETE uploads/session-1 404".to_owned(),
        ];
        assert_eq!(lines(&registry), expected);
    }
    let registry = registry(|quirks| quirks.repository_must_exist = true);
    let (kind, text) = refused(&registry, whole()).await;
    assert_eq!(kind, ErrorKind::NotFound);
    assert!(text.contains("repository unknown"), "{text}");
    assert_eq!(lines(&registry), ["POST uploads/ 404"]);
}

#[tokio::test]
async fn the_empty_blob_may_be_refused() {
    let registry = registry(|quirks| quirks.empty_blob_refused = true);
    let repository = repository(&registry).await;
    let content = bytes::Bytes::new();
    let pushed = repository.put_blob(&content, PushOptions::default());
    let failed = pushed.await.unwrap_err();
    assert!(
        failed.to_string().contains("the blob has no parts"),
        "{failed}"
    );
}

#[tokio::test]
async fn a_stream_is_refused_where_the_length_is_required() {
    let registry = registry(|quirks| quirks.length_required = true);
    let repository = repository(&registry).await;
    let content = stream();
    let pushed = repository.put_blob(&content, PushOptions::default());
    let failed = pushed.await.unwrap_err();
    assert!(failed.to_string().contains("411"), "{failed}");
    push(&registry, chunked()).await.unwrap();
    assert_eq!(stored(&registry).unwrap(), BLOB);
}

#[tokio::test]
async fn a_session_is_opened_for_the_algorithm_of_the_digest() {
    for algorithm in ["sha384", "sha512"] {
        let registry = registry(|_| {});
        let digest = longshore::model::Digest::of(&algorithm.parse().unwrap(), BLOB).unwrap();
        let mut options = PushOptions::default();
        options.digest = Some(digest.clone());
        let pushed = push(&registry, options).await.unwrap();
        assert_eq!(pushed.digest, digest);
        let first = format!("POST uploads/?digest-algorithm={algorithm} 202");
        assert_eq!(lines(&registry)[0], first);
        let stored = registry.contents().blob("app", &digest).unwrap();
        assert_eq!(stored.bytes(), BLOB);
    }
}

// A registry that keeps only the last chunk acknowledges a blob that it does not have.
#[tokio::test]
async fn what_is_lost_shows_in_the_size() {
    for (set, options, kept) in [
        (
            (|quirks| quirks.chunks = Chunks::LastKept) as fn(&mut Quirks),
            chunked(),
            6,
        ),
        (|quirks| quirks.stored_max_bytes = Some(20), whole(), 20),
    ] {
        let registry = registry(set);
        push(&registry, options).await.unwrap();
        let repository = app(&registry, &builder(&registry).build().unwrap()).await;
        let digest = whole().digest.unwrap();
        let head = repository.blob_head(&digest).await.unwrap().unwrap();
        assert_eq!(head.size, Some(kept));
    }
}

#[tokio::test]
async fn every_known_registry_takes_a_blob() {
    let mut ecr = Quirks::amazon_ecr();
    ecr.repository_must_exist = false;
    for quirks in [
        ecr,
        Quirks::artifactory(),
        Quirks::azure(),
        Quirks::distribution(),
        Quirks::docker_hub(),
        Quirks::github(),
        Quirks::google(),
        Quirks::quay(),
        Quirks::zot(),
    ] {
        let registry = registry(|set| *set = quirks.clone());
        push(&registry, whole()).await.unwrap();
        assert_eq!(lines(&registry).len(), 2, "{quirks:?}");
        assert_eq!(stored(&registry).unwrap(), BLOB);
    }
}
