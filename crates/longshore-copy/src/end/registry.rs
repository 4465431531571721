//! A repository of a registry as an end.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use longshore::proto::referrers::fallback_tag;
use longshore::proto::upload::UploadOutcome;
use longshore::{
    Client, Content, ErrorKind, PushOptions, PushedManifest, Repository, SessionKeeper,
    UploadSession,
};
use longshore_model::{
    Descriptor, Digest, Document, Index, Manifest, MediaType, Reference, Tag, TagOrDigest,
};
use longshore_store::Store;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::{
    BlobOutcome, BlobPut, End, EndFuture, PublishedName, RawManifest, TakeManifest, read_manifest,
};
use crate::content::RegistryContent;
use crate::error::TransferError;
use crate::in_order::InOrder;
use crate::journal::{Journal, JournalEntry, JournalLock, UploadKey};
use crate::plan::PlannedBlob;
use crate::referrers::list_referrers;

/// Minimum size of a blob that is always looked for before it is sent, in bytes. Sending a smaller
/// blob takes only one request more than looking for it.
const LARGE_BYTES: u64 = 1024 * 1024;

/// Number of small blobs that are looked for. If the registry has none of them, the other small
/// blobs are assumed to be absent too. Most images do not have more, so a copy that was killed
/// sends none of theirs again.
const SMALL_PROBES: usize = 16;

/// Maximum number of concurrent requests that look for blobs.
const CONCURRENT_QUESTIONS: usize = 32;

/// An image in a repository of a registry.
pub struct RegistryEnd {
    repository: Repository,
    target: TagOrDigest,
    chunk: Option<u64>,
    journal: Option<Arc<Journal>>,
    /// Held while the list of referrers under a tag is changed.
    listing: Mutex<()>,
}

impl RegistryEnd {
    /// Makes an end for the image with this tag or digest in the repository.
    #[must_use]
    pub fn new(repository: Repository, target: TagOrDigest) -> Self {
        Self {
            repository,
            target,
            chunk: None,
            journal: None,
            listing: Mutex::new(()),
        }
    }

    /// Makes an end for the image that this reference names.
    ///
    /// # Errors
    ///
    /// As [`Client::repository`].
    pub async fn open(client: &Client, reference: &Reference) -> Result<Self, TransferError> {
        let repository = client.repository(reference).await?;
        Ok(Self::new(repository, reference.target()))
    }

    /// Sets the size of the chunks of uploads, in bytes. By default it depends on the size of the
    /// blob and on the quirks of the registry.
    #[must_use]
    pub const fn with_chunk(mut self, bytes: u64) -> Self {
        self.chunk = Some(bytes);
        self
    }

