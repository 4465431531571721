//! `kill -9` at random moments of a pull, a push or a copy: each time, everything visible is valid,
//! and the next run moves only what is missing.
//!
//! The moments are drawn from a seed, which is printed when a test fails; `LONGSHORE_SEED` sets it.
//! `LONGSHORE_KILLS` sets how often each command is killed. The outcome never depends on speed: a
//! command cannot end while the registry holds content back, and a command that ends before it is
//! killed must be complete.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use longshore_model::Digest;
use longshore_testkit::Gate;
use longshore_testkit::image::{self, DescribedContent, Image, Tree};
use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};
use longshore_tests::layout;
use longshore_tests::longshore::{Ended, Longshore};
use longshore_tests::random::{Random, Told, kills, seed};
use longshore_tests::skopeo::Skopeo;
use tempfile::{TempDir, tempdir};

#[path = "kill/chunks.rs"]
mod chunks;
#[path = "kill/writes.rs"]
mod writes;

/// Threads that kill: one for each core of a small machine.
const WORKERS: u32 = 2;

/// Maximum number of times that a pull is killed before it may end.
const IN_A_ROW: u64 = 3;

/// The length of the file in a large layer.
const LARGE_BYTES: u64 = 1_500_000;

/// From this size on what came of a blob is kept for the next pull.
const RESUMED_BYTES: u64 = 1024 * 1024;

/// How long after its moment a pull is killed, at most: in this time files are renamed, synced
/// and named in the index.
const AFTER: Duration = Duration::from_micros(4000);

// CA1, CA2, RT6, RT9
#[test]
fn rt9_kill_9_at_random_moments_of_a_pull() {
    let seed = seed();
    let _told = Told::new(seed);
    let took = time_of_a_pull();
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let random = Random::new(seed.wrapping_add(worker.into()));
            scope.spawn(move || kill_often(random, kills() / WORKERS, took));
        }
    });
}

/// Kills pulls this many times, and lets each of them end after a few times.
fn kill_often(mut random: Random, kills: u32, took: Duration) {
    let mut left = kills;
    while left > 0 {
        let scene = Scene::set(random.next());
        let row = u32::try_from(random.below(IN_A_ROW)).unwrap() + 1;
        for _ in 0..row.min(left) {
            scene.kill(Moment::drawn(&mut random, &scene, took));
            scene.assert_valid();
            left -= 1;
        }
        scene.goes_on();
        if left == 0
            && let Some(skopeo) = Skopeo::find()
        {
            skopeo.read_layout(&scene.layout(), "1");
        }
    }
}

/// How long a pull takes that nobody kills.
fn time_of_a_pull() -> Duration {
    let scene = Scene::set(0);
    let begin = Instant::now();
    let _ = scene.pull().run().succeeded();
    begin.elapsed()
}

/// When a pull is killed.
enum Moment {
    /// When this many bytes of this blob have arrived, and no more arrive.
    At { blob: Digest, bytes: u64 },
    /// A moment after this many requests have been answered.
    Answered { requests: u64, after: Duration },
    /// So long after it began.
    After(Duration),
}

impl Moment {
    fn drawn(random: &mut Random, scene: &Scene, took: Duration) -> Self {
        let missing = scene.missing();
        let partials = scene.partials();
        let chosen = missing.get(random.below(missing.len().max(1) as u64) as usize);
        if random.below(10) < 4
            && let Some(blob) = chosen
        {
            let digest = &blob.descriptor.digest;
            let there = partials.get(digest).copied().unwrap_or(0);
            if there < blob.descriptor.size {
                return Self::At {
                    blob: digest.clone(),
                    bytes: random.below(blob.descriptor.size - there),
                };
            }
        }
        if random.below(2) == 0 {
            // The tag is always asked for, and each blob that is not there.
            let incomplete = missing.len().saturating_sub(partials.len());
            Self::Answered {
                requests: random.below(incomplete as u64 + 1) + 1,
                after: random.duration(AFTER),
            }
        } else {
            Self::After(random.duration(took))
        }
    }
}

/// A registry with large and small blobs, and the place a pull is killed at.
struct Scene {
    registry: Registry,
    tree: Tree,
    place: TempDir,
}

impl Scene {
    fn set(seed: u64) -> Self {
        let tree = tree(seed);
        Self {
            registry: Registry::builder().image("a", "1", &tree).start().unwrap(),
            tree,
            place: tempdir().unwrap(),
        }
    }

    fn layout(&self) -> PathBuf {
        self.place.path().join("layout")
    }

    fn pull(&self) -> Longshore {
        let reference = format!("{}/a:1", self.registry.authority());
        Longshore::pull(&reference, self.layout()).args(["--plain-http", "--all-platforms"])
    }

    /// The blobs that are not in the layout.
    fn missing(&self) -> Vec<&DescribedContent> {
        let there = |blob: &&DescribedContent| {
            layout::blob(&self.layout(), &blob.descriptor.digest).exists()
        };
        self.tree
            .all_blobs()
            .into_iter()
            .filter(|blob| !there(blob))
            .collect()
    }

