//! Pulling an image in one call.

use std::num::NonZeroUsize;
use std::sync::Arc;

use longshore::Repository;
use longshore_model::{Descriptor, Manifest, Platform, TagOrDigest};
use longshore_store::MemoryStore;

use crate::cancellation::Cancellation;
use crate::copy::CopyOptions;
use crate::end::{End, LayoutEnd, LayoutEntry, MemoryEnd, RegistryEnd};
use crate::error::TransferError;
use crate::observer::Observer;
use crate::plan::Plan;
use crate::platform::Platforms;
use crate::run::{RunOptions, Tally, unless_cancelled};

/// What to pull, and how.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PullOptions {
    /// Which images of an index are pulled; by default the one for this machine.
    pub platforms: Platforms,
    /// How the blobs are moved.
    pub run: RunOptions,
}

impl PullOptions {
    /// Chooses the images of an index.
    #[must_use]
    pub fn with_platforms(mut self, platforms: Platforms) -> Self {
        self.platforms = platforms;
        self
    }

    /// Sets the maximum number of large blobs that move concurrently; see [`RunOptions::jobs`].
    #[must_use]
    pub fn with_jobs(mut self, jobs: NonZeroUsize) -> Self {
        self.run.jobs = jobs;
        self
    }

    /// Reports the events of the run to this observer.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Observer + 'static) -> Self {
        self.run.observer = Some(Arc::new(observer));
        self
    }

    /// Sets whether blobs that the destination has already are reused without being hashed; see
    /// [`RunOptions::trust_existing`].
    #[must_use]
    pub fn with_trust_existing(mut self, trust: bool) -> Self {
        self.run.trust_existing = trust;
        self
    }

    /// Ends the pull early when this is cancelled; keep a clone to cancel it.
    #[must_use]
    pub fn with_cancellation(mut self, cancellation: Cancellation) -> Self {
        self.run.cancellation = cancellation;
        self
    }
}

/// The result of a pull.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The manifest that was pulled: an image manifest, or the index if all platforms were.
    pub manifest: Manifest,
    /// The platform that was chosen or checked, if any.
    pub platform: Option<Platform>,
    /// What was moved.
    pub tally: Tally,
}

impl Report {
    /// Returns the layers in the order of the manifest, lowest first. There are none if an index
    /// was pulled: [`stored_manifest`](crate::stored_manifest) reads the manifests it lists.
    #[must_use]
    pub fn layers(&self) -> &[Descriptor] {
        match self.manifest.document().as_image() {
            Some(image) => &image.layers,
            None => &[],
        }
    }

    /// Returns the config, unless an index was pulled.
    #[must_use]
    pub fn config(&self) -> Option<&Descriptor> {
        let image = self.manifest.document().as_image()?;
        Some(&image.config)
    }
}

/// Pulls an image or artifact, by tag or digest, into a layout or into memory.
///
/// In order: the manifest is fetched and the platform chosen; only then is a layout created or
/// opened; manifests and blobs are written to it, each verified before it is visible; the entry in
/// its index comes last. Existing content of the destination is hashed, unless an earlier pull
/// recorded that it was verified and its file has not changed. If it is right, it is not moved; if
/// it is wrong, it is replaced (DG10: all content that a pull refers to was verified).
///
/// Must be called on a tokio runtime with its blocking pool. A [cancelled](RunOptions) pull ends
/// after the threads that move blobs have ended; a thread that waits for the lock of the layout, or
/// makes its files durable, ends a moment later. Dropping a pull tells its threads to stop. The
/// layout is valid at every moment, with or without the new entry, and the next pull moves only
/// what is missing.
///
/// # Errors
///
/// [`TransferError`] sorted by who must act; see [`TransferError::kind`].
pub async fn pull(
    repository: &Repository,
    target: &TagOrDigest,
    destination: impl Into<Destination>,
    options: &PullOptions,
) -> Result<Report, TransferError> {
    let source: Arc<dyn End> = Arc::new(RegistryEnd::new(repository.clone(), target.clone()));
    let destination = destination.into().into_end();
    let copy = CopyOptions {
        platforms: options.platforms.clone(),
        run: options.run.clone(),
        ..CopyOptions::default()
    };
    let planning = Plan::make(source, vec![destination], &copy);
    let mut plan = unless_cancelled(&options.run, planning).await?;
    // A plan that is not to skip existing images has read the manifest.
    let manifest = plan.take_manifest().ok_or(TransferError::Closed)?;
    let platform = plan.platform().cloned();
    let mut reports = plan.run(&options.run).await?;
    let report = reports.pop().ok_or(TransferError::Closed)?;
    Ok(Report {
        manifest,
        platform,
        tally: report.tally,
    })
}

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

impl Destination {
    fn into_end(self) -> Arc<dyn End> {
        match self {
            Self::Layout(entry) => Arc::new(LayoutEnd::new(entry)),
            Self::Memory(store) => Arc::new(MemoryEnd::new(store)),
        }
    }
}
