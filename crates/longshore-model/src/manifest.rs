//! Manifests: the exact bytes of a document, and what they say.

use std::fmt;

use bytes::Bytes;
use serde::ser::{Serialize, Serializer};

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::json::{self, Fault};
use crate::media_type::MediaType;
use crate::verify::Verifier;

pub use error::ManifestError;
pub use image::ImageManifest;
pub use index::{INDEX_DEPTH_LIMIT, Index};

use fields::DocumentFields;

mod error;
mod fields;
mod image;
mod index;

/// Default maximum length of a manifest or index, in bytes. The reader of the body enforces it
/// (LI1).
///
/// distribution-spec v1.1.1 "Pushing Manifests" asks registries to take at least 4 MiB.
pub const MANIFEST_LIMIT_BYTES: usize = 8 * 1024 * 1024;

/// An image manifest or index: its exact bytes, and a view of them.
///
/// The bytes are the truth. They are what the digest is over, and what is passed on (DG4); the
/// view is for reading. Fields the specification does not name are in the bytes alone (LI2).
#[derive(Clone, Debug)]
pub struct Manifest {
    bytes: Bytes,
    digest: Digest,
    media_type: MediaType,
    document: Document,
}

impl Manifest {
    /// Reads a manifest or index, and computes its SHA-256 digest.
    ///
    /// `content_type` is the `Content-Type` it came with. Its type, the embedded `mediaType` and
    /// the structure must agree where they are specific; a generic or missing `Content-Type`
    /// yields to the others (DG5).
    ///
    /// The length is not limited here: see [`MANIFEST_LIMIT_BYTES`].
    ///
    /// # Errors
    ///
    /// [`ManifestError`] says which rule the document breaks.
    pub fn parse(bytes: Bytes, content_type: Option<&str>) -> Result<Self, ManifestError> {
        let digest = Digest::sha256(&bytes);
        Self::read(bytes, content_type, digest)
    }

    /// Verifies bytes that were requested by digest, and then reads them (DG2).
    ///
    /// The digest of the result is `expected`, under its own algorithm.
    ///
    /// # Errors
    ///
    /// [`ManifestError::Verify`] when the bytes have another digest, which is found out before
    /// they are parsed; [`ManifestError::UnsupportedAlgorithm`] when that cannot be found out;
    /// otherwise as [`parse`](Self::parse).
    pub fn parse_verified(
        bytes: Bytes,
        content_type: Option<&str>,
        expected: &Digest,
    ) -> Result<Self, ManifestError> {
        let mut verifier = Verifier::new(expected, None)?;
        verifier.update(&bytes)?;
        verifier.finish()?;
        Self::read(bytes, content_type, expected.clone())
    }

    /// Writes a document of one's own as a manifest.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] when the document breaks a rule that [`parse`](Self::parse) checks.
    pub fn from_document(document: &Document) -> Result<Self, ManifestError> {
        let bytes = serde_json::to_vec(document).map_err(Fault::from)?;
        Self::parse(bytes.into(), None)
    }

    /// Returns the bytes as they came.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the type the document was found to have, always a specific one.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// Returns the digest of the bytes.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns the view of the bytes.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Returns the view, without the bytes.
    #[must_use]
    pub fn into_document(self) -> Document {
        self.document
    }

    /// Returns a descriptor of this manifest: type, digest, size and artifact type.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        let size = self.bytes.len() as u64;
        let mut descriptor = Descriptor::new(self.media_type.clone(), self.digest.clone(), size);
        descriptor.artifact_type = self.document.artifact_type().cloned();
        descriptor
    }

    /// Returns the descriptor under which a list of referrers names this manifest.
    ///
    /// Its artifact type is that of the manifest or, for an image manifest without one, the type
    /// of the configuration; the annotations are those of the manifest.
    ///
    /// Source: distribution-spec v1.1.1 "Listing Referrers".
    #[must_use]
    pub fn as_referrer(&self) -> Descriptor {
        let mut descriptor = self.descriptor();
        let annotations = match &self.document {
            Document::Image(image) => {
                let config = || image.config.media_type.clone();
                descriptor.artifact_type.get_or_insert_with(config);
                &image.annotations
            }
            Document::Index(index) => &index.annotations,
        };
        descriptor.annotations.clone_from(annotations);
        descriptor
    }

    fn read(
        bytes: Bytes,
        content_type: Option<&str>,
        digest: Digest,
    ) -> Result<Self, ManifestError> {
        let (media_type, document) = read(&bytes, content_type)?;
        Ok(Self {
            bytes,
            digest,
            media_type,
            document,
        })
    }
}

/// Reads the view of a document, and finds out its type.
fn read(bytes: &[u8], content_type: Option<&str>) -> Result<(MediaType, Document), ManifestError> {
    let content_type = match content_type {
        None | Some("") => None,
        Some(text) => Some(text.parse().map_err(ManifestError::ContentType)?),
    };
    json::read_document::<DocumentFields>(bytes)?.into_document(content_type)
}

/// What the bytes of a manifest say.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Document {
    /// One image or artifact: a config and layers.
    Image(ImageManifest),
    /// A list of manifests.
    Index(Index),
}

impl Document {
    /// Reads the view alone, for bytes that are kept and known by digest elsewhere.
    ///
    /// # Errors
    ///
    /// As [`Manifest::parse`].
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        read(bytes, content_type).map(|(_, document)| document)
    }

    /// Returns the image manifest, where it is one.
    #[must_use]
    pub fn as_image(&self) -> Option<&ImageManifest> {
        match self {
            Self::Image(image) => Some(image),
            Self::Index(_) => None,
        }
    }

    /// Returns the index, where it is one.
    #[must_use]
    pub fn as_index(&self) -> Option<&Index> {
        match self {
            Self::Image(_) => None,
            Self::Index(index) => Some(index),
        }
    }

    /// Returns what kind of artifact this is, where it says so.
    #[must_use]
    pub fn artifact_type(&self) -> Option<&MediaType> {
        match self {
            Self::Image(image) => image.artifact_type.as_ref(),
            Self::Index(index) => index.artifact_type.as_ref(),
        }
    }

    /// Returns what manifest this one refers to, where it does.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(image) => image.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
    }

    /// Returns the content this document is made of, in its order: config and layers, or
    /// manifests. The subject is not among it.
    pub fn children(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, list) = match self {
            Self::Image(image) => (Some(&image.config), &image.layers),
            Self::Index(index) => (None, &index.manifests),
        };
        config.into_iter().chain(list)
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Image(image) => image.serialize(serializer),
            Self::Index(index) => index.serialize(serializer),
        }
    }
}

/// The kind of a document by its fields, independent of its media type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "image-spec has these two kinds of document"
)]
pub enum Structure {
    /// It has `config` or `layers`.
    Image,
    /// It has `manifests`.
    Index,
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Image => "an image manifest",
            Self::Index => "an index",
        })
    }
}

#[cfg(test)]
mod tests;
