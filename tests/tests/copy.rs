//! Copies between registries and layouts, checked by the logs of the registries and by skopeo.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::path::{Path, PathBuf};

use longshore_testkit::image::{self, Tree};
use longshore_tests::layout;
use longshore_tests::longshore::{Ended, Longshore};
use longshore_tests::peer::Peer;
use longshore_tests::registry::{DockerRegistry, Logged};
use longshore_tests::skopeo::Skopeo;
use tempfile::{TempDir, tempdir};

#[path = "copy/ends.rs"]
mod ends;
#[path = "copy/mounts.rs"]
mod mounts;
#[path = "copy/options.rs"]
mod options;
#[path = "copy/parts.rs"]
mod parts;
#[path = "copy/refused.rs"]
mod refused;
#[path = "copy/several.rs"]
mod several;

/// A registry, and the number of its requests that were looked at. `None` when it is not installed.
struct Watched {
    peer: Peer,
    seen: usize,
}

impl Watched {
    fn docker() -> Option<Self> {
        Peer::docker().map(Self::new)
    }

    fn kit() -> Self {
        Self::new(Peer::kit())
    }

    fn new(peer: Peer) -> Self {
        Self { peer, seen: 0 }
    }

    /// A reference with the prefix `docker://`.
    fn image(&self, name_and_tag: &str) -> String {
        format!("docker://{}", self.peer.name(name_and_tag))
    }

    /// The requests since the last call, without the one that finds out whether the registry uses
    /// TLS.
    fn asked(&mut self) -> Vec<Logged> {
        let mut requests = self.peer.requests();
        let since = requests.split_off(self.seen);
        self.seen += since.len();
        let is_probe = |it: &Logged| it.target == "/v2/";
        since.into_iter().filter(|it| !is_probe(it)).collect()
    }

    /// The registry of the testkit.
    fn registry(&self) -> &longshore_testkit::registry::Registry {
        match &self.peer {
            Peer::Kit(registry) => registry,
            other => panic!("{other:?} is not of the testkit"),
        }
    }
}

/// Asserts that a copy succeeded and printed the digest of this image.
#[track_caller]
fn names(ended: &Ended, tree: &Tree) {
    let digest = tree.digest().as_str();
    assert!(ended.succeeded().contains(digest), "{}", ended.stdout);
}

/// Writes a layout with the image under the name `1`.
fn layout_of(tree: &Tree, place: &TempDir) -> PathBuf {
    let layout = place.path().join("source");
    image::write_layout(&layout, &[("1", tree)]).unwrap();
    layout
}

/// `oci:DIR:1`.
fn at(layout: &Path) -> String {
    format!("oci:{}:1", layout.display())
}

/// The requests with this method.
fn by<'a>(method: &str, requests: &'a [Logged]) -> Vec<&'a Logged> {
    requests.iter().filter(|it| it.method == method).collect()
}

/// Asserts that nothing was written.
#[track_caller]
fn only_reads(requests: &[Logged]) {
    let reads = |it: &Logged| ["GET", "HEAD"].contains(&it.method.as_str());
    assert!(requests.iter().all(reads), "{requests:#?}");
}
