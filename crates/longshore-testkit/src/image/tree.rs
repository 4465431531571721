//! A document, the documents it names, and the blobs they name.

use std::collections::BTreeSet;

use bytes::Bytes;
use longshore_model::{Descriptor, Digest, MediaType};

use crate::content::BlobContent;

/// Content and the descriptor under which a document names it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DescribedContent {
    /// Media type, digest and size, and the platform where there is one.
    pub descriptor: Descriptor,
    /// The bytes.
    pub content: BlobContent,
}

/// A manifest or index with everything below it.
#[derive(Clone, Debug)]
pub struct Tree {
    root: DescribedContent,
    children: Vec<Self>,
    blobs: Vec<DescribedContent>,
}

impl Tree {
    pub(super) fn new(
        root: DescribedContent,
        children: Vec<Self>,
        blobs: Vec<DescribedContent>,
    ) -> Self {
        Self {
            root,
            children,
            blobs,
        }
    }

    /// The descriptor of the document at the top.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.root.descriptor
    }

    /// The digest of the document at the top.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.root.descriptor.digest
    }

    /// The media type of the document at the top.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        &self.root.descriptor.media_type
    }

    /// The bytes of the document at the top.
    #[must_use]
    pub fn document(&self) -> Bytes {
        self.root.content.bytes()
    }

    /// What an index names, in its order; empty for an image.
    #[must_use]
    pub fn children(&self) -> &[Self] {
        &self.children
    }

    /// What an image manifest names: the configuration, then the layers; empty for an index.
    #[must_use]
    pub fn blobs(&self) -> &[DescribedContent] {
        &self.blobs
    }

    /// The child for a platform given as `os/architecture[/variant]`, the first if several.
    #[must_use]
    pub fn child(&self, platform: &str) -> Option<&Self> {
        self.children.iter().find(|child| {
            child
                .descriptor()
                .platform
                .as_ref()
                .is_some_and(|found| found.to_string() == platform)
        })
    }

    /// Every document below and including this one, children first, each digest once.
    #[must_use]
    pub fn documents(&self) -> Vec<&DescribedContent> {
        let mut found = Vec::new();
        self.collect(&mut |tree| found.push(&tree.root));
        once(found)
    }

    /// Every blob of every document, each digest once.
    #[must_use]
    pub fn all_blobs(&self) -> Vec<&DescribedContent> {
        let mut found = Vec::new();
        self.collect(&mut |tree| found.extend(&tree.blobs));
        once(found)
    }

    /// How many bytes a complete copy holds, documents included.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        let all = self.documents().into_iter().chain(self.all_blobs());
        all.map(|stored| stored.descriptor.size).sum()
    }

    fn collect<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        for child in &self.children {
            child.collect(visit);
        }
        visit(self);
    }
}

fn once(mut all: Vec<&DescribedContent>) -> Vec<&DescribedContent> {
    let mut seen = BTreeSet::new();
    all.retain(|stored| seen.insert(stored.descriptor.digest.clone()));
    all
}
