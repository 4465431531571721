//! The facts that a service knows: a memory cache in front of the records and the store.
//!
//! Memory holds recently used facts and manifests, so that a hit on a manifest needs no disk
//! access. Everything in memory can be read again from the records and the store, or requested
//! again from the upstream.

mod lists;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_model::{Digest, MediaType, Tag};
use longshore_transport::Clock;

use self::lists::Lists;
use crate::bounded::{BoundedStore, StoredBlob};
use crate::document::Document;
use crate::name::ImageName;
use crate::observer::MissReason;
use crate::recent::Recent;
use crate::records::{ContentRecord, DynRecords, ListKey, ListRecord, RecordsError, TagRecord};

/// Maximum memory for manifests, in bytes: 16 MiB.
const DOCUMENTS_BYTES: usize = 16 * 1024 * 1024;

/// Maximum number of entries in each map of small facts, such as tags and marks.
const ENTRIES: usize = 65_536;

/// Minimum time between two warnings that records fail: 1 minute.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// A tag of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TagKey {
    /// The repository.
    pub(crate) image: ImageName,
    /// The tag.
    pub(crate) tag: Tag,
}

/// Content of a repository.
pub(crate) type ContentKey = (ImageName, Digest);

/// The kind of content, if it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentKind {
    /// A blob of this size in bytes, which was verified.
    Blob(u64),
    /// A manifest.
    Manifest,
}

/// Something that may be absent at an upstream, or for which the upstream may give no usable
/// answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AbsentKey {
    Tag(TagKey),
    Manifest(ContentKey),
    Blob(ContentKey),
    List(ImageName, ListKey),
}

/// The answer of an upstream to `HEAD` of a manifest.
#[derive(Clone, Debug)]
pub(crate) struct HeadFact {
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its media type.
    pub(crate) media_type: MediaType,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// When the upstream answered, as Unix time.
    pub(crate) at: Duration,
}

/// The facts of one service.
pub(crate) struct Known {
    store: BoundedStore,
    records: DynRecords,
    clock: Arc<dyn Clock>,
    /// How long the answer of an upstream that something does not exist is remembered.
    negative_ttl: Duration,
    documents: Recent<Digest, Arc<Document>>,
    kinds: Recent<Digest, ContentKind>,
    /// The sizes of blobs as the upstream stated them for a repository, in bytes. They are claims,
    /// so one upstream must not state the size for another.
    stated_sizes: Recent<ContentKey, u64>,
    tags: Recent<TagKey, TagRecord>,
    heads: Recent<TagKey, HeadFact>,
    digest_heads: Recent<ContentKey, HeadFact>,
    shown: Recent<ContentKey, ()>,
    /// The time of the clock until which each key counts as absent.
    absent: Recent<AbsentKey, Duration>,
    /// The time of the clock until which the upstream is not asked about each key again, because it
    /// gave no usable answer.
    unanswered: Recent<AbsentKey, Duration>,
    lists: Lists,
    /// Number of bytes of each blob that were fetched in ranges and not stored.
    relayed: Recent<Digest, u64>,
    evicted: Recent<Digest, ()>,
    /// When a failure of the records was last logged.
    warned: Mutex<Option<Duration>>,
}

impl Known {
    pub(crate) fn new(
        store: BoundedStore,
        records: DynRecords,
        clock: Arc<dyn Clock>,
        negative_ttl: Duration,
    ) -> Self {
        Self {
            store,
            records,
            clock,
            negative_ttl,
            documents: Recent::with_weight(DOCUMENTS_BYTES, |document| document.weight()),
            kinds: Recent::with_entries(ENTRIES),
            stated_sizes: Recent::with_entries(ENTRIES),
            tags: Recent::with_entries(ENTRIES),
            heads: Recent::with_entries(ENTRIES),
            digest_heads: Recent::with_entries(ENTRIES),
            shown: Recent::with_entries(ENTRIES),
            absent: Recent::with_entries(ENTRIES),
            unanswered: Recent::with_entries(ENTRIES),
            lists: Lists::new(),
            relayed: Recent::with_entries(ENTRIES),
            evicted: Recent::with_entries(ENTRIES),
            warned: Mutex::default(),
        }
    }

    pub(crate) const fn store(&self) -> &BoundedStore {
        &self.store
    }

    pub(crate) const fn records(&self) -> &DynRecords {
        &self.records
    }

    /// The current Unix time.
    pub(crate) fn unix_time(&self) -> Duration {
        self.clock.unix_time()
    }

    /// Whether the upstream answered within the negative TTL that this does not exist.
    pub(crate) fn is_absent(&self, key: &AbsentKey) -> bool {
        let until = self.absent.get(key);
        until.is_some_and(|until| self.clock.now() < until)
    }

