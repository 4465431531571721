//! Content to push.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use tokio::sync::mpsc;

/// Size of the pieces in which a file is read, and of the largest that is given to the transport,
/// in bytes: 256 KiB.
pub(crate) const PIECE_BYTES: usize = 256 * 1024;

/// Pieces of a file that are read ahead.
const PIECES_AHEAD: usize = 2;

/// Maximum number of buffers of one reader that are kept for reuse: those of the pieces that are
/// read ahead, and of those that the transport holds.
const BUFFERS_KEPT: usize = PIECES_AHEAD + 6;

/// Content that can be pushed: bytes, a file, or a stream.
///
/// A push that breaks off resumes: it opens the content again, at the first byte that the registry
/// does not have. Content that can be read only once says so with
/// [`is_seekable`](Self::is_seekable); a push of such content fails when it breaks off.
pub trait Content: Send + Sync {
    /// The size in bytes; `None` when it is known only at the end of the stream.
    fn size(&self) -> Option<u64>;

    /// Whether the content can be opened more than once, and at any position.
    fn is_seekable(&self) -> bool {
        true
    }

    /// Opens the content at this position, in bytes from its beginning.
    ///
    /// The push holds its request slot at the registry from this call until all of the content was
    /// sent. The content may come from a request to the same registry, because reading and sending
    /// use separate slots. It must not wait for another push.
    ///
    /// # Errors
    ///
    /// What the source reports. The push then ends with [`ErrorKind::Body`](crate::ErrorKind).
    fn open(&self, position: u64) -> OpeningContent<'_>;
}

/// Opens content.
pub type OpeningContent<'a> = Pin<Box<dyn Future<Output = io::Result<ContentFrames>> + Send + 'a>>;

/// The bytes of content, in pieces of any length.
pub type ContentFrames = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

impl Content for Bytes {
    fn size(&self) -> Option<u64> {
        Some(self.len() as u64)
    }

    fn open(&self, position: u64) -> OpeningContent<'_> {
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        let rest = self.slice(position.min(self.len())..);
        let frames: ContentFrames = Box::pin(Once((!rest.is_empty()).then_some(rest)));
        Box::pin(std::future::ready(Ok(frames)))
    }
}

/// A stream of at most one piece.
struct Once(Option<Bytes>);

impl Stream for Once {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}

/// The content of a file.
///
/// Each time the content is opened, a thread reads the file, because reading blocks. The thread
/// ends when the push no longer needs it.
#[derive(Debug)]
pub struct FileContent {
    file: File,
    size: u64,
}

impl FileContent {
    /// The whole content of this file, with its current size.
    ///
    /// # Errors
    ///
    /// The size of the file cannot be read, or it is not a regular file.
    pub fn new(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        let size = metadata.len();
        Ok(Self { file, size })
    }
}

impl Content for FileContent {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    fn open(&self, position: u64) -> OpeningContent<'_> {
        Box::pin(std::future::ready(self.read_from(position)))
    }
}

impl FileContent {
    fn read_from(&self, position: u64) -> io::Result<ContentFrames> {
        let file = self.file.try_clone()?;
        let mut position = position;
        let pieces = Pieces::read(move |buffer| {
            let count = read_at(&file, buffer, position)?;
            position += count as u64;
            Ok(count)
        })?;
        Ok(Box::pin(pieces))
    }
}

/// The next bytes; `None` at their end.
fn read_piece(
    read: &mut impl FnMut(&mut [u8]) -> io::Result<usize>,
    buffers: &mut Buffers,
) -> Option<io::Result<Bytes>> {
    let mut buffer = buffers.take();
    let read = loop {
        match read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other,
        }
    };
    match read {
        Ok(0) => None,
        Ok(count) => {
            buffer.truncate(count);
            Some(Ok(buffers.lend(buffer)))
        }
        Err(error) => Some(Err(error)),
    }
}

/// Buffers that are reused after the transport has sent them. A new buffer would cost the system
/// the time to clear its memory.
#[derive(Default)]
struct Buffers(VecDeque<Bytes>);

impl Buffers {
    /// Returns a buffer of [`PIECE_BYTES`]: the one that was lent first if it is no longer used, or
    /// a new one.
    fn take(&mut self) -> BytesMut {
        let mut buffer = match self.0.pop_front().map(Bytes::try_into_mut) {
            Some(Ok(buffer)) => buffer,
            Some(Err(in_use)) => {
                if self.0.len() + 1 < BUFFERS_KEPT {
                    self.0.push_front(in_use);
                }
                BytesMut::zeroed(PIECE_BYTES)
            }
            None => BytesMut::zeroed(PIECE_BYTES),
        };
        // The last piece of a file is shorter.
        buffer.resize(PIECE_BYTES, 0);
        buffer
    }

