//! Pulling an image in one call.

use std::num::NonZeroUsize;
use std::sync::Arc;

use longshore::Repository;
use longshore_model::{Descriptor, Manifest, Platform, TagOrDigest};

use crate::cancellation::Cancellation;
use crate::destination::Destination;
use crate::error::TransferError;
use crate::observer::Observer;
use crate::plan::Plan;
use crate::platform::Platforms;
use crate::run::{RunOptions, Tally};

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
    let destination = destination.into();
    let run = &options.run;
    let planning = async {
        let first = repository.manifest(target).await?.manifest;
        let (manifest, platform) = options.platforms.choose(repository, first).await?;
        let opened = destination.open().await?;
        let plan = Plan::make(repository, opened.store(), &manifest).await?;
        Ok((manifest, platform, opened, plan))
    };
    let (manifest, platform, opened, plan) = unless_cancelled(run, planning).await?;
    let tally = plan.run(run).await?;
    unless_cancelled(run, opened.publish(manifest.descriptor())).await?;
    Ok(Report {
        manifest,
        platform,
        tally,
    })
}

async fn unless_cancelled<T>(
    options: &RunOptions,
    work: impl Future<Output = Result<T, TransferError>>,
) -> Result<T, TransferError> {
    tokio::select! {
        biased;
        () = options.cancellation.cancelled() => Err(TransferError::Cancelled),
        result = work => result,
    }
}