    /// Remembers the answer of the upstream that this does not exist.
    pub(crate) fn set_absent(&self, key: AbsentKey) {
        let until = self.clock.now().saturating_add(self.negative_ttl);
        self.absent.insert(key, until);
    }

    /// Whether the upstream recently gave no usable answer about this.
    pub(crate) fn is_unanswered(&self, key: &AbsentKey) -> bool {
        let until = self.unanswered.get(key);
        until.is_some_and(|until| self.clock.now() < until)
    }

    /// Remembers for the time `pause` that the upstream gave no usable answer about this.
    pub(crate) fn set_unanswered(&self, key: AbsentKey, pause: Duration) {
        let until = self.clock.now().saturating_add(pause);
        self.unanswered.insert(key, until);
    }

    /// The last answer of the upstream about a tag.
    pub(crate) async fn tag(&self, key: &TagKey) -> Option<TagRecord> {
        if let Some(record) = self.tags.get(key) {
            return Some(record);
        }
        let record = Box::pin(self.records.tag(&key.image, &key.tag)).await;
        let record = self.read(record)?;
        self.tags.insert(key.clone(), record.clone());
        Some(record)
    }

    /// The answer of the upstream to `HEAD` of a tag, if the manifest was not fetched since then.
    pub(crate) fn head(&self, key: &TagKey) -> Option<HeadFact> {
        self.heads.get(key)
    }

    /// The answer of the upstream to `HEAD` of a manifest of a repository.
    pub(crate) fn digest_head(&self, key: &ContentKey) -> Option<HeadFact> {
        self.digest_heads.get(key)
    }

    /// Remembers in memory an answer of the upstream to `HEAD`. The answer proves that the
    /// repository contains the manifest.
    pub(crate) fn learn_head(&self, image: &ImageName, tag: Option<&Tag>, head: &HeadFact) {
        let content = (image.clone(), head.digest.clone());
        self.shown.insert(content.clone(), ());
        self.digest_heads.insert(content, head.clone());
        if let Some(tag) = tag {
            let (image, tag) = (image.clone(), tag.clone());
            self.heads.insert(TagKey { image, tag }, head.clone());
        }
    }

    /// Whether an upstream answer proved that the repository contains the content (CA6).
    pub(crate) async fn is_shown(&self, key: &ContentKey) -> bool {
        if self.shown.get(key).is_some() {
            return true;
        }
        let shown = Box::pin(self.records.contains(&key.0, &key.1)).await;
        let shown = self.read(shown.map(Some)).unwrap_or_default();
        if shown {
            self.shown.insert(key.clone(), ());
        }
        shown
    }

    /// Remembers in memory that an upstream answer proved that the repository contains the content.
    pub(crate) fn learn_shown(&self, key: &ContentKey) {
        self.shown.insert(key.clone(), ());
    }

    /// Writes the mark that the repository contains the content.
    pub(crate) async fn keep_mark(&self, key: &ContentKey) {
        let kept = self.records.mark(&key.0, &key.1).await;
        self.written(kept);
    }

    /// The kind of content, if it is known.
    pub(crate) async fn kind(&self, digest: &Digest) -> Option<ContentKind> {
        if let Some(kind) = self.kinds.get(digest) {
            return Some(kind);
        }
        let record = Box::pin(self.records.content(digest)).await;
        let record = self.read(record)?;
        let kind = match record.media_type {
            Some(_) => ContentKind::Manifest,
            None => ContentKind::Blob(record.size),
        };
        self.kinds.insert(digest.clone(), kind);
        Some(kind)
    }

    /// The size of a blob in bytes: the verified one, or else what the upstream stated for this
    /// repository.
    pub(crate) async fn blob_size(&self, key: &ContentKey) -> Option<u64> {
        match self.kind(&key.1).await {
            Some(ContentKind::Blob(size)) => Some(size),
            Some(ContentKind::Manifest) => None,
            None => self.stated_sizes.get(key),
        }
    }

    /// Remembers the size of a blob from an upstream answer.
    pub(crate) fn learn_blob_size(&self, key: &ContentKey, size: u64) {
        self.stated_sizes.insert(key.clone(), size);
    }

    /// Forgets the size of a blob, because the upstream may have stated a wrong size.
    pub(crate) fn forget_blob_size(&self, key: &ContentKey) {
        self.stated_sizes.remove(key);
    }

    /// Why content is not available in the cache.
    pub(crate) fn reason(&self, digest: &Digest) -> MissReason {
        match self.evicted.get(digest) {
            Some(()) => MissReason::Evicted,
            None => MissReason::Cold,
        }
    }

    /// Remembers that content was evicted from the store.
    pub(crate) fn learn_evicted(&self, digest: &Digest) {
        self.evicted.insert(digest.clone(), ());
    }

