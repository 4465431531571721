//! Manifests: the exact bytes of a document, and what they say.

use bytes::Bytes;
use serde::de::DeserializeSeed as _;
use serde::ser::{Serialize, Serializer};

use crate::descriptor::Descriptor;
use crate::digest::{Digest, UnsupportedAlgorithm};
use crate::json::{Broken, DESCRIPTORS_LIMIT, ObjectSeed, Reading};
use crate::media_type::{MediaType, MediaTypeError};
use crate::verify::{Verifier, VerifyError};

pub use image::ImageManifest;
pub use index::{INDEX_DEPTH_LIMIT, Index};

use fields::DocumentFields;

mod fields;
mod image;
mod index;

/// The largest manifest or index a reader should take, in bytes, where nothing else is
/// configured; whoever reads the body refuses more (LI1).
///
/// distribution-spec v1.1.1 "Pushing Manifests" asks registries to take at least 4 MiB.
pub const MANIFEST_LIMIT_BYTES: usize = 8 * 1024 * 1024;

/// An image manifest or index: its exact bytes, and a view of them.
///
/// The bytes are the truth. They are what the digest is over, and what is passed on (DG4); the
/// view is for reading. Fields the specification does not name survive in its `extra`.
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

    /// Verifies bytes that were asked for by digest, and then reads them (DG2).
    ///
    /// The digest of the result is `expected`, under whatever algorithm it is.
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
        let reading = Reading::new();
        let bytes =
            serde_json::to_vec(document).map_err(|error| ManifestError::new(&error, &reading))?;
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

    /// Returns a descriptor of this manifest: type, digest, size and artifact type.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        let size = self.bytes.len() as u64;
        let mut descriptor = Descriptor::new(self.media_type.clone(), self.digest.clone(), size);
        descriptor.artifact_type = self.document.artifact_type().cloned();
        descriptor
    }

    fn read(
        bytes: Bytes,
        content_type: Option<&str>,
        digest: Digest,
    ) -> Result<Self, ManifestError> {
        let content_type = match content_type {
            None | Some("") => None,
            Some(text) => Some(text.parse().map_err(ManifestError::ContentType)?),
        };
        let reading = Reading::new();
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let fields = ObjectSeed::<DocumentFields>::new(&reading)
            .deserialize(&mut json)
            .and_then(|fields| json.end().map(|()| fields))
            .map_err(|error| ManifestError::new(&error, &reading))?;
        let (media_type, document) = fields.into_document(content_type)?;
        Ok(Self {
            bytes,
            digest,
            media_type,
            document,
        })
    }
}

/// What the bytes of a manifest say.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one per document, never a list of them"
)]
pub enum Document {
    /// One image or artifact: a config and layers.
    Image(ImageManifest),
    /// A list of manifests.
    Index(Index),
}

impl Document {
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

/// What the fields of a document make it, whatever it says it is.
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

impl std::fmt::Display for Structure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Image => "an image manifest",
            Self::Index => "an index",
        })
    }
}

/// A document that is not a manifest, or not one to be trusted. It is refused whole.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It has the fields of an image manifest and those of an index: two readers could take it
    /// for two things (DG5).
    #[error("the document is both an image manifest and an index")]
    Ambiguous,
    /// The `Content-Type` it came with is not a media type.
    #[error("malformed content type")]
    ContentType(#[source] MediaTypeError),
    /// A key stands twice in one object: two readers could take either value (DG5).
    #[error("a key is given twice, at line {line} column {column}")]
    DuplicateKey {
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
    },
    /// It is not JSON, or a field has the wrong form or is missing.
    #[error("malformed document: {reason}, at line {line} column {column}")]
    Malformed {
        /// What is wrong, at most 200 characters and without control characters.
        reason: Box<str>,
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
    },
    /// It is an image manifest without `config`.
    #[error("the image manifest has no config")]
    NoConfig,
    /// It has the fields of neither an image manifest nor an index.
    #[error("the document is neither an image manifest nor an index")]
    NoStructure,
    /// `schemaVersion` is missing or not 2. Version 1 is Docker's obsolete schema.
    #[error("the schema version is not 2")]
    SchemaVersion {
        /// The version given, where there is one.
        found: Option<u64>,
    },
    /// The type it says it has is not that of its structure (DG5).
    #[error("the document is {structure}, but its type is given as {media_type}")]
    StructureDisagrees {
        /// The type given.
        media_type: MediaType,
        /// What the fields make it.
        structure: Structure,
    },
    /// It holds more descriptors than [`DESCRIPTORS_LIMIT`].
    #[error("the document has more than {DESCRIPTORS_LIMIT} descriptors")]
    TooManyDescriptors,
    /// `Content-Type` and embedded `mediaType` are specific and differ (DG5).
    #[error("the content type is {content_type}, but the document says {media_type}")]
    TypesDisagree {
        /// The type it came with.
        content_type: MediaType,
        /// The type it says it has.
        media_type: MediaType,
    },
    /// It was asked for by a digest that cannot be computed (DG1).
    #[error(transparent)]
    UnsupportedAlgorithm(#[from] UnsupportedAlgorithm),
    /// It says it has a type that is not read here.
    #[error("documents of type {media_type} are not supported")]
    UnsupportedType {
        /// The type given.
        media_type: MediaType,
    },
    /// It is not what was asked for by digest (DG2).
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

impl ManifestError {
    fn new(error: &serde_json::Error, reading: &Reading) -> Self {
        let (line, column) = (error.line(), error.column());
        match reading.broken() {
            Some(Broken::DuplicateKey) => Self::DuplicateKey { line, column },
            Some(Broken::TooManyDescriptors) => Self::TooManyDescriptors,
            None => {
                // The text may quote the peer, in Rust's escapes but at any length.
                let text = error.to_string();
                let reason = text
                    .rsplit_once(" at line ")
                    .map_or(&*text, |(reason, _)| reason);
                let reason = reason.chars().take(REASON_LIMIT).collect::<String>().into();
                Self::Malformed {
                    reason,
                    line,
                    column,
                }
            }
        }
    }
}

const REASON_LIMIT: usize = 200;

#[cfg(test)]
mod tests;
