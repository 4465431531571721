//! What a verification finds.

use longshore_model::{
    Digest, INDEX_DEPTH_LIMIT, ManifestError, UnsupportedAlgorithm, VerifyError,
};
use longshore_store::StoreError;

/// Maximum number of findings that a [`Report`] holds; further ones are only counted.
pub const FINDINGS_LIMIT: usize = 10_000;

/// What [`Layout::verify`](crate::Layout::verify) found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// How many manifests and indexes match their descriptors and could be read.
    pub manifests: u64,
    /// How many blobs match their descriptors, manifests included.
    pub blobs: u64,
    /// How many bytes these blobs have.
    pub bytes: u64,
    /// What is wrong or notable; at most [`FINDINGS_LIMIT`].
    pub findings: Vec<Finding>,
    /// How many more findings there are.
    pub more: u64,
    damaged: bool,
}

impl Report {
    /// Returns whether every image in the layout is complete and undamaged.
    ///
    /// There may still be findings that are not damage.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        !self.damaged
    }

    pub(crate) fn good(&mut self, size: u64) {
        self.blobs += 1;
        self.bytes = self.bytes.saturating_add(size);
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        self.damaged |= finding.problem.is_damage();
        if self.findings.len() < FINDINGS_LIMIT {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }
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
    /// It is absent.
    #[error("missing")]
    Missing,
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
    /// Returns whether an image is incomplete or damaged because of this.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Elsewhere | Self::Unreferenced { .. })
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Absent { .. } => Self::Missing,
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
    /// Number of blobs to verify, as far as is known. It grows while manifests are read, which is
    /// done first.
    pub known_blobs: u64,
    /// Number of bytes to read, as far as is known, by the sizes of the files.
    pub known_bytes: u64,
}
