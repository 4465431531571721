//! Records in small files.

mod document;
mod path;
mod sweep;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use longshore_model::{Digest, Tag};
use longshore_store::{Dir, Entry, FileMode, StoreError, StoreErrorKind};
use serde::Serialize;
use tracing::{debug, warn};

use self::document::{Content, List, Parsed, TagDocument};
use self::path::FilePath;
use super::{ContentRecord, ImageRecord, ListKey, ListRecord, Records, RecordsError, TagRecord};
use crate::name::ImageName;

/// Maximum size in bytes of the file of a record that is not a list. A larger file is corrupt.
const RECORD_LIMIT_BYTES: u64 = 64 * 1024;

/// Maximum size in bytes of the file of a list. A larger file is corrupt.
const LIST_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// Maximum number of files unless [`FileRecords::with_limit`] sets another one: 250,000.
pub const RECORD_FILES_LIMIT: u64 = 250_000;

/// Keeps each record in a small file below one directory, readable only by its owner.
///
/// A file is written under a temporary name and then renamed, so that it is complete or absent,
/// also after a crash of the process. The last records may be lost in a power cut, because they can
/// be observed again. A file that is truncated or otherwise corrupt counts as absent: a warning is
/// logged, and the file is removed. Links below the directory are not followed (CA12).
///
/// One process uses a directory at a time; the caller ensures that, for example with the lock of
/// its store. Files are read and written on the blocking threads of tokio, so every call needs a
/// tokio runtime.
///
/// Limits: 64 KiB for each record, 64 MiB for each list, and [`RECORD_FILES_LIMIT`] files. When a
/// new file exceeds the last limit, a sweep in the background removes the files that were written
/// least recently, until three quarters of the limit are left: lists first, then tags and marks
/// whose content has no record, then all others. This is always safe: each record can be observed
/// again at the upstream. There are at most as many directories of repositories as files.
#[derive(Clone)]
pub struct FileRecords {
    files: Arc<Files>,
}

struct Files {
    root: Dir,
    temporary: Dir,
    /// Makes the names of temporary files unique.
    count: AtomicU64,
    /// Held while a record is read and replaced.
    changing: Mutex<()>,
    /// Shared while a file is made in a directory; exclusive while an empty directory is removed.
    /// Readers do not take it.
    directories: RwLock<()>,
    /// The number of files. A sweep counts them again.
    files: AtomicU64,
    /// Maximum number of files.
    limit: AtomicU64,
    /// Whether a sweep runs.
    sweeping: AtomicBool,
}

impl fmt::Debug for FileRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileRecords")
            .field("path", &self.files.root.path())
            .finish()
    }
}

impl FileRecords {
    /// Opens the records below this directory, which exists. It blocks while it removes the
    /// temporary files of an earlier process and counts the files.
    ///
    /// Links in the path itself are followed: it belongs to the caller.
    ///
    /// # Errors
    ///
    /// The directory is missing, or cannot be written to.
    pub fn open(path: &Path) -> Result<Self, RecordsError> {
        Dir::open(path).and_then(Self::below).map_err(failed)
    }

    /// Opens the records in the directory `records` of this one, such as that of the
    /// [store](longshore_store::StoreDirectory::dir) of the same cache. The directory `records` is
    /// made if it does not exist. It blocks as [`open`](Self::open) does.
    ///
    /// # Errors
    ///
    /// `records` is a link or a file, or the directory cannot be written to.
    pub fn within(directory: &Dir) -> Result<Self, RecordsError> {
        let records = enter(directory, path::RECORDS);
        records.and_then(Self::below).map_err(failed)
    }

