//! A directory held open, below which no link is followed (DG9).
//!
//! A layout or a store may come from anybody: a link or a pipe in it must not lead a reader or
//! a writer elsewhere. Names are therefore opened one component at a time, relative to the
//! directory that holds them, and what was opened is looked at before it is used.

#[cfg(any(not(unix), test))]
mod portable;
#[cfg(unix)]
mod unix;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

#[cfg(not(unix))]
use self::portable as sys;
#[cfg(unix)]
use self::unix as sys;
use crate::error::{Action, StoreError};
use crate::failpoint::{self, Step};

/// A directory held open by its descriptor, and the path it was reached by for messages.
///
/// Every `name` is a single component: one that names another directory is refused.
#[derive(Debug)]
pub struct Dir {
    handle: sys::Handle,
    path: PathBuf,
}

/// How often a lock is tried whose file others remove.
const LOCK_ATTEMPTS: usize = 16;

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// A directory.
    Directory,
    /// A regular file and its size in bytes.
    File(u64),
    /// A link, a pipe, a socket or a device.
    Other,
}

/// The metadata of a file that changes with its content, as far as the file system records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) inode: u64,
    /// In bytes.
    pub(crate) size: u64,
    /// When the content was changed, in seconds and nanoseconds since 1970.
    pub(crate) modified: (i64, i64),
    /// When the content or anything else of the file was changed.
    pub(crate) changed: (i64, i64),
}

impl Stamp {
    /// Returns the stamp of an open file, `None` where files have none.
    pub(crate) fn of(file: &File) -> Option<Self> {
        sys::stamp(file)
    }
}

/// Who may read what is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "DG9 knows these two")]
pub enum FileMode {
    /// Only its owner: directories 0700, files 0600.
    Private,
    /// Anybody the umask lets: directories 0755, files 0644.
    Shared,
}

impl Dir {
    /// Whether [`Dir::still_holds`] can tell that a file was removed.
    pub(crate) const TELLS_REMOVED: bool = sys::TELLS_UNLINKED;

