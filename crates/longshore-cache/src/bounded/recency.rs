//! The order in which blobs were used, as the text of a file: one line per blob, newest first.
//
// recency = header *( queue count SP digest LF )
// queue   = "s" / "m"     ; small, main
// count   = %x30-33       ; 0 to 3

use std::fmt::Write as _;

use longshore_model::Digest;

use crate::evict::{Key, Place, Queue};

const HEADER: &str = "longshore recency 1";

/// Maximum number of blobs in a snapshot: 100,000, which takes 7.5 MB. After a restart, further
/// blobs count as not used.
pub(super) const SNAPSHOT_LIMIT: usize = 100_000;

pub(super) fn write(places: &[Place]) -> Vec<u8> {
    let mut text = format!("{HEADER}\n");
    for place in places {
        let queue = match place.queue {
            Queue::Small => 's',
            Queue::Main => 'm',
        };
        if let Some(digest) = place.key.digest() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{queue}{} {digest}", place.count);
        }
    }
    text.into_bytes()
}

/// Reads a snapshot up to the first malformed line. With an unknown header, returns no entries.
pub(super) fn read(snapshot: &[u8]) -> Vec<Place> {
    let text = match std::str::from_utf8(snapshot) {
        Ok(text) => text,
        Err(error) => {
            let valid = snapshot.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(valid).unwrap_or_default()
        }
    };
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Vec::new();
    }
    lines.map_while(line).take(SNAPSHOT_LIMIT).collect()
}

fn line(line: &str) -> Option<Place> {
    let (place, digest) = line.split_once(' ')?;
    let (queue, count) = match place.as_bytes() {
        [b's', count @ b'0'..=b'3'] => (Queue::Small, count - b'0'),
        [b'm', count @ b'0'..=b'3'] => (Queue::Main, count - b'0'),
        _ => return None,
    };
    let digest: Digest = digest.parse().ok()?;
    Some(Place {
        key: Key::of(&digest),
        queue,
        count,
    })
}