    fn below(root: Dir) -> Result<Self, StoreError> {
        let temporary = enter(&root, path::TEMPORARY)?;
        for name in temporary.names()? {
            // The cache has no file whose name is not UTF-8.
            if let Some(name) = name?.to_str() {
                temporary.remove(name)?;
            }
        }
        let files = Files {
            root,
            temporary,
            count: AtomicU64::new(0),
            changing: Mutex::new(()),
            directories: RwLock::new(()),
            files: AtomicU64::new(0),
            limit: AtomicU64::new(RECORD_FILES_LIMIT),
            sweeping: AtomicBool::new(false),
        };
        files.files.store(files.count_files()?, Ordering::Relaxed);
        Ok(Self {
            files: Arc::new(files),
        })
    }

    /// Sets the maximum number of files. It applies when the next file is made, and to all clones.
    #[must_use]
    pub fn with_limit(self, files: u64) -> Self {
        self.files.limit.store(files, Ordering::Relaxed);
        self
    }

    /// Runs a blocking call on a thread that may block.
    async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Files) -> Result<T, RecordsError> + Send + 'static,
    ) -> Result<T, RecordsError> {
        let files = Arc::clone(&self.files);
        let task = tokio::task::spawn_blocking(move || call(&files));
        let result = task.await.unwrap_or_else(|error| {
            Err(RecordsError::new(
                "the access to a record was interrupted",
                Some(error.into()),
            ))
        });
        self.sweep_if_full();
        result
    }

    /// Starts a sweep in the background if there are too many files and none runs.
    fn sweep_if_full(&self) {
        let limit = self.files.limit.load(Ordering::Relaxed);
        if self.files.files.load(Ordering::Relaxed) > limit
            && !self.files.sweeping.swap(true, Ordering::Acquire)
        {
            let files = Arc::clone(&self.files);
            // Nobody waits for it.
            drop(tokio::task::spawn_blocking(move || files.sweep()));
        }
    }
}

fn failed(error: StoreError) -> RecordsError {
    RecordsError::new(
        "cannot use the files with the records of the cache",
        Some(error.into()),
    )
}

/// Opens a directory, and makes it if it does not exist.
fn enter(within: &Dir, name: &str) -> Result<Dir, StoreError> {
    if let Some(found) = within.dir(name)? {
        return Ok(found);
    }
    within.make_dir(name, FileMode::Private)?;
    within.dir(name)?.ok_or_else(|| StoreError::NotADirectory {
        path: within.path().join(name),
    })
}

impl Files {
    /// The directory of a file; `None` if it does not exist.
    fn find(&self, directories: &[String]) -> Result<Option<Dir>, RecordsError> {
        let mut found: Option<Dir> = None;
        for name in directories {
            let next = found
                .as_ref()
                .unwrap_or(&self.root)
                .dir(name)
                .map_err(failed)?;
            let Some(next) = next else { return Ok(None) };
            found = Some(next);
        }
        Ok(found)
    }

    /// Opens the directory of a file, makes it if it does not exist, and calls `use_it` with it.
    fn within<T>(
        &self,
        directories: &[String],
        use_it: impl FnOnce(&Dir) -> Result<T, StoreError>,
    ) -> Result<T, RecordsError> {
        let _staying = self
            .directories
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut found: Option<Dir> = None;
        for name in directories {
            let within = found.as_ref().unwrap_or(&self.root);
            found = Some(enter(within, name).map_err(failed)?);
        }
        use_it(found.as_ref().unwrap_or(&self.root)).map_err(failed)
    }

    /// Reads the record in a file. A corrupt file is removed.
    fn read<T>(
        &self,
        path: &FilePath,
        limit: u64,
        parse: impl FnOnce(&[u8]) -> Parsed<T>,
    ) -> Result<Option<T>, RecordsError> {
        match self.find(&path.directories)? {
            Some(dir) => read(&dir, &path.name, limit, parse).map_err(failed),
            None => Ok(None),
        }
    }

