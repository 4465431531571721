//! What a registry holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use longshore_model::Digest;

use crate::content::BlobContent;
use crate::image::{DescribedContent, Tree};
use crate::requests::unpoisoned;

/// Repositories with their tags, manifests and blobs. Clones share one set.
///
/// Repositories are apart: content of one is not found under another.
#[derive(Clone, Debug, Default)]
pub struct Contents(Arc<Mutex<BTreeMap<String, Repository>>>);

#[derive(Debug, Default)]
struct Repository {
    tags: BTreeMap<String, Digest>,
    manifests: BTreeMap<Digest, DescribedContent>,
    blobs: BTreeMap<Digest, BlobContent>,
}

impl Repository {
    fn hold(&mut self, tree: &Tree) {
        for stored in tree.documents() {
            self.manifests
                .insert(stored.descriptor.digest.clone(), stored.clone());
        }
        for stored in tree.all_blobs() {
            self.blobs
                .insert(stored.descriptor.digest.clone(), stored.content.clone());
        }
    }
}

impl Contents {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Holds everything of `tree` in a repository, its top under `tag`; a tag there before moves.
    pub fn add(&self, repository: &str, tag: &str, tree: &Tree) {
        let mut all = unpoisoned(&self.0);
        let held = all.entry(repository.to_owned()).or_default();
        held.hold(tree);
        held.tags.insert(tag.to_owned(), tree.digest().clone());
    }

    /// Holds everything of `tree` in a repository without a tag, as what refers to another
    /// manifest.
    pub fn attach(&self, repository: &str, tree: &Tree) {
        let mut all = unpoisoned(&self.0);
        all.entry(repository.to_owned()).or_default().hold(tree);
    }

    /// Puts a document under a tag whatever it says: broken documents have a place in tests.
    pub fn add_document(&self, repository: &str, tag: &str, document: DescribedContent) {
        let mut all = unpoisoned(&self.0);
        let held = all.entry(repository.to_owned()).or_default();
        held.tags
            .insert(tag.to_owned(), document.descriptor.digest.clone());
        held.manifests
            .insert(document.descriptor.digest.clone(), document);
    }

    /// Creates an empty repository. An existing repository is not changed.
    pub fn create(&self, repository: &str) {
        unpoisoned(&self.0)
            .entry(repository.to_owned())
            .or_default();
    }

    pub(super) fn has_repository(&self, repository: &str) -> bool {
        unpoisoned(&self.0).contains_key(repository)
    }

    /// The size of the blobs and manifests of all repositories together, in bytes.
    pub(super) fn total_bytes(&self) -> u64 {
        let all = unpoisoned(&self.0);
        let sum = |held: &Repository| {
            let blobs = held.blobs.values().map(BlobContent::length);
            let manifests = held.manifests.values().map(|held| held.content.length());
            blobs.chain(manifests).sum::<u64>()
        };
        all.values().map(sum).sum()
    }

    /// Returns a blob from any repository that has it.
    pub(super) fn any_blob(&self, digest: &Digest) -> Option<BlobContent> {
        let all = unpoisoned(&self.0);
        all.values()
            .find_map(|held| held.blobs.get(digest).cloned())
    }

    /// Sets a tag to a manifest.
    pub(super) fn set_tag(&self, repository: &str, tag: &str, digest: &Digest) {
        let mut all = unpoisoned(&self.0);
        let held = all.entry(repository.to_owned()).or_default();
        held.tags.insert(tag.to_owned(), digest.clone());
    }

    /// Adds a document without a tag.
    pub(super) fn add_untagged(&self, repository: &str, document: DescribedContent) {
        let mut all = unpoisoned(&self.0);
        let held = all.entry(repository.to_owned()).or_default();
        held.manifests
            .insert(document.descriptor.digest.clone(), document);
    }

    /// Serves `content` where a blob is asked for by `digest`, whether it matches or not.
    pub fn set_blob(&self, repository: &str, digest: &Digest, content: impl Into<BlobContent>) {
        let mut all = unpoisoned(&self.0);
        let held = all.entry(repository.to_owned()).or_default();
        held.blobs.insert(digest.clone(), content.into());
    }

    /// Forgets a blob or manifest of one repository.
    pub fn remove(&self, repository: &str, digest: &Digest) {
        if let Some(held) = unpoisoned(&self.0).get_mut(repository) {
            held.blobs.remove(digest);
            held.manifests.remove(digest);
        }
    }

    /// Removes a blob; returns whether it existed.
    pub(super) fn remove_blob(&self, repository: &str, digest: &Digest) -> bool {
        let mut all = unpoisoned(&self.0);
        let held = all.get_mut(repository);
        held.is_some_and(|held| held.blobs.remove(digest).is_some())
    }

    /// Removes a manifest and every tag that names it; returns whether the manifest existed.
    pub(super) fn remove_manifest(&self, repository: &str, digest: &Digest) -> bool {
        let mut all = unpoisoned(&self.0);
        let Some(held) = all.get_mut(repository) else {
            return false;
        };
        held.tags.retain(|_, tagged| tagged != digest);
        held.manifests.remove(digest).is_some()
    }

    /// Removes a tag; returns whether it existed.
    pub(super) fn remove_tag(&self, repository: &str, tag: &str) -> bool {
        let mut all = unpoisoned(&self.0);
        let held = all.get_mut(repository);
        held.is_some_and(|held| held.tags.remove(tag).is_some())
    }

    /// The manifest that a tag names.
    #[must_use]
    pub fn tagged(&self, repository: &str, tag: &str) -> Option<DescribedContent> {
        let all = unpoisoned(&self.0);
        let held = all.get(repository)?;
        held.manifests.get(held.tags.get(tag)?).cloned()
    }

    /// A manifest of a repository.
    #[must_use]
    pub fn manifest(&self, repository: &str, digest: &Digest) -> Option<DescribedContent> {
        unpoisoned(&self.0)
            .get(repository)?
            .manifests
            .get(digest)
            .cloned()
    }

    pub(super) fn manifests(&self, repository: &str) -> Vec<DescribedContent> {
        let all = unpoisoned(&self.0);
        let held = all.get(repository);
        held.map(|held| held.manifests.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Sorted, as every list here.
    pub(super) fn tags(&self, repository: &str) -> Option<Vec<String>> {
        let all = unpoisoned(&self.0);
        Some(all.get(repository)?.tags.keys().cloned().collect())
    }

    pub(super) fn repositories(&self) -> Vec<String> {
        unpoisoned(&self.0).keys().cloned().collect()
    }

    /// A blob of a repository, as it is served.
    #[must_use]
    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<BlobContent> {
        unpoisoned(&self.0)
            .get(repository)?
            .blobs
            .get(digest)
            .cloned()
    }
}
