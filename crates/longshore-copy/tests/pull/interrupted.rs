//! Pulls that are cancelled, dropped, or fail halfway.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use longshore_copy::{
    ByteCounter, Cancellation, Event, Observer, PullOptions, TransferError, TransferErrorKind,
};
use longshore_layout::Layout;
use longshore_store::{Store as _, StoreErrorKind};
use longshore_testkit::Gate;
use longshore_testkit::image::{self, Image};
use longshore_testkit::registry::{Misbehaviour, Part, Rule};

use crate::support::{Recorder, Scene, observed};

/// How many bytes of a held blob are sent.
const BEFORE_BYTES: u64 = 300_000;

/// Waits until a run has counted some bytes and finished some blobs.
#[derive(Default)]
struct Counted {
    counter: Mutex<Option<ByteCounter>>,
    finished: AtomicUsize,
}

impl Counted {
    /// Waits for all of the held image that arrives. A blob whose last byte was counted may still
    /// be written, so the finished ones are counted too.
    async fn wait_for(&self, arriving: &Arriving) {
        let bytes = || {
            let counter = self.counter.lock().unwrap();
            counter.as_ref().map_or(0, ByteCounter::bytes)
        };
        while bytes() < arriving.bytes || self.finished.load(Ordering::SeqCst) < arriving.blobs {
            tokio::task::yield_now().await;
        }
    }
}

