//! The calls behind [`super::Dir`] where a directory is a descriptor.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::fs::ResolveFlags;
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{Entry, FileMode, Stamp};

pub(super) type Handle = File;

/// An open file that has lost its name has no links.
pub(super) const TELLS_UNLINKED: bool = true;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// What opening a regular file needs: not through a link, not waiting for a pipe's other end,
/// and no terminal becomes ours.
const REGULAR: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

pub(super) fn open_root(path: &Path) -> io::Result<Handle> {
    Ok(rustix::fs::open(path, DIRECTORY, Mode::empty())?.into())
}

pub(super) fn open_dir(within: &Handle, name: &str) -> io::Result<Handle> {
    let flags = DIRECTORY | OFlags::NOFOLLOW;
    match rustix::fs::openat(within, name, flags, Mode::empty()) {
        Ok(opened) => Ok(opened.into()),
        // Linux says that a link is no directory; others that it was a link too many.
        Err(Errno::LOOP | Errno::MLINK) => Err(Errno::NOTDIR.into()),
        Err(error) => Err(error.into()),
    }
}

/// Opens a file for reading; `None` for anything but a regular file.
pub(super) fn open_file(within: &Handle, name: &str) -> io::Result<Option<(File, u64)>> {
    open_regular(within, name, OFlags::RDONLY)
}

/// As [`open_file`], of a file in the directory `dir` in this one, with one call of the system;
/// `None` also where that fails.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn open_file_in(within: &Handle, dir: &str, name: &str) -> Option<(File, u64)> {
    let path = [dir, "/", name].concat();
    let flags = OFlags::RDONLY | REGULAR;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let opened = rustix::fs::openat2(within, path, flags, Mode::empty(), resolve).ok()?;
    regular(opened.into()).ok()?
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn open_file_in(_within: &Handle, _dir: &str, _name: &str) -> Option<(File, u64)> {
    None
}

/// Opens a private file for writing, made where there is none; `None` as [`open_file`].
pub(super) fn open_or_create(within: &Handle, name: &str) -> io::Result<Option<(File, u64)>> {
    open_regular(within, name, OFlags::RDWR | OFlags::CREATE)
}

fn open_regular(within: &Handle, name: &str, flags: OFlags) -> io::Result<Option<(File, u64)>> {
    let mode = Mode::from_raw_mode(0o600);
    let file = match rustix::fs::openat(within, name, flags | REGULAR, mode) {
        Ok(opened) => File::from(opened),
        // A link; a socket or a pipe; a directory.
        Err(Errno::LOOP | Errno::MLINK | Errno::NXIO | Errno::ISDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    regular(file)
}

/// A file with its size; `None` for anything but a regular file.
fn regular(file: File) -> io::Result<Option<(File, u64)>> {
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata.len())))
}

/// Returns whether an open file still has a name.
pub(super) fn is_linked(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() > 0)
}

pub(super) fn stamp(file: &File) -> Option<Stamp> {
    let metadata = file.metadata().ok()?;
    Some(Stamp {
        inode: metadata.ino(),
        size: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// Returns whether only the user of this process can read or write the file.
pub(super) fn is_private(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| {
        let ours = metadata.uid() == rustix::process::geteuid().as_raw();
        ours && metadata.mode() & 0o077 == 0
    })
}

pub(super) fn is_private_dir(handle: &Handle) -> bool {
    is_private(handle)
}

/// Makes a directory private; returns whether it is now.
pub(super) fn make_private(handle: &Handle) -> io::Result<bool> {
    // Its owner may have the mode already, on a file system that does not let it be set.
    if !is_private(handle) {
        match rustix::fs::fchmod(handle, Mode::RWXU) {
            Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(is_private(handle))
}

#[cfg(target_os = "linux")]
pub(super) fn share_content(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn share_content(_from: &File, _to: &File) -> bool {
    false
}

pub(super) fn create(within: &Handle, name: &str, access: FileMode) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = match access {
        FileMode::Private => 0o600,
        FileMode::Shared => 0o644,
    };
    Ok(rustix::fs::openat(within, name, flags, Mode::from_raw_mode(mode))?.into())
}

pub(super) fn make_dir(within: &Handle, name: &str, access: FileMode) -> io::Result<()> {
    let mode = match access {
        FileMode::Private => 0o700,
        FileMode::Shared => 0o755,
    };
    Ok(rustix::fs::mkdirat(
        within,
        name,
        Mode::from_raw_mode(mode),
    )?)
}

pub(super) fn entry(within: &Handle, name: &str) -> io::Result<Entry> {
    let stat = rustix::fs::statat(within, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Entry::File(u64::try_from(stat.st_size).unwrap_or_default()),
        FileType::Directory => Entry::Directory,
        _ => Entry::Other,
    })
}

pub(super) fn names(
    within: &Handle,
) -> io::Result<impl Iterator<Item = io::Result<OsString>> + Send + use<>> {
    let entries = rustix::fs::Dir::read_from(within)?;
    Ok(entries.filter_map(|entry| match entry {
        Ok(entry) => match entry.file_name().to_bytes() {
            b"." | b".." => None,
            name => Some(Ok(OsStr::from_bytes(name).to_owned())),
        },
        Err(error) => Some(Err(error.into())),
    }))
}

/// Takes the exclusive lock of an open file; [`io::ErrorKind::WouldBlock`] when it is not free.
pub(super) fn try_lock(file: &File) -> io::Result<()> {
    Ok(rustix::fs::flock(
        file,
        FlockOperation::NonBlockingLockExclusive,
    )?)
}

pub(super) fn unlock(file: &File) -> io::Result<()> {
    Ok(rustix::fs::flock(file, FlockOperation::Unlock)?)
}

pub(super) fn rename(from: &Handle, name: &str, to: &Handle, to_name: &str) -> io::Result<()> {
    Ok(rustix::fs::renameat(from, name, to, to_name)?)
}

pub(super) fn remove(within: &Handle, name: &str) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(within, name, AtFlags::empty())?)
}

pub(super) fn remove_dir(within: &Handle, name: &str) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(within, name, AtFlags::REMOVEDIR)?)
}

pub(super) fn sync(within: &Handle) -> io::Result<()> {
    within.sync_all()
}

/// Makes the content of a file durable; `None` as [`open_file`].
pub(super) fn sync_file(within: &Handle, name: &str) -> io::Result<Option<()>> {
    match open_file(within, name)? {
        Some((file, _)) => file.sync_all().map(Some),
        None => Ok(None),
    }
}