    fn lend(&mut self, buffer: BytesMut) -> Bytes {
        let piece = buffer.freeze();
        self.0.push_back(piece.clone());
        piece
    }
}

/// Reads without moving the position that all clones of the file share.
#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, position)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, position)
}

/// The pieces that a thread reads.
struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl Pieces {
    /// Starts a thread that reads until the end, or until the pieces are no longer needed.
    fn read(
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize> + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        let work = move || {
            let mut buffers = Buffers::default();
            while let Some(piece) = read_piece(&mut read, &mut buffers) {
                let is_last = piece.is_err();
                // The send fails when the push no longer needs the content.
                if sender.blocking_send(piece).is_err() || is_last {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("read content".to_owned());
        thread.spawn(work)?;
        Ok(Self(receiver))
    }
}

impl Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

/// Content that can be read once, such as a pipe.
pub struct StreamContent {
    size: Option<u64>,
    frames: Mutex<Option<ContentFrames>>,
}

impl StreamContent {
    /// The bytes of this stream; `size` is their number, if it is known.
    ///
    /// Without a size, the registry must accept a body of unknown length.
    #[must_use]
    pub fn new(
        frames: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        size: Option<u64>,
    ) -> Self {
        Self {
            size,
            frames: Mutex::new(Some(Box::pin(frames))),
        }
    }

    /// The bytes of a reader that may block, such as standard input; `size` is their number, if it
    /// is known.
    ///
    /// A thread reads them. It starts at once, reads at most 1 MiB ahead, and when the content is
    /// dropped, it ends after the current read.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub fn from_reader(
        mut reader: impl io::Read + Send + 'static,
        size: Option<u64>,
    ) -> io::Result<Self> {
        let pieces = Pieces::read(move |buffer| reader.read(buffer))?;
        Ok(Self::new(pieces, size))
    }
}

impl Content for StreamContent {
    fn size(&self) -> Option<u64> {
        self.size
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn open(&self, position: u64) -> OpeningContent<'_> {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match (position, frames.take()) {
            (0, Some(frames)) => Ok(frames),
            _ => {
                let text = format!("it can be read only once, and is needed from byte {position}");
                Err(io::Error::new(io::ErrorKind::Unsupported, text))
            }
        };
        Box::pin(std::future::ready(opened))
    }
}

impl fmt::Debug for StreamContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamContent")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Read as _;

    use super::*;

    /// Reads all of a content; returns the bytes, and the text of an error.
    async fn read(content: &dyn Content) -> (Vec<u8>, Option<String>) {
        let mut frames = content.open(0).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = poll_fn(|cx| frames.as_mut().poll_next(cx)).await {
            match piece {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(error) => return (bytes, Some(error.to_string())),
            }
        }
        (bytes, None)
    }

    struct Broken;

    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the cable is cut"))
        }
    }

    #[tokio::test]
    async fn a_blocking_reader_is_read_once_to_its_end_or_its_error() {
        let bytes: Vec<u8> = (0..2_000_000_u32).map(|number| number as u8).collect();
        let reader = io::Cursor::new(bytes.clone());
        let content = StreamContent::from_reader(reader, None).unwrap();
        assert_eq!(content.size(), None);
        assert_eq!(read(&content).await, (bytes, None));
        assert!(content.open(0).await.is_err());
        let reader = io::Cursor::new(b"abc").chain(Broken);
        let content = StreamContent::from_reader(reader, Some(4)).unwrap();
        let (read, error) = read(&content).await;
        assert_eq!(
            (&*read, error.as_deref()),
            (&b"abc"[..], Some("the cable is cut"))
        );
    }

    #[test]
    fn a_buffer_is_used_again_when_its_piece_was_dropped() {
        let mut buffers = Buffers::default();
        let mut lend = |length| {
            let mut buffer = buffers.take();
            assert_eq!(buffer.len(), PIECE_BYTES);
            buffer.truncate(length);
            buffers.lend(buffer)
        };
        let first = lend(PIECE_BYTES);
        let second = lend(7);
        let addresses = [first.as_ptr(), second.as_ptr()];
        assert_ne!(addresses[0], addresses[1]);
        drop(first);
        let third = lend(PIECE_BYTES);
        assert_eq!(third.as_ptr(), addresses[0]);
        drop(second);
        assert_eq!(lend(PIECE_BYTES).as_ptr(), addresses[1]);
        assert_eq!(third.len(), PIECE_BYTES);
    }

    #[test]
    fn no_more_buffers_are_kept_than_there_is_room_for() {
        let mut buffers = Buffers::default();
        let mut pieces = Vec::new();
        for _ in 0..3 * BUFFERS_KEPT {
            let buffer = buffers.take();
            pieces.push(buffers.lend(buffer));
            assert!(buffers.0.len() <= BUFFERS_KEPT);
        }
    }
}
