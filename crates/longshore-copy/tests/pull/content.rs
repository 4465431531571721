//! What arrives, what is moved, and content that is not what it should be.

use longshore_copy::{
    PullOptions, TransferError, TransferErrorKind, fetch_config, pull, resolve, stored_manifest,
};
use longshore_layout::{Layout, LayoutErrorKind};
use longshore_model::{MediaType, TagOrDigest, VerifyError};
use longshore_store::{MemoryStore, Store as _, StoreError, StoreErrorKind};
use longshore_testkit::image::{self, Image};
use longshore_testkit::registry::{Misbehaviour, Part, Rule};

use crate::support::{Recorder, Scene, assert_store_holds, observed};

#[tokio::test]
async fn an_image_in_memory_has_its_layers_in_the_order_of_the_manifest() {
    let tree = Image::new(1).layers(20, 3000).build();
    let scene = Scene::set(tree.clone()).await;
    let store = MemoryStore::new();
    let options = PullOptions::default();
    let report = scene.pull_into(&store, &options).await.unwrap();
    assert_store_holds(&store, &tree);
    assert_eq!(report.manifest.bytes(), &tree.document());
    let mut blobs = tree.blobs().iter();
    let config = &blobs.next().unwrap().descriptor;
    assert_eq!(report.config().unwrap().digest, config.digest);
    assert_eq!(report.layers().len(), 20);
    for (layer, expected) in report.layers().iter().zip(blobs) {
        let bytes = store.bytes(&layer.digest).unwrap().unwrap();
        assert!(bytes == expected.content.bytes());
    }
    assert_eq!(report.tally.moved, 22);
    assert_eq!(report.tally.present, 0);
    assert_eq!(report.tally.bytes, tree.total_bytes());
    assert_eq!(report.platform, None);
}

#[tokio::test]
async fn a_layout_gets_the_image_under_its_name() {
    let scene = Scene::set(Image::new(2).layers(2, 2 << 20).build()).await;
    let options = PullOptions::default();
    let report = scene.pull_into_layout(&options).await.unwrap();
    assert_eq!(report.manifest.digest(), scene.tree.digest());
    scene.assert_layout_holds(&scene.tree);
    // An entry may have no name.
    let unnamed = longshore_copy::LayoutEntry::new(scene.place.path().join("other"));
    let target = TagOrDigest::from(scene.tree.digest().clone());
    pull(&scene.repository, &target, unnamed, &options)
        .await
        .unwrap();
    let layout = Layout::open(&scene.place.path().join("other")).unwrap();
    assert_eq!(layout.tags().unwrap(), []);
    assert_eq!(layout.entries().unwrap().len(), 1);
}

#[tokio::test]
async fn nothing_is_created_for_an_image_that_is_absent() {
    let scene = Scene::set(image::single(3)).await;
    let entry = longshore_copy::LayoutEntry::new(scene.layout());
    let target: TagOrDigest = "no-such".parse().unwrap();
    let options = PullOptions::default();
    let result = pull(&scene.repository, &target, entry, &options).await;
    let kind = TransferErrorKind::Registry(longshore::ErrorKind::NotFound);
    assert_eq!(result.unwrap_err().kind(), kind);
    assert!(!scene.layout().exists());
}

