//! Verification of every byte of a layout, in bounded memory.
//!
//! The calling thread walks the documents, breadth first, and looks at the size of everything they
//! refer to. Other threads hash the blobs at the same time; if they do not keep up, the calling
//! thread hashes too. At the end, the directory is searched for unreferenced blobs. Findings are
//! reported immediately. A blob whose size on disk differs from its descriptor is reported without
//! being read.
//!
//! For each descriptor, only a 64-bit hash is kept in memory ([`Seen`]); of the documents, only the
//! entries of indexes that are still to be followed.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _};
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use longshore_model::{Descriptor, Digest, Document, INDEX_DEPTH_LIMIT, Manifest};
use longshore_store::{Store as _, StoreError};

use super::graph::Expected;
use super::{Layout, Unread, check_size};
use crate::error::LayoutError;
use crate::report::{Finding, Problem, Progress, Report, VerifyEvent};

impl Layout {
    /// Verifies the whole layout: reads every manifest and hashes every blob that the index refers
    /// to, directly or not, and reports which blobs are absent, which do not match their
    /// descriptors, and which nothing refers to. Writes nothing.
    ///
    /// A finding does not end the verification. `observe` is called often and from any thread: with
    /// each finding when it is made, in no particular order, and with the progress after each
    /// manifest and each 256 KiB of other blobs. Memory does not grow with the number of findings.
    /// It grows by about 20 bytes for each distinct descriptor, of which at most 1,800,000 are
    /// followed.
    ///
    /// If other processes write during the verification, their new content may or may not be
    /// included; content that they delete may be reported as absent.
    ///
    /// # Errors
    ///
    /// Errors of `index.json`, as [`Layout::entries`], and [`StoreError::Interrupted`] when the
    /// interrupt of [`Layout::with_interrupt`] is set; everything else is a finding.
    pub fn verify(&self, observe: impl Fn(VerifyEvent) + Sync) -> Result<Report, LayoutError> {
        let index = self.index()?;
        let entries: Vec<Node> = index
            .entries()
            .map(|entry| Node::listed(entry, 0, None))
            .collect();
        drop(index);
        let check = Check {
            layout: self,
            counts: Counts::default(),
            observe: &observe,
        };
        let (sender, receiver) = sync_channel(WAITING_BLOBS);
        let receiver = Mutex::new(receiver);
        let seen = thread::scope(|scope| {
            for _ in 1..threads() {
                // This thread works too, so the work is done even if no other can be started.
                let _ = thread::Builder::new().spawn_scoped(scope, || check.hash_all(&receiver));
            }
            let mut walk = Walk::new(&check, sender);
            walk.follow(entries);
            // The other threads end when the sender is gone.
            let seen = walk.seen;
            drop(walk.blobs);
            check.hash_all(&receiver);
            seen
        });
        check.compare(&seen);
        self.store.interrupt().check()?;
        Ok(check.counts.report())
    }
}

/// A blob that a document refers to.
struct Node {
    digest: Digest,
    /// The size by the descriptor, in bytes.
    size: u64,
    /// The number of documents above it.
    depth: usize,
    expected: Expected,
    /// Whether its descriptor names other places for the content.
    elsewhere: bool,
    /// The manifest that refers to it, `None` for `index.json`.
    referrer: Option<Digest>,
}

impl Node {
    /// Makes the node of an entry in a list of manifests.
    fn listed(descriptor: &Descriptor, depth: usize, referrer: Option<&Digest>) -> Self {
        Self {
            expected: Expected::listed(descriptor),
            ..Self::content(descriptor, depth, referrer)
        }
    }

    /// Makes the node of a config or layer.
    fn content(descriptor: &Descriptor, depth: usize, referrer: Option<&Digest>) -> Self {
        Self {
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            depth,
            expected: Expected::Content,
            elsewhere: descriptor.media_type.is_foreign_layer() || !descriptor.urls.is_empty(),
            referrer: referrer.cloned(),
        }
    }

    fn kind(&self) -> Kind {
        match self.expected {
            Expected::Content => Kind::Blob,
            Expected::Manifest(_) | Expected::Unknown => Kind::Manifest,
        }
    }
}

/// The documents still to be followed.
struct Walk<'a, O> {
    check: &'a Check<'a, O>,
    blobs: SyncSender<Node>,
    seen: Seen,
    /// Verified indexes; they are read again when their turn comes.
    indexes: VecDeque<Node>,
    /// Subjects that are in the layout. They come last: something else may refer to them as well.
    subjects: VecDeque<Node>,
    /// For the blobs that this thread hashes.
    buffer: Vec<u8>,
}