    /// Forgets content that was evicted from the store, unless it has been stored again. Marks and
    /// tags stay.
    pub(crate) async fn forget_content(&self, digest: &Digest) {
        if self.store.size(digest).is_none() {
            let forgotten = self.records.forget_content(digest).await;
            self.written(forgotten);
        }
    }

    /// How many bytes of a blob were fetched in ranges and not stored.
    pub(crate) fn relayed(&self, digest: &Digest) -> u64 {
        self.relayed.get(digest).unwrap_or_default()
    }

    pub(crate) fn set_relayed(&self, digest: &Digest, bytes: u64) {
        self.relayed.insert(digest.clone(), bytes);
    }

    /// The stored bytes of a blob; `None` when they are absent or damaged.
    pub(crate) fn blob(&self, digest: &Digest) -> Option<StoredBlob> {
        match self.store.get(digest) {
            Ok(stored) => stored,
            Err(error) => {
                tracing::warn!(
                    %digest, %error,
                    "cannot read a stored blob; it will be fetched again"
                );
                None
            }
        }
    }

    /// Writes the record of a blob that a fill has verified, if it is stored.
    pub(crate) async fn keep_blob(&self, digest: &Digest) {
        let Some(size) = self.store.size(digest) else {
            return;
        };
        self.evicted.remove(digest);
        if self.kind(digest).await == Some(ContentKind::Manifest) {
            return;
        }
        self.kinds.insert(digest.clone(), ContentKind::Blob(size));
        let record = ContentRecord::new(digest.clone(), None, size, self.unix_time());
        let kept = self.records.put_content(record).await;
        self.written(kept);
    }

    /// A manifest, from memory or the store.
    pub(crate) async fn document(&self, digest: &Digest) -> Option<Arc<Document>> {
        if let Some(document) = self.documents.get(digest) {
            // Count the use, so that the store does not evict a popular manifest: it is needed
            // after a restart.
            self.store.touch(digest);
            return Some(document);
        }
        Box::pin(self.stored_document(digest)).await
    }

    /// A manifest from the store.
    async fn stored_document(&self, digest: &Digest) -> Option<Arc<Document>> {
        let record = self.read(self.records.content(digest).await)?;
        let media_type = record.media_type?;
        let store = self.store.clone();
        let wanted = digest.clone();
        let read = tokio::task::spawn_blocking(move || read_document(&store, &wanted));
        let bytes = read.await.ok()??;
        let document = Arc::new(Document::new(media_type, digest.clone(), bytes));
        self.remember_document(&document);
        Some(document)
    }

    fn remember_document(&self, document: &Arc<Document>) {
        let digest = document.digest().clone();
        self.kinds.insert(digest.clone(), ContentKind::Manifest);
        self.documents.insert(digest, Arc::clone(document));
    }

    /// Remembers a manifest that the upstream sent for this repository, and the tag that names it,
    /// in memory. [`keep_document`](Self::keep_document) writes them.
    pub(crate) fn learn_document(
        &self,
        image: &ImageName,
        tag: Option<&Tag>,
        document: &Arc<Document>,
    ) {
        self.remember_document(document);
        let digest = document.digest().clone();
        if let Some(tag) = tag {
            self.learn_tag(
                &TagKey {
                    image: image.clone(),
                    tag: tag.clone(),
                },
                digest.clone(),
            );
        }
        self.shown.insert((image.clone(), digest), ());
    }

    /// Remembers in memory which manifest a tag names, as the upstream just answered.
    pub(crate) fn learn_tag(&self, key: &TagKey, digest: Digest) {
        let now = self.unix_time();
        let mut record = TagRecord::new(digest, now);
        if let Some(before) = self
            .tags
            .get(key)
            .filter(|before| before.digest == record.digest)
        {
            record.first_cached = before.first_cached;
        }
        self.heads.remove(key);
        self.tags.insert(key.clone(), record);
    }

