//! References.

use oci_spec::distribution as spec;

use super::ConversionError;
use crate::reference::{Reference, is_docker_hub};

/// Loses the mirror, which is no part of a reference here, and under which of its names Docker
/// Hub was meant.
impl TryFrom<spec::Reference> for Reference {
    type Error = ConversionError;

    fn try_from(from: spec::Reference) -> Result<Self, ConversionError> {
        let reference = Self::parse(&from.whole())?;
        // One that was put together may read as another: `library` and `alpine`.
        let registry = from.registry();
        let on_hub = is_docker_hub(registry) && is_docker_hub(reference.registry());
        if on_hub || reference.registry() == registry {
            Ok(reference)
        } else {
            Err(ConversionError::Registry)
        }
    }
}

impl From<Reference> for spec::Reference {
    fn from(from: Reference) -> Self {
        let (registry, repository) = (from.registry().into(), from.repository_str().into());
        match (from.tag_str(), from.digest_str()) {
            (Some(tag), Some(digest)) => {
                Self::with_tag_and_digest(registry, repository, tag.into(), digest.into())
            }
            (None, Some(digest)) => Self::with_digest(registry, repository, digest.into()),
            // Without a digest there is a tag: parsing fills it in.
            (tag, None) => Self::with_tag(registry, repository, tag.unwrap_or_default().into()),
        }
    }
}
