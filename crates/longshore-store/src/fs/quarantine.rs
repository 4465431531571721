//! Blobs with wrong bytes, kept in the private directory so that a person can find the cause (CA3:
//! a bad blob is quarantined). The store never reads them.

use std::time::{SystemTime, UNIX_EPOCH};

use longshore_model::Digest;

use super::partials;
use crate::dir::{Dir, Entry, FileMode};
use crate::error::StoreError;

/// The directory of bad blobs in the private directory.
pub(super) const QUARANTINE_DIR: &str = "quarantine";

/// Maximum number of files; the oldest are removed.
const FILES_LIMIT: usize = 16;

/// Maximum size of all files together in bytes; the oldest are removed.
const SIZE_LIMIT_BYTES: u64 = 256 * 1024 * 1024;

/// The bad blobs of one store.
#[derive(Debug)]
pub(super) struct Quarantine(Dir);

impl Quarantine {
    /// Opens the directory, and makes it if it does not exist.
    pub(super) fn make(private: &Dir) -> Result<Self, StoreError> {
        private.make_dir(QUARANTINE_DIR, FileMode::Private)?;
        match private.dir(QUARANTINE_DIR)? {
            Some(dir) => Ok(Self(dir)),
            None => Err(private.vanished(QUARANTINE_DIR)),
        }
    }

    /// Moves the file of the blob `digest` here from `dir`, and removes what exceeds the limits.
    pub(super) fn take(
        &self,
        digest: &Digest,
        dir: &Dir,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        dir.rename(digest.encoded(), &self.0, &file_name(digest, now))?;
        // Best effort: the blob has been moved, and the next call tries again.
        let _ = self.limit();
        Ok(())
    }

    /// Removes the oldest files until the rest is within the limits, and files with other names.
    fn limit(&self) -> Result<(), StoreError> {
        let mut files = Vec::new();
        for name in self.0.names()? {
            let name = name?;
            let Some(name) = name.to_str() else { continue };
            match (taken_at(name), self.0.entry(name)?) {
                (Some(time), Some(Entry::File(size))) => files.push((time, name.to_owned(), size)),
                _ => self.0.remove(name)?,
            }
        }
        files.sort_unstable_by(|one, other| other.cmp(one));
        let mut total = 0_u64;
        for (count, (_, name, size)) in files.iter().enumerate() {
            total = total.saturating_add(*size);
            if count >= FILES_LIMIT || total > SIZE_LIMIT_BYTES {
                self.0.remove(name)?;
            }
        }
        Ok(())
    }
}

// bad = seconds "-" partial
fn file_name(digest: &Digest, now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", since.as_secs(), partials::file_name(digest))
}

/// Returns when a file of this name was quarantined, in seconds since 1970.
fn taken_at(name: &str) -> Option<u64> {
    let (seconds, digest) = name.split_once('-')?;
    partials::digest(digest)?;
    seconds.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::Duration;

    use super::*;

    #[test]
    fn ca3_the_quarantine_is_bounded_and_keeps_the_newest() {
        let root = tempfile::tempdir().unwrap();
        let root_dir = Dir::open(root.path()).unwrap();
        let quarantine = Quarantine::make(&root_dir).unwrap();
        let place = root.path().join(QUARANTINE_DIR);
        let take = |seconds: u64, size: u64| {
            let digest = Digest::sha256(&seconds.to_le_bytes());
            let file = File::create(root.path().join(digest.encoded())).unwrap();
            file.set_len(size).unwrap();
            let now = UNIX_EPOCH + Duration::from_secs(seconds);
            quarantine.take(&digest, &root_dir, now).unwrap();
            file_name(&digest, now)
        };
        let left = || {
            let names = fs::read_dir(&place).unwrap();
            let mut names: Vec<_> = names
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        fs::write(place.join("other"), "").unwrap();
        // Times with different numbers of digits, not in order.
        let mut expected: Vec<String> = [999, 1_000, 998, 1_001].map(|n| take(n, 1)).into();
        expected.extend((2_000..2_014).map(|n| take(n, 1)));
        expected.retain(|name| !name.starts_with("99"));
        expected.sort();
        assert_eq!(left(), expected);
        assert_eq!(left().len(), FILES_LIMIT);

        let large = take(3_000, SIZE_LIMIT_BYTES - 1);
        assert_eq!(left(), [&*expected[15], &*large]);
        take(4_000, SIZE_LIMIT_BYTES + 1);
        assert_eq!(left(), [""; 0]);
    }
}
