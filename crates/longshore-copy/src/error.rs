//! What can go wrong with a pull.

use longshore_layout::{LayoutError, LayoutErrorKind};
use longshore_model::{Digest, NoSuchPlatform, Platform, WalkError};
use longshore_store::{StoreError, StoreErrorKind};

/// Why content could not be moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The caller cancelled it.
    #[error("cancelled")]
    Cancelled,
    /// No image of an index runs on the platform.
    #[error(transparent)]
    NoSuchPlatform(#[from] NoSuchPlatform),
    /// The config of an image that is in no index names another platform.
    #[error("no image for {wanted}, there is {}", brief(.found))]
    OtherPlatform {
        /// The platform asked for.
        wanted: Box<Platform>,
        /// The platform of the image.
        found: Box<Platform>,
    },
    /// The registry refused, could not be reached, or sent something wrong.
    #[error(transparent)]
    Registry(#[from] longshore::Error),
    /// The image nests or repeats beyond the limits (LI: limits of size and count).
    #[error("the image cannot be followed")]
    Graph(#[source] WalkError),
    /// There are more referrers than the limits allow (LI2: memory is not sized by what a peer
    /// sends).
    #[error("the referrers cannot all be read")]
    Referrers(#[source] WalkError),
    /// Two descriptors give different sizes for one digest, so one of them is wrong (DG3: digest
    /// and length must both match).
    #[error("{digest} is described with {first} bytes and with {second} bytes")]
    SizeConflict {
        /// The digest.
        digest: Digest,
        /// The size in bytes by the descriptor that came first.
        first: u64,
        /// The size in bytes by another descriptor.
        second: u64,
    },
    /// A manifest has another size than the index says (DG3).
    #[error("manifest {digest} has {actual} bytes, but its index says {expected}")]
    ManifestSize {
        /// The manifest.
        digest: Digest,
        /// The size by the index, in bytes.
        expected: u64,
        /// The actual size in bytes.
        actual: u64,
    },
    /// An index lists an image manifest as an index, or the reverse (DG5: types must agree).
    #[error("{digest} is not of the type that its index says")]
    ManifestType {
        /// The manifest.
        digest: Digest,
    },
    /// The store of the destination, or content that does not match its digest.
    #[error(transparent)]
    Store(StoreError),
    /// The layout of the destination.
    #[error(transparent)]
    Layout(LayoutError),
    /// A worker ended without a result: it panicked, or the runtime was shut down.
    #[error("a worker ended before its work was done")]
    Worker,
}

impl TransferError {
    /// Sorts the error by who must act on it.
    #[must_use]
    pub fn kind(&self) -> TransferErrorKind {
        match self {
            Self::Cancelled => TransferErrorKind::Cancelled,
            Self::NoSuchPlatform(_) | Self::OtherPlatform { .. } => TransferErrorKind::Platform,
            Self::Registry(error) => TransferErrorKind::Registry(error.kind()),
            Self::Graph(_) | Self::Referrers(_) => TransferErrorKind::Limit,
            Self::SizeConflict { .. } | Self::ManifestSize { .. } | Self::ManifestType { .. } => {
                TransferErrorKind::Content
            }
            Self::Store(error) => TransferErrorKind::Store(error.kind()),
            Self::Layout(error) => TransferErrorKind::Layout(error.kind()),
            Self::Worker => TransferErrorKind::Worker,
        }
    }
}

impl From<StoreError> for TransferError {
    /// An interrupted call of a store is a cancelled transfer.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Interrupted => Self::Cancelled,
            error => Self::Store(error),
        }
    }
}

impl From<LayoutError> for TransferError {
    /// An interrupted call of a layout is a cancelled transfer.
    fn from(error: LayoutError) -> Self {
        match error {
            LayoutError::Store(StoreError::Interrupted) => Self::Cancelled,
            error => Self::Layout(error),
        }
    }
}

/// Formats a platform that a peer named, cut to a readable length (OU1: text of a peer is escaped
/// and short).
fn brief(platform: &Platform) -> String {
    format!("{:.PLATFORM_LIMIT_CHARACTERS$}", platform.to_string())
}

const PLATFORM_LIMIT_CHARACTERS: usize = 64;

/// The classes of [`TransferError`], for exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransferErrorKind {
    /// The caller cancelled it.
    Cancelled,
    /// The content contradicts its own descriptors.
    Content,
    /// The layout of the destination.
    Layout(LayoutErrorKind),
    /// The registry describes more content than the limits allow.
    Limit,
    /// There is no image for the platform.
    Platform,
    /// The registry.
    Registry(longshore::ErrorKind),
    /// The store of the destination; [`StoreErrorKind::Content`] is content that does not match
    /// its digest.
    Store(StoreErrorKind),
    /// A defect of this program, or a runtime that was shut down.
    Worker,
}
