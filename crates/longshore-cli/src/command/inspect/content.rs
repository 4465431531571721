//! The content of an image or artifact.

use std::collections::HashSet;
use std::future::ready;

use longshore::model::{
    Descriptor, Document, ImageConfig, ImageManifest, Index, Manifest, Platform, TagOrDigest,
};
use longshore::{ErrorKind, PulledManifest, Repository};
use longshore_copy::{check_config_platform, fetch_config};
use tokio::task::JoinSet;

use super::problems::Problems;
use crate::config;
use crate::exit::Failure;

/// Maximum number of manifests of one index that are requested for their sizes. The sizes of
/// further ones stay unknown.
const SIZED_LIMIT: usize = 64;

/// Number of these manifests that are requested concurrently.
const SIZED_AT_ONCE: usize = 16;

/// What a manifest refers to.
pub(super) enum Content {
    Image {
        /// The config, if the image has one that can be shown.
        config: Option<Box<ImageConfig>>,
    },
    Index {
        /// The size of the image behind each entry, in bytes, if it is known.
        sizes: Vec<Option<u64>>,
    },
}

impl Content {
    /// Reads what a manifest refers to, and records a problem for each part that cannot be read.
    /// Fails if the image is not for the wanted platform, or if its platform is unknown.
    pub(super) async fn read(
        repository: &Repository,
        document: &Document,
        wanted: Option<&Platform>,
    ) -> Result<(Self, Problems), Failure> {
        let mut problems = Problems::default();
        let content = match document {
            Document::Image(image) => Self::Image {
                config: config(repository, image, wanted, &mut problems).await?,
            },
            Document::Index(index) => Self::Index {
                sizes: sizes(repository, index, &mut problems).await?,
            },
            _ => Self::Image { config: None },
        };
        Ok((content, problems))
    }

    /// Returns the config of an image.
    pub(super) fn config(&self) -> Option<&ImageConfig> {
        match self {
            Self::Image { config } => config.as_deref(),
            Self::Index { .. } => None,
        }
    }

    /// Returns the platform by the config. The config of a signature, for example, names none.
    pub(super) fn platform(&self) -> Option<Platform> {
        config::platform(self.config()?)
    }
}

/// Reads the config of an image, if it has one. Everything else about the image can be shown
/// without it.
async fn config(
    repository: &Repository,
    image: &ImageManifest,
    wanted: Option<&Platform>,
    problems: &mut Problems,
) -> Result<Option<Box<ImageConfig>>, Failure> {
    const WHAT: &str = "the config is not shown";
    if !image.config.media_type.is_config() {
        return Ok(None);
    }
    let bytes = match fetch_config(repository, &image.config).await {
        Ok(bytes) => bytes,
        Err(error) if wanted.is_some() => return Err(error.into()),
        Err(error) => {
            problems.note_transfer(WHAT, error);
            return Ok(None);
        }
    };
    let config = match ImageConfig::parse(&bytes) {
        Ok(config) => Box::new(config),
        Err(error) => {
            problems.note(WHAT, &error);
            return Ok(None);
        }
    };
    if let Some(wanted) = wanted {
        check_config_platform(&config, wanted)?;
    }
    Ok(Some(config))
}

/// Returns the size of a copy of an image in bytes: the manifest, and each blob once.
pub(super) fn total(size: u64, image: &ImageManifest) -> u64 {
    let mut seen = HashSet::new();
    let blobs = std::iter::once(&image.config).chain(&image.layers);
    blobs
        .filter(|blob| seen.insert(&blob.digest))
        .fold(size, |sum, blob| sum.saturating_add(blob.size))
}

/// Returns whether this entry of an index is an attestation about another entry: it is annotated
/// as such, and its platform is unknown.
///
/// Source: BuildKit "Attestation storage".
pub(super) fn is_attestation(entry: &Descriptor) -> bool {
    let unknown = entry.platform.as_deref().is_some_and(Platform::is_unknown);
    unknown && entry.annotations.contains_key(REFERENCE_TYPE)
}

/// The annotation with the kind of an attestation; BuildKit writes `attestation-manifest`.
pub(super) const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// The annotation with the digest of the entry that an attestation is about.
pub(super) const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// Returns the platform of an entry, unless it is malformed.
pub(super) fn platform(entry: &Descriptor) -> Option<&Platform> {
    let platform = entry.platform.as_deref();
    platform.filter(|platform| **platform != Platform::default())
}

/// Requests the manifest of each image of an index, except attestations. Of each document only the
/// size is kept (LI2).
async fn sizes(
    repository: &Repository,
    index: &Index,
    problems: &mut Problems,
) -> Result<Vec<Option<u64>>, Failure> {
    let mut sizes = vec![None; index.manifests.len()];
    let entries = index.manifests.iter().enumerate();
    let mut due = entries
        .filter(|(_, entry)| entry.media_type.is_manifest() && !is_attestation(entry))
        .take(SIZED_LIMIT);
    let mut asking = JoinSet::new();
    loop {
        while asking.len() < SIZED_AT_ONCE
            && let Some((at, entry)) = due.next()
        {
            let repository = repository.clone();
            let target = TagOrDigest::from(entry.digest.clone());
            asking.spawn(async move {
                let read = |pulled: PulledManifest| ready(size(&pulled.manifest));
                (at, repository.manifest_with(&target, read).await)
            });
        }
        let Some(answer) = asking.join_next().await else {
            return Ok(sizes);
        };
        let (at, answer) = answer.map_err(Failure::task)?;
        match answer {
            Ok(size) => {
                if let Some(slot) = sizes.get_mut(at) {
                    *slot = size;
                }
            }
            // A mirror may hold only some of the platforms.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => problems.note_request("the size of an image is not shown", error),
        }
    }
}

fn size(manifest: &Manifest) -> Option<u64> {
    let image = manifest.document().as_image()?;
    Some(total(manifest.bytes().len() as u64, image))
}

/// Returns the build step of each layer, if the config names it.
pub(super) fn steps<'a>(
    image: &ImageManifest,
    config: Option<&'a ImageConfig>,
) -> Vec<Option<&'a str>> {
    let mut made = vec![None; image.layers.len()];
    let Some(config) = config.filter(|it| it.rootfs.diff_ids.len() == made.len()) else {
        return made;
    };
    for (step, layer) in config.steps().into_iter().flatten() {
        if let Some(slot) = layer.and_then(|at| made.get_mut(at)) {
            *slot = step.created_by.as_deref();
        }
    }
    made
}
