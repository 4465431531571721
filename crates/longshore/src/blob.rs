//! Blobs, read as they arrive.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use longshore_model::{Digest, RepositoryName, UnsupportedAlgorithm, Verifier, VerifyError};
use longshore_proto::call::Ask;
use longshore_proto::download::{self, Download, DownloadError, Next, PartDownload};
use longshore_proto::endpoint::{BlobRequest, Endpoint, Read};
use longshore_transport::{Body, TransportError};
use tokio::io::{AsyncRead, ReadBuf};

use crate::drive::{Answer, Payload};
use crate::error::{Cause, Error};
use crate::idle::StallGuard;
use crate::limit::RequestSlot;
use crate::operation::Operation;
use crate::repository::Repository;
use crate::site::Site;

use self::plan::Plan;

mod plan;

/// The frames of a blob: resumed where they break off, guarded against stalls, **not verified**.
///
/// This type is for callers that verify the bytes themselves, such as a store that hashes while it
/// writes. Use a [`BlobReader`] otherwise.
pub struct BlobFrames {
    site: Arc<Site>,
    name: RepositoryName,
    digest: Digest,
    plan: Plan,
    state: State,
    guard: StallGuard,
    last: Option<TransportError>,
}

enum State {
    Asking(Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>),
    Reading(
        Body,
        #[expect(dead_code, reason = "held, never read")] RequestSlot,
    ),
    Done,
}

impl BlobFrames {
    pub(crate) fn new(
        site: Arc<Site>,
        name: RepositoryName,
        digest: Digest,
        size: Option<u64>,
        position: u64,
    ) -> Self {
        let download = Download::new(name.clone(), digest.clone(), size);
        let mut download = download.resumed(position);
        let guard = StallGuard::new(Arc::clone(site.client().clock()));
        let state = if position > 0 && size == Some(position) {
            State::Done
        } else {
            State::Asking(asking(&site, download.ask()))
        };
        Self {
            site,
            name,
            digest,
            plan: Plan::Whole(download),
            state,
            guard,
            last: None,
        }
    }

    /// The frames of one part.
    pub(crate) fn of_part(
        site: Arc<Site>,
        name: RepositoryName,
        digest: Digest,
        part: PartDownload,
    ) -> Self {
        let guard = StallGuard::new(Arc::clone(site.client().clock()));
        let state = State::Asking(asking(&site, part.ask()));
        Self {
            site,
            name,
            digest,
            plan: Plan::part(part),
            state,
            guard,
            last: None,
        }
    }

