//! One content for several destinations: read once, hashed once.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use longshore::{Content, ContentFrames, OpeningContent};
use longshore_model::Verifier;
use tokio::sync::{mpsc, oneshot};

/// Sends pieces, each with its position in the content.
type PieceSender = mpsc::Sender<io::Result<(u64, Bytes)>>;

/// Pieces that a destination may be ahead of the slowest one.
const PIECES_AHEAD: usize = 2;

/// Reads content and gives it to several readers. The slowest reader sets the pace; one that ends
/// is left out.
pub(crate) struct Tee {
    readers: Vec<(oneshot::Receiver<u64>, PieceSender)>,
    verifier: Option<Verifier>,
    size: u64,
}

impl Tee {
    /// Makes the readers of a blob. With a `verifier`, the last bytes are given only if all bytes
    /// match.
    pub(crate) fn new(
        size: u64,
        readers: usize,
        verifier: Option<Verifier>,
    ) -> (Self, Vec<TeeContent>) {
        let (readers, contents) = (0..readers)
            .map(|_| {
                let (opened, opening) = oneshot::channel();
                let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
                let pieces = Pieces {
                    receiver,
                    last: Bytes::new(),
                    end: 0,
                };
                let content = TeeContent {
                    size,
                    opened: Mutex::new(Some(opened)),
                    pieces: Arc::new(Mutex::new(pieces)),
                };
                ((opening, sender), content)
            })
            .unzip();
        let tee = Self {
            readers,
            verifier,
            size,
        };
        (tee, contents)
    }

    /// Reads the content once every reader has begun or ended, and until the last has ended.
    ///
    /// # Errors
    ///
    /// The content cannot be read, or does not match; the readers then get an error too.
    pub(crate) async fn run(mut self, content: &dyn Content) -> io::Result<()> {
        let mut senders = Vec::new();
        let mut start = u64::MAX;
        for (opening, sender) in std::mem::take(&mut self.readers) {
            // A reader that ended without a beginning got the blob in another way.
            if let Ok(position) = opening.await {
                start = start.min(position);
                senders.push(sender);
            }
        }
        if senders.is_empty() {
            return Ok(());
        }
        if self.verifier.is_some() {
            start = 0;
        }
        let result = self.pump(content, start, &mut senders).await;
        if let Err(error) = &result {
            for sender in senders {
                let copy = io::Error::new(error.kind(), error.to_string());
                // A reader that has ended does not need it.
                let _ = sender.send(Err(copy)).await;
            }
        }
        result
    }

    async fn pump(
        &mut self,
        content: &dyn Content,
        start: u64,
        senders: &mut Vec<PieceSender>,
    ) -> io::Result<()> {
        let mut position = start;
        let mut frames = content.open(start).await?;
        while let Some(piece) = poll_fn(|cx| frames.as_mut().poll_next(cx)).await {
            let piece = piece?;
            let begin = position;
            position = position.saturating_add(piece.len() as u64);
            self.check(&piece, position)?;
            let mut still = Vec::with_capacity(senders.len());
            for sender in senders.drain(..) {
                if sender.send(Ok((begin, piece.clone()))).await.is_ok() {
                    still.push(sender);
                }
            }
            *senders = still;
            if senders.is_empty() {
                return Ok(());
            }
        }
        if position < self.size {
            let what = format!("it ends after {position} of {} bytes", self.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(())
    }

    fn check(&mut self, piece: &[u8], position: u64) -> io::Result<()> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let Some(verifier) = &mut self.verifier else {
            return Ok(());
        };
        verifier.update(piece).map_err(invalid)?;
        match self.verifier.take_if(|_| position >= self.size) {
            Some(verifier) => verifier.finish().map_err(invalid),
            None => Ok(()),
        }
    }
}

/// The content as one of several destinations reads it: once, from the position that it needs on.
///
/// It may be opened again only where its last reader stopped, as for the next chunk of an upload.
pub(crate) struct TeeContent {
    size: u64,
    /// Tells where the first reader begins.
    opened: Mutex<Option<oneshot::Sender<u64>>>,
    pieces: Arc<Mutex<Pieces>>,
}

/// The pieces that arrive, of which the last one is kept.
struct Pieces {
    receiver: mpsc::Receiver<io::Result<(u64, Bytes)>>,
    last: Bytes,
    /// The position behind the last piece.
    end: u64,
}

impl Content for TeeContent {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn open(&self, position: u64) -> OpeningContent<'_> {
        Box::pin(std::future::ready(self.open_at(position)))
    }
}

impl TeeContent {
    fn open_at(&self, position: u64) -> io::Result<ContentFrames> {
        let opened = self
            .opened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(opened) = opened {
            // Nobody waits any more when the copy is being given up.
            let _ = opened.send(position);
        } else {
            let pieces = lock(&self.pieces);
            if position < pieces.end.saturating_sub(pieces.last.len() as u64) {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "content for several destinations is read only once",
                ));
            }
        }
        let pieces = Arc::clone(&self.pieces);
        Ok(Box::pin(TeeFrames { pieces, position }))
    }
}

struct TeeFrames {
    pieces: Arc<Mutex<Pieces>>,
    /// The position of the next byte to give.
    position: u64,
}

impl Stream for TeeFrames {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let mut pieces = lock(&this.pieces);
        while pieces.end <= this.position {
            match ready!(pieces.receiver.poll_recv(cx)) {
                Some(Ok((begin, piece))) => {
                    pieces.end = begin.saturating_add(piece.len() as u64);
                    pieces.last = piece;
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let length = pieces.last.len() as u64;
        let skip = this.position.saturating_sub(pieces.end - length);
        // At most the length of the piece.
        let piece = pieces
            .last
            .slice(usize::try_from(skip).unwrap_or_default()..);
        this.position = pieces.end;
        Poll::Ready(Some(Ok(piece)))
    }
}

fn lock(pieces: &Mutex<Pieces>) -> MutexGuard<'_, Pieces> {
    pieces.lock().unwrap_or_else(PoisonError::into_inner)
}
