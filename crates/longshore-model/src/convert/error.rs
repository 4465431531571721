//! Why a value of one crate cannot become one of the other.

use crate::descriptor::SIZE_LIMIT_BYTES;
use crate::digest::DigestError;
use crate::media_type::MediaTypeError;
use crate::reference::ReferenceError;

/// Why a value of the crate `oci-spec` cannot become one of ours, or the other way round.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConversionError {
    /// It has text that is not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// It has text that is not a media type.
    #[error(transparent)]
    MediaType(#[from] MediaTypeError),
    /// It has text that is not a reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Its registry would be read as a part of a repository on another one.
    #[error("the registry would be read as a part of the repository name")]
    Registry,
    /// Its `rootfs` has a type that is not `layers`.
    #[error("the type of rootfs is not `layers`")]
    RootFs,
    /// Its schema version is not 2.
    #[error("the schema version is {found}, not 2")]
    SchemaVersion {
        /// The version of the document.
        found: u32,
    },
    /// It has a size above [`SIZE_LIMIT_BYTES`] (LI3).
    #[error("the size is {found} bytes, and at most {SIZE_LIMIT_BYTES} are allowed")]
    Size {
        /// The size.
        found: u64,
    },
    /// `oci-spec` refuses it.
    #[error(transparent)]
    Spec(#[from] oci_spec::OciSpecError),
}
