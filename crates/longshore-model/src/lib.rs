//! The nouns of the OCI specifications as values that cannot be malformed.
//!
//! Specifications are cited in these versions: [distribution-spec v1.1.1][distribution] and
//! [image-spec v1.1.1][image].
//!
//! [distribution]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
//! [image]: https://github.com/opencontainers/image-spec/blob/v1.1.1/spec.md

#[cfg(test)]
mod corpus;
mod descriptor;
mod digest;
mod json;
mod manifest;
mod media_type;
mod name;
mod platform;
mod reference;
mod text;
mod verify;

pub use descriptor::{Descriptor, SIZE_LIMIT_BYTES};
pub use digest::{
    Algorithm, DIGEST_LIMIT_BYTES, Digest, DigestError, Hasher, UnsupportedAlgorithm,
};
pub use json::{DESCRIPTORS_LIMIT, Extra, JSON_DEPTH_LIMIT};
pub use manifest::{
    Document, INDEX_DEPTH_LIMIT, ImageManifest, Index, MANIFEST_LIMIT_BYTES, Manifest,
    ManifestError, Structure,
};
pub use media_type::{MEDIA_TYPE_LIMIT_BYTES, MediaType, MediaTypeError};
pub use name::{
    NameError, REPOSITORY_NAME_LIMIT_BYTES, RepositoryName, TAG_LIMIT_BYTES, Tag, TagOrDigest,
    TagOrDigestError,
};
pub use platform::{Fit, NoSuchPlatform, Platform, PlatformError};
pub use reference::{REFERENCE_LIMIT_BYTES, Reference, ReferenceError, ReferenceParts};
pub use verify::{Verifier, VerifyError};
