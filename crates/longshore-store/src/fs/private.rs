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
//! ```
//!
//! A session whose lock is free has lost its process, and its files are removed when the next
//! one begins. `.longshore` is removed with the last session, so that a finished layout holds
//! nothing but itself; except where nobody could tell that the lock they hold was removed.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::dir::{Access, Dir};
use crate::error::{Action, StoreError};

/// The name of the private directory in a store's root.
pub const PRIVATE_DIR: &str = ".longshore";

/// How long the lock between processes is waited for before [`StoreError::Locked`].
///
/// It is held while one document is written and made durable, never while content arrives, so
/// whoever holds it longer is stopped or gone astray. Source: as CA12.
pub const LOCK_WAIT: Duration = Duration::from_secs(60);

const LOCK: &str = "lock";
const FIRST_POLL: Duration = Duration::from_millis(1);
const LONGEST_POLL: Duration = Duration::from_millis(50);

/// The lock between all processes that write to one root, held until it is dropped.
#[derive(Debug)]
pub(crate) struct PrivateLock {
    dir: Arc<Dir>,
    held: File,
}

impl PrivateLock {
    /// Takes the lock, waiting up to `wait` for others.
    pub(crate) fn take(root: &Dir, wait: Duration) -> Result<Self, StoreError> {
        let began = Instant::now();
        let mut pause = FIRST_POLL;
        loop {
            // The last session of another process may remove the directory or the lock file
            // at any moment until the lock is held; then this begins anew.
            if let Some((dir, lock)) = open_lock(root)? {
                match lock.try_lock() {
                    Ok(()) if dir.still_holds(LOCK, &lock)? => {
                        return Ok(Self {
                            dir: Arc::new(dir),
                            held: lock,
                        });
                    }
                    Ok(()) => continue,
                    Err(TryLockError::WouldBlock) => {}
                    Err(TryLockError::Error(error)) => {
                        return Err(dir.failed(Action::Lock, LOCK, error));
                    }
                }
            }
            let waited = began.elapsed();
            if waited >= wait {
                return Err(StoreError::Locked {
                    path: root.path().join(PRIVATE_DIR).join(LOCK),
                    waited,
                });
            }
            thread::sleep(pause.min(wait.saturating_sub(waited)));
            pause = (pause * 2).min(LONGEST_POLL);
        }
    }

    /// Removes what sessions without a process left behind.
    ///
    /// Best effort: what cannot be removed takes room but is in nobody's way.
    fn clear_dead(&self) -> Result<(), StoreError> {
        for name in self.dir.names()? {
            let name = name?;
            if let Some(name) = name.to_str().filter(|name| is_session(name)) {
                let _ = self.clear_if_dead(name);
            }
        }
        Ok(())
    }

    fn clear_if_dead(&self, name: &str) -> Result<(), StoreError> {
        let Some(session) = self.dir.dir(name)? else {
            return Ok(());
        };
        // A session without a lock file died between its first two steps: nobody else could
        // have begun one meanwhile, since the lock is ours.
        if let Some((lock, _)) = session.file(LOCK)?
            && lock.try_lock().is_err()
        {
            return Ok(());
        }
        clear_session(&self.dir, &session, name)
    }

    /// Makes a session directory under a name nobody has.
    fn make_session(&self) -> Result<String, StoreError> {
        let mut n = 0_u64;
        loop {
            // Two containers may share the directory and number their processes alike.
            let name = format!("{}-{n}", std::process::id());
            if self.dir.make_dir(&name, Access::Private)? {
                return Ok(name);
            }
            n += 1;
        }
    }

    /// Removes the private directory unless something but the lock is left in it.
    fn leave(self, root: &Dir) -> Result<(), StoreError> {
        // Whoever waits for the lock must be able to see that it was removed.
        if !Dir::TELLS_REMOVED {
            return Ok(());
        }
        for name in self.dir.names()? {
            if name? != LOCK {
                return Ok(());
            }
        }
        self.dir.remove(LOCK)?;
        root.remove_dir(PRIVATE_DIR)
    }
}

impl Drop for PrivateLock {
    fn drop(&mut self) {
        // Closing would do, unless a child is being started right now and has the file too.
        let _ = self.held.unlock();
    }
}

