//! The images that are moved: made on disk with the same bytes each time.
//!
//! nginx serves one tree of files, and the storage of `docker-registry` and the layouts link to it.
//! So the files take the space once, and all read the same cached pages.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest as _, Sha256};

/// One image to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// The last part of its repository's name.
    pub(super) name: &'static str,
    pub(super) layers: u32,
    pub(super) layer_bytes: u64,
    /// The size of a layer in a quick run.
    quick_bytes: u64,
}

pub(super) const ONE: Image = Image {
    name: "one",
    layers: 1,
    layer_bytes: 1024 * MIB,
    quick_bytes: 64 * MIB,
};

pub(super) const TEN: Image = Image {
    name: "ten",
    layers: 10,
    layer_bytes: 100 * MIB,
    quick_bytes: 8 * MIB,
};

pub(super) const MANY: Image = Image {
    name: "many",
    layers: 200,
    layer_bytes: 64 * KIB,
    quick_bytes: 64 * KIB,
};

pub(super) const TINY: Image = Image {
    name: "tiny",
    layers: 1,
    layer_bytes: KIB,
    quick_bytes: KIB,
};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The tag each image has.
pub(super) const TAG: &str = "latest";

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The file that makes a directory a layout.
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

impl Image {
    /// An image with one layer.
    pub(super) const fn new(name: &'static str, layer_bytes: u64, quick_bytes: u64) -> Self {
        Self {
            name,
            layers: 1,
            layer_bytes,
            quick_bytes,
        }
    }

    /// The image with the smaller layers of a quick run.
    pub(super) fn quick(self) -> Self {
        Self {
            layer_bytes: self.quick_bytes,
            ..self
        }
    }

    /// The name of its repository.
    pub(super) fn repository(self) -> String {
        format!("bench/{}", self.name)
    }

    /// The bytes of all its layers.
    pub(super) fn bytes(self) -> u64 {
        u64::from(self.layers) * self.layer_bytes
    }
}

/// Where the images are.
pub(super) struct Trees {
    /// The files of a registry, by the paths of its API.
    pub(super) files: PathBuf,
    /// The `rootdirectory` of a `docker-registry`.
    pub(super) storage: PathBuf,
    layouts: PathBuf,
}

impl Trees {
    /// Makes the images below a directory.
    pub(super) fn make(directory: &Path, images: &[Image]) -> io::Result<Self> {
        let trees = Self {
            files: directory.join("files"),
            storage: directory.join("storage"),
            layouts: directory.join("layouts"),
        };
        for image in images {
            trees.add(*image)?;
        }
        Ok(trees)
    }

    /// The OCI image layout that holds an image.
    pub(super) fn layout(&self, image: Image) -> PathBuf {
        self.layouts.join(image.name)
    }

    /// The digest of the manifest of an image, and of its first layer.
    pub(super) fn digests(&self, image: Image) -> io::Result<(String, String)> {
        let directory = self.files.join("v2").join(image.repository());
        let manifest = fs::read(directory.join("manifests").join(TAG))?;
        let document: serde_json::Value = serde_json::from_slice(&manifest)?;
        let layer = document.pointer("/layers/0/digest");
        let layer = layer.and_then(serde_json::Value::as_str);
        let layer = layer.ok_or(io::ErrorKind::InvalidData)?.to_owned();
        Ok((format!("sha256:{}", hex(&Sha256::digest(&manifest))), layer))
    }

