//! Choosing the images of an index.

use std::collections::HashSet;

use longshore::Repository;
use longshore_model::{
    ContentKind, Descriptor, Digest, Document, INDEX_DEPTH_LIMIT, Index, Manifest, Platform,
    TagOrDigest, Walk, WalkLimits, WalkStep,
};

use crate::config::check_image_platform;
use crate::end::{End, RegistryEnd, read_manifest};
use crate::error::TransferError;

/// Which images of an index are copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Platforms {
    /// All of them, and the index itself.
    All,
    /// The image for this machine: see [`host_platform`]. An image that is in no index is taken
    /// whatever its platform is.
    #[default]
    Host,
    /// The image for this platform. The config of an image that is in no index must name it.
    One(Platform),
    /// The images for these platforms, and an index.
    Several(Vec<Platform>, Subset),
}

/// The index for a copy of only some of its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subset {
    /// The unchanged index, with the same digest. It lists images that the destination does not
    /// have; some registries refuse such an index.
    Sparse,
    /// A smaller index, which has another digest.
    NewIndex,
    /// No choice was made; the copy fails and names the choices.
    Undecided,
}

/// The image that is copied.
pub(crate) struct Chosen {
    pub(crate) manifest: Manifest,
    /// The platform it was chosen for, if any.
    pub(crate) platform: Option<Platform>,
    /// The children that are copied, if not all of them are.
    pub(crate) children: Option<HashSet<Digest>>,
    /// Whether the manifest was made here.
    pub(crate) new_index: bool,
}

impl Chosen {
    fn whole(manifest: Manifest, platform: Option<Platform>) -> Self {
        Self {
            manifest,
            platform,
            children: None,
            new_index: false,
        }
    }
}

impl Platforms {
    /// Returns whether the image always has the same digest at the destination as at the source.
    pub(crate) fn keep_the_index(&self) -> bool {
        matches!(self, Self::All | Self::Several(_, Subset::Sparse))
    }

    /// Chooses a manifest.
    pub(crate) async fn choose(
        &self,
        source: &dyn End,
        first: Manifest,
    ) -> Result<Chosen, TransferError> {
        let wanted = match self {
            Self::All => return Ok(Chosen::whole(first, None)),
            Self::Host => None,
            Self::One(platform) => Some(platform.clone()),
            Self::Several(platforms, subset) => return several(platforms, *subset, first),
        };
        match (first.document(), wanted) {
            (Document::Index(_), wanted) => {
                let wanted = wanted.unwrap_or_else(host_platform);
                let chosen = select(source, first, &wanted).await?;
                Ok(Chosen::whole(chosen, Some(wanted)))
            }
            (Document::Image(image), Some(wanted)) => {
                check_image_platform(source, image, &wanted).await?;
                Ok(Chosen::whole(first, Some(wanted)))
            }
            _ => Ok(Chosen::whole(first, None)),
        }
    }
}

/// Chooses several images of an index.
fn several(
    platforms: &[Platform],
    subset: Subset,
    first: Manifest,
) -> Result<Chosen, TransferError> {
    let Document::Index(index) = first.document() else {
        return Err(TransferError::NotAnIndex);
    };
    let mut children = HashSet::new();
    for platform in platforms {
        children.insert(choose(index, platform)?.digest.clone());
    }
    // Attestations have no platform; an annotation names the image that they belong to.
    for entry in &index.manifests {
        let subject = entry.annotations.get(ATTESTED);
        if subject.is_some_and(|digest| children.iter().any(|it| it.as_str() == digest)) {
            children.insert(entry.digest.clone());
        }
    }
    match subset {
        Subset::Undecided => Err(TransferError::SeveralPlatforms {
            reason: "an index with only some of its images is sparse or has a new digest",
        }),
        Subset::Sparse => Ok(Chosen {
            children: Some(children),
            ..Chosen::whole(first, None)
        }),
        Subset::NewIndex => {
            let mut index = index.clone();
            index.manifests.retain(|it| children.contains(&it.digest));
            let manifest = Manifest::from_document(&Document::Index(index));
            Ok(Chosen {
                new_index: true,
                ..Chosen::whole(manifest.map_err(TransferError::Unwritable)?, None)
            })
        }
    }
}

