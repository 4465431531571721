//! An image layout as an end.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_layout::Layout;
use longshore_model::{Descriptor, Digest, Tag, TagOrDigest};
use longshore_store::{Durability, Interrupt, Store};

use super::{End, EndFuture, PublishedName, RawManifest, TakeManifest, stored};
use crate::cancellation::blocking;
use crate::error::TransferError;

/// An entry of an image layout directory: where the layout is, and the name of the image in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutEntry {
    path: PathBuf,
    name: Option<String>,
    durability: Durability,
}

impl LayoutEntry {
    /// Makes an entry without a name in the layout at `path`. The directory is created when the
    /// manifest of the image is known, not before; blobs are made durable in batches.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            name: None,
            durability: Durability::Batch,
        }
    }

    /// Sets the name of the image. An image that had this name loses it.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets which writes survive a power cut.
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }
}

/// An image in an OCI image layout on disk.
pub struct LayoutEnd {
    entry: LayoutEntry,
    layout: Mutex<Option<Layout>>,
}

impl LayoutEnd {
    /// Makes an end for this entry. The layout is opened when it is needed. If it is a destination,
    /// it is created if necessary.
    #[must_use]
    pub fn new(entry: LayoutEntry) -> Self {
        Self {
            entry,
            layout: Mutex::new(None),
        }
    }

    /// Opens the layout, which must exist.
    fn open(&self) -> Result<Layout, TransferError> {
        let mut opened = self.opened();
        if let Some(layout) = &*opened {
            return Ok(layout.clone());
        }
        let layout = Layout::open(&self.entry.path)?;
        Ok(opened.insert(layout).clone())
    }

    fn opened(&self) -> MutexGuard<'_, Option<Layout>> {
        self.layout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the image that the end stands for: the one with the name, or the only one.
    fn image(&self) -> Result<Digest, TransferError> {
        let layout = self.open()?;
        if let Some(name) = &self.entry.name {
            return Ok(layout.resolve_nested(name)?.digest);
        }
        let mut digests: Vec<_> = layout.entries()?.into_iter().map(|it| it.digest).collect();
        digests.sort();
        digests.dedup();
        match <[Digest; 1]>::try_from(digests) {
            Ok([digest]) => Ok(digest),
            Err(digests) => Err(TransferError::WhichImage {
                path: self.entry.path.clone(),
                images: digests.len(),
            }),
        }
    }

    fn resolve(&self, target: &TagOrDigest) -> Result<Digest, TransferError> {
        match target {
            TagOrDigest::Digest(digest) => Ok(digest.clone()),
            TagOrDigest::Tag(tag) => Ok(self.open()?.resolve_nested(tag.as_str())?.digest),
        }
    }

    /// The manifests in the index that refer to `subject`.
    fn referrers_in_index(&self, subject: &Digest) -> Result<Vec<Descriptor>, TransferError> {
        let layout = self.open()?;
        let mut referrers = Vec::new();
        for entry in layout.entries()? {
            if !entry.media_type.is_manifest() && !entry.media_type.is_index() {
                continue;
            }
            // An entry whose manifest is absent or damaged refers to nothing.
            let Ok(manifest) = layout.manifest(&entry) else {
                continue;
            };
            let refers = manifest.document().subject().map(|it| &it.digest) == Some(subject);
            if refers
                && !referrers
                    .iter()
                    .any(|it: &Descriptor| it.digest == entry.digest)
            {
                referrers.push(manifest.as_referrer());
            }
        }
        Ok(referrers)
    }
}

impl fmt::Debug for LayoutEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LayoutEnd").field(&self.entry).finish()
    }
}

impl From<LayoutEntry> for LayoutEnd {
    fn from(entry: LayoutEntry) -> Self {
        Self::new(entry)
    }
}

impl End for LayoutEnd {
    fn name(&self) -> String {
        let path = self.entry.path.display();
        match &self.entry.name {
            Some(name) => format!("oci:{path}:{name}"),
            None => format!("oci:{path}"),
        }
    }

    fn store(&self) -> Option<Arc<dyn Store>> {
        let layout = self.open().ok()?;
        Some(Arc::new(layout.store().clone()))
    }

    fn target(&self) -> EndFuture<'_, TagOrDigest> {
        let image = self.image().map(TagOrDigest::from);
        Box::pin(std::future::ready(image))
    }

    fn manifest<'a>(
        &'a self,
        target: &'a TagOrDigest,
        take: TakeManifest<'a>,
    ) -> EndFuture<'a, ()> {
        Box::pin(async move {
            let digest = self.resolve(target)?;
            self.open()?;
            stored::manifest(self, &digest, take).await
        })
    }

    fn digest(&self) -> EndFuture<'_, Option<Digest>> {
        // A layout that does not exist yet has no images.
        Box::pin(std::future::ready(Ok(self.image().ok())))
    }

    fn referrers<'a>(&'a self, subject: &'a Digest) -> EndFuture<'a, Vec<Descriptor>> {
        Box::pin(std::future::ready(self.referrers_in_index(subject)))
    }

    fn existing_tags<'a>(&'a self, tags: &'a [Tag]) -> EndFuture<'a, Vec<Tag>> {
        let names = self.open().and_then(|layout| Ok(layout.tags()?));
        let existing = names.map(|names| {
            let names: HashSet<String> = names.into_iter().map(|(name, _)| name).collect();
            let tags = tags.iter().filter(|tag| names.contains(tag.as_str()));
            tags.cloned().collect()
        });
        Box::pin(std::future::ready(existing))
    }

    /// Creates or opens the layout. Waits for its lock on a thread of the blocking pool, because
    /// another process may hold the lock.
    fn prepare(&self) -> EndFuture<'_, ()> {
        Box::pin(async {
            let LayoutEntry {
                path, durability, ..
            } = self.entry.clone();
            let layout = blocking(move |interrupt| {
                let layout = Layout::create_or_open_interruptible(&path, durability, interrupt)?;
                // Later calls on the layout have their own interrupts.
                Ok::<_, TransferError>(layout.with_interrupt(&Interrupt::new()))
            });
            // Replaces a layout that was opened for reading.
            *self.opened() = Some(layout.await?);
            Ok(())
        })
    }

    /// The index of a layout has a limit of entries. One that does not exist yet is not asked.
    fn check_room(&self, manifests: &[Descriptor]) -> Result<(), TransferError> {
        let layout = self.opened().clone();
        match layout {
            Some(layout) => Ok(layout.check_room(manifests.iter().cloned())?),
            None => Ok(()),
        }
    }

    /// Adds the image to the index, after all of its blobs were written. Making them durable may
    /// take a while and blocks, so it happens on a thread that may block.
    fn publish<'a>(
        &'a self,
        manifest: &'a RawManifest,
        name: PublishedName<'a>,
    ) -> EndFuture<'a, ()> {
        Box::pin(async move {
            let layout = self.open()?;
            let name = match name {
                PublishedName::Own => self.entry.name.clone(),
                PublishedName::Tag(tag) => Some(tag.as_str().to_owned()),
                PublishedName::Unnamed => None,
            };
            let image = manifest.descriptor.clone();
            blocking(move |interrupt| {
                let layout = layout.with_interrupt(interrupt);
                match name {
                    Some(name) => layout.tag(&name, image)?,
                    None => layout.add(image)?,
                }
                // The record is optional: without it, the next run hashes the blobs that it reuses.
                let _ = layout.store().record_verified();
                Ok::<_, TransferError>(())
            })
            .await
        })
    }
}