    /// Writes a file under a temporary name, and then renames it.
    fn write(
        &self,
        path: &FilePath,
        limit: u64,
        record: &impl Serialize,
    ) -> Result<(), RecordsError> {
        let document = document::write(record).map_err(|error| {
            RecordsError::new("cannot write a record as JSON", Some(error.into()))
        })?;
        if document.len() as u64 > limit {
            let what = format!(
                "a record has {} bytes; at most {limit} are allowed",
                document.len()
            );
            return Err(RecordsError::new(&what, None));
        }
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{count}", std::process::id());
        self.within(&path.directories, |dir| {
            let mut file = self.temporary.create(&name, FileMode::Private)?;
            let written = file.write_all(&document).map_err(|source| StoreError::Io {
                action: longshore_store::Action::Write,
                path: self.temporary.path().join(&name),
                source,
            });
            let is_new = written.and_then(|()| Ok(dir.entry(&path.name)?.is_none()));
            let renamed = is_new.and_then(|is_new| {
                self.temporary.rename(&name, dir, &path.name)?;
                self.files.fetch_add(is_new.into(), Ordering::Relaxed);
                Ok(())
            });
            if renamed.is_err() {
                // Report the first error.
                let _ = self.temporary.remove(&name);
            }
            renamed
        })
    }

    /// Removes a file, and the directory of its repository if it is empty then.
    fn remove(&self, path: &FilePath) -> Result<(), RecordsError> {
        let Some((name, above)) = path.directories.split_last() else {
            return Ok(());
        };
        let Some(above) = self.find(above)? else {
            return Ok(());
        };
        let removed = above.dir(name).and_then(|dir| match dir {
            Some(dir) if dir.entry(&path.name)?.is_some() => dir.remove(&path.name).map(|()| true),
            _ => Ok(false),
        });
        if removed.map_err(failed)? {
            let less = |files: u64| files.checked_sub(1);
            let _ = self
                .files
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            // The directories of content are few, and are soon needed again.
            if path.directories.first().is_none_or(|top| top != path::META) {
                self.remove_empty(&above, name);
            }
        }
        Ok(())
    }

    /// Removes a directory if it is empty.
    fn remove_empty(&self, above: &Dir, name: &str) {
        let _alone = self
            .directories
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // This fails if it is not empty.
        let _ = above.remove_dir(name);
    }

    fn content(&self, digest: &Digest) -> Result<Option<ContentRecord>, RecordsError> {
        let parse = |document: &[u8]| Content::read(document, digest);
        self.read(&path::content(digest), RECORD_LIMIT_BYTES, parse)
    }

    fn tag(&self, image: &ImageName, tag: &Tag) -> Result<Option<TagRecord>, RecordsError> {
        let parse = |document: &[u8]| TagDocument::read_of(document, tag);
        self.read(&path::tag(image, tag), RECORD_LIMIT_BYTES, parse)
    }

    fn write_tag(
        &self,
        image: &ImageName,
        tag: &Tag,
        record: TagRecord,
    ) -> Result<(), RecordsError> {
        let document = TagDocument::new(tag, record);
        self.write(&path::tag(image, tag), RECORD_LIMIT_BYTES, &document)
    }

    fn contains(&self, image: &ImageName, digest: &Digest) -> Result<bool, RecordsError> {
        let path = path::mark(image, digest);
        let Some(dir) = self.find(&path.directories)? else {
            return Ok(false);
        };
        let entry = dir.entry(&path.name).map_err(failed)?;
        Ok(matches!(entry, Some(Entry::File(_))))
    }

    fn mark(&self, image: &ImageName, digest: &Digest) -> Result<(), RecordsError> {
        let path = path::mark(image, digest);
        self.within(&path.directories, |dir| {
            match dir.entry(&path.name)? {
                Some(Entry::File(_)) => return Ok(()),
                Some(_) => dir.remove(&path.name)?,
                None => {}
            }
            match dir.create(&path.name, FileMode::Private) {
                Err(StoreError::Io { source, .. })
                    if source.kind() == io::ErrorKind::AlreadyExists =>
                {
                    Ok(())
                }
                created => {
                    drop(created?);
                    self.files.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                }
            }
        })
    }

