//! The directory as a whole.

mod create;
mod graph;
mod lookup;
mod verify;

use std::cmp::Ordering;
use std::collections::HashSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use longshore_model::{
    Descriptor, Digest, MANIFEST_LIMIT_BYTES, Manifest, ManifestError, Verifier, VerifyError,
    VerifyReader,
};
use longshore_store::{
    Action, BLOBS_DIR, Durability, FsStore, Interrupt, Reader, Store as _, StoreError,
};
use serde::Deserialize;

use crate::error::LayoutError;
use crate::index::{IndexFile, Unusable};
use crate::name;

/// The file that makes a directory an image layout.
///
/// Source: image-spec v1.1.1 "oci-layout file".
pub const LAYOUT_FILE: &str = "oci-layout";

/// The file that names the images of a layout.
///
/// Source: image-spec v1.1.1 "index.json file".
pub const INDEX_FILE: &str = "index.json";

/// The version that is written to [`LAYOUT_FILE`]; versions with the same first number are read.
pub const LAYOUT_VERSION: &str = "1.0.0";

/// Maximum size of `oci-layout`, in bytes: it holds one short field.
const LAYOUT_FILE_LIMIT_BYTES: u64 = 4096;

/// Maximum size of an index or manifest, in bytes; a larger one is refused (LI1: documents have a
/// limit).
const DOCUMENT_LIMIT_BYTES: u64 = MANIFEST_LIMIT_BYTES as u64;

/// An OCI image layout: a directory of blobs, and the index that names the images among them.
///
/// Clones share one store.
///
/// Source: image-spec v1.1.1 "OCI Image Layout".
#[derive(Clone, Debug)]
pub struct Layout {
    store: FsStore,
}

impl Layout {
    /// Opens the layout at `path`, or creates one if there is nothing or an empty directory. Writes
    /// are made durable in batches.
    ///
    /// Leftovers of dead processes are removed, except unfinished blobs that can be
    /// [resumed](longshore_store::Store::resume).
    ///
    /// # Errors
    ///
    /// [`LayoutError::NotADirectory`], [`LayoutError::NotEmpty`], or the error of an existing
    /// layout; in these cases nothing was changed. [`LayoutError::Store`].
    pub fn create_or_open(path: &Path) -> Result<Self, LayoutError> {
        Self::create_or_open_with(path, Durability::Batch)
    }

    /// As [`Layout::create_or_open`], with a choice of which writes survive a power cut.
    ///
    /// # Errors
    ///
    /// As [`Layout::create_or_open`].
    pub fn create_or_open_with(path: &Path, durability: Durability) -> Result<Self, LayoutError> {
        Self::create_or_open_interruptible(path, durability, &Interrupt::new())
    }

    /// Like [`Layout::create_or_open_with`], but interruptible: this call and every later call on
    /// this layout end early when `interrupt` is set.
    ///
    /// # Errors
    ///
    /// As [`Layout::create_or_open`], and [`StoreError::Interrupted`].
    pub fn create_or_open_interruptible(
        path: &Path,
        durability: Durability,
        interrupt: &Interrupt,
    ) -> Result<Self, LayoutError> {
        let layout = create::create_or_open(path, durability, interrupt)?;
        layout.store.clear_leftovers()?;
        Ok(layout)
    }

    /// Returns the same layout, whose blocking calls end with [`StoreError::Interrupted`] when
    /// `interrupt` is set: those that wait for a lock, make blobs durable, or verify.
    #[must_use]
    pub fn with_interrupt(&self, interrupt: &Interrupt) -> Self {
        Self {
            store: self.store.with_interrupt(interrupt.clone()),
        }
    }

    /// Checks whether [`Layout::create_or_open`] would find or could create a layout at `path`;
    /// changes nothing. Call it before a download, to fail early.
    ///
    /// # Errors
    ///
    /// As [`Layout::create_or_open`].
    pub fn check_destination(path: &Path) -> Result<(), LayoutError> {
        create::check_destination(path)
    }

