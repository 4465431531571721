//! Which blobs were verified, so that they need not be hashed again while their files are
//! unchanged (DG10: what a pull names was verified, now or by an earlier run that recorded its
//! file).
//!
//! The record is a text file in the private directory, with at most [`RECORDS_LIMIT`] blobs and a
//! checksum as its last line. It only saves time: a record that is damaged, or that another user
//! owns or can read, is ignored, and the blobs are hashed again.
//!
//! A later change shows in a stamp only if the clock of the file system has advanced since the
//! times in the stamp. So a file that changed just before it was hashed is not recorded
//! ([`is_settled`]), and a file that this library writes gets a time of modification in the past
//! ([`SET_BACK`]), which every later write changes. Content that is not yet durable is not recorded
//! either: the record is written after a flush.
//!
//! Some file systems, tmpfs for example, keep the times of a file whose content is written through
//! a memory mapping. Such a change is found by a verification of the whole layout only.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longshore_model::Digest;

use super::private::PRIVATE_DIR;
use crate::dir::{Dir, Stamp};
use crate::lock::locked;

/// The name of the record in the private directory.
pub(super) const VERIFIED: &str = "verified";

/// How far the time of modification of a new blob is set back: more than the coarsest clock
/// resolution of a file system, the 2 s of FAT.
pub(super) const SET_BACK: Duration = Duration::from_secs(10);

/// How old the times of a file must be before it is recorded.
const SETTLED_AGE: Duration = Duration::from_secs(3);

/// Maximum number of blobs in the record.
const RECORDS_LIMIT: usize = 10_000;

/// Maximum size of the record in bytes; a longer file is ignored.
const SIZE_LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// The first line of the record.
const HEADER: &str = "longshore verified 1";

type Records = BTreeMap<Digest, Stamp>;

/// The blobs that are known to be verified in one store.
#[derive(Debug, Default)]
pub(super) struct Verified {
    /// Verified by earlier runs; set after the record was read.
    remembered: OnceLock<Records>,
    /// Verified by this store, or found in the record by it.
    current: Mutex<Records>,
}

impl Verified {
    /// Notes that the content of a file with this stamp was verified.
    pub(super) fn note(&self, digest: &Digest, stamp: Stamp) {
        let mut current = locked(&self.current);
        if current.len() < RECORDS_LIMIT {
            current.insert(digest.clone(), stamp);
        }
    }

    /// Returns whether the content of a file with this stamp was verified.
    pub(super) fn knows(&self, root: &Dir, digest: &Digest, stamp: &Stamp) -> bool {
        if locked(&self.current).get(digest) == Some(stamp) {
            return true;
        }
        let known = self.remembered(root).get(digest) == Some(stamp);
        if known {
            self.note(digest, *stamp);
        }
        known
    }

    /// Returns the new text of the record; `None` if it would not change.
    pub(super) fn text(&self, root: &Dir) -> Option<String> {
        let remembered = self.remembered(root);
        let current = locked(&self.current);
        if current
            .iter()
            .all(|(digest, stamp)| remembered.get(digest) == Some(stamp))
        {
            return None;
        }
        let others = remembered
            .iter()
            .filter(|(digest, _)| !current.contains_key(*digest));
        Some(to_text(current.iter().chain(others).take(RECORDS_LIMIT)))
    }

    fn remembered(&self, root: &Dir) -> &Records {
        self.remembered
            .get_or_init(|| read(root).unwrap_or_default())
    }
}

/// Returns whether every change after `now` changes the stamp of a file that has this one now.
pub(super) fn is_settled(stamp: &Stamp, now: SystemTime) -> bool {
    let (seconds, _) = stamp.modified.max(stamp.changed);
    let Ok(seconds) = u64::try_from(seconds) else {
        return false;
    };
    // Round up to the next full second, because nanoseconds are ignored. A time in the future comes
    // from another clock and proves nothing.
    let latest = UNIX_EPOCH.checked_add(Duration::from_secs(seconds.saturating_add(1)));
    latest
        .and_then(|latest| now.duration_since(latest).ok())
        .is_some_and(|age| age >= SETTLED_AGE)
}

fn read(root: &Dir) -> Option<Records> {
    let private = root.dir(PRIVATE_DIR).ok()??;
    let text = private.read_private(VERIFIED, SIZE_LIMIT_BYTES)?;
    parse(str::from_utf8(&text).ok()?)
}

