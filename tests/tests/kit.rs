//! Tests the testkit's writable registry with skopeo: it returns unchanged what it accepts from a
//! client that is not ours.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use longshore_testkit::image::{self, Tree};
use longshore_testkit::registry::{LocationForm, Quirks, Registry};
use longshore_testkit::token::TokenServer;
use longshore_tests::registry::{PASSWORD, USER};
use longshore_tests::skopeo::Skopeo;

fn registry(quirks: Quirks) -> Registry {
    let registry = Registry::builder().writable().quirks(quirks);
    registry.start().unwrap()
}

/// Whether the registry has every document and blob of a tree, unchanged.
fn has_all(registry: &Registry, tree: &Tree) {
    let contents = registry.contents();
    for document in tree.documents() {
        let digest = &document.descriptor.digest;
        let stored = contents.manifest("app", digest).unwrap();
        assert_eq!(stored.content.bytes(), document.content.bytes());
    }
    for blob in tree.all_blobs() {
        let digest = &blob.descriptor.digest;
        let stored = contents.blob("app", digest).unwrap();
        assert_eq!(stored.bytes(), blob.content.bytes());
    }
    let tagged = contents.tagged("app", "1").unwrap();
    assert_eq!(tagged.descriptor.digest, *tree.digest());
}

#[test]
fn skopeo_pushes_to_every_kind_of_registry() {
    let Some(skopeo) = Skopeo::find() else { return };
    let mut ecr = Quirks::amazon_ecr();
    ecr.repository_must_exist = false;
    let mut absolute = Quirks::default();
    absolute.location = LocationForm::Absolute;
    for quirks in [
        absolute,
        ecr,
        Quirks::github(),
        Quirks::google(),
        Quirks::distribution(),
        Quirks::docker_hub(),
        Quirks::quay(),
        Quirks::zot(),
    ] {
        let registry = registry(quirks);
        let tree = image::index_of(vec![image::single(1), image::single(2)]);
        skopeo.push(&tree, &format!("{}/app:1", registry.authority()));
        has_all(&registry, &tree);
    }
}

#[test]
fn skopeo_logs_in_to_push() {
    let Some(skopeo) = Skopeo::find() else { return };
    let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
    let mut quirks = Quirks::default();
    quirks.early_refusal = true;
    let registry = Registry::builder().writable().quirks(quirks);
    let registry = registry.bearer(&tokens).start().unwrap();
    let skopeo = skopeo.credentials(USER, PASSWORD);
    let tree = image::single(1);
    skopeo.push(&tree, &format!("{}/app:1", registry.authority()));
    has_all(&registry, &tree);
    assert!(!registry.requests().hold(PASSWORD));
}
