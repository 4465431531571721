//! Ctrl-C, `kill` and `kill -9` in the middle of a pull: what is on disk is a valid layout, and
//! the next pull moves only what is missing.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use longshore_model::Digest;
use longshore_testkit::Gate;
use longshore_testkit::image::{self, Image, Tree};
use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};
use longshore_testkit::token::TokenServer;
use longshore_tests::layout;
use longshore_tests::longshore::{Ended, Longshore, Running};
use longshore_tests::skopeo::Skopeo;
use tempfile::{TempDir, tempdir};

#[path = "stop/blocked.rs"]
mod blocked;

/// How much of a held layer goes out before it is held.
const BEFORE_BYTES: u64 = 300_000;

/// The signals that end a program, with what it makes of them.
const SIGNALS: [(&str, End); 3] = [
    ("INT", End::Code(130)),
    ("TERM", End::Code(143)),
    ("KILL", End::Signal(9)),
];

#[derive(Clone, Copy, Debug)]
enum End {
    Code(i32),
    Signal(i32),
}

/// A registry that holds back a part of an image until a gate opens.
struct Scene {
    registry: Registry,
    tree: Tree,
    gate: Gate,
    place: TempDir,
}

impl Scene {
    fn set(tree: Tree, rule: impl FnOnce(Gate) -> Rule) -> Self {
        let gate = Gate::new();
        let registry = Registry::builder().image("a", "1", &tree);
        let registry = registry.misbehave(rule(gate.clone())).start().unwrap();
        Self {
            registry,
            tree,
            gate,
            place: tempdir().unwrap(),
        }
    }

    fn layout(&self) -> PathBuf {
        self.place.path().join("layout")
    }

    fn pull(&self, options: &[&str]) -> Longshore {
        let reference = format!("{}/a:1", self.registry.authority());
        Longshore::pull(&reference, self.layout()).args(options)
    }

    /// Demands that the next pull succeeds, and that it asks for no blob that was there.
    #[track_caller]
    fn goes_on(&self, options: &[&str], kept: &BTreeSet<Digest>) {
        self.gate.open();
        self.registry.behave();
        self.registry.requests().clear();
        let ended = self.pull(options).run();
        assert_eq!(ended.succeeded(), self.tree.digest().as_str());
        layout::assert_holds(&self.layout(), &self.tree);
        layout::assert_clean(&self.layout());
        let asked = self.registry.requests_to(Part::Blob);
        let blobs = self.tree.all_blobs();
        let missing = blobs
            .iter()
            .filter(|blob| !kept.contains(&blob.descriptor.digest));
        assert_eq!(asked.len(), missing.count(), "{asked:?}");
        for manifest in self.registry.requests_to(Part::Manifest) {
            let there = kept.iter().any(|it| manifest.path().ends_with(it.as_str()));
            assert!(!there, "asked for again: {manifest:?}");
        }
        if let Some(skopeo) = Skopeo::find() {
            skopeo.read_layout(&self.layout(), "1");
        }
    }
}

/// Sends the signal and looks at the end.
#[track_caller]
fn stop(running: Running, signal: &str, end: End) -> Ended {
    running.signal(signal);
    let ended = running.end();
    match end {
        End::Code(code) => {
            ended.failed(code, &["stopped", "goes on from there"]);
        }
        End::Signal(number) => assert_eq!(ended.signal(), Some(number), "{}", ended.stderr),
    }
    ended
}

/// Demands a valid layout with nothing in it by name; gives the blobs.
#[track_caller]
fn assert_valid(layout: &Path, end: End) -> BTreeSet<Digest> {
    assert_eq!(layout::entries(layout), []);
    match end {
        // The program has tidied up after itself.
        End::Code(_) => layout::assert_clean(layout),
        End::Signal(_) => layout::assert_whole(layout),
    }
}

/// Waits until so many bytes of an unfinished blob are on disk.
fn wait_for_bytes(running: &mut Running, layout: &Path, bytes: u64) {
    running.wait_until(|| {
        let unfinished = layout::unfinished(layout);
        unfinished
            .iter()
            .any(|(_, length)| *length >= bytes)
            .then_some(())
    });
}

/// Waits until all blobs but the one that is held are there; gives their number.
fn wait_for_the_others(running: &mut Running, scene: &Scene, layout: &Path) -> usize {
    let others = scene.tree.blobs().len() - 1;
    running.wait_until(|| {
        let blobs = scene.tree.blobs().iter();
        let there = blobs.filter(|it| layout::blob(layout, &it.descriptor.digest).exists());
        (there.count() == others).then_some(())
    });
    others
}

// RT9, CA1
#[test]
fn rt9_a_pull_that_is_stopped_halfway_leaves_a_valid_layout() {
    for (signal, end) in SIGNALS {
        // The last layer is large, and stops halfway on a thread of its own.
        let tree = Image::new(1).layers(3, 1_500_000).build();
        let last = tree.blobs().last().unwrap().descriptor.digest.clone();
        let scene = Scene::set(tree, |gate| {
            let held = Misbehaviour::HoldAfter(BEFORE_BYTES, gate);
            Rule::on(Part::Blob, held).path(last.encoded())
        });
        let layout = scene.layout();
        let mut running = scene.pull(&[]).start();
        let others = wait_for_the_others(&mut running, &scene, &layout);
        wait_for_bytes(&mut running, &layout, BEFORE_BYTES);
        stop(running, signal, end);
        let kept = assert_valid(&layout, end);
        assert!(!kept.contains(&last));
        assert_eq!(kept.len(), others + 1, "the manifest and the other blobs");
        scene.goes_on(&[], &kept);
        // RT6: of a large blob only what is missing is moved, whatever ended the pull before.
        let asked = scene.registry.requests_to(Part::Blob);
        let range = asked.first().and_then(|request| request.header("range"));
        assert_eq!(
            range,
            Some(format!("bytes={BEFORE_BYTES}-").as_str()),
            "{signal}"
        );
    }
}