impl<'a, O: Fn(VerifyEvent) + Sync> Walk<'a, O> {
    fn new(check: &'a Check<'a, O>, blobs: SyncSender<Node>) -> Self {
        Self {
            check,
            blobs,
            seen: Seen::new(DESCRIPTORS_LIMIT),
            indexes: VecDeque::new(),
            subjects: VecDeque::new(),
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Visits everything that is reachable from the entries of `index.json`.
    fn follow(&mut self, entries: Vec<Node>) {
        self.visit_all(entries);
        while !self.check.is_interrupted() {
            if let Some(index) = self.indexes.pop_front() {
                self.expand(&index);
            } else if let Some(subject) = self.subjects.pop_front() {
                self.visit(subject);
            } else {
                break;
            }
        }
        if self.seen.is_endless {
            let problem = Problem::Endless {
                limit: self.seen.limit,
            };
            self.check.find(None, None, problem);
        }
    }

    /// Visits what a verified index lists.
    fn expand(&mut self, index: &Node) {
        match self.check.read(index) {
            Ok(Some(manifest)) => {
                let children = children(index, &manifest);
                drop(manifest);
                self.visit_all(children);
            }
            // Another process has replaced the index.
            Ok(None) => {}
            Err(problem) => self.check.find_at(index, problem),
        }
    }

    fn visit_all(&mut self, nodes: Vec<Node>) {
        for node in nodes {
            if self.check.is_interrupted() {
                return;
            }
            self.visit(node);
        }
    }

    /// Verifies a manifest, or leaves a blob to be hashed, unless that was done before.
    fn visit(&mut self, node: Node) {
        if node.kind() == Kind::Blob && self.seen.has(&node, Kind::Manifest) {
            return;
        }
        if !self.seen.insert(&node, node.kind()) {
            return;
        }
        if let Err(problem) = self.take(&node) {
            self.check.find_at(&node, problem);
        }
    }

    fn take(&mut self, node: &Node) -> Result<(), Problem> {
        // A wrong size is found without reading the blob.
        match self.check.layout.store.size(&node.digest)? {
            None => return Err(Problem::Absent),
            Some(found) => check_size(node.size, found).map_err(|error| {
                self.seen.insert_digest(&node.digest);
                Problem::Corrupt(error)
            })?,
        }
        if node.kind() == Kind::Manifest && node.depth > INDEX_DEPTH_LIMIT {
            return Err(Problem::TooDeep);
        }
        let Some(manifest) = self.check.read(node)? else {
            self.hash(node);
            return Ok(());
        };
        let is_new = !self.seen.has(node, Kind::Blob);
        self.check.count_manifest(node.size, is_new);
        if matches!(manifest.document(), Document::Index(_)) {
            self.keep_index(node, &manifest);
            return Ok(());
        }
        self.defer_subject(node, &manifest);
        let children = children(node, &manifest);
        drop(manifest);
        self.visit_all(children);
        Ok(())
    }

    fn keep_index(&mut self, node: &Node, manifest: &Manifest) {
        self.defer_subject(node, manifest);
        if manifest.document().children().next().is_some() {
            self.indexes.push_back(Node {
                digest: node.digest.clone(),
                expected: node.expected.clone(),
                referrer: node.referrer.clone(),
                ..*node
            });
        }
    }

    /// Remembers the subject of a manifest if the layout has it. A subject may be absent.
    fn defer_subject(&mut self, node: &Node, manifest: &Manifest) {
        let Some(subject) = manifest.document().subject() else {
            return;
        };
        let subject = Node::listed(subject, node.depth + 1, Some(&node.digest));
        let is_absent = matches!(self.check.layout.store.size(&subject.digest), Ok(None));
        if !is_absent
            && !self.seen.has(&subject, Kind::Manifest)
            && self.seen.insert(&subject, Kind::Subject)
        {
            self.subjects.push_back(subject);
        }
    }

    /// Passes a blob to the other threads, or hashes it here if their queue is full.
    fn hash(&mut self, node: &Node) {
        if node.kind() == Kind::Manifest && !self.seen.insert(node, Kind::Blob) {
            return;
        }
        self.check.counts.know(node.size);
        let blob = Node {
            digest: node.digest.clone(),
            expected: Expected::Content,
            referrer: node.referrer.clone(),
            ..*node
        };
        match self.blobs.try_send(blob) {
            Ok(()) => {}
            Err(TrySendError::Full(blob) | TrySendError::Disconnected(blob)) => {
                self.check.hash_one(&blob, &mut self.buffer);
            }
        }
    }
}

/// Returns what a document refers to, except its subject.
fn children(node: &Node, manifest: &Manifest) -> Vec<Node> {
    let document = manifest.document();
    let make = match document {
        Document::Index(_) => Node::listed,
        _ => Node::content,
    };
    document
        .children()
        .map(|child| make(child, node.depth + 1, Some(&node.digest)))
        .collect()
}

/// What all threads share.
struct Check<'a, O> {
    layout: &'a Layout,
    counts: Counts,
    observe: &'a O,
}

impl<O: Fn(VerifyEvent) + Sync> Check<'_, O> {
    fn is_interrupted(&self) -> bool {
        self.layout.store.interrupt().is_set()
    }

