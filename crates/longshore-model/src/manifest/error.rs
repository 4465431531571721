//! Why a document is refused.

use super::Structure;
use crate::digest::UnsupportedAlgorithm;
use crate::json::{DESCRIPTORS_LIMIT, Fault, VALUES_LIMIT};
use crate::media_type::{MediaType, MediaTypeError};
use crate::verify::VerifyError;

/// Why a document is not accepted as a manifest. It is refused whole.
///
/// A message shows only the type and subtype of a media type: its parameters are text from the peer
/// of any length (OU1).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It has the fields of an image manifest and those of an index, so two readers could
    /// understand it differently (DG5).
    #[error("the document is both an image manifest and an index")]
    Ambiguous,
    /// The `Content-Type` of the answer is not a media type.
    #[error("malformed Content-Type: {0}")]
    ContentType(MediaTypeError),
    /// A member name is repeated in one object, so two readers could use different values (DG5).
    #[error("a member name is repeated in one object, at line {line} column {column}")]
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
    /// It is not UTF-8.
    #[error("the document is not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// The first byte that is not part of a character, from 0.
        at: usize,
    },
    /// `schemaVersion` is missing or not 2. Version 1 is Docker's obsolete schema.
    #[error("the schema version is {}", not_two(*.found))]
    SchemaVersion {
        /// The version of the document, if it has one.
        found: Option<u64>,
    },
    /// Its media type does not match its fields (DG5).
    #[error(
        "the document has the fields of {structure}, but its media type is {}",
        .media_type.essence()
    )]
    StructureDisagrees {
        /// The media type.
        media_type: MediaType,
        /// The kind of document that its fields belong to.
        structure: Structure,
    },
    /// It has more descriptors than [`DESCRIPTORS_LIMIT`].
    #[error("the document has more than {DESCRIPTORS_LIMIT} descriptors")]
    TooManyDescriptors,
    /// It has more annotations, strings and unknown values than [`VALUES_LIMIT`].
    #[error("the document has more than {VALUES_LIMIT} annotations and other values")]
    TooManyValues,
    /// `Content-Type` and embedded `mediaType` are specific and differ (DG5).
    #[error(
        "the Content-Type is {}, but the media type in the document is {}",
        .content_type.essence(),
        .media_type.essence()
    )]
    TypesDisagree {
        /// The type in the header.
        content_type: MediaType,
        /// The type in the document.
        media_type: MediaType,
    },
    /// It was requested by a digest without an implementation (DG1).
    #[error(transparent)]
    UnsupportedAlgorithm(#[from] UnsupportedAlgorithm),
    /// Its media type is specific, and not that of a manifest or index.
    #[error("documents of the media type {} are not supported", .media_type.essence())]
    UnsupportedType {
        /// The media type.
        media_type: MediaType,
    },
    /// It does not have the digest that was requested (DG2).
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

fn not_two(version: Option<u64>) -> String {
    version.map_or_else(
        || "missing".to_owned(),
        |version| format!("{version}, not 2"),
    )
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
