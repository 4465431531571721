//! Which image of an index is pulled.

use longshore_copy::{
    Platforms, PullOptions, TransferError, TransferErrorKind, host_platform, select_platform,
};
use longshore_model::{Platform, WalkError};
use longshore_store::MemoryStore;
use longshore_testkit::image::{self, Image, Tree};
use longshore_testkit::registry::Part;

use crate::support::{Scene, assert_store_holds};

fn one(platform: &str) -> PullOptions {
    let mut options = PullOptions::default();
    options.platforms = Platforms::One(platform.parse().unwrap());
    options
}

#[tokio::test]
async fn all_platforms_bring_the_index_and_every_image() {
    let tree = image::nested(1, 8);
    let scene = Scene::set(tree.clone()).await;
    let mut options = PullOptions::default();
    options.platforms = Platforms::All;
    let report = scene.pull_into_layout(&options).await.unwrap();
    scene.assert_layout_holds(&tree);
    assert_eq!(report.manifest.digest(), tree.digest());
    assert_eq!(report.platform, None);
    assert_eq!(report.tally.bytes, tree.total_bytes());
    let parts = tree.documents().len() + tree.all_blobs().len();
    assert_eq!(report.tally.moved, parts as u64);
}

#[tokio::test]
async fn one_platform_brings_its_image_and_nothing_else() {
    let scene = Scene::set(image::twenty_platforms(2)).await;
    let child = scene.tree.child("linux/arm64/v8").unwrap();
    let store = MemoryStore::new();
    let report = scene.pull_into(&store, &one("linux/arm64")).await.unwrap();
    assert_store_holds(&store, child);
    assert_eq!(report.platform, Some("linux/arm64".parse().unwrap()));
    assert_eq!(scene.registry.requests_to(Part::Manifest).len(), 2);
    assert_eq!(scene.registry.requests_to(Part::Blob).len(), 3);
}

#[tokio::test]
async fn the_default_is_the_platform_of_this_machine() {
    let other = Platform::new("plan9", "mips");
    let platforms = [other, host_platform()];
    let scene = Scene::set(image::index(3, &platforms)).await;
    let store = MemoryStore::new();
    let options = PullOptions::default();
    let report = scene.pull_into(&store, &options).await.unwrap();
    assert_store_holds(&store, &scene.tree.children()[1]);
    assert_eq!(report.platform, Some(host_platform()));
}

#[tokio::test]
async fn a_platform_that_is_absent_is_told_with_those_that_are_there() {
    let scene = Scene::set(image::index(4, &image::platforms()[..3])).await;
    let result = scene.pull_into_layout(&one("linux/s390x")).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Platform);
    let expected = "no image for linux/s390x, there is linux/amd64, linux/amd64/v3, linux/386";
    assert_eq!(error.to_string(), expected);
    assert!(!scene.layout().exists());
}

#[tokio::test]
async fn an_image_in_no_index_has_its_platform_in_its_config() {
    let arm: Platform = "linux/arm64".parse().unwrap();
    let scene = Scene::set(Image::new(5).platform(arm.clone()).build()).await;
    let store = MemoryStore::new();
    let report = scene
        .pull_into(&store, &one("linux/arm64/v8"))
        .await
        .unwrap();
    assert_eq!(report.platform, Some("linux/arm64/v8".parse().unwrap()));
    let result = scene.pull_into(&store, &one("linux/amd64")).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Platform);
    let expected = "no image for linux/amd64, there is linux/arm64";
    assert_eq!(error.to_string(), expected);
    // Without a requested platform, the image is taken as it is.
    let options = PullOptions::default();
    let report = scene.pull_into(&store, &options).await.unwrap();
    assert_eq!(report.platform, None);
}

#[tokio::test]
async fn an_artifact_has_no_platform_to_check() {
    let tree = image::artifact(6);
    let scene = Scene::set(tree.clone()).await;
    let store = MemoryStore::new();
    let report = scene.pull_into(&store, &one("linux/s390x")).await.unwrap();
    assert_store_holds(&store, &tree);
    assert_eq!(report.platform, Some("linux/s390x".parse().unwrap()));
}

// LI: limits of size and count. Eight indexes in an index are followed, and a ninth is not.
#[tokio::test]
async fn li_a_platform_is_looked_for_to_the_limit_of_the_depth() {
    let amd64: Platform = "linux/amd64".parse().unwrap();
    for (levels, expected) in [(8, None), (9, Some(8))] {
        let tree = only_indexes(levels);
        let scene = Scene::set(tree.clone()).await;
        let top = scene.repository.manifest(&scene.target()).await.unwrap();
        let selected = select_platform(&scene.repository, top.manifest, &amd64).await;
        match (selected, expected) {
            (Ok(manifest), None) => assert_eq!(*manifest.digest(), *bottom(&tree).digest()),
            (Err(TransferError::Graph(WalkError::TooDeep { digest, limit })), Some(expected)) => {
                assert_eq!(limit, expected);
                assert_eq!(digest, *bottom(&tree).digest());
            }
            (other, _) => panic!("{levels} levels: {other:?}"),
        }
    }
}

/// Indexes in indexes, with one image at the bottom.
fn only_indexes(levels: usize) -> Tree {
    (0..levels).fold(image::single(7), |below, _| image::index_of(vec![below]))
}

fn bottom(tree: &Tree) -> &Tree {
    tree.children().first().map_or(tree, bottom)
}
