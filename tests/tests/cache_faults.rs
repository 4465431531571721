//! Faults around a running `longshore serve`: of its process, its disk, its clients and its
//! upstreams.
//!
//! What is random is drawn from a seed, which is printed when a test fails; `LONGSHORE_SEED` sets
//! it. `LONGSHORE_KILLS` sets how often the cache is killed.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use longshore_model::{Digest, MediaType};
use longshore_testkit::BlobContent;
use longshore_testkit::image::{DescribedContent, Image, Tree};
use longshore_testkit::registry::{Builder, Contents, Part, Registry};
use longshore_tests::serve::{self, Serve};

use self::client::{ask, begin, get};

#[path = "cache_faults/client.rs"]
mod client;
#[path = "cache_faults/damage.rs"]
mod damage;
#[path = "cache_faults/disk.rs"]
mod disk;
#[path = "cache_faults/kills.rs"]
mod kills;
#[path = "cache_faults/load.rs"]
mod load;
#[path = "cache_faults/place.rs"]
mod place;
#[path = "cache_faults/private.rs"]
mod private;
#[path = "cache_faults/stalls.rs"]
mod stalls;
#[path = "cache_faults/wrong.rs"]
mod wrong;

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The repository of most tests, of an upstream whose repositories need no prefix.
const APP: &str = "library/app";

/// An upstream with one image, and a cache in front of it.
struct Scene {
    registry: Registry,
    tree: Tree,
    serve: Serve,
}

impl Scene {
    /// An image with two layers of 150 kB.
    fn set() -> Self {
        Self::with(|registry| registry, |serve| serve)
    }

    fn with(
        registry: impl FnOnce(Builder) -> Builder,
        serve: impl FnOnce(serve::Builder) -> serve::Builder,
    ) -> Self {
        let tree = Image::new(1).layers(2, 150_000).build();
        let registry = registry(Registry::builder().image(APP, "1", &tree));
        let registry = registry.start().unwrap();
        let settings = Serve::builder().upstream("docker.io", &registry.url());
        Self {
            serve: serve(settings).start(),
            registry,
            tree,
        }
    }

    fn address(&self) -> SocketAddr {
        self.serve.address()
    }

    fn layer(&self) -> &DescribedContent {
        let layers = self.tree.blobs().iter();
        layers.max_by_key(|it| it.descriptor.size).unwrap()
    }

    /// Reads the manifest and every blob through the cache, and demands the right bytes.
    #[track_caller]
    fn pull(&self) {
        pull(self.address(), APP, "1", &self.tree);
    }

    /// The requests for a blob that the upstream got.
    fn asked(&self, digest: &Digest) -> usize {
        let blobs = self.registry.requests_to(Part::Blob);
        let of_it = blobs.iter().filter(|it| it.method == "GET");
        of_it
            .filter(|it| it.path().ends_with(digest.encoded()))
            .count()
    }

    /// Waits until these blobs are stored: what was read is written behind the answer.
    #[track_caller]
    fn wait_stored(&self) {
        for blob in self.tree.all_blobs() {
            let path = place::blob(&self.serve.cache(), &blob.descriptor.digest);
            wait_until("a blob is stored", || path.exists());
        }
    }
}

/// Reads an image of one manifest through a cache, and demands the right bytes.
#[track_caller]
fn pull(address: SocketAddr, repository: &str, tag: &str, tree: &Tree) {
    let manifest = get(address, &manifest(repository, tag)).whole();
    assert!(manifest == tree.document());
    for stored in tree.all_blobs() {
        let body = get(address, &blob(repository, &stored.descriptor.digest)).whole();
        assert!(
            body == stored.content.bytes(),
            "{}",
            stored.descriptor.digest
        );
    }
}

/// Adds a blob of this length to a repository.
fn add_blob(contents: &Contents, repository: &str, content: BlobContent) -> DescribedContent {
    let blob = DescribedContent::new(MediaType::OCI_LAYER_GZIP, content);
    contents.set_blob(repository, &blob.descriptor.digest, blob.content.clone());
    blob
}

/// Content that costs little to make: it repeats, but not at once.
fn repeated(length: u64) -> BlobContent {
    BlobContent::repeated(BlobContent::random(8, 100_003).bytes(), length)
}

fn manifest(repository: &str, reference: impl std::fmt::Display) -> String {
    format!("/v2/{repository}/manifests/{reference}")
}

fn blob(repository: &str, digest: &Digest) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

/// Looks again and again until it is so.
#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        // Another process cannot be waited for any other way.
        std::thread::sleep(Duration::from_millis(5));
    }
}
