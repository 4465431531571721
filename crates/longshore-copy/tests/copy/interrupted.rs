//! Copies that break off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use longshore_copy::{Cancellation, CopyOptions, Journal, RegistryEnd, TransferError};
use longshore_testkit::RecordedRequest;
use longshore_testkit::image::Image;
use longshore_testkit::registry::{Misbehaviour, Part, Rule};

use crate::support::{Scene, assert_registry_holds, copied, count, repository};

// DG3: digest and length must both match. RT2: one full re-fetch is allowed.
#[tokio::test]
async fn dg3_content_that_is_damaged_twice_never_reaches_a_registry() {
    for bytes in [500, 2 << 20] {
        let scene = Scene::set(Image::new(1).layers(2, bytes).build());
        let last = scene.tree.blobs().last().unwrap();
        let damaged = vec![7; usize::try_from(last.descriptor.size).unwrap()];
        scene
            .source
            .contents()
            .set_blob("a", &last.descriptor.digest, damaged);
        let to = scene.to("b:2").await;
        let error = copied(&scene.from().await, &to, &CopyOptions::default())
            .await
            .unwrap_err();
        assert!(matches!(error, TransferError::Source(_)), "{error}");
        let digest = last.descriptor.digest.as_str();
        assert_eq!(count(&scene.source, "GET", digest), 2);
        assert_eq!(count(&scene.target, "PUT", "/manifests/"), 0);
        let (repository, _) = repository(&scene.target, "b:2").await;
        let head = repository.blob_head(&last.descriptor.digest).await.unwrap();
        assert!(head.is_none());
    }
}

#[tokio::test]
async fn an_error_of_the_source_is_told_as_one() {
    let scene = Scene::set(Image::new(1).layers(2, 500).build());
    scene.source.misbehave(Rule::on(
        Part::Blob,
        Misbehaviour::Status(StatusCode::FORBIDDEN),
    ));
    let to = scene.to("b:2").await;
    let error = copied(&scene.from().await, &to, &CopyOptions::default())
        .await
        .unwrap_err();
    let TransferError::Registry(error) = error else {
        panic!("another error: {error}");
    };
    assert_eq!(error.kind(), longshore::ErrorKind::Denied);
    assert_eq!(error.registry(), scene.source.authority());
}

/// Whether a request sends a chunk of the layer, and not the config, which is small.
fn is_chunk_of_layer(request: &RecordedRequest) -> bool {
    let length = request.header("content-length");
    let length: Option<u64> = length.and_then(|length| length.parse().ok());
    request.method == "PATCH" && length == Some(1 << 20)
}

#[tokio::test]
async fn an_upload_that_broke_off_is_continued_by_the_next_run() {
    let scene = Scene::set(Image::new(1).layers(1, 4 << 20).build());
    let layer = scene.tree.blobs().last().unwrap().descriptor.clone();
    let journal = Journal::in_dir(&scene.place.path().join("uploads"), Duration::ZERO).unwrap();
    let journal = Arc::new(journal);
    let to = async || {
        let (repository, reference) = repository(&scene.target, "b:2").await;
        let end = RegistryEnd::new(repository, reference.target());
        let end = end.with_chunk(1 << 20).with_journal(Arc::clone(&journal));
        Arc::new(end) as Arc<dyn longshore_copy::End>
    };
    // Two chunks arrive, and the third is on its way.
    let mut options = CopyOptions::default();
    let (cancellation, patches) = (options.run.cancellation.clone(), AtomicUsize::new(0));
    scene.target.requests().watch(move |request| {
        if is_chunk_of_layer(request) && patches.fetch_add(1, Ordering::SeqCst) == 2 {
            cancellation.cancel();
        }
    });
    let error = copied(&scene.from().await, &to().await, &options).await;
    assert!(matches!(error, Err(TransferError::Cancelled)), "{error:?}");
    options.run.cancellation = Cancellation::new();
    scene.target.requests().watch(|_| ());
    scene.target.requests().clear();
    copied(&scene.from().await, &to().await, &options)
        .await
        .unwrap();
    let patches = scene.target.requests().matching(is_chunk_of_layer);
    let first = patches.first().unwrap().header("content-range").unwrap();
    let first: u64 = first.split('-').next().unwrap().parse().unwrap();
    assert!(first >= 2 << 20, "it starts at {first}");
    assert!(layer.size > 4 << 20);
    assert_registry_holds(&scene.target, "b:2", &scene.tree).await;
    let left = std::fs::read_dir(scene.place.path().join("uploads")).unwrap();
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn an_upload_in_chunks_reads_its_source_with_one_request() {
    let scene = Scene::set(Image::new(1).layers(1, 4 << 20).build());
    let layer = scene.tree.blobs().last().unwrap().descriptor.clone();
    let (repository, reference) = repository(&scene.target, "b:2").await;
    let to = RegistryEnd::new(repository, reference.target()).with_chunk(1 << 20);
    let to: Arc<dyn longshore_copy::End> = Arc::new(to);
    copied(&scene.from().await, &to, &CopyOptions::default())
        .await
        .unwrap();
    assert!(count(&scene.target, "PATCH", "") >= 5);
    assert_eq!(count(&scene.source, "GET", layer.digest.as_str()), 1);
    assert_registry_holds(&scene.target, "b:2", &scene.tree).await;
}
