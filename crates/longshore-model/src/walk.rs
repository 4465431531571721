//! Walking a graph of manifests: visited content, pending steps, and limits.
//!
//! Registries and layouts are not trusted, so a graph may be nested, repeated or long without end.
//! A [`Walk`] bounds it. It does no I/O: the caller reads the document behind each step and tells
//! the walk what that document refers to.
//!
//! ```text
//!  reach ─┬─ First, OtherSize ─► queue ──────────────────────► next
//!         ├─ Again ────────────► ignored
//!         └─ no room ──────────► WalkError::TooMany
//!  defer ───► deferred, until the queue is empty ─┬─ First ──► next
//!                                                 └─ Again ──► dropped
//! ```

use std::collections::{HashMap, HashSet, VecDeque};

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::manifest::{Document, Manifest};

/// The limits of a [`Walk`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct WalkLimits {
    /// The deepest level at which manifests are read, where the start is level 0:
    /// [`INDEX_DEPTH_LIMIT`](crate::INDEX_DEPTH_LIMIT) for indexes in indexes.
    pub depth: usize,
    /// Maximum number of entries that the walk remembers.
    pub entries: usize,
    /// Maximum total of the bytes that the caller counts for documents.
    pub bytes: u64,
}

impl WalkLimits {
    /// Combines the three limits.
    #[must_use]
    pub const fn new(depth: usize, entries: usize, bytes: u64) -> Self {
        Self {
            depth,
            entries,
            bytes,
        }
    }
}

/// How a document refers to content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "content either refers to other content or does not"
)]
pub enum ContentKind {
    /// A config, a layer, or anything else that refers to nothing.
    Blob,
    /// An image manifest or an index.
    Manifest,
}

impl ContentKind {
    /// Returns what the children of a document are: manifests in an index, otherwise blobs.
    #[must_use]
    pub fn of_children(document: &Document) -> Self {
        match document {
            Document::Index(_) => Self::Manifest,
            Document::Image(_) => Self::Blob,
        }
    }
}

/// Content that a [`Walk`] has reached, with a value that the caller attached to it.
///
/// A step does not hold the whole descriptor, whose size a peer decides (LI2: memory is not sized
/// by what a peer sends).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct WalkStep<T> {
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes, as given by the descriptor.
    pub size: u64,
    /// What the content is read as.
    pub kind: ContentKind,
    /// The number of documents between the start and this content.
    pub depth: usize,
    /// The caller's value.
    pub item: T,
}

impl<T> WalkStep<T> {
    /// Makes a step at which a walk starts, at level 0.
    #[must_use]
    pub fn start(descriptor: &Descriptor, kind: ContentKind, item: T) -> Self {
        Self::at(descriptor, kind, 0, item)
    }

    /// Makes the step of a manifest at which a walk starts, at level 0.
    #[must_use]
    pub fn start_at(manifest: &Manifest, item: T) -> Self {
        Self {
            digest: manifest.digest().clone(),
            size: manifest.bytes().len() as u64,
            kind: ContentKind::Manifest,
            depth: 0,
            item,
        }
    }

    /// Makes the step of content that this one refers to, one level deeper.
    #[must_use]
    pub fn child<U>(&self, descriptor: &Descriptor, kind: ContentKind, item: U) -> WalkStep<U> {
        WalkStep::at(descriptor, kind, self.depth + 1, item)
    }

    fn at(descriptor: &Descriptor, kind: ContentKind, depth: usize, item: T) -> Self {
        Self {
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            kind,
            depth,
            item,
        }
    }
}

/// Whether a walk has met content before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "content is new, known, or known with another size"
)]
pub enum Reached {
    /// The walk has met it before, with the same size; it is not queued again.
    Again,
    /// The walk has not met it before; it is queued.
    First,
    /// The walk has met it before with another size, so one of the two descriptors is wrong. It is
    /// queued once for each size.
    OtherSize {
        /// The size in bytes by the descriptor that came first.
        first: u64,
    },
}

/// A bounded walk through a graph of manifests, breadth first.
///
/// Iterating yields the queued steps; more may be queued after the iterator has returned `None`.
///
/// ```
/// use longshore_model::{
///     ContentKind, Descriptor, INDEX_DEPTH_LIMIT, Index, Document, Manifest, MediaType, Walk,
///     WalkLimits, WalkStep,
/// };
///
/// let image = Descriptor::of(MediaType::OCI_MANIFEST, b"an image manifest");
/// let index = Index::new(vec![image.clone(), image.clone()]);
/// let index = Manifest::from_document(&Document::Index(index))?;
///
/// let mut walk = Walk::new(WalkLimits::new(INDEX_DEPTH_LIMIT, 200_000, u64::MAX));
/// walk.reach(WalkStep::start_at(&index, ()))?;
/// let mut digests = Vec::new();
/// while let Some(step) = walk.next() {
///     walk.check_depth(&step)?;
///     if step.digest == *index.digest() {
///         for child in index.document().children() {
///             walk.reach(step.child(child, ContentKind::Manifest, ()))?;
///         }
///     }
///     digests.push(step.digest);
/// }
/// assert_eq!(digests, [index.digest().clone(), image.digest]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Walk<T> {
    limits: WalkLimits,
    seen: HashMap<Digest, FirstSizes>,
    /// Further sizes of content that is in `seen`.
    other_sizes: HashSet<(Digest, ContentKind, u64)>,
    /// How many entries are remembered: content that was seen, and steps that are deferred.
    entries: usize,
    /// How many bytes were counted.
    bytes: u64,
    queue: VecDeque<WalkStep<T>>,
    deferred: VecDeque<WalkStep<T>>,
}

