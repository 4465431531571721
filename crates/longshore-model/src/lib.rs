//! The nouns of the OCI specifications as values that cannot be malformed.
//!
//! A [`Reference`] is read by the rules of Docker, a [`Digest`] by its grammar and the length its
//! algorithm gives, a [`Manifest`] is the exact bytes of a document together with a view of them.
//! Such a value need not be checked again. [`Verifier`] compares content that arrives in pieces
//! with its digest and size, [`Digest::of_reader`] computes the digest of a stream,
//! [`Index::select`] chooses the image for a platform, and an [`ImageConfig`] says what that image
//! runs and how it was built.
//!
//! Everything here is computation: no socket, no file, no clock. Left to the caller are fetching
//! documents and bounding their length ([`MANIFEST_LIMIT_BYTES`]). A [`Walk`] bounds how far the
//! documents below one are followed, and [`Platform::host`] is the platform of this program.
//!
//! ```
//! use longshore_model::{Manifest, Platform, Reference};
//!
//! let reference: Reference = "alpine:3.20".parse()?;
//! assert_eq!(reference.repository_str(), "library/alpine");
//!
//! // What a registry answered; the digest is the one of these bytes.
//! let answer = br#"{
//!     "schemaVersion": 2,
//!     "manifests": [{
//!         "mediaType": "application/vnd.oci.image.manifest.v1+json",
//!         "digest": "sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270",
//!         "size": 7682,
//!         "platform": {"os": "linux", "architecture": "arm64"}
//!     }]
//! }"#;
//! let manifest = Manifest::parse(answer.as_slice().into(), Some("application/json"))?;
//! let index = manifest.document().as_index().ok_or("not an index")?;
//!
//! let wanted: Platform = "linux/arm64/v8".parse()?;
//! let image = index.select(&wanted)?;
//! assert_eq!(image.digest.short(), "5b0bcabd1ed2");
//! assert_eq!(reference.with_digest(&image.digest).target().as_str(), image.digest.as_str());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `oci-spec` | conversions to and from the types of the crate `oci-spec` |
//!
//! # Specifications
//!
//! They are cited in these versions: [distribution-spec v1.1.1][distribution],
//! [image-spec v1.1.1][image]. *Image Manifest Version 2, Schema 2* is [Docker's][schema2].
//!
//! [distribution]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
//! [image]: https://github.com/opencontainers/image-spec/blob/v1.1.1/spec.md
//! [schema2]: https://distribution.github.io/distribution/spec/manifest-v2-2/
//!
//! Ids such as RT1 name the rules in the project's `RULES.md`.

pub mod annotation;
mod config;
#[cfg(feature = "oci-spec")]
mod convert;
#[cfg(test)]
mod corpus;
mod descriptor;
mod digest;
mod json;
mod manifest;
mod media_type;
mod memory;
mod name;
mod platform;
mod reference;
mod text;
mod verify;
mod walk;

pub use config::{
    CONFIG_LIMIT_BYTES, ConfigError, Healthcheck, History, ImageConfig, RootFs, RuntimeConfig,
};
#[cfg(feature = "oci-spec")]
pub use convert::ConversionError;
pub use descriptor::{DataError, Descriptor, SIZE_LIMIT_BYTES};
pub use digest::{
    Algorithm, DIGEST_LIMIT_BYTES, Digest, DigestError, DigestReadError, Hasher,
    UnsupportedAlgorithm,
};
pub use json::{DESCRIPTORS_LIMIT, JSON_DEPTH_LIMIT, VALUES_LIMIT};
pub use manifest::{
    Document, INDEX_DEPTH_LIMIT, ImageManifest, Index, MANIFEST_LIMIT_BYTES, Manifest,
    ManifestError, Structure,
};
pub use media_type::{MEDIA_TYPE_LIMIT_BYTES, MediaType, MediaTypeError};
pub use memory::document_memory_bytes;
pub use name::{
    NameError, REPOSITORY_NAME_LIMIT_BYTES, RepositoryName, TAG_LIMIT_BYTES, Tag, TagOrDigest,
    TagOrDigestError,
};
pub use platform::{Fit, NoSuchPlatform, Platform, PlatformError};
pub use reference::{REFERENCE_LIMIT_BYTES, Reference, ReferenceError, ReferenceParts};
pub use verify::{Verifier, VerifyError, VerifyReader};
pub use walk::{ContentKind, Reached, Walk, WalkError, WalkLimits, WalkStep};
