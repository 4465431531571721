//! Reading and writing a file at a position, without regard to its cursor.
//!
//! On Windows each call also moves the cursor, so a file that is shared with a reader is used
//! through these functions only.

use std::fs::File;
use std::io;

/// Reads from `position`; returns how many bytes were read, 0 at the end of the file.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    loop {
        match sys::read_at(file, buffer, position) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Writes all of `content` from `position`.
pub(crate) fn write_all_at(file: &File, content: &[u8], position: u64) -> io::Result<()> {
    let (mut rest, mut position) = (content, position);
    while !rest.is_empty() {
        match sys::write_at(file, rest, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                rest = rest.get(count..).unwrap_or_default();
                position += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads from `position` what is in memory already; `None` where nothing is, at the end of the
/// file, and where the system cannot tell.
#[cfg(target_os = "linux")]
pub(crate) fn read_cached_at(file: &File, buffer: &mut [u8], position: u64) -> Option<usize> {
    let mut buffers = [io::IoSliceMut::new(buffer)];
    let flags = rustix::io::ReadWriteFlags::NOWAIT;
    // The caller repeats the call with `read_at`, which reports the error.
    let count = rustix::io::preadv2(file, &mut buffers, position, flags).ok()?;
    (count > 0).then_some(count)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn read_cached_at(_file: &File, _buffer: &mut [u8], _position: u64) -> Option<usize> {
    None
}

#[cfg(unix)]
mod sys {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt as _;

    pub(super) fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        file.read_at(buffer, position)
    }

    pub(super) fn write_at(file: &File, content: &[u8], position: u64) -> io::Result<usize> {
        file.write_at(content, position)
    }
}

#[cfg(windows)]
mod sys {
    use std::fs::File;
    use std::io;
    use std::os::windows::fs::FileExt as _;

    pub(super) fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        file.seek_read(buffer, position)
    }

    pub(super) fn write_at(file: &File, content: &[u8], position: u64) -> io::Result<usize> {
        file.seek_write(content, position)
    }
}