/// The sizes that the first descriptors of one digest gave, in bytes.
#[derive(Debug, Default)]
struct FirstSizes {
    as_blob: Option<u64>,
    as_manifest: Option<u64>,
}

impl<T> Walk<T> {
    /// Makes a walk that has reached nothing yet.
    #[must_use]
    pub fn new(limits: WalkLimits) -> Self {
        Self {
            limits,
            seen: HashMap::new(),
            other_sizes: HashSet::new(),
            entries: 0,
            bytes: 0,
            queue: VecDeque::new(),
            deferred: VecDeque::new(),
        }
    }

    /// Queues a step unless the walk has met its content before.
    ///
    /// # Errors
    ///
    /// [`WalkError::TooMany`] when the content is new and no entry is left; the step is dropped.
    pub fn reach(&mut self, step: WalkStep<T>) -> Result<Reached, WalkError> {
        let reached = self.meet(&step)?;
        if reached != Reached::Again {
            self.queue.push_back(step);
        }
        Ok(reached)
    }

    /// Keeps a step until the queue is empty. It is yielded then unless something else has reached
    /// its content by that time.
    ///
    /// # Errors
    ///
    /// [`WalkError::TooMany`] when no entry is left; the step is dropped.
    pub fn defer(&mut self, step: WalkStep<T>) -> Result<(), WalkError> {
        self.count_entry()?;
        self.deferred.push_back(step);
        Ok(())
    }

    /// Counts an entry that the caller remembers although the walk does not, for example a
    /// repetition that is shown.
    ///
    /// # Errors
    ///
    /// [`WalkError::TooMany`] when no entry is left.
    pub fn count_entry(&mut self) -> Result<(), WalkError> {
        let limit = self.limits.entries;
        if self.entries >= limit {
            return Err(WalkError::TooMany { limit });
        }
        self.entries += 1;
        Ok(())
    }

    /// Counts the bytes of a document that was read or is to be read.
    ///
    /// # Errors
    ///
    /// [`WalkError::TooLarge`] when the total of all counted bytes exceeds [`WalkLimits::bytes`].
    pub fn count_bytes(&mut self, bytes: u64) -> Result<(), WalkError> {
        self.bytes = self.bytes.saturating_add(bytes);
        let limit = self.limits.bytes;
        if self.bytes > limit {
            return Err(WalkError::TooLarge { limit });
        }
        Ok(())
    }

    /// Checks that a step is not nested too deeply to be read. A blob never is: its descriptor was
    /// in a document that was read.
    ///
    /// # Errors
    ///
    /// [`WalkError::TooDeep`].
    pub fn check_depth(&self, step: &WalkStep<T>) -> Result<(), WalkError> {
        let limit = self.limits.depth;
        if step.kind == ContentKind::Manifest && step.depth > limit {
            let digest = step.digest.clone();
            return Err(WalkError::TooDeep { digest, limit });
        }
        Ok(())
    }

    /// Returns whether the walk has met content with this digest, of either kind.
    #[must_use]
    pub fn has_met(&self, digest: &Digest) -> bool {
        self.seen.contains_key(digest)
    }

    /// Remembers the content of a step.
    fn meet(&mut self, step: &WalkStep<T>) -> Result<Reached, WalkError> {
        let WalkStep {
            digest, size, kind, ..
        } = step;
        let first = self.seen.get(digest).and_then(|sizes| sizes.of(*kind));
        match first {
            None => {
                self.count_entry()?;
                let sizes = self.seen.entry(digest.clone()).or_default();
                *sizes.slot(*kind) = Some(*size);
                Ok(Reached::First)
            }
            Some(first) if first == *size => Ok(Reached::Again),
            Some(first) => {
                let key = (digest.clone(), *kind, *size);
                if self.other_sizes.contains(&key) {
                    return Ok(Reached::Again);
                }
                self.count_entry()?;
                self.other_sizes.insert(key);
                Ok(Reached::OtherSize { first })
            }
        }
    }
}

impl<T> Iterator for Walk<T> {
    type Item = WalkStep<T>;

    fn next(&mut self) -> Option<WalkStep<T>> {
        if let Some(step) = self.queue.pop_front() {
            return Some(step);
        }
        while let Some(step) = self.deferred.pop_front() {
            // Frees the entry of the step, so meeting it now cannot fail.
            self.entries -= 1;
            if self.meet(&step) != Ok(Reached::Again) {
                return Some(step);
            }
        }
        None
    }
}

impl FirstSizes {
    fn of(&self, kind: ContentKind) -> Option<u64> {
        match kind {
            ContentKind::Blob => self.as_blob,
            ContentKind::Manifest => self.as_manifest,
        }
    }

    fn slot(&mut self, kind: ContentKind) -> &mut Option<u64> {
        match kind {
            ContentKind::Blob => &mut self.as_blob,
            ContentKind::Manifest => &mut self.as_manifest,
        }
    }
}

/// A graph of manifests that exceeds the limits of a [`Walk`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// A manifest is nested in too many others.
    #[error("manifests are nested more than {limit} deep")]
    TooDeep {
        /// The manifest that was not read.
        digest: Digest,
        /// The deepest level that is read.
        limit: usize,
    },
    /// The documents are too large together.
    #[error("the documents have more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// There are too many entries.
    #[error("there are more than {limit} entries")]
    TooMany {
        /// The maximum number.
        limit: usize,
    },
}

#[cfg(test)]
mod tests;
