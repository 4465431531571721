//! Images generated from a seed: the same seed, the same digests.
//!
//! Everything is valid: layers are real tar archives, configurations name their diff ids, and
//! other tools copy, inspect and unpack the result.
//!
//! ```
//! use longshore_testkit::image::{self, Image};
//!
//! let plain = image::single(1);
//! let every = image::twenty_platforms(2);
//! let large = Image::new(3).layers(2, 1 << 20).build(); // hashed here, held nowhere
//! assert_eq!(plain.digest(), image::single(1).digest());
//! assert_eq!(every.children().len(), 20);
//! # let _ = large;
//! ```

use longshore_model::{Algorithm, Descriptor, Hasher, MediaType, Platform};
use serde::Serialize;

use self::document::{Config, History, Manifest, RootFs, index_document};
pub use self::tree::{DescribedContent, Tree};
use crate::content::{BlobContent, mix};

mod document;
pub(crate) mod gzip;
mod layout;
mod tar;
mod tree;

pub use self::layout::write_layout;

/// An image for `linux/amd64` with three small layers.
#[must_use]
pub fn single(seed: u64) -> Tree {
    Image::new(seed).build()
}

/// An index over twenty images, one for each of [`platforms`].
#[must_use]
pub fn twenty_platforms(seed: u64) -> Tree {
    index(seed, &platforms())
}

/// An index over one small image for each platform.
#[must_use]
pub fn index(seed: u64, platforms: &[Platform]) -> Tree {
    let images = (1..).zip(platforms).map(|(number, platform)| {
        Image::new(mix(seed, number))
            .platform(platform.clone())
            .layers(2, 700)
            .build()
    });
    index_of(images.collect())
}

/// An index over indexes over images: `levels` documents deep before the image manifests.
///
/// At each level stand the next index and an image for `linux/amd64`.
#[must_use]
pub fn nested(seed: u64, levels: usize) -> Tree {
    (1..levels as u64).fold(index_of(vec![single(seed)]), |inner, level| {
        index_of(vec![inner, single(mix(seed, level))])
    })
}

/// An image of `count` layers of about a kibibyte, each different.
#[must_use]
pub fn many_layers(seed: u64, count: u64) -> Tree {
    Image::new(seed).layers(count, 300).build()
}

/// An artifact: the empty configuration, one blob that is no archive, an artifact type.
///
/// Source: image-spec v1.1.1 "Guidelines for Artifact Usage".
#[must_use]
pub fn artifact(seed: u64) -> Tree {
    artifact_about(seed, None)
}

/// An artifact that refers to another manifest, as a signature does.
///
/// Source: image-spec v1.1.1 "Image Manifest Property Descriptions", `subject`.
#[must_use]
pub fn attached(seed: u64, subject: &Tree) -> Tree {
    let subject = subject.descriptor();
    let (kind, digest) = (subject.media_type.clone(), subject.digest.clone());
    artifact_about(seed, Some(&Descriptor::new(kind, digest, subject.size)))
}

fn artifact_about(seed: u64, subject: Option<&Descriptor>) -> Tree {
    let text = BlobContent::from("generated ").then(BlobContent::random(seed, 100));
    let blob = DescribedContent::new(media_type("application/vnd.longshore.testkit.data"), text);
    let config = DescribedContent::new(MediaType::OCI_EMPTY, BlobContent::from("{}"));
    let mut manifest = Manifest::new(
        MediaType::OCI_MANIFEST,
        &config,
        std::slice::from_ref(&blob),
    );
    manifest.artifact_type = Some(media_type("application/vnd.longshore.testkit"));
    manifest.subject = subject;
    let mut root = DescribedContent::document(MediaType::OCI_MANIFEST, &manifest);
    root.descriptor.artifact_type = manifest.artifact_type;
    Tree::new(root, Vec::new(), vec![config, blob])
}

/// An index over documents made before, in this order.
#[must_use]
pub fn index_of(children: Vec<Tree>) -> Tree {
    let document = index_document(MediaType::OCI_INDEX, &children);
    Tree::new(
        DescribedContent::document(MediaType::OCI_INDEX, &document),
        children,
        Vec::new(),
    )
}

/// Twenty platforms: the usual ones, variants of arm and amd64, versions of Windows, and the
/// `unknown/unknown` that builders give to attestations.
#[must_use]
pub fn platforms() -> Vec<Platform> {
    const WINDOWS: [&str; 2] = ["10.0.17763.6414", "10.0.20348.2700"];
    let plain = [
        "linux/amd64",
        "linux/amd64/v3",
        "linux/386",
        "linux/arm/v5",
        "linux/arm/v6",
        "linux/arm/v7",
        "linux/arm64/v8",
        "linux/loong64",
        "linux/mips64le",
        "linux/ppc64le",
        "linux/riscv64",
        "linux/s390x",
        "freebsd/amd64",
        "freebsd/arm64",
        "darwin/arm64",
        "wasip1/wasm",
        "windows/arm64",
        "unknown/unknown",
    ];
    let plain = plain.iter().filter_map(|text| text.parse().ok());
    let windows = WINDOWS.iter().map(|version| {
        let mut platform = Platform::new("windows", "amd64");
        platform.os_version = Some((*version).to_owned());
        platform
    });
    plain.chain(windows).collect()
}

