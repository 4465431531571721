//! Image manifests: the config and layers of one image, or the parts of one artifact.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::fields::member;
use super::index::SCHEMA_VERSION;
use crate::descriptor::Descriptor;
use crate::json;
use crate::media_type::MediaType;

/// One image, or one artifact. Its schema version is 2.
///
/// Source: image-spec v1.1.1 "Image Manifest Property Descriptions"; Image Manifest Version 2,
/// Schema 2 "Image Manifest" has the same fields.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ImageManifest {
    /// The type the document itself gives, where it does.
    pub media_type: Option<MediaType>,
    /// What kind of artifact this is.
    pub artifact_type: Option<MediaType>,
    /// The configuration; [`MediaType::OCI_EMPTY`] where an artifact has none.
    pub config: Descriptor,
    /// The layers of an image, lowest first, or the blobs of an artifact.
    pub layers: Vec<Descriptor>,
    /// The manifest this one refers to.
    pub subject: Option<Descriptor>,
    /// Free annotations.
    pub annotations: BTreeMap<String, String>,
}

impl ImageManifest {
    /// Makes an OCI image manifest.
    #[must_use]
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            media_type: Some(MediaType::OCI_MANIFEST),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Makes the manifest of an artifact, which has no configuration.
    ///
    /// An artifact without blobs gets the empty one, as there should be at least one.
    ///
    /// Source: image-spec v1.1.1 "Guidelines for Artifact Usage": with an empty configuration the
    /// artifact type has to be given.
    #[must_use]
    pub fn artifact(artifact_type: MediaType, mut blobs: Vec<Descriptor>) -> Self {
        if blobs.is_empty() {
            blobs.push(Descriptor::empty());
        }
        Self {
            artifact_type: Some(artifact_type),
            ..Self::new(Descriptor::empty(), blobs)
        }
    }
}

impl Serialize for ImageManifest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(member::SCHEMA_VERSION, &SCHEMA_VERSION)?;
        json::write_option(&mut map, member::MEDIA_TYPE, self.media_type.as_ref())?;
        json::write_option(&mut map, member::ARTIFACT_TYPE, self.artifact_type.as_ref())?;
        map.serialize_entry(member::CONFIG, &self.config)?;
        map.serialize_entry(member::LAYERS, &self.layers)?;
        json::write_option(&mut map, member::SUBJECT, self.subject.as_ref())?;
        json::write_strings(&mut map, member::ANNOTATIONS, &self.annotations)?;
        map.end()
    }
}
