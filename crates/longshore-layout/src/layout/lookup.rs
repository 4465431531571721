//! Finding an image by name or digest, in the index or below it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use longshore_model::{Descriptor, Digest, Manifest};
use longshore_store::StoreError;

use super::graph::{BLOBS_LIMIT, Expected, Graph, Node};
use super::{Layout, Unread};
use crate::error::LayoutError;
use crate::name;

impl Layout {
    /// Returns the image with the name `tag`.
    ///
    /// # Errors
    ///
    /// [`LayoutError::NoSuchName`]; [`LayoutError::Ambiguous`] when entries of that name have
    /// different digests; otherwise as [`Layout::entries`].
    pub fn resolve(&self, tag: &str) -> Result<Descriptor, LayoutError> {
        let mut named = Named::default();
        for entry in self.index()?.entries() {
            named.see(tag, entry);
        }
        named.only(self, tag)
    }

    /// As [`Layout::resolve`]; if the index does not have the name, searches the indexes that it
    /// lists, then those that they list, and so on. The first depth that has the name decides.
    ///
    /// By the specification only names in `index.json` are valid (image-spec v1.1.1 "Pre-Defined
    /// Annotation Keys"). Layouts with names in a nested index exist, so the caller chooses.
    ///
    /// # Errors
    ///
    /// As [`Layout::resolve`]. If nothing was found, the error of the first document that could not
    /// be read, because the name may be in it: [`LayoutError::Manifest`], [`LayoutError::Store`],
    /// [`LayoutError::TooDeep`], [`LayoutError::Endless`]. Documents that are absent are skipped.
    pub fn resolve_nested(&self, tag: &str) -> Result<Descriptor, LayoutError> {
        let mut named = Named::default();
        let mut found_at = None;
        let damage = self.walk(|depth, descriptor| {
            if found_at.is_some_and(|found| depth > found) {
                return ControlFlow::Break(());
            }
            if named.see(tag, descriptor) {
                found_at = Some(depth);
            }
            ControlFlow::Continue(())
        })?;
        match damage {
            Some(error) if found_at.is_none() => Err(error),
            _ => named.only(self, tag),
        }
    }

    /// Finds the descriptor of `digest` that is nearest to the index: in the index, or in a
    /// document below it, as manifest, config, layer or subject.
    ///
    /// The result means that something refers to `digest`, not that it is present.
    ///
    /// # Errors
    ///
    /// As [`Layout::entries`]; if nothing was found, as [`Layout::resolve_nested`].
    pub fn find(&self, digest: &Digest) -> Result<Option<Descriptor>, LayoutError> {
        let mut found = None;
        let damage = self.walk(|_, descriptor| {
            if descriptor.digest != *digest {
                return ControlFlow::Continue(());
            }
            found = Some(descriptor.clone());
            ControlFlow::Break(())
        })?;
        match (found, damage) {
            (None, Some(error)) => Err(error),
            (found, _) => Ok(found),
        }
    }

    /// Calls `visit` with every descriptor and its depth, in the order of depth; returns the first
    /// error that kept it from reading a document.
    fn walk(
        &self,
        mut visit: impl FnMut(usize, &Descriptor) -> ControlFlow<()>,
    ) -> Result<Option<LayoutError>, LayoutError> {
        let index = self.index()?;
        for entry in index.entries() {
            if visit(0, entry).is_break() {
                return Ok(None);
            }
        }
        let mut graph = Graph::new(index.entries());
        let mut damage = None;
        while let Some(node) = graph.next() {
            let manifest = match self.read_node(&graph, &node) {
                Ok(Some(manifest)) => manifest,
                Ok(None) => continue,
                Err(error) => {
                    damage.get_or_insert(error);
                    continue;
                }
            };
            let document = manifest.document();
            for child in document.children().chain(document.subject()) {
                if visit(node.depth + 1, child).is_break() {
                    return Ok(damage);
                }
            }
            graph.expand(&node, &manifest);
        }
        if graph.is_endless() {
            damage.get_or_insert_with(|| LayoutError::Endless {
                path: self.path().to_owned(),
                limit: BLOBS_LIMIT,
            });
        }
        Ok(damage)
    }

    /// Reads the manifest of `node`; `None` when it is absent or not a manifest.
    fn read_node(&self, graph: &Graph, node: &Node) -> Result<Option<Manifest>, LayoutError> {
        if graph.check_depth(node).is_err() {
            return Err(LayoutError::TooDeep {
                digest: node.digest.clone(),
            });
        }
        match self.read_expected(&node.digest, node.size, &node.item) {
            Err(Unread::Store(StoreError::Absent { .. })) => Ok(None),
            Err(Unread::Store(error)) => Err(error.into()),
            Err(Unread::Manifest(source)) => Err(LayoutError::Manifest {
                path: self.blob_path(&node.digest),
                source,
            }),
            Ok(manifest) => Ok(manifest),
        }
    }

    /// Reads a manifest; `None` when it is content, or of an unknown type and not a manifest.
    pub(super) fn read_expected(
        &self,
        digest: &Digest,
        size: u64,
        expected: &Expected,
    ) -> Result<Option<Manifest>, Unread> {
        match expected {
            Expected::Content => Ok(None),
            Expected::Manifest(media_type) => self
                .read_manifest(digest, size, Some(media_type.as_str()))
                .map(Some),
            Expected::Unknown => match self.read_manifest(digest, size, None) {
                Ok(manifest) => Ok(Some(manifest)),
                Err(
                    Unread::Manifest(_)
                    | Unread::Store(StoreError::TooLarge { .. } | StoreError::Unsupported { .. }),
                ) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }
}

/// The images found under one name.
#[derive(Default)]
struct Named {
    first: Option<Descriptor>,
    digests: BTreeSet<Digest>,
}

impl Named {
    /// Records `descriptor` if it has the name; returns whether it has.
    fn see(&mut self, name: &str, descriptor: &Descriptor) -> bool {
        if name::of(descriptor) != Some(name) {
            return false;
        }
        self.digests.insert(descriptor.digest.clone());
        self.first.get_or_insert_with(|| descriptor.clone());
        true
    }

    /// Returns the image if exactly one was recorded.
    fn only(self, layout: &Layout, name: &str) -> Result<Descriptor, LayoutError> {
        match self.first {
            None => Err(layout.no_such_name(name)),
            Some(_) if self.digests.len() > 1 => Err(LayoutError::Ambiguous {
                path: layout.path().to_owned(),
                name: name.to_owned(),
                count: self.digests.len(),
            }),
            Some(first) => Ok(first),
        }
    }
}