    /// The size of the whole blob in bytes: from the descriptor, or from the registry once it
    /// answered.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        self.plan.size()
    }

    /// Waits until the registry has answered, without reading bytes.
    ///
    /// Cancel-safe. [`next`](Self::next) does this too.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), which returns `None` after an error.
    pub async fn head(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_head(cx)).await
    }

    /// The same, reading at most this many bytes if no descriptor says the size (LI). By default
    /// the size that the registry announces is the limit, or
    /// [`BLOB_LIMIT_BYTES`](crate::BLOB_LIMIT_BYTES), 32 GiB, if it announces none.
    #[must_use]
    pub fn with_limit(mut self, bytes: u64) -> Self {
        if let Plan::Whole(download) = &mut self.plan {
            download.set_limit(bytes);
        }
        self
    }

    /// Where the blob is.
    pub(crate) fn repository(&self) -> Repository {
        Repository::new(Arc::clone(&self.site), self.name.clone())
    }

    /// The next bytes, or `None` at the end.
    ///
    /// Cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// The registry refuses, cannot be reached, or broke off too often (RT6); the blob is larger
    /// than its descriptor says, or than the [limit](Self::with_limit).
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        let wait = ReadWait(self, |frames| &mut frames.guard);
        poll_fn(|cx| wait.0.poll(cx)).await
    }

    /// As [`head`](Self::head), for a caller that polls.
    ///
    /// # Errors
    ///
    /// As [`head`](Self::head).
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while let State::Asking(asking) = &mut self.state {
            let answer = ready!(asking.as_mut().poll(cx));
            if let Err(error) = answer.and_then(|answer| self.on_answer(answer)) {
                self.state = State::Done;
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            if let Err(error) = ready!(self.poll_head(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
            let State::Reading(body, _) = &mut self.state else {
                return Poll::Ready(None);
            };
            let jitter = self.site.client().jitter();
            let step = match ready!(self.guard.poll_frame(body, cx)) {
                Some(Ok(bytes)) => match self.on_bytes(bytes) {
                    Ok(bytes) if bytes.is_empty() => continue,
                    Ok(bytes) => return Poll::Ready(Some(Ok(bytes))),
                    Err(error) => Err(error),
                },
                Some(Err(error)) => {
                    tracing::debug!(digest = %self.digest, %error, "the blob broke off");
                    self.last = Some(error);
                    let next = self.plan.on_interrupted(jitter);
                    self.advance(next)
                }
                None => {
                    let next = self.plan.on_end(jitter);
                    self.advance(next)
                }
            };
            if let Err(error) = step {
                self.state = State::Done;
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn on_answer(&mut self, answer: Answer) -> Result<(), Error> {
        if !self.plan.takes(answer.head.status) {
            return Err(answer.refused(&self.site));
        }
        let verdict = self.plan.on_head(&answer.head);
        match (verdict.map_err(|error| self.failed(error))?, answer.payload) {
            (download::Body::Read, Payload::Stream(body, slot)) => {
                self.guard.begin();
                self.state = State::Reading(body, slot);
            }
            (download::Body::Ask(ask), _) => self.state = State::Asking(asking(&self.site, ask)),
            (download::Body::Read, Payload::Bytes(..)) => self.state = State::Done,
        }
        Ok(())
    }

    fn on_bytes(&mut self, mut bytes: Bytes) -> Result<Bytes, Error> {
        let count = bytes.len() as u64;
        let dropped = self
            .plan
            .on_bytes(count)
            .map_err(|error| self.failed(error))?;
        // At most the length of `bytes`, which is a usize.
        let dropped = usize::try_from(dropped).unwrap_or(bytes.len());
        Ok(if dropped == 0 {
            bytes
        } else {
            bytes.split_off(dropped.min(bytes.len()))
        })
    }

    fn advance(&mut self, next: Result<Next, DownloadError>) -> Result<(), Error> {
        self.state = match next.map_err(|error| self.failed(error))? {
            Next::Ask(ask) => State::Asking(asking(&self.site, ask)),
            Next::Finished => State::Done,
        };
        Ok(())
    }

    fn failed(&mut self, error: DownloadError) -> Error {
        let last = self.last.take();
        self.error(match error {
            DownloadError::NoPart => Cause::NoRanges,
            DownloadError::OverLimit { limit } => Cause::TooLarge { limit },
            error => Cause::Download(error, last),
        })
    }

    fn error(&self, cause: Cause) -> Error {
        let request = BlobRequest::new(Read::Get, self.name.clone(), self.digest.clone());
        let operation = Operation::Request(Endpoint::Blob(request));
        self.site.error(operation, cause)
    }
}

/// Starts the request of an ask. The future is boxed so that `State` can hold it.
fn asking(
    site: &Arc<Site>,
    ask: Ask,
) -> Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>> {
    let site = Arc::clone(site);
    Box::pin(async move { site.drive(ask).await })
}

impl Stream for BlobFrames {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl fmt::Debug for BlobFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobFrames")
            .field("digest", &self.digest)
            .field("received", &self.plan.received())
            .finish_non_exhaustive()
    }
}

/// A blob that is verified as it is read: it never ends cleanly unless its digest and size match
/// (DG3).
///
/// Bytes are returned as they arrive. Do not trust them before the end has been reached without an
/// error.
#[derive(Debug)]
pub struct BlobReader {
    frames: BlobFrames,
    verifier: Option<Verifier>,
    /// Bytes that arrived and were not read yet, for reading as a byte stream.
    ahead: Bytes,
}

impl BlobReader {
    pub(crate) fn new(frames: BlobFrames, size: Option<u64>) -> Result<Self, UnsupportedAlgorithm> {
        let verifier = Some(Verifier::new(&frames.digest, size)?);
        Ok(Self {
            frames,
            verifier,
            ahead: Bytes::new(),
        })
    }

    /// The same, reading at most this many bytes if no descriptor says the size (LI). By default
    /// the size that the registry announces is the limit, or
    /// [`BLOB_LIMIT_BYTES`](crate::BLOB_LIMIT_BYTES), 32 GiB, if it announces none. A larger blob
    /// fails as [`Cause::TooLarge`], at once if the registry announces its size.
    #[must_use]
    pub fn with_limit(mut self, bytes: u64) -> Self {
        self.frames = self.frames.with_limit(bytes);
        self
    }

    /// The size of the blob in bytes: from the descriptor, or from the registry once it answered.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        self.frames.size()
    }

    /// The next bytes, or `None` at the verified end.
    ///
    /// Cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As [`BlobFrames::next`], and at the end when digest or size do not match.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        let wait = ReadWait(self, |reader| &mut reader.frames.guard);
        poll_fn(|cx| wait.0.poll(cx)).await
    }

    pub(crate) fn repository(&self) -> Repository {
        self.frames.repository()
    }

    pub(crate) const fn digest(&self) -> &Digest {
        &self.frames.digest
    }

    /// The whole blob, if it is no larger than `limit` bytes.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), and when the blob is larger.
    pub async fn bytes(mut self, limit: u64) -> Result<Bytes, Error> {
        let too_large = |reader: &Self| reader.frames.error(Cause::TooLarge { limit });
        if self.size().is_some_and(|size| size > limit) {
            return Err(too_large(&self));
        }
        let mut whole = Vec::new();
        while let Some(bytes) = self.next().await {
            whole.extend_from_slice(&bytes?);
            if whole.len() as u64 > limit {
                return Err(too_large(&self));
            }
        }
        Ok(whole.into())
    }

    /// Writes the whole blob to `sink` and gives its length in bytes.
    ///
    /// Writing blocks, so a large blob belongs on a thread that may block. What was written
    /// before an error is not verified.
    ///
    /// # Errors
    ///
    /// [`CopyError::Read`] as [`next`](Self::next), [`CopyError::Write`] when the sink fails.
    pub async fn copy_to(mut self, sink: &mut impl io::Write) -> Result<u64, CopyError> {
        let mut count = 0;
        while let Some(bytes) = self.next().await {
            let bytes = bytes?;
            sink.write_all(&bytes)?;
            count += bytes.len() as u64;
        }
        Ok(count)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if !self.ahead.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.ahead))));
        }
        self.poll_frame(cx)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let Some(verifier) = &mut self.verifier else {
            return Poll::Ready(None);
        };
        let failed = match ready!(self.frames.poll(cx)) {
            Some(Ok(bytes)) => match verifier.update(&bytes) {
                Ok(()) => return Poll::Ready(Some(Ok(bytes))),
                Err(error) => error,
            },
            Some(Err(error)) => {
                self.verifier = None;
                return Poll::Ready(Some(Err(error)));
            }
            None => match self.verifier.take().map_or(Ok(()), Verifier::finish) {
                Ok(()) => return Poll::Ready(None),
                Err(error) => error,
            },
        };
        self.verifier = None;
        Poll::Ready(Some(Err(self.mismatch(failed))))
    }

    fn mismatch(&self, error: VerifyError) -> Error {
        self.frames.error(Cause::Digest(error))
    }
}

/// Reads as [`BlobReader::next`] does; an error of the blob is the source of the I/O error.
impl AsyncRead for BlobReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        while self.ahead.is_empty() {
            match ready!(self.poll_frame(cx)) {
                Some(bytes) => self.ahead = bytes.map_err(io::Error::other)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl Stream for BlobReader {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

/// Marks that the caller waits for the next bytes; dropping it ends the wait. Time in which no
/// caller waits does not count against the body.
struct ReadWait<'a, T>(&'a mut T, fn(&mut T) -> &mut StallGuard);

impl<T> Drop for ReadWait<'_, T> {
    fn drop(&mut self) {
        (self.1)(self.0).pause();
    }
}

/// Why a blob could not be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The blob could not be read.
    #[error(transparent)]
    Read(#[from] Error),
    /// The sink could not be written.
    #[error("cannot write the blob")]
    Write(#[from] io::Error),
}
