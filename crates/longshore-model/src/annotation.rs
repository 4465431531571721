//! Annotation keys with a meaning.
//!
//! Source: image-spec v1.1.1 "Pre-Defined Annotation Keys", unless an item says otherwise.

/// When the image was built, as RFC 3339 date and time.
pub const CREATED: &str = "org.opencontainers.image.created";
/// Who is responsible for the image, in free form.
pub const AUTHORS: &str = "org.opencontainers.image.authors";
/// Where more about the image is to be found.
pub const URL: &str = "org.opencontainers.image.url";
/// Where documentation of the image is to be found.
pub const DOCUMENTATION: &str = "org.opencontainers.image.documentation";
/// Where the source code is to be found.
pub const SOURCE: &str = "org.opencontainers.image.source";
/// The version of the packaged software.
pub const VERSION: &str = "org.opencontainers.image.version";
/// The source control revision of the packaged software.
pub const REVISION: &str = "org.opencontainers.image.revision";
/// Who distributes the image.
pub const VENDOR: &str = "org.opencontainers.image.vendor";
/// The licences of what the image contains, as SPDX expression.
pub const LICENSES: &str = "org.opencontainers.image.licenses";
/// The name of a target: in the `index.json` of an image layout, the tag of an entry.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// A title for people.
pub const TITLE: &str = "org.opencontainers.image.title";
/// A description for people.
pub const DESCRIPTION: &str = "org.opencontainers.image.description";
/// The digest of the image this one is based on.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
/// The reference of the image this one is based on.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
