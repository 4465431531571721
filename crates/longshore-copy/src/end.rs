//! The ends of a copy: where content is read from and written to.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use longshore::{Content, PushObserver, Repository};
use longshore_model::{Descriptor, Digest, Manifest, MediaType, RepositoryName, Tag, TagOrDigest};
use longshore_store::{Interrupt, Store};

use crate::error::TransferError;
use crate::plan::PlannedBlob;

pub use self::layout::{LayoutEnd, LayoutEntry};
pub use self::memory::MemoryEnd;
pub use self::registry::RegistryEnd;

mod layout;
mod memory;
mod registry;
pub(crate) mod stored;

/// A place that images are copied from or to: a repository of a registry, an image layout, memory.
///
/// One value stands for one image at that place; a tag, a name or a digest may say which one. A
/// source needs the methods up to [`content`](Self::content), and a destination needs the others.
/// An end that keeps its blobs in a [`Store`] only has to return that store.
///
/// The receiver of content verifies it: a store hashes what it writes, and a push hashes what it
/// sends. So an end need not hash the content that it returns.
pub trait End: Send + Sync {
    /// Returns how a user would write this end, for messages.
    fn name(&self) -> String;

    /// Returns the store on this machine that contains or receives the blobs, if there is one and
    /// it is open. A destination with a store gets the manifests while the copy is planned, when
    /// nothing refers to them yet.
    fn store(&self) -> Option<Arc<dyn Store>>;

    /// Returns the repository, if the end is one. Blobs are mounted between repositories of one
    /// registry.
    fn repository(&self) -> Option<&Repository> {
        None
    }

    /// Returns which image this end stands for.
    ///
    /// # Errors
    ///
    /// [`TransferError::Layout`] for a layout in which it is not clear which image is meant.
    fn target(&self) -> EndFuture<'_, TagOrDigest>;

    /// Reads a manifest, verified against its digest, and passes it to `take`. The memory of the
    /// manifest may count against a limit until `take` has finished (LI2).
    ///
    /// # Errors
    ///
    /// What the end reports, and any error of `take`.
    fn manifest<'a>(&'a self, target: &'a TagOrDigest, take: TakeManifest<'a>)
    -> EndFuture<'a, ()>;

    /// Reads content that an index lists under a type that is not known here, if the end keeps it
    /// as a manifest; `None` if it is a blob, as in every store, where nothing tells them apart.
    ///
    /// # Errors
    ///
    /// What the end reports.
    fn opaque_manifest<'a>(
        &'a self,
        _blob: &'a PlannedBlob,
        _media_type: &'a MediaType,
    ) -> EndFuture<'a, Option<Bytes>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Returns the digest of the image that this end stands for now; `None` when there is none.
    ///
    /// # Errors
    ///
    /// What the end reports.
    fn digest(&self) -> EndFuture<'_, Option<Digest>>;

    /// Lists the manifests that refer to `subject`.
    ///
    /// # Errors
    ///
    /// What the end reports; [`TransferError::Referrers`] beyond a limit.
    fn referrers<'a>(&'a self, subject: &'a Digest) -> EndFuture<'a, Vec<Descriptor>>;

    /// Returns those of these tags that the end has, in the same order.
    ///
    /// # Errors
    ///
    /// What the end reports.
    fn existing_tags<'a>(&'a self, tags: &'a [Tag]) -> EndFuture<'a, Vec<Tag>>;

    /// Opens a blob to send it elsewhere.
    ///
    /// # Errors
    ///
    /// [`TransferError::Store`] when the blob is not there; [`TransferError::Damaged`] when it has
    /// another size.
    fn content(&self, blob: &PlannedBlob) -> Result<Box<dyn Content>, TransferError> {
        let content = stored::content(self.opened_store()?.as_ref(), blob)?;
        content.ok_or_else(|| TransferError::Damaged {
            end: self.name(),
            digest: blob.digest.clone(),
        })
    }

    /// Tells the end that it will be written to, before any other method of a destination is
    /// called. Nothing is written yet.
    fn expect_writes(&self) {}

    /// The digest that an image must have to be copied here, if the end is named by a digest. A
    /// copy of another image is refused before anything is written. None by default.
    fn required_digest(&self) -> Option<&Digest> {
        None
    }

    /// Prepares the end for writing, for example by creating a directory.
    ///
    /// # Errors
    ///
    /// What the end reports.
    fn prepare(&self) -> EndFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Checks that the end can list all these manifests, before they are written. An end that lists
    /// none has room for any.
    ///
    /// # Errors
    ///
    /// What the end reports.
    fn check_room(&self, _manifests: &[Descriptor]) -> Result<(), TransferError> {
        Ok(())
    }

    /// Returns whether the end already has this manifest. If an end without a
    /// [`store`](Self::store) has an image manifest, it also has the blobs of the image.
    ///
    /// # Errors
    ///
    /// What the end reports.
    fn has_manifest<'a>(&'a self, digest: &'a Digest) -> EndFuture<'a, bool> {
        let has = match self.store() {
            Some(store) => store.contains(digest).map_err(TransferError::from),
            None => Ok(false),
        };
        Box::pin(std::future::ready(has))
    }

    /// Returns for each blob whether the end has it. With `all`, every blob is looked for.
    /// Otherwise, an end over the network may answer *no* without a request, if the transfer of the
    /// blob costs no more than the request. `answered` counts the answers as they come.
    ///
    /// # Errors
    ///
    /// What the end reports.
    fn has_blobs<'a>(
        &'a self,
        blobs: &'a [&'a PlannedBlob],
        _all: bool,
        _answered: &'a AtomicUsize,
    ) -> EndFuture<'a, Vec<bool>> {
        Box::pin(std::future::ready(stored::has_blobs(self.store(), blobs)))
    }

    /// Writes a blob; returns how the end got it.
    ///
    /// # Errors
    ///
    /// What the end reports, or the content.
    fn put_blob<'a>(&'a self, put: BlobPut<'a>) -> EndFuture<'a, BlobOutcome> {
        Box::pin(async move { stored::put_blob(self.opened_store()?.as_ref(), put).await })
    }

    /// Returns the number of bytes that the end reports for a stored blob; `None` when it does not
    /// report it.
    ///
    /// # Errors
    ///
    /// [`TransferError::NotStored`] when the blob is not there, [`TransferError::NotServed`] when
    /// it is listed and cannot be read; what the end reports.
    fn stored_size<'a>(&'a self, blob: &'a PlannedBlob) -> EndFuture<'a, Option<u64>> {
        let size = self
            .opened_store()
            .and_then(|it| Ok(it.size(&blob.digest)?));
        Box::pin(std::future::ready(size))
    }

    /// Writes a manifest by its digest, after everything that it lists.
    ///
    /// # Errors
    ///
    /// What the end reports.
    fn put_manifest<'a>(&'a self, manifest: &'a RawManifest) -> EndFuture<'a, ()> {
        Box::pin(async move { stored::put_manifest(self.opened_store()?, manifest).await })
    }

    /// Makes a manifest visible, after everything below it was written.
    ///
    /// # Errors
    ///
    /// What the end reports.
    fn publish<'a>(
        &'a self,
        manifest: &'a RawManifest,
        name: PublishedName<'a>,
    ) -> EndFuture<'a, ()>;

    /// Returns the store of an end that is open.
    ///
    /// # Errors
    ///
    /// [`TransferError::Closed`] when the end has no store, or was not opened.
    fn opened_store(&self) -> Result<Arc<dyn Store>, TransferError> {
        self.store().ok_or(TransferError::Closed)
    }
}

