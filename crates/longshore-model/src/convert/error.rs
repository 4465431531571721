//! Why a value of one crate is none of the other's.

use crate::digest::DigestError;
use crate::media_type::MediaTypeError;
use crate::reference::ReferenceError;

/// A value of the crate `oci-spec` that cannot be one of ours, or the other way round.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConversionError {
    /// It holds text that is not a digest.
    #[error("malformed digest")]
    Digest(#[from] DigestError),
    /// It holds text that is not a media type.
    #[error("malformed media type")]
    MediaType(#[from] MediaTypeError),
    /// It holds text that is not a reference.
    #[error("malformed reference")]
    Reference(#[from] ReferenceError),
    /// Its registry would be read as a part of a repository on another one.
    #[error("the registry cannot be told from a part of the repository name")]
    Registry,
    /// Its `rootfs` has a type that is not `layers`.
    #[error("the rootfs is not made of layers")]
    RootFs,
    /// Its schema version is not 2.
    #[error("the schema version is {found}, not 2")]
    SchemaVersion {
        /// The version given.
        found: u32,
    },
    /// It gives a size above [`SIZE_LIMIT_BYTES`](crate::SIZE_LIMIT_BYTES) (LI3).
    #[error("a size of {found} bytes is too large")]
    Size {
        /// The size given.
        found: u64,
    },
    /// `oci-spec` refuses it.
    #[error("refused by oci-spec")]
    Spec(#[from] oci_spec::OciSpecError),
}
