//! The journal: upload sessions that a later run can continue.
//!
//! A directory holds one file for each unfinished upload. The file contains the session, which is a
//! secret, because a program that has it can write to the upload. So only the owner can read the
//! directory and its files. The journal only saves work: a damaged, foreign or old file counts as
//! absent, and a caller may ignore every error. An upload that
//! is under way is locked, so that no other one continues its session at the same time; the system
//! releases the lock when the process ends, however it ends.
//!
//! The calls block on the file system. The time is passed in.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use longshore::origin::{Origin, Secret};
use longshore_model::{Digest, RepositoryName};
use longshore_store::{Dir, FileMode, StoreError};
use serde::{Deserialize, Serialize};

/// Maximum length of a file in the journal, in bytes.
pub const JOURNAL_ENTRY_LIMIT_BYTES: u64 = 64 * 1024;

/// How long an entry is kept after it was saved: 7 days. Registries remove unfinished uploads after
/// about that time.
pub const JOURNAL_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const SUFFIX: &str = ".json";
const TEMPORARY_SUFFIX: &str = ".tmp";
const LOCK_SUFFIX: &str = ".lock";
/// Maximum number of names looked at when expired files are removed.
const SWEEP_LIMIT: usize = 10_000;
/// Maximum number of names tried for a temporary file.
const TEMPORARY_NAMES: u32 = 16;
/// A number that makes the temporary files of this process distinct.
static TEMPORARY: AtomicU32 = AtomicU32::new(0);

/// The upload that an entry is about.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "these three name an upload")]
pub struct UploadKey {
    /// The origin of the registry.
    pub origin: Origin,
    /// The repository that is written to.
    pub repository: RepositoryName,
    /// The digest of the blob.
    pub digest: Digest,
}

impl UploadKey {
    /// Returns the name of the file of this upload.
    fn file_name(&self) -> String {
        format!("{}{SUFFIX}", self.stem())
    }

    fn lock_name(&self) -> String {
        format!("{}{LOCK_SUFFIX}", self.stem())
    }

    fn stem(&self) -> String {
        // None of the three contains a line feed.
        let Self {
            origin,
            repository,
            digest,
        } = self;
        let text = format!("{origin}\n{repository}\n{digest}");
        Digest::sha256(text.as_bytes()).encoded().to_owned()
    }
}

/// The record of an unfinished upload. `Debug` does not show the session.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the file has these fields")]
pub struct JournalEntry {
    /// The size of the blob in bytes.
    pub size: u64,
    /// The session: the `Location` of its next request, or a text that contains it.
    pub location: Secret,
    /// When the entry was saved: the time since 1970 (Unix time), in whole seconds.
    pub saved_at: Duration,
}

/// Unfinished uploads of earlier runs, in a private directory.
///
/// Several processes may use one directory. One upload at a time has the [lock](Self::lock) of an
/// entry. Of two that save an entry without it, the last one wins.
#[derive(Debug)]
pub struct Journal {
    dir: Dir,
    /// Why the first entry was not saved.
    failure: Mutex<Option<JournalError>>,
}

/// The right to use one entry of a journal, until it is dropped.
#[derive(Debug)]
pub struct JournalLock {
    journal: Arc<Journal>,
    name: String,
    file: File,
}

impl Drop for JournalLock {
    fn drop(&mut self) {
        self.journal.dir.release_lock_file(&self.name, &self.file);
    }
}

impl Journal {
    /// Returns the directory of the current user: `longshore/uploads` in `$XDG_STATE_HOME`, or else
    /// in `~/.local/state`; on macOS in `~/Library/Application Support`.
    ///
    /// `None` when there is no home directory, and on systems where [`in_dir`](Self::in_dir) cannot
    /// check the owner of a directory.
    #[must_use]
    pub fn default_dir() -> Option<PathBuf> {
        let state = std::env::var_os("XDG_STATE_HOME");
        cfg!(unix)
            .then(|| state_dir(state, std::env::home_dir()))
            .flatten()
    }

