//! The bodies of an upload: the parts of the content that the registry needs, hashed once.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use longshore_model::{Algorithm, Digest, Hasher, UnsupportedAlgorithm};
use longshore_proto::call::BodyName;
use longshore_transport::{Body, Phase, TransportError, TransportErrorKind};

use crate::body::{OpenBody, OpeningBody};
use crate::content::{Content, ContentFrames, PIECE_BYTES};

/// The content of one upload.
///
/// Every byte is hashed once and in order while it passes, however often it is sent. A body that
/// begins after the hashed bytes reads and hashes the bytes in between, and does not send them.
/// Content that was verified before is not hashed.
pub(super) struct UploadBodies<'a> {
    content: &'a dyn Content,
    hashed: Arc<Mutex<Hashed>>,
    observer: Option<Arc<dyn PushObserver>>,
}

/// Observes the upload of one blob.
///
/// The methods are called while the content is sent, so they should return soon.
pub trait PushObserver: Send + Sync {
    /// This many bytes of the content were passed to the transport, which may still buffer them.
    fn sent(&self, bytes: u64) {
        let _ = bytes;
    }

    /// The upload continues at this position of the content, in bytes, because it broke off or an
    /// earlier push sent the bytes before it. At 0, the upload starts again.
    ///
    /// All bytes from this position on will be sent, some of them perhaps again.
    fn resumed(&self, position: u64) {
        let _ = position;
    }
}

impl fmt::Debug for dyn PushObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushObserver")
    }
}

/// The state of hashing.
struct Hashed {
    /// `None` when the digest is known: the content was verified before, or was hashed to its end.
    hasher: Option<Hasher>,
    /// The end of the hashed bytes, or of the bytes that were read without a hasher.
    position: u64,
    expected: Option<Digest>,
    size: Option<u64>,
    /// The end of the bytes that were last passed to the transport.
    sent: u64,
    /// How many bodies were opened or closed. Only the body that was opened last is read.
    turn: u64,
    /// Whether the body that was opened last was read to its end.
    is_whole: bool,
    /// Why the content could not be read, or does not match its digest or size.
    failure: Option<io::Error>,
}

impl<'a> UploadBodies<'a> {
    /// `verified` says that the content was verified against the digest before.
    pub(super) fn new(
        content: &'a dyn Content,
        expected: Option<Digest>,
        verified: bool,
    ) -> Result<Self, UnsupportedAlgorithm> {
        let algorithm = expected
            .as_ref()
            .map_or(Algorithm::Sha256, Digest::algorithm);
        // DG1: even for verified content, the algorithm must be one that can be verified.
        let hasher = Hasher::new(&algorithm)?;
        let mut hashed = Hashed {
            hasher: (!verified || expected.is_none()).then_some(hasher),
            position: 0,
            expected,
            size: content.size(),
            sent: 0,
            turn: 0,
            is_whole: true,
            failure: None,
        };
        // No byte of empty content passes.
        if hashed.size == Some(0) {
            hashed.failure = hashed.check().err();
        }
        Ok(Self {
            content,
            hashed: Arc::new(Mutex::new(hashed)),
            observer: None,
        })
    }

    pub(super) fn with_observer(self, observer: Option<Arc<dyn PushObserver>>) -> Self {
        Self { observer, ..self }
    }

    /// Why the content could not be read, if it could not.
    pub(super) fn failure(&self) -> Option<io::Error> {
        lock(&self.hashed).failure.take()
    }

    /// Ends the body of the last request, and says whether all of it was read. An answer to a
    /// body that was not read to its end says nothing about the content (DG3, DG7).
    pub(super) fn close(&self) -> bool {
        let mut hashed = lock(&self.hashed);
        hashed.turn += 1;
        std::mem::replace(&mut hashed.is_whole, true)
    }

    /// The digest and the size of all bytes that were read.
    ///
    /// # Errors
    ///
    /// The digest is not the expected one.
    pub(super) fn finish(&self) -> io::Result<(Digest, u64)> {
        let mut hashed = lock(&self.hashed);
        hashed.check()?;
        let size = hashed.position;
        let digest = hashed.expected.clone();
        let digest = digest.ok_or_else(|| changed("it was never read".to_owned()))?;
        Ok((digest, size))
    }

    async fn open_body(&self, name: BodyName) -> io::Result<Body> {
        let (position, is_elsewhere, turn) = {
            let mut hashed = lock(&self.hashed);
            let sent = std::mem::replace(&mut hashed.sent, name.offset);
            hashed.turn += 1;
            hashed.is_whole = name.length == Some(0);
            let position = hashed.first_needed(name.offset);
            (position, sent != name.offset, hashed.turn)
        };
        if is_elsewhere && let Some(observer) = &self.observer {
            observer.resumed(name.offset);
        }
        let mut part = Part {
            frames: self.content.open(position).await?,
            hashed: Arc::clone(&self.hashed),
            observer: self.observer.clone(),
            turn,
            position,
            first: name.offset,
            end: name.length.map(|length| name.offset.saturating_add(length)),
            next: None,
        };
        part.catch_up().await?;
        Ok(Body::wrap_with(part, |error| {
            TransportError::new(TransportErrorKind::Closed, Phase::Head).with_source(error)
        }))
    }
}

impl OpenBody for UploadBodies<'_> {
    fn open(&self, name: BodyName) -> OpeningBody<'_> {
        Box::pin(self.open_body(name))
    }
}

