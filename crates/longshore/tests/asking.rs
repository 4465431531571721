//! What is asked for, and what is taken for an answer to it.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "support/scripted.rs"]
mod scripted;

use longshore::ErrorKind;
use longshore::model::{Digest, MediaType, TagOrDigest};
use longshore::proto::error_code::ErrorCode;
use longshore::transport::Exchange;

use scripted::repository;

const HOME: &str = "https://r.example/v2/app";

fn manifest() -> String {
    let index = MediaType::OCI_INDEX;
    format!(r#"{{"schemaVersion":2,"mediaType":"{index}","manifests":[]}}"#)
}

fn tag() -> TagOrDigest {
    "1".parse().unwrap()
}

#[tokio::test]
async fn the_types_of_manifests_can_be_chosen() {
    let index = MediaType::OCI_INDEX;
    let uri = format!("{HOME}/manifests/1");
    let all = "application/vnd.oci.image.manifest.v1+json, \
        application/vnd.oci.image.index.v1+json, \
        application/vnd.docker.distribution.manifest.v2+json, \
        application/vnd.docker.distribution.manifest.list.v2+json";
    let digest = Digest::sha256(manifest().as_bytes());
    let (repository, transport) = repository([
        Exchange::new("GET", &uri, 200)
            .wants("accept", all)
            .body(manifest()),
        Exchange::new("GET", &uri, 200)
            .wants("accept", index.as_str())
            .body(manifest()),
        Exchange::new("HEAD", &uri, 200)
            .wants("accept", index.as_str())
            .header("docker-content-digest", digest.as_str()),
    ])
    .await;
    let pulled = repository.manifest(&tag()).await.unwrap();
    assert_eq!(*pulled.manifest.bytes(), manifest());
    let repository = repository.accepting([index.clone()]);
    let pulled = repository.manifest(&tag()).await.unwrap();
    assert_eq!(*pulled.manifest.media_type(), index);
    let head = repository.manifest_head(&tag()).await.unwrap().unwrap();
    assert_eq!(head.size, None);
    transport.finish();
}

#[tokio::test]
async fn li_the_largest_manifest_can_be_chosen() {
    let get = || Exchange::new("GET", &format!("{HOME}/manifests/1"), 200).body(manifest());
    let size = manifest().len() as u64;
    let (repository, transport) = repository([get(), get()]).await;
    let exact = repository.clone().with_manifest_limit(size);
    assert_eq!(
        exact.manifest(&tag()).await.unwrap().manifest.bytes(),
        &manifest()
    );
    let less = repository.with_manifest_limit(size - 1);
    let error = less.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    transport.finish();
}

#[tokio::test]
async fn li_the_longest_list_can_be_chosen() {
    let get =
        Exchange::new("GET", &format!("{HOME}/tags/list"), 200).body(r#"{"tags":["a","b","c"]}"#);
    let (repository, transport) = repository([get]).await;
    let error = repository.tags(None, None).with_limit(2).collect().await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Protocol);
    transport.finish();
}

/// Heads that claim another digest, by the rules of DG2.
#[tokio::test]
async fn dg2_a_head_about_other_content_is_refused() {
    let wanted = Digest::sha256(b"wanted");
    let other = Digest::sha256(b"other");
    // Of another algorithm: it cannot be compared.
    let unlike = Digest::of(&longshore::model::Algorithm::Sha512, b"other").unwrap();
    for (claim, refused) in [(&wanted, false), (&other, true), (&unlike, false)] {
        let head = |kind: &str, target: &str| {
            Exchange::new("HEAD", &format!("{HOME}/{kind}/{target}"), 200)
                .header("docker-content-digest", claim.as_str())
                .header("content-length", "6")
        };
        let (repository, transport) = repository([
            head("blobs", wanted.as_str()),
            head("manifests", wanted.as_str()),
            head("manifests", "1"),
        ])
        .await;
        let blob = repository
            .blob_head(&wanted)
            .await
            .map(|head| head.is_some());
        let target = TagOrDigest::from(wanted.clone());
        let manifest = repository.manifest_head(&target).await;
        let manifest = manifest.map(|head| head.is_some());
        for found in [blob, manifest] {
            let found = found.map_err(|error| error.kind());
            let expected = if refused {
                Err(ErrorKind::Digest)
            } else {
                Ok(true)
            };
            assert_eq!(found, expected, "{claim}");
        }
        // A tag may lead anywhere.
        let by_tag = repository.manifest_head(&tag()).await.unwrap().unwrap();
        assert_eq!(by_tag.digest.as_ref(), Some(claim));
        transport.finish();
    }
}

#[tokio::test]
async fn an_error_says_what_where_and_in_whose_words() {
    let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no","detail":{"Tag":"1"}}]}"#;
    let get = Exchange::new("GET", &format!("{HOME}/manifests/1"), 404).body(body);
    let (repository, transport) = repository([get]).await;
    let error = repository.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.operation().to_string(), "read manifest 1 of app");
    assert_eq!((error.registry(), error.attempts()), ("r.example", 1));
    let refusal = error.refusal().unwrap();
    assert_eq!(refusal.status, 404);
    let [entry] = refusal.body.entries.as_slice() else {
        panic!("{refusal:?}");
    };
    assert_eq!(entry.code, ErrorCode::ManifestUnknown);
    assert_eq!(entry.message.as_deref(), Some("no"));
    assert_eq!(entry.detail.as_deref(), Some(r#"{"Tag":"1"}"#));
    transport.finish();
}
