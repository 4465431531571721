//! Limits the frames without content that the peer of an HTTP/2 connection may send.
//!
//! hyper skips interim responses without a limit and h2 ignores unknown frames, so a server could
//! keep a client busy for as long as it likes (LI). A stream that counts frames closes the
//! connection instead.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use longshore_transport::{INTERIM_LIMIT, TlsFault, TransportErrorKind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::failure;

/// Why this side closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flood {
    #[error("the peer sent more than {INTERIM_LIMIT} interim responses")]
    Interim,
    #[error("the peer sends more HTTP/2 frames without content than a response needs")]
    Frames,
}

impl Flood {
    pub(crate) fn kind(self) -> TransportErrorKind {
        match self {
            Self::Interim => TransportErrorKind::HeaderLimit,
            Self::Frames => TransportErrorKind::Protocol,
        }
    }
}

/// Why a connection failed; hyper and h2 lose the types of these errors.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    flood: OnceLock<Flood>,
    tls: OnceLock<TlsFault>,
}

impl Trouble {
    pub(crate) fn flood(&self) -> Option<Flood> {
        self.flood.get().copied()
    }

    pub(crate) fn tls(&self) -> Option<TlsFault> {
        self.tls.get().copied()
    }
}

/// A stream of HTTP/2 that fails when its peer sends too many frames without content.
pub(crate) struct Counted<S> {
    stream: S,
    received: Frames,
    sent: Frames,
    account: Account,
    trouble: Arc<Trouble>,
}

impl<S> Counted<S> {
    /// Counts the frames on a client's stream, and records in `trouble` why it fails.
    pub(crate) fn new(stream: S, trouble: Arc<Trouble>) -> Self {
        Self {
            stream,
            received: Frames::default(),
            sent: Frames::after(PREFACE_BYTES),
            account: Account::default(),
            trouble,
        }
    }

    fn received(&mut self, bytes: &[u8]) -> io::Result<()> {
        let account = &mut self.account;
        let counted = self.received.read(bytes, |frame| account.received(frame));
        counted.map_err(|flood| io::Error::other(*self.trouble.flood.get_or_init(|| flood)))
    }

    fn sent(&mut self, bytes: &[u8]) {
        let account = &mut self.account;
        let counted = self.sent.read(bytes, |frame| {
            account.sent(frame);
            Ok::<_, std::convert::Infallible>(())
        });
        match counted {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if let Err(error) = ready!(Pin::new(&mut self.stream).poll_read(cx, buf)) {
            if let Some(fault) = failure::tls_fault(&error) {
                self.trouble.tls.get_or_init(|| fault);
            }
            return Poll::Ready(Err(error));
        }
        let new = buf.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.received(new))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        let written = match bufs {
            [one] => ready!(stream.poll_write(cx, one))?,
            many => ready!(stream.poll_write_vectored(cx, many))?,
        };
        let mut left = written;
        for buf in bufs {
            let part = buf.get(..left.min(buf.len())).unwrap_or_default();
            left -= part.len();
            self.sent(part);
        }
        Poll::Ready(Ok(written))
    }
}

/// The header of a frame (RFC 9113 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Frame {
    /// How many bytes of content a DATA frame has at least. Padding and its length take at most 256
    /// bytes (RFC 9113 §6.1).
    fn content_bytes(self) -> u64 {
        let padding = if self.flags & PADDED == 0 { 0 } else { 256 };
        u64::from(self.length).saturating_sub(padding)
    }
}

/// Finds the headers of frames in one direction of a connection.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; HEADER_BYTES],
    /// How much of the header has arrived.
    filled: usize,
    /// How many bytes are left before the next header.
    skip: usize,
}

impl Frames {
    fn after(skip: usize) -> Self {
        Self {
            skip,
            ..Self::default()
        }
    }

