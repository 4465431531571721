//! The trait of drivers of records, its error, and a handle that hides the type of a driver.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use longshore_model::{Digest, Tag};

use super::{ContentRecord, ImageRecord, ListKey, ListRecord, TagRecord};
use crate::name::ImageName;

/// Stores what a cache knows about content.
///
/// Records are facts that can be observed again. Absence is a result and not an error: a driver
/// that can no longer read a record, or removed it to bound their number, may report it as absent.
/// Each call is atomic: a reader sees the
/// record as it was before or after the call. Every later call in the same process sees a written
/// record, and so do calls after a restart. After a crash of the process or the machine, the last
/// records may be missing.
///
/// The module `conformance` tests these rules (feature `conformance`).
///
/// # Examples
///
/// A custom driver over a table in memory, which stores no tags and no lists:
///
/// ```
/// use std::collections::{HashMap, HashSet};
/// use std::sync::Mutex;
/// use std::time::Duration;
///
/// use longshore_cache::ImageName;
/// use longshore_cache::records::{
///     ContentRecord, DynRecords, ImageRecord, ListKey, ListRecord, Records, RecordsError,
///     TagRecord,
/// };
/// use longshore_model::{Digest, Tag};
///
/// #[derive(Default)]
/// struct Table {
///     content: Mutex<HashMap<Digest, ContentRecord>>,
///     marks: Mutex<HashSet<(ImageName, Digest)>>,
/// }
///
/// fn lock<T>(table: &Mutex<T>) -> Result<std::sync::MutexGuard<'_, T>, RecordsError> {
///     table.lock().map_err(|_| RecordsError::new("a writer panicked", None))
/// }
///
/// impl Records for Table {
///     async fn content(&self, digest: &Digest) -> Result<Option<ContentRecord>, RecordsError> {
///         Ok(lock(&self.content)?.get(digest).cloned())
///     }
///
///     async fn put_content(&self, record: ContentRecord) -> Result<(), RecordsError> {
///         let mut content = lock(&self.content)?;
///         let known = content.get(&record.digest);
///         let record = record.after(known);
///         content.insert(record.digest.clone(), record);
///         Ok(())
///     }
///
///     async fn forget_content(&self, digest: &Digest) -> Result<(), RecordsError> {
///         lock(&self.content)?.remove(digest);
///         Ok(())
///     }
///
///     async fn contains(&self, image: &ImageName, digest: &Digest) -> Result<bool, RecordsError> {
///         Ok(lock(&self.marks)?.contains(&(image.clone(), digest.clone())))
///     }
///
///     async fn mark(&self, image: &ImageName, digest: &Digest) -> Result<(), RecordsError> {
///         lock(&self.marks)?.insert((image.clone(), digest.clone()));
///         Ok(())
///     }
///
///     async fn unmark(&self, image: &ImageName, digest: &Digest) -> Result<(), RecordsError> {
///         lock(&self.marks)?.remove(&(image.clone(), digest.clone()));
///         Ok(())
///     }
///
///     async fn tag(&self, _: &ImageName, _: &Tag) -> Result<Option<TagRecord>, RecordsError> {
///         Ok(None)
///     }
///
///     async fn set_tag(&self, _: &ImageName, _: &Tag, _: TagRecord) -> Result<(), RecordsError> {
///         Ok(())
///     }
///
///     async fn refresh_tag(
///         &self,
///         _: &ImageName,
///         _: &Tag,
///         _: &Digest,
///         _: Duration,
///     ) -> Result<bool, RecordsError> {
///         Ok(false)
///     }
///
///     async fn drop_tag(&self, _: &ImageName, _: &Tag) -> Result<(), RecordsError> {
///         Ok(())
///     }
///
///     async fn drop_list(&self, _: &ImageName, _: &ListKey) -> Result<(), RecordsError> {
///         Ok(())
///     }
///
///     async fn list(
///         &self,
///         _: &ImageName,
///         _: &ListKey,
///     ) -> Result<Option<ListRecord>, RecordsError> {
///         Ok(None)
///     }
///
///     async fn put_list(
///         &self,
///         _: &ImageName,
///         _: &ListKey,
///         _: ListRecord,
///     ) -> Result<(), RecordsError> {
///         Ok(())
///     }
///
///     async fn images(&self) -> Result<Vec<ImageName>, RecordsError> {
///         let marks = lock(&self.marks)?;
///         let mut images: Vec<_> = marks.iter().map(|(image, _)| image.clone()).collect();
///         images.sort();
///         images.dedup();
///         Ok(images)
///     }
///
///     async fn image(&self, image: &ImageName) -> Result<Option<ImageRecord>, RecordsError> {
///         let is_known = self.images().await?.contains(image);
///         Ok(is_known.then(|| ImageRecord::new(image.clone(), Vec::new())))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let records = DynRecords::new(Table::default());
/// let image = ImageName::new("quay.io".parse()?, "prometheus/busybox".parse()?);
/// let digest = Digest::sha256(b"layer");
/// records.mark(&image, &digest).await?;
/// assert!(records.contains(&image, &digest).await?);
/// assert_eq!(records.images().await?, [image]);
/// # Ok(())
/// # }
/// ```
pub trait Records: Send + Sync + 'static {
    /// Returns the record of a blob or manifest, if there is one.
    ///
    /// # Errors
    ///
    /// The driver cannot find out whether there is one.
    fn content(
        &self,
        digest: &Digest,
    ) -> impl Future<Output = Result<Option<ContentRecord>, RecordsError>> + Send;

    /// Records a blob or manifest. It replaces an earlier record, with the times of
    /// [`ContentRecord::after`].
    ///
    /// # Errors
    ///
    /// The record was not written; the earlier one may still exist.
    fn put_content(
        &self,
        record: ContentRecord,
    ) -> impl Future<Output = Result<(), RecordsError>> + Send;

    /// Removes the record of a blob or manifest. An absent record is not an error. Marks and tags
    /// stay: the content can be fetched again.
    ///
    /// # Errors
    ///
    /// The record may still be there.
    fn forget_content(
        &self,
        digest: &Digest,
    ) -> impl Future<Output = Result<(), RecordsError>> + Send;

    /// Returns whether an upstream answer proved that this repository contains this digest (CA6).
    ///
    /// # Errors
    ///
    /// The driver cannot read it.
    fn contains(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> impl Future<Output = Result<bool, RecordsError>> + Send;

    /// Records that an upstream answer proved that this repository contains this digest (CA6).
    ///
    /// # Errors
    ///
    /// The mark was not written.
    fn mark(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> impl Future<Output = Result<(), RecordsError>> + Send;

    /// Removes a mark. An absent mark is not an error.
    ///
    /// # Errors
    ///
    /// The mark may still be there.
    fn unmark(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> impl Future<Output = Result<(), RecordsError>> + Send;

    /// Returns the last answer of the upstream about a tag, if it is known.
    ///
    /// # Errors
    ///
    /// The driver cannot read it.
    fn tag(
        &self,
        image: &ImageName,
        tag: &Tag,
    ) -> impl Future<Output = Result<Option<TagRecord>, RecordsError>> + Send;

    /// Records an answer of the upstream about a tag.
    ///
    /// A tag never moves back (CA8): a record that was validated before the stored one is ignored,
    /// as [`TagRecord::after`] says. To replace a record whose time is in the future, because the
    /// clock was wrong, remove it first.
    ///
    /// # Errors
    ///
    /// The record was not written; the earlier one may still exist.
    fn set_tag(
        &self,
        image: &ImageName,
        tag: &Tag,
        record: TagRecord,
    ) -> impl Future<Output = Result<(), RecordsError>> + Send;

    /// Records that the upstream confirmed at this Unix time that a tag still names this manifest.
    ///
    /// If the tag is unknown or names another manifest, nothing changes, and the result is `false`.
    ///
    /// # Errors
    ///
    /// The time may not have changed.
    fn refresh_tag(
        &self,
        image: &ImageName,
        tag: &Tag,
        digest: &Digest,
        validated: Duration,
    ) -> impl Future<Output = Result<bool, RecordsError>> + Send;

    /// Removes a tag. An absent tag is not an error. Content and marks stay.
    ///
    /// # Errors
    ///
    /// The tag may still be there.
    fn drop_tag(
        &self,
        image: &ImageName,
        tag: &Tag,
    ) -> impl Future<Output = Result<(), RecordsError>> + Send;

    /// Removes a list. An absent list is not an error.
    ///
    /// # Errors
    ///
    /// The list may still be there.
    fn drop_list(
        &self,
        image: &ImageName,
        key: &ListKey,
    ) -> impl Future<Output = Result<(), RecordsError>> + Send;

    /// Returns a list of a repository, if it is known.
    ///
    /// # Errors
    ///
    /// The driver cannot read it.
    fn list(
        &self,
        image: &ImageName,
        key: &ListKey,
    ) -> impl Future<Output = Result<Option<ListRecord>, RecordsError>> + Send;

    /// Records a list of a repository, and replaces the earlier one.
    ///
    /// # Errors
    ///
    /// The list was not written, for example because it is too long.
    fn put_list(
        &self,
        image: &ImageName,
        key: &ListKey,
        record: ListRecord,
    ) -> impl Future<Output = Result<(), RecordsError>> + Send;

    /// Returns every repository that has a mark or a tag, sorted.
    ///
    /// # Errors
    ///
    /// The driver cannot list them.
    fn images(&self) -> impl Future<Output = Result<Vec<ImageName>, RecordsError>> + Send;

    /// Returns a repository with its tags; `None` if it has neither a mark nor a tag.
    ///
    /// # Errors
    ///
    /// The driver cannot read them.
    fn image(
        &self,
        image: &ImageName,
    ) -> impl Future<Output = Result<Option<ImageRecord>, RecordsError>> + Send;
}

/// Why records could not be read or written. A missing record is not an error.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct RecordsError {
    what: Box<str>,
    source: Option<Cause>,
}

type Cause = Box<dyn Error + Send + Sync>;

impl RecordsError {
    /// Makes an error from the failed operation and its cause.
    #[must_use]
    pub fn new(what: &str, source: Option<Cause>) -> Self {
        Self {
            what: what.into(),
            source,
        }
    }
}

/// Records of any driver, behind a pointer. Cheap to clone.
#[derive(Clone)]
pub struct DynRecords(Arc<dyn Erased>);

impl DynRecords {
    /// Hides the type of a driver.
    pub fn new(records: impl Records) -> Self {
        Self(Arc::new(records))
    }
}

impl fmt::Debug for DynRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynRecords").finish_non_exhaustive()
    }
}

