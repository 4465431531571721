//! The place of one store in the private directory, and the files in it.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use longshore_model::Digest;

use super::partials::{self, Partials};
use super::private::{LOCK, LOCK_WAIT, PrivateLock};
use super::quarantine::Quarantine;
use crate::dir::{Dir, FileMode, Stamp};
use crate::error::{Action, StoreError};
use crate::failpoint::{self, Step};
use crate::interrupt::Interrupt;
use crate::lock::locked;
use crate::positioned;

/// One store's place to write in, as long as the store or one of its writers lives.
#[derive(Debug)]
pub(crate) struct Session {
    root: Arc<Dir>,
    private: Arc<Dir>,
    dir: Dir,
    name: String,
    /// Who may read a blob under its final name.
    access: FileMode,
    next: AtomicU64,
    /// What is kept of unfinished blobs, once this session has met it.
    partials: Mutex<Option<Arc<Partials>>>,
    _held: File,
}

impl Session {
    /// Clears up what dead sessions left, and what was kept for too long, and begins a new one.
    pub(crate) fn begin(
        root: Arc<Dir>,
        access: FileMode,
        now: SystemTime,
        interrupt: &Interrupt,
    ) -> Result<Self, StoreError> {
        let lock = PrivateLock::take(&root, LOCK_WAIT, interrupt)?;
        lock.clear_dead()?;
        // Something else in its place is refused when it is needed.
        let partials = Partials::open(&lock.dir).ok().flatten();
        if let Some(partials) = &partials {
            let _ = partials.clear_aged(now);
        }
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
            access,
            next: AtomicU64::new(0),
            partials: Mutex::new(partials.map(Arc::new)),
            _held: held,
        })
    }

    fn hold(private: &Dir, name: &str) -> Result<(Dir, File), StoreError> {
        let dir = private.dir(name)?.ok_or_else(|| private.vanished(name))?;
        let held = dir.lock_file(LOCK)?.ok_or_else(|| dir.vanished(LOCK))?;
        match Dir::try_lock(&held) {
            Ok(()) => Ok((dir, held)),
            Err(error) => Err(dir.failed(Action::Lock, LOCK, error)),
        }
    }

    /// Makes a file to write to, that nobody sees before it is published.
    pub(crate) fn temp(self: &Arc<Self>) -> Result<Temp, StoreError> {
        self.create(self.number(), self.access)
    }

    /// Makes a file as [`Session::temp`], that is kept for `digest` if the process dies.
    pub(crate) fn lasting_temp(self: &Arc<Self>, digest: &Digest) -> Result<Temp, StoreError> {
        self.create(self.lasting_name(digest), self.access)
    }

    /// Replaces the document `name` in the private directory, atomically.
    pub(crate) fn replace_private(
        self: &Arc<Self>,
        name: &str,
        content: &[u8],
    ) -> Result<(), StoreError> {
        let mut temp = self.create(self.number(), FileMode::Private)?;
        temp.append(content)?;
        temp.publish(&self.private, name)?;
        Ok(())
    }

    /// Resumes the partial blob of `digest`, if there is one of at most `size` bytes.
    ///
    /// On a network file system, a process on another machine may still have the file open, so the
    /// content is copied to a file that only this session has opened. If the file system cannot
    /// share the content, it is copied while it is read.
    pub(crate) fn resume(
        self: &Arc<Self>,
        digest: &Digest,
        size: u64,
    ) -> Result<Option<Temp>, StoreError> {
        let Some(partials) = self.partials()? else {
            return Ok(None);
        };
        let name = self.lasting_name(digest);
        if !partials.take(digest, size, &self.dir, &name)? {
            return Ok(None);
        }
        // The file mode is not checked: the file is only read, and some file systems have no modes.
        let Ok(Some((file, _))) = self.dir.file(&name) else {
            self.dir.remove(&name)?;
            return Ok(None);
        };
        let mut temp = self.lasting_temp(digest)?;
        let source = Source { name, file };
        if Dir::share_content(&source.file, &temp.file) {
            self.dir.remove(&source.name)?;
        } else {
            temp.source = Some(source);
        }
        Ok(Some(temp))
    }

    /// Opens the place for bad blobs.
    pub(super) fn quarantine(&self) -> Result<Quarantine, StoreError> {
        Quarantine::make(&self.private)
    }

    /// Opens what is kept, `None` when nothing is.
    pub(crate) fn partials(&self) -> Result<Option<Arc<Partials>>, StoreError> {
        let mut partials = locked(&self.partials);
        if partials.is_none() {
            *partials = Partials::open(&self.private)?.map(Arc::new);
        }
        Ok(partials.clone())
    }

    fn make_partials(&self) -> Result<Arc<Partials>, StoreError> {
        let made = Arc::new(Partials::make(&self.private)?);
        *locked(&self.partials) = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Creates a file. In this directory only its owner can reach it; `access` applies at its final
    /// name.
    fn create(self: &Arc<Self>, name: String, access: FileMode) -> Result<Temp, StoreError> {
        let file = self.dir.create(&name, access)?;
        Ok(Temp {
            session: Arc::clone(self),
            name,
            file: Arc::new(file),
            position: 0,
            source: None,
            moved: false,
        })
    }

    fn number(&self) -> String {
        self.next.fetch_add(1, Ordering::Relaxed).to_string()
    }

    fn lasting_name(&self, digest: &Digest) -> String {
        format!("{}-{}", self.number(), partials::file_name(digest))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Best effort: whatever stays is removed when the next session begins.
        let _ = clear_session(&self.private, &self.dir, &self.name);
        if let Ok(lock) = PrivateLock::take(&self.root, Duration::ZERO, &Interrupt::new()) {
            let _ = lock.leave(&self.root);
        }
    }
}

