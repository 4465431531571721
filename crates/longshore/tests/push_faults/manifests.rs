//! Manifests that a registry refuses, or acknowledges as something else.

use http::StatusCode;
use longshore::model::{Digest, TagOrDigest};
use longshore::{Error, ErrorKind, PushedManifest};
use longshore_testkit::image::{self, Tree};
use longshore_testkit::registry::{
    ImmutableTags, Misbehaviour, MissingContent, Part, Quirks, ReferrersForm, Registry, Rule,
};

use crate::support::{registry, repository};

/// A registry with the blobs of an image, but not its manifest.
fn registry_for(tree: &Tree, set: impl FnOnce(&mut Quirks)) -> Registry {
    let registry = registry(set);
    for blob in tree.all_blobs() {
        let content = blob.content.clone();
        let digest = &blob.descriptor.digest;
        registry.contents().set_blob("app", digest, content);
    }
    registry
}

async fn put(registry: &Registry, target: &str, tree: &Tree) -> Result<PushedManifest, Error> {
    let target: TagOrDigest = target.parse().unwrap();
    let repository = repository(registry).await;
    let bytes = tree.document();
    repository
        .put_manifest(&target, tree.media_type(), bytes)
        .await
}

#[tokio::test]
async fn an_immutable_tag_is_refused_in_the_words_of_the_registry() {
    for immutable in [
        ImmutableTags::bad_request(),
        ImmutableTags::conflict(),
        ImmutableTags::precondition(),
    ] {
        let code = immutable.code.clone();
        let tree = image::single(1);
        let registry = registry_for(&tree, |quirks| quirks.immutable_tags = Some(immutable));
        registry.contents().add("app", "1", &image::single(2));
        let failed = put(&registry, "1", &tree).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Denied, "{failed:?}");
        let text = failed.to_string();
        assert!(text.contains("tag 1 exists and is immutable"), "{text}");
        assert!(text.contains(&code), "{text}");
        let requests = registry.requests_to(Part::Manifest).len();
        assert_eq!(requests, 1, "it is not repeated");
        put(&registry, "2", &tree).await.unwrap();
    }
}

#[tokio::test]
async fn a_sparse_index_and_a_missing_blob_are_named() {
    let index = image::index_of(vec![image::single(1)]);
    let child = index.children()[0].digest();
    let refusing = registry(|_| {});
    let failed = put(&refusing, "1", &index).await.unwrap_err();
    assert!(failed.to_string().contains(child.as_str()), "{failed}");
    let sparse = registry(|quirks| quirks.sparse_index = MissingContent::Accepted);
    let stored = put(&sparse, "1", &index).await.unwrap();
    assert_eq!(stored.digest, *index.digest());
    let tree = image::single(2);
    let failed = put(&sparse, "2", &tree).await.unwrap_err();
    let config = &tree.blobs()[0].descriptor.digest;
    assert!(failed.to_string().contains(config.as_str()), "{failed}");
}

#[tokio::test]
async fn the_subject_is_what_the_registry_understood() {
    let subject = image::single(1);
    let referrer = image::attached(2, &subject);
    for (form, expected) in [
        (ReferrersForm::Api, Some(subject.digest().clone())),
        (ReferrersForm::Unknown, None),
    ] {
        let registry = registry_for(&referrer, |quirks| quirks.referrers = form);
        let stored = put(&registry, referrer.digest().as_str(), &referrer).await;
        assert_eq!(stored.unwrap().subject, expected);
    }
    let refused = ReferrersForm::Refused(StatusCode::METHOD_NOT_ALLOWED);
    let registry = registry_for(&referrer, |quirks| quirks.referrers = refused);
    let failed = put(&registry, referrer.digest().as_str(), &referrer).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unsupported);
}

// DG7 (an upload succeeds only if the digest in the response is the expected one)
#[tokio::test]
async fn dg7_a_manifest_that_is_acknowledged_under_another_digest_is_an_error() {
    let tree = image::single(1);
    let other = Digest::sha256(b"other");
    for target in ["1", tree.digest().as_str()] {
        let registry = registry_for(&tree, |_| {});
        let lie = Misbehaviour::DigestHeader(other.clone());
        registry.misbehave(Rule::on(Part::Manifest, lie).times(1));
        let failed = put(&registry, target, &tree).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Protocol);
        assert!(format!("{failed:?}").contains(other.as_str()), "{failed:?}");
    }
}

// RT4 (the PUT of a manifest is retried)
#[tokio::test]
async fn rt4_a_manifest_is_sent_again_when_its_answer_is_lost() {
    let tree = image::single(1);
    let unclear = Misbehaviour::Status(StatusCode::INTERNAL_SERVER_ERROR);
    for what in [
        Misbehaviour::HangUp,
        unclear,
        Misbehaviour::CutRequestAfter(5),
    ] {
        let registry = registry_for(&tree, |_| {});
        registry.misbehave(Rule::on(Part::Manifest, what).times(1));
        let stored = put(&registry, "1", &tree).await.unwrap();
        assert_eq!(stored.digest, *tree.digest());
        assert_eq!(registry.requests_to(Part::Manifest).len(), 2);
        let tagged = registry.contents().tagged("app", "1").unwrap();
        assert_eq!(tagged.content.bytes(), tree.document());
    }
}

#[tokio::test]
async fn what_cannot_be_deleted_is_unsupported_and_stays() {
    let tree = image::single(1);
    let registry = registry(|quirks| {
        quirks.no_tag_delete = true;
        quirks.no_blob_delete = true;
    });
    registry.contents().add("app", "1", &tree);
    let repository = repository(&registry).await;
    let failed = repository
        .delete_tag(&"1".parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unsupported);
    let layer = &tree.blobs()[1].descriptor.digest;
    let failed = repository.delete_blob(layer).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unsupported);
    // Deleting a tag never deletes the manifest instead.
    assert_eq!(registry.requests().len(), 2);
    assert!(registry.contents().tagged("app", "1").is_some());
    assert!(repository.delete_manifest(tree.digest()).await.unwrap());
    assert!(registry.contents().tagged("app", "1").is_none());
}