impl Observer for Counted {
    fn observe(&self, event: Event<'_>) {
        match event {
            Event::Planned { counter, .. } => {
                *self.counter.lock().unwrap() = Some(counter.clone());
            }
            Event::Finished { .. } => {
                self.finished.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

/// What arrives of an image whose last blob is held.
struct Arriving {
    blobs: usize,
    bytes: u64,
}

/// A large layer stops halfway; returns what arrives.
async fn held() -> (Scene, Gate, Arriving) {
    let scene = Scene::set(Image::new(1).layers(3, 1_500_000).build()).await;
    let gate = Gate::new();
    scene.misbehave_at_last(Misbehaviour::HoldAfter(BEFORE_BYTES, gate.clone()));
    let blobs = scene.tree.blobs().iter();
    let all: u64 = blobs.map(|blob| blob.descriptor.size).sum();
    let arriving = Arriving {
        blobs: scene.tree.blobs().len() - 1,
        bytes: all - scene.last().descriptor.size + BEFORE_BYTES,
    };
    (scene, gate, arriving)
}

fn waited_for() -> (Arc<Counted>, PullOptions) {
    let counted = Arc::new(Counted::default());
    let mut options = PullOptions::default();
    options.run.observer = Some(Arc::clone(&counted) as Arc<dyn Observer>);
    (counted, options)
}

/// Demands that the next pull resumes the last blob after the bytes that were kept.
async fn assert_resumes(scene: &Scene) {
    scene.registry.behave();
    scene.registry.requests().clear();
    let recorder = Recorder::new();
    let report = scene.pull_into_layout(&observed(&recorder)).await.unwrap();
    scene.assert_layout_holds(&scene.tree);
    // RT6: a download continues at the byte it has reached.
    let range = format!("bytes={BEFORE_BYTES}-");
    assert_eq!(scene.ranges_of_last(), [Some(range)]);
    assert_eq!(scene.registry.requests_to(Part::Blob).len(), 1);
    let last = &scene.last().descriptor;
    assert_eq!(report.tally.moved, 1);
    assert_eq!(report.tally.bytes, last.size - BEFORE_BYTES);
    let started = format!("started {} at {BEFORE_BYTES}", last.digest);
    assert!(
        recorder.events().contains(&started),
        "{:?}",
        recorder.events()
    );
}

// RT6: a download continues at the byte it has reached. RT9: no partial result is visible.
#[tokio::test]
async fn rt6_a_cancelled_pull_is_resumed_at_its_byte() {
    let (scene, gate, arriving) = held().await;
    let (counted, mut options) = waited_for();
    let cancellation = Cancellation::new();
    options.run.cancellation = cancellation.clone();
    let cancelling = async {
        counted.wait_for(&arriving).await;
        cancellation.cancel();
    };
    let (result, ()) = tokio::join!(scene.pull_into_layout(&options), cancelling);
    assert_eq!(result.unwrap_err().kind(), TransferErrorKind::Cancelled);
    gate.open();
    // Every thread has ended, so what it kept is there now.
    let partials: Vec<_> = {
        let layout = Layout::open(&scene.layout()).unwrap();
        let partials = layout.store().partials().unwrap();
        partials.map(Result::unwrap).collect()
    };
    assert_eq!(partials.len(), 1);
    assert_eq!(partials[0].digest, scene.last().descriptor.digest);
    assert_eq!(partials[0].size, BEFORE_BYTES);
    scene.assert_layout_names_nothing();
    assert_resumes(&scene).await;
}

// RT9: every operation may be dropped.
#[test]
fn rt9_a_dropped_pull_leaves_a_valid_layout() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let (scene, gate) = first.block_on(async {
        let (scene, gate, arriving) = held().await;
        let (counted, options) = waited_for();
        tokio::select! {
            result = scene.pull_into_layout(&options) => panic!("it ended: {result:?}"),
            () = counted.wait_for(&arriving) => {}
        }
        // Its threads may still be ending.
        scene.assert_layout_names_nothing();
        (scene, gate)
    });
    // Waits for them.
    drop(first);
    gate.open();
    scene.assert_layout_names_nothing();
    let Scene {
        registry,
        tree,
        place,
        ..
    } = scene;
    runtime().block_on(async {
        // Connections belong to the runtime that made them.
        let client = longshore::Client::builder().build().unwrap();
        let reference = format!("{}/a:1", registry.authority()).parse().unwrap();
        let repository = client.repository(&reference).await.unwrap();
        let scene = Scene {
            registry,
            tree,
            place,
            repository,
        };
        assert_resumes(&scene).await;
    });
}

#[tokio::test]
async fn a_pull_is_cancelled_before_it_starts_and_while_it_plans() {
    let scene = Scene::set(image::twenty_platforms(2)).await;
    let gate = Gate::new();
    let hold = Misbehaviour::Hold(gate.clone());
    scene
        .registry
        .misbehave(Rule::on(Part::Manifest, hold).after(4));
    let mut options = PullOptions::default();
    options.platforms = longshore_copy::Platforms::All;
    let cancellation = options.run.cancellation.clone();
    let cancelling = async {
        while !gate.is_reached() {
            tokio::task::yield_now().await;
        }
        cancellation.cancel();
    };
    let (result, ()) = tokio::join!(scene.pull_into_layout(&options), cancelling);
    assert_eq!(result.unwrap_err().kind(), TransferErrorKind::Cancelled);
    scene.assert_layout_names_nothing();
    gate.open();
    scene.registry.behave();
    scene.registry.requests().clear();
    let error = scene.pull_into_layout(&options).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Cancelled);
    assert_eq!(scene.registry.requests().len(), 0);
}

#[tokio::test]
async fn a_blob_that_fails_ends_the_others_and_their_threads() {
    let scene = Scene::set(Image::new(3).layers(3, 1_500_000).build()).await;
    let gate = Gate::new();
    let first = scene.tree.blobs()[1].descriptor.digest.clone();
    let hold = Misbehaviour::HoldAfter(BEFORE_BYTES, gate.clone());
    scene
        .registry
        .misbehave(Rule::on(Part::Blob, hold).path(first.encoded()));
    scene.misbehave_at_last(Misbehaviour::Corrupt(1_000_000));
    let options = PullOptions::default();
    let error = scene.pull_into_layout(&options).await.unwrap_err();
    let kind = TransferErrorKind::Store(StoreErrorKind::Content);
    assert_eq!(error.kind(), kind);
    // The thread of the held blob has ended, and the bytes that arrived are kept.
    let layout = Layout::open(&scene.layout()).unwrap();
    let kept: Vec<_> = layout
        .store()
        .partials()
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(
        kept.iter().all(|partial| partial.digest == first),
        "{kept:?}"
    );
    assert_eq!(layout.store().size(&first).unwrap(), None);
    gate.open();
    scene.registry.behave();
    scene.pull_into_layout(&options).await.unwrap();
    scene.assert_layout_holds(&scene.tree);
}

#[tokio::test]
async fn a_registry_that_breaks_off_is_an_error_of_the_registry() {
    let scene = Scene::set(Image::new(4).layers(1, 1000).build()).await;
    scene.misbehave_at_last(Misbehaviour::HangUp);
    let store = longshore_store::MemoryStore::new();
    let options = PullOptions::default();
    match scene.pull_into(&store, &options).await.unwrap_err() {
        TransferError::Registry(error) => {
            assert_eq!(error.kind(), longshore::ErrorKind::Unavailable);
        }
        other => panic!("another error: {other}"),
    }
    // A later pull of the same image into the same store succeeds.
    scene.registry.behave();
    scene.pull_into(&store, &options).await.unwrap();
    crate::support::assert_store_holds(&store, &scene.tree);
}

/// Leaves a part of the last blob in the layout.
async fn partial(seed: u64) -> Scene {
    let scene = Scene::set(Image::new(seed).layers(1, 1_500_000).build()).await;
    let encoded = scene.last().descriptor.digest.encoded().to_owned();
    let cut = Rule::on(Part::Blob, Misbehaviour::CutAfter(BEFORE_BYTES));
    scene.registry.misbehave(cut.path(&encoded).times(1));
    let unavailable = Misbehaviour::Status(http::StatusCode::SERVICE_UNAVAILABLE);
    scene
        .registry
        .misbehave(Rule::on(Part::Blob, unavailable).path(&encoded).after(1));
    let options = PullOptions::default();
    scene.pull_into_layout(&options).await.unwrap_err();
    scene.registry.behave();
    scene
}

// RT6: a refused range restarts the download, even if the next run makes the restart.
#[tokio::test]
async fn rt6_a_partial_blob_whose_resume_was_refused_is_not_resumed_again() {
    use http::StatusCode;
    for (status, kept) in [
        (StatusCode::BAD_REQUEST, false),
        (StatusCode::FORBIDDEN, false),
        (StatusCode::NOT_FOUND, false),
        (StatusCode::NOT_IMPLEMENTED, false),
        (StatusCode::SERVICE_UNAVAILABLE, true),
        (StatusCode::TOO_MANY_REQUESTS, true),
    ] {
        let scene = partial(21).await;
        scene.misbehave_at_last(Misbehaviour::Status(status));
        let options = PullOptions::default();
        scene.pull_into_layout(&options).await.unwrap_err();
        scene.registry.behave();
        scene.registry.requests().clear();
        scene.pull_into_layout(&options).await.unwrap();
        scene.assert_layout_holds(&scene.tree);
        let range = kept.then(|| format!("bytes={BEFORE_BYTES}-"));
        assert_eq!(scene.ranges_of_last(), [range], "{status}");
    }
}

// RT11: a command ends soon after a signal, also while it waits for another process.
#[tokio::test]
async fn rt11_a_pull_that_waits_for_the_lock_of_a_layout_is_cancelled() {
    let scene = Scene::set(image::single(22)).await;
    let holder = Layout::create_or_open(&scene.layout()).unwrap();
    let held = holder.store().lock().unwrap();
    let options = PullOptions::default();
    let cancelling = async {
        // This runs on the same thread as the pull: if the pull blocked, the test would hang.
        while scene.registry.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        options.run.cancellation.cancel();
    };
    let (result, ()) = tokio::join!(scene.pull_into_layout(&options), cancelling);
    assert_eq!(result.unwrap_err().kind(), TransferErrorKind::Cancelled);
    drop(held);
    drop(holder);
    scene
        .pull_into_layout(&PullOptions::default())
        .await
        .unwrap();
    scene.assert_layout_holds(&scene.tree);
}
