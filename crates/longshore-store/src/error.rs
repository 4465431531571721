//! What can go wrong between bytes and the place they are kept.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use longshore_model::{Digest, UnsupportedAlgorithm, VerifyError};

/// Why a store did not do what it was asked.
///
/// [`StoreError::kind`] sorts these by who must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A writer was used again after one of its calls had failed.
    #[error("an earlier write of {digest} failed, nothing more is taken")]
    Abandoned {
        /// The digest the writer was begun with.
        digest: Digest,
    },
    /// The blob asked for is not in the store.
    #[error("{digest} is not in the store")]
    Absent {
        /// The digest asked for.
        digest: Digest,
    },
    /// The content differs from its digest or size; nothing of it was kept (DG3).
    #[error("the content offered as {digest} was refused")]
    Content {
        /// The digest the content was offered under.
        digest: Digest,
        /// In what it differs.
        source: VerifyError,
    },
    /// A store with a limit of its own has reached it.
    #[error("the store is full: it keeps at most {limit} bytes")]
    Full {
        /// The limit in bytes.
        limit: u64,
    },
    /// An [`Interrupt`](crate::Interrupt) was set; what is on disk is valid.
    #[error("interrupted")]
    Interrupted,
    /// The operating system refused; `source` says why.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done.
        action: Action,
        /// What it was done to.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// Another process held the lock for longer than anybody needs it.
    #[error(
        "{} holds {}{}",
        who(holder.as_ref()),
        path.display(),
        for_longer_than(*waited)
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
        /// The process that holds the lock, if it is known.
        holder: Option<LockHolder>,
    },
    /// A newer program has written to the store's directory (CA12).
    #[error(
        "{} states version {found}, but this program knows only versions up to {known}; \
         use a newer program, or another directory",
        path.display()
    )]
    NewerVersion {
        /// The version file.
        path: PathBuf,
        /// The version it states.
        found: u32,
        /// The newest version that the caller knows.
        known: u32,
    },
    /// Something else, a link for example, stands where a directory must be (DG9).
    #[error("{} is not a directory (links are not followed)", path.display())]
    NotADirectory {
        /// Where it stands.
        path: PathBuf,
    },
    /// Something else, a link or a pipe for example, stands where a file must be (DG9).
    #[error("{} is not a regular file (links are not followed)", path.display())]
    NotAFile {
        /// Where it stands.
        path: PathBuf,
    },
    /// Other users can read or write the directory of a store, and this process cannot change that
    /// (CA12: the directory has mode 0700).
    #[error(
        "{} belongs to another user or its mode cannot be set to 0700; \
         remove it, or choose another directory",
        path.display()
    )]
    NotPrivate {
        /// The directory.
        path: PathBuf,
    },
    /// A document is longer than its limit allows (LI1).
    #[error("{} is longer than {limit} bytes", path.display())]
    TooLarge {
        /// The document.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// Content under this algorithm cannot be verified, so it is not kept (DG1).
    #[error("{digest} cannot be kept")]
    Unsupported {
        /// The digest in question.
        digest: Digest,
        /// Its algorithm.
        source: UnsupportedAlgorithm,
    },
    /// The version file of a store's directory is malformed, or the directory has files but no
    /// version file (CA12: a version file guards upgrades).
    #[error(
        "{} does not state the version of a store; empty its directory, or choose another one",
        path.display()
    )]
    Unversioned {
        /// The version file.
        path: PathBuf,
    },
}

impl StoreError {
    /// Sorts the error by who must act on it.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        match self {
            Self::Abandoned { .. } => StoreErrorKind::Abandoned,
            Self::Absent { .. } => StoreErrorKind::Absent,
            Self::Content { .. } => StoreErrorKind::Content,
            Self::Full { .. } => StoreErrorKind::Full,
            Self::Interrupted => StoreErrorKind::Interrupted,
            Self::Io { source, .. } => StoreErrorKind::of(source.kind()),
            Self::Locked { .. } => StoreErrorKind::Locked,
            Self::NotADirectory { .. }
            | Self::NotAFile { .. }
            | Self::NotPrivate { .. }
            | Self::TooLarge { .. } => StoreErrorKind::Hostile,
            Self::NewerVersion { .. } | Self::Unversioned { .. } => StoreErrorKind::Version,
            Self::Unsupported { .. } => StoreErrorKind::Unsupported,
        }
    }
}