    /// Keeps the sessions of unfinished uploads in this journal, so that a later run can continue
    /// them.
    #[must_use]
    pub fn with_journal(mut self, journal: Arc<Journal>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// The record of an upload in the journal; `None` if it is not kept, or another upload has it.
    fn record(&self, blob: &PlannedBlob) -> Option<Arc<Record>> {
        let journal = self.journal.as_ref()?;
        if blob.size < LARGE_BYTES {
            return None;
        }
        Record::new(Arc::clone(journal), &self.repository, blob).map(Arc::new)
    }

    /// Removes the entries of blobs that the registry has, also if another process uses them.
    fn forget_existing(&self, blobs: &[&PlannedBlob], has: &[bool]) {
        let Some(journal) = &self.journal else { return };
        for (blob, _) in blobs.iter().zip(has).filter(|(_, has)| **has) {
            if blob.size >= LARGE_BYTES {
                let _ = journal.remove(&upload_key(&self.repository, blob));
            }
        }
    }

    /// Asks the registry for each of these blobs.
    async fn ask(
        &self,
        blobs: &[&PlannedBlob],
        answers: &mut [bool],
        answered: &AtomicUsize,
    ) -> Result<(), TransferError> {
        let mut asking = JoinSet::new();
        let mut places = 0..answers.len();
        loop {
            while asking.len() < CONCURRENT_QUESTIONS
                && let Some(place) = places.next()
            {
                let Some(blob) = blobs.get(place) else { break };
                let (repository, blob) = (self.repository.clone(), PlannedBlob::clone(blob));
                asking.spawn(async move { (place, is_there(&repository, &blob).await) });
            }
            match asking.join_next().await {
                Some(Ok((place, answer))) => {
                    answered.fetch_add(1, Ordering::Relaxed);
                    if let Some(slot) = answers.get_mut(place) {
                        *slot = answer?;
                    }
                }
                Some(Err(_)) => return Err(TransferError::Worker),
                None => return Ok(()),
            }
        }
    }

    /// Asks for the blobs at these places.
    async fn ask_some(
        &self,
        blobs: &[&PlannedBlob],
        places: &[usize],
        answers: &mut [bool],
        answered: &AtomicUsize,
    ) -> Result<(), TransferError> {
        let some: Vec<_> = places
            .iter()
            .filter_map(|&it| blobs.get(it).copied())
            .collect();
        let mut found = vec![false; some.len()];
        self.ask(&some, &mut found, answered).await?;
        for (&place, found) in places.iter().zip(found) {
            if let Some(slot) = answers.get_mut(place) {
                *slot = found;
            }
        }
        Ok(())
    }

    async fn put(&self, target: &TagOrDigest, manifest: &RawManifest) -> Result<(), TransferError> {
        let RawManifest {
            descriptor, bytes, ..
        } = manifest;
        let pushed = self
            .repository
            .put_manifest(target, &descriptor.media_type, bytes.clone())
            .await?;
        match (&manifest.referrer, pushed) {
            (Some((subject, referrer)), PushedManifest { subject: None, .. }) => {
                self.list_referrer(subject, referrer).await
            }
            _ => Ok(()),
        }
    }

    /// Adds a referrer to the list under the tag of its subject, for a registry without a referrers
    /// API (distribution-spec v1.1.1 "Referrers Tag Schema").
    async fn list_referrer(
        &self,
        subject: &Digest,
        referrer: &Descriptor,
    ) -> Result<(), TransferError> {
        let Some(tag) = fallback_tag(subject) else {
            return Ok(());
        };
        let target = TagOrDigest::from(tag);
        let _one_at_a_time = self.listing.lock().await;
        let mut manifests = match read_manifest(self, &target).await {
            // A registry may resolve the tag to the subject itself.
            Ok(list) if list.digest() == subject => Vec::new(),
            Ok(list) => match list.into_document() {
                Document::Index(index) => index.manifests,
                _ => Vec::new(),
            },
            Err(TransferError::Registry(error)) if error.kind() == ErrorKind::NotFound => {
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        if manifests.iter().any(|it| it.digest == referrer.digest) {
            return Ok(());
        }
        manifests.push(referrer.clone());
        let list = Manifest::from_document(&Document::Index(Index::new(manifests)));
        let list = list.map_err(TransferError::Unwritable)?;
        let (media_type, bytes) = (list.media_type(), list.bytes().clone());
        self.repository
            .put_manifest(&target, media_type, bytes)
            .await?;
        Ok(())
    }
}

impl fmt::Debug for RegistryEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryEnd")
            .field("origin", self.repository.origin())
            .field("name", self.repository.name())
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl End for RegistryEnd {
    fn name(&self) -> String {
        let (registry, name) = (self.repository.origin(), self.repository.name());
        match &self.target {
            TagOrDigest::Tag(tag) => format!("{registry}/{name}:{tag}"),
            TagOrDigest::Digest(digest) => format!("{registry}/{name}@{digest}"),
        }
    }

    fn store(&self) -> Option<Arc<dyn Store>> {
        None
    }

    fn repository(&self) -> Option<&Repository> {
        Some(&self.repository)
    }

    fn required_digest(&self) -> Option<&Digest> {
        self.target.digest()
    }

    fn target(&self) -> EndFuture<'_, TagOrDigest> {
        Box::pin(std::future::ready(Ok(self.target.clone())))
    }

    fn manifest<'a>(
        &'a self,
        target: &'a TagOrDigest,
        take: TakeManifest<'a>,
    ) -> EndFuture<'a, ()> {
        Box::pin(async move {
            let taken = self
                .repository
                .manifest_with(target, |pulled| take(pulled.manifest));
            taken.await?
        })
    }

