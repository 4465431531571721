//! Reads of a blob at any position, also while it is written.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::positioned;

/// A source of bytes that can be read at any position, from several threads at once; for drivers.
pub trait ReadAt: fmt::Debug + Send + Sync {
    /// As [`RandomReader::read_at`].
    ///
    /// # Errors
    ///
    /// The error of the driver.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// As [`RandomReader::try_read_at`]. The default reads nothing and returns `None`.
    ///
    /// # Errors
    ///
    /// The error of the driver.
    fn try_read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<Option<usize>> {
        let _ = (buffer, position);
        Ok(None)
    }
}

/// Reads the bytes of one blob at any position. Clones share one open file.
///
/// It comes from [`Writer::reader`](crate::Writer::reader) for a blob that is being written, or
/// from [`Reader::into_random`](crate::Reader::into_random). It stays readable when the blob is
/// committed, kept, discarded or deleted. A deleted file uses disk space until its last reader is
/// dropped.
///
/// The bytes of an unfinished blob are not verified yet. After a failed
/// [`Writer::write`](crate::Writer::write) the reader may see a part of the failed write, so a
/// caller must not read beyond [`Writer::position`](crate::Writer::position).
#[derive(Clone, Debug)]
pub struct RandomReader(Arc<dyn ReadAt>);

impl RandomReader {
    /// Reads from a source of a driver.
    pub fn new(source: impl ReadAt + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// Reads from a regular file; for drivers. A writer may use the same file concurrently if it
    /// does not depend on the file cursor.
    #[must_use]
    pub fn from_file(file: Arc<File>) -> Self {
        Self::new(FileSource(file))
    }

    /// Reads up to the length of `buffer` from `position`, in bytes from the start of the blob;
    /// returns how many bytes were read. May block.
    ///
    /// It returns 0 at the end of the bytes written so far. It may return fewer bytes than
    /// requested at any position.
    ///
    /// # Errors
    ///
    /// The operating system cannot read the file.
    pub fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }

    /// As [`RandomReader::read_at`], but never waits for a disk: for a thread that must not block.
    ///
    /// `None` means that the bytes are not in memory, that the system does not support such reads
    /// (only Linux does, and not on all file systems), or that the read failed: call
    /// [`RandomReader::read_at`] on a thread that may block. The result is `None` at the end of a
    /// file too, because Linux 5.9 and 5.10 may report a false end. Source: preadv2(2), "BUGS".
    ///
    /// # Errors
    ///
    /// A source of a driver cannot be read; files and memory report errors in
    /// [`RandomReader::read_at`] only.
    pub fn try_read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<Option<usize>> {
        self.0.try_read_at(buffer, position)
    }
}

#[derive(Debug)]
struct FileSource(Arc<File>);

impl ReadAt for FileSource {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        positioned::read_at(&self.0, buffer, position)
    }

    fn try_read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<Option<usize>> {
        Ok(positioned::read_cached_at(&self.0, buffer, position))
    }
}

impl ReadAt for Bytes {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        Ok(copy_at(self, buffer, position))
    }

    fn try_read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<Option<usize>> {
        Ok(Some(copy_at(self, buffer, position)))
    }
}

/// Copies bytes of `content` from `position` on into `buffer`. Returns the number of copied bytes.
pub(crate) fn copy_at(content: &[u8], buffer: &mut [u8], position: u64) -> usize {
    let rest = usize::try_from(position)
        .ok()
        .and_then(|position| content.get(position..))
        .unwrap_or_default();
    let count = rest.len().min(buffer.len());
    if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
        to.copy_from_slice(from);
    }
    count
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn memory_is_read_at_any_position() {
        let mut buffer = [0; 4];
        let huge = u64::MAX;
        for (position, expected) in [(0, "cont"), (5, "nt"), (7, ""), (8, ""), (huge, "")] {
            let count = copy_at(b"content", &mut buffer, position);
            assert_eq!(&buffer[..count], expected.as_bytes(), "{position}");
        }
    }

    // A file that was just written is in the page cache, so Linux reads it without waiting, unless
    // the file system does not support this.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_cached_file_is_read_without_waiting() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        let supported = {
            let mut byte = [0];
            let mut buffers = [io::IoSliceMut::new(&mut byte)];
            let flags = rustix::io::ReadWriteFlags::NOWAIT;
            rustix::io::preadv2(&file, &mut buffers, 0, flags) != Err(rustix::io::Errno::OPNOTSUPP)
        };
        let reader = RandomReader::from_file(Arc::new(file));
        let mut buffer = [0; 4];
        let expected = supported.then_some(3);
        assert_eq!(reader.try_read_at(&mut buffer, 4).unwrap(), expected);
        assert_eq!(&buffer[..3], if supported { b"ent" } else { &[0; 3] });
        // Only `read_at` reports the end of the file.
        assert_eq!(reader.try_read_at(&mut buffer, 7).unwrap(), None);
        assert_eq!(reader.read_at(&mut buffer, 7).unwrap(), 0);
    }

    // A pipe has no positions, so it fails like a file system without support.
    #[cfg(unix)]
    #[test]
    fn what_cannot_be_read_without_waiting_is_left_to_the_blocking_call() {
        let (end, _other) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(end));
        let reader = RandomReader::from_file(Arc::new(file));
        assert_eq!(reader.try_read_at(&mut [0; 4], 0).unwrap(), None);
        reader.read_at(&mut [0; 4], 0).unwrap_err();
    }
}
