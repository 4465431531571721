//! The private directory inside a store's root: the lock between processes, and the places
//! where blobs and documents are written before they are visible.
//!
//! ```text
//! .longshore/             0700, gone when nobody writes here
//!     lock                held while sessions begin and end, and while a document is replaced
//!     <pid>-<n>/          one session: a store somebody writes to
//!         lock            held as long as that store lives; the kernel lets go of it when the
//!                         process dies, however it dies
//!         0, 1, 2 …       files being written
//!         3-sha256-…      a blob being written that is kept if it is not finished
//!     partial/            what is kept of blobs that were not finished
//!         sha256-…
//!     quarantine/         blobs whose bytes proved wrong
//!         1700000000-sha256-…
//!     verified            which blobs were verified, and the stamps of their files since
//! ```
//!
//! A session whose lock is free has lost its process; when the next one begins, blobs to be
//! kept are moved to `partial` and its other files removed. `.longshore` is removed with the
//! last session unless it holds partial blobs, bad blobs or the record, except on systems where a
//! process cannot detect that the lock file it holds was removed. While the lock is held, the lock
//! file contains the process ID.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::partials::PARTIAL_DIR;
use super::quarantine::QUARANTINE_DIR;
use super::session::{clear_session, is_session};
use super::verified::VERIFIED;
use crate::dir::{Dir, FileMode, Stamp};
use crate::error::{Action, LockHolder, StoreError};
use crate::failpoint::{self, Step};
use crate::interrupt::Interrupt;

/// The name of the private directory in a store's root.
pub const PRIVATE_DIR: &str = ".longshore";

/// How long the lock between processes is waited for before [`StoreError::Locked`].
///
/// It is held while one document is written and made durable, never while content arrives, so
/// whoever holds it longer is stopped or gone astray. Source: as CA12.
pub const LOCK_WAIT: Duration = Duration::from_secs(60);

/// The name of every lock file here.
pub(super) const LOCK: &str = "lock";
const FIRST_POLL: Duration = Duration::from_millis(1);
const LONGEST_POLL: Duration = Duration::from_millis(50);

/// The lock between all processes that write to one root, held until it is dropped.
#[derive(Debug)]
pub(crate) struct PrivateLock {
    pub(super) dir: Arc<Dir>,
    held: File,
}

impl PrivateLock {
    /// Takes the lock, waiting up to `wait` for others.
    pub(crate) fn take(
        root: &Dir,
        wait: Duration,
        interrupt: &Interrupt,
    ) -> Result<Self, StoreError> {
        let mut turn = LockWait::new(root.path().join(PRIVATE_DIR).join(LOCK), wait);
        loop {
            interrupt.check()?;
            let mut holder = None;
            // The last session of another process may remove the directory or the lock file
            // at any moment until the lock is held; then this begins anew.
            if let Some((dir, lock)) = open_lock(root)? {
                match Dir::try_lock(&lock) {
                    Ok(()) if dir.still_holds(LOCK, &lock)? => {
                        write_holder(&lock);
                        return Ok(Self {
                            dir: Arc::new(dir),
                            held: lock,
                        });
                    }
                    Ok(()) => continue,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => holder = Some(lock),
                    Err(error) => return Err(dir.failed(Action::Lock, LOCK, error)),
                }
            }
            turn.wait(holder)?;
        }
    }

    /// Clears up what sessions without a process left behind.
    ///
    /// Best effort: what cannot be removed takes room but is in nobody's way.
    pub(super) fn clear_dead(&self) -> Result<(), StoreError> {
        for name in self.dir.names()? {
            let name = name?;
            if let Some(name) = name.to_str().filter(|name| is_session(name)) {
                let _ = self.clear_if_dead(name);
            }
        }
        Ok(())
    }

    pub(super) fn clear_if_dead(&self, name: &str) -> Result<(), StoreError> {
        let Some(session) = self.dir.dir(name)? else {
            return Ok(());
        };
        // A session without a lock file died between its first two steps: nobody else could
        // have begun one meanwhile, since the lock is ours.
        if let Some((lock, _)) = session.file(LOCK)?
            && Dir::try_lock(&lock).is_err()
        {
            return Ok(());
        }
        clear_session(&self.dir, &session, name)
    }

    /// Makes a session directory under a name nobody has.
    pub(super) fn make_session(&self) -> Result<String, StoreError> {
        let mut n = 0_u64;
        loop {
            // Two containers may share the directory and number their processes alike.
            let name = format!("{}-{n}", std::process::id());
            if self.dir.make_dir(&name, FileMode::Private)? {
                return Ok(name);
            }
            n += 1;
        }
    }

