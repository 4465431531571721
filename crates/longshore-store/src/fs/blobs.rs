//! Where the blobs lie: `blobs/<algorithm>/<encoded>`, as in an image layout.

use std::fs::File;
use std::path::PathBuf;
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

#[derive(Debug)]
pub(super) struct Blobs {
    pub(super) root: Arc<Dir>,
    /// The directories met so far, held open: an image may have hundreds of small blobs, and
    /// two directories opened for each would cost as much as the blob.
    opened: Mutex<[Option<Arc<Dir>>; ALGORITHMS.len()]>,
}

impl Blobs {
    pub(super) fn new(root: Arc<Dir>) -> Self {
        Self {
            root,
            opened: Mutex::default(),
        }
    }

    /// Opens the directory the blob `digest` is in, `None` when there is none yet.
    pub(super) fn dir(&self, digest: &Digest) -> Result<Option<Arc<Dir>>, StoreError> {
        supported(digest)?;
        self.algorithm(&digest.algorithm())
    }

    /// Opens the directory the blob `digest` goes to, made where there is none.
    pub(super) fn make_dir(
        &self,
        digest: &Digest,
        durability: Durability,
    ) -> Result<Arc<Dir>, StoreError> {
        if let Some(dir) = self.dir(digest)? {
            return Ok(dir);
        }
        let algorithm = digest.algorithm();
        let blobs = make_dir(&self.root, BLOBS_DIR, durability)?;
        let dir = Arc::new(make_dir(&blobs, algorithm.as_str(), durability)?);
        self.hold(&algorithm, &dir);
        Ok(dir)
    }

    pub(super) fn open(&self, digest: &Digest) -> Result<Option<(File, u64)>, StoreError> {
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
            if let Some(dir) = self.algorithm(&algorithm)? {
                lists.push(Box::new(list(dir, algorithm)?));
            }
        }
        Ok(Box::new(lists.into_iter().flatten()))
    }

    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        self.root.path().join(digest.blob_path())
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

fn list(
    dir: Arc<Dir>,
    algorithm: Algorithm,
) -> Result<impl Iterator<Item = Result<Digest, StoreError>> + Send, StoreError> {
    let names = dir.names()?;
    Ok(names.filter_map(move |name| {
        let name = match name {
            Ok(name) => name,
            Err(error) => return Some(Err(error)),
        };
        let name = name.to_str()?;
        let digest = format!("{}:{name}", algorithm.as_str()).parse().ok()?;
        match dir.entry(name) {
            Ok(Some(Entry::File(_))) => Some(Ok(digest)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }))
}

fn make_dir(within: &Dir, name: &str, durability: Durability) -> Result<Dir, StoreError> {
    // Almost always it is there.
    if let Some(dir) = within.dir(name)? {
        return Ok(dir);
    }
    if within.make_dir(name, FileMode::Shared)? && durability != Durability::None {
        within.sync()?;
    }
    within.dir(name)?.ok_or_else(|| within.vanished(name))
}
