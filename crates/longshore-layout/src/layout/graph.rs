//! What a layout refers to: from its index through manifests to blobs, breadth first.
//!
//! The documents of a layout may be nested without end and may list a blob many times. [`Walk`]
//! visits each blob once and bounds the number of blobs and the depth of documents. No document is
//! kept once its descriptors were read.

use longshore_model::{
    ContentKind, Descriptor, Document, INDEX_DEPTH_LIMIT, Manifest, MediaType, Walk, WalkError,
    WalkLimits, WalkStep,
};

/// Maximum number of blobs that are followed from one layout. It bounds what a hostile layout can
/// make a reader remember.
///
/// Source: as for the entries of a listing in LI (limits of size and count).
pub(super) const BLOBS_LIMIT: usize = 1_000_000;

/// Only documents of manifest size are read, one at a time, so their bytes need no limit.
const LIMITS: WalkLimits = WalkLimits::new(INDEX_DEPTH_LIMIT, BLOBS_LIMIT, u64::MAX);

/// One blob that something refers to.
pub(super) type Node = WalkStep<Expected>;

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

/// The blobs still to be read, and those already visited.
#[derive(Debug)]
pub(super) struct Graph {
    walk: Walk<Expected>,
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
            let expected = Expected::listed(entry);
            graph.reach(WalkStep::start(entry, expected.kind(), expected));
        }
        graph
    }

    /// Takes the next blob that was not read yet. Subjects come last: something else in the layout
    /// may refer to them as well.
    pub(super) fn next(&mut self) -> Option<Node> {
        self.walk.next()
    }

    /// Adds what `manifest`, found as `node`, refers to.
    pub(super) fn expand(&mut self, node: &Node, manifest: &Manifest) {
        let document = manifest.document();
        for child in document.children() {
            let expected = match document {
                Document::Index(_) => Expected::listed(child),
                _ => Expected::Content,
            };
            self.reach(node.child(child, expected.kind(), expected));
        }
        if let Some(subject) = document.subject() {
            let expected = Expected::listed(subject);
            let subject = node.child(subject, expected.kind(), expected);
            self.endless |= self.walk.defer(subject).is_err();
        }
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

impl Expected {
    fn kind(&self) -> ContentKind {
        match self {
            Self::Content => ContentKind::Blob,
            Self::Manifest(_) | Self::Unknown => ContentKind::Manifest,
        }
    }

    /// Returns the kind of content that a descriptor in a list of manifests must have.
    pub(super) fn listed(descriptor: &Descriptor) -> Self {
        let known = [
            MediaType::OCI_MANIFEST,
            MediaType::OCI_INDEX,
            MediaType::DOCKER_MANIFEST,
            MediaType::DOCKER_LIST,
        ];
        known
            .into_iter()
            .find(|known| *known == descriptor.media_type)
            .map_or(Self::Unknown, Self::Manifest)
    }
}