    /// Removes the private directory unless something but the lock is left in it.
    pub(super) fn leave(self, root: &Dir) -> Result<(), StoreError> {
        // Whoever waits for the lock must be able to see that it was removed.
        if !Dir::TELLS_REMOVED {
            return Ok(());
        }
        let mut remembers = false;
        for name in self.dir.names()? {
            let name = name?;
            if name == VERIFIED || name == QUARANTINE_DIR {
                remembers = true;
            } else if name != LOCK && name != PARTIAL_DIR {
                return Ok(());
            }
        }
        // Fails, and with it the rest, where something is kept; without a session nobody can be
        // about to.
        self.dir.remove_dir(PARTIAL_DIR)?;
        self.dir.remove(LOCK)?;
        if remembers {
            return Ok(());
        }
        root.remove_dir(PRIVATE_DIR)
    }
}

impl Drop for PrivateLock {
    fn drop(&mut self) {
        release(&self.held);
    }
}

/// Releases a lock that this process holds, and removes the process ID from its file.
pub(super) fn release(lock: &File) {
    if failpoint::pass(Step::WriteHolder).is_ok() {
        let _ = lock.set_len(0);
    }
    // Closing would do, unless a child is being started right now and has the file too.
    let _ = Dir::unlock(lock);
}

/// Pauses between the attempts to take a lock that another process holds.
#[derive(Debug)]
pub(super) struct LockWait {
    path: PathBuf,
    began: Instant,
    longest: Duration,
    pause: Duration,
}

impl LockWait {
    /// Begins to wait for the lock file at `path`, for at most `longest`.
    pub(super) fn new(path: PathBuf, longest: Duration) -> Self {
        Self {
            path,
            began: Instant::now(),
            longest,
            pause: FIRST_POLL,
        }
    }

    /// Waits for a moment; `held` is the lock file if another process has its lock.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] after the longest wait.
    pub(super) fn wait(&mut self, held: Option<File>) -> Result<(), StoreError> {
        let waited = self.began.elapsed();
        if waited >= self.longest {
            return Err(StoreError::Locked {
                path: self.path.clone(),
                waited,
                holder: held.and_then(find_holder),
            });
        }
        thread::sleep(self.pause.min(self.longest.saturating_sub(waited)));
        self.pause = (self.pause * 2).min(LONGEST_POLL);
        Ok(())
    }
}

/// Writes the ID of this process to the lock file, for the error message of a waiting process.
pub(super) fn write_holder(mut lock: &File) {
    // Best effort: the disk may be full.
    if failpoint::pass(Step::WriteHolder).is_ok() {
        let _ = lock.write_all(format!("{}\n", std::process::id()).as_bytes());
    }
}

/// Finds the process that holds the lock: from the system's list of locks, which covers any
/// program, or else from the lock file.
fn find_holder(lock: File) -> Option<LockHolder> {
    let process = listed_holder(&lock).or_else(|| written_holder(lock))?;
    Some(LockHolder {
        process,
        program: program(process),
    })
}

/// Reads the process ID that [`write_holder`] wrote. The first line counts: the rest may be left
/// over from a longer ID.
fn written_holder(lock: File) -> Option<u32> {
    let mut text = String::new();
    lock.take(HOLDER_LIMIT_BYTES)
        .read_to_string(&mut text)
        .ok()?;
    text.lines().next()?.parse().ok()
}

/// Searches the system's list of all locks, which only Linux has.
//
// lock = n: FLOCK ADVISORY WRITE process major:minor:inode start end
fn listed_holder(lock: &File) -> Option<u32> {
    let inode = Stamp::of(lock)?.inode.to_string();
    let mut list = String::new();
    let locks = File::open("/proc/locks").ok()?;
    locks
        .take(LOCKS_LIMIT_BYTES)
        .read_to_string(&mut list)
        .ok()?;
    list.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let kind = fields.nth(1)?;
        let process = fields.nth(2)?;
        let (_, found) = fields.next()?.rsplit_once(':')?;
        (kind == "FLOCK" && found == inode).then(|| process.parse().ok())?
    })
}

/// Returns the name of the program that a process runs; `None` on systems other than Linux.
fn program(process: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    let name = name.trim_end();
    let plain = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    plain(name).then(|| name.to_owned())
}

/// Maximum number of bytes that are read from a lock file; a process ID fits.
const HOLDER_LIMIT_BYTES: u64 = 16;

/// How much of the list of all locks is read, in bytes.
const LOCKS_LIMIT_BYTES: u64 = 1024 * 1024;

/// Opens the lock file, made where there is none; `None` when its directory was just removed.
fn open_lock(root: &Dir) -> Result<Option<(Dir, File)>, StoreError> {
    root.make_dir(PRIVATE_DIR, FileMode::Private)?;
    let Some(dir) = root.dir(PRIVATE_DIR)? else {
        return Ok(None);
    };
    Ok(dir.lock_file(LOCK)?.map(|lock| (dir, lock)))
}
