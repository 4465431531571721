//! A blob read where it is needed.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use longshore_model::{Digest, RepositoryName};
use longshore_proto::call::{Ask, Take};
use longshore_proto::download;
use longshore_proto::endpoint::{BlobAnswer, BlobRequest, Endpoint, Extent, Read};
use longshore_proto::range::ByteRange;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};

use crate::blob::BlobReader;
use crate::drive::Content;
use crate::error::{Cause, Error};
use crate::repository::Site;

/// A seekable blob is read in pieces of this size, in bytes.
pub const SEEK_BLOCK_BYTES: u64 = 128 * 1024;

/// So many pieces are kept, the most recently used: 1 MiB in all.
pub const SEEK_BLOCKS_KEPT: usize = 8;

/// A blob that is read in pieces, wherever they lie, by `Range` (distribution-spec v1.1.1
/// "Pulling blobs").
///
/// For looking into a large blob without moving it: the directory at the end of an archive, one
/// file of a layer. **Pieces cannot be verified**: a digest covers the whole. Pieces are kept in
/// a cache of 1 MiB.
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
    /// Gives up reading from the front, and reads where it is asked to.
    ///
    /// Where no descriptor told the size of the blob the registry is asked for it.
    ///
    /// # Errors
    ///
    /// The registry does not tell the size, refuses, or cannot be reached.
    pub async fn seek(self) -> Result<BlobSeeker, Error> {
        let repository = self.repository();
        let digest = self.digest().clone();
        let size = match self.size() {
            Some(size) => Some(size),
            None => repository
                .blob_head(&digest)
                .await?
                .and_then(|head| head.size),
        };
        let site = Arc::clone(repository.site());
        let Some(size) = size else {
            return Err(site.error(format_args!("blob {digest}"), Cause::NoRanges));
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

    /// Reads exactly these bytes, past the cache; fewer where the blob ends before.
    ///
    /// # Errors
    ///
    /// The registry sends no part of a blob, refuses, or cannot be reached.
    pub fn read_at(
        &self,
        position: u64,
        length: u64,
    ) -> impl Future<Output = Result<Bytes, Error>> + Send + use<> {
        let site = Arc::clone(&self.site);
        let request = self.request(position, length);
        async move {
            match request {
                Some((request, range)) => part(site, request, range).await,
                None => Ok(Bytes::new()),
            }
        }
    }

    /// The request for a part, and the first and last position it has.
    fn request(&self, position: u64, length: u64) -> Option<(BlobRequest, (u64, u64))> {
        let last = position.checked_add(length)?.checked_sub(1)?;
        let range = ByteRange::Span(position, last.max(position)).within(self.size)?;
        let request = BlobRequest::new(Read::Get, self.name.clone(), self.digest.clone());
        Some((request.with_range(ByteRange::Span(range.0, range.1)), range))
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
            let request = self.request(number.saturating_mul(SEEK_BLOCK_BYTES), SEEK_BLOCK_BYTES);
            let Some((request, range)) = request else {
                return Poll::Ready(Ok(Bytes::new()));
            };
            let asking = part(Arc::clone(&self.site), request, range);
            self.asking = Some((number, Box::pin(asking)));
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

/// Fetches one part, and nothing but that part.
async fn part(site: Arc<Site>, request: BlobRequest, range: (u64, u64)) -> Result<Bytes, Error> {
    let ask = Ask::new(Endpoint::Blob(request), Take::Stream);
    let what = ask.endpoint.to_string();
    let answer = site.drive(ask).await?;
    if !download::is_answer(answer.head.status) {
        return Err(site.refused(&what, &answer));
    }
    let head = BlobAnswer::read(&answer.head)
        .map_err(|violation| site.error(&what, Cause::Violation(violation)))?;
    let (first, last) = range;
    let fits = matches!(head.extent, Extent::Part { first: f, last: l, .. } if (f, l) == range);
    let Content::Stream(body, _permit) = answer.content else {
        return Err(site.error(&what, Cause::NoRanges));
    };
    if !fits {
        return Err(site.error(&what, Cause::NoRanges));
    }
    let length = last - first + 1;
    let bytes = site.collect_part(&what, &answer.head, body, length).await?;
    if bytes.len() as u64 == length {
        return Ok(bytes);
    }
    Err(site.error(&what, Cause::NoRanges))
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
