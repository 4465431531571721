//! Engines that unpack images accept the pushed image, and report the same digests.

use std::fs;
use std::path::Path;

use longshore_testkit::image::Image;
use longshore_tests::containerd::Containerd;
use longshore_tests::longshore::host_platform;
use longshore_tests::podman::Podman;

use super::*;

const LAYERS: u64 = 3;
const FILE_BYTES: usize = 100_000;

/// An index with an image for this machine, with compressed layers, and one for another machine.
struct Scene {
    registry: DockerRegistry,
    index: Tree,
    /// The same files, not compressed.
    plain: Tree,
}

impl Scene {
    async fn set() -> Option<Self> {
        let registry = DockerRegistry::builder().start()?;
        let mut image = Image::new(11)
            .layers(LAYERS, FILE_BYTES as u64)
            .platform(host_platform().parse().unwrap());
        let plain = image.build();
        image = image.gzip();
        let other = Image::new(12).platform("linux/mips64le".parse().unwrap());
        let index = image::index_of(vec![other.gzip().build(), image.build()]);
        let app = repository(&client(&registry), &registry, "some/app").await;
        push(&app, &index, known).await;
        Some(Self {
            registry,
            index,
            plain,
        })
    }

    /// References to the index by its tag, and to the image for this machine by its digest.
    fn references(&self) -> [(String, &Digest); 2] {
        let name = format!("{}/some/app", self.registry.authority());
        let [_, image] = self.index.children() else {
            unreachable!("the index has two images")
        };
        [
            (format!("{name}:v1"), self.index.digest()),
            (format!("{name}@{}", image.digest()), image.digest()),
        ]
    }

    #[track_caller]
    fn assert_unpacked(&self, files: &Path) {
        let [_, layers @ ..] = self.plain.blobs() else {
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
}

#[tokio::test]
async fn podman_pulls_and_unpacks_what_was_pushed() {
    let (Some(podman), Some(scene)) = (Podman::find(), Scene::set().await) else {
        return;
    };
    for (reference, digest) in scene.references() {
        let pulled = podman.pull(&reference);
        let digest = digest.to_string();
        assert!(pulled.digests.contains(&digest), "{:?}", pulled.digests);
        scene.assert_unpacked(&pulled.files);
    }
}

#[tokio::test]
async fn containerd_pulls_and_unpacks_what_was_pushed() {
    let Some(scene) = Scene::set().await else {
        return;
    };
    for (reference, digest) in scene.references() {
        let Some(containerd) = Containerd::start() else {
            return;
        };
        let pulled = containerd.pull(&reference);
        assert_eq!(pulled.digest, digest.to_string());
        scene.assert_unpacked(&pulled.files);
    }
}