    /// Adds the repositories that have a file below this top directory. At most three directories
    /// are open at a time.
    fn add_images(&self, top: &str, images: &mut Vec<ImageName>) -> Result<(), StoreError> {
        let Some(top) = self.root.dir(top)? else {
            return Ok(());
        };
        each_dir(&top, |name, dir| {
            let Some(upstream) = path::upstream_of(name) else {
                return Ok(());
            };
            each_dir(dir, |name, dir| {
                let Some(repository) = path::repository_of(name) else {
                    return Ok(());
                };
                if dir.names()?.next().is_some() {
                    images.push(ImageName::new(upstream.clone(), repository));
                }
                Ok(())
            })
        })
    }

    fn image(&self, name: &ImageName) -> Result<Option<ImageRecord>, RecordsError> {
        let mut tags = Vec::new();
        if let Some(dir) = self.find(&path::image(path::TAGS, name))? {
            for file in dir.names().map_err(failed)? {
                let file = file.map_err(failed)?;
                let Some(file) = file.to_str() else { continue };
                let found = read(&dir, file, RECORD_LIMIT_BYTES, TagDocument::read);
                let Some((tag, record)) = found.map_err(failed)? else {
                    continue;
                };
                // Ignore a file whose name belongs to another tag: a look-up of the tag would not
                // find it.
                if path::tag(name, &tag).name == file {
                    tags.push((tag, record));
                }
            }
        }
        tags.sort_by(|(a, _), (b, _)| a.cmp(b));
        let is_marked = match self.find(&path::image(path::OWN, name))? {
            Some(dir) => dir.names().map_err(failed)?.next().is_some(),
            None => false,
        };
        let is_known = is_marked || !tags.is_empty();
        Ok(is_known.then(|| ImageRecord::new(name.clone(), tags)))
    }

    /// Runs a change that reads a record and then replaces it.
    fn change<T>(&self, change: impl FnOnce() -> T) -> T {
        // The lock protects no data in memory, so a panic of its holder can be ignored.
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        change()
    }
}

/// Reads the record in a file of this directory. A corrupt file is removed.
fn read<T>(
    dir: &Dir,
    name: &str,
    limit: u64,
    parse: impl FnOnce(&[u8]) -> Parsed<T>,
) -> Result<Option<T>, StoreError> {
    let parsed = match dir.read(name, limit) {
        Ok(Some(document)) => parse(&document),
        Ok(None) => return Ok(None),
        // A link, a pipe, or a file that is too large.
        Err(error) if error.kind() == StoreErrorKind::Hostile => Parsed::Corrupt,
        Err(error) => return Err(error),
    };
    match parsed {
        Parsed::Record(record) => Ok(Some(record)),
        Parsed::OtherVersion => Ok(None),
        Parsed::Corrupt => {
            let file = dir.path().join(name);
            match dir.remove(name) {
                Ok(()) => warn!(file = %file.display(), "removed a corrupt record"),
                Err(error) => debug!(%error, "cannot remove a corrupt record"),
            }
            Ok(None)
        }
    }
}

