//! Several destinations in one run.

use std::sync::Arc;

use http::StatusCode;
use longshore_copy::{CopyOptions, TransferError, copy};
use longshore_layout::Layout;
use longshore_testkit::image::Image;
use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};

use crate::support::{Recorder, Scene, assert_registry_holds, count, end};

#[tokio::test]
async fn several_destinations_get_what_is_read_once() {
    // Large and small blobs.
    let scene = Scene::set(Image::new(1).layers(3, 2 << 20).build());
    let third = Registry::builder().writable().start().unwrap();
    let ends = vec![
        scene.to("b:2").await,
        end(&third, "c:3").await,
        scene.layout("images"),
    ];
    let report = copy(scene.from().await, ends, &CopyOptions::default()).await;
    let report = report.unwrap();
    let bytes: Vec<_> = report
        .destinations
        .iter()
        .map(|it| it.tally.bytes)
        .collect();
    assert_eq!(bytes, [scene.tree.total_bytes(); 3]);
    assert_eq!(
        count(&scene.source, "GET", "/blobs/"),
        scene.tree.blobs().len()
    );
    assert_registry_holds(&scene.target, "b:2", &scene.tree).await;
    assert_registry_holds(&third, "c:3", &scene.tree).await;
    let layout = Layout::open(&scene.place.path().join("images")).unwrap();
    assert_eq!(layout.resolve("1").unwrap().digest, *scene.tree.digest());
    assert!(layout.verify(|_| ()).unwrap().is_sound());
}

#[tokio::test]
async fn a_second_repository_of_a_destination_takes_the_blobs_from_the_first() {
    let scene = Scene::set(Image::new(1).layers(3, 500).build());
    let ends = vec![scene.to("b:2").await, scene.to("c:3").await];
    let report = copy(scene.from().await, ends, &CopyOptions::default()).await;
    let report = report.unwrap();
    let blobs = scene.tree.blobs().len();
    assert_eq!(report.destinations[1].tally.mounted, blobs as u64);
    assert_eq!(count(&scene.source, "GET", "/blobs/"), blobs);
    assert_eq!(count(&scene.target, "PUT", "/blobs/"), blobs);
    assert_registry_holds(&scene.target, "c:3", &scene.tree).await;
}

#[tokio::test]
async fn a_destination_that_fails_is_given_up_and_the_others_are_finished() {
    for bytes in [500, 2 << 20] {
        let scene = Scene::set(Image::new(1).layers(5, bytes).build());
        let bad = Registry::builder()
            .misbehave(Rule::on(
                Part::Upload,
                Misbehaviour::Status(StatusCode::FORBIDDEN),
            ))
            .writable()
            .start()
            .unwrap();
        let recorder = Arc::new(Recorder::default());
        let mut options = CopyOptions::default();
        options.run.observer = Some(Arc::clone(&recorder) as _);
        let ends = vec![end(&bad, "c:3").await, scene.to("b:2").await];
        let report = copy(scene.from().await, ends, &options).await.unwrap();
        let [failed, finished] = report.destinations.as_slice() else {
            panic!("there are two destinations");
        };
        assert!(matches!(failed.error, Some(TransferError::Registry(_))));
        assert!(finished.error.is_none());
        let dropped = format!("dropped {}/c:3", bad.url().trim_end_matches('/'));
        let events = recorder.events();
        assert!(
            events.iter().any(|it| it.starts_with("dropped")),
            "{dropped}"
        );
        assert_registry_holds(&scene.target, "b:2", &scene.tree).await;
        assert_eq!(count(&bad, "PUT", "/manifests/"), 0);
    }
}

#[tokio::test]
async fn the_error_of_the_first_destination_counts_when_none_is_left() {
    let scene = Scene::set(Image::new(1).layers(3, 500).build());
    let bad = |status| {
        Registry::builder()
            .misbehave(Rule::on(Part::Upload, Misbehaviour::Status(status)))
            .writable()
            .start()
            .unwrap()
    };
    let (first, second) = (
        bad(StatusCode::FORBIDDEN),
        bad(StatusCode::METHOD_NOT_ALLOWED),
    );
    let ends = vec![end(&first, "b:2").await, end(&second, "c:3").await];
    let error = copy(scene.from().await, ends, &CopyOptions::default()).await;
    let TransferError::Registry(error) = error.unwrap_err() else {
        panic!("the registry refused");
    };
    assert_eq!(error.kind(), longshore::ErrorKind::Denied);
}

#[tokio::test]
async fn a_destination_that_cannot_be_reached_is_given_up_while_the_plan_is_made() {
    let scene = Scene::set(Image::new(1).layers(3, 500).build());
    let away = Registry::builder().writable().start().unwrap();
    let gone = end(&away, "c:3").await;
    drop(away);
    let ends = vec![gone, scene.to("b:2").await, scene.layout("images")];
    let report = copy(scene.from().await, ends, &CopyOptions::default()).await;
    let report = report.unwrap();
    let errors = report.destinations.iter().map(|it| it.error.is_some());
    assert_eq!(errors.collect::<Vec<_>>(), [true, false, false]);
    assert_registry_holds(&scene.target, "b:2", &scene.tree).await;
    let layout = Layout::open(&scene.place.path().join("images")).unwrap();
    assert_eq!(layout.resolve("1").unwrap().digest, *scene.tree.digest());
}
