//! Where the blobs lie: `blobs/<algorithm>/<encoded>`, as in an image layout.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use longshore_model::{Algorithm, Digest};

use super::Durability;
use crate::dir::{Access, Dir, Entry};
use crate::error::StoreError;
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
}

impl Blobs {
    /// Opens the directory the blob `digest` is in, `None` when there is none yet.
    pub(super) fn dir(&self, digest: &Digest) -> Result<Option<Dir>, StoreError> {
        supported(digest)?;
        self.algorithm(&digest.algorithm())
    }

    /// Opens the directory the blob `digest` goes to, made where there is none.
    pub(super) fn make_dir(
        &self,
        digest: &Digest,
        durability: Durability,
    ) -> Result<Dir, StoreError> {
        let blobs = make_dir(&self.root, BLOBS_DIR, durability)?;
        make_dir(&blobs, digest.algorithm().as_str(), durability)
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

    fn algorithm(&self, algorithm: &Algorithm) -> Result<Option<Dir>, StoreError> {
        match self.root.dir(BLOBS_DIR)? {
            Some(blobs) => blobs.dir(algorithm.as_str()),
            None => Ok(None),
        }
    }
}

fn list(
    dir: Dir,
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
    if within.make_dir(name, Access::Shared)? && durability != Durability::None {
        within.sync()?;
    }
    within.dir(name)?.ok_or_else(|| within.vanished(name))
}