/// The process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockHolder {
    /// Its process ID, as it wrote it: the ID inside a container may differ from the one outside.
    pub process: u32,
    /// The name of its program, if the system provides it.
    pub program: Option<String>,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.process)?;
        match &self.program {
            Some(program) => write!(f, " ({program})"),
            None => Ok(()),
        }
    }
}

/// How long a lock was waited for, if that is worth saying.
fn for_longer_than(waited: Duration) -> String {
    match waited.as_secs() {
        0 => String::new(),
        seconds => format!(" and has not released it within {seconds} s"),
    }
}

fn who(holder: Option<&LockHolder>) -> String {
    holder.map_or_else(|| "another process".to_owned(), ToString::to_string)
}

/// The classes of [`StoreError`], for exit codes and for deciding what to do next.
///
/// None of them is worth an immediate retry; after [`Content`](Self::Content) the whole blob
/// may be fetched once more (RT2), after [`Full`](Self::Full) somebody has to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The caller went on with a writer that had failed.
    Abandoned,
    /// The blob is not there.
    Absent,
    /// The content is not what its digest or size says.
    Content,
    /// The user may not read or write here.
    Denied,
    /// No room: disk full, quota reached, or the store's own limit.
    Full,
    /// Something in the directory is not what it has to be: a link, a pipe, an endless document.
    Hostile,
    /// The caller ended it early.
    Interrupted,
    /// Any other answer of the operating system.
    Io,
    /// Another process is in the way.
    Locked,
    /// The file system is mounted read-only.
    ReadOnly,
    /// No verifier exists for the digest's algorithm.
    Unsupported,
    /// A newer program has written to the directory, or the directory is not that of a store.
    Version,
}

impl StoreErrorKind {
    fn of(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            io::ErrorKind::PermissionDenied => Self::Denied,
            _ => Self::Io,
        }
    }
}

/// What was being done when the operating system refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Making a file or a directory.
    Create,
    /// Removing a file or a directory.
    Delete,
    /// Reading the names in a directory.
    List,
    /// Taking a lock.
    Lock,
    /// Opening a file or a directory.
    Open,
    /// Reading content.
    Read,
    /// Giving a file its final name.
    Rename,
    /// Making sure that content outlives a power cut.
    Sync,
    /// Writing content.
    Write,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Lock => "lock",
            Self::Open => "open",
            Self::Read => "read",
            Self::Rename => "rename",
            Self::Sync => "sync",
            Self::Write => "write",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: i32, expected: StoreErrorKind) {
        let error = StoreError::Io {
            action: Action::Write,
            path: PathBuf::from("a/b"),
            source: io::Error::from_raw_os_error(code),
        };
        assert_eq!(error.kind(), expected);
        assert_eq!(error.to_string(), "cannot write a/b");
    }

    #[cfg(unix)]
    #[test]
    fn a_full_disk_and_a_read_only_one_are_told_apart() {
        use rustix::io::Errno;
        check(Errno::NOSPC.raw_os_error(), StoreErrorKind::Full);
        check(Errno::DQUOT.raw_os_error(), StoreErrorKind::Full);
        check(Errno::FBIG.raw_os_error(), StoreErrorKind::Full);
        check(Errno::ROFS.raw_os_error(), StoreErrorKind::ReadOnly);
        check(Errno::ACCESS.raw_os_error(), StoreErrorKind::Denied);
        check(Errno::IO.raw_os_error(), StoreErrorKind::Io);
    }
}
