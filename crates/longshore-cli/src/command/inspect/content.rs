//! The content of an image or artifact.

use std::collections::HashSet;

use longshore::model::{
    Descriptor, Document, ImageConfig, ImageManifest, Index, Manifest, Platform, TagOrDigest,
};
use longshore::{ErrorKind, Repository};
use longshore_copy::{check_config_platform, fetch_config};
use tokio::task::JoinSet;

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
        /// The config, if the image has one.
        config: Option<Box<ImageConfig>>,
        /// Why the config cannot be shown, although its media type is that of an image config.
        problem: Option<String>,
    },
    Index {
        /// The size of the image behind each entry, in bytes, if it is known.
        sizes: Vec<Option<u64>>,
    },
}

impl Content {
    pub(super) async fn read(
        repository: &Repository,
        document: &Document,
        wanted: Option<&Platform>,
    ) -> Result<Self, Failure> {
        match document {
            Document::Image(image) => Self::of_image(repository, image, wanted).await,
            Document::Index(index) => Ok(Self::Index {
                sizes: sizes(repository, index).await?,
            }),
            _ => Ok(Self::Image {
                config: None,
                problem: None,
            }),
        }
    }

    /// Returns the config of an image.
    pub(super) fn config(&self) -> Option<&ImageConfig> {
        match self {
            Self::Image { config, .. } => config.as_deref(),
            Self::Index { .. } => None,
        }
    }

    /// Returns the platform by the config. The config of a signature, for example, names none.
    pub(super) fn platform(&self) -> Option<Platform> {
        config::platform(self.config()?)
    }

    async fn of_image(
        repository: &Repository,
        image: &ImageManifest,
        wanted: Option<&Platform>,
    ) -> Result<Self, Failure> {
        let mut content = (None, None);
        if image.config.media_type.is_config() {
            let bytes = fetch_config(repository, &image.config).await?;
            match ImageConfig::parse(&bytes) {
                Ok(config) => content.0 = Some(Box::new(config)),
                // Everything else about the image can still be shown.
                Err(error) => content.1 = Some(error.to_string()),
            }
        }
        if let (Some(config), Some(wanted)) = (&content.0, wanted) {
            check_config_platform(config, wanted)?;
        }
        let (config, problem) = content;
        Ok(Self::Image { config, problem })
    }
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

/// Requests the manifest of each image of an index, except attestations.
async fn sizes(repository: &Repository, index: &Index) -> Result<Vec<Option<u64>>, Failure> {
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
            asking.spawn(async move { (at, repository.manifest(&target).await) });
        }
        let Some(answer) = asking.join_next().await else {
            return Ok(sizes);
        };
        let (at, answer) = answer.map_err(Failure::task)?;
        let size = match answer {
            Ok(pulled) => size(&pulled.manifest),
            // A mirror may hold only some of the platforms.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(slot) = sizes.get_mut(at) {
            *slot = size;
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
