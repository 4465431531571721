//! The image that is served: a manifest, and blobs of three sizes.

use std::io;
use std::path::Path;

use crate::bench::image::{Image, TAG, Trees};

/// The paths of what clients request, below a server's root.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) tag: String,
    pub(super) manifest: String,
    pub(super) small: String,
    pub(super) large: String,
    pub(super) cold: String,
    /// Length in bytes of the large blob.
    pub(super) large_bytes: u64,
    /// Length in bytes of the blob for cold clients.
    pub(super) cold_bytes: u64,
}

impl Subject {
    /// Makes the files of a registry: one image for each size of blob.
    pub(super) fn make(directory: &Path, quick: bool) -> io::Result<(Trees, Self)> {
        let sized = |image: Image| if quick { image.quick() } else { image };
        let [small, large, cold] = [SMALL, LARGE, COLD].map(sized);
        let trees = Trees::make(directory, &[small, large, cold])?;
        let path = |image: Image, rest: &str| format!("/v2/{}/{rest}", image.repository());
        let blob = |image: Image| -> io::Result<String> {
            let (_, layer) = trees.digests(image)?;
            Ok(path(image, &format!("blobs/{layer}")))
        };
        let (digest, _) = trees.digests(small)?;
        let subject = Self {
            tag: path(small, &format!("manifests/{TAG}")),
            manifest: path(small, &format!("manifests/{digest}")),
            small: blob(small)?,
            large: blob(large)?,
            cold: blob(cold)?,
            large_bytes: large.layer_bytes,
            cold_bytes: cold.layer_bytes,
        };
        Ok((trees, subject))
    }
}

/// The manifest by tag of the image that has a manifest or blob.
pub(super) fn tag_of(path: &str) -> String {
    let mut segments = path.rsplitn(3, '/');
    let repository = segments.nth(2).unwrap_or_default();
    format!("{repository}/manifests/{TAG}")
}

const SMALL: Image = Image::new("small", 64 * KIB, 64 * KIB);
const LARGE: Image = Image::new("large", 1024 * MIB, 64 * MIB);
const COLD: Image = Image::new("cold", 256 * MIB, 32 * MIB);

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
