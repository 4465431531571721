//! What can go wrong with an image layout.

use std::path::PathBuf;

use longshore_model::{Digest, ManifestError};
use longshore_store::{StoreError, StoreErrorKind};

/// Why a layout did not do what it was asked.
///
/// Text that stands in the layout is in the fields, never in the message: it may hold what
/// must not reach a terminal (OU1).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// There is nothing at the path.
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
        /// How many digests go by it.
        count: usize,
    },
    /// The path is that of a file, or of something else that is no directory.
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
    /// A directory to make a layout in that holds other files; nothing in it was changed.
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
        /// Where it goes wrong, in bytes from 0.
        at: usize,
        /// In what.
        reason: NameReason,
    },
    /// An entry was to be written for content that is not in the layout, or not of that size.
    #[error("{digest} is not in the layout with {expected} bytes, so nothing may refer to it")]
    Dangling {
        /// What the entry would refer to.
        digest: Digest,
        /// The size it would give.
        expected: u64,
        /// The size found.
        found: Option<u64>,
    },
    /// A descriptor to be written cannot be: its extra fields repeat known ones.
    #[error("the descriptor of {digest} cannot be written")]
    Entry {
        /// What it describes.
        digest: Digest,
        /// Why not.
        source: serde_json::Error,
    },
    /// With the entry, `index.json` would go beyond what readers take; it was left as it is.
    #[error("{} would no longer be readable with one more entry", path.display())]
    Overfull {
        /// The index.
        path: PathBuf,
        /// What a reader would say.
        source: ManifestError,
    },
    /// So many documents refer to so much that no end of it was seen; nothing more was read.
    #[error("{} leads to more than {limit} blobs", path.display())]
    Endless {
        /// The layout.
        path: PathBuf,
        /// How many were followed.
        limit: usize,
    },
    /// An index in an index, and so on, deeper than
    /// [`INDEX_DEPTH_LIMIT`](longshore_model::INDEX_DEPTH_LIMIT); it was not read.
    #[error("{digest} is nested too deeply")]
    TooDeep {
        /// The document not read.
        digest: Digest,
    },
    /// A document of the layout is missing.
    #[error("{} is missing", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// `oci-layout` is not what the specification says.
    #[error("{} cannot be read", path.display())]
    Malformed {
        /// The document.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// `index.json`, or a manifest, is not what the specification says.
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
        /// The version it gives, as it stands there.
        found: String,
    },
    /// The directory or its blobs.
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
    /// The caller asked for what cannot be written.
    Caller,
    /// The layout is damaged, or made to look so.
    Malformed,
    /// The path is not that of a layout, and cannot become one.
    NotALayout,
    /// The name does not lead to one image.
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