    /// Reads the manifest of a node; `None` when it is something else.
    fn read(&self, node: &Node) -> Result<Option<Manifest>, Problem> {
        let manifest = self
            .layout
            .read_expected(&node.digest, node.size, &node.expected)?;
        Ok(manifest)
    }

    /// Counts a manifest, which is new unless it was also listed as a blob.
    fn count_manifest(&self, size: u64, is_new: bool) {
        self.counts.manifests.fetch_add(1, Ordering::Relaxed);
        if is_new {
            self.counts.know(size);
            self.counts.bytes.fetch_add(size, Ordering::Relaxed);
            self.counts.good(size);
            self.counts.end_blob();
            self.report_progress();
        }
    }

    /// Hashes blobs until the queue is closed.
    fn hash_all(&self, blobs: &Mutex<Receiver<Node>>) {
        let mut buffer = vec![0; BUFFER_BYTES];
        let next = || {
            let blobs = blobs.lock().unwrap_or_else(PoisonError::into_inner);
            blobs.recv().ok()
        };
        while let Some(blob) = next() {
            self.hash_one(&blob, &mut buffer);
        }
    }

    fn hash_one(&self, blob: &Node, buffer: &mut [u8]) {
        let hashed = self.read_through(blob, buffer);
        self.counts.end_blob();
        match hashed {
            Ok(()) => self.counts.good(blob.size),
            Err(StoreError::Interrupted) => {}
            Err(error) => self.find_at(blob, error.into()),
        }
    }

    fn read_through(&self, blob: &Node, buffer: &mut [u8]) -> Result<(), StoreError> {
        let mut reader = self.layout.read_blob(&blob.digest, blob.size)?;
        loop {
            self.layout.store.interrupt().check()?;
            match reader.read(buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    let read = &self.counts.bytes;
                    read.fetch_add(count as u64, Ordering::Relaxed);
                    self.report_progress();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.layout.read_failed(&blob.digest, error)),
            }
        }
    }

    /// Reports the blobs that nothing refers to.
    fn compare(&self, seen: &Seen) {
        if let Err(error) = self.list_unreferenced(seen) {
            self.find(None, None, error.into());
        }
    }

    fn list_unreferenced(&self, seen: &Seen) -> Result<(), StoreError> {
        for digest in self.layout.store.list()? {
            let digest = digest?;
            if self.is_interrupted() {
                return Ok(());
            }
            if let Some(size) = self.layout.store.size(&digest)?
                && !seen.refers_to(&digest, size)
            {
                self.find(Some(&digest), None, Problem::Unreferenced { size });
            }
        }
        Ok(())
    }

    fn find_at(&self, node: &Node, problem: Problem) {
        let problem = match problem {
            Problem::Absent if node.elsewhere => Problem::Elsewhere,
            problem => problem,
        };
        self.find(Some(&node.digest), node.referrer.as_ref(), problem);
    }

    fn find(&self, digest: Option<&Digest>, referrer: Option<&Digest>, problem: Problem) {
        self.counts.find(&problem);
        let finding = Finding::new(digest.cloned(), referrer.cloned(), problem);
        (self.observe)(VerifyEvent::Finding(finding));
    }

    fn report_progress(&self) {
        (self.observe)(VerifyEvent::Progress(self.counts.progress()));
    }
}

impl From<Unread> for Problem {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Manifest(source) => Self::Malformed(source),
            Unread::Store(error) => error.into(),
        }
    }
}

/// The role in which a blob was referred to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blob,
    Manifest,
    Subject,
    /// Any role, with any size.
    Digest,
}

/// The blobs that were visited: one keyed 64-bit hash for each digest, size and kind.
///
/// A layout cannot choose digests that collide, since the key is random. Two of a million collide
/// by chance once in 30 million runs.
struct Seen {
    hashes: HashSet<u64>,
    key: RandomState,
    limit: usize,
    /// Whether the limit was reached; further descriptors are not followed (LI2: memory is not
    /// sized by what a peer sends).
    is_endless: bool,
}

impl Seen {
    fn new(limit: usize) -> Self {
        Self {
            hashes: HashSet::new(),
            key: RandomState::new(),
            limit,
            is_endless: false,
        }
    }

