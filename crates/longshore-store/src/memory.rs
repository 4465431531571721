//! Blobs in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use longshore_model::Digest;

use crate::error::StoreError;
use crate::interrupt::Interrupt;
use crate::lock::locked;
use crate::random::{RandomReader, ReadAt, copy_at};
use crate::store::{Digests, Existing, Partial, Partials, Reader, Store, supported};
use crate::writer::{Sink, Writer};

/// Blobs in memory, for tests and for content known to be small.
///
/// Clones share one content.
#[derive(Clone, Debug)]
pub struct MemoryStore(Arc<Mutex<MemoryContents>>);

#[derive(Debug)]
struct MemoryContents {
    blobs: BTreeMap<Digest, Bytes>,
    partials: BTreeMap<Digest, Bytes>,
    /// Bytes in `blobs`, in `partials` and in writers.
    used: u64,
    limit: u64,
}

impl MemoryStore {
    /// Makes an empty store without a limit.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit_bytes(u64::MAX)
    }

    /// Makes an empty store that keeps at most `limit` bytes, those of partial blobs and those
    /// being written included; beyond it a writer fails with [`StoreError::Full`].
    #[must_use]
    pub fn with_limit_bytes(limit: u64) -> Self {
        Self(Arc::new(Mutex::new(MemoryContents {
            blobs: BTreeMap::new(),
            partials: BTreeMap::new(),
            used: 0,
            limit,
        })))
    }

    /// Returns the bytes of the blob `digest` without copying them, `None` when it is absent.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unsupported`] (DG1: content that cannot be verified is not kept).
    pub fn bytes(&self, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        supported(digest)?;
        Ok(locked(&self.0).blobs.get(digest).cloned())
    }

    fn sink(&self, digest: &Digest, written: Vec<u8>) -> MemorySink {
        let reserved = written.len();
        MemorySink {
            digest: digest.clone(),
            written: Arc::new(Written(Mutex::new(Growth::Growing(written)))),
            read: 0,
            reserved,
            content: Arc::clone(&self.0),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn begin(&self, digest: &Digest, size: Option<u64>) -> Result<Writer, StoreError> {
        Writer::new(digest, size, || Ok(Box::new(self.sink(digest, Vec::new()))))
    }

    fn resume(&self, digest: &Digest, size: u64) -> Result<Writer, StoreError> {
        let kept = || locked(&self.0).partials.remove(digest);
        Writer::resume(
            digest,
            size,
            || Ok(kept().map(|written| self.sink(digest, Vec::from(written)))),
            || Ok(self.sink(digest, Vec::new())),
            &Interrupt::new(),
        )
    }

    fn partials(&self) -> Result<Partials<'_>, StoreError> {
        let partials: Vec<Partial> = locked(&self.0)
            .partials
            .iter()
            .map(|(digest, written)| Partial::new(digest.clone(), written.len() as u64))
            .collect();
        Ok(Box::new(partials.into_iter().map(Ok)))
    }

    fn clear_partials(&self) -> Result<(), StoreError> {
        let mut content = locked(&self.0);
        for written in std::mem::take(&mut content.partials).into_values() {
            content.release(written.len());
        }
        Ok(())
    }

    fn open(&self, digest: &Digest) -> Result<Reader, StoreError> {
        match self.bytes(digest)? {
            Some(bytes) => Ok(Reader::from_bytes(bytes)),
            None => Err(StoreError::Absent {
                digest: digest.clone(),
            }),
        }
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        Ok(self.bytes(digest)?.map(|bytes| bytes.len() as u64))
    }

    /// Blobs in memory were verified when they were written, and nothing else can change them.
    fn reuse_verified(&self, digest: &Digest, size: u64) -> Result<Existing, StoreError> {
        match self.reuse(digest, size)? {
            true => Ok(Existing::Verified),
            false => Ok(Existing::Absent),
        }
    }

    fn delete(&self, digest: &Digest) -> Result<(), StoreError> {
        supported(digest)?;
        let mut content = locked(&self.0);
        if let Some(bytes) = content.blobs.remove(digest) {
            content.release(bytes.len());
        }
        Ok(())
    }

    fn list(&self) -> Result<Digests<'_>, StoreError> {
        let digests: Vec<Digest> = locked(&self.0).blobs.keys().cloned().collect();
        Ok(Box::new(digests.into_iter().map(Ok)))
    }

    fn path(&self, _digest: &Digest) -> Option<PathBuf> {
        None
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// No call here blocks, so there is nothing to interrupt.
    fn interruptible(&self, _interrupt: &Interrupt) -> Arc<dyn Store> {
        Arc::new(self.clone())
    }
}

impl MemoryContents {
    fn reserve(&mut self, bytes: usize) -> Result<(), StoreError> {
        match self.used.checked_add(bytes as u64) {
            Some(used) if used <= self.limit => {
                self.used = used;
                Ok(())
            }
            _ => Err(StoreError::Full { limit: self.limit }),
        }
    }

