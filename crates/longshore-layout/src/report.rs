//! What a verification finds.

use longshore_model::{
    Digest, INDEX_DEPTH_LIMIT, ManifestError, UnsupportedAlgorithm, VerifyError,
};
use longshore_store::StoreError;

/// The most findings a [`Report`] holds; further ones are counted only.
pub const FINDINGS_LIMIT: usize = 10_000;

/// What [`Layout::verify`](crate::Layout::verify) found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// How many manifests and indexes are what their descriptors say, and could be read.
    pub manifests: u64,
    /// How many blobs are what their descriptors say, manifests among them.
    pub blobs: u64,
    /// How many bytes these blobs have.
    pub bytes: u64,
    /// What is wrong or worth knowing; at most [`FINDINGS_LIMIT`].
    pub findings: Vec<Finding>,
    /// How many more findings there are, of either sort.
    pub more: u64,
    damaged: bool,
}

impl Report {
    /// Returns whether every image in the layout is whole and right.
    ///
    /// Findings that are no damage may be there all the same.
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
    /// The blob in question; `None` where it is the layout as a whole.
    pub digest: Option<Digest>,
    /// The manifest or index that refers to it first; `None` where that is `index.json`, or
    /// nothing.
    pub referrer: Option<Digest>,
    /// What is found.
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

/// What may be found of a blob.
///
/// Text that stands in the layout is in the fields, never in the message (OU1).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Its size or digest is another than its descriptor says.
    #[error("not what its descriptor says")]
    Corrupt(#[source] VerifyError),
    /// It is not there, but its descriptor says where else it may be. No damage.
    #[error("not in the layout, but elsewhere")]
    Elsewhere,
    /// There are more blobs than a verification follows; the others were not looked at.
    #[error("more than {limit} blobs are referred to")]
    Endless {
        /// How many were looked at.
        limit: usize,
    },
    /// It is what its descriptor says, but no manifest; what it refers to is not known.
    #[error("not a manifest")]
    Malformed(#[source] ManifestError),
    /// It is not there.
    #[error("missing")]
    Missing,
    /// It is an index in an index, and so on, deeper than [`INDEX_DEPTH_LIMIT`].
    #[error("nested in more than {INDEX_DEPTH_LIMIT} indexes")]
    TooDeep,
    /// It is a manifest longer than
    /// [`MANIFEST_LIMIT_BYTES`](longshore_model::MANIFEST_LIMIT_BYTES).
    #[error("a manifest of more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// It cannot be read, or something else stands in its place, a link for example (DG9).
    #[error("unreadable")]
    Unreadable(#[source] StoreError),
    /// Nothing refers to it. No damage: a pull that is running, or was interrupted, writes blobs
    /// before what refers to them.
    #[error("not referred to")]
    Unreferenced {
        /// How many bytes it has.
        size: u64,
    },
    /// Its digest cannot be computed, so nobody can say what it is (DG1).
    #[error("not verifiable")]
    Unsupported(#[source] UnsupportedAlgorithm),
}

impl Problem {
    /// Returns whether an image is not whole or not right because of this.
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

/// How far a verification has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Blobs done with.
    pub blobs: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Blobs to verify, as far as is known: more come to light while manifests are read, which
    /// is done first.
    pub known_blobs: u64,
    /// Bytes to read, as far as is known. These are in the files, not only in a descriptor.
    pub known_bytes: u64,
}