    fn hash(&self, digest: &Digest, size: u64, kind: Kind) -> u64 {
        self.key.hash_one((digest.as_str(), size, kind as u8))
    }

    fn has(&self, node: &Node, kind: Kind) -> bool {
        self.hashes
            .contains(&self.hash(&node.digest, node.size, kind))
    }

    /// Returns whether the node is new.
    fn insert(&mut self, node: &Node, kind: Kind) -> bool {
        self.insert_hash(self.hash(&node.digest, node.size, kind))
    }

    /// Remembers that something refers to a blob that does not have the size given.
    fn insert_digest(&mut self, digest: &Digest) {
        self.insert_hash(self.hash(digest, 0, Kind::Digest));
    }

    fn insert_hash(&mut self, hash: u64) -> bool {
        if self.hashes.len() >= self.limit && !self.hashes.contains(&hash) {
            self.is_endless = true;
            return false;
        }
        self.hashes.insert(hash)
    }

    /// Returns whether something refers to a blob of this size.
    fn refers_to(&self, digest: &Digest, size: u64) -> bool {
        let has = |size, kind| self.hashes.contains(&self.hash(digest, size, kind));
        has(size, Kind::Blob) || has(size, Kind::Manifest) || has(0, Kind::Digest)
    }
}

/// The counters behind [`Progress`] and [`Report`].
#[derive(Default)]
struct Counts {
    blobs: AtomicU64,
    bytes: AtomicU64,
    known_blobs: AtomicU64,
    known_bytes: AtomicU64,
    manifests: AtomicU64,
    good_blobs: AtomicU64,
    good_bytes: AtomicU64,
    absent: AtomicU64,
    damaged: AtomicU64,
    unreadable: AtomicU64,
}

impl Counts {
    fn know(&self, size: u64) {
        self.known_blobs.fetch_add(1, Ordering::Relaxed);
        self.known_bytes.fetch_add(size, Ordering::Relaxed);
    }

    fn end_blob(&self) {
        self.blobs.fetch_add(1, Ordering::Relaxed);
    }

    fn good(&self, size: u64) {
        self.good_blobs.fetch_add(1, Ordering::Relaxed);
        self.good_bytes.fetch_add(size, Ordering::Relaxed);
    }

    fn find(&self, problem: &Problem) {
        if matches!(problem, Problem::Absent) {
            self.absent.fetch_add(1, Ordering::Relaxed);
        }
        if problem.is_damage() {
            self.damaged.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(problem, Problem::Unreadable(_)) {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn progress(&self) -> Progress {
        Progress {
            blobs: self.blobs.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            known_blobs: self.known_blobs.load(Ordering::Relaxed),
            known_bytes: self.known_bytes.load(Ordering::Relaxed),
        }
    }

    fn report(self) -> Report {
        Report {
            manifests: self.manifests.into_inner(),
            blobs: self.good_blobs.into_inner(),
            bytes: self.good_bytes.into_inner(),
            absent: self.absent.into_inner(),
            damaged: self.damaged.into_inner(),
            unreadable: self.unreadable.into_inner(),
        }
    }
}

/// Returns the number of threads that hash: two are as fast as most disks.
fn threads() -> usize {
    thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(THREADS_LIMIT)
}

const THREADS_LIMIT: usize = 2;

/// Maximum number of descriptors that are remembered, just below the number at which the hash table
/// would grow from 18 MiB to 36 MiB.
const DESCRIPTORS_LIMIT: usize = 1_800_000;

/// Maximum number of blobs in the queue for hashing.
const WAITING_BLOBS: usize = 4096;

/// How many bytes of a blob each thread has in memory while it hashes (LI2: blobs are streamed).
const BUFFER_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use longshore_model::MediaType;

    use super::*;

    fn layer(content: &[u8]) -> Node {
        let descriptor = Descriptor::of(MediaType::OCI_LAYER, content);
        Node::content(&descriptor, 1, None)
    }

    #[test]
    fn li2_descriptors_are_remembered_up_to_a_limit() {
        let mut seen = Seen::new(2);
        let (a, b, c) = (layer(b"a"), layer(b"b"), layer(b"c"));
        assert!(seen.insert(&a, Kind::Blob));
        assert!(!seen.insert(&a, Kind::Blob));
        assert!(seen.insert(&b, Kind::Blob));
        assert!(!seen.insert(&b, Kind::Blob));
        assert!(!seen.is_endless, "what was met before needs no room");
        assert!(!seen.insert(&c, Kind::Blob));
        assert!(seen.is_endless);
        assert!(seen.refers_to(&b.digest, 1) && !seen.refers_to(&b.digest, 2));
        assert!(!seen.refers_to(&c.digest, 1));
    }
}