    /// Opens the journal in the directory `path`, and removes its expired files. The directory and
    /// the one that it is in are made with mode 0700 when they are absent. `now` is the time since
    /// 1970 (Unix time).
    ///
    /// # Errors
    ///
    /// [`JournalError::NotPrivate`] when another user owns one of the two directories or may access
    /// it, or when the system does not say; [`JournalError::Path`]; [`JournalError::Store`], also
    /// for a link.
    pub fn in_dir(path: &Path, now: Duration) -> Result<Self, JournalError> {
        let not_named = || JournalError::Path {
            path: path.to_owned(),
        };
        let parent = path.parent().ok_or_else(not_named)?;
        let parent = match (parent.parent(), parent.file_name()) {
            (Some(above), Some(_)) => {
                make_parents(above).map_err(|source| JournalError::Create {
                    path: above.to_owned(),
                    source,
                })?;
                private_dir(&Dir::open(above)?, parent)?
            }
            // It is the current directory, or a root.
            _ => Dir::open(parent)?,
        };
        let journal = Self {
            dir: private_dir(&parent, path)?,
            failure: Mutex::new(None),
        };
        journal.sweep(now)?;
        Ok(journal)
    }

    /// Takes the lock of an entry; `None` when another upload has it, or when the directory cannot
    /// be written to. It is released when it is dropped, and when the process ends.
    #[must_use]
    pub fn lock(self: &Arc<Self>, key: &UploadKey) -> Option<JournalLock> {
        let name = key.lock_name();
        match self.dir.try_lock_file(&name) {
            Ok(file) => Some(JournalLock {
                journal: Arc::clone(self),
                name,
                file: file?,
            }),
            Err(error) => {
                self.fail(error.into());
                None
            }
        }
    }