    fn release(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes as u64);
    }
}

/// The bytes of one sink, as its readers see them.
struct Written(Mutex<Growth>);

enum Growth {
    Growing(Vec<u8>),
    /// Published or kept; nothing is appended any more.
    Finished(Bytes),
}

impl Written {
    /// Ends the growth and returns all bytes, without copying them.
    fn finish(&self) -> Bytes {
        let mut growth = locked(&self.0);
        let bytes = match &mut *growth {
            Growth::Growing(written) => Bytes::from(std::mem::take(written)),
            Growth::Finished(bytes) => bytes.clone(),
        };
        *growth = Growth::Finished(bytes.clone());
        bytes
    }
}

impl ReadAt for Arc<Written> {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        Ok(match &*locked(&self.0) {
            Growth::Growing(written) => copy_at(written, buffer, position),
            Growth::Finished(bytes) => copy_at(bytes, buffer, position),
        })
    }

    fn try_read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<Option<usize>> {
        self.read_at(buffer, position).map(Some)
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written").finish_non_exhaustive()
    }
}

/// One blob on its way into memory.
#[derive(Debug)]
struct MemorySink {
    digest: Digest,
    /// Shared with readers.
    written: Arc<Written>,
    /// How much of what was kept was hashed again.
    read: u64,
    /// How many bytes of the limit this sink uses.
    reserved: usize,
    content: Arc<Mutex<MemoryContents>>,
}

impl Sink for MemorySink {
    fn append(&mut self, content: &[u8]) -> Result<(), StoreError> {
        locked(&self.content).reserve(content.len())?;
        if let Growth::Growing(written) = &mut *locked(&self.written.0) {
            written.extend_from_slice(content);
        }
        self.reserved += content.len();
        Ok(())
    }

    fn reader(&self) -> Result<RandomReader, StoreError> {
        Ok(RandomReader::new(Arc::clone(&self.written)))
    }

    fn publish(mut self: Box<Self>) -> Result<(), StoreError> {
        let bytes = self.written.finish();
        self.reserved = 0;
        let mut content = locked(&self.content);
        // What was reserved while writing now belongs to the blob, and its predecessor's is free.
        if let Some(replaced) = content.blobs.insert(self.digest.clone(), bytes) {
            content.release(replaced.len());
        }
        if let Some(partial) = content.partials.remove(&self.digest) {
            content.release(partial.len());
        }
        Ok(())
    }

    fn keep(mut self: Box<Self>) -> Result<(), StoreError> {
        let mut content = locked(&self.content);
        let before = content.partials.get(&self.digest).map_or(0, Bytes::len);
        if self.reserved > before {
            self.reserved = 0;
            let written = self.written.finish();
            content.partials.insert(self.digest.clone(), written);
            content.release(before);
        }
        drop(content);
        Ok(())
    }
}

impl Read for MemorySink {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.written.read_at(buffer, self.read)?;
        self.read += count as u64;
        Ok(count)
    }
}

impl Drop for MemorySink {
    fn drop(&mut self) {
        locked(&self.content).release(self.reserved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;
    use crate::error::StoreErrorKind;

    #[test]
    fn it_conforms() {
        conformance::check(MemoryStore::new);
    }

    #[test]
    fn a_full_store_refuses_and_room_comes_back() {
        let store = MemoryStore::with_limit_bytes(10);
        let digest = Digest::sha256(b"content");
        store.put(&digest, b"content").unwrap();
        let other = Digest::sha256(b"other");
        let error = store.put(&other, b"other").unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Full);
        assert_eq!(
            error.to_string(),
            "the store is full: it keeps at most 10 bytes"
        );
        assert_eq!(store.size(&other).unwrap(), None);

        // Bytes on their way count, those of a dropped writer no longer do.
        let mut writer = store.begin(&other, None).unwrap();
        writer.write(b"oth").unwrap();
        let third = Digest::sha256(b"3");
        assert_eq!(
            store.put(&third, b"3").unwrap_err().kind(),
            StoreErrorKind::Full
        );
        drop(writer);
        store.put(&third, b"3").unwrap();

        store.delete(&digest).unwrap();
        store.put(&other, b"other").unwrap();
        // Its own bytes twice, for a moment.
        assert_eq!(
            store.put(&other, b"other").unwrap_err().kind(),
            StoreErrorKind::Full
        );
        store.delete(&third).unwrap();
        store.put(&other, b"other").unwrap();
    }

    #[test]
    fn clones_share_their_content() {
        let store = MemoryStore::default();
        let digest = Digest::sha256(b"content");
        let clone = store.clone();
        assert_eq!(clone.bytes(&digest).unwrap(), None);
        store.put(&digest, b"content").unwrap();
        assert_eq!(clone.size(&digest).unwrap(), Some(7));
        assert_eq!(
            clone.bytes(&digest).unwrap().as_deref(),
            Some(&b"content"[..])
        );
        assert_eq!(store.path(&digest), None);
    }
}
