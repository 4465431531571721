//! Streams of blobs from the hosts of an upstream.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use longshore::{BlobFrames, Error};
use longshore_model::{Digest, RepositoryName};

use super::error::What;
use super::monitor::Meter;
use super::{
    Host, Patience, Upstream, UpstreamCallKind, UpstreamError, UpstreamErrorKind, UpstreamOutcome,
};

/// The frames of a blob, or of a part of it, **not verified**.
///
/// An interrupted transfer is first resumed at the same host with `Range` (RT6), and then at the
/// next host of the upstream. It fails when no host is left.
pub struct UpstreamFrames {
    upstream: Upstream,
    repository: RepositoryName,
    digest: Digest,
    /// The size of the whole blob.
    size: Option<u64>,
    /// The last position, if only a part is read.
    last: Option<u64>,
    /// The position of the next byte.
    position: u64,
    /// Index of the current host of the upstream.
    host: usize,
    state: State,
    meter: Option<Meter>,
}

enum State {
    Done,
    Due,
    Opening(Opening),
    Reading(Box<BlobFrames>),
}

/// A request whose answer is awaited; `None` if the blob does not have the requested part.
type Opening = Pin<Box<dyn Future<Output = Result<Option<BlobFrames>, Error>> + Send>>;

impl UpstreamFrames {
    pub(super) fn new(
        upstream: Upstream,
        (repository, digest): (RepositoryName, Digest),
        (size, last): (Option<u64>, Option<u64>),
        position: u64,
    ) -> Self {
        Self {
            upstream,
            repository,
            digest,
            size,
            last,
            position,
            host: 0,
            state: State::Due,
            meter: None,
        }
    }

    /// The size of the whole blob in bytes: from its descriptor, or from the answer of the
    /// upstream; `None` if the upstream does not state it.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// The position of the next byte in the blob.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Waits until the upstream has answered, without reading bytes.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), which returns `None` after an error.
    pub async fn head(&mut self) -> Result<(), UpstreamError> {
        poll_fn(|cx| self.poll_head(cx)).await
    }

    /// The next bytes, or `None` at the end.
    ///
    /// Cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] when no host can send the bytes. `None` follows.
    pub async fn next(&mut self) -> Option<Result<Bytes, UpstreamError>> {
        loop {
            if let Err(error) = self.head().await {
                return Some(Err(error));
            }
            let State::Reading(frames) = &mut self.state else {
                return None;
            };
            let frame = frames.next().await;
            if let Some(next) = self.on_frame(frame) {
                return next;
            }
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        loop {
            let failed = match &mut self.state {
                State::Done => return Poll::Ready(Ok(())),
                State::Due => match self.open() {
                    Ok(opening) => {
                        self.state = State::Opening(opening);
                        continue;
                    }
                    Err(error) => {
                        self.state = State::Done;
                        return Poll::Ready(Err(error));
                    }
                },
                State::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(Some(frames)) => {
                        self.state = State::Reading(Box::new(frames));
                        continue;
                    }
                    Ok(None) => return Poll::Ready(Err(self.no_such_part())),
                    Err(error) => error,
                },
                State::Reading(frames) => match ready!(frames.poll_head(cx)) {
                    Ok(()) => {
                        self.size = self.size.or_else(|| frames.size());
                        if let Some(meter) = &mut self.meter {
                            meter.on_head();
                        }
                        return Poll::Ready(Ok(()));
                    }
                    Err(error) => error,
                },
            };
            if let Err(error) = self.on_failure(failed) {
                return Poll::Ready(Err(error));
            }
        }
    }

    /// Requests the blob from the current host.
    fn open(&mut self) -> Result<Opening, UpstreamError> {
        if self.meter.is_none() {
            self.upstream.check_open(&self.what())?;
            let kind = match self.last {
                Some(_) => UpstreamCallKind::BlobRange,
                None => UpstreamCallKind::Blob,
            };
            self.meter = Some(Meter::start(self.upstream.clone(), kind));
        }
        let host = self.host().clone();
        let (repository, digest) = (self.repository.clone(), self.digest.clone());
        let (size, last, position) = (self.size, self.last, self.position);
        Ok(Box::pin(async move {
            let repository = host.repository(&repository, Patience::Normal).await?;
            Ok(match (last, size) {
                (Some(last), Some(size)) => {
                    repository.blob_part_frames(&digest, size, (position, last))
                }
                _ => Some(repository.blob_frames_from(&digest, size, position)),
            })
        }))
    }

    fn host(&self) -> &Host {
        let hosts = &self.upstream.0.hosts;
        hosts.get(self.host).unwrap_or(&self.upstream.0.home)
    }

    /// Handles the result of a read; returns `None` to continue with the next host.
    fn on_frame(
        &mut self,
        frame: Option<Result<Bytes, Error>>,
    ) -> Option<Option<Result<Bytes, UpstreamError>>> {
        match frame {
            Some(Ok(bytes)) => {
                let count = bytes.len() as u64;
                self.position = self.position.saturating_add(count);
                if let Some(meter) = &mut self.meter {
                    meter.on_bytes(count);
                }
                Some(Some(Ok(bytes)))
            }
            Some(Err(error)) => match self.on_failure(error) {
                Ok(()) => None,
                Err(error) => Some(Some(Err(error))),
            },
            None => {
                self.state = State::Done;
                self.upstream.accepted(&self.what());
                if let Some(mut meter) = self.meter.take() {
                    meter.end(UpstreamOutcome::Found);
                }
                Some(None)
            }
        }
    }

    /// Continues with the next host, or fails.
    fn on_failure(&mut self, error: Error) -> Result<(), UpstreamError> {
        if self.host + 1 < self.upstream.0.hosts.len() {
            tracing::debug!(
                upstream = %self.upstream.name(), digest = %self.digest, position = self.position,
                %error, "a mirror did not send the blob; trying the next host"
            );
            self.host += 1;
            self.state = State::Due;
            return Ok(());
        }
        self.state = State::Done;
        let what = self.what();
        let kind = UpstreamCallKind::Blob;
        let meter = self.meter.take();
        let mut meter = meter.unwrap_or_else(|| Meter::start(self.upstream.clone(), kind));
        Err(self.upstream.failed(what, error, &mut meter))
    }

    fn no_such_part(&mut self) -> UpstreamError {
        self.state = State::Done;
        let (kind, what) = (UpstreamErrorKind::Invalid, self.what());
        UpstreamError::unasked(self.upstream.name(), what, kind, None)
    }

    fn what(&self) -> What {
        What::Blob(self.repository.clone(), self.digest.clone())
    }
}

impl Stream for UpstreamFrames {
    type Item = Result<Bytes, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Err(error) = ready!(self.poll_head(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
            let State::Reading(frames) = &mut self.state else {
                return Poll::Ready(None);
            };
            let frame = ready!(Pin::new(&mut **frames).poll_next(cx));
            if let Some(next) = self.on_frame(frame) {
                return Poll::Ready(next);
            }
        }
    }
}

impl fmt::Debug for UpstreamFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamFrames")
            .field("upstream", &self.upstream)
            .field("digest", &self.digest)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
