//! How a copy, a layout or a store fails.

use std::error::Error;
use std::io;

use longshore_copy::{Concern, EndNameError, JournalError, TransferError};
use longshore_layout::{LayoutError, LayoutErrorKind};
use longshore_store::{StoreError, StoreErrorKind};

use super::{Exit, Failure};

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Layout(error) => error.into(),
            TransferError::NoSuchPlatform(error) => error.into(),
            TransferError::Registry(error) => error.into(),
            TransferError::Store(error) => error.into(),
            TransferError::Cancelled => Self::of(Exit::Interrupted, &error),
            TransferError::Graph(_) => Self::of(Exit::Protocol, &error),
            TransferError::Referrers(_) => Self::of(Exit::Protocol, &error).hint(
                "`longshore referrers --artifact-type` lists those of one type; copy without \
                 --referrers",
            ),
            TransferError::OtherPlatform { .. } => {
                Self::of(Exit::Platform, &error).hint("choose one of these with --platform")
            }
            TransferError::OtherDigest { .. } => Self::of(Exit::Digest, &error)
                .hint("nothing was sent; give the digest of the image, or a tag"),
            TransferError::SizeConflict { .. }
            | TransferError::ManifestSize { .. }
            | TransferError::ManifestType { .. } => Self::of(Exit::Digest, &error),
            TransferError::NotAnIndex => Self::of(Exit::Usage, &error)
                .hint("leave out --sparse and --new-index; --platform checks the image"),
            TransferError::NestedIndexes { .. } => Self::of(Exit::Platform, &error).hint(
                "indexes in an index are copied whole: leave out --platform, or copy one of them \
                 by its digest",
            ),
            TransferError::SameDestination { .. } => {
                Self::of(Exit::Usage, &error).hint("name each destination once")
            }
            TransferError::Manifest { .. } => Self::of(Exit::Protocol, &error),
            TransferError::Damaged { .. } => Self::of(Exit::Digest, &error).hint(DAMAGED),
            TransferError::Source(ref source) if source.kind() == io::ErrorKind::InvalidData => {
                Self::of(Exit::Digest, &error).hint(DAMAGED)
            }
            TransferError::Source(_) => Self::of(Exit::Disk, &error).hint(READABLE),
            TransferError::NotServed { .. }
            | TransferError::NotStored { .. }
            | TransferError::StoredSize { .. } => Self::of(Exit::Digest, &error).hint(LOST),
            TransferError::NoManifest { .. } => Self::of(Exit::NotFound, &error).hint(INCOMPLETE),
            TransferError::WhichImage { .. } => {
                Self::of(Exit::Usage, &error).hint("name one, as oci:DIR:TAG")
            }
            TransferError::SeveralPlatforms { .. } => Self::of(Exit::Usage, &error).hint(
                "for an index, give --sparse to keep it and its digest, or --new-index to make a \
                 smaller one with another digest; an image that is no index is copied without them",
            ),
            TransferError::Stalled { .. } | TransferError::Unanswered { .. } => {
                Self::of(Exit::Unavailable, &error)
                    .hint("the other destinations were finished; repeat the copy to this one")
            }
            TransferError::ConfigTooLarge { .. } => Self::of(Exit::Protocol, &error),
            _ => Self::of(Exit::Other, &error),
        }
    }
}

impl From<LayoutError> for Failure {
    fn from(error: LayoutError) -> Self {
        match error.kind() {
            LayoutErrorKind::NotALayout => Self::of(Exit::Destination, &error)
                .hint("name an image layout, an empty directory, or one that does not exist yet"),
            LayoutErrorKind::Name => Self::of(Exit::NotFound, &error)
                .hint("check the name; index.json in the directory lists the names of its images"),
            LayoutErrorKind::Malformed => Self::of(Exit::Destination, &error)
                .hint("the image layout is damaged; pull into another directory"),
            LayoutErrorKind::Store(kind) => Self::stored(kind, &error),
            _ if matches!(error, LayoutError::Overfull { .. }) => Self::of(Exit::Other, &error)
                .hint("choose a directory of its own, or copy without --referrers"),
            _ => Self::of(Exit::Other, &error),
        }
    }
}

/// Advice about a source whose content does not match its digest.
const DAMAGED: &str = "the content was not made visible; if the source is an image layout, \
                       `longshore verify` names what is damaged, and pulling the image again \
                       replaces it";

/// Advice about a layout that lacks some of the manifests that its indexes list.
const INCOMPLETE: &str = "a layout may lack some images of an index: pull with --all-platforms, or \
                          choose images with --platform";

/// Advice about a registry that lacks content that it acknowledged.
const LOST: &str = "the registry lost content that it had accepted: run the command again with \
                    --verify-after, and tell the operator of the registry";

/// Advice about files that may not be read.
pub(crate) const READABLE: &str = "run it as a user who may read the directory and the files in it";

impl Failure {
    /// Makes the failure of a layout that is only read.
    pub(crate) fn source_layout(error: LayoutError) -> Self {
        let kind = error.kind();
        let failure = Self::from(error);
        match kind {
            LayoutErrorKind::NotALayout => {
                failure.hint("name the directory of an image layout, as `pull` makes it")
            }
            LayoutErrorKind::Store(StoreErrorKind::Denied) => failure.hint(READABLE),
            _ => failure,
        }
    }

    /// Makes the failure of an argument that is not an end of a copy. `what` names the expected
    /// kind of end.
    pub(crate) fn end(text: &str, what: &str, error: &EndNameError) -> Self {
        let exit = match error {
            EndNameError::Reference(_) => Exit::Reference,
            _ => Exit::Usage,
        };
        let hint = error.hint();
        let hint = hint.as_deref();
        Self::caused(exit, format!("\"{text}\" is not {what}"), error)
            .hint(hint.unwrap_or("give [docker://]REF for a registry, or oci:DIR[:TAG]"))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::stored(error.kind(), &error)
    }
}

impl Failure {
    fn stored(kind: StoreErrorKind, error: &dyn Error) -> Self {
        match kind {
            StoreErrorKind::Full => Self::of(Exit::Disk, error)
                .hint("make room and run it again; what was complete is kept"),
            StoreErrorKind::ReadOnly => {
                Self::of(Exit::Disk, error).hint("choose a destination that can be written")
            }
            StoreErrorKind::Denied => {
                Self::of(Exit::Disk, error).hint("choose a destination that you may write to")
            }
            StoreErrorKind::Content => Self::of(Exit::Digest, error).hint(
                "the registry, or a proxy in between, changes the content, which was not saved",
            ),
            StoreErrorKind::Hostile => Self::of(Exit::Destination, error)
                .hint("the image layout is damaged; pull into another directory"),
            StoreErrorKind::Unsupported => Self::of(Exit::Unsupported, error),
            _ => Self::of(Exit::Disk, error),
        }
    }
}

impl Failure {
    /// Makes the failure of a source that lacks a blob.
    pub(crate) fn absent(error: &TransferError) -> Self {
        Self::of(Exit::NotFound, error).hint(INCOMPLETE)
    }

    /// Adds the properties of a manifest that some registries are known to refuse.
    pub(crate) fn foreseen(mut self, concerns: &[Concern]) -> Self {
        let concerns = concerns.iter();
        self.chain
            .extend(concerns.map(|concern| format!("foreseen: {concern}")));
        self
    }

    /// Makes the failure of the journal of uploads. It affects only later runs.
    pub(crate) fn journal(error: &JournalError) -> Self {
        let what = "an upload that is interrupted now starts again in the next run";
        Self::caused(Exit::Disk, what.to_owned(), error)
    }
}
