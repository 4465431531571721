//! What a verification finds.

use longshore_model::{
    Digest, INDEX_DEPTH_LIMIT, ManifestError, UnsupportedAlgorithm, VerifyError,
};
use longshore_store::StoreError;

/// The result of [`Layout::verify`](crate::Layout::verify), as counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// How many manifests and indexes match their descriptors and could be read.
    pub manifests: u64,
    /// How many blobs match their descriptors, manifests included.
    pub blobs: u64,
    /// How many bytes these blobs have.
    pub bytes: u64,
    /// How many findings are [`Problem::Absent`].
    pub absent: u64,
    /// How many findings are damage.
    pub damaged: u64,
    /// How many of the damaged could not be read ([`Problem::Unreadable`]).
    pub unreadable: u64,
}

impl Report {
    /// Returns whether nothing in the layout is damaged. Blobs may be absent: a layout may hold
    /// some of the images that its indexes list (image-spec v1.1.1 "OCI Image Layout").
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damaged == 0
    }

    /// Returns whether nothing is damaged and no blob is absent, except blobs that may be
    /// elsewhere.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_sound() && self.absent == 0
    }
}

/// An event during a verification.
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifyEvent {
    /// Something is wrong or notable.
    Finding(Finding),
    /// More was read.
    Progress(Progress),
}

/// One thing a verification found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The blob; `None` if the finding is about the layout as a whole.
    pub digest: Option<Digest>,
    /// The manifest or index that refers to it first; `None` if that is `index.json`, or nothing.
    pub referrer: Option<Digest>,
    /// What was found.
    pub problem: Problem,
}

impl Finding {
    pub(crate) fn new(digest: Option<Digest>, referrer: Option<Digest>, problem: Problem) -> Self {
        Self {
            digest,
            referrer,
            problem,
        }
    }
}

/// What a verification may find about a blob.
///
/// Text from the layout is in the fields, never in the message (OU1: text of a peer is escaped).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Its size or digest differs from its descriptor.
    #[error("not what its descriptor says")]
    Corrupt(#[source] VerifyError),
    /// It is not in the layout. Not damage: a layout need not hold all that its documents list.
    #[error("absent")]
    Absent,
    /// It is absent, but its descriptor says where else it may be. Not damage.
    #[error("not in the layout, but elsewhere")]
    Elsewhere,
    /// The layout refers to more blobs than a verification follows; the others were not read.
    #[error("more than {limit} blobs are referred to")]
    Endless {
        /// Maximum number of blobs that are followed.
        limit: usize,
    },
    /// It matches its descriptor but is not a manifest; what it refers to is unknown.
    #[error("not a manifest")]
    Malformed(#[source] ManifestError),
    /// It is nested in more than [`INDEX_DEPTH_LIMIT`] indexes.
    #[error("nested in more than {INDEX_DEPTH_LIMIT} indexes")]
    TooDeep,
    /// It is a manifest longer than
    /// [`MANIFEST_LIMIT_BYTES`](longshore_model::MANIFEST_LIMIT_BYTES).
    #[error("a manifest of more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// It cannot be read, or is not a regular file but a link, for example (DG9: links in a layout
    /// are not followed).
    #[error("unreadable")]
    Unreadable(#[source] StoreError),
    /// Nothing refers to it. Not damage: a pull that is running or was interrupted writes blobs
    /// before the manifests that refer to them.
    #[error("not referred to")]
    Unreferenced {
        /// How many bytes it has.
        size: u64,
    },
    /// No verifier exists for the algorithm of its digest (DG1: such content is not trusted).
    #[error("not verifiable")]
    Unsupported(#[source] UnsupportedAlgorithm),
}

impl Problem {
    /// Returns whether an image is damaged because of this.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        !matches!(
            self,
            Self::Absent | Self::Elsewhere | Self::Unreferenced { .. }
        )
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Absent { .. } => Self::Absent,
            StoreError::Content { source, .. } => Self::Corrupt(source),
            StoreError::TooLarge { limit, .. } => Self::TooLarge { limit },
            StoreError::Unsupported { source, .. } => Self::Unsupported(source),
            other => Self::Unreadable(other),
        }
    }
}

/// The progress of a verification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Number of blobs that were verified.
    pub blobs: u64,
    /// Number of bytes that were read.
    pub bytes: u64,
    /// Number of blobs to verify, as far as is known. It grows while manifests are read.
    pub known_blobs: u64,
    /// Number of bytes to read, as far as is known, by the sizes of the files.
    pub known_bytes: u64,
}