    /// Opens the directory at `path`; links in `path` itself are followed, it is the caller's.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`], [`StoreError::NotADirectory`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // An empty path means here, as it does to whoever joins it with a name.
        let here = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        match failpoint::pass(Step::OpenDir).and_then(|()| sys::open_root(here)) {
            Ok(handle) => Ok(Self {
                handle,
                path: path.to_owned(),
            }),
            Err(error) => Err(Self::open_failed(path.to_owned(), error)),
        }
    }

    /// Returns the path the directory was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the directory `name` in this one, `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotADirectory`] for a link or anything else, [`StoreError::Io`].
    pub fn dir(&self, name: &str) -> Result<Option<Self>, StoreError> {
        let path = self.path.join(name);
        match step(Step::OpenDir, name).and_then(|name| sys::open_dir(&self.handle, name)) {
            Ok(handle) => Ok(Some(Self { handle, path })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Self::open_failed(path, error)),
        }
    }

    /// Opens the regular file `name` for reading, with its size; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotAFile`] for a link, a pipe or anything else, [`StoreError::Io`].
    pub fn file(&self, name: &str) -> Result<Option<(File, u64)>, StoreError> {
        self.opened(
            name,
            step(Step::Open, name).and_then(|name| sys::open_file(&self.handle, name)),
        )
    }

    /// Opens the regular file `name` in the directory `dir` in this one, where the system can do
    /// that with one call (Linux 5.6, openat2(2)); following no link (DG9).
    ///
    /// `None` says only that this did not work: [`Dir::dir`] and [`Dir::file`] tell why.
    pub(crate) fn file_in(&self, dir: &str, name: &str) -> Result<Option<(File, u64)>, StoreError> {
        let opened = step(Step::OpenDir, dir)
            .and_then(|_| step(Step::Open, name))
            .map(|_| sys::open_file_in(&self.handle, dir, name));
        opened.map_err(|error| self.failed(Action::Open, name, error))
    }

    /// Reads the document `name` whole; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooLarge`] above `limit` bytes, whatever size the file claims; else as
    /// [`Dir::file`].
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some((file, size)) = self.file(name)? else {
            return Ok(None);
        };
        let path = || self.path.join(name);
        let mut content = Vec::new();
        if size <= limit {
            failpoint::pass(Step::Read)
                .and_then(|()| file.take(limit.saturating_add(1)).read_to_end(&mut content))
                .map_err(|error| self.failed(Action::Read, name, error))?;
        }
        if size > limit || content.len() as u64 > limit {
            return Err(StoreError::TooLarge {
                path: path(),
                limit,
            });
        }
        Ok(Some(content))
    }

    /// Looks at what stands under `name` without opening it; `None` when nothing does.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn entry(&self, name: &str) -> Result<Option<Entry>, StoreError> {
        match step(Step::Stat, name).and_then(|name| sys::entry(&self.handle, name)) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(Action::Open, name, error)),
        }
    }

    /// Lists the names in this directory, except `.` and `..`, in no particular order.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`], now or at an item.
    pub fn names(
        &self,
    ) -> Result<impl Iterator<Item = Result<OsString, StoreError>> + Send + use<>, StoreError> {
        let path = self.path.clone();
        let failed = move |source| StoreError::Io {
            action: Action::List,
            path: path.clone(),
            source,
        };
        let names = failpoint::pass(Step::List)
            .and_then(|()| sys::names(&self.handle))
            .map_err(&failed)?;
        Ok(names.map(move |name| name.map_err(&failed)))
    }

    /// Makes the directory `name`, unless something stands there; returns whether it was made.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn make_dir(&self, name: &str, access: FileMode) -> Result<bool, StoreError> {
        match step(Step::MakeDir, name).and_then(|name| sys::make_dir(&self.handle, name, access)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(self.failed(Action::Create, name, error)),
        }
    }

    /// Creates the file `name` for writing and reading; fails if the name exists.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`], also when something stands there.
    pub fn create(&self, name: &str, access: FileMode) -> Result<File, StoreError> {
        step(Step::Create, name)
            .and_then(|name| sys::create(&self.handle, name, access))
            .map_err(|error| self.failed(Action::Create, name, error))
    }

    /// Returns whether only the user of this process can read or write the directory; `false` where
    /// the system does not say who owns a file.
    #[must_use]
    pub fn is_private(&self) -> bool {
        sys::is_private_dir(&self.handle)
    }

    /// Gives the directory mode 0700; nothing where the system has no modes.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotPrivate`] if another user owns it, or the file system does not keep modes.
    pub(crate) fn make_private(&self) -> Result<(), StoreError> {
        match failpoint::pass(Step::SetMode).and_then(|()| sys::make_private(&self.handle)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::NotPrivate {
                path: self.path.clone(),
            }),
            Err(source) => Err(StoreError::Io {
                action: Action::Open,
                path: self.path.clone(),
                source,
            }),
        }
    }

    /// Reads the private document `name` like [`Dir::read`]; `None` also if another user owns it,
    /// or can read or write it.
    #[must_use]
    pub fn read_private(&self, name: &str, limit: u64) -> Option<Vec<u8>> {
        let (file, _) = self.file(name).ok()??;
        if !sys::is_private(&file) {
            return None;
        }
        self.read(name, limit).ok()?
    }

    /// Makes an empty file share the content of another file without copying it (reflink); returns
    /// whether the file system supports that.
    pub(crate) fn share_content(from: &File, to: &File) -> bool {
        failpoint::pass(Step::Share).is_ok() && sys::share_content(from, to)
    }

    /// Opens the private file `name` for locking and makes it where there is none; `None` when
    /// this directory itself has been removed.
    ///
    /// # Errors
    ///
    /// As [`Dir::file`].
    pub(crate) fn lock_file(&self, name: &str) -> Result<Option<File>, StoreError> {
        let opened =
            step(Step::OpenLock, name).and_then(|name| sys::open_or_create(&self.handle, name));
        Ok(self.opened(name, opened)?.map(|(file, _)| file))
    }

    /// Takes the exclusive lock of the private file `name`, which is made where there is none,
    /// without waiting; `None` when somebody else has it. The lock ends with the file, also when
    /// the process is killed.
    ///
    /// # Errors
    ///
    /// As [`Dir::file`]; also when this directory has been removed.
    pub fn try_lock_file(&self, name: &str) -> Result<Option<File>, StoreError> {
        // The previous holder may remove the file before it is locked here.
        for _ in 0..LOCK_ATTEMPTS {
            let file = self.lock_file(name)?.ok_or_else(|| self.vanished(name))?;
            match Self::try_lock(&file) {
                Ok(()) if self.still_holds(name, &file)? => return Ok(Some(file)),
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(self.failed(Action::Lock, name, error)),
            }
        }
        Ok(None)
    }

    /// Releases a lock that [`Dir::try_lock_file`] took, and removes its file if the system lets a
    /// process that has just opened it see that.
    pub fn release_lock_file(&self, name: &str, file: &File) {
        if Self::TELLS_REMOVED {
            // A file that remains does no harm.
            let _ = self.remove(name);
        }
        // Closing would do, unless a child is being started right now and has the file too.
        let _ = Self::unlock(file);
    }

    /// Returns whether `file`, opened here as `name`, has not been removed since.
    pub(crate) fn still_holds(&self, name: &str, file: &File) -> Result<bool, StoreError> {
        failpoint::pass(Step::Stat)
            .and_then(|()| sys::is_linked(file))
            .map_err(|error| self.failed(Action::Lock, name, error))
    }

    /// Takes the exclusive lock of a file that [`Dir::lock_file`] opened, without waiting.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when another process has the lock.
    pub(crate) fn try_lock(file: &File) -> io::Result<()> {
        failpoint::pass(Step::Lock)?;
        sys::try_lock(file)
    }

    /// Releases the lock of a file.
    ///
    /// # Errors
    ///
    /// The system refuses it.
    pub(crate) fn unlock(file: &File) -> io::Result<()> {
        failpoint::pass(Step::Unlock)?;
        sys::unlock(file)
    }

    /// Gives the file `name` its new name `to_name` in `to`, replacing a file of that name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn rename(&self, name: &str, to: &Self, to_name: &str) -> Result<(), StoreError> {
        step(Step::Rename, name)
            .and_then(|name| sys::rename(&self.handle, name, &to.handle, component(to_name)?))
            .map_err(|error| to.failed(Action::Rename, to_name, error))
    }

    /// Removes the file or link `name`; one that is not there is removed already.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`], also for a directory.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.removed(
            name,
            step(Step::Remove, name).and_then(|name| sys::remove(&self.handle, name)),
        )
    }

    /// Removes the empty directory `name`; one that is not there is removed already.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`], also for a directory that is not empty.
    pub fn remove_dir(&self, name: &str) -> Result<(), StoreError> {
        self.removed(
            name,
            step(Step::RemoveDir, name).and_then(|name| sys::remove_dir(&self.handle, name)),
        )
    }

    /// Makes the names in this directory outlive a power cut.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn sync(&self) -> Result<(), StoreError> {
        failpoint::pass(Step::SyncDir)
            .and_then(|()| sys::sync(&self.handle))
            .map_err(|source| StoreError::Io {
                action: Action::Sync,
                path: self.path.clone(),
                source,
            })
    }

    /// Makes the content of the regular file `name` outlive a power cut.
    pub(crate) fn sync_file(&self, name: &str) -> io::Result<()> {
        sys::sync_file(&self.handle, step(Step::Sync, name)?)?
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Names what failed under `name` in this directory.
    pub(crate) fn failed(&self, action: Action, name: &str, source: io::Error) -> StoreError {
        StoreError::Io {
            action,
            path: self.path.join(name),
            source,
        }
    }

    /// Says that what was just made under `name` was removed by somebody else.
    pub(crate) fn vanished(&self, name: &str) -> StoreError {
        self.failed(Action::Open, name, io::ErrorKind::NotFound.into())
    }

    fn opened(
        &self,
        name: &str,
        opened: io::Result<Option<(File, u64)>>,
    ) -> Result<Option<(File, u64)>, StoreError> {
        match opened {
            Ok(Some(found)) => Ok(Some(found)),
            Ok(None) => Err(StoreError::NotAFile {
                path: self.path.join(name),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(Action::Open, name, error)),
        }
    }

    fn removed(&self, name: &str, removed: io::Result<()>) -> Result<(), StoreError> {
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed(Action::Delete, name, error))
            }
            _ => Ok(()),
        }
    }

    fn open_failed(path: PathBuf, error: io::Error) -> StoreError {
        if error.kind() == io::ErrorKind::NotADirectory {
            StoreError::NotADirectory { path }
        } else {
            StoreError::Io {
                action: Action::Open,
                path,
                source: error,
            }
        }
    }
}

/// Passes the failpoint of a step that is taken with `name`.
fn step(step: Step, name: &str) -> io::Result<&str> {
    failpoint::pass(step)?;
    component(name)
}

/// Refuses a name that would lead out of the directory.
///
/// All names here are constants or come from a `Digest`; this keeps it so.
fn component(name: &str) -> io::Result<&str> {
    let leads_out = |byte: u8| matches!(byte, b'/' | b'\\' | b':' | b'\0');
    if matches!(name, "" | "." | "..") || name.bytes().any(leads_out) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