    /// Asks for the blob first: the CNCF Distribution registry answers a GET of a manifest that is
    /// a blob with status 500, and caches of builds are indexes of blobs.
    fn opaque_manifest<'a>(
        &'a self,
        blob: &'a PlannedBlob,
        media_type: &'a MediaType,
    ) -> EndFuture<'a, Option<Bytes>> {
        Box::pin(async move {
            if is_there(&self.repository, blob).await? {
                return Ok(None);
            }
            let bytes = self.repository.manifest_bytes(&blob.digest, media_type);
            Ok(bytes.await?)
        })
    }

    fn digest(&self) -> EndFuture<'_, Option<Digest>> {
        Box::pin(async move {
            let head = self.repository.manifest_head(&self.target).await?;
            Ok(head.and_then(|head| head.digest))
        })
    }

    fn referrers<'a>(&'a self, subject: &'a Digest) -> EndFuture<'a, Vec<Descriptor>> {
        Box::pin(list_referrers(&self.repository, subject))
    }

    /// Asks for each tag: that works where a registry lists no tags, and needs no list without end.
    fn existing_tags<'a>(&'a self, tags: &'a [Tag]) -> EndFuture<'a, Vec<Tag>> {
        Box::pin(async move {
            let mut asking = InOrder::new(CONCURRENT_QUESTIONS, u64::MAX);
            let (mut asked, mut answered) = (tags.iter(), tags.iter());
            let mut existing = Vec::new();
            loop {
                while asking.has_room(1)
                    && let Some(tag) = asked.next()
                {
                    let repository = self.repository.clone();
                    let target = TagOrDigest::from(tag.clone());
                    asking.start(1, async move { repository.manifest_head(&target).await });
                }
                let (Some(head), Some(tag)) = (asking.next().await, answered.next()) else {
                    return Ok(existing);
                };
                if head??.is_some() {
                    existing.push(tag.clone());
                }
            }
        })
    }

    fn content(&self, blob: &PlannedBlob) -> Result<Box<dyn Content>, TransferError> {
        Ok(Box::new(RegistryContent::new(
            self.repository.clone(),
            blob,
        )))
    }

    /// One token serves all requests.
    fn expect_writes(&self) {
        self.repository.expect_pushes();
    }

    fn has_manifest<'a>(&'a self, digest: &'a Digest) -> EndFuture<'a, bool> {
        Box::pin(async move {
            let target = TagOrDigest::from(digest.clone());
            Ok(self.repository.manifest_head(&target).await?.is_some())
        })
    }

    fn has_blobs<'a>(
        &'a self,
        blobs: &'a [&'a PlannedBlob],
        all: bool,
        answered: &'a AtomicUsize,
    ) -> EndFuture<'a, Vec<bool>> {
        Box::pin(async move {
            let mut answers = vec![false; blobs.len()];
            if all {
                self.ask(blobs, &mut answers, answered).await?;
                self.forget_existing(blobs, &answers);
                return Ok(answers);
            }
            let (large, small): (Vec<usize>, Vec<usize>) = (0..blobs.len())
                .partition(|&it| blobs.get(it).is_some_and(|it| it.size >= LARGE_BYTES));
            let probes = small.len().min(SMALL_PROBES);
            let (probed, rest) = small.split_at(probes);
            let first: Vec<_> = large.iter().chain(probed).copied().collect();
            self.ask_some(blobs, &first, &mut answers, answered).await?;
            let has_small = probed.iter().any(|&it| answers.get(it) == Some(&true));
            if has_small {
                self.ask_some(blobs, rest, &mut answers, answered).await?;
            }
            self.forget_existing(blobs, &answers);
            Ok(answers)
        })
    }

    fn put_blob<'a>(&'a self, put: BlobPut<'a>) -> EndFuture<'a, BlobOutcome> {
        Box::pin(async move {
            let mut options = PushOptions::default();
            options.digest = Some(put.blob.digest.clone());
            options.mount = put.mount.cloned();
            options.chunk = self.chunk;
            options.verified = put.verified;
            options.observer = Some(Arc::clone(put.observer));
            let record = self.record(put.blob);
            if let Some(record) = &record {
                options.session = record.session();
                options.keeper = Some(Arc::clone(record) as _);
            }
            let pushed = self.repository.put_blob(put.content, options).await;
            let pushed = pushed.map_err(TransferError::of_push)?;
            if let Some(record) = record {
                // The session that an earlier run has left may not have been used.
                record.forget();
            }
            Ok(match pushed.outcome {
                UploadOutcome::Existing => BlobOutcome::Existing,
                UploadOutcome::Mounted => BlobOutcome::Mounted,
                _ => BlobOutcome::Moved,
            })
        })
    }

    /// Asks with HEAD, and then for the last byte: a registry may list what it cannot serve.
    fn stored_size<'a>(&'a self, blob: &'a PlannedBlob) -> EndFuture<'a, Option<u64>> {
        Box::pin(async move {
            let PlannedBlob { digest, size } = blob;
            let Some(head) = self.repository.blob_head(digest).await? else {
                return Err(TransferError::NotStored {
                    end: self.name(),
                    digest: digest.clone(),
                });
            };
            // DG2: the length in an answer to HEAD may be 0 whatever the size is.
            if !head.may_have(*size) {
                return Ok(head.size);
            }
            let last = size.saturating_sub(1);
            let mut frames = self.repository.blob_frames_from(digest, Some(*size), last);
            while let Some(frame) = frames.next().await {
                frame.map_err(|source| TransferError::NotServed {
                    end: self.name(),
                    digest: digest.clone(),
                    source,
                })?;
            }
            Ok(Some(*size))
        })
    }

    fn put_manifest<'a>(&'a self, manifest: &'a RawManifest) -> EndFuture<'a, ()> {
        Box::pin(async move {
            let target = TagOrDigest::from(manifest.descriptor.digest.clone());
            self.put(&target, manifest).await
        })
    }

    fn publish<'a>(
        &'a self,
        manifest: &'a RawManifest,
        name: PublishedName<'a>,
    ) -> EndFuture<'a, ()> {
        Box::pin(async move {
            match name {
                PublishedName::Own => self.put(&self.target, manifest).await,
                PublishedName::Tag(tag) => {
                    self.put(&TagOrDigest::from(tag.clone()), manifest).await
                }
                // It was written by its digest.
                PublishedName::Unnamed => Ok(()),
            }
        })
    }
}

