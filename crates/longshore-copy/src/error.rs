//! What can go wrong with a copy.

use std::io;
use std::path::PathBuf;

use longshore_layout::{LayoutError, LayoutErrorKind};
use longshore_model::{Digest, ManifestError, NoSuchPlatform, Platform, WalkError};
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
    /// The content of a source cannot be read.
    #[error("the content to copy cannot be read")]
    Source(#[source] io::Error),
    /// The content of a source does not match its digest and size.
    #[error("the content of {digest} in {end} does not match its digest or size")]
    Damaged {
        /// The name of the end.
        end: String,
        /// The digest that the content should have.
        digest: Digest,
    },
    /// A config is larger than its limit (LI1).
    #[error("the config has more than {limit} bytes")]
    ConfigTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// A source on this machine does not have a manifest, or has another file in its place.
    #[error("manifest {digest} is absent, or is not a manifest")]
    NoManifest {
        /// The manifest.
        digest: Digest,
    },
    /// A destination is named by the digest of another image.
    #[error("{end} is for {expected}, and the image has the digest {actual}")]
    OtherDigest {
        /// The name of the end.
        end: String,
        /// The digest in that name.
        expected: Digest,
        /// The digest of the image.
        actual: Digest,
    },
    /// It is not clear which image of a layout is meant.
    #[error("{} has {images} images, and none is named", .path.display())]
    WhichImage {
        /// The directory of the layout.
        path: PathBuf,
        /// How many different images its index lists.
        images: usize,
    },
    /// Several platforms were requested, without a choice of the index that lists them.
    #[error("several platforms cannot be copied: {reason}")]
    SeveralPlatforms {
        /// Why.
        reason: &'static str,
    },
    /// Platforms of an image that is not an index were asked for, to make an index.
    #[error("the image is not an index, so nothing can be chosen in it")]
    NotAnIndex,
    /// An index has no image for a platform, and lists indexes without saying for which platforms
    /// they are.
    #[error("no image for {wanted} in the index; the indexes that it lists are not searched")]
    NestedIndexes {
        /// The platform asked for.
        wanted: Box<Platform>,
    },
    /// Two destinations are one.
    #[error("{end} is given twice")]
    SameDestination {
        /// The name of the end.
        end: String,
    },
    /// A document of a source on this machine is not a manifest that can be followed.
    #[error("manifest {digest} in {end} cannot be read")]
    Manifest {
        /// The name of the end.
        end: String,
        /// The digest.
        digest: Digest,
        /// Why not: it may exceed a limit.
        source: ManifestError,
    },
    /// A document that was made here cannot be written.
    #[error("the new index cannot be written")]
    Unwritable(#[source] ManifestError),
    /// A registry has stored another number of bytes than it was sent.
    #[error("{end} has stored {found} of the {expected} bytes of {digest}")]
    StoredSize {
        /// The name of the end.
        end: String,
        /// The blob.
        digest: Digest,
        /// The size of the blob in bytes.
        expected: u64,
        /// The number of bytes that the registry reports.
        found: u64,
    },
    /// A registry does not have a blob that it accepted.
    #[error("{end} accepted {digest}, but does not have it")]
    NotStored {
        /// The name of the end.
        end: String,
        /// The blob.
        digest: Digest,
    },
    /// A registry lists a blob and does not serve it with its size.
    #[error("{end} lists {digest}, and does not serve it")]
    NotServed {
        /// The name of the end.
        end: String,
        /// The blob.
        digest: Digest,
        /// What the registry answered.
        #[source]
        source: longshore::Error,
    },
    /// A destination took no content for 30 seconds while others waited for it (RT10).
    #[error("{end} took no content for 30 seconds")]
    Stalled {
        /// The name of the end.
        end: String,
    },
    /// A destination answered nothing for 30 seconds while the plan was made for several (RT10).
    #[error("{end} answered nothing for 30 seconds")]
    Unanswered {
        /// The name of the end.
        end: String,
    },
    /// Every destination failed.
    #[error("no destination is left")]
    NoDestination,
    /// An end was used in a way that it does not support: it has no image or no store.
    #[error("this end has no image")]
    Closed,
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
            Self::NoSuchPlatform(_) | Self::OtherPlatform { .. } | Self::NestedIndexes { .. } => {
                TransferErrorKind::Platform
            }
            Self::Registry(error) => TransferErrorKind::Registry(error.kind()),
            Self::Graph(_) | Self::Referrers(_) => TransferErrorKind::Limit,
            Self::Damaged { .. }
            | Self::Manifest { .. }
            | Self::ManifestSize { .. }
            | Self::ManifestType { .. }
            | Self::NoManifest { .. }
            | Self::NotStored { .. }
            | Self::NotServed { .. }
            | Self::SizeConflict { .. }
            | Self::StoredSize { .. } => TransferErrorKind::Content,
            Self::ConfigTooLarge { .. } => TransferErrorKind::Limit,
            Self::Closed
            | Self::NoDestination
            | Self::NotAnIndex
            | Self::SameDestination { .. }
            | Self::OtherDigest { .. }
            | Self::SeveralPlatforms { .. }
            | Self::WhichImage { .. } => TransferErrorKind::Choice,
            Self::Source(_) => TransferErrorKind::Source,
            Self::Stalled { .. } | Self::Unanswered { .. } => {
                TransferErrorKind::Registry(longshore::ErrorKind::Unavailable)
            }
            Self::Unwritable(_) => TransferErrorKind::Limit,
            Self::Store(error) => TransferErrorKind::Store(error.kind()),
            Self::Layout(error) => TransferErrorKind::Layout(error.kind()),
            Self::Worker => TransferErrorKind::Worker,
        }
    }
}

impl TransferError {
    /// The error of a source that could not read its content. An error of a registry stays an error
    /// of the registry.
    pub(crate) fn of_content(error: io::Error) -> Self {
        match error.downcast::<longshore::Error>() {
            Ok(error) => Self::Registry(error),
            Err(error) => Self::Source(error),
        }
    }

    /// The error of a push. If the content could not be read, that is the error of the source.
    pub(crate) fn of_push(error: longshore::Error) -> Self {
        match error.into_body_error() {
            Ok(error) if error.kind() != io::ErrorKind::InvalidData => Self::of_content(error),
            Ok(error) => Self::Source(error),
            Err(error) => Self::Registry(error),
        }
    }

    /// Returns whether a registry does not have a blob that it says it has, so that sending the
    /// blob again may help.
    pub(crate) fn is_loss(&self) -> bool {
        use longshore::ErrorKind;
        match self {
            Self::NotStored { .. } | Self::StoredSize { .. } => true,
            Self::NotServed { source, .. } => !matches!(
                source.kind(),
                ErrorKind::Auth | ErrorKind::RateLimited | ErrorKind::RealmRefused
            ),
            _ => false,
        }
    }

    /// Returns whether content did not match its digest or size, so that reading it again may help.
    pub(crate) fn is_mismatch(&self) -> bool {
        match self {
            Self::Store(error) => error.kind() == StoreErrorKind::Content,
            Self::Source(error) => error.kind() == io::ErrorKind::InvalidData,
            _ => false,
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
    /// The request is ambiguous: it does not say exactly what to copy.
    Choice,
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
    /// The source cannot be read.
    Source,
    /// The store of the destination; [`StoreErrorKind::Content`] is content that does not match
    /// its digest.
    Store(StoreErrorKind),
    /// A defect of this program, or a runtime that was shut down.
    Worker,
}
