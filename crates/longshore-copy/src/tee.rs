//! One source for several destinations: read once, hashed once.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use longshore::{Content, ContentFrames, OpeningContent};
use longshore_model::Verifier;
use tokio::sync::{mpsc, oneshot};

use crate::patience::Patience;

/// Sends pieces, each with its position in the content.
type PieceSender = mpsc::Sender<io::Result<(u64, Bytes)>>;

/// Number of pieces by which a destination may be ahead of the slowest one.
const PIECES_AHEAD: usize = 2;

/// Reads content and passes it to several readers. The slowest reader sets the pace. A reader that
/// ends is left out, and so is one that exhausts the patience with it.
pub(crate) struct Tee {
    readers: Vec<Reader>,
    verifier: Option<Verifier>,
    size: u64,
    stalled: Vec<usize>,
    /// Whether the content cannot be read, or does not match.
    failed: Arc<AtomicBool>,
}

/// A reader, by its number.
struct Reader {
    number: usize,
    opening: Option<oneshot::Receiver<u64>>,
    pieces: PieceSender,
    /// `None` for a reader on this machine, which does not stall.
    patience: Option<Patience>,
}

impl Reader {
    /// Waits for the reader; `None` when it takes too long.
    async fn unless_stalled<F: Future>(&self, work: F) -> Option<F::Output> {
        let Some(patience) = &self.patience else {
            return Some(work.await);
        };
        tokio::select! {
            biased;
            output = work => Some(output),
            () = patience.exhausted() => None,
        }
    }
}

impl Tee {
    /// Makes the readers of a blob, one for each patience. With a `verifier`, the last bytes are
    /// passed on only if all bytes match.
    pub(crate) fn new(
        size: u64,
        patience: impl IntoIterator<Item = Option<Patience>>,
        verifier: Option<Verifier>,
    ) -> (Self, Vec<TeeContent>) {
        let (readers, contents) = patience
            .into_iter()
            .enumerate()
            .map(|(number, patience)| reader(number, size, patience))
            .unzip();
        let tee = Self {
            readers,
            verifier,
            size,
            stalled: Vec::new(),
            failed: Arc::default(),
        };
        (tee, contents)
    }

    /// Returns what says that the content cannot be read, or does not match, before any reader gets
    /// that error.
    pub(crate) fn failure(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.failed)
    }

    /// Reads the content once every reader has begun or ended, until the last has ended or stalled.
    /// The numbers of readers that stalled are passed to `on_stalled`.
    ///
    /// # Errors
    ///
    /// The content cannot be read, or does not match; the readers then get an error too.
    pub(crate) async fn run(
        mut self,
        content: &dyn Content,
        on_stalled: impl Fn(usize),
    ) -> io::Result<()> {
        let start = self.wait_for_readers().await;
        self.stalled.drain(..).for_each(&on_stalled);
        if self.readers.is_empty() {
            return Ok(());
        }
        let start = if self.verifier.is_some() { 0 } else { start };
        let result = self.pump(content, start, &on_stalled).await;
        if let Err(error) = &result {
            self.failed.store(true, Ordering::Release);
            for reader in &self.readers {
                let copy = io::Error::new(error.kind(), error.to_string());
                // A reader that takes no more, or has ended, gets its error in another way.
                let _ = reader.pieces.try_send(Err(copy));
            }
        }
        result
    }

    /// Waits until every reader has begun or ended; returns the lowest position at which one
    /// begins.
    async fn wait_for_readers(&mut self) -> u64 {
        let mut start = u64::MAX;
        let mut begun = Vec::new();
        for mut reader in std::mem::take(&mut self.readers) {
            let Some(opening) = reader.opening.take() else {
                continue;
            };
            match reader.unless_stalled(opening).await {
                Some(Ok(position)) => {
                    start = start.min(position);
                    begun.push(reader);
                }
                // A reader that ended before it began got the blob in another way.
                Some(Err(_)) => {}
                None => self.stalled.push(reader.number),
            }
        }
        self.readers = begun;
        start
    }

    async fn pump(
        &mut self,
        content: &dyn Content,
        start: u64,
        on_stalled: &impl Fn(usize),
    ) -> io::Result<()> {
        let mut position = start;
        let mut frames = content.open(start).await?;
        while let Some(piece) = poll_fn(|cx| frames.as_mut().poll_next(cx)).await {
            let piece = piece?;
            let begin = position;
            position = position.saturating_add(piece.len() as u64);
            self.check(&piece, position)?;
            let mut still = Vec::with_capacity(self.readers.len());
            for reader in std::mem::take(&mut self.readers) {
                let sending = reader.pieces.send(Ok((begin, piece.clone())));
                match reader.unless_stalled(sending).await {
                    Some(Ok(())) => still.push(reader),
                    Some(Err(_)) => {}
                    None => on_stalled(reader.number),
                }
            }
            self.readers = still;
            if self.readers.is_empty() {
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

fn reader(number: usize, size: u64, patience: Option<Patience>) -> (Reader, TeeContent) {
    let (opened, opening) = oneshot::channel();
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let reader = Reader {
        number,
        opening: Some(opening),
        pieces: sender,
        patience,
    };
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
    (reader, content)
}

/// The content for one of several destinations. It is read once, from the position that the
/// destination needs.
///
/// It may be opened again only where its last reader stopped, for example for the next chunk of an
/// upload.
pub(crate) struct TeeContent {
    size: u64,
    /// Reports the position at which the first reader begins.
    opened: Mutex<Option<oneshot::Sender<u64>>>,
    pieces: Arc<Mutex<Pieces>>,
}

/// The pieces that arrive; the last one is kept.
struct Pieces {
    receiver: mpsc::Receiver<io::Result<(u64, Bytes)>>,
    last: Bytes,
    /// The position after the last piece.
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
    /// Returns whether a part of the content has been read, and may not come again.
    pub(crate) fn was_read(&self) -> bool {
        lock(&self.pieces).end > 0
    }

    fn open_at(&self, position: u64) -> io::Result<ContentFrames> {
        let opened = self
            .opened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(opened) = opened {
            // The receiver is gone if the copy is being given up.
            let _ = opened.send(position);
        } else {
            let pieces = lock(&self.pieces);
            if position < pieces.end.saturating_sub(pieces.last.len() as u64) {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "content for several destinations can be read only once",
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

#[cfg(test)]
mod tests;