// record = header LF *(digest 6(SP number) LF) digest-of-all-before LF
fn to_text<'a>(records: impl Iterator<Item = (&'a Digest, &'a Stamp)>) -> String {
    let mut text = format!("{HEADER}\n");
    for (digest, stamp) in records {
        let Stamp {
            inode,
            size,
            modified,
            changed,
        } = stamp;
        text.push_str(&format!(
            "{digest} {inode} {size} {} {} {} {}\n",
            modified.0, modified.1, changed.0, changed.1
        ));
    }
    let seal = Digest::sha256(text.as_bytes());
    text.push_str(&format!("{seal}\n"));
    text
}

/// Reads a record; `None` if it is malformed or incomplete.
fn parse(text: &str) -> Option<Records> {
    let (body, seal) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    // The seal covers the line break before it.
    let sealed = text.get(..body.len() + 1)?;
    if Digest::sha256(sealed.as_bytes()).as_str() != seal {
        return None;
    }
    let mut lines = body.split('\n');
    if lines.next()? != HEADER {
        return None;
    }
    lines.take(RECORDS_LIMIT).map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<(Digest, Stamp)> {
    let mut fields = line.split(' ');
    let digest = fields.next()?.parse().ok()?;
    let inode = fields.next()?.parse().ok()?;
    let size = fields.next()?.parse().ok()?;
    let mut number = || fields.next()?.parse::<i64>().ok();
    let modified = (number()?, number()?);
    let changed = (number()?, number()?);
    let stamp = Stamp {
        inode,
        size,
        modified,
        changed,
    };
    fields.next().is_none().then_some((digest, stamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(modified: i64, changed: i64) -> Stamp {
        Stamp {
            inode: 7,
            size: 1,
            modified: (modified, 999_999_999),
            changed: (changed, 0),
        }
    }

    // DG10: a change in the same tick of the clock as the last one leaves the stamp as it is.
    #[test]
    fn dg10_a_file_that_was_just_changed_is_not_recorded() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        for (modified, changed, settled) in [
            (900, 900, true),
            (996, 996, true),
            (997, 900, false),
            (900, 997, false),
            (999, 900, false),
            (900, 1_000, false),
            // Another clock, or a time that a program has set.
            (2_000, 900, false),
            (-5, -5, false),
            (i64::MAX, 0, false),
        ] {
            let stamp = stamp(modified, changed);
            assert_eq!(is_settled(&stamp, now), settled, "{modified} {changed}");
        }
    }

    #[test]
    fn dg10_a_damaged_record_is_ignored() {
        let digest = Digest::sha256(b"content");
        let records = Records::from([(digest, stamp(1, 2))]);
        let text = to_text(records.iter());
        assert_eq!(parse(&text), Some(records));
        for cut in 0..text.len() {
            assert_eq!(parse(&text[..cut]), None, "{cut}");
        }
        assert_eq!(parse(&text.replace(" 7 ", " 8 ")), None);
        let other = text.replace("verified 1", "verified 2");
        let (body, _) = other.trim_end().rsplit_once('\n').unwrap();
        let seal = Digest::sha256(format!("{body}\n").as_bytes());
        assert_eq!(parse(&format!("{body}\n{seal}\n")), None, "another version");
    }

    #[test]
    fn dg10_the_record_is_bounded_and_the_newest_are_in_it() {
        let root = tempfile::tempdir().unwrap();
        let root = Dir::open(root.path()).unwrap();
        let verified = Verified::default();
        let old = |n: usize| (Digest::sha256(&n.to_le_bytes()), stamp(1, 2));
        let old = (0..RECORDS_LIMIT).map(old).collect();
        verified.remembered.set(old).unwrap();
        assert_eq!(verified.text(&root), None);
        let new = Digest::sha256(b"new");
        verified.note(&new, stamp(3, 4));
        let text = verified.text(&root).unwrap();
        assert!(text.len() as u64 <= SIZE_LIMIT_BYTES);
        let written = parse(&text).unwrap();
        assert_eq!(written.len(), RECORDS_LIMIT);
        assert_eq!(written.get(&new), Some(&stamp(3, 4)));
    }
}
