//! Memory as an end.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_model::{Descriptor, Digest, Tag, TagOrDigest};
use longshore_store::{MemoryStore, Store};

use super::{End, EndFuture, PublishedName, RawManifest, TakeManifest, stored};
use crate::error::TransferError;

/// An image in memory.
///
/// As a destination, it remembers the image that was copied to it, and can then be a source. The
/// other end chooses the sizes of blobs, so give the store a limit
/// ([`MemoryStore::with_limit_bytes`]) unless that end is trusted.
pub struct MemoryEnd {
    store: MemoryStore,
    image: Mutex<Option<Digest>>,
}

impl MemoryEnd {
    /// Makes an end that writes to this store; clones of the store share its content.
    #[must_use]
    pub fn new(store: MemoryStore) -> Self {
        Self {
            store,
            image: Mutex::new(None),
        }
    }

    /// Makes an end for the image with this digest.
    #[must_use]
    pub fn with_image(self, digest: Digest) -> Self {
        *self.image() = Some(digest);
        self
    }

    fn image(&self) -> MutexGuard<'_, Option<Digest>> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryEnd").field(&*self.image()).finish()
    }
}

impl End for MemoryEnd {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn store(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(self.store.clone()))
    }

    fn target(&self) -> EndFuture<'_, TagOrDigest> {
        let image = self.image().clone().map(TagOrDigest::from);
        Box::pin(std::future::ready(image.ok_or(TransferError::Closed)))
    }

    fn manifest<'a>(
        &'a self,
        target: &'a TagOrDigest,
        take: TakeManifest<'a>,
    ) -> EndFuture<'a, ()> {
        Box::pin(async move {
            let digest = target.digest().ok_or(TransferError::Closed)?;
            stored::manifest(self, digest, take).await
        })
    }

    fn digest(&self) -> EndFuture<'_, Option<Digest>> {
        let digest = self.image().clone();
        Box::pin(std::future::ready(Ok(digest)))
    }

    /// Memory has no list of images, so nothing is found.
    fn referrers<'a>(&'a self, _: &'a Digest) -> EndFuture<'a, Vec<Descriptor>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Images in memory have no names.
    fn existing_tags<'a>(&'a self, _: &'a [Tag]) -> EndFuture<'a, Vec<Tag>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn publish<'a>(
        &'a self,
        manifest: &'a RawManifest,
        name: PublishedName<'a>,
    ) -> EndFuture<'a, ()> {
        if name == PublishedName::Own {
            *self.image() = Some(manifest.descriptor.digest.clone());
        }
        Box::pin(std::future::ready(Ok(())))
    }
}
