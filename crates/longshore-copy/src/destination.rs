//! Where a pull writes.

use std::path::PathBuf;
use std::sync::Arc;

use longshore_layout::Layout;
use longshore_model::Descriptor;
use longshore_store::{Durability, Interrupt, MemoryStore, Store};

use crate::cancellation::blocking;
use crate::error::TransferError;

/// Where a pull writes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Destination {
    /// An entry of an OCI image layout on disk.
    Layout(LayoutEntry),
    /// Memory. The sizes of blobs are chosen by the registry, so give the store a limit
    /// ([`MemoryStore::with_limit_bytes`]) unless the registry is trusted.
    Memory(MemoryStore),
}

impl From<LayoutEntry> for Destination {
    fn from(entry: LayoutEntry) -> Self {
        Self::Layout(entry)
    }
}

impl From<MemoryStore> for Destination {
    fn from(store: MemoryStore) -> Self {
        Self::Memory(store)
    }
}

/// Writes to this store, which the caller keeps.
impl From<&MemoryStore> for Destination {
    fn from(store: &MemoryStore) -> Self {
        Self::Memory(store.clone())
    }
}

/// The entry that an image gets in a layout directory.
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

    /// Gives the image this name, taking it from the image that had it.
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

/// A destination that is ready to be written to.
pub(crate) enum OpenDestination {
    Layout {
        layout: Layout,
        name: Option<String>,
    },
    Memory(MemoryStore),
}

impl Destination {
    /// Creates or opens the layout. Waits for its lock on a thread of the blocking pool, because
    /// another process may hold the lock.
    pub(crate) async fn open(self) -> Result<OpenDestination, TransferError> {
        let entry = match self {
            Self::Layout(entry) => entry,
            Self::Memory(store) => return Ok(OpenDestination::Memory(store)),
        };
        blocking(move |interrupt| {
            let LayoutEntry {
                path,
                name,
                durability,
            } = entry;
            let layout = Layout::create_or_open_interruptible(&path, durability, interrupt)?;
            // Later calls on the layout have their own interrupts.
            let layout = layout.with_interrupt(&Interrupt::new());
            Ok::<_, TransferError>(OpenDestination::Layout { layout, name })
        })
        .await
    }
}

impl OpenDestination {
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Layout { layout, .. } => Arc::new(layout.store().clone()),
            Self::Memory(store) => Arc::new(store.clone()),
        }
    }

    /// Makes the image visible, after all of its blobs were written. Making them durable may take
    /// a while and blocks, so it happens on a thread that may block.
    pub(crate) async fn publish(self, image: Descriptor) -> Result<(), TransferError> {
        let Self::Layout { layout, name } = self else {
            return Ok(());
        };
        blocking(move |interrupt| {
            let layout = layout.with_interrupt(interrupt);
            match name {
                Some(name) => layout.tag(&name, image)?,
                None => layout.add(image)?,
            }
            // Best effort: without the record, the next pull hashes the blobs that it reuses.
            let _ = layout.store().record_verified();
            Ok::<_, TransferError>(())
        })
        .await
    }
}
