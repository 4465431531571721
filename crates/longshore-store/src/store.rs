//! What every store does, and what it hands out.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use longshore_model::{Digest, Hasher};

use crate::error::StoreError;
use crate::interrupt::Interrupt;
use crate::random::RandomReader;
use crate::writer::{Writer, content_matches};

/// The blobs of a store, in no particular order.
pub type Digests<'a> = Box<dyn Iterator<Item = Result<Digest, StoreError>> + Send + 'a>;

/// The partial blobs of a store, in no particular order.
pub type Partials<'a> = Box<dyn Iterator<Item = Result<Partial, StoreError>> + Send + 'a>;

/// What is kept of a blob that was not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Partial {
    /// The digest the blob is to have.
    pub digest: Digest,
    /// How many bytes are kept.
    pub size: u64,
}

impl Partial {
    /// Says that `size` bytes of `digest` are kept; for drivers.
    #[must_use]
    pub fn new(digest: Digest, size: u64) -> Self {
        Self { digest, size }
    }
}

/// Whether a store has a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a blob is there, is not, or is something else"
)]
pub enum Existing {
    /// No blob of that size.
    Absent,
    /// A blob of that size whose bytes are wrong or cannot be read. Writing the blob replaces it.
    Damaged,
    /// The blob, verified.
    Verified,
}

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

    /// Goes on with what is kept of the blob `digest`, of `size` bytes, or begins it where
    /// nothing is; [`Writer::position`] says how many bytes there are already.
    ///
    /// What is kept may come from another process, however that ended, so all of it is hashed
    /// again here, which takes a while for a large one: what [`Writer::commit`] verifies is the
    /// whole blob. One that is longer than `size`, or cannot be read, is discarded. The writer
    /// owns what it goes on with: nobody else finds it meanwhile, and begins anew.
    ///
    /// The writer returned is kept when it is dropped, and when the process dies, if the store
    /// outlives it. A partial blob is never visible as a blob.
    ///
    /// # Errors
    ///
    /// As [`Store::begin`].
    fn resume(&self, digest: &Digest, size: u64) -> Result<Writer, StoreError>;

    /// Lists what is kept of unfinished blobs; what somebody is writing to is not among it.
    ///
    /// # Errors
    ///
    /// What the driver meets, now or at an item.
    fn partials(&self) -> Result<Partials<'_>, StoreError>;

    /// Removes everything that is kept of unfinished blobs; nobody's writer is disturbed.
    ///
    /// # Errors
    ///
    /// What the driver meets.
    fn clear_partials(&self) -> Result<(), StoreError>;

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
    /// Whoever wrote it may have died before the flush. The bytes are not looked at:
    /// [`Store::reuse_verified`] does that.
    ///
    /// # Errors
    ///
    /// As [`Store::size`].
    fn reuse(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        Ok(self.size(digest)? == Some(size))
    }

    /// As [`Store::reuse`], for a blob whose bytes must be right: it is hashed, unless the store
    /// knows that it was verified and has not changed since (DG10).
    ///
    /// # Errors
    ///
    /// As [`Store::size`], and [`StoreError::Interrupted`]; a blob that cannot be read is damaged.
    fn reuse_verified(&self, digest: &Digest, size: u64) -> Result<Existing, StoreError> {
        if !self.reuse(digest, size)? {
            return Ok(Existing::Absent);
        }
        let mut content = self.open(digest)?;
        match content_matches(&mut content, digest, size, &Interrupt::new())? {
            true => Ok(Existing::Verified),
            false => Ok(Existing::Damaged),
        }
    }

    /// Removes the blob `digest`; one that is not there is removed already.
    ///
    /// Readers that have it open keep what they have.
    ///
    /// # Errors
    ///
    /// What the driver meets.
    fn delete(&self, digest: &Digest) -> Result<(), StoreError>;

    /// Takes the blob `digest`, whose bytes or size proved wrong, out of the store, so that it is
    /// never served again (CA3: a bad blob is quarantined). An absent blob is no error.
    ///
    /// A driver may keep the bytes elsewhere so that a person can look for the cause; the default
    /// removes them.
    ///
    /// # Errors
    ///
    /// What the driver meets; the blob may still be there.
    fn quarantine(&self, digest: &Digest) -> Result<(), StoreError> {
        self.delete(digest)
    }

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
    /// [`StoreError::Io`]: a blob that this store wrote and could not make durable is removed
    /// again, since no later attempt can be believed; one that it reused stays.
    /// [`StoreError::Interrupted`].
    fn flush(&self) -> Result<(), StoreError>;

    /// Returns the same store, whose blocking calls end early when `interrupt` is set.
    fn interruptible(&self, interrupt: &Interrupt) -> Arc<dyn Store>;

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

/// The bytes of one blob, from anywhere in it.
#[derive(Debug)]
pub struct Reader {
    source: ReaderSource,
    size: u64,
}

/// What the bytes of a blob are read from.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a blob is in a file or in memory")]
pub enum Opened {
    /// A regular file.
    File(File),
    /// Memory, from the first byte of the blob.
    Bytes(Bytes),
}

#[derive(Debug)]
enum ReaderSource {
    File(File),
    Memory(Cursor<Bytes>),
}

impl Reader {
    /// Reads from a regular file of `size` bytes, positioned at its start; for drivers.
    #[must_use]
    pub fn from_file(file: File, size: u64) -> Self {
        Self {
            source: ReaderSource::File(file),
            size,
        }
    }

    /// Reads from bytes in memory; for drivers.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self {
            size: bytes.len() as u64,
            source: ReaderSource::Memory(Cursor::new(bytes)),
        }
    }

    /// Returns what the bytes are read from, for a caller that reads in another way. A file is at
    /// the position where this reader is.
    #[must_use]
    pub fn into_opened(self) -> Opened {
        match self.source {
            ReaderSource::File(file) => Opened::File(file),
            ReaderSource::Memory(bytes) => Opened::Bytes(bytes.into_inner()),
        }
    }

    /// Turns this into a reader of any position, which several threads can share.
    #[must_use]
    pub fn into_random(self) -> RandomReader {
        match self.into_opened() {
            Opened::File(file) => RandomReader::from_file(Arc::new(file)),
            Opened::Bytes(bytes) => RandomReader::new(bytes),
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
        match &mut self.source {
            ReaderSource::File(file) => file.read(buffer),
            ReaderSource::Memory(bytes) => bytes.read(buffer),
        }
    }
}

impl Seek for Reader {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match &mut self.source {
            ReaderSource::File(file) => file.seek(position),
            ReaderSource::Memory(bytes) => bytes.seek(position),
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