    /// Opens the layout at `path`, which may be on a read-only file system; nothing is created or
    /// removed before the first write.
    ///
    /// # Errors
    ///
    /// [`LayoutError::Absent`], [`LayoutError::NotADirectory`], [`LayoutError::NotALayout`],
    /// or the error of the layout.
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        Self::check(Self::at(path, Durability::Batch)?)
    }

    /// Returns the store of the blobs.
    #[must_use]
    pub fn store(&self) -> &FsStore {
        &self.store
    }

    /// Returns the path with which the layout was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.store.root().path()
    }

    /// Returns the entries of the index in their order, named or not.
    ///
    /// # Errors
    ///
    /// The error of the index, or [`LayoutError::Store`].
    pub fn entries(&self) -> Result<Vec<Descriptor>, LayoutError> {
        Ok(self.index()?.entries().cloned().collect())
    }

    /// Returns the names in the index, each with its image, in the order of the index.
    ///
    /// A name is the text of the index, not escaped (OU1: text of a peer must be), and may occur
    /// twice.
    ///
    /// # Errors
    ///
    /// As [`Layout::entries`].
    pub fn tags(&self) -> Result<Vec<(String, Descriptor)>, LayoutError> {
        let named = |entry: &Descriptor| Some((name::of(entry)?.to_owned(), entry.clone()));
        Ok(self.index()?.entries().filter_map(named).collect())
    }

    /// Reads the manifest or index of `descriptor`, verified against it.
    ///
    /// # Errors
    ///
    /// [`LayoutError::Store`] with [`StoreError::Absent`], [`StoreError::TooLarge`] above
    /// [`MANIFEST_LIMIT_BYTES`] whatever the descriptor says, or [`StoreError::Content`] when it
    /// does not match the descriptor (DG2: content is verified against its digest);
    /// [`LayoutError::Manifest`].
    pub fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest, LayoutError> {
        let content_type = Some(descriptor.media_type.as_str());
        self.read_manifest(&descriptor.digest, descriptor.size, content_type)
            .map_err(|unread| match unread {
                Unread::Manifest(source) => LayoutError::Manifest {
                    path: self.blob_path(&descriptor.digest),
                    source,
                },
                Unread::Store(error) => LayoutError::Store(error),
            })
    }

    /// Opens the blob of `descriptor`. The reader ends without an error only if all of it matched
    /// the descriptor (DG3: digest and length must both match).
    ///
    /// # Errors
    ///
    /// [`LayoutError::Store`] with what [`Store::open`](longshore_store::Store::open) returns.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<VerifyReader<Reader>, LayoutError> {
        Ok(self.read_blob(&descriptor.digest, descriptor.size)?)
    }

    /// Gives the image `descriptor` the name `name`, taking it from the image that had it.
    ///
    /// Every blob written or reused through [`Layout::store`] is made durable first. If this
    /// returns an error, the index is unchanged.
    ///
    /// # Errors
    ///
    /// [`LayoutError::Name`]; [`LayoutError::Dangling`] when the content of `descriptor` is not in
    /// the store; [`LayoutError::Entry`]; [`LayoutError::Overfull`]; otherwise as
    /// [`Layout::entries`].
    pub fn tag(&self, name: &str, descriptor: Descriptor) -> Result<(), LayoutError> {
        Self::check_name(name)?;
        self.enter(descriptor, |index, descriptor| index.tag(name, descriptor))
    }

    /// Checks that [`Layout::tag`] accepts `name`, before there is an image to name.
    ///
    /// # Errors
    ///
    /// [`LayoutError::Name`]: a name is not empty, at most [`REF_NAME_LIMIT_BYTES`] long, and has
    /// the characters of image-spec v1.1.1 "Pre-Defined Annotation Keys".
    ///
    /// [`REF_NAME_LIMIT_BYTES`]: crate::REF_NAME_LIMIT_BYTES
    pub fn check_name(name: &str) -> Result<(), LayoutError> {
        name::check(name).map_err(|(at, reason)| LayoutError::Name {
            name: name.to_owned(),
            at,
            reason,
        })
    }

    /// Adds the image `descriptor` to the index without a name, unless an entry refers to it.
    ///
    /// # Errors
    ///
    /// As [`Layout::tag`].
    pub fn add(&self, descriptor: Descriptor) -> Result<(), LayoutError> {
        self.enter(descriptor, IndexFile::add)
    }

    /// Checks that the index has room for entries of all these images, before they are written.
    ///
    /// # Errors
    ///
    /// [`LayoutError::Overfull`]; [`LayoutError::Entry`]; otherwise as [`Layout::entries`].
    pub fn check_room(
        &self,
        images: impl IntoIterator<Item = Descriptor>,
    ) -> Result<(), LayoutError> {
        let mut index = self.index()?;
        let mut listed: HashSet<Digest> = index.entries().map(|it| it.digest.clone()).collect();
        for image in images {
            let digest = image.digest.clone();
            if listed.insert(digest.clone()) {
                let pushed = index.push(image);
                pushed.map_err(|source| LayoutError::Entry { digest, source })?;
            }
        }
        self.check_index(
            &index
                .to_bytes()
                .map_err(|source| self.unusable(Unusable::Raw(source)))?,
        )
    }

    /// Removes the name `name`; other names of the same image stay.
    ///
    /// No blob is deleted, because another image may use it, now or soon. Removing the last entry
    /// of an image makes it unreachable.
    ///
    /// # Errors
    ///
    /// [`LayoutError::NoSuchName`]; otherwise as [`Layout::entries`], and [`LayoutError::Store`].
    pub fn remove(&self, name: &str) -> Result<(), LayoutError> {
        self.change(|index| match index.remove(name) {
            0 => Err(self.no_such_name(name)),
            _ => Ok(true),
        })
    }

    /// Removes every entry that refers to `digest`, whatever its name; returns how many there were.
    ///
    /// No blob is deleted, as with [`Layout::remove`]. Indexes in the layout that list the image
    /// are not changed.
    ///
    /// # Errors
    ///
    /// As [`Layout::entries`], and [`LayoutError::Store`].
    pub fn delete(&self, digest: &Digest) -> Result<usize, LayoutError> {
        let mut deleted = 0;
        self.change(|index| {
            deleted = index.delete(digest);
            Ok(deleted > 0)
        })?;
        Ok(deleted)
    }

    /// Changes the index after the blobs and their directory are durable, which keeps the layout
    /// valid.
    fn enter(
        &self,
        descriptor: Descriptor,
        edit: impl FnOnce(&mut IndexFile, Descriptor) -> Result<bool, serde_json::Error>,
    ) -> Result<(), LayoutError> {
        let digest = descriptor.digest.clone();
        if !self.store.reuse(&digest, descriptor.size)? {
            return Err(LayoutError::Dangling {
                expected: descriptor.size,
                found: self.store.size(&digest)?,
                digest,
            });
        }
        self.store.flush()?;
        self.change(|index| {
            edit(index, descriptor).map_err(|source| LayoutError::Entry { digest, source })
        })
    }

    /// Reads the index, and writes it again if `edit` returns that it has changed.
    fn change(
        &self,
        edit: impl FnOnce(&mut IndexFile) -> Result<bool, LayoutError>,
    ) -> Result<(), LayoutError> {
        let exclusive = self.store.lock()?;
        let mut index = self.index()?;
        if !edit(&mut index)? {
            return Ok(());
        }
        let content = index
            .to_bytes()
            .map_err(|source| self.unusable(Unusable::Raw(source)))?;
        self.check_index(&content)?;
        Ok(exclusive.replace(INDEX_FILE, &content)?)
    }

    /// Refuses to write an index that could not be read again.
    fn check_index(&self, content: &[u8]) -> Result<(), LayoutError> {
        let path = self.path().join(INDEX_FILE);
        if content.len() as u64 > DOCUMENT_LIMIT_BYTES {
            let limit = DOCUMENT_LIMIT_BYTES;
            return Err(StoreError::TooLarge { path, limit }.into());
        }
        match IndexFile::parse(content) {
            Ok(_) => Ok(()),
            Err(Unusable::Manifest(source)) => Err(LayoutError::Overfull { path, source }),
            Err(unusable) => Err(self.unusable(unusable)),
        }
    }

    fn index(&self) -> Result<IndexFile, LayoutError> {
        let root = self.store.root();
        let Some(content) = root.read(INDEX_FILE, DOCUMENT_LIMIT_BYTES)? else {
            return Err(LayoutError::Missing {
                path: self.path().join(INDEX_FILE),
            });
        };
        IndexFile::parse(&content).map_err(|unusable| self.unusable(unusable))
    }

    fn unusable(&self, unusable: Unusable) -> LayoutError {
        let path = self.path().join(INDEX_FILE);
        match unusable {
            Unusable::Manifest(source) => LayoutError::Manifest { path, source },
            Unusable::Raw(source) => LayoutError::Malformed { path, source },
            Unusable::NotAnIndex => LayoutError::NotAnIndex { path },
        }
    }

    /// Reads a manifest, verified against digest and size before it is parsed (DG2).
    fn read_manifest(
        &self,
        digest: &Digest,
        size: u64,
        content_type: Option<&str>,
    ) -> Result<Manifest, Unread> {
        let content = self.read_document(digest, size).map_err(Unread::Store)?;
        Manifest::parse_verified(content, content_type, digest).map_err(Unread::Manifest)
    }

    /// Reads a small blob, and no further than its size (LI3: reads stop at the size of the
    /// descriptor).
    fn read_document(&self, digest: &Digest, size: u64) -> Result<Bytes, StoreError> {
        if size > DOCUMENT_LIMIT_BYTES {
            return Err(StoreError::TooLarge {
                path: self.blob_path(digest),
                limit: DOCUMENT_LIMIT_BYTES,
            });
        }
        // A descriptor with a wrong size must not cause a read of the blob.
        if let Some(found) = self.store.size(digest)? {
            check_size(size, found).map_err(|source| StoreError::Content {
                digest: digest.clone(),
                source,
            })?;
        }
        let mut content = Vec::new();
        match self.read_blob(digest, size)?.read_to_end(&mut content) {
            Ok(_) => Ok(content.into()),
            Err(error) => Err(self.read_failed(digest, error)),
        }
    }

    fn read_blob(&self, digest: &Digest, size: u64) -> Result<VerifyReader<Reader>, StoreError> {
        let reader = self.store.open(digest)?;
        match Verifier::new(digest, Some(size)) {
            Ok(verifier) => Ok(VerifyReader::new(reader, verifier)),
            Err(source) => Err(StoreError::Unsupported {
                digest: digest.clone(),
                source,
            }),
        }
    }

    /// Classifies a failed read as wrong content or as an error of the operating system.
    fn read_failed(&self, digest: &Digest, error: io::Error) -> StoreError {
        match error.downcast::<VerifyError>() {
            Ok(source) => StoreError::Content {
                digest: digest.clone(),
                source,
            },
            Err(source) => StoreError::Io {
                action: Action::Read,
                path: self.blob_path(digest),
                source,
            },
        }
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path().join(digest.blob_path())
    }

    fn no_such_name(&self, name: &str) -> LayoutError {
        LayoutError::NoSuchName {
            path: self.path().to_owned(),
            name: name.to_owned(),
        }
    }

    /// Opens the directory at `path`, whatever it holds.
    fn at(path: &Path, durability: Durability) -> Result<Self, LayoutError> {
        match FsStore::open(path, durability) {
            Ok(store) => Ok(Self { store }),
            Err(StoreError::NotADirectory { path }) => Err(LayoutError::NotADirectory { path }),
            Err(StoreError::Io { path, source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Err(LayoutError::Absent { path })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Checks that this is a layout that can be read.
    fn check(self) -> Result<Self, LayoutError> {
        self.check_marker()?;
        self.index()?;
        // Fails if it is a link.
        self.store.root().dir(BLOBS_DIR)?;
        Ok(self)
    }

    /// Checks that the directory is a layout of a version that is known.
    fn check_marker(&self) -> Result<(), LayoutError> {
        let path = self.path().join(LAYOUT_FILE);
        let content = self
            .store
            .root()
            .read(LAYOUT_FILE, LAYOUT_FILE_LIMIT_BYTES)?;
        let Some(content) = content else {
            return Err(LayoutError::NotALayout {
                path: self.path().to_owned(),
            });
        };
        let marker: Marker = match serde_json::from_slice(&content) {
            Ok(marker) => marker,
            Err(source) => return Err(LayoutError::Malformed { path, source }),
        };
        if !is_known(&marker.version) {
            return Err(LayoutError::Version {
                path,
                found: marker.version,
            });
        }
        Ok(())
    }
}

/// Compares the size of a file with that of its descriptor.
fn check_size(expected: u64, actual: u64) -> Result<(), VerifyError> {
    match actual.cmp(&expected) {
        Ordering::Less => Err(VerifyError::TooShort { expected, actual }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(VerifyError::TooLong { expected }),
    }
}

/// Why a manifest was not read.
enum Unread {
    Manifest(ManifestError),
    Store(StoreError),
}

/// The content of `oci-layout`.
#[derive(Deserialize)]
struct Marker {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

/// Returns whether a layout of this version has the structure that is written here.
fn is_known(version: &str) -> bool {
    version.split('.').next() == LAYOUT_VERSION.split('.').next()
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