#[tokio::test]
async fn a_directory_that_is_no_layout_is_left_alone() {
    let scene = Scene::set(image::single(4)).await;
    std::fs::create_dir(scene.layout()).unwrap();
    std::fs::write(scene.layout().join("notes.txt"), "mine").unwrap();
    let options = PullOptions::default();
    let error = scene.pull_into_layout(&options).await.unwrap_err();
    let kind = TransferErrorKind::Layout(LayoutErrorKind::NotALayout);
    assert_eq!(error.kind(), kind);
    assert_eq!(std::fs::read_dir(scene.layout()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_second_pull_moves_nothing() {
    let scene = Scene::set(Image::new(5).layers(3, 2 << 20).build()).await;
    let options = PullOptions::default();
    scene.pull_into_layout(&options).await.unwrap();
    scene.registry.requests().clear();
    let recorder = Recorder::new();
    let report = scene.pull_into_layout(&observed(&recorder)).await.unwrap();
    assert_eq!((report.tally.moved, report.tally.bytes), (0, 0));
    assert_eq!(report.tally.present, 5);
    assert_eq!(scene.registry.requests_to(Part::Blob).len(), 0);
    let mut expected = vec!["planned 0 0".to_owned()];
    let blobs = scene.tree.blobs().iter();
    expected.extend(blobs.map(|blob| format!("skipped {}", blob.descriptor.digest)));
    expected.sort();
    assert_eq!(recorder.events(), expected);
}

// DG3: digest and length must both match. RT2: one full re-fetch after a mismatch.
#[tokio::test]
async fn rt2_a_blob_that_was_damaged_once_is_fetched_again() {
    for size in [1000, 3_000_000] {
        let scene = Scene::set(Image::new(size).layers(1, size).build()).await;
        let digest = scene.last().descriptor.digest.clone();
        let rule = Rule::on(Part::Blob, Misbehaviour::Corrupt(700)).path(digest.encoded());
        scene.registry.misbehave(rule.times(1));
        let recorder = Recorder::new();
        let report = scene.pull_into_layout(&observed(&recorder)).await.unwrap();
        scene.assert_layout_holds(&scene.tree);
        assert_eq!(scene.ranges_of_last(), [None, None]);
        assert_eq!(report.tally.bytes, scene.tree.total_bytes());
        let taken_back = format!("taken back {digest} {}", scene.last().descriptor.size);
        assert!(
            recorder.events().contains(&taken_back),
            "{:?}",
            recorder.events()
        );
    }
}

#[tokio::test]
async fn dg3_a_blob_that_is_damaged_twice_is_reported_and_never_visible() {
    for size in [1000, 3_000_000] {
        let scene = Scene::set(Image::new(size).layers(1, size).build()).await;
        scene.misbehave_at_last(Misbehaviour::Corrupt(700));
        let options = PullOptions::default();
        let error = scene.pull_into_layout(&options).await.unwrap_err();
        let kind = TransferErrorKind::Store(StoreErrorKind::Content);
        assert_eq!(error.kind(), kind);
        match error {
            TransferError::Store(StoreError::Content {
                digest,
                source: VerifyError::Digest { expected, .. },
            }) => {
                assert_eq!(digest, scene.last().descriptor.digest);
                assert_eq!(expected, digest);
            }
            other => panic!("another error: {other}"),
        }
        assert_eq!(scene.ranges_of_last(), [None, None]);
        scene.assert_layout_names_nothing();
        // If the content is correct later, it is accepted; the transfer starts at the first byte.
        scene.registry.behave();
        scene.registry.requests().clear();
        scene.pull_into_layout(&options).await.unwrap();
        scene.assert_layout_holds(&scene.tree);
        assert_eq!(scene.ranges_of_last(), [None]);
    }
}

/// Overwrites a file with other bytes of the same length.
fn overwrite(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path, bytes).unwrap();
}

// DG10: all content that a pull refers to was verified, including reused content.
#[tokio::test]
async fn dg10_a_reused_blob_with_other_content_is_replaced() {
    for size in [1000, 3_000_000] {
        let scene = Scene::set(Image::new(size).layers(3, size).build()).await;
        let options = PullOptions::default();
        scene.pull_into_layout(&options).await.unwrap();
        overwrite(&scene.path_of_last());
        scene.registry.requests().clear();
        let recorder = Recorder::new();
        let report = scene.pull_into_layout(&observed(&recorder)).await.unwrap();
        scene.assert_layout_holds(&scene.tree);
        let last = &scene.last().descriptor;
        assert_eq!((report.tally.moved, report.tally.replaced), (1, 1));
        assert_eq!((report.tally.present, report.tally.bytes), (4, last.size));
        assert_eq!(scene.ranges_of_last(), [None]);
        assert_eq!(scene.registry.requests_to(Part::Blob).len(), 1);
        let events = recorder.events();
        for event in ["damaged", "finished"] {
            let event = format!("{event} {}", last.digest);
            assert!(events.contains(&event), "{events:?}");
        }
        let skipped = events.iter().filter(|event| event.starts_with("skipped"));
        assert_eq!(skipped.count(), 3);
    }
}

// DG10: if it cannot be replaced, nothing refers to it.
#[tokio::test]
async fn dg10_no_entry_is_written_if_a_wrong_blob_cannot_be_replaced() {
    let scene = Scene::set(Image::new(11).layers(2, 5000).build()).await;
    let options = PullOptions::default();
    scene.pull_into_layout(&options).await.unwrap();
    overwrite(&scene.path_of_last());
    scene.misbehave_at_last(Misbehaviour::Status(http::StatusCode::NOT_FOUND));
    let other = longshore_copy::LayoutEntry::new(scene.layout()).named("v2");
    let error = pull(&scene.repository, &scene.target(), other, &options)
        .await
        .unwrap_err();
    let kind = TransferErrorKind::Registry(longshore::ErrorKind::NotFound);
    assert_eq!(error.kind(), kind);
    let tags = Layout::open(&scene.layout()).unwrap().tags().unwrap();
    assert_eq!(tags.len(), 1);
}

#[tokio::test]
async fn trusted_existing_blobs_are_reused_without_being_hashed() {
    let scene = Scene::set(Image::new(12).layers(2, 5000).build()).await;
    let options = PullOptions::default().with_trust_existing(true);
    scene.pull_into_layout(&options).await.unwrap();
    overwrite(&scene.path_of_last());
    let report = scene.pull_into_layout(&options).await.unwrap();
    assert_eq!((report.tally.moved, report.tally.replaced), (0, 0));
    assert_eq!(report.tally.present, 4);
}

// DG3: other programs may have written to the layout, so its manifests are hashed again.
#[tokio::test]
async fn dg3_a_reused_manifest_is_hashed_again() {
    let tree = image::twenty_platforms(6);
    let scene = Scene::set(tree.clone()).await;
    let mut options = PullOptions::default();
    options.platforms = longshore_copy::Platforms::All;
    scene.pull_into_layout(&options).await.unwrap();
    let store = Layout::open(&scene.layout()).unwrap().store().clone();
    for digest in [tree.digest(), tree.children()[7].digest()] {
        let path = store.path(digest).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() = b' ';
        std::fs::write(&path, bytes).unwrap();
    }
    scene.registry.requests().clear();
    let report = scene.pull_into_layout(&options).await.unwrap();
    scene.assert_layout_holds(&tree);
    assert_eq!(report.tally.moved, 2);
    assert_eq!(scene.registry.requests_to(Part::Manifest).len(), 2);
    let damaged = tree.children()[7].digest();
    assert_eq!(scene.requests_for(damaged).len(), 1);
}

#[tokio::test]
async fn li2_memory_has_the_limit_of_its_store() {
    let scene = Scene::set(Image::new(7).layers(1, 100_000).build()).await;
    let store = MemoryStore::with_limit_bytes(50_000);
    let options = PullOptions::default();
    let error = scene.pull_into(&store, &options).await.unwrap_err();
    let kind = TransferErrorKind::Store(StoreErrorKind::Full);
    assert_eq!(error.kind(), kind);
    let layer = &scene.last().descriptor.digest;
    assert_eq!(store.bytes(layer).unwrap(), None);
}

#[tokio::test]
async fn manifests_of_an_index_are_read_from_memory() {
    let tree = image::twenty_platforms(8);
    let scene = Scene::set(tree.clone()).await;
    let store = MemoryStore::new();
    let mut options = PullOptions::default();
    options.platforms = longshore_copy::Platforms::All;
    let report = scene.pull_into(&store, &options).await.unwrap();
    assert_eq!((report.layers(), report.config()), (&[][..], None));
    let index = report.manifest.document().as_index().unwrap();
    for (entry, child) in index.manifests.iter().zip(tree.children()) {
        let found = stored_manifest(&store, &entry.digest, entry.size).unwrap();
        assert_eq!(found.unwrap().bytes(), &child.document());
        let shorter = stored_manifest(&store, &entry.digest, entry.size - 1);
        assert!(shorter.unwrap().is_none());
    }
    let absent = longshore_model::Digest::sha256(b"absent");
    assert!(stored_manifest(&store, &absent, 6).unwrap().is_none());
}

// RT8: HEAD is preferred for tag checks.
#[tokio::test]
async fn rt8_a_digest_is_asked_for_with_head() {
    let scene = Scene::set(image::single(9)).await;
    let digest = scene.tree.digest().clone();
    let target = scene.target();
    assert_eq!(resolve(&scene.repository, &target).await.unwrap(), digest);
    let methods = |scene: &Scene| -> Vec<_> {
        let requests = scene.registry.requests_to(Part::Manifest);
        requests.into_iter().map(|it| it.method).collect()
    };
    assert_eq!(methods(&scene), [http::Method::HEAD]);
    // With GET where the answer does not name it.
    scene.registry.requests().clear();
    scene
        .registry
        .misbehave(Rule::on(Part::Manifest, Misbehaviour::NoDigestHeader));
    assert_eq!(resolve(&scene.repository, &target).await.unwrap(), digest);
    assert_eq!(methods(&scene), [http::Method::HEAD, http::Method::GET]);
    let absent: TagOrDigest = "no-such".parse().unwrap();
    let error = resolve(&scene.repository, &absent).await.unwrap_err();
    let kind = TransferErrorKind::Registry(longshore::ErrorKind::NotFound);
    assert_eq!(error.kind(), kind);
}

#[tokio::test]
async fn a_config_is_fetched_unless_it_is_embedded() {
    let scene = Scene::set(image::single(10)).await;
    let config = scene.tree.blobs()[0].clone();
    let bytes = fetch_config(&scene.repository, &config.descriptor)
        .await
        .unwrap();
    assert_eq!(bytes, config.content.bytes());
    assert_eq!(scene.registry.requests_to(Part::Blob).len(), 1);
    let mut embedded = longshore_model::Descriptor::of(MediaType::OCI_CONFIG, b"{}");
    embedded.data = Some("e30=".to_owned());
    let bytes = fetch_config(&scene.repository, &embedded).await.unwrap();
    assert_eq!(bytes, "{}");
    assert_eq!(scene.registry.requests_to(Part::Blob).len(), 1);
}
