//! Why a document is refused.

use super::Structure;
use crate::digest::UnsupportedAlgorithm;
use crate::json::{DESCRIPTORS_LIMIT, Fault, VALUES_LIMIT};
use crate::media_type::{MediaType, MediaTypeError};
use crate::verify::VerifyError;

/// A document that is not a manifest, or not one to be trusted. It is refused whole.
///
/// Of a media type it shows the essence: parameters are the peer's, at any length (OU1).
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
    /// It is not text.
    #[error("the document is not UTF-8: unexpected at byte {at}")]
    NotUtf8 {
        /// The first byte that is wrong, from 0.
        at: usize,
    },
    /// `schemaVersion` is missing or not 2. Version 1 is Docker's obsolete schema.
    #[error("the schema version is not 2")]
    SchemaVersion {
        /// The version given, where there is one.
        found: Option<u64>,
    },
    /// The type it says it has is not that of its structure (DG5).
    #[error("the document is {structure}, but its type is given as {}", .media_type.essence())]
    StructureDisagrees {
        /// The type given.
        media_type: MediaType,
        /// What the fields make it.
        structure: Structure,
    },
    /// It holds more descriptors than [`DESCRIPTORS_LIMIT`].
    #[error("the document has more than {DESCRIPTORS_LIMIT} descriptors")]
    TooManyDescriptors,
    /// It holds more annotations, strings and unknown values than [`VALUES_LIMIT`].
    #[error("the document has more than {VALUES_LIMIT} annotations and other values")]
    TooManyValues,
    /// `Content-Type` and embedded `mediaType` are specific and differ (DG5).
    #[error(
        "the content type is {}, but the document says {}",
        .content_type.essence(),
        .media_type.essence()
    )]
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
    #[error("documents of type {} are not supported", .media_type.essence())]
    UnsupportedType {
        /// The type given.
        media_type: MediaType,
    },
    /// It is not what was asked for by digest (DG2).
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

impl From<Fault> for ManifestError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::DuplicateKey { line, column } => Self::DuplicateKey { line, column },
            Fault::Malformed {
                reason,
                line,
                column,
            } => Self::Malformed {
                reason,
                line,
                column,
            },
            Fault::NotUtf8 { at } => Self::NotUtf8 { at },
            Fault::TooManyDescriptors => Self::TooManyDescriptors,
            Fault::TooManyValues => Self::TooManyValues,
        }
    }
}
