//! Where the blobs lie: `blobs/<algorithm>/<encoded>` as in an image layout, or with one more
//! directory in between in a store of many blobs.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use longshore_model::{Algorithm, Digest};

use super::Durability;
use crate::dir::{Dir, Entry, FileMode};
use crate::error::StoreError;
use crate::lock::locked;
use crate::store::{Digests, supported};

/// The directory that holds one directory for each algorithm.
///
/// Source: image-spec v1.1.1 "OCI Image Layout".
pub const BLOBS_DIR: &str = "blobs";

/// The algorithms content can be verified under, and so the directories looked into (DG1).
const ALGORITHMS: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];

/// Length of the name of a shard, in characters of the encoded digest.
const SHARD_LENGTH: usize = 2;

/// How the files of blobs are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrangement {
    /// `blobs/<algorithm>/<encoded>`, readable by others as the umask lets.
    Image,
    /// `blobs/<algorithm>/<first two characters>/<encoded>`, readable by the owner only (CA12: the
    /// directories of a cache have mode 0700 and its files 0600).
    Sharded,
}

impl Arrangement {
    /// Who may read the files and directories.
    pub(super) fn access(self) -> FileMode {
        match self {
            Self::Image => FileMode::Shared,
            Self::Sharded => FileMode::Private,
        }
    }

    /// Returns the name of the directory of `digest` inside that of its algorithm, if there is one.
    pub(super) fn shard(self, digest: &Digest) -> Option<&str> {
        match self {
            Self::Image => None,
            Self::Sharded => digest.encoded().get(..SHARD_LENGTH),
        }
    }
}

#[derive(Debug)]
pub(super) struct Blobs {
    pub(super) root: Arc<Dir>,
    pub(super) arrangement: Arrangement,
    /// The directories met so far, held open: an image may have hundreds of small blobs, and
    /// two directories opened for each would cost as much as the blob.
    opened: Mutex<[Option<Arc<Dir>>; ALGORITHMS.len()]>,
    /// The directories whose own names this store has made durable, as paths in the root. An
    /// existing directory may have a name that is not durable: the process that made it may have
    /// died before its sync, or not have reached it yet.
    durable: Mutex<BTreeSet<PathBuf>>,
}

impl Blobs {
    pub(super) fn new(root: Arc<Dir>, arrangement: Arrangement) -> Self {
        Self {
            root,
            arrangement,
            opened: Mutex::default(),
            durable: Mutex::default(),
        }
    }

    /// Opens the directory the blob `digest` is in, `None` when there is none yet.
    pub(super) fn dir(&self, digest: &Digest) -> Result<Option<Arc<Dir>>, StoreError> {
        supported(digest)?;
        let algorithm = self.algorithm(&digest.algorithm())?;
        match (algorithm, self.arrangement.shard(digest)) {
            (Some(algorithm), Some(shard)) => Ok(algorithm.dir(shard)?.map(Arc::new)),
            (algorithm, _) => Ok(algorithm),
        }
    }

    /// Opens the directory the blob `digest` goes to, made where there is none. The names of this
    /// directory and of those above it are durable then, except with [`Durability::None`].
    pub(super) fn make_dir(
        &self,
        digest: &Digest,
        durability: Durability,
    ) -> Result<Arc<Dir>, StoreError> {
        let algorithm = digest.algorithm();
        let path = Path::new(BLOBS_DIR).join(algorithm.as_str());
        let dir = match self.algorithm(&algorithm)? {
            Some(dir) if durability == Durability::None || self.is_durable(&path) => dir,
            _ => {
                let blobs = self.make_in(&self.root, BLOBS_DIR, Path::new(""), durability)?;
                let name = algorithm.as_str();
                let dir = self.make_in(&blobs, name, Path::new(BLOBS_DIR), durability)?;
                self.hold(&algorithm, &dir);
                dir
            }
        };
        match self.arrangement.shard(digest) {
            Some(shard) => self
                .make_in(&dir, shard, &path, durability)
                .inspect_err(|_| self.forget()),
            None => Ok(dir),
        }
    }

    /// Opens the directory `name` in `within`, whose path in the root is `above`. Creates it if it
    /// is absent.
    fn make_in(
        &self,
        within: &Dir,
        name: &str,
        above: &Path,
        durability: Durability,
    ) -> Result<Arc<Dir>, StoreError> {
        let dir = match within.dir(name)? {
            Some(dir) => dir,
            None => {
                within.make_dir(name, self.arrangement.access())?;
                within.dir(name)?.ok_or_else(|| within.vanished(name))?
            }
        };
        let path = above.join(name);
        if durability != Durability::None && !self.is_durable(&path) {
            within.sync()?;
            locked(&self.durable).insert(path);
        }
        Ok(Arc::new(dir))
    }