    /// Takes why an entry could not be saved, for the first one for which that is so.
    pub fn take_failure(&self) -> Option<JournalError> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take()
    }

    pub(crate) fn fail(&self, error: JournalError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
    }

    /// Returns the entry of an upload. A file counts as absent and is removed if it is malformed,
    /// larger than [`JOURNAL_ENTRY_LIMIT_BYTES`], about another upload, not private, older than
    /// [`JOURNAL_LIFETIME`], or not readable.
    #[must_use]
    pub fn get(&self, key: &UploadKey, now: Duration) -> Option<JournalEntry> {
        let name = key.file_name();
        let entry = self
            .dir
            .read_private(&name, JOURNAL_ENTRY_LIMIT_BYTES)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| parse(Secret::new(text), key))
            .filter(|entry| !is_expired(entry.saved_at, now));
        if entry.is_none() {
            // A file that cannot be removed stays, and counts as absent the next time too.
            let _ = self.dir.remove(&name);
        }
        entry
    }

    /// Saves the entry of an upload atomically, and replaces an earlier one.
    ///
    /// # Errors
    ///
    /// [`JournalError::TooLarge`], [`JournalError::Store`].
    pub fn put(&self, key: &UploadKey, entry: &JournalEntry) -> Result<(), JournalError> {
        let text = write(key, entry).ok_or(JournalError::TooLarge)?;
        let (name, mut file) = self.create()?;
        let written = file
            .write_all(text.expose().as_bytes())
            .map_err(|source| JournalError::Create {
                path: self.dir.path().join(&name),
                source,
            })
            .and_then(|()| Ok(self.dir.rename(&name, &self.dir, &key.file_name())?));
        if written.is_err() {
            // If this fails, a later run removes the file.
            let _ = self.dir.remove(&name);
        }
        written
    }

    /// Removes the entry of an upload that has finished or has failed permanently.
    ///
    /// # Errors
    ///
    /// [`JournalError::Store`].
    pub fn remove(&self, key: &UploadKey) -> Result<(), JournalError> {
        Ok(self.dir.remove(&key.file_name())?)
    }

    /// Makes a temporary file. A name may be taken by a process that was killed.
    fn create(&self) -> Result<(String, File), JournalError> {
        let process = std::process::id();
        let mut tried = 0;
        loop {
            let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
            let name = format!("{process}-{number}{TEMPORARY_SUFFIX}");
            match self.dir.create(&name, FileMode::Private) {
                Ok(file) => return Ok((name, file)),
                Err(StoreError::Io { source, .. })
                    if source.kind() == io::ErrorKind::AlreadyExists && tried < TEMPORARY_NAMES =>
                {
                    tried += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Removes the files of the journal that have not changed within the lifetime of an entry.
    fn sweep(&self, now: Duration) -> Result<(), JournalError> {
        for name in self.dir.names()?.take(SWEEP_LIMIT) {
            let name = name?;
            let Some(name) = name.to_str().filter(|name| is_ours(name)) else {
                continue;
            };
            let is_expired = match self.dir.file(name) {
                Ok(Some((file, _))) => modified(&file).is_none_or(|time| is_expired(time, now)),
                Ok(None) => false,
                // The journal did not create this; it may be a link.
                Err(_) => true,
            };
            if is_expired {
                let _ = self.dir.remove(name);
            }
        }
        Ok(())
    }
}

/// Opens the directory `path` in the one that it is in, or makes it.
fn private_dir(parent: &Dir, path: &Path) -> Result<Dir, JournalError> {
    let not_named = || JournalError::Path {
        path: path.to_owned(),
    };
    let name = path.file_name().and_then(OsStr::to_str);
    let name = name.ok_or_else(not_named)?;
    parent.make_dir(name, FileMode::Private)?;
    let dir = parent.dir(name)?.ok_or_else(not_named)?;
    if dir.is_private() {
        Ok(dir)
    } else {
        Err(JournalError::NotPrivate {
            path: path.to_owned(),
        })
    }
}

/// The content of a file.
#[derive(Serialize, Deserialize)]
struct Record<T> {
    origin: T,
    repository: T,
    digest: T,
    size: u64,
    location: T,
    /// In seconds since 1970.
    saved_at: u64,
}

fn parse(text: Secret, key: &UploadKey) -> Option<JournalEntry> {
    let record: Record<String> = serde_json::from_str(text.expose()).ok()?;
    let location = Secret::new(record.location);
    let is_about = record.origin == key.origin.to_string()
        && record.repository == key.repository.as_str()
        && record.digest == key.digest.as_str();
    is_about.then(|| JournalEntry {
        size: record.size,
        location,
        saved_at: Duration::from_secs(record.saved_at),
    })
}

/// Writes the content of a file; `None` when it would be too large.
fn write(key: &UploadKey, entry: &JournalEntry) -> Option<Secret> {
    let origin = key.origin.to_string();
    let record = Record {
        origin: origin.as_str(),
        repository: key.repository.as_str(),
        digest: key.digest.as_str(),
        size: entry.size,
        location: entry.location.expose(),
        saved_at: entry.saved_at.as_secs(),
    };
    let text = Secret::new(serde_json::to_string(&record).ok()?);
    (text.expose().len() as u64 <= JOURNAL_ENTRY_LIMIT_BYTES).then_some(text)
}

/// Returns whether a time differs from `now` by more than the lifetime of an entry. A time in the
/// future means that a clock was set back.
fn is_expired(time: Duration, now: Duration) -> bool {
    now.abs_diff(time) > JOURNAL_LIFETIME
}

fn modified(file: &File) -> Option<Duration> {
    let modified = file.metadata().ok()?.modified().ok()?;
    modified.duration_since(SystemTime::UNIX_EPOCH).ok()
}

/// Returns whether a name is one that the journal gives to its files.
fn is_ours(name: &str) -> bool {
    let is_entry = |stem: &str| stem.len() == 64 && stem.bytes().all(|b| b.is_ascii_hexdigit());
    let is_temporary = |stem: &str| stem.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    name.strip_suffix(SUFFIX).is_some_and(is_entry)
        || name.strip_suffix(LOCK_SUFFIX).is_some_and(is_entry)
        || name
            .strip_suffix(TEMPORARY_SUFFIX)
            .is_some_and(is_temporary)
}

/// Returns the directory of the journal within the state directory of a user.
///
/// Source: XDG Base Directory Specification 0.8, which says to ignore a relative path.
fn state_dir(state: Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    let state = state.map(PathBuf::from).filter(|path| path.is_absolute());
    let default = if cfg!(target_os = "macos") {
        "Library/Application Support"
    } else {
        ".local/state"
    };
    let home = || home.filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(home()?.join(default)))?;
    Some(state.join("longshore").join("uploads"))
}

#[cfg(unix)]
fn make_parents(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make_parents(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Why the journal cannot be used. No message contains a session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The system refused to create the path or to write to it.
    #[error("cannot write {}", path.display())]
    Create {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Other users may access the directory.
    #[error(
        "{} may be accessible to other users; the journal of uploads needs a directory of mode \
         0700 that belongs to the current user", path.display()
    )]
    NotPrivate {
        /// The directory.
        path: PathBuf,
    },
    /// The path does not end with the name of a directory.
    #[error("{} does not end with the name of a directory", path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// The directory cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The entry would be larger than [`JOURNAL_ENTRY_LIMIT_BYTES`].
    #[error("the entry is longer than {JOURNAL_ENTRY_LIMIT_BYTES} bytes")]
    TooLarge,
}

#[cfg(test)]
mod tests;