/// A file being written, removed when it is dropped neither published nor kept (RT9).
#[derive(Debug)]
pub(crate) struct Temp {
    session: Arc<Session>,
    name: String,
    /// Shared with readers, so its cursor is not used.
    file: Arc<File>,
    /// Where the next call reads or appends, in bytes from the start.
    position: u64,
    /// The partial blob whose content is copied to this file while it is read.
    source: Option<Source>,
    moved: bool,
}

/// A partial blob in the session, open for reading.
#[derive(Debug)]
struct Source {
    name: String,
    file: File,
}

impl Temp {
    pub(crate) fn append(&mut self, content: &[u8]) -> Result<(), StoreError> {
        extend(&self.file, &mut self.position, content)
            .map_err(|error| self.session.dir.failed(Action::Write, &self.name, error))
    }

    /// Returns the file, to be read at any position.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Makes the content outlive a power cut.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        failpoint::pass(Step::Sync)
            .and_then(|()| self.file.sync_all())
            .map_err(|error| self.session.dir.failed(Action::Sync, &self.name, error))
    }

    /// Sets the time of modification, which the next write changes; returns whether it succeeded.
    pub(crate) fn set_modified(&self, time: SystemTime) -> bool {
        failpoint::pass(Step::SetTime).is_ok() && self.file.set_modified(time).is_ok()
    }

    /// Renames the file to its final name, replacing an existing file; returns its new stamp.
    pub(crate) fn publish(mut self, to: &Dir, name: &str) -> Result<Option<Stamp>, StoreError> {
        self.session.dir.rename(&self.name, to, name)?;
        self.moved = true;
        Ok(Stamp::of(&self.file))
    }

    /// As [`Temp::publish`], for the blob `digest`: what is kept of it is of no more use.
    pub(crate) fn publish_blob(
        self,
        to: &Dir,
        digest: &Digest,
    ) -> Result<Option<Stamp>, StoreError> {
        let session = Arc::clone(&self.session);
        let stamp = self.publish(to, digest.encoded())?;
        // Best effort: what stays, as what another process kept meanwhile, goes when it has aged.
        let partials = locked(&session.partials).clone();
        if let Some(partials) = partials {
            let _ = partials.remove(digest);
        }
        Ok(stamp)
    }

    /// Keeps the content as part of `digest`.
    pub(crate) fn keep(mut self, digest: &Digest) -> Result<(), StoreError> {
        let partials = self.session.make_partials()?;
        // If the copy is not complete, the original partial blob is kept.
        let (name, copy) = match self.source.take() {
            Some(source) => (source.name, Some(&self.name)),
            None => (self.name.clone(), None),
        };
        partials.keep(digest, &self.session.dir, &name)?;
        if let Some(copy) = copy {
            self.session.dir.remove(copy)?;
        }
        self.moved = true;
        Ok(())
    }
}

/// Writes `content` at `position` and advances the position.
fn extend(file: &File, position: &mut u64, content: &[u8]) -> io::Result<()> {
    let (first, rest) = failpoint::parts(content);
    positioned::write_all_at(file, first, *position)?;
    failpoint::pass(Step::Write)?;
    positioned::write_all_at(file, rest, *position + first.len() as u64)?;
    *position += content.len() as u64;
    Ok(())
}

impl Read for Temp {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        failpoint::pass(Step::Read)?;
        let Some(source) = &mut self.source else {
            let count = positioned::read_at(&self.file, buffer, self.position)?;
            self.position += count as u64;
            return Ok(count);
        };
        let count = source.file.read(buffer)?;
        let read = buffer.get(..count).unwrap_or_default();
        extend(&self.file, &mut self.position, read)?;
        if count == 0 && !buffer.is_empty() {
            // Best effort: remaining files are removed with the session.
            let _ = self.session.dir.remove(&source.name);
            self.source = None;
        }
        Ok(count)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if let Some(source) = &self.source {
            let _ = self.session.dir.remove(&source.name);
        }
        if !self.moved {
            let _ = self.session.dir.remove(&self.name);
        }
    }
}

/// Removes a session and the files in it, but for the blobs to be kept; a directory, which no
/// session makes, stays.
pub(super) fn clear_session(private: &Dir, session: &Dir, name: &str) -> Result<(), StoreError> {
    for file in session.names()? {
        let file = file?;
        let Some(file) = file.to_str().filter(|file| *file != LOCK) else {
            continue;
        };
        let kept = match lasting(file) {
            Some(digest) => Partials::make(private)
                .and_then(|partials| partials.keep(&digest, session, file))
                .is_ok(),
            None => false,
        };
        if !kept {
            session.remove(file)?;
        }
    }
    // Last, so that a session half removed is still known as one without a process.
    session.remove(LOCK)?;
    private.remove_dir(name)
}

// session = 1*DIGIT "-" 1*DIGIT
pub(super) fn is_session(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.split_once('-')
        .is_some_and(|(process, n)| digits(process) && digits(n))
}

/// Returns the digest of which a session's file is to be kept.
//
// lasting = 1*DIGIT "-" partial
fn lasting(file: &str) -> Option<Digest> {
    let (number, kept) = file.split_once('-')?;
    number.parse::<u64>().ok()?;
    partials::digest(kept)
}
