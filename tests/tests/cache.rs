//! The cache as a user runs it: real clients in front of it, real registries behind it.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::fs;
use std::path::{Path, PathBuf};

use longshore_testkit::image::{Image, Tree};
use longshore_testkit::registry::Registry;
use longshore_tests::longshore::{Longshore, host_platform};
use longshore_tests::registry::{DockerRegistry, PASSWORD, USER};
use longshore_tests::serve::Serve;
use tempfile::TempDir;

#[path = "cache/clients.rs"]
mod clients;
#[path = "cache/corpora.rs"]
mod corpora;
#[path = "cache/program.rs"]
mod program;
#[path = "cache/proxy_mode.rs"]
mod proxy_mode;
#[path = "cache/shapes.rs"]
mod shapes;
#[path = "cache/versions.rs"]
mod versions;

const LAYERS: u64 = 2;
const FILE_BYTES: usize = 100_000;

/// An index with an image for this machine.
fn image_of(seed: u64) -> Tree {
    let other = Image::new(seed + 1).platform("linux/mips64le".parse().unwrap());
    longshore_testkit::image::index_of(vec![
        other.gzip().build(),
        for_this_machine(seed).gzip().build(),
    ])
}

fn for_this_machine(seed: u64) -> Image {
    let image = Image::new(seed).layers(LAYERS, FILE_BYTES as u64);
    image.platform(host_platform().parse().unwrap())
}

/// A registry of the testkit in front of which a cache is put.
fn kit(repository: &str, tag: &str, tree: &Tree) -> Registry {
    let registry = Registry::builder().image(repository, tag, tree);
    registry.start().unwrap()
}

/// A cache of Docker Hub, which demands tokens, and of Quay, which does not. Debian's
/// docker-registry stands in for both.
struct Site {
    hub: DockerRegistry,
    quay: DockerRegistry,
    /// `docker.io/library/app:1`.
    app: Tree,
    /// `quay.io/team/tool:1`.
    tool: Tree,
    cache: Serve,
    place: TempDir,
}

impl Site {
    /// `None` if a program is not installed.
    fn start() -> Option<Self> {
        let hub = DockerRegistry::builder().bearer().start()?;
        let quay = DockerRegistry::builder().start()?;
        let (app, tool) = (image_of(11), image_of(21));
        hub.push(&app, "library/app:1")?;
        quay.push(&tool, "team/tool:1")?;
        let place = tempfile::tempdir().unwrap();
        let password = place.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        let realm = hub.tokens().unwrap().address();
        let config = format!(
            "[[serve.upstream]]\nprefix = \"docker.io\"\nurl = {:?}\n\
             credentials = {{ username = {USER:?}, file = {password:?} }}\n\
             allow_realm = [\"http://{realm}\"]\n\n\
             [[serve.upstream]]\nprefix = \"quay.io\"\nurl = {:?}\n",
            hub.url(),
            quay.url(),
        );
        let file = place.path().join(CONFIG);
        fs::write(&file, config).unwrap();
        let cache = Serve::builder().args(["--config", file.to_str().unwrap()]);
        let cache = cache.start();
        Some(Self {
            hub,
            quay,
            app,
            tool,
            cache,
            place,
        })
    }

    /// `longshore cache client-config CLIENT`, for the configuration of this cache.
    fn client_config(&self, client: &str) -> Longshore {
        Longshore::new(["cache", "client-config", client])
            .args(["--server", &self.cache.url(), "--config"])
            .args([self.place.path().join(CONFIG)])
    }

    /// Installs the files of a client, and returns the directory that stands for `/`.
    fn installed(&self, client: &str) -> PathBuf {
        let root = self.place.path().join(client);
        let config = self.client_config(client).args(["--install", "--root"]);
        let _ = config.args([&root]).run().succeeded();
        root
    }

    /// The number of requests that the upstreams and their token server have answered.
    fn upstream_requests(&mut self) -> usize {
        let tokens = self.hub.tokens().map_or(0, |it| it.requests().len());
        let of_hub = self.hub.settled_requests().len();
        tokens + of_hub + self.quay.settled_requests().len()
    }

    /// The reference by which a client that knows nothing about the cache pulls from it.
    fn by_name(&self, image: &str) -> String {
        format!("{}/{image}", self.cache.authority())
    }
}

/// Asserts that this directory has the files of an image of [`image_of`].
#[track_caller]
fn assert_unpacked(files: &Path, seed: u64) {
    let plain = for_this_machine(seed).build();
    let [_, layers @ ..] = plain.blobs() else {
        unreachable!("the image has a config and layers")
    };
    assert_eq!(layers.len() as u64, LAYERS);
    for (number, layer) in layers.iter().enumerate() {
        let archive = layer.content.bytes();
        // The only file of an archive follows its header, which is one block.
        let expected = archive.get(512..512 + FILE_BYTES).unwrap();
        let found = fs::read(files.join(format!("file-{number}"))).unwrap();
        assert!(found == expected, "file-{number} has other content");
    }
}

/// The configuration of a [`Site`].
const CONFIG: &str = "cache.toml";