/// What a method of an [`End`] returns.
pub type EndFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, TransferError>> + Send + 'a>>;

/// Takes a manifest that an [`End`] has read.
pub type TakeManifest<'a> = Box<dyn FnOnce(Manifest) -> EndFuture<'a, ()> + Send + 'a>;

/// A blob to be written to an [`End`].
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct BlobPut<'a> {
    /// Its digest and size.
    pub blob: &'a PlannedBlob,
    /// Its content. An end that already has a part of it opens the content after that part.
    pub content: &'a dyn Content,
    /// Whether the content was verified before, or its stream verifies it. A receiver that only
    /// passes the content on then need not hash it again.
    pub verified: bool,
    /// A repository of the same registry that has the blob.
    pub mount: Option<&'a RepositoryName>,
    /// An observer that is told when an upload is resumed or starts again.
    pub observer: &'a Arc<dyn PushObserver>,
    /// Ends blocking work early.
    pub interrupt: &'a Interrupt,
}

impl fmt::Debug for BlobPut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobPut")
            .field("blob", &self.blob)
            .field("verified", &self.verified)
            .field("mount", &self.mount)
            .finish_non_exhaustive()
    }
}

/// The name under which a manifest becomes visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishedName<'a> {
    /// The name that the end stands for.
    Own,
    /// Another tag in the same repository.
    Tag(&'a Tag),
    /// No name: the manifest is found by its digest, for example because it refers to another one.
    Unnamed,
}

/// How an [`End`] got a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlobOutcome {
    /// It had the blob already.
    Existing,
    /// It took the blob from another repository of its registry.
    Mounted,
    /// The content was moved.
    Moved,
}

/// The bytes of a manifest, with what is needed to write it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawManifest {
    /// Its descriptor.
    pub descriptor: Descriptor,
    /// Its bytes, as they are stored.
    pub bytes: Bytes,
    /// The manifest that it refers to, and its descriptor in the list of referrers of that
    /// manifest.
    pub referrer: Option<(Digest, Descriptor)>,
}

impl RawManifest {
    /// Takes the required data from a manifest.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let subject = manifest.document().subject();
        Self {
            descriptor: manifest.descriptor(),
            bytes: manifest.bytes().clone(),
            referrer: subject.map(|it| (it.digest.clone(), manifest.as_referrer())),
        }
    }
}

/// Reads a manifest and keeps it.
pub(crate) async fn read_manifest(
    end: &dyn End,
    target: &TagOrDigest,
) -> Result<Manifest, TransferError> {
    let mut read = None;
    let slot = &mut read;
    let take: TakeManifest<'_> = Box::new(move |manifest| {
        *slot = Some(manifest);
        Box::pin(std::future::ready(Ok(())))
    });
    end.manifest(target, take).await?;
    // If the end succeeds, it has passed the manifest on.
    read.ok_or(TransferError::Closed)
}
