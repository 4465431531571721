//! The writer that lets no unverified byte through, and the sink a driver puts below it.

use std::fmt;
use std::io::{self, Read};

use longshore_model::{Digest, Verifier, VerifyError};

use crate::error::StoreError;
use crate::interrupt::Interrupt;
use crate::random::RandomReader;

/// Where a driver puts the bytes of one blob until they are verified.
///
/// A sink is told nothing of digests: [`Writer`] verifies, in one place, for all drivers.
/// Dropping a sink that was not published discards what it holds.
pub trait Sink: fmt::Debug + Send {
    /// Appends `content`.
    ///
    /// # Errors
    ///
    /// What the driver meets; the sink is dropped then.
    fn append(&mut self, content: &[u8]) -> Result<(), StoreError>;

    /// Returns a reader of the bytes that were appended and of those that will be. It stays
    /// readable after this sink is published, kept or dropped, and does not disturb later calls.
    ///
    /// # Errors
    ///
    /// What the driver meets; the sink stays usable.
    fn reader(&self) -> Result<RandomReader, StoreError>;

    /// Makes the verified content visible, all at once.
    ///
    /// # Errors
    ///
    /// What the driver meets; nothing has become visible then.
    fn publish(self: Box<Self>) -> Result<(), StoreError>;

    /// Keeps the content for [`Store::resume`](crate::Store::resume), visible to nobody else. Of
    /// what is kept of one blob the longest stays; of nothing, nothing is kept.
    ///
    /// # Errors
    ///
    /// What the driver meets; nothing is kept then.
    fn keep(self: Box<Self>) -> Result<(), StoreError>;
}

/// One blob on its way into a store.
///
/// Each call hashes and hands on what it is given: nothing is buffered here. Only
/// [`Writer::commit`] makes a blob visible (RT9). A writer that is dropped before discards what
/// it has if it came from [`Store::begin`](crate::Store::begin), and keeps it if it came from
/// [`Store::resume`](crate::Store::resume); [`Writer::keep`] and [`Writer::discard`] choose.
/// After an error nothing is kept.
#[derive(Debug)]
pub struct Writer {
    verifier: Verifier,
    unfinished: Unfinished,
}

/// A sink that was not published, and what becomes of it.
#[derive(Debug)]
struct Unfinished {
    /// Gone after the first error: what was appended can no longer be trusted.
    sink: Option<Box<dyn Sink>>,
    when_dropped: Fate,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Discarded,
    Kept,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let (Some(sink), Fate::Kept) = (self.sink.take(), self.when_dropped) {
            // Best effort: what is not kept is only fetched again.
            let _ = sink.keep();
        }
    }
}

