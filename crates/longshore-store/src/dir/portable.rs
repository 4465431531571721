//! The calls behind [`super::Dir`] where a directory cannot be held open: paths, looked at
//! before they are used.
//!
//! A link that stands below the root is refused, as it is elsewhere. What is missing is the
//! protection from somebody who swaps a directory for a link between the look and the use.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use fs4::FileExt;

use super::{Entry, FileMode, Stamp};

pub(super) type Handle = PathBuf;

/// Nothing here tells that an open file has lost its name.
pub(super) const TELLS_UNLINKED: bool = false;

pub(super) fn open_root(path: &Path) -> io::Result<Handle> {
    if !fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    std::path::absolute(path)
}

pub(super) fn open_dir(within: &Handle, name: &str) -> io::Result<Handle> {
    let path = within.join(name);
    if !fs::symlink_metadata(&path)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(path)
}

/// Opens a file for reading; `None` for anything but a regular file.
pub(super) fn open_file(within: &Handle, name: &str) -> io::Result<Option<(File, u64)>> {
    let path = within.join(name);
    if !fs::symlink_metadata(&path)?.is_file() {
        return Ok(None);
    }
    regular(File::open(path)?)
}

/// Opens a file in the directory `dir` in this one with one call of the system, which this system
/// does not have.
#[cfg(not(unix))]
pub(super) fn open_file_in(_within: &Handle, _dir: &str, _name: &str) -> Option<(File, u64)> {
    None
}

/// Opens a private file for writing, made where there is none; `None` as [`open_file`].
pub(super) fn open_or_create(within: &Handle, name: &str) -> io::Result<Option<(File, u64)>> {
    let path = within.join(name);
    let is_other = |metadata: Metadata| !metadata.is_file();
    if fs::symlink_metadata(&path).is_ok_and(is_other) {
        return Ok(None);
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    regular(options.open(path)?)
}

fn regular(file: File) -> io::Result<Option<(File, u64)>> {
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata.len())))
}

pub(super) fn is_linked(_file: &File) -> io::Result<bool> {
    Ok(true)
}

/// The standard library has no metadata here that changes with every change of a file.
pub(super) fn stamp(_file: &File) -> Option<Stamp> {
    None
}

/// The owner of a file is not known here.
pub(super) fn is_private(_file: &File) -> bool {
    false
}

/// The owner of a directory is not known here.
#[cfg(not(unix))]
pub(super) fn is_private_dir(_handle: &Handle) -> bool {
    false
}

/// There is no mode to set here.
#[cfg(not(unix))]
pub(super) fn make_private(_handle: &Handle) -> io::Result<bool> {
    Ok(true)
}

pub(super) fn share_content(_from: &File, _to: &File) -> bool {
    false
}

pub(super) fn create(within: &Handle, name: &str, _access: FileMode) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    options.open(within.join(name))
}

pub(super) fn make_dir(within: &Handle, name: &str, _access: FileMode) -> io::Result<()> {
    fs::create_dir(within.join(name))
}

pub(super) fn entry(within: &Handle, name: &str) -> io::Result<Entry> {
    let metadata = fs::symlink_metadata(within.join(name))?;
    Ok(if metadata.is_file() {
        Entry::File(metadata.len())
    } else if metadata.is_dir() {
        Entry::Directory
    } else {
        Entry::Other
    })
}

pub(super) fn names(
    within: &Handle,
) -> io::Result<impl Iterator<Item = io::Result<OsString>> + Send + use<>> {
    Ok(fs::read_dir(within)?.map(|entry| Ok(entry?.file_name())))
}

/// Takes the exclusive lock of an open file; [`io::ErrorKind::WouldBlock`] when it is not free.
pub(super) fn try_lock(file: &File) -> io::Result<()> {
    // The method of the standard library needs Rust 1.89.
    Ok(FileExt::try_lock(file)?)
}

pub(super) fn unlock(file: &File) -> io::Result<()> {
    FileExt::unlock(file)
}

pub(super) fn rename(from: &Handle, name: &str, to: &Handle, to_name: &str) -> io::Result<()> {
    fs::rename(from.join(name), to.join(to_name))
}

pub(super) fn remove(within: &Handle, name: &str) -> io::Result<()> {
    fs::remove_file(within.join(name))
}

pub(super) fn remove_dir(within: &Handle, name: &str) -> io::Result<()> {
    fs::remove_dir(within.join(name))
}

/// Directories are made durable with what is in them, or not at all.
pub(super) fn sync(_within: &Handle) -> io::Result<()> {
    Ok(())
}

/// Makes the content of a file durable; `None` as [`open_file`].
pub(super) fn sync_file(within: &Handle, name: &str) -> io::Result<Option<()>> {
    let path = within.join(name);
    if !fs::symlink_metadata(&path)?.is_file() {
        return Ok(None);
    }
    // What is only open for reading cannot be flushed everywhere.
    OpenOptions::new().write(true).open(path)?.sync_all()?;
    Ok(Some(()))
}
