//! The same for commands that write to a registry or read from a layout.

use http::Method;
use longshore_tests::peer::Peer;
use longshore_tests::registry::Logged;

use super::*;

/// The size of a chunk in runs with chunks: each large blob has several.
const CHUNK_BYTES: u64 = 300_000;

// CA1, CA2, RT6, RT9
#[test]
fn rt9_kill_9_at_random_moments_of_a_push() {
    kill_often_by(Verb::Push);
}

#[test]
fn rt9_kill_9_at_random_moments_of_a_copy_between_registries() {
    kill_often_by(Verb::RegistryToRegistry);
}

#[test]
fn rt9_kill_9_at_random_moments_of_a_copy_into_a_layout() {
    kill_often_by(Verb::RegistryToLayout);
}

#[test]
fn rt9_kill_9_at_random_moments_of_a_copy_out_of_a_layout() {
    kill_often_by(Verb::LayoutToRegistry);
}

/// The command that is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verb {
    Push,
    RegistryToRegistry,
    RegistryToLayout,
    LayoutToRegistry,
}

/// Kills this command as often as requested, and lets a run end from time to time.
fn kill_often_by(verb: Verb) {
    let seed = seed();
    let _told = Told::new(seed);
    let mut random = Random::new(seed);
    let Some(took) = Scene::set(verb, &mut Random::new(0)).map(|scene| {
        let begin = Instant::now();
        let _ = scene.command().run().succeeded();
        begin.elapsed()
    }) else {
        return;
    };
    let mut left = kills();
    while left > 0 {
        let Some(mut scene) = Scene::set(verb, &mut random) else {
            return;
        };
        let row = u32::try_from(random.below(IN_A_ROW)).unwrap() + 1;
        for _ in 0..row.min(left) {
            scene.kill(&mut random, took);
            scene.assert_valid();
            left -= 1;
        }
        scene.resumes();
        scene.is_read_by_skopeo();
    }
}

/// The source or destination of a copy.
enum End {
    Layout(PathBuf),
    Registry(Box<Peer>),
}

impl End {
    /// An empty registry of a random kind.
    fn drawn(random: &mut Random) -> Option<Self> {
        let peer = match random.below(2) {
            0 => Peer::docker()?,
            _ => Peer::kit(),
        };
        Some(Self::Registry(Box::new(peer)))
    }

    fn text(&self) -> String {
        match self {
            Self::Layout(place) => format!("oci:{}:1", place.display()),
            Self::Registry(peer) => format!("docker://{}:1", peer.name(NAME)),
        }
    }

    fn has(&self, digest: &Digest) -> bool {
        match self {
            Self::Layout(place) => layout::blob(place, digest).exists(),
            Self::Registry(peer) => peer.blob(NAME, digest).is_some(),
        }
    }

    /// The registry of the testkit, if the end is one.
    fn kit(&self) -> Option<&Registry> {
        match self {
            Self::Registry(peer) => match &**peer {
                Peer::Kit(registry) => Some(registry),
                _ => None,
            },
            Self::Layout(_) => None,
        }
    }

    fn wait_for_clients(&mut self) {
        if let Self::Registry(peer) = self {
            peer.wait_for_clients();
        }
    }

    fn requests(&mut self) -> Vec<Logged> {
        match self {
            Self::Layout(_) => Vec::new(),
            Self::Registry(peer) => peer.requests(),
        }
    }
}

/// An image, and the two ends that it is copied between.
struct Scene {
    verb: Verb,
    tree: Tree,
    source: End,
    destination: End,
    in_chunks: bool,
    place: TempDir,
    /// Number of requests that the destination had received before the last killed run.
    before: usize,
}

impl Scene {
    /// Draws the ends and the image; `None` when a program is not installed.
    fn set(verb: Verb, random: &mut Random) -> Option<Self> {
        let place = tempdir().unwrap();
        let tree = tree(random.next());
        let layout = || End::Layout(place.path().join("layout"));
        let (source, destination) = match verb {
            Verb::Push | Verb::LayoutToRegistry => (layout(), End::drawn(random)?),
            Verb::RegistryToRegistry => (End::drawn(random)?, End::drawn(random)?),
            Verb::RegistryToLayout => (End::drawn(random)?, layout()),
        };
        match &source {
            End::Layout(place) => image::write_layout(place, &[("1", &tree)]).unwrap(),
            End::Registry(peer) => {
                if !peer.give(&tree, NAME, "1") {
                    return None;
                }
            }
        }
        Some(Self {
            verb,
            tree,
            source,
            destination,
            in_chunks: random.below(2) == 0,
            place,
            before: 0,
        })
    }

    fn command(&self) -> Longshore {
        let command = match (self.verb, &self.source, &self.destination) {
            (Verb::Push, End::Layout(source), End::Registry(peer)) => {
                let source = format!("{}:1", source.display());
                Longshore::new(["push", &source, &format!("{}:1", peer.name(NAME))])
            }
            _ => Longshore::copy(&self.source.text(), &self.destination.text()),
        };
        let command = command.env("XDG_STATE_HOME", self.place.path().join("state"));
        if self.in_chunks && matches!(self.destination, End::Registry(_)) {
            return command.args(["--chunk-size", &CHUNK_BYTES.to_string()]);
        }
        command
    }

    fn missing(&self) -> Vec<&DescribedContent> {
        let mut blobs = self.tree.all_blobs();
        blobs.retain(|blob| !self.destination.has(&blob.descriptor.digest));
        blobs
    }