    fn read<E>(
        &mut self,
        mut bytes: &[u8],
        mut on_frame: impl FnMut(Frame) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let room = self.header.iter_mut().skip(self.filled);
            let copied = room.zip(bytes).map(|(to, from)| *to = *from).count();
            self.filled += copied;
            bytes = bytes.get(copied..).unwrap_or_default();
            if self.filled < HEADER_BYTES {
                return Ok(());
            }
            let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.header;
            let length = u32::from_be_bytes([0, l0, l1, l2]);
            self.filled = 0;
            self.skip = length as usize;
            on_frame(Frame {
                length,
                kind,
                flags,
                stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
            })?;
        }
    }
}

/// What the peer has sent, and what it may send.
#[derive(Debug, Default)]
struct Account {
    /// The requests under way.
    open: HashMap<u32, Answer>,
    requests: u64,
    content_bytes: u64,
    /// Number of received frames without content.
    idle: u64,
}

/// The parts of one response that have arrived.
#[derive(Debug, Default)]
struct Answer {
    heads: usize,
    has_body: bool,
}

impl Account {
    fn sent(&mut self, frame: Frame) {
        match frame.kind {
            DATA => self.content_bytes += u64::from(frame.length),
            HEADERS if !self.open.contains_key(&frame.stream) => {
                self.open.insert(frame.stream, Answer::default());
                self.requests += 1;
            }
            RST_STREAM => drop(self.open.remove(&frame.stream)),
            _ => {}
        }
    }

    fn received(&mut self, frame: Frame) -> Result<(), Flood> {
        let answer = self.open.get_mut(&frame.stream);
        match (frame.kind, answer) {
            (HEADERS, Some(answer)) => {
                answer.heads += 1;
                // The final head is counted too.
                if answer.heads > INTERIM_LIMIT + 1 && !answer.has_body {
                    return Err(Flood::Interim);
                }
            }
            (DATA, Some(answer)) if frame.content_bytes() > 0 => {
                answer.has_body = true;
                self.content_bytes += frame.content_bytes();
            }
            (DATA, Some(_)) if frame.flags & END_STREAM != 0 => {}
            // Data that was in flight when this side cancelled the request. It counts as content
            // too, so that large frames do not use up the budget.
            (DATA, None) => {
                self.idle += 1;
                self.content_bytes += u64::from(frame.length);
            }
            _ => self.idle += 1,
        }
        let ends = matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0;
        if ends || frame.kind == RST_STREAM {
            self.open.remove(&frame.stream);
        }
        let allowed = IDLE_FRAMES
            + self.requests * IDLE_FRAMES_PER_REQUEST
            + self.content_bytes / CONTENT_BYTES_PER_IDLE_FRAME;
        if self.idle > allowed {
            return Err(Flood::Frames);
        }
        Ok(())
    }
}

/// RFC 9113 §4.1.
const HEADER_BYTES: usize = 9;
/// RFC 9113 §3.4: what a client sends before its first frame.
const PREFACE_BYTES: usize = 24;

// RFC 9113 §6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 0x1;
const PADDED: u8 = 0x8;