/// Opens the lock file, made where there is none; `None` when its directory was just removed.
fn open_lock(root: &Dir) -> Result<Option<(Dir, File)>, StoreError> {
    root.make_dir(PRIVATE_DIR, Access::Private)?;
    let Some(dir) = root.dir(PRIVATE_DIR)? else {
        return Ok(None);
    };
    Ok(dir.lock_file(LOCK)?.map(|lock| (dir, lock)))
}

/// One store's place to write in, as long as the store or one of its writers lives.
#[derive(Debug)]
pub(crate) struct Session {
    root: Arc<Dir>,
    private: Arc<Dir>,
    dir: Dir,
    name: String,
    next: AtomicU64,
    _held: File,
}

impl Session {
    /// Removes what dead sessions left and begins a new one.
    pub(crate) fn begin(root: Arc<Dir>) -> Result<Self, StoreError> {
        let lock = PrivateLock::take(&root, LOCK_WAIT)?;
        lock.clear_dead()?;
        let name = lock.make_session()?;
        let (dir, held) = match Self::hold(&lock.dir, &name) {
            Ok(held) => held,
            Err(error) => {
                // The disk may be full: leave nothing behind, and say what happened first.
                let _ = lock.clear_if_dead(&name);
                let _ = lock.leave(&root);
                return Err(error);
            }
        };
        Ok(Self {
            root,
            private: Arc::clone(&lock.dir),
            dir,
            name,
            next: AtomicU64::new(0),
            _held: held,
        })
    }

    fn hold(private: &Dir, name: &str) -> Result<(Dir, File), StoreError> {
        let dir = private.dir(name)?.ok_or_else(|| private.vanished(name))?;
        let held = dir.lock_file(LOCK)?.ok_or_else(|| dir.vanished(LOCK))?;
        match held.try_lock() {
            Ok(()) => Ok((dir, held)),
            Err(error) => Err(dir.failed(Action::Lock, LOCK, error.into())),
        }
    }

    /// Makes a file to write to, that nobody sees before it is published.
    pub(crate) fn temp(self: &Arc<Self>) -> Result<Temp, StoreError> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        // Only its owner can reach it here; its final name is for everybody.
        let file = self.dir.create(&name, Access::Shared)?;
        Ok(Temp {
            session: Arc::clone(self),
            name,
            file,
            published: false,
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Best effort: whatever stays is removed when the next session begins.
        let _ = clear_session(&self.private, &self.dir, &self.name);
        if let Ok(lock) = PrivateLock::take(&self.root, Duration::ZERO) {
            let _ = lock.leave(&self.root);
        }
    }
}

/// A file being written, removed when it is dropped unpublished (RT9).
#[derive(Debug)]
pub(crate) struct Temp {
    session: Arc<Session>,
    name: String,
    file: File,
    published: bool,
}

impl Temp {
    pub(crate) fn append(&mut self, content: &[u8]) -> Result<(), StoreError> {
        self.file
            .write_all(content)
            .map_err(|error| self.session.dir.failed(Action::Write, &self.name, error))
    }

    /// Makes the content outlive a power cut.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.file
            .sync_all()
            .map_err(|error| self.session.dir.failed(Action::Sync, &self.name, error))
    }

    /// Gives the file its final name, replacing what has it.
    pub(crate) fn publish(mut self, to: &Dir, name: &str) -> Result<(), StoreError> {
        self.session.dir.rename(&self.name, to, name)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.published {
            let _ = self.session.dir.remove(&self.name);
        }
    }
}

/// Removes a session and the files in it; a directory, which no session makes, stays.
fn clear_session(private: &Dir, session: &Dir, name: &str) -> Result<(), StoreError> {
    for file in session.names()? {
        if let Some(file) = file?.to_str().filter(|file| *file != LOCK) {
            session.remove(file)?;
        }
    }
    // Last, so that a session half removed is still known as one without a process.
    session.remove(LOCK)?;
    private.remove_dir(name)
}

// session = 1*DIGIT "-" 1*DIGIT
fn is_session(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.split_once('-')
        .is_some_and(|(process, n)| digits(process) && digits(n))
}
