//! Why a fill ended early.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::upstream::{UpstreamError, UpstreamErrorKind};

/// Why a fill ended before its blob was complete and verified.
///
/// All readers of the fill get the same error, so it is cheap to clone.
#[derive(Clone, Debug)]
pub struct FillError {
    kind: FillErrorKind,
    source: Option<Source>,
}

#[derive(Clone, Debug)]
enum Source {
    Upstream(UpstreamError),
    Other(Arc<dyn Error + Send + Sync>),
}

/// The classes of [`FillError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FillErrorKind {
    /// The upstream does not have the blob, refused, failed, or could not be reached.
    Upstream(UpstreamErrorKind),
    /// The bytes differ from the digest or the size. Nothing was stored (DG3).
    Mismatch,
    /// No verifier exists for the algorithm of the digest (DG1).
    Unsupported,
    /// The transfer took longer than [`FILL_DEADLINE`](super::FILL_DEADLINE). The partial blob is
    /// kept.
    Deadline,
    /// The fill had no readers any more. The partial blob is kept.
    Abandoned,
    /// The cache is shutting down. The partial blob is kept.
    Stopped,
    /// Bytes that were stored cannot be read again.
    Store,
}

impl FillError {
    /// Returns the class of the error.
    #[must_use]
    pub const fn kind(&self) -> FillErrorKind {
        self.kind
    }

    /// Returns the error of the upstream, if that ended the fill.
    #[must_use]
    pub const fn upstream(&self) -> Option<&UpstreamError> {
        match &self.source {
            Some(Source::Upstream(error)) => Some(error),
            _ => None,
        }
    }

    pub(crate) fn new(kind: FillErrorKind, source: impl Error + Send + Sync + 'static) -> Self {
        let source = Some(Source::Other(Arc::new(source)));
        Self { kind, source }
    }
}

impl From<FillErrorKind> for FillError {
    fn from(kind: FillErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<UpstreamError> for FillError {
    fn from(error: UpstreamError) -> Self {
        Self {
            kind: FillErrorKind::Upstream(error.kind()),
            source: Some(Source::Upstream(error)),
        }
    }
}

impl fmt::Display for FillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            FillErrorKind::Upstream(_) => "cannot fetch the blob from the upstream",
            FillErrorKind::Mismatch => "the bytes from the upstream differ from the digest or size",
            FillErrorKind::Unsupported => "the algorithm of the digest is not supported",
            FillErrorKind::Deadline => "the transfer from the upstream took longer than 6 hours",
            FillErrorKind::Abandoned => "the transfer was stopped because no client read it",
            FillErrorKind::Stopped => "the cache is shutting down",
            FillErrorKind::Store => "cannot read the stored part of the blob",
        })
    }
}

impl Error for FillError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.source {
            Some(Source::Upstream(error)) => Some(error),
            Some(Source::Other(error)) => Some(&**error),
            None => None,
        }
    }
}