/// A part of the content, as the body of a request.
struct Part {
    frames: ContentFrames,
    hashed: Arc<Mutex<Hashed>>,
    observer: Option<Arc<dyn PushObserver>>,
    /// Which body this is.
    turn: u64,
    /// The position of the next piece to read.
    position: u64,
    /// The position of the next byte to send that was not read yet.
    first: u64,
    /// The position after the last byte to send; `None` sends everything.
    end: Option<u64>,
    /// A piece that was read and not yet sent.
    next: Option<Bytes>,
}

impl Part {
    /// Reads and hashes the bytes before the first byte to send. This happens before the request,
    /// so that the registry does not wait for it.
    async fn catch_up(&mut self) -> io::Result<()> {
        if self.position < self.first {
            self.next = poll_fn(|cx| self.poll_piece(cx)).await.transpose()?;
        }
        Ok(())
    }

    /// Hashes a piece that arrived, and returns the part of it that is to be sent.
    fn pass(&mut self, mut piece: Bytes) -> io::Result<Bytes> {
        let begin = self.position;
        self.position = begin.saturating_add(piece.len() as u64);
        lock(&self.hashed).pass(begin, &piece)?;
        let skip = self.first.saturating_sub(begin).min(piece.len() as u64);
        // At most the length of the piece.
        let skip = usize::try_from(skip).unwrap_or(piece.len());
        let mut wanted = piece.split_off(skip);
        if let Some(end) = self.end {
            let room = usize::try_from(end.saturating_sub(self.first)).unwrap_or(usize::MAX);
            wanted.truncate(room);
        }
        self.first = self.first.saturating_add(wanted.len() as u64);
        Ok(wanted)
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(piece) = self.next.take() {
            return Poll::Ready(Some(Ok(piece)));
        }
        loop {
            if self.end.is_some_and(|end| self.first >= end) {
                return Poll::Ready(None);
            }
            let piece = match ready!(self.frames.as_mut().poll_next(cx)) {
                Some(Ok(piece)) => self.pass(piece)?,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let end = lock(&self.hashed).end(self.position);
                    return Poll::Ready(end.err().map(Err));
                }
            };
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(piece)));
            }
        }
    }
}

impl Hashed {
    /// The position to read from, to send what begins at `offset`.
    fn first_needed(&self, offset: u64) -> u64 {
        match self.hasher {
            Some(_) => self.position.min(offset),
            None => offset,
        }
    }

    /// Hashes those bytes of a piece at this position that were not hashed before.
    fn pass(&mut self, begin: u64, piece: &[u8]) -> io::Result<()> {
        let end = begin.saturating_add(piece.len() as u64);
        if end <= self.position {
            return Ok(());
        }
        if let Some(hasher) = &mut self.hasher {
            let known = usize::try_from(self.position.saturating_sub(begin));
            let fresh = known.ok().and_then(|known| piece.get(known..));
            hasher.update(fresh.unwrap_or_default());
        }
        self.position = end;
        match self.size {
            Some(size) if self.position > size => {
                Err(changed(format!("it has more than {size} bytes")))
            }
            Some(size) if self.position == size => self.check(),
            _ => Ok(()),
        }
    }

    /// So many bytes were given to the transport, and perhaps the last ones of the body.
    fn pass_on(&mut self, bytes: u64, is_last: bool) {
        self.sent += bytes;
        self.is_whole |= is_last;
    }

    /// The content ended at this position.
    fn end(&self, position: u64) -> io::Result<()> {
        match self.size {
            Some(size) if position < size => {
                Err(changed(format!("it ends after {position} of {size} bytes")))
            }
            _ => Ok(()),
        }
    }

    /// Compares the digest of the whole content before its last bytes are sent, so that a registry
    /// never gets all bytes of wrong content.
    fn check(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else {
            return Ok(());
        };
        let found = hasher.finish();
        match &self.expected {
            Some(expected) if *expected != found => {
                Err(changed(format!("its digest is {found}, not {expected}")))
            }
            _ => {
                self.expected = Some(found);
                Ok(())
            }
        }
    }
}

fn changed(how: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, how)
}

impl http_body::Body for Part {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if lock(&self.hashed).turn != self.turn {
            let text = "the request was answered before its body was sent";
            return Poll::Ready(Some(Err(io::Error::other(text))));
        }
        match ready!(self.poll_piece(cx)) {
            Some(Ok(mut piece)) => {
                // RT10: progress is seen only between two pieces.
                if piece.len() > PIECE_BYTES {
                    self.next = Some(piece.split_off(PIECE_BYTES));
                }
                let bytes = piece.len() as u64;
                let is_last = self.is_end_stream();
                lock(&self.hashed).pass_on(bytes, is_last);
                if let Some(observer) = &self.observer {
                    observer.sent(bytes);
                }
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None => {
                lock(&self.hashed).pass_on(0, true);
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                // The transport wraps this error, so the upload keeps the original to report it.
                let kept = io::Error::new(error.kind(), error.to_string());
                lock(&self.hashed).failure = Some(error);
                Poll::Ready(Some(Err(kept)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.end.is_some_and(|end| self.first >= end)
    }

    fn size_hint(&self) -> SizeHint {
        let next = self.next.as_ref().map_or(0, |piece| piece.len() as u64);
        match self.end {
            Some(end) => SizeHint::with_exact(end.saturating_sub(self.first).saturating_add(next)),
            None => SizeHint::default(),
        }
    }
}

fn lock(hashed: &Mutex<Hashed>) -> MutexGuard<'_, Hashed> {
    hashed.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
