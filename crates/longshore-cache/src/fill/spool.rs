//! The storage of the bytes of a fill, for its readers.

use std::ops::Range;
use std::sync::OnceLock;

use bytes::Bytes;
use longshore_store::RandomReader;

use super::ring::Ring;
use crate::bounded::StoredBlob;

/// The storage of the bytes of a fill.
#[derive(Debug)]
pub(crate) enum Spool {
    /// A whole blob in memory.
    Memory(Bytes),
    /// The store already had the blob.
    Stored(StoredBlob),
    /// In a file, and, from the first byte that could not be stored, in a ring.
    Transfer {
        /// `None` if nothing is stored: the ring begins with the first byte.
        file: Option<RandomReader>,
        ring: OnceLock<Ring>,
    },
}

/// Bytes that can be read.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    /// In this source, from the position that was requested to this one.
    Source(&'a RandomReader, u64),
    /// These bytes.
    Bytes(Bytes),
    /// The bytes were dropped.
    Gone,
}

impl Spool {
    pub(crate) const fn file(reader: RandomReader) -> Self {
        Self::Transfer {
            file: Some(reader),
            ring: OnceLock::new(),
        }
    }

    pub(crate) fn ring() -> Self {
        Self::Transfer {
            file: None,
            ring: Ring::new(0).into(),
        }
    }

    /// The ring of a transfer that is not stored.
    pub(crate) fn as_ring(&self) -> Option<&Ring> {
        match self {
            Self::Transfer { ring, .. } => ring.get(),
            Self::Memory(_) | Self::Stored(_) => None,
        }
    }

    /// Continues in a ring from this position, because the store failed there.
    pub(crate) fn overflow(&self, position: u64) {
        if let Self::Transfer { ring, .. } = self {
            ring.get_or_init(|| Ring::new(position));
        }
    }

    /// Finds released bytes: at least the first byte of the range, which is not empty.
    pub(crate) fn find(&self, range: Range<u64>) -> Piece<'_> {
        match self {
            Self::Memory(bytes) => {
                let position = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                Piece::Bytes(bytes.slice(position(range.start)..position(range.end)))
            }
            Self::Stored(blob) => Piece::Source(blob.reader(), range.end),
            Self::Transfer { file, ring } => {
                let from = ring.get().map_or(u64::MAX, Ring::from);
                match (file, ring.get()) {
                    (Some(file), _) if range.start < from => {
                        Piece::Source(file, range.end.min(from))
                    }
                    (_, Some(ring)) => ring
                        .read(range.start, range.end - range.start)
                        .map_or(Piece::Gone, Piece::Bytes),
                    (_, None) => Piece::Gone,
                }
            }
        }
    }
}