/// Number of frames without content that every connection may receive.
const IDLE_FRAMES: u64 = 1000;
/// Additional frames without content for each request: settings, pings, window updates,
/// continuations of a head.
const IDLE_FRAMES_PER_REQUEST: u64 = 16;
/// One additional frame without content for each of this many bytes of content, sent or received:
/// window updates and pings.
const CONTENT_BYTES_PER_IDLE_FRAME: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, length: u32) -> Frame {
        Frame {
            length,
            kind,
            flags,
            stream,
        }
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_split() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend_from_slice(&[0, 0, 3, 0xfa, 1, 0x80, 0, 1, 2, 9, 9, 9]);
        bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        let expected = [frame(0xfa, 1, 0x102, 3), frame(4, 0, 0, 0)];
        for size in 1..=bytes.len() {
            let mut frames = Frames::after(PREFACE_BYTES);
            let mut found = Vec::new();
            for part in bytes.chunks(size) {
                let read = frames.read(part, |frame| {
                    found.push(frame);
                    Ok::<_, ()>(())
                });
                assert_eq!(read, Ok(()));
            }
            assert_eq!(found, expected, "parts of {size}");
        }
    }

    // LI
    #[test]
    fn li_a_response_has_at_most_sixteen_interim_ones() {
        let mut account = Account::default();
        account.sent(frame(HEADERS, END_STREAM, 1, 20));
        for _ in 0..17 {
            assert_eq!(account.received(frame(HEADERS, 0, 1, 20)), Ok(()));
        }
        let mut other = Account::default();
        std::mem::swap(&mut account, &mut other);
        // Trailers come after a body.
        assert_eq!(other.received(frame(DATA, 0, 1, 20)), Ok(()));
        assert_eq!(other.received(frame(HEADERS, END_STREAM, 1, 20)), Ok(()));
        account.sent(frame(HEADERS, END_STREAM, 1, 20));
        for _ in 0..17 {
            assert_eq!(account.received(frame(HEADERS, 0, 1, 20)), Ok(()));
        }
        let last = account.received(frame(HEADERS, END_STREAM, 1, 20));
        assert_eq!(last, Err(Flood::Interim));
    }

    // LI
    #[test]
    fn li_frames_without_content_are_limited() {
        for idle in [
            frame(0xfa, 0, 0, 0),
            frame(0xfa, 0, 1, 16384),
            frame(4, 0, 0, 0),
            frame(6, 0, 0, 8),
            frame(8, 0, 0, 4),
            frame(DATA, 0, 1, 0),
            frame(DATA, PADDED, 1, 256),
            frame(DATA, 0, 7, 0),
            frame(HEADERS, END_STREAM, 7, 20),
        ] {
            let mut account = Account::default();
            account.sent(frame(HEADERS, END_STREAM, 1, 20));
            for _ in 0..IDLE_FRAMES + IDLE_FRAMES_PER_REQUEST {
                assert_eq!(account.received(idle), Ok(()), "{idle:?}");
            }
            assert_eq!(account.received(idle), Err(Flood::Frames), "{idle:?}");
        }
    }

    // LI
    #[test]
    fn li_content_raises_the_limit_of_frames_without_content() {
        let mut account = Account::default();
        account.sent(frame(HEADERS, 0, 1, 20));
        for _ in 0..100_000 {
            account.sent(frame(DATA, 0, 1, 16384));
            assert_eq!(account.received(frame(8, 0, 0, 4)), Ok(()));
            assert_eq!(account.received(frame(8, 0, 1, 4)), Ok(()));
        }
        for _ in 0..100_000 {
            assert_eq!(account.received(frame(DATA, PADDED, 1, 8192)), Ok(()));
        }
        for stream in (3..200_000).step_by(2) {
            account.sent(frame(HEADERS, END_STREAM, stream, 20));
            assert_eq!(account.received(frame(HEADERS, 0, stream, 20)), Ok(()));
            assert_eq!(account.received(frame(DATA, 0, stream, 100)), Ok(()));
            assert_eq!(account.received(frame(DATA, END_STREAM, stream, 0)), Ok(()));
        }
        assert_eq!(account.open.len(), 1);
    }

    // LI
    #[test]
    fn li_the_body_of_a_cancelled_request_is_accepted_only_in_large_frames() {
        let mut account = Account::default();
        account.sent(frame(HEADERS, END_STREAM, 1, 20));
        account.sent(frame(RST_STREAM, 0, 1, 4));
        for _ in 0..100_000 {
            assert_eq!(account.received(frame(DATA, 0, 1, 16384)), Ok(()));
        }
        let mut account = Account::default();
        let mut pieces = std::iter::repeat_with(|| account.received(frame(DATA, 0, 1, 100)));
        let refused = pieces.position(|received| received.is_err());
        assert_eq!(refused, Some(1242));
    }
}