type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, RecordsError>> + Send + 'a>>;

/// Declares each method twice: in a form that is dyn-compatible, and as a call of that form.
/// Arguments in brackets are borrowed, arguments in parentheses are owned.
macro_rules! erase {
    ($(
        $method:ident [$($by:ident: $by_type:ty),*] ($($own:ident: $own_type:ty),*) -> $out:ty;
    )*) => {
        /// The dyn-compatible form of `Records`.
        trait Erased: Send + Sync {
            $(fn $method<'a>(
                &'a self, $($by: &'a $by_type,)* $($own: $own_type,)*
            ) -> Pending<'a, $out>;)*
        }

        impl<R: Records> Erased for R {
            $(fn $method<'a>(
                &'a self, $($by: &'a $by_type,)* $($own: $own_type,)*
            ) -> Pending<'a, $out> {
                Box::pin(Records::$method(self, $($by,)* $($own,)*))
            })*
        }

        impl DynRecords {
            $(
                #[doc = concat!("As [`Records::", stringify!($method), "`].")]
                ///
                /// # Errors
                ///
                /// The errors of the driver.
                pub async fn $method(
                    &self, $($by: &$by_type,)* $($own: $own_type,)*
                ) -> Result<$out, RecordsError> {
                    Erased::$method(self.0.as_ref(), $($by,)* $($own,)*).await
                }
            )*
        }

        impl Records for DynRecords {
            $(async fn $method(
                &self, $($by: &$by_type,)* $($own: $own_type,)*
            ) -> Result<$out, RecordsError> {
                Self::$method(self, $($by,)* $($own,)*).await
            })*
        }
    };
}

erase! {
    content[digest: Digest]() -> Option<ContentRecord>;
    put_content[](record: ContentRecord) -> ();
    forget_content[digest: Digest]() -> ();
    contains[image: ImageName, digest: Digest]() -> bool;
    mark[image: ImageName, digest: Digest]() -> ();
    unmark[image: ImageName, digest: Digest]() -> ();
    tag[image: ImageName, tag: Tag]() -> Option<TagRecord>;
    set_tag[image: ImageName, tag: Tag](record: TagRecord) -> ();
    refresh_tag[image: ImageName, tag: Tag, digest: Digest](validated: Duration) -> bool;
    drop_tag[image: ImageName, tag: Tag]() -> ();
    drop_list[image: ImageName, key: ListKey]() -> ();
    list[image: ImageName, key: ListKey]() -> Option<ListRecord>;
    put_list[image: ImageName, key: ListKey](record: ListRecord) -> ();
    images[]() -> Vec<ImageName>;
    image[image: ImageName]() -> Option<ImageRecord>;
}