    /// Kills a run while the source holds a blob back, after a number of requests, or after some
    /// time.
    fn kill(&mut self, random: &mut Random, took: Duration) {
        self.before = self.destination.requests().len();
        let missing = self.missing();
        let chosen = missing.get(random.below(missing.len().max(1) as u64) as usize);
        match (self.source.kit(), chosen, random.below(3)) {
            (Some(registry), Some(blob), 0 | 1) => {
                let gate = Gate::new();
                let bytes = random.below(blob.descriptor.size);
                let rule = Rule::on(Part::Blob, Misbehaviour::HoldAfter(bytes, gate.clone()))
                    .method(Method::GET)
                    .path(blob.descriptor.digest.encoded());
                registry.misbehave(rule);
                let mut running = self.command().start();
                // A blob that is complete and only has to be named is not requested.
                while !gate.is_reached() && !running.has_ended() {
                    thread::sleep(Duration::from_millis(1));
                }
                assert_killed_or_done(&running.kill());
                gate.open();
                registry.behave();
            }
            (_, _, 1) => {
                let ends = (&self.source, &self.destination);
                let ((_, End::Registry(watched)) | (End::Registry(watched), _)) = ends else {
                    unreachable!("one end is a registry")
                };
                let count = watched.requests_so_far() + 1 + random.below(40) as usize;
                let mut running = self.command().start();
                while watched.requests_so_far() < count && !running.has_ended() {
                    thread::sleep(Duration::from_millis(1));
                }
                thread::sleep(random.duration(AFTER));
                assert_killed_or_done(&running.kill());
            }
            _ => {
                let running = self.command().start();
                thread::sleep(random.duration(took));
                assert_killed_or_done(&running.kill());
            }
        }
    }

    /// Asserts that every blob at the destination is complete, and that the tag, if it exists,
    /// names an image that is complete too.
    fn assert_valid(&self) {
        match &self.destination {
            End::Layout(place) => assert_valid(place, &self.tree),
            End::Registry(peer) => {
                for blob in self.tree.all_blobs() {
                    let digest = &blob.descriptor.digest;
                    if let Some(found) = peer.blob(NAME, digest) {
                        assert!(found == blob.content.bytes(), "{digest} is not complete");
                    }
                }
                if peer.manifest(NAME, "1").is_some() {
                    peer.assert_holds(NAME, "1", &self.tree);
                }
            }
        }
    }

    /// Asserts that the next run succeeds, and moves only what is missing.
    fn resumes(&mut self) {
        let kept: BTreeSet<_> = self
            .tree
            .all_blobs()
            .iter()
            .map(|blob| blob.descriptor.digest.clone())
            .filter(|digest| self.destination.has(digest))
            .collect();
        for end in [&mut self.source, &mut self.destination] {
            end.wait_for_clients();
        }
        let asked = self.source.requests().len();
        let sent = self.destination.requests();
        let open = self.open_sessions(sent.get(self.before..).unwrap());
        let ended = self.command().run();
        assert!(
            ended.succeeded().contains(self.tree.digest().as_str()),
            "{}",
            ended.stdout
        );
        self.assert_valid();
        assert!(self.missing().is_empty());
        for request in self.source.requests().split_off(asked) {
            let again = named(&request, &kept).filter(|_| request.method == "GET");
            assert_eq!(again, None, "read again: {request:?}");
        }
        let sent = self.destination.requests().split_off(sent.len());
        for request in &sent {
            let again = named(request, &kept).filter(|_| request.method == "PUT");
            assert_eq!(again, None, "sent again: {request:?}");
        }
        for session in open {
            let asked = sent.iter().any(|it| it.target.contains(&session));
            assert!(asked, "the session {session} was not continued: {sent:?}");
        }
    }

    /// The sessions that have at least two chunks, and lack at least one.
    fn open_sessions(&self, requests: &[Logged]) -> Vec<String> {
        let mut chunks: BTreeMap<&str, u64> = BTreeMap::new();
        for request in requests {
            let session = session(&request.target);
            match (request.method.as_str(), request.status) {
                ("PATCH", 202) => *chunks.entry(session).or_default() += 1,
                ("PUT" | "PATCH", _) => {
                    // A session that was finished, or whose request failed, does not count.
                    chunks.remove(session);
                }
                _ => {}
            }
        }
        let all = LARGE_BYTES.div_ceil(CHUNK_BYTES);
        chunks.retain(|_, count| (2..all).contains(count));
        chunks.into_keys().map(str::to_owned).collect()
    }

    fn is_read_by_skopeo(&self) {
        let Some(skopeo) = Skopeo::find() else { return };
        match &self.destination {
            End::Layout(place) => skopeo.read_layout(place, "1"),
            End::Registry(peer) => {
                let reference = format!("{}:1", peer.name(NAME));
                skopeo.pull_layout(&reference, &self.place.path().join("read"), "1");
            }
        }
    }
}

/// Returns the digest that a request names, if it is one of these.
fn named<'a>(request: &Logged, digests: &'a BTreeSet<Digest>) -> Option<&'a Digest> {
    digests
        .iter()
        .find(|digest| request.target.contains(digest.encoded()))
}

/// The last part of the path: the name of an upload session.
fn session(target: &str) -> &str {
    let path = target.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

const NAME: &str = "some/app";
