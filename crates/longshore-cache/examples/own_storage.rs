//! A cache with custom records and a custom store.
//!
//! The records are a table in memory that forgets tags and lists, so that the upstream is asked for
//! them after a restart. The store counts how often content is opened; a real store would keep the
//! content elsewhere, for example in a database.

#![expect(clippy::print_stdout, reason = "a program may talk")]

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use longshore::hyper::TokioClock;
use longshore_cache::records::{
    ContentRecord, ImageRecord, ListKey, ListRecord, Records, RecordsError, TagRecord,
};
use longshore_cache::{
    BoundedStore, CacheHandle, CacheService, ImageName, Router, Upstream, UpstreamName,
};
use longshore_model::{Digest, Tag};
use longshore_store::{
    Digests, Interrupt, MemoryStore, Partials, Reader, Store, StoreError, Writer,
};

/// Records of content and of what each repository contains.
#[derive(Default)]
pub(crate) struct Table {
    content: Mutex<HashMap<Digest, ContentRecord>>,
    marks: Mutex<HashSet<(ImageName, Digest)>>,
}

fn lock<T>(table: &Mutex<T>) -> Result<MutexGuard<'_, T>, RecordsError> {
    table
        .lock()
        .map_err(|_| RecordsError::new("a writer panicked", None))
}

impl Records for Table {
    async fn content(&self, digest: &Digest) -> Result<Option<ContentRecord>, RecordsError> {
        Ok(lock(&self.content)?.get(digest).cloned())
    }

    async fn put_content(&self, record: ContentRecord) -> Result<(), RecordsError> {
        let mut content = lock(&self.content)?;
        let record = record.clone().after(content.get(&record.digest));
        content.insert(record.digest.clone(), record);
        Ok(())
    }

    async fn forget_content(&self, digest: &Digest) -> Result<(), RecordsError> {
        lock(&self.content)?.remove(digest);
        Ok(())
    }

    async fn contains(&self, image: &ImageName, digest: &Digest) -> Result<bool, RecordsError> {
        Ok(lock(&self.marks)?.contains(&(image.clone(), digest.clone())))
    }

    async fn mark(&self, image: &ImageName, digest: &Digest) -> Result<(), RecordsError> {
        lock(&self.marks)?.insert((image.clone(), digest.clone()));
        Ok(())
    }

    async fn unmark(&self, image: &ImageName, digest: &Digest) -> Result<(), RecordsError> {
        lock(&self.marks)?.remove(&(image.clone(), digest.clone()));
        Ok(())
    }

    async fn tag(&self, _: &ImageName, _: &Tag) -> Result<Option<TagRecord>, RecordsError> {
        Ok(None)
    }

    async fn set_tag(&self, _: &ImageName, _: &Tag, _: TagRecord) -> Result<(), RecordsError> {
        Ok(())
    }

    async fn refresh_tag(
        &self,
        _: &ImageName,
        _: &Tag,
        _: &Digest,
        _: Duration,
    ) -> Result<bool, RecordsError> {
        Ok(false)
    }

    async fn drop_tag(&self, _: &ImageName, _: &Tag) -> Result<(), RecordsError> {
        Ok(())
    }

    async fn drop_list(&self, _: &ImageName, _: &ListKey) -> Result<(), RecordsError> {
        Ok(())
    }

    async fn list(&self, _: &ImageName, _: &ListKey) -> Result<Option<ListRecord>, RecordsError> {
        Ok(None)
    }

    async fn put_list(
        &self,
        _: &ImageName,
        _: &ListKey,
        _: ListRecord,
    ) -> Result<(), RecordsError> {
        Ok(())
    }

    async fn images(&self) -> Result<Vec<ImageName>, RecordsError> {
        let marks = lock(&self.marks)?;
        let mut images: Vec<_> = marks.iter().map(|(image, _)| image.clone()).collect();
        images.sort_unstable();
        images.dedup();
        Ok(images)
    }

    async fn image(&self, image: &ImageName) -> Result<Option<ImageRecord>, RecordsError> {
        let marks = lock(&self.marks)?;
        let known = marks.iter().any(|(marked, _)| marked == image);
        Ok(known.then(|| ImageRecord::new(image.clone(), Vec::new())))
    }
}

/// A store that counts how often content is opened.
#[derive(Clone, Default)]
pub(crate) struct Counting {
    store: MemoryStore,
    opened: Arc<AtomicUsize>,
}

impl Counting {
    /// How often content was opened.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Store for Counting {
    fn begin(&self, digest: &Digest, size: Option<u64>) -> Result<Writer, StoreError> {
        self.store.begin(digest, size)
    }

    fn resume(&self, digest: &Digest, size: u64) -> Result<Writer, StoreError> {
        self.store.resume(digest, size)
    }

    fn partials(&self) -> Result<Partials<'_>, StoreError> {
        self.store.partials()
    }

    fn clear_partials(&self) -> Result<(), StoreError> {
        self.store.clear_partials()
    }

    fn open(&self, digest: &Digest) -> Result<Reader, StoreError> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.store.open(digest)
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        self.store.size(digest)
    }

    fn delete(&self, digest: &Digest) -> Result<(), StoreError> {
        self.store.delete(digest)
    }

    fn list(&self) -> Result<Digests<'_>, StoreError> {
        self.store.list()
    }

    fn path(&self, digest: &Digest) -> Option<PathBuf> {
        self.store.path(digest)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.store.flush()
    }

    fn interruptible(&self, _: &Interrupt) -> Arc<dyn Store> {
        Arc::new(self.clone())
    }
}

/// A cache of the registry of this name, whose API is at `url`, over this storage.
pub(crate) fn cache(
    name: &UpstreamName,
    url: &str,
    store: Arc<dyn Store>,
    records: impl Records,
) -> Result<(CacheService, CacheHandle), Box<dyn Error + Send + Sync>> {
    let clock = TokioClock::new();
    let upstream = Upstream::builder(name.clone(), url).clock(clock);
    let router = Router::builder()
        .upstream(name.clone())?
        .default_upstream(name)?;
    let cache = CacheService::builder()
        .store(BoundedStore::open(store, 1 << 30)?)
        .records(records)
        .router(router.build())
        .upstream(upstream.build()?)
        .clock(clock)
        .build()?;
    Ok(cache)
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let name: UpstreamName = "quay.io".parse()?;
    let url = Upstream::default_url(&name);
    let store = Arc::new(Counting::default());
    let (cache, _handle) = cache(&name, &url, store.clone(), Table::default())?;
    println!("{cache:?} opened content {} times", store.opened());
    Ok(())
}