    /// Writes a manifest, its record, the mark of the repository and the tag, in this order: a
    /// reference is never written before the content that it names (CA1).
    pub(crate) async fn keep_document(
        &self,
        image: &ImageName,
        tag: Option<&Tag>,
        document: &Document,
    ) {
        let (store, digest, bytes) = (
            self.store.clone(),
            document.digest().clone(),
            document.bytes.clone(),
        );
        let write = tokio::task::spawn_blocking(move || store.put(&digest, &bytes));
        match write.await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) | Err(_) => return,
            Ok(Err(error)) => {
                tracing::debug!(digest = %document.digest(), %error, "cannot store a manifest");
                return;
            }
        }
        let descriptor = &document.descriptor;
        let record = ContentRecord::new(
            descriptor.digest.clone(),
            Some(descriptor.media_type.clone()),
            descriptor.size,
            self.unix_time(),
        );
        self.evicted.remove(&descriptor.digest);
        let kept = async {
            self.records.put_content(record).await?;
            self.records.mark(image, &descriptor.digest).await?;
            match tag {
                Some(tag) => {
                    let record = TagRecord::new(descriptor.digest.clone(), self.unix_time());
                    self.records.set_tag(image, tag, record).await
                }
                None => Ok(()),
            }
        };
        self.written(kept.await);
    }

    /// Writes the record that a tag names a stored manifest, as the upstream just answered.
    pub(crate) async fn keep_tag(&self, key: &TagKey, digest: &Digest) {
        let now = self.unix_time();
        let refreshed = self
            .records
            .refresh_tag(&key.image, &key.tag, digest, now)
            .await;
        let refreshed = match refreshed {
            Ok(false) => {
                let record = TagRecord::new(digest.clone(), now);
                self.records.set_tag(&key.image, &key.tag, record).await
            }
            Ok(true) => Ok(()),
            Err(error) => Err(error),
        };
        self.written(refreshed);
    }

    /// Removes a tag that the upstream no longer has; its content stays (CA8).
    pub(crate) async fn drop_tag(&self, key: &TagKey) {
        self.tags.remove(key);
        self.heads.remove(key);
        let dropped = self.records.drop_tag(&key.image, &key.tag).await;
        self.written(dropped);
    }

    /// The list that the upstream sent last, if it is in memory.
    pub(crate) fn list(&self, key: &(ImageName, ListKey)) -> Option<Arc<ListRecord>> {
        self.lists.get(key)
    }

    /// The list that the upstream sent last, from its record. Few records are read at a time,
    /// because a list may be large.
    pub(crate) async fn stored_list(&self, key: &(ImageName, ListKey)) -> Option<Arc<ListRecord>> {
        let _turn = self.lists.turn_to_read().await;
        if let Some(list) = self.lists.get(key) {
            return Some(list);
        }
        let list = Arc::new(self.read(self.records.list(&key.0, &key.1).await)?);
        self.lists.insert(key.clone(), Arc::clone(&list));
        Some(list)
    }

    /// Removes a list that the upstream no longer has.
    pub(crate) async fn drop_list(&self, key: &(ImageName, ListKey)) {
        self.lists.remove(key);
        let dropped = self.records.drop_list(&key.0, &key.1).await;
        self.written(dropped);
    }

    /// Remembers in memory a list that the upstream just sent.
    pub(crate) fn learn_list(&self, key: &(ImageName, ListKey), list: &Arc<ListRecord>) {
        self.lists.insert(key.clone(), Arc::clone(list));
    }

    /// Writes a list that the upstream sent. An empty list is only remembered in memory, and its
    /// record is removed: clients may ask for the referrers of any number of digests (CA9).
    pub(crate) async fn keep_list(&self, key: &(ImageName, ListKey), list: &ListRecord) {
        let kept = if list.entries.is_empty() {
            self.records.drop_list(&key.0, &key.1).await
        } else {
            self.records.put_list(&key.0, &key.1, list.clone()).await
        };
        self.written(kept);
    }

    /// Returns a record, and logs an error of the driver. A record that cannot be read counts as
    /// absent, which costs a request to the upstream.
    fn read<T>(&self, read: Result<Option<T>, RecordsError>) -> Option<T> {
        read.unwrap_or_else(|error| {
            self.warn(&error);
            None
        })
    }

    /// After a restart the upstream is asked again for a fact that could not be written.
    fn written(&self, written: Result<(), RecordsError>) {
        if let Err(error) = written {
            self.warn(&error);
        }
    }

    /// Logs at most one line per [`WARNING_INTERVAL`] (CA9).
    fn warn(&self, error: &RecordsError) {
        let now = self.clock.now();
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| now.saturating_sub(at) >= WARNING_INTERVAL) {
            *warned = Some(now);
            let error: &dyn std::error::Error = error;
            tracing::warn!(
                error,
                "cannot read or write a record of the cache; check its directory"
            );
        }
    }
}

/// Reads a whole stored manifest; `None` when it is absent or cannot be read.
fn read_document(store: &BoundedStore, digest: &Digest) -> Option<bytes::Bytes> {
    let stored = store.get(digest).ok()??;
    let mut bytes = vec![0; usize::try_from(stored.size()).ok()?];
    let mut position = 0;
    while position < bytes.len() {
        let rest = bytes.get_mut(position..)?;
        match stored.reader().read_at(rest, position as u64) {
            Ok(0) | Err(_) => return None,
            Ok(count) => position += count,
        }
    }
    // Verify the digest (CA3). This is rare: memory holds the manifest afterwards.
    if Digest::of(&digest.algorithm(), &bytes).ok().as_ref() != Some(digest) {
        store.quarantine(digest);
        return None;
    }
    Some(bytes.into())
}
