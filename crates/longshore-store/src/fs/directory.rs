//! The directory of a store that one process uses at a time, with a version.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::blobs::Arrangement;
use super::private::{LOCK, LockWait, release, write_holder};
use super::{Durability, FsStore};
use crate::dir::{Dir, FileMode};
use crate::error::{Action, StoreError};
use crate::failpoint::{self, Step};
use crate::interrupt::Interrupt;

/// The name of the file with the version of the content of the directory.
const VERSION_FILE: &str = "version";

/// The version file while it is written.
const NEW_VERSION_FILE: &str = "version.new";

/// Maximum size of the version file in bytes; a number and a line break fit.
const VERSION_LIMIT_BYTES: u64 = 16;

/// A directory for the store of one process (CA12: one process uses a directory at a time, behind a
/// lock; the directory has mode 0700, no link is followed, a version file guards upgrades).
///
/// The lock is held until this is dropped or the process ends, even if it crashes.
///
/// ```
/// use std::time::Duration;
/// use longshore_store::{Durability, Interrupt, StoreDirectory, StoreErrorKind};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let temporary = tempfile::tempdir()?;
/// # let above = temporary.path();
/// let interrupt = Interrupt::new();
/// let open = |version| StoreDirectory::open(above, "store", version, Duration::ZERO, &interrupt);
/// let directory = open(2)?;
/// let store = directory.store(Durability::Each);
/// assert_eq!(open(2).unwrap_err().kind(), StoreErrorKind::Locked);
///
/// drop(directory);
/// assert_eq!(open(1).unwrap_err().kind(), StoreErrorKind::Version);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct StoreDirectory {
    dir: Arc<Dir>,
    held: File,
}

impl StoreDirectory {
    /// Opens the directory `name` in `above` and takes its lock. Waits for the lock at most `wait`;
    /// [`LOCK_WAIT`](super::LOCK_WAIT) is a good choice. Missing directories are made, also
    /// `above`.
    ///
    /// `above` belongs to the user: links in it are followed, and an existing one keeps its mode.
    ///
    /// `version`, from 1, is the version that the caller writes and the newest that it can read.
    /// The caller must be able to read every older version: an older version in the directory is
    /// replaced by `version`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`], with the process that has the lock; [`StoreError::NewerVersion`] and
    /// [`StoreError::Unversioned`]; [`StoreError::NotPrivate`]; [`StoreError::NotADirectory`] and
    /// [`StoreError::NotAFile`] for a link; [`StoreError::Interrupted`], [`StoreError::Io`].
    pub fn open(
        above: &Path,
        name: &str,
        version: u32,
        wait: Duration,
        interrupt: &Interrupt,
    ) -> Result<Self, StoreError> {
        let above = make_above(above)?;
        above.make_dir(name, FileMode::Private)?;
        let dir = above.dir(name)?.ok_or_else(|| above.vanished(name))?;
        dir.make_private()?;
        let held = take_lock(&dir, wait, interrupt)?;
        let directory = Self {
            dir: Arc::new(dir),
            held,
        };
        directory.check_version(version)?;
        above.sync()?;
        Ok(directory)
    }

    /// Returns the directory.
    #[must_use]
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Returns the store in this directory, with the layout of [`FsStore::open_sharded`].
    ///
    /// Do not use the store after this is dropped: the store does not hold the lock.
    #[must_use]
    pub fn store(&self, durability: Durability) -> FsStore {
        FsStore::arranged(Arc::clone(&self.dir), Arrangement::Sharded, durability)
    }

    /// Compares the version file with the version that the caller knows, and writes it if it is
    /// absent or older.
    fn check_version(&self, known: u32) -> Result<(), StoreError> {
        let path = || self.dir.path().join(VERSION_FILE);
        let found = match self.dir.read(VERSION_FILE, VERSION_LIMIT_BYTES) {
            Ok(Some(text)) => parse(&text),
            Ok(None) if self.is_new()? => Some(0),
            Ok(None) | Err(StoreError::TooLarge { .. }) => None,
            Err(error) => return Err(error),
        };
        match found {
            Some(found) if found == known => Ok(()),
            Some(found) if found < known => self.write_version(known),
            Some(found) => Err(StoreError::NewerVersion {
                path: path(),
                found,
                known,
            }),
            None => Err(StoreError::Unversioned { path: path() }),
        }
    }

    /// Returns whether the directory contains only the files that this type makes before the
    /// version file.
    fn is_new(&self) -> Result<bool, StoreError> {
        for name in self.dir.names()? {
            let name = name?;
            if name != LOCK && name != NEW_VERSION_FILE {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Replaces the version file atomically and durably.
    fn write_version(&self, version: u32) -> Result<(), StoreError> {
        let name = NEW_VERSION_FILE;
        self.dir.remove(name)?;
        let mut file = self.dir.create(name, FileMode::Private)?;
        failpoint::pass(Step::Write)
            .and_then(|()| file.write_all(format!("{version}\n").as_bytes()))
            .map_err(|error| self.dir.failed(Action::Write, name, error))?;
        failpoint::pass(Step::Sync)
            .and_then(|()| file.sync_all())
            .map_err(|error| self.dir.failed(Action::Sync, name, error))?;
        self.dir.rename(name, &self.dir, VERSION_FILE)?;
        self.dir.sync()
    }
}

impl Drop for StoreDirectory {
    fn drop(&mut self) {
        release(&self.held);
    }
}

fn make_above(above: &Path) -> Result<Dir, StoreError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match failpoint::pass(Step::MakeDir).and_then(|()| builder.create(above)) {
        Ok(()) => Dir::open(above),
        // `Dir::open` reports what exists under that name.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Dir::open(above),
        Err(source) => Err(StoreError::Io {
            action: Action::Create,
            path: above.to_owned(),
            source,
        }),
    }
}

/// Takes the lock of the directory. Its file is never removed.
fn take_lock(dir: &Dir, wait: Duration, interrupt: &Interrupt) -> Result<File, StoreError> {
    let mut turn = LockWait::new(dir.path().join(LOCK), wait);
    loop {
        interrupt.check()?;
        let lock = dir.lock_file(LOCK)?.ok_or_else(|| dir.vanished(LOCK))?;
        match Dir::try_lock(&lock) {
            Ok(()) => {
                write_holder(&lock);
                return Ok(lock);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => turn.wait(Some(lock))?,
            Err(error) => return Err(dir.failed(Action::Lock, LOCK, error)),
        }
    }
}

// version = 1*DIGIT LF
fn parse(text: &[u8]) -> Option<u32> {
    let digits = str::from_utf8(text).ok()?.strip_suffix('\n')?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|version| plain && *version > 0)
}
