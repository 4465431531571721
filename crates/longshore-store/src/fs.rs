//! Blobs as files in a directory.

mod blobs;
mod directory;
mod durability;
mod partials;
mod private;
mod quarantine;
mod session;
mod verified;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use longshore_model::Digest;

pub use self::blobs::BLOBS_DIR;
pub use self::directory::StoreDirectory;
pub use self::durability::Durability;
pub use self::partials::PARTIAL_AGE_LIMIT;
pub use self::private::{LOCK_WAIT, PRIVATE_DIR};

use self::blobs::{Arrangement, Blobs};
use self::durability::{Batch, Origin};
use self::private::PrivateLock;
use self::session::{Session, Temp};
use self::verified::Verified;
use crate::dir::{Dir, Stamp};
use crate::error::StoreError;
use crate::interrupt::Interrupt;
use crate::lock::locked;
use crate::random::RandomReader;
use crate::store::{Digests, Existing, Partials, Reader, Store};
use crate::writer::{Sink, Writer, content_matches};

/// Blobs as files below one directory: `blobs/<algorithm>/<encoded>`, or with one more directory
/// in between ([`FsStore::open_sharded`]).
///
/// Content is written to a private directory inside the root and renamed when it is verified,
/// so that a reader, of this library or any other, sees whole blobs only, whenever the process
/// dies. No link below the root is followed (DG9). Several processes may use one root at once.
///
/// Reading makes nothing: a store on a read-only file system can be read. The first write
/// makes the private directory and clears up what dead processes left in it; the last writer
/// removes it, unless it holds unfinished blobs for [`Store::resume`], the record of
/// [`FsStore::record_verified`], or bad blobs of [`Store::quarantine`]. An unfinished blob is
/// removed when the blob is committed, by [`Store::clear_partials`], or at the first write after
/// [`PARTIAL_AGE_LIMIT`].
#[derive(Clone, Debug)]
pub struct FsStore {
    shared: Arc<Shared>,
    interrupt: Interrupt,
}

#[derive(Debug)]
struct Shared {
    blobs: Blobs,
    durability: Durability,
    batch: Batch,
    verified: Verified,
    session: Mutex<Option<Arc<Session>>>,
}

impl FsStore {
    /// Opens the store in the directory `root`, which must exist; it may be empty.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotADirectory`], [`StoreError::Io`].
    pub fn open(root: &Path, durability: Durability) -> Result<Self, StoreError> {
        let root = Arc::new(Dir::open(root)?);
        Ok(Self::arranged(root, Arrangement::Image, durability))
    }

    /// Opens a store of many blobs in the directory `root`, which must exist; it may be empty.
    ///
    /// It differs from [`FsStore::open`] in where the blobs lie and who can read them:
    /// `blobs/<algorithm>/<first two characters>/<encoded>`, directories with mode 0700 and files
    /// with mode 0600 (CA12). The mode of `root` is the caller's.
    ///
    /// # Errors
    ///
    /// As [`FsStore::open`].
    pub fn open_sharded(root: &Path, durability: Durability) -> Result<Self, StoreError> {
        let root = Arc::new(Dir::open(root)?);
        Ok(Self::arranged(root, Arrangement::Sharded, durability))
    }

    fn arranged(root: Arc<Dir>, arrangement: Arrangement, durability: Durability) -> Self {
        Self {
            shared: Arc::new(Shared {
                blobs: Blobs::new(root, arrangement),
                durability,
                batch: Batch::default(),
                verified: Verified::default(),
                session: Mutex::new(None),
            }),
            interrupt: Interrupt::new(),
        }
    }