/// The record of one upload in the journal.
struct Record {
    journal: Arc<Journal>,
    key: UploadKey,
    size: u64,
    _lock: JournalLock,
}

impl Record {
    /// `None` when another upload has the entry.
    fn new(journal: Arc<Journal>, repository: &Repository, blob: &PlannedBlob) -> Option<Self> {
        let key = upload_key(repository, blob);
        let lock = journal.lock(&key)?;
        Some(Self {
            journal,
            key,
            size: blob.size,
            _lock: lock,
        })
    }

    /// The session of an earlier run, if there is one.
    fn session(&self) -> Option<UploadSession> {
        let entry = self.journal.get(&self.key, unix_time())?;
        if entry.size != self.size {
            return None;
        }
        UploadSession::from_secret_text(entry.location.expose())
    }
}

// The journal only saves work, so an error is ignored.
impl SessionKeeper for Record {
    fn keep(&self, session: &UploadSession) {
        let entry = JournalEntry {
            size: self.size,
            location: session.to_secret_text(),
            saved_at: unix_time(),
        };
        if let Err(error) = self.journal.put(&self.key, &entry) {
            self.journal.fail(error);
        }
    }

    fn forget(&self) {
        let _ = self.journal.remove(&self.key);
    }
}

fn upload_key(repository: &Repository, blob: &PlannedBlob) -> UploadKey {
    UploadKey {
        origin: repository.origin().clone(),
        repository: repository.name().clone(),
        digest: blob.digest.clone(),
    }
}

/// Returns the time since 1970.
fn unix_time() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default()
}

/// Returns whether the registry says that it has a blob of this size (DG7). A registry that
/// refuses the question is taken not to have it: the upload will tell.
async fn is_there(repository: &Repository, blob: &PlannedBlob) -> Result<bool, TransferError> {
    match repository.blob_head(&blob.digest).await {
        Ok(head) => Ok(head.is_some_and(|head| head.may_have(blob.size))),
        Err(error) => match error.kind() {
            ErrorKind::Denied | ErrorKind::NotFound | ErrorKind::Unsupported => Ok(false),
            _ => Err(error.into()),
        },
    }
}