/// Chooses the entry of an index for a platform. It may be an index.
fn choose<'a>(index: &'a Index, wanted: &Platform) -> Result<&'a Descriptor, TransferError> {
    index.select(wanted).map_err(|error| {
        let is_hidden = |it: &Descriptor| it.media_type.is_index() && it.platform.is_none();
        match index.manifests.iter().any(is_hidden) {
            true => TransferError::NestedIndexes {
                wanted: Box::new(wanted.clone()),
            },
            false => error.into(),
        }
    })
}

/// The annotation by which BuildKit says to which image an attestation belongs.
const ATTESTED: &str = "vnd.docker.reference.digest";

/// Follows an index, and indexes in it, to the manifest of one platform. An image manifest is
/// returned as it is.
///
/// # Errors
///
/// [`TransferError::NoSuchPlatform`]; [`TransferError::Graph`] when indexes are nested more than
/// [`INDEX_DEPTH_LIMIT`] deep; [`TransferError::Registry`].
pub async fn select_platform(
    repository: &Repository,
    manifest: Manifest,
    wanted: &Platform,
) -> Result<Manifest, TransferError> {
    let target = TagOrDigest::from(manifest.digest().clone());
    let end = RegistryEnd::new(repository.clone(), target);
    select(&end, manifest, wanted).await
}

async fn select(
    source: &dyn End,
    mut manifest: Manifest,
    wanted: &Platform,
) -> Result<Manifest, TransferError> {
    let walk = Walk::new(LIMITS);
    let mut step = WalkStep::start_at(&manifest, ());
    while let Document::Index(index) = manifest.document() {
        step = step.child(choose(index, wanted)?, ContentKind::Manifest, ());
        walk.check_depth(&step).map_err(TransferError::Graph)?;
        let target = TagOrDigest::from(step.digest.clone());
        // The index is not needed any more, and may be large (LI2).
        drop(manifest);
        manifest = read_manifest(source, &target).await?;
    }
    Ok(manifest)
}

/// One manifest of each index is followed, so the depth bounds everything.
const LIMITS: WalkLimits = WalkLimits::new(INDEX_DEPTH_LIMIT, INDEX_DEPTH_LIMIT, u64::MAX);

/// Returns the platform of this machine: [`Platform::host`], with the variant of the CPU on 32-bit
/// Arm, where the variant decides which images run.
///
/// On x86-64 the variant is not given, although the CPU may run images that are built for a higher
/// one: like containerd, a pull takes those only on request.
#[must_use]
pub fn host_platform() -> Platform {
    let mut platform = Platform::host();
    if platform.architecture == "arm" && cfg!(target_os = "linux") {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        platform.variant = arm_variant(&text).map(str::to_owned);
    }
    platform
}

/// Reads the variant from the text of `/proc/cpuinfo`, by its first processor.
//
// The kernel writes `CPU architecture: 7`, or `AArch64` on some 64-bit kernels. Some boards with an
// Armv6 CPU report 7; as in containerd, their model name tells them apart.
fn arm_variant(cpuinfo: &str) -> Option<&'static str> {
    let field = |name: &str| {
        cpuinfo.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let is_armv6 = field("model name").is_some_and(|model| model.starts_with("ARMv6-compatible"));
    match field("CPU architecture")? {
        "7" if is_armv6 => Some("v6"),
        "5" | "5T" | "5TE" | "5TEJ" => Some("v5"),
        "6" | "6TEJ" => Some("v6"),
        "7" | "7M" => Some("v7"),
        "8" | "AArch64" => Some("v8"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variant_of_an_arm_machine_is_read_from_the_kernel() {
        for (text, expected) in [
            ("processor : 0\nCPU architecture: 7\n", Some("v7")),
            ("CPU architecture: 8\nCPU architecture: 7\n", Some("v8")),
            ("CPU architecture\t: AArch64\n", Some("v8")),
            ("cpu Architecture: 6TEJ", Some("v6")),
            (
                "model name\t: ARMv6-compatible processor rev 7 (v6l)\nCPU architecture: 7\n",
                Some("v6"),
            ),
            ("CPU architecture: 5TEJ\n", Some("v5")),
            ("CPU architecture: 4T\n", None),
            ("vendor_id : GenuineIntel\n", None),
            ("", None),
        ] {
            assert_eq!(arm_variant(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_variant_is_all_that_is_detected() {
        let mut host = host_platform();
        host.variant = None;
        assert_eq!(host, Platform::host());
    }
}
