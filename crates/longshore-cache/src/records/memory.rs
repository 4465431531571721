//! Records in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_model::{Digest, Tag};

use super::{ContentRecord, ImageRecord, ListKey, ListRecord, Records, RecordsError, TagRecord};
use crate::name::ImageName;

/// Keeps records in memory, without a limit on their number.
#[derive(Default)]
pub struct MemoryRecords {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    content: HashMap<Digest, ContentRecord>,
    images: BTreeMap<ImageName, Image>,
}

#[derive(Default)]
struct Image {
    marks: HashSet<Digest>,
    tags: BTreeMap<Tag, TagRecord>,
    lists: HashMap<ListKey, ListRecord>,
}

impl Image {
    fn is_known(&self) -> bool {
        !self.marks.is_empty() || !self.tags.is_empty()
    }
}

impl MemoryRecords {
    /// Starts without records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one call of a collection, so the state is consistent after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the state of a repository; `None` if it is unknown.
    fn read<T>(&self, image: &ImageName, read: impl FnOnce(&Image) -> Option<T>) -> Option<T> {
        self.state().images.get(image).and_then(read)
    }

    fn change<T>(&self, image: &ImageName, change: impl FnOnce(&mut Image) -> T) -> T {
        change(self.state().images.entry(image.clone()).or_default())
    }
}

impl fmt::Debug for MemoryRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MemoryRecords")
            .field("content", &state.content.len())
            .field("images", &state.images.len())
            .finish()
    }
}

impl Records for MemoryRecords {
    async fn content(&self, digest: &Digest) -> Result<Option<ContentRecord>, RecordsError> {
        Ok(self.state().content.get(digest).cloned())
    }

    async fn put_content(&self, record: ContentRecord) -> Result<(), RecordsError> {
        let mut state = self.state();
        let known = state.content.get(&record.digest);
        let record = record.after(known);
        state.content.insert(record.digest.clone(), record);
        Ok(())
    }

    async fn forget_content(&self, digest: &Digest) -> Result<(), RecordsError> {
        self.state().content.remove(digest);
        Ok(())
    }

    async fn contains(&self, image: &ImageName, digest: &Digest) -> Result<bool, RecordsError> {
        let found = self.read(image, |image| Some(image.marks.contains(digest)));
        Ok(found.unwrap_or(false))
    }

    async fn mark(&self, image: &ImageName, digest: &Digest) -> Result<(), RecordsError> {
        self.change(image, |image| image.marks.insert(digest.clone()));
        Ok(())
    }

    async fn unmark(&self, image: &ImageName, digest: &Digest) -> Result<(), RecordsError> {
        self.change(image, |image| image.marks.remove(digest));
        Ok(())
    }

    async fn tag(&self, image: &ImageName, tag: &Tag) -> Result<Option<TagRecord>, RecordsError> {
        Ok(self.read(image, |image| image.tags.get(tag).cloned()))
    }

    async fn set_tag(
        &self,
        image: &ImageName,
        tag: &Tag,
        record: TagRecord,
    ) -> Result<(), RecordsError> {
        self.change(image, |image| {
            if let Some(record) = record.after(image.tags.get(tag)) {
                image.tags.insert(tag.clone(), record);
            }
        });
        Ok(())
    }

    async fn refresh_tag(
        &self,
        image: &ImageName,
        tag: &Tag,
        digest: &Digest,
        validated: Duration,
    ) -> Result<bool, RecordsError> {
        let refresh = |image: &mut Image| {
            let known = image.tags.get_mut(tag);
            known.is_some_and(|known| known.refresh(digest, validated))
        };
        Ok(self.change(image, refresh))
    }

    async fn drop_tag(&self, image: &ImageName, tag: &Tag) -> Result<(), RecordsError> {
        self.change(image, |image| image.tags.remove(tag));
        Ok(())
    }

    async fn list(
        &self,
        image: &ImageName,
        key: &ListKey,
    ) -> Result<Option<ListRecord>, RecordsError> {
        Ok(self.read(image, |image| image.lists.get(key).cloned()))
    }

    async fn drop_list(&self, image: &ImageName, key: &ListKey) -> Result<(), RecordsError> {
        self.change(image, |image| image.lists.remove(key));
        Ok(())
    }

    async fn put_list(
        &self,
        image: &ImageName,
        key: &ListKey,
        record: ListRecord,
    ) -> Result<(), RecordsError> {
        self.change(image, |image| image.lists.insert(key.clone(), record));
        Ok(())
    }

    async fn images(&self) -> Result<Vec<ImageName>, RecordsError> {
        let state = self.state();
        let known = state.images.iter().filter(|(_, image)| image.is_known());
        Ok(known.map(|(name, _)| name.clone()).collect())
    }

    async fn image(&self, name: &ImageName) -> Result<Option<ImageRecord>, RecordsError> {
        Ok(self.read(name, |image| {
            let tags = image.tags.iter();
            let tags = tags.map(|(tag, record)| (tag.clone(), record.clone()));
            let record = ImageRecord::new(name.clone(), tags.collect());
            image.is_known().then_some(record)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::conformance;

    #[tokio::test]
    async fn memory_follows_the_rules_of_all_drivers() {
        conformance::check(MemoryRecords::new).await;
    }
}
