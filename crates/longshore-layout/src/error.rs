//! What can go wrong with an image layout.

use std::path::PathBuf;

use longshore_model::{Digest, ManifestError};
use longshore_store::{StoreError, StoreErrorKind};

/// Why an operation on a layout failed.
///
/// Text from the layout is in the fields, never in the message: it may hold characters that must
/// not reach a terminal (OU1).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The path does not exist.
    #[error("there is nothing at {}", path.display())]
    Absent {
        /// The path given.
        path: PathBuf,
    },
    /// Several entries have the name, and they are different images.
    #[error("{count} different images are named `{name}` in {}", path.display())]
    Ambiguous {
        /// The layout.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// How many digests have the name.
        count: usize,
    },
    /// The path is not a directory.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path given.
        path: PathBuf,
    },
    /// A directory without an `oci-layout` file; nothing in it was changed.
    #[error("{} is not an image layout: it has no `oci-layout` file", path.display())]
    NotALayout {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds other files, so no layout was created in it; nothing in it was changed.
    #[error("{} is neither empty nor an image layout", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// No entry has the name.
    #[error("no image is named `{name}` in {}", path.display())]
    NoSuchName {
        /// The layout.
        path: PathBuf,
        /// The name asked for.
        name: String,
    },
    /// Text that cannot be the name of an image.
    #[error("not the name of an image, at byte {at}: {reason}")]
    Name {
        /// The text.
        name: String,
        /// The position of the error, in bytes from 0.
        at: usize,
        /// What is wrong there.
        reason: NameReason,
    },
    /// The layout does not hold the content of a new entry, or holds it with another size; the
    /// index was not changed.
    #[error("{digest} is not in the layout with {expected} bytes, so nothing may refer to it")]
    Dangling {
        /// The content that the entry would refer to.
        digest: Digest,
        /// The size that the entry would give, in bytes.
        expected: u64,
        /// The size found, in bytes.
        found: Option<u64>,
    },
    /// A descriptor cannot be written as JSON.
    #[error("the descriptor of {digest} cannot be written")]
    Entry {
        /// The content that it describes.
        digest: Digest,
        /// Why not.
        source: serde_json::Error,
    },
    /// With more entries, `index.json` would exceed the limits of readers; it was not changed.
    #[error("{} would no longer be readable with more entries", path.display())]
    Overfull {
        /// The index.
        path: PathBuf,
        /// The error that a reader would get.
        source: ManifestError,
    },
    /// The layout refers to more blobs than are followed; no more were read.
    #[error("{} leads to more than {limit} blobs", path.display())]
    Endless {
        /// The layout.
        path: PathBuf,
        /// Maximum number of blobs that are followed.
        limit: usize,
    },
    /// A document is nested in more than
    /// [`INDEX_DEPTH_LIMIT`](longshore_model::INDEX_DEPTH_LIMIT) indexes; it was not read.
    #[error("{digest} is nested too deeply")]
    TooDeep {
        /// The document that was not read.
        digest: Digest,
    },
    /// A document of the layout is missing.
    #[error("{} is missing", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// `oci-layout` breaks the specification.
    #[error("{} cannot be read", path.display())]
    Malformed {
        /// The document.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// `index.json` or a manifest breaks the specification.
    #[error("{} cannot be read", path.display())]
    Manifest {
        /// The document.
        path: PathBuf,
        /// Why not.
        source: ManifestError,
    },
    /// `index.json` holds a manifest instead of an index.
    #[error("{} is not an index", path.display())]
    NotAnIndex {
        /// The document.
        path: PathBuf,
    },
    /// The layout is of a version this library does not know.
    #[error("{} gives a version of image layouts other than 1.x.y", path.display())]
    Version {
        /// The document.
        path: PathBuf,
        /// The version, as it was written.
        found: String,
    },
    /// An operation on the directory or its blobs failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LayoutError {
    /// Sorts the error by who must act on it.
    #[must_use]
    pub fn kind(&self) -> LayoutErrorKind {
        match self {
            Self::Absent { .. }
            | Self::NotADirectory { .. }
            | Self::NotALayout { .. }
            | Self::NotEmpty { .. } => LayoutErrorKind::NotALayout,
            Self::Ambiguous { .. } | Self::NoSuchName { .. } => LayoutErrorKind::Name,
            Self::Name { .. }
            | Self::Dangling { .. }
            | Self::Entry { .. }
            | Self::Overfull { .. } => LayoutErrorKind::Caller,
            Self::Endless { .. }
            | Self::TooDeep { .. }
            | Self::Missing { .. }
            | Self::Malformed { .. }
            | Self::Manifest { .. }
            | Self::NotAnIndex { .. }
            | Self::Version { .. } => LayoutErrorKind::Malformed,
            Self::Store(error) => LayoutErrorKind::Store(error.kind()),
        }
    }
}

/// The classes of [`LayoutError`], for exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LayoutErrorKind {
    /// An argument of the caller cannot be written to a layout.
    Caller,
    /// The layout is damaged or hostile.
    Malformed,
    /// The path is not a layout and cannot become one.
    NotALayout,
    /// The name does not stand for exactly one image.
    Name,
    /// The directory or its blobs: a full disk, for example.
    Store(StoreErrorKind),
}

/// Why text is not the name of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum NameReason {
    /// A character outside `A-Za-z0-9` and `-._:@+/`.
    #[error("only letters, digits and -._:@+/ may stand in it")]
    Character,
    /// No text at all.
    #[error("it is empty")]
    Empty,
    /// Longer than [`REF_NAME_LIMIT_BYTES`](crate::REF_NAME_LIMIT_BYTES).
    #[error("it is too long")]
    TooLong,
}
