//! Conversions to and from the types of the crate `oci-spec`.
//!
//! They go field by field, not through JSON, in which `oci-spec` gives some fields of a platform
//! another name than the specification does.

use std::collections::{BTreeMap, HashMap};

use oci_spec::image as spec;

use crate::descriptor::{Descriptor, SIZE_LIMIT_BYTES};
use crate::digest::Digest;
use crate::manifest::{ImageManifest, Index};
use crate::media_type::MediaType;
use crate::platform::Platform;

pub use error::ConversionError;

mod config;
mod error;
mod reference;

impl TryFrom<spec::Digest> for Digest {
    type Error = ConversionError;

    fn try_from(digest: spec::Digest) -> Result<Self, ConversionError> {
        Ok(digest.as_ref().parse()?)
    }
}

impl TryFrom<Digest> for spec::Digest {
    type Error = ConversionError;

    fn try_from(digest: Digest) -> Result<Self, ConversionError> {
        Ok(digest.as_str().parse()?)
    }
}

impl TryFrom<spec::MediaType> for MediaType {
    type Error = ConversionError;

    fn try_from(media_type: spec::MediaType) -> Result<Self, ConversionError> {
        Ok(media_type.as_ref().parse()?)
    }
}

impl From<MediaType> for spec::MediaType {
    fn from(media_type: MediaType) -> Self {
        media_type.as_str().into()
    }
}

impl From<spec::Platform> for Platform {
    fn from(platform: spec::Platform) -> Self {
        Self {
            os: platform.os().to_string(),
            architecture: platform.architecture().to_string(),
            variant: platform.variant().clone(),
            os_version: platform.os_version().clone(),
            os_features: platform.os_features().clone().unwrap_or_default(),
            features: platform.features().clone().unwrap_or_default(),
        }
    }
}

/// Loses whether a list was absent or empty.
impl From<Platform> for spec::Platform {
    fn from(from: Platform) -> Self {
        let mut platform = Self::default();
        platform
            .set_os(from.os.as_str().into())
            .set_architecture(architecture(&from.architecture))
            .set_variant(from.variant)
            .set_os_version(from.os_version)
            .set_os_features(some(from.os_features))
            .set_features(some(from.features));
        platform
    }
}

impl TryFrom<spec::Descriptor> for Descriptor {
    type Error = ConversionError;

    fn try_from(from: spec::Descriptor) -> Result<Self, ConversionError> {
        let size = from.size();
        if size > SIZE_LIMIT_BYTES {
            return Err(ConversionError::Size { found: size });
        }
        Ok(Self {
            urls: from.urls().clone().unwrap_or_default(),
            annotations: sorted(from.annotations()),
            data: from.data().clone(),
            artifact_type: maybe(from.artifact_type())?,
            platform: from
                .platform()
                .clone()
                .map(|platform| Box::new(platform.into())),
            ..Self::new(
                from.media_type().clone().try_into()?,
                from.digest().clone().try_into()?,
                size,
            )
        })
    }
}

/// Loses whether a list or map was absent or empty.
impl TryFrom<Descriptor> for spec::Descriptor {
    type Error = ConversionError;

    fn try_from(from: Descriptor) -> Result<Self, ConversionError> {
        let digest = spec::Digest::try_from(from.digest)?;
        let mut descriptor = Self::new(from.media_type.into(), from.size, digest);
        descriptor
            .set_urls(some(from.urls))
            .set_annotations(unsorted(from.annotations))
            .set_data(from.data)
            .set_artifact_type(from.artifact_type.map(Into::into))
            .set_platform(from.platform.map(|platform| (*platform).into()));
        Ok(descriptor)
    }
}

impl TryFrom<spec::ImageManifest> for ImageManifest {
    type Error = ConversionError;

    fn try_from(from: spec::ImageManifest) -> Result<Self, ConversionError> {
        check_schema_version(from.schema_version())?;
        Ok(Self {
            media_type: maybe(from.media_type())?,
            artifact_type: maybe(from.artifact_type())?,
            config: from.config().clone().try_into()?,
            layers: each(from.layers().clone())?,
            subject: maybe(from.subject())?,
            annotations: sorted(from.annotations()),
        })
    }
}

/// Loses whether a list or map was absent or empty, here and below.
impl TryFrom<ImageManifest> for spec::ImageManifest {
    type Error = ConversionError;

    fn try_from(from: ImageManifest) -> Result<Self, ConversionError> {
        let mut manifest = spec::ImageManifestBuilder::default()
            .schema_version(spec::SCHEMA_VERSION)
            .config(spec::Descriptor::try_from(from.config)?)
            .layers(each::<_, spec::Descriptor>(from.layers)?)
            .build()?;
        manifest
            .set_media_type(from.media_type.map(Into::into))
            .set_artifact_type(from.artifact_type.map(Into::into))
            .set_subject(from.subject.map(spec::Descriptor::try_from).transpose()?)
            .set_annotations(unsorted(from.annotations));
        Ok(manifest)
    }
}

impl TryFrom<spec::ImageIndex> for Index {
    type Error = ConversionError;

    fn try_from(from: spec::ImageIndex) -> Result<Self, ConversionError> {
        check_schema_version(from.schema_version())?;
        Ok(Self {
            media_type: maybe(from.media_type())?,
            artifact_type: maybe(from.artifact_type())?,
            manifests: each(from.manifests().clone())?,
            subject: maybe(from.subject())?,
            annotations: sorted(from.annotations()),
        })
    }
}

/// Loses whether a list or map was absent or empty, here and below.
impl TryFrom<Index> for spec::ImageIndex {
    type Error = ConversionError;

    fn try_from(from: Index) -> Result<Self, ConversionError> {
        let mut index = Self::default();
        index
            .set_media_type(from.media_type.map(Into::into))
            .set_artifact_type(from.artifact_type.map(Into::into))
            .set_manifests(each(from.manifests)?)
            .set_subject(from.subject.map(spec::Descriptor::try_from).transpose()?)
            .set_annotations(unsorted(from.annotations));
        Ok(index)
    }
}

/// Reads a name of an architecture so that it prints as the same name: `oci-spec` takes `armbe`
/// for another one.
fn architecture(name: &str) -> spec::Arch {
    let known = spec::Arch::from(name);
    if known.to_string() == name {
        known
    } else {
        spec::Arch::Other(name.to_owned())
    }
}

fn check_schema_version(found: u32) -> Result<(), ConversionError> {
    if found == spec::SCHEMA_VERSION {
        Ok(())
    } else {
        Err(ConversionError::SchemaVersion { found })
    }
}

fn each<T, U: TryFrom<T>>(list: Vec<T>) -> Result<Vec<U>, U::Error> {
    list.into_iter().map(U::try_from).collect()
}

fn maybe<T: Clone, U: TryFrom<T>>(value: &Option<T>) -> Result<Option<U>, U::Error> {
    value.clone().map(U::try_from).transpose()
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn sorted(map: &Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    map.clone().unwrap_or_default().into_iter().collect()
}

fn unsorted(map: BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!map.is_empty()).then(|| map.into_iter().collect())
}

#[cfg(test)]
mod tests;