    /// Returns the same store, whose blocking calls end early when `interrupt` is set.
    #[must_use]
    pub fn with_interrupt(&self, interrupt: Interrupt) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            interrupt,
        }
    }

    /// Returns the interrupt that ends blocking calls early.
    #[must_use]
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Returns the directory the store is in.
    #[must_use]
    pub fn root(&self) -> &Dir {
        &self.shared.blobs.root
    }

    /// Returns when blobs are made to outlive a power cut.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.shared.durability
    }

    /// Clears up now what dead processes left, instead of at the first write: blobs that can be
    /// resumed are kept, everything else is removed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`], [`StoreError::Io`].
    pub fn clear_leftovers(&self) -> Result<(), StoreError> {
        self.session().map(|_| ())
    }

    /// Records which blobs were verified, so that [`Store::reuse_verified`] need not hash them
    /// while their files are unchanged (DG10). Call it after a [`Store::flush`]. Nothing is
    /// recorded with [`Durability::None`], or on systems that do not show when a file was changed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`]; the record only saves time, so this may be ignored.
    pub fn record_verified(&self) -> Result<(), StoreError> {
        if self.durability() == Durability::None {
            return Ok(());
        }
        match self.shared.verified.text(self.root()) {
            Some(text) => self
                .session()?
                .replace_private(verified::VERIFIED, text.as_bytes()),
            None => Ok(()),
        }
    }

    /// Takes the lock between all processes and threads that write documents to this root.
    ///
    /// Blobs need no lock. The lock is for what is read, changed and written again.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] when another holds it for longer than [`LOCK_WAIT`];
    /// [`StoreError::Interrupted`], [`StoreError::Io`].
    pub fn lock(&self) -> Result<Exclusive<'_>, StoreError> {
        // First: beginning a session takes the lock too.
        let session = self.session()?;
        Ok(Exclusive {
            store: self,
            session,
            _lock: PrivateLock::take(self.root(), LOCK_WAIT, &self.interrupt)?,
        })
    }

    fn session(&self) -> Result<Arc<Session>, StoreError> {
        self.shared.session(&self.interrupt)
    }

    /// Prepares everything that the blob `digest` needs except its file.
    ///
    /// Steps that can fail come first, because a failure after a file is taken would lose the file.
    fn place(&self, digest: &Digest) -> Result<BlobLocation, StoreError> {
        let Shared {
            blobs, durability, ..
        } = &*self.shared;
        Ok(BlobLocation {
            to: blobs.make_dir(digest, *durability)?,
            session: self.session()?,
            digest: digest.clone(),
            shared: Arc::clone(&self.shared),
        })
    }
}

impl Store for FsStore {
    fn begin(&self, digest: &Digest, size: Option<u64>) -> Result<Writer, StoreError> {
        Writer::new(digest, size, || {
            let place = self.place(digest)?;
            let temp = place.session.temp()?;
            Ok(Box::new(place.sink(temp)))
        })
    }

    fn resume(&self, digest: &Digest, size: u64) -> Result<Writer, StoreError> {
        let kept = || {
            let place = self.place(digest)?;
            let temp = place.session.resume(digest, size)?;
            Ok(temp.map(|temp| place.sink(temp)))
        };
        let open = || {
            let place = self.place(digest)?;
            let temp = place.session.lasting_temp(digest)?;
            Ok(place.sink(temp))
        };
        Writer::resume(digest, size, kept, open, &self.interrupt)
    }

    fn partials(&self) -> Result<Partials<'_>, StoreError> {
        let kept = match self.root().dir(PRIVATE_DIR)? {
            Some(private) => partials::Partials::open(&private)?,
            None => None,
        };
        match kept {
            Some(kept) => Ok(Box::new(kept.list()?)),
            None => Ok(Box::new(std::iter::empty())),
        }
    }

    fn clear_partials(&self) -> Result<(), StoreError> {
        // Beginning a session gives back what dead processes had.
        match self.session()?.partials()? {
            Some(kept) => kept.clear(),
            None => Ok(()),
        }
    }

    fn open(&self, digest: &Digest) -> Result<Reader, StoreError> {
        match self.shared.blobs.open(digest)? {
            Some((file, size)) => Ok(Reader::from_file(file, size)),
            None => Err(StoreError::Absent {
                digest: digest.clone(),
            }),
        }
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        self.shared.blobs.size(digest)
    }

    fn reuse(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        let found = self.shared.blobs.size(digest)? == Some(size);
        if found && self.shared.durability != Durability::None {
            self.shared.batch.add(digest.clone(), Origin::Reused);
        }
        Ok(found)
    }

    fn reuse_verified(&self, digest: &Digest, size: u64) -> Result<Existing, StoreError> {
        let file = match self.shared.blobs.open(digest) {
            Ok(Some((file, found))) if found == size => file,
            Ok(_) => return Ok(Existing::Absent),
            // A file that cannot be read cannot be reused; writing the blob replaces it.
            Err(StoreError::Io { .. }) => return Ok(Existing::Damaged),
            Err(error) => return Err(error),
        };
        let Shared {
            blobs, verified, ..
        } = &*self.shared;
        let (began, before) = (SystemTime::now(), Stamp::of(&file));
        let known = before.is_some_and(|stamp| verified.knows(&blobs.root, digest, &stamp));
        if !known {
            if !content_matches(&mut &file, digest, size, &self.interrupt)? {
                return Ok(Existing::Damaged);
            }
            let unchanged = before.filter(|stamp| Stamp::of(&file) == Some(*stamp));
            if let Some(stamp) = unchanged.filter(|stamp| verified::is_settled(stamp, began)) {
                verified.note(digest, stamp);
            }
        }
        if self.reuse(digest, size)? {
            Ok(Existing::Verified)
        } else {
            Ok(Existing::Absent)
        }
    }

    fn delete(&self, digest: &Digest) -> Result<(), StoreError> {
        match self.shared.blobs.dir(digest)? {
            Some(dir) => dir.remove(digest.encoded()),
            None => Ok(()),
        }
    }

    /// Moves the file to `quarantine` in the private directory, which holds at most 16 files and
    /// 256 MiB: the oldest are removed. Where it cannot be moved, on a full disk for example, it is
    /// removed.
    fn quarantine(&self, digest: &Digest) -> Result<(), StoreError> {
        let Some(dir) = self.shared.blobs.dir(digest)? else {
            return Ok(());
        };
        if dir.entry(digest.encoded())?.is_none() {
            return Ok(());
        }
        let moved = self
            .session()
            .and_then(|session| session.quarantine()?.take(digest, &dir, SystemTime::now()));
        moved.or_else(|_| dir.remove(digest.encoded()))
    }

    fn list(&self) -> Result<Digests<'_>, StoreError> {
        self.shared.blobs.list()
    }

    fn path(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.shared.blobs.path(digest))
    }

    fn flush(&self) -> Result<(), StoreError> {
        let Shared { blobs, batch, .. } = &*self.shared;
        batch.flush(blobs, &self.interrupt)
    }

    fn interruptible(&self, interrupt: &Interrupt) -> Arc<dyn Store> {
        Arc::new(self.with_interrupt(interrupt.clone()))
    }
}

