//! The fields of a document whose kind is not known yet.

use std::collections::BTreeMap;

use serde::de::{Error, MapAccess};

use super::{Document, ImageManifest, Index, ManifestError, Structure};
use crate::descriptor::{Descriptor, DescriptorFields};
use crate::json::{Entry, Fields, Known, Reading, Slot};
use crate::media_type::MediaType;

/// The known fields of an image manifest and of an index together.
///
/// They are read in one pass, because what kind of document it is may come last.
#[derive(Default)]
pub(super) struct DocumentFields {
    schema_version: Slot<u64>,
    media_type: Slot<MediaType>,
    artifact_type: Slot<MediaType>,
    config: Slot<Descriptor>,
    layers: Slot<Vec<Descriptor>>,
    manifests: Slot<Vec<Descriptor>>,
    subject: Slot<Descriptor>,
    annotations: Slot<BTreeMap<String, String>>,
}

impl<'de> Fields<'de> for DocumentFields {
    type Built = Self;
    const EXPECTING: &'static str = "an image manifest or index";

    fn read<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, A>,
    ) -> Result<Known, A::Error> {
        match key {
            member::SCHEMA_VERSION => entry.value(&mut self.schema_version),
            member::MEDIA_TYPE => entry.value(&mut self.media_type),
            member::ARTIFACT_TYPE => entry.value(&mut self.artifact_type),
            member::CONFIG => entry.object::<DescriptorFields>(&mut self.config),
            member::LAYERS => entry.objects::<DescriptorFields>(&mut self.layers),
            member::MANIFESTS => entry.objects::<DescriptorFields>(&mut self.manifests),
            member::SUBJECT => entry.object::<DescriptorFields>(&mut self.subject),
            member::ANNOTATIONS => entry.string_map(&mut self.annotations),
            _ => Ok(Known::No),
        }
    }

    fn build<E: Error>(self, _: &Reading) -> Result<Self, E> {
        Ok(self)
    }
}

impl DocumentFields {
    /// Finds out what the document is, and checks that everything that says so agrees (DG5).
    pub(super) fn into_document(
        self,
        content_type: Option<MediaType>,
    ) -> Result<(MediaType, Document), ManifestError> {
        let given = given_type(content_type, self.media_type.as_ref())?;
        let structure = self.structure(given.as_ref())?;
        let media_type = match (given, structure) {
            // Docker's documents have to say what they are, OCI's need not.
            (None, Structure::Image) => MediaType::OCI_MANIFEST,
            (None, Structure::Index) => MediaType::OCI_INDEX,
            (Some(given), _) => given,
        };
        match self.schema_version.optional() {
            Some(2) => {}
            found => return Err(ManifestError::SchemaVersion { found }),
        }
        let document = match structure {
            Structure::Image => Document::Image(ImageManifest {
                media_type: self.media_type.optional(),
                artifact_type: self.artifact_type.optional(),
                config: self.config.optional().ok_or(ManifestError::NoConfig)?,
                layers: self.layers.or_default(),
                subject: self.subject.optional(),
                annotations: self.annotations.or_default(),
            }),
            Structure::Index => Document::Index(Index {
                media_type: self.media_type.optional(),
                artifact_type: self.artifact_type.optional(),
                manifests: self.manifests.or_default(),
                subject: self.subject.optional(),
                annotations: self.annotations.or_default(),
            }),
        };
        Ok((media_type, document))
    }

    fn structure(&self, given: Option<&MediaType>) -> Result<Structure, ManifestError> {
        let image = self.config.is_seen() || self.layers.is_seen();
        let structure = match (image, self.manifests.is_seen()) {
            (true, true) => return Err(ManifestError::Ambiguous),
            (false, false) => {
                return Err(match self.schema_version.as_ref() {
                    Some(2) | None => ManifestError::NoStructure,
                    found => ManifestError::SchemaVersion {
                        found: found.copied(),
                    },
                });
            }
            (true, false) => Structure::Image,
            (false, true) => Structure::Index,
        };
        match given {
            Some(given) if given.structure() != Some(structure) => {
                let media_type = given.clone();
                Err(ManifestError::StructureDisagrees {
                    media_type,
                    structure,
                })
            }
            _ => Ok(structure),
        }
    }
}

/// Returns the specific type that header and body give, if they give any.
fn given_type(
    content_type: Option<MediaType>,
    media_type: Option<&MediaType>,
) -> Result<Option<MediaType>, ManifestError> {
    let specific = |given: &MediaType| !given.is_generic();
    let given = match (
        content_type.filter(specific),
        media_type.cloned().filter(specific),
    ) {
        (Some(content_type), Some(media_type)) if content_type != media_type => {
            return Err(ManifestError::TypesDisagree {
                content_type,
                media_type,
            });
        }
        // They are the same but for parameters, which the body has no reason to have.
        (content_type, media_type) => media_type.or(content_type),
    };
    match given {
        Some(media_type) if media_type.structure().is_none() => {
            Err(ManifestError::UnsupportedType { media_type })
        }
        given => Ok(given),
    }
}

impl MediaType {
    fn structure(&self) -> Option<Structure> {
        if self.is_manifest() {
            Some(Structure::Image)
        } else if self.is_index() {
            Some(Structure::Index)
        } else {
            None
        }
    }
}

/// The member names of an image manifest and of an index together.
///
pub(super) mod member {
    crate::json::member_names! {
        SCHEMA_VERSION = "schemaVersion";
        MEDIA_TYPE = "mediaType";
        ARTIFACT_TYPE = "artifactType";
        CONFIG = "config";
        LAYERS = "layers";
        MANIFESTS = "manifests";
        SUBJECT = "subject";
        ANNOTATIONS = "annotations";
    }
}
