//! The limit on the number of files.
//!
//! A sweep walks the files twice: first it finds the age up to which they are removed, then it
//! removes them. It keeps 8 bytes for each file, and one number for each record of content.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use longshore_store::{Dir, StoreError};
use tracing::{debug, info};

use super::document::{Parsed, TagDocument};
use super::{Files, RECORD_LIMIT_BYTES, each_dir, path};

/// How soon a file is removed: by its class, and then by the time of its last write. The two
/// highest bits are the class; the others are nanoseconds of Unix time.
type Order = u64;

/// The classes of files, in the order of their removal.
#[derive(Clone, Copy)]
enum Class {
    /// A list. The oldest go first, so lists that are too old to be used precede all others.
    List = 0,
    /// A tag or a mark of content that is not stored.
    Unused = 1,
    /// Everything else.
    Used = 2,
}

const CLASS_SHIFT: u32 = 62;

impl Files {
    /// Counts the files.
    pub(super) fn count_files(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        self.walk(|_, dir| {
            let before = count;
            for name in dir.names()? {
                name?;
                count += 1;
            }
            Ok(count - before)
        })?;
        Ok(count)
    }

    /// Removes files until three quarters of the limit are left, and then the empty directories.
    /// Only one sweep runs at a time: the caller has set `sweeping`, which is cleared here.
    pub(super) fn sweep(&self) {
        let limit = self.limit.load(Ordering::Relaxed);
        let kept = limit - limit / 4;
        let before = self.files.load(Ordering::Relaxed);
        let swept = self.try_sweep(kept);
        // Also after a failure, the next sweep comes after a quarter of the limit in new files.
        let left = swept.as_ref().map_or(kept, |(left, _)| *left);
        // Files that were made during the sweep may be counted twice until the next one.
        let made = self.files.load(Ordering::Relaxed).saturating_sub(before);
        self.files.store(left.min(kept) + made, Ordering::Relaxed);
        self.sweeping.store(false, Ordering::Release);
        match swept {
            Ok((_, removed)) => info!(
                removed,
                "removed the oldest records of the cache, because there were too many"
            ),
            Err(error) => debug!(%error, "cannot remove old records of the cache"),
        }
    }

    /// Returns how many files are left and how many were removed.
    pub(super) fn try_sweep(&self, kept: u64) -> Result<(u64, u64), StoreError> {
        let stored = Stored::read(self)?;
        let mut orders = Vec::new();
        self.walk(|top, dir| {
            let before = orders.len();
            for name in dir.names()? {
                orders.push(stored.order(top, dir, name?.to_str()));
            }
            Ok((orders.len() - before) as u64)
        })?;
        let found = orders.len() as u64;
        let excess = found.saturating_sub(kept);
        let Some(last) = usize::try_from(excess)
            .ok()
            .and_then(|it| it.checked_sub(1))
        else {
            return Ok((found, 0));
        };
        let (_, &mut last, _) = orders.select_nth_unstable(last);
        drop(orders);
        let removed = self.remove_until(&stored, last, excess)?;
        Ok((found.saturating_sub(removed), removed))
    }

    /// Removes at most this many files up to this place in the order.
    fn remove_until(&self, stored: &Stored, last: Order, most: u64) -> Result<u64, StoreError> {
        let mut removed = 0;
        self.walk(|top, dir| {
            let mut left = 0;
            for name in dir.names()? {
                let name = name?;
                let old = name
                    .to_str()
                    .filter(|name| removed < most && stored.order(top, dir, Some(name)) <= last);
                // What cannot be removed, such as a directory, stays.
                match old.map(|name| dir.remove(name)) {
                    Some(Ok(())) => removed += 1,
                    Some(Err(_)) | None => left += 1,
                }
            }
            Ok(left)
        })?;
        Ok(removed)
    }

    /// Calls `visit` with each directory of files and the name of its top directory. If it returns
    /// that no file is left, the directory is removed. At most three directories are open at a
    /// time.
    fn walk(
        &self,
        mut visit: impl FnMut(&str, &Dir) -> Result<u64, StoreError>,
    ) -> Result<(), StoreError> {
        for top in [path::LISTS, path::OWN, path::TAGS, path::META] {
            let Some(within) = self.root.dir(top)? else {
                continue;
            };
            each_dir(&within, |_, middle| {
                each_dir(middle, |name, dir| {
                    if visit(top, dir)? == 0 {
                        self.remove_empty(middle, name);
                    }
                    Ok(())
                })
            })?;
        }
        Ok(())
    }
}

/// The content that has a record, as hashes of its path. Two contents with one hash make a file
/// stay too long, which is harmless.
struct Stored {
    hashes: HashSet<u64>,
    state: RandomState,
}

impl Stored {
    fn read(files: &Files) -> Result<Self, StoreError> {
        let mut stored = Self {
            hashes: HashSet::new(),
            state: RandomState::new(),
        };
        if let Some(meta) = files.root.dir(path::META)? {
            each_dir(&meta, |algorithm, dir| {
                each_dir(dir, |_, dir| {
                    for name in dir.names()? {
                        if let Some(name) = name?.to_str() {
                            let hash = stored.hash(algorithm, name);
                            stored.hashes.insert(hash);
                        }
                    }
                    Ok(())
                })
            })?;
        }
        Ok(stored)
    }

    fn hash(&self, algorithm: &str, encoded: &str) -> u64 {
        self.state.hash_one((algorithm, encoded))
    }

    /// The place of a file in the order of removal. A file whose time is unknown, such as a link,
    /// comes first in its class.
    fn order(&self, top: &str, dir: &Dir, name: Option<&str>) -> Order {
        let Some(name) = name else {
            // No record has such a name, and this program does not remove it.
            return Order::MAX;
        };
        let class = match top {
            path::LISTS => Class::List,
            path::OWN if !self.has_marked(name) => Class::Unused,
            path::TAGS if !self.has_tagged(dir, name) => Class::Unused,
            _ => Class::Used,
        };
        let modified = match dir.file(name) {
            Ok(Some((file, _))) => file.metadata().and_then(|it| it.modified()).ok(),
            _ => None,
        };
        let age = modified.and_then(|it| it.duration_since(UNIX_EPOCH).ok());
        let nanoseconds = age.and_then(|it| u64::try_from(it.as_nanos()).ok());
        let time = nanoseconds.unwrap_or(0).min((1 << CLASS_SHIFT) - 1);
        (class as u64) << CLASS_SHIFT | time
    }

    fn has_marked(&self, mark: &str) -> bool {
        let digest = mark.split_once('-');
        digest.is_some_and(|(algorithm, encoded)| self.has(algorithm, encoded))
    }

    fn has_tagged(&self, dir: &Dir, tag: &str) -> bool {
        let document = dir.read(tag, RECORD_LIMIT_BYTES).ok().flatten();
        let Some(Parsed::Record((_, record))) = document.map(|it| TagDocument::read(&it)) else {
            return false;
        };
        let (algorithm, encoded) = path::parts(&record.digest);
        self.has(&algorithm, &encoded)
    }

    fn has(&self, algorithm: &str, encoded: &str) -> bool {
        self.hashes.contains(&self.hash(algorithm, encoded))
    }
}
