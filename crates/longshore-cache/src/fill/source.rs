//! Where the bytes of a fill come from.

use bytes::Bytes;
use longshore_model::{Digest, RepositoryName};

use super::FillError;

/// A repository from which a blob can be transferred.
pub(crate) trait BlobSource: Send + Sync + 'static {
    type Frames: Frames;

    /// The repository, at the upstream.
    fn repository(&self) -> &RepositoryName;

    /// Requests the bytes of a blob from this position to its end.
    fn open(&self, digest: &Digest, size: Option<u64>, position: u64) -> Self::Frames;
}

/// The bytes of a blob as they arrive, not verified. A transfer that broke off was resumed where
/// that was possible: an error is final.
pub(crate) trait Frames: Send + 'static {
    /// The next bytes; `None` at the end. Cancel-safe.
    fn next(&mut self) -> impl Future<Output = Option<Result<Bytes, FillError>>> + Send;

    /// The size of the whole blob in bytes: as it was requested, or as the upstream said when it
    /// answered.
    fn size(&self) -> Option<u64>;
}