    fn is_durable(&self, path: &Path) -> bool {
        locked(&self.durable).contains(path)
    }

    pub(super) fn open(&self, digest: &Digest) -> Result<Option<(File, u64)>, StoreError> {
        supported(digest)?;
        if let Some(shard) = self.arrangement.shard(digest)
            && let Some(dir) = self.algorithm(&digest.algorithm())?
            && let Some(found) = dir.file_in(shard, digest.encoded())?
        {
            return Ok(Some(found));
        }
        match self.dir(digest)? {
            Some(dir) => dir.file(digest.encoded()),
            None => Ok(None),
        }
    }

    pub(super) fn size(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        let Some(dir) = self.dir(digest)? else {
            return Ok(None);
        };
        match dir.entry(digest.encoded())? {
            Some(Entry::File(size)) => Ok(Some(size)),
            Some(_) => Err(StoreError::NotAFile {
                path: self.path(digest),
            }),
            None => Ok(None),
        }
    }

    pub(super) fn list(&self) -> Result<Digests<'_>, StoreError> {
        let mut lists: Vec<Digests<'_>> = Vec::new();
        for algorithm in ALGORITHMS {
            let Some(dir) = self.algorithm(&algorithm)? else {
                continue;
            };
            lists.push(match self.arrangement {
                Arrangement::Image => Box::new(list(dir, algorithm, "")?),
                Arrangement::Sharded => Box::new(list_shards(dir, algorithm)?),
            });
        }
        Ok(Box::new(lists.into_iter().flatten()))
    }

    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        let mut path = self.root.path().join(BLOBS_DIR);
        path.push(digest.algorithm().as_str());
        path.extend(self.arrangement.shard(digest));
        path.push(digest.encoded());
        path
    }

    fn algorithm(&self, algorithm: &Algorithm) -> Result<Option<Arc<Dir>>, StoreError> {
        let at = position(algorithm);
        if let Some(dir) = at.and_then(|at| locked(&self.opened).get(at)?.clone()) {
            return Ok(Some(dir));
        }
        let Some(blobs) = self.root.dir(BLOBS_DIR)? else {
            return Ok(None);
        };
        let dir = blobs.dir(algorithm.as_str())?.map(Arc::new);
        if let Some(dir) = &dir {
            self.hold(algorithm, dir);
        }
        Ok(dir)
    }

    /// Opens the directories anew when they are next needed: somebody may have removed them.
    pub(super) fn forget(&self) {
        *locked(&self.opened) = [const { None }; ALGORITHMS.len()];
        locked(&self.durable).clear();
    }

    fn hold(&self, algorithm: &Algorithm, dir: &Arc<Dir>) {
        if let Some(at) = position(algorithm)
            && let Some(opened) = locked(&self.opened).get_mut(at)
        {
            *opened = Some(Arc::clone(dir));
        }
    }
}

fn position(algorithm: &Algorithm) -> Option<usize> {
    ALGORITHMS.iter().position(|known| known == algorithm)
}

/// Lists the blobs in the shards of an algorithm; what is no directory is passed over.
fn list_shards(
    dir: Arc<Dir>,
    algorithm: Algorithm,
) -> Result<impl Iterator<Item = Result<Digest, StoreError>> + Send + use<>, StoreError> {
    let names = dir.names()?;
    let shard = move |name: Result<OsString, StoreError>| -> Result<Digests<'static>, StoreError> {
        let name = name?;
        let Some(name) = name.to_str().filter(|name| name.len() == SHARD_LENGTH) else {
            return Ok(Box::new(std::iter::empty()));
        };
        match dir.dir(name) {
            Ok(Some(shard)) => Ok(Box::new(list(Arc::new(shard), algorithm.clone(), name)?)),
            Ok(None) | Err(StoreError::NotADirectory { .. }) => Ok(Box::new(std::iter::empty())),
            Err(error) => Err(error),
        }
    };
    Ok(names.flat_map(move |name| {
        shard(name).unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
    }))
}

/// Lists the blobs in a directory whose encoded digests begin with `prefix`.
fn list(
    dir: Arc<Dir>,
    algorithm: Algorithm,
    prefix: &str,
) -> Result<impl Iterator<Item = Result<Digest, StoreError>> + Send + use<>, StoreError> {
    let names = dir.names()?;
    let prefix = prefix.to_owned();
    Ok(names.filter_map(move |name| {
        let name = match name {
            Ok(name) => name,
            Err(error) => return Some(Err(error)),
        };
        let name = name.to_str().filter(|name| name.starts_with(&prefix))?;
        let digest = format!("{}:{name}", algorithm.as_str()).parse().ok()?;
        match dir.entry(name) {
            Ok(Some(Entry::File(_))) => Some(Ok(digest)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }))
}
