//! What is kept of blobs that were not finished, inside the private directory.
//!
//! A partial blob is a file named after its digest. Whoever goes on with it first moves it to
//! its own session: moving is atomic, so there is one owner at a time and no lock to leave
//! behind, and a session whose process died gives its files back. Nothing here is believed:
//! the content is hashed again, and a name is only ever compared with that of a digest.
//!
//! A partial blob goes when the blob is committed, when all are cleared, and when it was not
//! added to for [`PARTIAL_AGE_LIMIT`].

use std::io;
use std::time::{Duration, SystemTime};

use longshore_model::Digest;

use crate::dir::{Dir, Entry, FileMode};
use crate::error::StoreError;
use crate::store::{Partial, supported};

/// How long what is kept of an unfinished blob stays without being added to: seven days.
///
/// The first write to a store removes what is older.
pub const PARTIAL_AGE_LIMIT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The directory of partial blobs in the private directory.
pub(super) const PARTIAL_DIR: &str = "partial";

/// The partial blobs of one store.
#[derive(Debug)]
pub(super) struct Partials(Dir);

impl Partials {
    /// Opens the directory, `None` when nothing was ever kept.
    pub(super) fn open(private: &Dir) -> Result<Option<Self>, StoreError> {
        Ok(private.dir(PARTIAL_DIR)?.map(Self))
    }

    /// Opens the directory, made where there is none.
    pub(super) fn make(private: &Dir) -> Result<Self, StoreError> {
        private.make_dir(PARTIAL_DIR, FileMode::Private)?;
        match Self::open(private)? {
            Some(partials) => Ok(partials),
            None => Err(private.vanished(PARTIAL_DIR)),
        }
    }

    /// Moves what is kept of `digest` to the file `name` in `to`; returns whether it did.
    ///
    /// What is longer than `size`, or no file, is removed instead.
    pub(super) fn take(
        &self,
        digest: &Digest,
        size: u64,
        to: &Dir,
        name: &str,
    ) -> Result<bool, StoreError> {
        let kept = file_name(digest);
        match self.0.entry(&kept)? {
            Some(Entry::File(length)) if length <= size => {}
            Some(_) => {
                self.discard(&kept);
                return Ok(false);
            }
            None => return Ok(false),
        }
        match self.0.rename(&kept, to, name) {
            Ok(()) => Ok(true),
            // Somebody else was faster.
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Moves the file `name` in `from` here, unless more of `digest` is kept already.
    pub(super) fn keep(&self, digest: &Digest, from: &Dir, name: &str) -> Result<(), StoreError> {
        let kept = file_name(digest);
        let length = |dir: &Dir, name: &str| match dir.entry(name)? {
            Some(Entry::File(length)) => Ok(length),
            _ => Ok(0),
        };
        if length(from, name)? <= length(&self.0, &kept)? {
            return from.remove(name);
        }
        from.rename(name, &self.0, &kept)
    }

    /// Removes what is kept of `digest`.
    pub(super) fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        self.0.remove(&file_name(digest))
    }

    /// Removes everything it can; returns the last error.
    pub(super) fn clear(&self) -> Result<(), StoreError> {
        let mut cleared = Ok(());
        for name in self.0.names()? {
            if let Some(name) = name?.to_str()
                && let Err(error) = self.0.remove(name)
            {
                cleared = Err(error);
            }
        }
        cleared
    }

    /// Removes what was not added to for [`PARTIAL_AGE_LIMIT`], and what is no partial blob.
    ///
    /// Best effort: what cannot be removed takes room but is in nobody's way.
    pub(super) fn clear_aged(&self, now: SystemTime) -> Result<(), StoreError> {
        for name in self.0.names()? {
            if let Some(name) = name?.to_str()
                && self.is_spent(name, now)
            {
                self.discard(name);
            }
        }
        Ok(())
    }

    /// Lists what is kept.
    pub(super) fn list(
        self,
    ) -> Result<impl Iterator<Item = Result<Partial, StoreError>> + Send, StoreError> {
        let names = self.0.names()?;
        Ok(names.filter_map(move |name| {
            let name = match name {
                Ok(name) => name,
                Err(error) => return Some(Err(error)),
            };
            let name = name.to_str()?;
            let digest = digest(name)?;
            match self.0.entry(name) {
                Ok(Some(Entry::File(size))) => Some(Ok(Partial::new(digest, size))),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            }
        }))
    }

    fn is_spent(&self, name: &str, now: SystemTime) -> bool {
        if digest(name).is_none() {
            return true;
        }
        let modified = match self.0.file(name) {
            Ok(Some((file, _))) => file.metadata().and_then(|metadata| metadata.modified()),
            Ok(None) => return false,
            Err(StoreError::Io { .. }) => return false,
            Err(_) => return true,
        };
        // What seems to come from the future came a moment ago, by another clock.
        modified.is_ok_and(|modified| {
            now.duration_since(modified)
                .is_ok_and(|age| age > PARTIAL_AGE_LIMIT)
        })
    }

    /// Best effort, as whatever stands there is in nobody's way.
    fn discard(&self, name: &str) {
        let _ = self.0.remove(name);
    }
}

/// Returns the name what is kept of `digest` has.
//
// partial = algorithm "-" encoded
pub(super) fn file_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm(), digest.encoded())
}

/// Returns the digest a name is that of.
pub(super) fn digest(name: &str) -> Option<Digest> {
    let (algorithm, encoded) = name.split_once('-')?;
    let digest: Digest = format!("{algorithm}:{encoded}").parse().ok()?;
    supported(&digest).ok().map(|()| digest)
}