/// What an image is to be made of.
#[derive(Clone, Debug)]
pub struct Image {
    seed: u64,
    platform: Platform,
    layers: u64,
    layer_bytes: u64,
    gzip: bool,
    docker: bool,
}

impl Image {
    /// An image for `linux/amd64` with three layers of about a kibibyte, OCI media types.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            platform: Platform::new("linux", "amd64"),
            layers: 3,
            layer_bytes: 500,
            gzip: false,
            docker: false,
        }
    }

    /// What it runs on.
    #[must_use]
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = platform;
        self
    }

    /// How many layers, and how long the one file in each is, in bytes.
    ///
    /// Bytes are made as they are read, so lengths beyond memory are fine; hashing them once
    /// when the image is built takes its time.
    #[must_use]
    pub fn layers(mut self, count: u64, file_bytes: u64) -> Self {
        self.layers = count;
        self.layer_bytes = file_bytes;
        self
    }

    /// Wraps layers in gzip, so that diff ids and digests differ. They are held in memory.
    #[must_use]
    pub fn gzip(mut self) -> Self {
        self.gzip = true;
        self
    }

    /// Uses the media types of Docker's schema 2 instead of OCI's.
    #[must_use]
    pub fn docker(mut self) -> Self {
        self.docker = true;
        self
    }

    /// Makes the image.
    #[must_use]
    pub fn build(&self) -> Tree {
        let archives: Vec<_> = (0..self.layers)
            .map(|number| self.archive(number))
            .collect();
        let layers: Vec<_> = archives.iter().map(|archive| self.layer(archive)).collect();
        let config = Config {
            created: CREATED,
            architecture: &self.platform.architecture,
            os: &self.platform.os,
            variant: self.platform.variant.as_deref(),
            os_version: self.platform.os_version.as_deref(),
            config: document::Run { cmd: &["/file-0"] },
            rootfs: RootFs {
                kind: "layers",
                diff_ids: archives
                    .iter()
                    .map(|archive| archive.descriptor.digest.clone())
                    .collect(),
            },
            history: archives
                .iter()
                .map(|_| History {
                    created: CREATED,
                    created_by: "testkit",
                })
                .collect(),
        };
        let config = DescribedContent::document(
            self.pick(MediaType::OCI_CONFIG, MediaType::DOCKER_CONFIG),
            &config,
        );
        let kind = self.pick(MediaType::OCI_MANIFEST, MediaType::DOCKER_MANIFEST);
        let mut root =
            DescribedContent::document(kind.clone(), &Manifest::new(kind, &config, &layers));
        root.descriptor.platform = Some(Box::new(self.platform.clone()));
        let blobs = std::iter::once(config).chain(layers).collect();
        Tree::new(root, Vec::new(), blobs)
    }

    /// A tar archive with one file.
    fn archive(&self, number: u64) -> DescribedContent {
        let file = BlobContent::random(mix(self.seed, number), self.layer_bytes);
        let archive = tar::archive(&format!("file-{number}"), file);
        DescribedContent::new(
            self.pick(MediaType::OCI_LAYER, MediaType::DOCKER_LAYER),
            archive,
        )
    }

    fn layer(&self, archive: &DescribedContent) -> DescribedContent {
        if !self.gzip {
            return archive.clone();
        }
        let kind = self.pick(MediaType::OCI_LAYER_GZIP, MediaType::DOCKER_LAYER_GZIP);
        DescribedContent::new(
            kind,
            BlobContent::from(gzip::stored(&archive.content.bytes())),
        )
    }

    fn pick(&self, oci: MediaType, docker: MediaType) -> MediaType {
        if self.docker { docker } else { oci }
    }
}

impl DescribedContent {
    /// Content under its SHA-256 digest.
    #[must_use]
    pub fn new(media_type: MediaType, content: BlobContent) -> Self {
        let Ok(mut hasher) = Hasher::new(&Algorithm::Sha256) else {
            unreachable!("SHA-256 is the algorithm every verifier knows")
        };
        content.chunks().for_each(|chunk| hasher.update(&chunk));
        let descriptor = Descriptor::new(media_type, hasher.finish(), content.length());
        Self {
            descriptor,
            content,
        }
    }

    fn document(media_type: MediaType, document: &impl Serialize) -> Self {
        let Ok(text) = serde_json::to_vec(document) else {
            unreachable!("structs of strings and numbers are JSON")
        };
        Self::new(media_type, BlobContent::from(text))
    }
}

fn media_type(text: &str) -> MediaType {
    let Ok(media_type) = text.parse() else {
        unreachable!("only called with the constants above")
    };
    media_type
}

/// When every generated image was made: the epoch, as reproducible builds have it.
const CREATED: &str = "1970-01-01T00:00:00Z";

pub(crate) use self::gzip::stored as gzip_stored;

#[cfg(test)]
mod tests;