impl Writer {
    /// Makes a writer for `digest` over the sink that `open` provides; for drivers.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unsupported`] before `open` is called, or what `open` returns.
    pub fn new(
        digest: &Digest,
        size: Option<u64>,
        open: impl FnOnce() -> Result<Box<dyn Sink>, StoreError>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            verifier: verifier(digest, size)?,
            unfinished: Unfinished {
                sink: Some(open()?),
                when_dropped: Fate::Discarded,
            },
        })
    }

    /// Makes a writer that goes on with the sink `kept` provides, from which it reads what was
    /// appended before; if there is none, or it is of no use, with the one `open` provides. For
    /// drivers.
    ///
    /// # Errors
    ///
    /// As [`Writer::new`], and the errors of reading `kept`; [`StoreError::Interrupted`] when
    /// `interrupt` is set. The partial blob is kept.
    pub fn resume<S: Sink + Read + 'static>(
        digest: &Digest,
        size: u64,
        kept: impl FnOnce() -> Result<Option<S>, StoreError>,
        open: impl FnOnce() -> Result<S, StoreError>,
        interrupt: &Interrupt,
    ) -> Result<Self, StoreError> {
        let empty = verifier(digest, Some(size))?;
        let mut resumed = None;
        if let Some(mut sink) = kept()? {
            match rehash(empty.clone(), &mut sink, interrupt) {
                Rehashed::Whole(verifier) => resumed = Some((*verifier, sink)),
                Rehashed::Useless => {}
                Rehashed::Interrupted => {
                    Box::new(sink).keep()?;
                    return Err(StoreError::Interrupted);
                }
            }
        }
        let (verifier, sink) = match resumed {
            Some(resumed) => resumed,
            None => (empty, open()?),
        };
        Ok(Self {
            verifier,
            unfinished: Unfinished {
                sink: Some(Box::new(sink)),
                when_dropped: Fate::Kept,
            },
        })
    }

    /// Appends `content`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Content`] as soon as there is more than the size said at the beginning
    /// (LI3); [`StoreError::Io`] or [`StoreError::Full`] when it cannot be kept. Each is final:
    /// what was written is discarded and later calls return [`StoreError::Abandoned`].
    pub fn write(&mut self, content: &[u8]) -> Result<(), StoreError> {
        let mut sink = self.take_sink()?;
        self.verifier
            .update(content)
            .map_err(|source| self.refused(source))?;
        sink.append(content)?;
        self.unfinished.sink = Some(sink);
        Ok(())
    }

    /// Returns a reader of the bytes that were written and of those that will be.
    ///
    /// Nothing it reads is verified before [`Writer::commit`] has returned.
    ///
    /// # Errors
    ///
    /// [`StoreError::Abandoned`] after an earlier error, or what the driver meets; this writer
    /// stays usable.
    pub fn reader(&self) -> Result<RandomReader, StoreError> {
        match &self.unfinished.sink {
            Some(sink) => sink.reader(),
            None => Err(self.abandoned()),
        }
    }

    /// Verifies length and digest and makes the blob visible.
    ///
    /// # Errors
    ///
    /// [`StoreError::Content`] when it is not what was announced, [`StoreError::Abandoned`]
    /// after an earlier error, or what the driver meets. In each case nothing became visible.
    pub fn commit(mut self) -> Result<(), StoreError> {
        let sink = self.take_sink()?;
        let digest = self.digest().clone();
        self.verifier
            .finish()
            .map_err(|source| StoreError::Content { digest, source })?;
        sink.publish()
    }

    /// Keeps what was written for [`Store::resume`](crate::Store::resume), in this process or
    /// another.
    ///
    /// # Errors
    ///
    /// [`StoreError::Abandoned`] after an earlier error, or what the driver meets. In each case
    /// nothing is kept.
    pub fn keep(mut self) -> Result<(), StoreError> {
        self.take_sink()?.keep()
    }

    /// Discards what was written, also what was kept before.
    pub fn discard(mut self) {
        self.unfinished.sink = None;
    }

    /// Returns how many bytes were taken so far, those found by
    /// [`Store::resume`](crate::Store::resume) included.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.verifier.position()
    }

    /// Returns the digest the content must have.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        self.verifier.expected()
    }

    fn take_sink(&mut self) -> Result<Box<dyn Sink>, StoreError> {
        match self.unfinished.sink.take() {
            Some(sink) => Ok(sink),
            None => Err(self.abandoned()),
        }
    }

    fn abandoned(&self) -> StoreError {
        StoreError::Abandoned {
            digest: self.digest().clone(),
        }
    }

    fn refused(&self, source: VerifyError) -> StoreError {
        StoreError::Content {
            digest: self.digest().clone(),
            source,
        }
    }
}

fn verifier(digest: &Digest, size: Option<u64>) -> Result<Verifier, StoreError> {
    Verifier::new(digest, size).map_err(|source| StoreError::Unsupported {
        digest: digest.clone(),
        source,
    })
}

/// The result of hashing a partial blob.
enum Rehashed {
    /// It was hashed to its end.
    Whole(Box<Verifier>),
    /// It is too long or cannot be read.
    Useless,
    Interrupted,
}

/// Hashes a partial blob to its end.
fn rehash(mut verifier: Verifier, kept: &mut impl Read, interrupt: &Interrupt) -> Rehashed {
    let mut buffer = vec![0; REHASH_BUFFER_BYTES];
    loop {
        if interrupt.is_set() {
            return Rehashed::Interrupted;
        }
        match kept.read(&mut buffer) {
            Ok(0) => return Rehashed::Whole(Box::new(verifier)),
            Ok(count) => {
                let read = buffer.get(..count).unwrap_or_default();
                if verifier.update(read).is_err() {
                    return Rehashed::Useless;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Rehashed::Useless,
        }
    }
}

/// Returns whether the content of a reader, to its end, is the blob `digest` of `size` bytes.
///
/// # Errors
///
/// [`StoreError::Unsupported`], [`StoreError::Interrupted`].
pub(crate) fn content_matches(
    content: &mut impl Read,
    digest: &Digest,
    size: u64,
    interrupt: &Interrupt,
) -> Result<bool, StoreError> {
    match rehash(verifier(digest, Some(size))?, content, interrupt) {
        Rehashed::Whole(verifier) => Ok(verifier.finish().is_ok()),
        Rehashed::Useless => Ok(false),
        Rehashed::Interrupted => Err(StoreError::Interrupted),
    }
}

/// Size of the buffer for hashing an existing blob, in bytes (LI2).
const REHASH_BUFFER_BYTES: usize = 128 * 1024;
