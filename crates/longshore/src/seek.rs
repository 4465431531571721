//! Random access to a blob.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use longshore_model::{Digest, RepositoryName};
use longshore_proto::endpoint::{BlobRequest, Endpoint, Read};
use longshore_proto::range::ByteRange;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};

use crate::blob::{BlobFrames, BlobReader};
use crate::error::{Cause, Error};
use crate::operation::Operation;
use crate::repository::Repository;
use crate::site::Site;

/// Size of the blocks in which a seekable blob is read, in bytes.
pub const SEEK_BLOCK_BYTES: u64 = 128 * 1024;

/// Number of blocks in the cache, the most recently used ones: 1 MiB in all.
pub const SEEK_BLOCKS_KEPT: usize = 8;

/// A blob that is read in blocks at any position, by `Range` (distribution-spec v1.1.1 "Pulling
/// blobs").
///
/// It is for reading a part of a large blob without fetching all of it: the directory at the end of
/// an archive, or one file of a layer. **Blocks cannot be verified**: a digest covers the whole
/// blob. A cache of 1 MiB holds the blocks that were used last.
pub struct BlobSeeker {
    site: Arc<Site>,
    name: RepositoryName,
    digest: Digest,
    size: u64,
    position: u64,
    /// Blocks by their number, the most recently used first.
    kept: VecDeque<(u64, Bytes)>,
    asking: Option<(u64, Asking)>,
}

type Asking = Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send>>;

impl BlobReader {
    /// Switches from reading in order to random access.
    ///
    /// When the size of the blob is not known from a descriptor, the registry is asked for it.
    ///
    /// # Errors
    ///
    /// The registry does not say the size, refuses, or cannot be reached.
    pub async fn seek(self) -> Result<BlobSeeker, Error> {
        let repository = self.repository();
        let digest = self.digest().clone();
        let known = self.size();
        // Frees the slot of this reader, because the next request may be waiting for it.
        drop(self);
        let size = match known {
            Some(size) => Some(size),
            None => repository
                .blob_head(&digest)
                .await?
                .and_then(|head| head.size),
        };
        let site = Arc::clone(repository.site());
        let Some(size) = size else {
            let request = BlobRequest::new(Read::Head, repository.name().clone(), digest);
            let operation = Operation::Request(Endpoint::Blob(request));
            return Err(site.error(operation, Cause::NoRanges));
        };
        let name = repository.name().clone();
        let (position, kept, asking) = (0, VecDeque::new(), None);
        Ok(BlobSeeker {
            site,
            name,
            digest,
            size,
            position,
            kept,
            asking,
        })
    }
}

impl BlobSeeker {
    /// The size of the blob, in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Reads exactly these bytes, bypassing the cache; fewer if the blob ends earlier.
    ///
    /// # Errors
    ///
    /// The registry sends no part of a blob, refuses, or cannot be reached.
    pub fn read_at(
        &self,
        position: u64,
        length: u64,
    ) -> impl Future<Output = Result<Bytes, Error>> + Send + use<> {
        let part = self.part(position, length);
        async move {
            match part {
                Some(part) => collect(part).await,
                None => Ok(Bytes::new()),
            }
        }
    }

    /// The part of this length from this position on, cut at the end of the blob.
    fn part(&self, position: u64, length: u64) -> Option<BlobFrames> {
        let last = position.checked_add(length)?.checked_sub(1)?;
        let range = ByteRange::Span(position, last.max(position)).within(self.size)?;
        let repository = Repository::new(Arc::clone(&self.site), self.name.clone());
        repository.blob_part_frames(&self.digest, self.size, range)
    }

    /// The block of this number, from the cache or the registry.
    fn poll_block(&mut self, number: u64, cx: &mut Context<'_>) -> Poll<Result<Bytes, Error>> {
        if let Some(at) = self.kept.iter().position(|(kept, _)| *kept == number)
            && let Some((_, bytes)) = self.kept.remove(at)
        {
            self.kept.push_front((number, bytes.clone()));
            return Poll::Ready(Ok(bytes));
        }
        if self
            .asking
            .as_ref()
            .is_none_or(|(asked, _)| *asked != number)
        {
            let position = number.saturating_mul(SEEK_BLOCK_BYTES);
            let Some(part) = self.part(position, SEEK_BLOCK_BYTES) else {
                return Poll::Ready(Ok(Bytes::new()));
            };
            self.asking = Some((number, Box::pin(collect(part))));
        }
        let Some((_, asking)) = &mut self.asking else {
            return Poll::Ready(Ok(Bytes::new()));
        };
        let block = ready!(asking.as_mut().poll(cx));
        self.asking = None;
        if let Ok(bytes) = &block {
            self.kept.push_front((number, bytes.clone()));
            self.kept.truncate(SEEK_BLOCKS_KEPT);
        }
        Poll::Ready(block)
    }
}

/// Reads all frames of a part.
async fn collect(mut frames: BlobFrames) -> Result<Bytes, Error> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = frames.next().await {
        bytes.extend_from_slice(&frame?);
    }
    Ok(bytes.freeze())
}

impl AsyncRead for BlobSeeker {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.position >= self.size || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let (number, offset) = (
            self.position / SEEK_BLOCK_BYTES,
            self.position % SEEK_BLOCK_BYTES,
        );
        let block = ready!(self.poll_block(number, cx)).map_err(io::Error::other)?;
        // A block is far smaller than any address space.
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(block.len());
        let rest = block.get(from..).unwrap_or_default();
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(rest.get(..count).unwrap_or_default());
        self.position += count as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for BlobSeeker {
    fn start_seek(mut self: Pin<&mut Self>, to: io::SeekFrom) -> io::Result<()> {
        let position = match to {
            io::SeekFrom::Start(position) => Some(position),
            io::SeekFrom::End(distance) => self.size.checked_add_signed(distance),
            io::SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        let before = "a position before the beginning of the blob";
        self.position =
            position.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, before))?;
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.position))
    }
}

impl fmt::Debug for BlobSeeker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobSeeker")
            .field("digest", &self.digest)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