    fn add(&self, image: Image) -> io::Result<()> {
        let mut layers = Vec::new();
        for number in 0..image.layers {
            let name = format!("{} {number}\n", image.name);
            let digest = self.add_blob(image, |file| layer(file, &name, image.layer_bytes))?;
            layers.push((digest, image.layer_bytes));
        }
        let diff_ids: Vec<&String> = layers.iter().map(|(digest, _)| digest).collect();
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        })
        .to_string();
        let config_digest = self.add_blob(image, |file| file.write_all(config.as_bytes()))?;
        let layers: Vec<_> = layers
            .iter()
            .map(|(digest, size)| json!({"mediaType": LAYER_TYPE, "digest": digest, "size": size}))
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {
                "mediaType": CONFIG_TYPE, "digest": config_digest, "size": config.len(),
            },
            "layers": layers,
        })
        .to_string();
        self.add_manifest(image, &manifest)
    }

    /// Writes one blob under the name of its digest, and returns the digest.
    fn add_blob(
        &self,
        image: Image,
        write: impl FnOnce(&mut Hashed) -> io::Result<()>,
    ) -> io::Result<String> {
        let blobs = self.files.join("v2").join(image.repository()).join("blobs");
        fs::create_dir_all(&blobs)?;
        let unnamed = blobs.join("unnamed");
        let mut file = Hashed {
            file: File::create(&unnamed)?,
            hasher: Sha256::new(),
        };
        write(&mut file)?;
        let hex = file.hex();
        let digest = format!("sha256:{hex}");
        let named = blobs.join(&digest);
        fs::rename(unnamed, &named)?;
        self.store(image, &hex, &named)?;
        let layers = format!("_layers/sha256/{hex}");
        self.link(image, &layers, &digest)?;
        Ok(digest)
    }

    fn add_manifest(&self, image: Image, manifest: &str) -> io::Result<()> {
        let directory = self.files.join("v2").join(image.repository());
        let manifests = directory.join("manifests");
        fs::create_dir_all(&manifests)?;
        let hex = hex(&Sha256::digest(manifest));
        let digest = format!("sha256:{hex}");
        let named = manifests.join(&digest);
        fs::write(&named, manifest)?;
        fs::hard_link(&named, manifests.join(TAG))?;
        self.store(image, &hex, &named)?;
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": MANIFEST_TYPE, "digest": digest, "size": manifest.len(),
                "annotations": {"org.opencontainers.image.ref.name": TAG},
            }],
        });
        let layout = self.layout(image);
        fs::write(layout.join("index.json"), index.to_string())?;
        fs::write(layout.join("oci-layout"), LAYOUT)?;
        for place in [
            format!("_manifests/revisions/sha256/{hex}"),
            format!("_manifests/tags/{TAG}/current"),
            format!("_manifests/tags/{TAG}/index/sha256/{hex}"),
        ] {
            self.link(image, &place, &digest)?;
        }
        Ok(())
    }

    /// Puts the bytes where `docker-registry` and a layout keep those with this digest.
    fn store(&self, image: Image, hex: &str, file: &Path) -> io::Result<()> {
        let blobs = self.layout(image).join("blobs/sha256");
        fs::create_dir_all(&blobs)?;
        fs::hard_link(file, blobs.join(hex))?;
        let start = hex.get(..2).unwrap_or_default();
        let blobs = self.storage.join("docker/registry/v2/blobs/sha256");
        let directory = blobs.join(start).join(hex);
        fs::create_dir_all(&directory)?;
        fs::hard_link(file, directory.join("data"))
    }

    /// Writes one of the files by which `docker-registry` knows what a repository holds.
    fn link(&self, image: Image, place: &str, digest: &str) -> io::Result<()> {
        let repositories = self.storage.join("docker/registry/v2/repositories");
        let directory = repositories.join(image.repository()).join(place);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("link"), digest)
    }
}

/// A file, and the digest of what was written to it.
struct Hashed {
    file: File,
    hasher: Sha256,
}

impl Hashed {
    fn hex(self) -> String {
        hex(&self.hasher.finalize())
    }
}

impl io::Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a layer: the start of a gzip file, so that no program compresses it again, then the
/// layer's name, and noise.
fn layer(file: &mut Hashed, name: &str, bytes: u64) -> io::Result<()> {
    let mut block = noise();
    let start = [GZIP_START, name.as_bytes()].concat();
    for (place, byte) in block.iter_mut().zip(start) {
        *place = byte;
    }
    let mut left = bytes;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let piece = block.get(..most).unwrap_or(&block);
        file.write_all(piece)?;
        left -= piece.len() as u64;
    }
    Ok(())
}

/// RFC 1952 §2.3: magic, deflate, no flags, no time, no extra flags, unknown system.
const GZIP_START: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A block of the same noise each time (xorshift, Marsaglia 2003).
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = Vec::with_capacity(NOISE_BYTES);
    while block.len() < NOISE_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block.extend_from_slice(&state.to_le_bytes());
    }
    block
}

const NOISE_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::super::Scratch;
    use super::*;

    #[test]
    fn the_same_image_is_made_each_time_and_has_its_digests() {
        let read = || {
            let scratch = Scratch::make(&std::env::temp_dir()).unwrap();
            let trees = Trees::make(scratch.path(), &[TINY]).unwrap();
            let repository = trees.files.join("v2/bench/tiny");
            let manifest = fs::read_to_string(repository.join("manifests/latest")).unwrap();
            for entry in fs::read_dir(repository.join("blobs")).unwrap() {
                let path = entry.unwrap().path();
                let hash = hex(&Sha256::digest(fs::read(&path).unwrap()));
                assert!(path.ends_with(format!("sha256:{hash}")), "{path:?}");
                assert!(manifest.contains(&hash), "{hash} in {manifest}");
            }
            manifest
        };
        assert_eq!(read(), read());
    }
}