/// Calls `visit` with each directory in this one and its name, one at a time; other entries are
/// skipped.
fn each_dir(
    within: &Dir,
    mut visit: impl FnMut(&str, &Dir) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for name in within.names()? {
        let Ok(name) = name?.into_string() else {
            continue;
        };
        match within.dir(&name) {
            Ok(Some(dir)) => visit(&name, &dir)?,
            Ok(None) | Err(StoreError::NotADirectory { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Records for FileRecords {
    async fn content(&self, digest: &Digest) -> Result<Option<ContentRecord>, RecordsError> {
        let digest = digest.clone();
        self.run(move |files| files.content(&digest)).await
    }

    async fn put_content(&self, record: ContentRecord) -> Result<(), RecordsError> {
        self.run(move |files| {
            files.change(|| {
                let path = path::content(&record.digest);
                let known = files.content(&record.digest)?;
                let record = record.after(known.as_ref());
                files.write(&path, RECORD_LIMIT_BYTES, &Content::new(record))
            })
        })
        .await
    }

    async fn forget_content(&self, digest: &Digest) -> Result<(), RecordsError> {
        let path = path::content(digest);
        self.run(move |files| files.remove(&path)).await
    }

    async fn contains(&self, image: &ImageName, digest: &Digest) -> Result<bool, RecordsError> {
        let (image, digest) = (image.clone(), digest.clone());
        self.run(move |files| files.contains(&image, &digest)).await
    }

    async fn mark(&self, image: &ImageName, digest: &Digest) -> Result<(), RecordsError> {
        let (image, digest) = (image.clone(), digest.clone());
        self.run(move |files| files.mark(&image, &digest)).await
    }

    async fn unmark(&self, image: &ImageName, digest: &Digest) -> Result<(), RecordsError> {
        let path = path::mark(image, digest);
        self.run(move |files| files.remove(&path)).await
    }

    async fn tag(&self, image: &ImageName, tag: &Tag) -> Result<Option<TagRecord>, RecordsError> {
        let (image, tag) = (image.clone(), tag.clone());
        self.run(move |files| files.tag(&image, &tag)).await
    }

    async fn set_tag(
        &self,
        image: &ImageName,
        tag: &Tag,
        record: TagRecord,
    ) -> Result<(), RecordsError> {
        let (image, tag) = (image.clone(), tag.clone());
        self.run(move |files| {
            files.change(|| match record.after(files.tag(&image, &tag)?.as_ref()) {
                Some(record) => files.write_tag(&image, &tag, record),
                None => Ok(()),
            })
        })
        .await
    }

    async fn refresh_tag(
        &self,
        image: &ImageName,
        tag: &Tag,
        digest: &Digest,
        validated: Duration,
    ) -> Result<bool, RecordsError> {
        let (image, tag, digest) = (image.clone(), tag.clone(), digest.clone());
        self.run(move |files| {
            files.change(|| {
                let Some(mut record) = files.tag(&image, &tag)? else {
                    return Ok(false);
                };
                let is_same = record.refresh(&digest, validated);
                if is_same {
                    files.write_tag(&image, &tag, record)?;
                }
                Ok(is_same)
            })
        })
        .await
    }

    async fn drop_tag(&self, image: &ImageName, tag: &Tag) -> Result<(), RecordsError> {
        let path = path::tag(image, tag);
        self.run(move |files| files.change(|| files.remove(&path)))
            .await
    }

    async fn list(
        &self,
        image: &ImageName,
        key: &ListKey,
    ) -> Result<Option<ListRecord>, RecordsError> {
        let (path, key) = (path::list(image, key), key.clone());
        self.run(move |files| {
            files.read(&path, LIST_LIMIT_BYTES, |document| {
                List::read(document, &key)
            })
        })
        .await
    }

    async fn drop_list(&self, image: &ImageName, key: &ListKey) -> Result<(), RecordsError> {
        let path = path::list(image, key);
        self.run(move |files| files.change(|| files.remove(&path)))
            .await
    }

    async fn put_list(
        &self,
        image: &ImageName,
        key: &ListKey,
        record: ListRecord,
    ) -> Result<(), RecordsError> {
        let (path, list) = (path::list(image, key), List::new(key, record));
        self.run(move |files| files.write(&path, LIST_LIMIT_BYTES, &list))
            .await
    }

    async fn images(&self) -> Result<Vec<ImageName>, RecordsError> {
        self.run(|files| {
            let mut images = Vec::new();
            for top in [path::OWN, path::TAGS] {
                files.add_images(top, &mut images).map_err(failed)?;
            }
            images.sort_unstable();
            images.dedup();
            Ok(images)
        })
        .await
    }

    async fn image(&self, image: &ImageName) -> Result<Option<ImageRecord>, RecordsError> {
        let image = image.clone();
        self.run(move |files| files.image(&image)).await
    }
}
