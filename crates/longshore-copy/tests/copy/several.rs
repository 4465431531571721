//! Several destinations in one run.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Method, StatusCode};
use longshore::Client;
use longshore::proto::call::CallPolicy;
use longshore_copy::{CopyOptions, End, RegistryEnd, TransferError, copy};
use longshore_layout::Layout;
use longshore_model::Reference;
use longshore_testkit::Gate;
use longshore_testkit::image::{self, Image};
use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};
use longshore_transport::{Clock, TestClock, Timer};

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

/// A registry that answers some requests only when another one has the image: a copy that waits for
/// it does not end.
async fn held_until_another_has_the_image(rule: impl Fn(Misbehaviour) -> Rule) {
    // More large blobs than move concurrently, and small ones.
    for tree in [
        Image::new(1).layers(6, 2 << 20).build(),
        image::index(1, &image::platforms()[..3]),
    ] {
        let scene = Scene::set(tree);
        let gate = Gate::new();
        let held = rule(Misbehaviour::Hold(gate.clone()));
        let slow = Registry::builder().misbehave(held).writable();
        let slow = slow.start().unwrap();
        scene.target.requests().watch(move |request| {
            if request.method == "PUT" && request.path().ends_with("/manifests/2") {
                gate.open();
            }
        });
        let ends = vec![end(&slow, "c:3").await, scene.to("b:2").await];
        let report = copy(scene.from().await, ends, &CopyOptions::default()).await;
        let report = report.unwrap();
        assert!(report.destinations.iter().all(|it| it.error.is_none()));
        let bytes = report.destinations.iter().map(|it| it.tally.bytes);
        assert_eq!(bytes.collect::<Vec<_>>(), [scene.tree.total_bytes(); 2]);
        assert_registry_holds(&scene.target, "b:2", &scene.tree).await;
        assert_registry_holds(&slow, "c:3", &scene.tree).await;
    }
}

#[tokio::test]
async fn a_destination_that_is_slow_to_take_blobs_holds_no_other_one_up() {
    held_until_another_has_the_image(|held| Rule::on(Part::Upload, held).method(Method::PUT)).await;
}

#[tokio::test]
async fn a_destination_that_is_slow_to_take_manifests_holds_no_other_one_up() {
    held_until_another_has_the_image(|held| Rule::on(Part::Manifest, held).method(Method::PUT))
        .await;
}

// RT9: every operation may be dropped.
#[tokio::test]
async fn rt9_an_upload_that_was_read_ends_with_the_copy() {
    let scene = Scene::set(Image::new(1).layers(2, 500).build());
    let gate = Gate::new();
    let held = Rule::on(Part::Upload, Misbehaviour::Hold(gate.clone())).method(Method::PUT);
    let slow = Registry::builder().misbehave(held).writable();
    let slow = slow.start().unwrap();
    let options = CopyOptions::default();
    let cancellation = options.run.cancellation.clone();
    scene.target.requests().watch(move |request| {
        if request.method == "PUT" && request.path().ends_with("/manifests/2") {
            cancellation.cancel();
        }
    });
    let ends = vec![end(&slow, "c:3").await, scene.to("b:2").await];
    let error = copy(scene.from().await, ends, &options).await.unwrap_err();
    assert!(matches!(error, TransferError::Cancelled), "{error}");
    gate.open();
    assert_eq!(count(&slow, "PUT", "/manifests/"), 0);
}

/// A clock of which the alarms of 30 seconds ring as soon as somebody waits at the gate.
struct StallClock(TestClock, Gate);

impl Clock for StallClock {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> Timer {
        self.0.sleep(duration)
    }

    fn alarm(&self, duration: Duration) -> Timer {
        let (clock, gate) = (self.0.clone(), self.1.clone());
        let mut polls_left = 2;
        Box::pin(std::future::poll_fn(move |cx| {
            if duration == Duration::from_secs(30) && gate.is_reached() {
                // Every other alarm of 30 seconds has been polled too when this one rings.
                polls_left -= 1;
                if polls_left == 0 {
                    clock.advance(duration);
                    return Poll::Ready(());
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }))
    }
}

// RT10: 30 seconds without progress. The other destination has all blobs, and nobody reads along.
#[tokio::test]
async fn rt10_a_destination_that_opens_no_upload_is_dropped() {
    let scene = Scene::set(Image::new(1).layers(2, 500).build());
    scene.copy_to(scene.to("b:1").await).await;
    let gate = Gate::new();
    let held = Rule::on(Part::Upload, Misbehaviour::Hold(gate.clone()));
    let stalled = Registry::builder().misbehave(held).writable();
    let stalled = stalled.start().unwrap();
    let reference: Reference = format!("{}/c:3", stalled.authority()).parse().unwrap();
    let clock = StallClock(TestClock::default(), gate.clone());
    let mut policy = CallPolicy::default();
    policy.head = Duration::from_secs(1000);
    let client = Client::builder().clock(clock).policy(policy);
    let repository = client
        .build()
        .unwrap()
        .repository(&reference)
        .await
        .unwrap();
    let bad = RegistryEnd::new(repository, reference.target());
    let ends = vec![Arc::new(bad) as Arc<dyn End>, scene.to("b:2").await];
    let report = copy(scene.from().await, ends, &CopyOptions::default()).await;
    gate.open();
    let report = report.unwrap();
    let error = report.destinations[0].error.as_ref().unwrap();
    assert!(matches!(error, TransferError::Stalled { .. }), "{error}");
    assert!(report.destinations[1].error.is_none());
    assert_registry_holds(&scene.target, "b:2", &scene.tree).await;
}

// RT4: an upload that breaks off is continued, also when the others have moved on.
#[tokio::test]
async fn rt4_a_destination_whose_upload_breaks_off_reads_the_content_again() {
    let scene = Scene::set(Image::new(1).layers(2, 2 << 20).build());
    let busy = Misbehaviour::Status(StatusCode::SERVICE_UNAVAILABLE);
    let rule = Rule::on(Part::Upload, busy).method(Method::PUT).times(1);
    let breaking = Registry::builder().misbehave(rule).writable();
    let breaking = breaking.start().unwrap();
    let ends = vec![end(&breaking, "c:3").await, scene.to("b:2").await];
    let options = CopyOptions::default();
    let report = copy(scene.from().await, ends, &options).await.unwrap();
    for destination in &report.destinations {
        assert!(destination.error.is_none(), "{:?}", destination.error);
    }
    assert_registry_holds(&breaking, "c:3", &scene.tree).await;
    assert_registry_holds(&scene.target, "b:2", &scene.tree).await;
}