impl Shared {
    fn session(&self, interrupt: &Interrupt) -> Result<Arc<Session>, StoreError> {
        let mut session = locked(&self.session);
        if let Some(begun) = &*session {
            return Ok(Arc::clone(begun));
        }
        let begun = Arc::new(Session::begin(
            Arc::clone(&self.blobs.root),
            self.blobs.arrangement.access(),
            SystemTime::now(),
            interrupt,
        )?);
        *session = Some(Arc::clone(&begun));
        Ok(begun)
    }
}

/// From where, and to where, one blob goes.
struct BlobLocation {
    to: Arc<Dir>,
    session: Arc<Session>,
    digest: Digest,
    shared: Arc<Shared>,
}

impl BlobLocation {
    fn sink(self, temp: Temp) -> FsSink {
        FsSink {
            temp,
            to: self.to,
            digest: self.digest,
            shared: self.shared,
        }
    }
}

/// The right to change the documents beside the blobs, held until it is dropped.
#[derive(Debug)]
pub struct Exclusive<'a> {
    store: &'a FsStore,
    session: Arc<Session>,
    _lock: PrivateLock,
}

impl Exclusive<'_> {
    /// Replaces the document `name` in the root, all at once: a reader sees the old one or the
    /// new one, also after a crash.
    ///
    /// What the document refers to must have been flushed before. It is durable when this
    /// returns, unless the store is set to [`Durability::None`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`]; the old document is still there then.
    pub fn replace(&self, name: &str, content: &[u8]) -> Result<(), StoreError> {
        let durable = self.store.durability() != Durability::None;
        let mut temp = self.session.temp()?;
        temp.append(content)?;
        if durable {
            temp.sync()?;
        }
        temp.publish(self.store.root(), name)?;
        if durable {
            self.store.root().sync()?;
        }
        Ok(())
    }
}

/// One blob on its way to its file.
#[derive(Debug)]
struct FsSink {
    temp: Temp,
    to: Arc<Dir>,
    digest: Digest,
    shared: Arc<Shared>,
}

impl Sink for FsSink {
    fn append(&mut self, content: &[u8]) -> Result<(), StoreError> {
        self.temp.append(content)
    }

    fn reader(&self) -> Result<RandomReader, StoreError> {
        Ok(RandomReader::from_file(self.temp.file()))
    }

    fn publish(self: Box<Self>) -> Result<(), StoreError> {
        let Self {
            temp,
            to,
            digest,
            shared,
        } = *self;
        if shared.durability == Durability::Each {
            temp.sync()?;
        }
        let set_back = SystemTime::now() - verified::SET_BACK;
        let recordable = shared.durability != Durability::None && temp.set_modified(set_back);
        // A blob that was visible before stays visible, whatever fails here.
        let is_new = !matches!(to.entry(digest.encoded()), Ok(Some(_)));
        let stamp = temp
            .publish_blob(&to, &digest)
            .inspect_err(|_| shared.blobs.forget())?;
        if let Some(stamp) = stamp.filter(|_| recordable) {
            shared.verified.note(&digest, stamp);
        }
        match shared.durability {
            Durability::Batch => shared.batch.add(digest, Origin::Written(stamp)),
            Durability::Each => {
                if let Err(error) = to.sync() {
                    if is_new {
                        let _ = to.remove(digest.encoded());
                    }
                    return Err(error);
                }
            }
            Durability::None => {}
        }
        Ok(())
    }

    fn keep(self: Box<Self>) -> Result<(), StoreError> {
        self.temp.keep(&self.digest)
    }
}

impl Read for FsSink {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.temp.read(buffer)
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
