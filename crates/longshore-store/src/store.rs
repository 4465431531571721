//! What every store does, and the writer that lets no unverified byte through.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;

use bytes::Bytes;
use longshore_model::{Digest, Hasher, Verifier, VerifyError};

use crate::error::StoreError;

/// The blobs of a store, in no particular order.
pub type Digests<'a> = Box<dyn Iterator<Item = Result<Digest, StoreError>> + Send + 'a>;

/// Bytes by digest: written once, verified before they are visible, read by anybody.
///
/// All calls block; they are meant for a blocking thread, or for content small enough not to
/// matter. A digest whose algorithm has no verifier is refused by every call with
/// [`StoreError::Unsupported`] (DG1).
///
/// The same digest may be written any number of times, also at once: the bytes are the same,
/// so it does not matter whose become visible last.
pub trait Store: Send + Sync {
    /// Begins to write the blob `digest`, of `size` bytes where that is known.
    ///
    /// Nothing is reserved: a size is a peer's word (LI2). Whether the blob is there already
    /// is not looked at; ask [`Store::size`] first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unsupported`], or what the driver meets when it makes a place to write to.
    fn begin(&self, digest: &Digest, size: Option<u64>) -> Result<Writer, StoreError>;

    /// Opens the blob `digest` from its first byte.
    ///
    /// The bytes were verified when they were written *by this library*. Where others write
    /// too, as in a layout that came from elsewhere, the caller verifies what it reads.
    ///
    /// # Errors
    ///
    /// [`StoreError::Absent`] when there is no such blob, [`StoreError::NotAFile`] or
    /// [`StoreError::NotADirectory`] when something else stands in its place.
    fn open(&self, digest: &Digest) -> Result<Reader, StoreError>;

    /// Returns how many bytes the blob `digest` has, `None` when it is not there.
    ///
    /// # Errors
    ///
    /// As [`Store::open`], but absence is no error.
    fn size(&self, digest: &Digest) -> Result<Option<u64>, StoreError>;

    /// Returns whether the blob `digest` is there.
    ///
    /// # Errors
    ///
    /// As [`Store::size`].
    fn contains(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.size(digest).map(|size| size.is_some())
    }

    /// Returns whether the blob `digest` is there with `size` bytes, so that it need not be
    /// written; if so, the next [`Store::flush`] makes it durable as if it had been.
    ///
    /// Whoever wrote it may have died before the flush. The bytes are not looked at: what a
    /// power cut left incomplete is too short, anything else is for a verification to find.
    ///
    /// # Errors
    ///
    /// As [`Store::size`].
    fn reuse(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        Ok(self.size(digest)? == Some(size))
    }

    /// Removes the blob `digest`; one that is not there is removed already.
    ///
    /// Readers that have it open keep what they have.
    ///
    /// # Errors
    ///
    /// What the driver meets.
    fn delete(&self, digest: &Digest) -> Result<(), StoreError>;

    /// Lists the blobs; names that are no digest, and things that are no file, are passed over.
    ///
    /// What is written or deleted meanwhile may appear or not.
    ///
    /// # Errors
    ///
    /// What the driver meets, now or at an item.
    fn list(&self) -> Result<Digests<'_>, StoreError>;

    /// Returns where the blob `digest` lies, or would lie, if the store keeps files.
    fn path(&self, digest: &Digest) -> Option<PathBuf>;

    /// Makes every blob committed so far outlive a power cut, as far as the store can and is
    /// set to; returns when that is done, whoever began it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`]: a blob that could not be made durable is removed again, since no
    /// later attempt can be believed.
    fn flush(&self) -> Result<(), StoreError>;

    /// Writes a small blob in one go.
    ///
    /// # Errors
    ///
    /// As [`Store::begin`], [`Writer::write`] and [`Writer::commit`].
    fn put(&self, digest: &Digest, content: &[u8]) -> Result<(), StoreError> {
        let mut writer = self.begin(digest, Some(content.len() as u64))?;
        writer.write(content)?;
        writer.commit()
    }
}

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

    /// Makes the verified content visible, all at once.
    ///
    /// # Errors
    ///
    /// What the driver meets; nothing has become visible then.
    fn publish(self: Box<Self>) -> Result<(), StoreError>;
}

/// One blob on its way into a store.
///
/// Each call hashes and hands on what it is given: nothing is buffered here. Dropping a writer
/// discards everything (RT9); only [`Writer::commit`] makes a blob visible.
#[derive(Debug)]
pub struct Writer {
    verifier: Verifier,
    /// Gone after the first error: what was appended can no longer be trusted.
    sink: Option<Box<dyn Sink>>,
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
        let verifier = Verifier::new(digest, size).map_err(|source| StoreError::Unsupported {
            digest: digest.clone(),
            source,
        })?;
        Ok(Self {
            verifier,
            sink: Some(open()?),
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
        self.sink = Some(sink);
        Ok(())
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

    /// Returns how many bytes were taken so far.
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
        self.sink.take().ok_or_else(|| StoreError::Abandoned {
            digest: self.digest().clone(),
        })
    }

    fn refused(&self, source: VerifyError) -> StoreError {
        StoreError::Content {
            digest: self.digest().clone(),
            source,
        }
    }
}

/// The bytes of one blob, from anywhere in it.
#[derive(Debug)]
pub struct Reader {
    content: Content,
    size: u64,
}

#[derive(Debug)]
enum Content {
    File(File),
    Memory(Cursor<Bytes>),
}

impl Reader {
    /// Reads from a regular file of `size` bytes, positioned at its start; for drivers.
    #[must_use]
    pub fn from_file(file: File, size: u64) -> Self {
        Self {
            content: Content::File(file),
            size,
        }
    }

    /// Reads from bytes in memory; for drivers.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self {
            size: bytes.len() as u64,
            content: Content::Memory(Cursor::new(bytes)),
        }
    }

    /// Returns how many bytes the blob had when it was opened.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.content {
            Content::File(file) => file.read(buffer),
            Content::Memory(bytes) => bytes.read(buffer),
        }
    }
}

impl Seek for Reader {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match &mut self.content {
            Content::File(file) => file.seek(position),
            Content::Memory(bytes) => bytes.seek(position),
        }
    }
}

/// Refuses a digest whose content could not be verified (DG1); for the calls that need no
/// verifier.
pub(crate) fn supported(digest: &Digest) -> Result<(), StoreError> {
    match Hasher::new(&digest.algorithm()) {
        Ok(_) => Ok(()),
        Err(source) => Err(StoreError::Unsupported {
            digest: digest.clone(),
            source,
        }),
    }
}
