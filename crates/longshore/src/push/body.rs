//! The bodies of an upload: the parts of the content that the registry needs, hashed once.

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
use crate::content::{Content, ContentFrames};

/// The content of one upload.
///
/// Every byte is hashed once, in order, while it passes, however often it is sent. A body that
/// begins behind the hashed bytes reads from there and drops what is not wanted.
pub(super) struct UploadBodies<'a> {
    content: &'a dyn Content,
    hashed: Arc<Mutex<Hashed>>,
}

/// What has been hashed so far.
struct Hashed {
    hasher: Option<Hasher>,
    position: u64,
    expected: Option<Digest>,
    size: Option<u64>,
    /// Why the content could not be read, or is not what it was said to be.
    failure: Option<io::Error>,
}

impl<'a> UploadBodies<'a> {
    pub(super) fn new(
        content: &'a dyn Content,
        expected: Option<Digest>,
    ) -> Result<Self, UnsupportedAlgorithm> {
        let algorithm = expected
            .as_ref()
            .map_or(Algorithm::Sha256, Digest::algorithm);
        let hashed = Hashed {
            hasher: Some(Hasher::new(&algorithm)?),
            position: 0,
            expected,
            size: content.size(),
            failure: None,
        };
        Ok(Self {
            content,
            hashed: Arc::new(Mutex::new(hashed)),
        })
    }

    /// Why the content could not be read, if it could not.
    pub(super) fn failure(&self) -> Option<io::Error> {
        lock(&self.hashed).failure.take()
    }

    /// The digest and the size of everything that passed.
    pub(super) fn finish(&self) -> Option<(Digest, u64)> {
        let mut hashed = lock(&self.hashed);
        let size = hashed.position;
        let hasher = hashed.hasher.take()?;
        Some((hasher.finish(), size))
    }

    async fn open_body(&self, name: BodyName) -> io::Result<Body> {
        let position = lock(&self.hashed).position.min(name.offset);
        let frames = self.content.open(position).await?;
        Ok(Body::wrap_with(
            Part {
                frames,
                hashed: Arc::clone(&self.hashed),
                position,
                first: name.offset,
                end: name.length.map(|length| name.offset.saturating_add(length)),
            },
            |error| TransportError::new(TransportErrorKind::Closed, Phase::Head).with_source(error),
        ))
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
    /// The position of the next piece.
    position: u64,
    /// The position of the next byte to send.
    first: u64,
    /// The position behind the last byte to send; `None` sends everything.
    end: Option<u64>,
}

impl Part {
    /// Hashes a piece that arrived, and returns what of it is to be sent.
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
    /// Hashes those bytes of a piece at this position that were not hashed before.
    fn pass(&mut self, begin: u64, piece: &[u8]) -> io::Result<()> {
        let known = self.position.saturating_sub(begin);
        let fresh = usize::try_from(known)
            .ok()
            .and_then(|known| piece.get(known..));
        let Some(fresh) = fresh.filter(|fresh| !fresh.is_empty()) else {
            return Ok(());
        };
        if let Some(hasher) = &mut self.hasher {
            hasher.update(fresh);
        }
        self.position = self.position.saturating_add(fresh.len() as u64);
        match self.size {
            Some(size) if self.position > size => {
                Err(changed(format!("it has more than {size} bytes")))
            }
            Some(size) if self.position == size => self.check(),
            _ => Ok(()),
        }
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
    /// never has all of a content that is not the wanted one.
    fn check(&mut self) -> io::Result<()> {
        let Some(expected) = &self.expected else {
            return Ok(());
        };
        let Some(hasher) = self.hasher.take() else {
            return Ok(());
        };
        let found = hasher.finish();
        if found == *expected {
            return Ok(());
        }
        Err(changed(format!("its digest is {found}, not {expected}")))
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
        match ready!(self.poll_piece(cx)) {
            Some(Ok(piece)) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None => Poll::Ready(None),
            Some(Err(error)) => {
                // The transport wraps the error, so the upload keeps one to report.
                let kept = io::Error::new(error.kind(), error.to_string());
                lock(&self.hashed).failure = Some(error);
                Poll::Ready(Some(Err(kept)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_some_and(|end| self.first >= end)
    }

    fn size_hint(&self) -> SizeHint {
        match self.end {
            Some(end) => SizeHint::with_exact(end.saturating_sub(self.first)),
            None => SizeHint::default(),
        }
    }
}

fn lock(hashed: &Mutex<Hashed>) -> MutexGuard<'_, Hashed> {
    hashed.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
