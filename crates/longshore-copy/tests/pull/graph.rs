//! Images that contradict themselves, or are nested beyond the limits.

use longshore_copy::{PullOptions, TransferError, TransferErrorKind};
use longshore_model::{MediaType, WalkError};
use longshore_testkit::BlobContent;
use longshore_testkit::image::{self, DescribedContent, Tree};
use longshore_testkit::registry::Part;
use serde_json::{Value, json};

use crate::support::Scene;

/// Serves a changed document in place of the image.
async fn changed(tree: Tree, change: impl FnOnce(&mut Value)) -> (Scene, TransferError) {
    let scene = Scene::set(tree).await;
    let mut document: Value = serde_json::from_slice(&scene.tree.document()).unwrap();
    change(&mut document);
    let content = BlobContent::from(document.to_string());
    let stored = DescribedContent::new(scene.tree.media_type().clone(), content);
    scene.registry.contents().add_document("a", "1", stored);
    let mut options = PullOptions::default();
    options.platforms = longshore_copy::Platforms::All;
    let error = scene.pull_into_layout(&options).await.unwrap_err();
    scene.assert_layout_names_nothing();
    assert_eq!(scene.registry.requests_to(Part::Blob).len(), 0);
    (scene, error)
}

// LI: limits of size and count.
#[tokio::test]
async fn li_indexes_are_followed_to_the_limit_of_the_depth() {
    let scene = Scene::set(image::nested(1, 9)).await;
    let mut options = PullOptions::default();
    options.platforms = longshore_copy::Platforms::All;
    let error = scene.pull_into_layout(&options).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Limit);
    match error {
        TransferError::Graph(WalkError::TooDeep { limit, .. }) => assert_eq!(limit, 8),
        other => panic!("another error: {other}"),
    }
    assert_eq!(scene.registry.requests_to(Part::Blob).len(), 0);
    scene.assert_layout_names_nothing();
}

// DG3: digest and length must both match, so one of the two sizes is wrong.
#[tokio::test]
async fn dg3_one_digest_with_two_sizes_is_refused() {
    let (scene, error) = changed(image::single(2), |manifest| {
        let mut again = manifest["layers"][2].clone();
        again["size"] = json!(7);
        manifest["layers"].as_array_mut().unwrap().push(again);
    })
    .await;
    let layer = &scene.last().descriptor;
    let expected = format!(
        "{} is described with {} bytes and with 7 bytes",
        layer.digest, layer.size
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.kind(), TransferErrorKind::Content);
}

#[tokio::test]
async fn dg3_a_manifest_of_another_size_than_its_index_says_is_refused() {
    let (scene, error) = changed(image::twenty_platforms(3), |index| {
        index["manifests"][4]["size"] = json!(7);
    })
    .await;
    let child = scene.tree.children()[4].descriptor();
    let expected = format!(
        "manifest {} has {} bytes, but its index says 7",
        child.digest, child.size
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.kind(), TransferErrorKind::Content);
}

// DG5: types must agree.
#[tokio::test]
async fn dg5_a_manifest_of_another_type_than_its_index_says_is_refused() {
    let (scene, error) = changed(image::twenty_platforms(4), |index| {
        index["manifests"][4]["mediaType"] = json!(MediaType::OCI_INDEX.as_str());
    })
    .await;
    let child = scene.tree.children()[4].digest();
    let expected = format!("{child} is not of the type that its index says");
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.kind(), TransferErrorKind::Content);
}