    /// How much is there of blobs that are not: what a process that died was writing, or what
    /// was kept of one before it.
    fn partials(&self) -> BTreeMap<Digest, u64> {
        let mut found = BTreeMap::new();
        for (path, length) in layout::unfinished(&self.layout()) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let of = |blob: &&&DescribedContent| name.ends_with(blob.descriptor.digest.encoded());
            if let Some(blob) = self.missing().iter().find(of)
                && blob.descriptor.size >= RESUMED_BYTES
            {
                let most = found.entry(blob.descriptor.digest.clone()).or_insert(0);
                *most = length.max(*most);
            }
        }
        found.retain(|_, length| *length > 0);
        found
    }

    fn kill(&self, moment: Moment) {
        match moment {
            Moment::At { blob, bytes } => {
                let gate = Gate::new();
                let held = Misbehaviour::HoldAfter(bytes, gate.clone());
                let rule = Rule::on(Part::Blob, held).path(blob.encoded());
                self.registry.misbehave(rule);
                let mut running = self.pull().start();
                running.wait_until(|| gate.is_reached().then_some(()));
                let ended = running.kill();
                assert_eq!(ended.signal(), Some(9), "{}", ended.stderr);
                gate.open();
                self.registry.behave();
            }
            Moment::Answered { requests, after } => {
                let (told, answered) = mpsc::channel();
                let left = std::cell::Cell::new(requests);
                self.registry.requests().watch(move |_| {
                    left.set(left.get().saturating_sub(1));
                    if left.get() == 0 {
                        // Told again and again, and heard once.
                        let _ = told.send(());
                    }
                });
                let running = self.pull().start();
                answered.recv_timeout(PATIENCE).unwrap();
                thread::sleep(after);
                assert_killed_or_done(&running.kill());
            }
            Moment::After(time) => {
                let running = self.pull().start();
                thread::sleep(time);
                assert_killed_or_done(&running.kill());
            }
        }
        self.registry.requests().watch(|_| {});
    }

    fn assert_valid(&self) {
        assert_valid(&self.layout(), &self.tree);
    }

    /// Returns the number of a new connection. A slow registry may still read requests of the
    /// killed pull; they came on connections with lower numbers, because connections are accepted
    /// in order.
    fn last_connection(&self) -> usize {
        let mut stream = TcpStream::connect(self.registry.address()).unwrap();
        let request = "GET /mark HTTP/1.1\r\nhost: registry\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        let marks = self.registry.requests().matching(|it| it.path() == "/mark");
        marks.iter().map(|mark| mark.connection).max().unwrap()
    }

    /// Demands that the next pull ends, and moves what is missing and nothing else.
    fn goes_on(&self) {
        let layout = self.layout();
        let kept = layout::assert_whole(&layout);
        let partials = self.partials();
        let missing = self.missing();
        let mut expected: BTreeMap<&str, Option<String>> = BTreeMap::new();
        for blob in &missing {
            let (digest, size) = (&blob.descriptor.digest, blob.descriptor.size);
            match partials.get(digest) {
                // All of it came, and was not given its name yet.
                Some(there) if *there == size => None,
                Some(there) => expected.insert(digest.encoded(), Some(format!("bytes={there}-"))),
                None => expected.insert(digest.encoded(), None),
            };
        }
        let killed = self.last_connection();
        let ended = self.pull().run();
        assert_eq!(ended.succeeded(), self.tree.digest().as_str());
        layout::assert_holds(&layout, &self.tree);
        layout::assert_clean(&layout);
        assert_eq!(layout::entries(&layout).len(), 1);
        let requests_to = |part| {
            let mut requests = self.registry.requests_to(part);
            requests.retain(|request| request.connection > killed);
            requests
        };
        let blobs = requests_to(Part::Blob);
        let asked: BTreeMap<_, _> = blobs
            .iter()
            .map(|request| {
                let (_, encoded) = request.path().rsplit_once(':').unwrap();
                (encoded, request.header("range").map(str::to_owned))
            })
            .collect();
        assert_eq!(blobs.len(), asked.len(), "asked twice: {blobs:?}");
        assert_eq!(asked, expected);
        for manifest in requests_to(Part::Manifest) {
            let again = kept
                .iter()
                .find(|it| manifest.path().ends_with(it.as_str()));
            assert_eq!(again, None, "{manifest:?}");
        }
    }
}

/// An index with two images: one has large blobs, the other small ones.
fn tree(seed: u64) -> Tree {
    let large = Image::new(seed).layers(2, LARGE_BYTES).build();
    let small = Image::new(seed ^ 1)
        .platform("linux/arm64".parse().unwrap())
        .layers(10, 700)
        .build();
    image::index_of(vec![large, small])
}

/// Asserts that the directory is a layout, that every blob in it is complete, and that it names the
/// image only if it has all of it. If the directory is not a layout yet, it must be possible to
/// make it one.
#[track_caller]
fn assert_valid(layout: &Path, tree: &Tree) {
    if !layout.join("oci-layout").exists() {
        assert_eq!(layout::assert_whole(layout), BTreeSet::new());
        return;
    }
    layout::assert_whole(layout);
    let entries = layout::entries(layout);
    if !entries.is_empty() {
        assert_eq!(entries.len(), 1);
        layout::assert_holds(layout, tree);
    }
    let verified = Longshore::new(["verify".as_ref(), layout.as_os_str()]).run();
    let _ = verified.succeeded();
}

/// Asserts that a command was killed, or succeeded before it was killed.
#[track_caller]
fn assert_killed_or_done(ended: &Ended) {
    if ended.signal() != Some(9) {
        let _ = ended.succeeded();
    }
}

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