#[test]
fn rt9_many_small_blobs_stopped_at_once() {
    for (signal, end) in SIGNALS {
        let scene = Scene::set(image::many_layers(2, 60), |gate| {
            Rule::on(Part::Blob, Misbehaviour::HoldAfter(100, gate)).after(20)
        });
        let layout = scene.layout();
        let mut running = scene.pull(&[]).start();
        let arrived = || layout::names(&layout.join("blobs/sha256")).len();
        running.wait_until(|| (arrived() >= 21).then_some(()));
        wait_for_bytes(&mut running, &layout, 100);
        stop(running, signal, end);
        let kept = assert_valid(&layout, end);
        assert_eq!(
            kept.len(),
            21,
            "the manifest and the blobs that were not held"
        );
        scene.goes_on(&[], &kept);
    }
}

#[test]
fn stopped_while_the_manifests_of_an_index_arrive() {
    for (signal, end) in SIGNALS {
        let scene = Scene::set(image::twenty_platforms(3), |gate| {
            Rule::on(Part::Manifest, Misbehaviour::Hold(gate)).after(8)
        });
        let layout = scene.layout();
        let mut running = scene.pull(&["--all-platforms"]).start();
        let arrived = || layout::names(&layout.join("blobs/sha256")).len();
        running.wait_until(|| (arrived() >= 8).then_some(()));
        stop(running, signal, end);
        let kept = assert_valid(&layout, end);
        assert_eq!(kept.len(), 8);
        assert_eq!(scene.registry.requests_to(Part::Blob).len(), 0);
        scene.goes_on(&["--all-platforms"], &kept);
    }
}

#[test]
fn stopped_before_anything_arrived() {
    for (signal, end) in SIGNALS {
        let scene = Scene::set(image::single(4), |gate| {
            Rule::always(Misbehaviour::Hold(gate))
        });
        let (told, asked) = mpsc::channel();
        let requests = scene.registry.requests().clone();
        let mut running = scene.pull(&["--plain-http"]).start();
        running.wait_until(|| (!requests.is_empty()).then(|| told.send(()).unwrap()));
        asked.recv().unwrap();
        stop(running, signal, end);
        assert!(!scene.layout().exists());
        scene.goes_on(&[], &BTreeSet::new());
    }
}

#[test]
fn stopped_while_a_token_is_waited_for() {
    for (signal, end) in SIGNALS {
        let gate = Gate::new();
        let tokens = TokenServer::builder().hold(gate.clone()).start().unwrap();
        let registry = Registry::builder()
            .image("a", "1", &image::single(5))
            .bearer(&tokens)
            .start()
            .unwrap();
        let place = tempdir().unwrap();
        let to = place.path().join("layout");
        let reference = format!("{}/a:1", registry.authority());
        let mut running = Longshore::pull(&reference, &to).start();
        running.wait_until(|| (!tokens.requests().is_empty()).then_some(()));
        stop(running, signal, end);
        assert!(!to.exists());
    }
}

#[test]
fn a_pull_into_a_layout_in_use_leaves_what_was_there() {
    for (signal, end) in SIGNALS {
        let tree = Image::new(6).layers(2, 1_500_000).build();
        let last = tree.blobs().last().unwrap().descriptor.digest.clone();
        let scene = Scene::set(tree, |gate| {
            let held = Misbehaviour::HoldAfter(BEFORE_BYTES, gate);
            Rule::on(Part::Blob, held).path(last.encoded())
        });
        let there = image::single(7);
        scene.registry.contents().add("b", "2", &there);
        let layout = scene.layout();
        let other = format!("{}/b:2", scene.registry.authority());
        let first = Longshore::pull(&other, &layout).run();
        assert_eq!(first.succeeded(), there.digest().as_str());
        let before = layout::entries(&layout);
        let mut running = scene.pull(&[]).start();
        wait_for_the_others(&mut running, &scene, &layout);
        wait_for_bytes(&mut running, &layout, BEFORE_BYTES);
        stop(running, signal, end);
        assert_eq!(layout::entries(&layout), before);
        layout::assert_holds(&layout, &there);
        let kept = layout::assert_whole(&layout);
        scene.goes_on(&[], &kept);
        layout::assert_holds(&layout, &there);
    }
}

// Two programs at once: neither waits for the other, and both names are there in the end.
#[test]
fn two_pulls_into_one_layout_leave_both() {
    let tree = Image::new(8).layers(2, 1_500_000).build();
    let scene = Scene::set(tree, |gate| {
        Rule::on(Part::Blob, Misbehaviour::HoldAfter(1000, gate))
    });
    let layout = scene.layout();
    let mut held = scene.pull(&[]).start();
    wait_for_bytes(&mut held, &layout, 1000);
    let there = image::single(9);
    let other = Registry::builder().image("b", "2", &there).start().unwrap();
    let second = Longshore::pull(&format!("{}/b:2", other.authority()), &layout).run();
    assert_eq!(second.succeeded(), there.digest().as_str());
    scene.gate.open();
    assert_eq!(held.end().succeeded(), scene.tree.digest().as_str());
    layout::assert_clean(&layout);
    let names: Vec<_> = layout::entries(&layout);
    assert_eq!(names.len(), 2, "{names:?}");
    layout::assert_holds(&layout, &there);
    layout::assert_holds(&layout, &scene.tree);
}
