//! Records of what a cache knows about content: the trait that stores them, and its drivers.
//!
//! Records are facts that can be observed again: the loss of a record costs a request to the
//! upstream, and never causes a wrong answer. The bytes of content are in a
//! [`Store`](longshore_store::Store).

use std::time::Duration;

use longshore_model::{Digest, MediaType, Tag};

pub use self::driver::{DynRecords, Records, RecordsError};
pub use self::file::{FileRecords, RECORD_FILES_LIMIT};
pub use self::memory::MemoryRecords;
use crate::name::ImageName;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod driver;
mod file;
mod memory;

/// A blob or manifest that a cache has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContentRecord {
    /// The digest of the bytes.
    pub digest: Digest,
    /// The media type of a manifest; `None` for a blob, whose type only its descriptor states.
    pub media_type: Option<MediaType>,
    /// The size in bytes.
    pub size: u64,
    /// When it was first stored, as Unix time.
    pub first_cached: Duration,
    /// When its bytes were last verified, as Unix time.
    pub last_validated: Duration,
    /// The key of the content in another content store, for example one that uses another hash. A
    /// cache keeps the key and never reads it.
    pub content_key: Option<Box<[u8]>>,
}

impl ContentRecord {
    /// Describes content that was verified at this Unix time.
    #[must_use]
    pub const fn new(
        digest: Digest,
        media_type: Option<MediaType>,
        size: u64,
        verified: Duration,
    ) -> Self {
        Self {
            digest,
            media_type,
            size,
            first_cached: verified,
            last_validated: verified,
            content_key: None,
        }
    }

    /// The record that replaces an earlier one of the same content: with the earlier `first_cached`
    /// and the later `last_validated` of the two.
    #[must_use]
    pub fn after(mut self, known: Option<&Self>) -> Self {
        if let Some(known) = known {
            self.first_cached = self.first_cached.min(known.first_cached);
            self.last_validated = self.last_validated.max(known.last_validated);
        }
        self
    }
}

/// The last answer of the upstream about a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TagRecord {
    /// The digest of the manifest that the tag names.
    pub digest: Digest,
    /// When the tag was first seen with this digest, as Unix time.
    pub first_cached: Duration,
    /// When the upstream last confirmed this, as Unix time.
    pub last_validated: Duration,
}

impl TagRecord {
    /// Describes an answer of the upstream at this Unix time: the tag names this manifest.
    #[must_use]
    pub const fn new(digest: Digest, validated: Duration) -> Self {
        Self {
            digest,
            first_cached: validated,
            last_validated: validated,
        }
    }

    /// The record that replaces an earlier one of the same tag; `None` if the earlier one was
    /// validated later and stays (CA8: a tag never moves back). If the digest is the same,
    /// `first_cached` is kept.
    #[must_use]
    pub fn after(mut self, known: Option<&Self>) -> Option<Self> {
        let Some(known) = known else {
            return Some(self);
        };
        if known.last_validated > self.last_validated {
            return None;
        }
        if known.digest == self.digest {
            self.first_cached = self.first_cached.min(known.first_cached);
        }
        Some(self)
    }

    /// Sets the time of validation to this Unix time if the tag names this digest, and returns
    /// whether it does.
    pub fn refresh(&mut self, digest: &Digest, validated: Duration) -> bool {
        let is_same = self.digest == *digest;
        if is_same {
            self.last_validated = validated;
        }
        is_same
    }
}

/// A repository with its known tags.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageRecord {
    /// Its name.
    pub name: ImageName,
    /// Its tags, sorted by name.
    pub tags: Vec<(Tag, TagRecord)>,
}

impl ImageRecord {
    /// Describes a repository.
    #[must_use]
    pub const fn new(name: ImageName, tags: Vec<(Tag, TagRecord)>) -> Self {
        Self { name, tags }
    }
}

/// The key of a list of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListKey {
    /// The names of its tags.
    Tags,
    /// The referrers of this manifest.
    Referrers(Digest),
}

/// A list as the upstream sent it, with all its pages.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListRecord {
    /// The entries, each a JSON document, in the order in which the list is sent.
    pub entries: Vec<String>,
    /// When the upstream last sent it, as Unix time.
    pub last_validated: Duration,
}

impl ListRecord {
    /// Describes a list that the upstream sent at this Unix time.
    #[must_use]
    pub const fn new(entries: Vec<String>, validated: Duration) -> Self {
        Self {
            entries,
            last_validated: validated,
        }
    }
}
