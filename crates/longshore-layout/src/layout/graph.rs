//! What a layout leads to: from its index through manifests to blobs, breadth first.
//!
//! Whoever wrote the layout may have nested and repeated without end. Each blob is taken once,
//! documents only to a depth, and what is remembered of each is small, whatever the documents
//! say about it: nothing of theirs is held once they were looked through.

use std::collections::{HashSet, VecDeque};

use longshore_model::{Descriptor, Digest, Document, INDEX_DEPTH_LIMIT, Manifest, MediaType};

/// One layout leads to at most this many blobs: what a hostile one can make a reader remember.
///
/// Source: as for the entries of a listing in LI.
pub(super) const BLOBS_LIMIT: usize = 1_000_000;

/// One blob that something refers to.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) kind: Kind,
    pub(super) absence: Absence,
    /// The manifest that refers to it, `None` for `index.json`.
    pub(super) referrer: Option<Digest>,
    /// How many indexes lie between it and `index.json`.
    pub(super) depth: usize,
}

/// What a blob has to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Anything.
    Content,
    /// A manifest or index of this type, one of the constants.
    Manifest(MediaType),
    /// In a list of manifests, but of a type that is not known: read if it can be.
    Unknown,
}

/// What it means if a blob is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    Damage,
    /// Its descriptor says where else it may be.
    Elsewhere,
    /// A subject need not be where its referrers are.
    Fine,
}

/// What is still to be looked at, and what was.
#[derive(Debug, Default)]
pub(super) struct Graph {
    seen: HashSet<(Digest, u64, bool)>,
    referenced: HashSet<Digest>,
    queue: VecDeque<Node>,
    /// Looked at last: what is also referred to otherwise is met there first.
    subjects: VecDeque<Node>,
    endless: bool,
}

impl Graph {
    /// Begins with the entries of `index.json`.
    pub(super) fn new<'a>(entries: impl Iterator<Item = &'a Descriptor>) -> Self {
        let mut graph = Self::default();
        for entry in entries {
            graph.push(Node::new(entry, list_kind(entry), None, 0));
        }
        graph
    }

    /// Takes the next blob nobody has looked at.
    pub(super) fn next(&mut self) -> Option<Node> {
        if let Some(node) = self.queue.pop_front() {
            return Some(node);
        }
        while let Some(node) = self.subjects.pop_front() {
            if self.see(&node) {
                return Some(node);
            }
        }
        None
    }

    /// Adds what `manifest`, found as `node`, refers to.
    pub(super) fn expand(&mut self, node: &Node, manifest: &Manifest) {
        let document = manifest.document();
        let depth = node.depth + 1;
        for child in document.children() {
            let kind = match document {
                Document::Index(_) => list_kind(child),
                _ => Kind::Content,
            };
            self.push(Node::new(child, kind, Some(&node.digest), depth));
        }
        if let Some(subject) = document.subject()
            && self.has_room()
        {
            let mut subject = Node::new(subject, list_kind(subject), Some(&node.digest), depth);
            subject.absence = Absence::Fine;
            self.subjects.push_back(subject);
        }
    }

    /// Returns whether something seen so far refers to `digest`.
    pub(super) fn refers_to(&self, digest: &Digest) -> bool {
        self.referenced.contains(digest)
    }

    /// Returns whether there was more than [`BLOBS_LIMIT`], which is not followed.
    pub(super) fn is_endless(&self) -> bool {
        self.endless
    }

    fn push(&mut self, node: Node) {
        if self.see(&node) {
            self.queue.push_back(node);
        }
    }

    /// Remembers the blob; returns whether it is the first time.
    fn see(&mut self, node: &Node) -> bool {
        let is_document = node.kind != Kind::Content;
        let key = (node.digest.clone(), node.size, is_document);
        if self.seen.contains(&key) || !self.has_room() {
            return false;
        }
        self.referenced.insert(node.digest.clone());
        self.seen.insert(key)
    }

    fn has_room(&mut self) -> bool {
        let room = self.seen.len() + self.subjects.len() < BLOBS_LIMIT;
        self.endless |= !room;
        room
    }
}

impl Node {
    fn new(descriptor: &Descriptor, kind: Kind, referrer: Option<&Digest>, depth: usize) -> Self {
        let elsewhere = descriptor.media_type.is_foreign_layer() || !descriptor.urls.is_empty();
        Self {
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            kind,
            absence: if elsewhere {
                Absence::Elsewhere
            } else {
                Absence::Damage
            },
            referrer: referrer.cloned(),
            depth,
        }
    }

    /// Returns whether this document is nested deeper than is followed.
    pub(super) fn is_too_deep(&self) -> bool {
        self.kind != Kind::Content && self.depth > INDEX_DEPTH_LIMIT
    }
}

/// What a blob in a list of manifests has to be.
fn list_kind(descriptor: &Descriptor) -> Kind {
    let known = [
        MediaType::OCI_MANIFEST,
        MediaType::OCI_INDEX,
        MediaType::DOCKER_MANIFEST,
        MediaType::DOCKER_LIST,
    ];
    known
        .into_iter()
        .find(|known| *known == descriptor.media_type)
        .map_or(Kind::Unknown, Kind::Manifest)
}
