//! The source of the bytes of a fill.

use bytes::Bytes;
use longshore_model::{Digest, RepositoryName};

use super::FillError;
use crate::upstream::{Upstream, UpstreamFrames};

/// A repository from which a blob can be transferred.
pub(crate) trait BlobSource: Send + Sync + 'static {
    type Frames: Frames;

    /// The repository, at the upstream.
    fn repository(&self) -> &RepositoryName;

    /// Requests the bytes of a blob from this position to its end.
    fn open(&self, digest: &Digest, size: Option<u64>, position: u64) -> Self::Frames;
}

/// The bytes of a blob as they arrive, not verified. An interrupted transfer is resumed inside, if
/// possible, so an error is final.
pub(crate) trait Frames: Send + 'static {
    /// Waits until the upstream has answered. Cancel-safe.
    fn head(&mut self) -> impl Future<Output = Result<(), FillError>> + Send;

    /// The next bytes; `None` at the end. Cancel-safe.
    fn next(&mut self) -> impl Future<Output = Option<Result<Bytes, FillError>>> + Send;

    /// The size of the whole blob in bytes: from the request, or from the answer of the upstream.
    fn size(&self) -> Option<u64>;
}

/// A repository of an upstream.
#[derive(Clone, Debug)]
pub(crate) struct FillSource {
    upstream: Upstream,
    repository: RepositoryName,
}

impl FillSource {
    pub(crate) const fn new(upstream: Upstream, repository: RepositoryName) -> Self {
        Self {
            upstream,
            repository,
        }
    }
}

impl BlobSource for FillSource {
    type Frames = UpstreamFrames;

    fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    fn open(&self, digest: &Digest, size: Option<u64>, position: u64) -> UpstreamFrames {
        self.upstream.blob(&self.repository, digest, size, position)
    }
}

impl Frames for UpstreamFrames {
    async fn head(&mut self) -> Result<(), FillError> {
        Ok(Self::head(self).await?)
    }

    async fn next(&mut self) -> Option<Result<Bytes, FillError>> {
        let next = Self::next(self).await?;
        Some(next.map_err(FillError::from))
    }

    fn size(&self) -> Option<u64> {
        Self::size(self)
    }
}
