//! What a layout refers to: from its index through manifests to blobs, breadth first.
//!
//! The documents of a layout may be nested without end and may list a blob many times. [`Walk`]
//! visits each blob once and bounds the number of blobs and the depth of documents. No document is
//! kept once its descriptors were read.

use longshore_model::{
    ContentKind, Descriptor, Digest, Document, INDEX_DEPTH_LIMIT, Manifest, MediaType, Walk,
    WalkError, WalkLimits, WalkStep,
};

/// Maximum number of blobs that are followed from one layout. It bounds what a hostile layout can
/// make a reader remember.
///
/// Source: as for the entries of a listing in LI (limits of size and count).
pub(super) const BLOBS_LIMIT: usize = 1_000_000;

/// Only documents of manifest size are read, one at a time, so their bytes need no limit.
const LIMITS: WalkLimits = WalkLimits::new(INDEX_DEPTH_LIMIT, BLOBS_LIMIT, u64::MAX);

/// One blob that something refers to.
pub(super) type Node = WalkStep<Link>;

/// How a document refers to a blob.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) expected: Expected,
    pub(super) absence: Absence,
    /// The manifest that refers to the blob, `None` for `index.json`.
    pub(super) referrer: Option<Digest>,
}

/// What a blob has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Anything.
    Content,
    /// A manifest or index of this type, one of the constants.
    Manifest(MediaType),
    /// Listed among manifests with an unknown type: read as a manifest if possible.
    Unknown,
}

/// What it means if a blob is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    Damage,
    /// Its descriptor says where else it may be.
    Elsewhere,
    /// A subject need not be where its referrers are.
    Fine,
}

/// The blobs still to be read, and those already visited.
#[derive(Debug)]
pub(super) struct Graph {
    walk: Walk<Link>,
    endless: bool,
}

impl Graph {
    /// Starts with the entries of `index.json`.
    pub(super) fn new<'a>(entries: impl Iterator<Item = &'a Descriptor>) -> Self {
        let mut graph = Self {
            walk: Walk::new(LIMITS),
            endless: false,
        };
        for entry in entries {
            let link = Link::new(entry, listed_as(entry), None);
            graph.reach(WalkStep::start(entry, link.expected.kind(), link));
        }
        graph
    }

    /// Takes the next blob that was not read yet. Subjects come last: a subject may be absent, but
    /// not if something else in the layout refers to it as well.
    pub(super) fn next(&mut self) -> Option<Node> {
        self.walk.next()
    }

    /// Adds what `manifest`, found as `node`, refers to.
    pub(super) fn expand(&mut self, node: &Node, manifest: &Manifest) {
        let document = manifest.document();
        for child in document.children() {
            let expected = match document {
                Document::Index(_) => listed_as(child),
                _ => Expected::Content,
            };
            let link = Link::new(child, expected, Some(&node.digest));
            self.reach(node.child(child, link.expected.kind(), link));
        }
        if let Some(subject) = document.subject() {
            let mut link = Link::new(subject, listed_as(subject), Some(&node.digest));
            link.absence = Absence::Fine;
            let subject = node.child(subject, link.expected.kind(), link);
            self.endless |= self.walk.defer(subject).is_err();
        }
    }

    /// Returns whether something seen so far refers to `digest`.
    pub(super) fn refers_to(&self, digest: &Digest) -> bool {
        self.walk.has_met(digest)
    }

    /// Returns whether there were more than [`BLOBS_LIMIT`] blobs; the rest is not followed.
    pub(super) fn is_endless(&self) -> bool {
        self.endless
    }

    /// Checks that a node is not nested too deeply to be read.
    pub(super) fn check_depth(&self, node: &Node) -> Result<(), WalkError> {
        self.walk.check_depth(node)
    }

    fn reach(&mut self, node: Node) {
        // Another size of a known digest is a node of its own: reading it finds which is wrong.
        self.endless |= self.walk.reach(node).is_err();
    }
}

impl Link {
    fn new(descriptor: &Descriptor, expected: Expected, referrer: Option<&Digest>) -> Self {
        let elsewhere = descriptor.media_type.is_foreign_layer() || !descriptor.urls.is_empty();
        Self {
            expected,
            absence: if elsewhere {
                Absence::Elsewhere
            } else {
                Absence::Damage
            },
            referrer: referrer.cloned(),
        }
    }
}

impl Expected {
    fn kind(&self) -> ContentKind {
        match self {
            Self::Content => ContentKind::Blob,
            Self::Manifest(_) | Self::Unknown => ContentKind::Manifest,
        }
    }
}

/// What a blob in a list of manifests has to be.
fn listed_as(descriptor: &Descriptor) -> Expected {
    let known = [
        MediaType::OCI_MANIFEST,
        MediaType::OCI_INDEX,
        MediaType::DOCKER_MANIFEST,
        MediaType::DOCKER_LIST,
    ];
    known
        .into_iter()
        .find(|known| *known == descriptor.media_type)
        .map_or(Expected::Unknown, Expected::Manifest)
}
