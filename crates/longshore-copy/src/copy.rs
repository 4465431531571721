//! Copying an image in one call.

use std::sync::Arc;

use longshore_model::{Digest, Platform};

use crate::end::End;
use crate::error::TransferError;
use crate::plan::Plan;
use crate::platform::Platforms;
use crate::run::{DestinationReport, RunOptions, unless_cancelled};

/// The options of a copy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CopyOptions {
    /// Which images of an index are copied; by default all.
    pub platforms: Platforms,
    /// Whether to also copy the manifests that refer to the image and to the images in it, the
    /// referrers of these, and what other programs put under tags such as `sha256-….sig`.
    pub referrers: bool,
    /// Whether to skip a destination that has the image under its name. Only the name is checked,
    /// and nothing below the image.
    pub skip_existing: bool,
    /// Whether to copy foreign layers, whose media type says that they may not be distributed
    /// (RD6).
    pub foreign_layers: bool,
    /// Whether the plan is only inspected: making it writes nothing, and it looks for every blob.
    pub dry_run: bool,
    /// How the blobs are moved.
    pub run: RunOptions,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            platforms: Platforms::All,
            referrers: false,
            skip_existing: false,
            foreign_layers: false,
            dry_run: false,
            run: RunOptions::default(),
        }
    }
}

/// The result of a copy.
#[derive(Debug)]
#[non_exhaustive]
pub struct CopyReport {
    /// The digest of the image at the destinations.
    pub digest: Digest,
    /// The platform that was chosen or checked, if any.
    pub platform: Option<Platform>,
    /// Whether the image at the destinations is a new index with a digest of its own.
    pub new_index: bool,
    /// Number of foreign layers that were left out (RD6).
    pub foreign_layers: u64,
    /// The result at each destination, in the order of the destinations.
    pub destinations: Vec<DestinationReport>,
}

/// Copies an image or artifact from one end to others.
///
/// In this order: the manifests are read, and the copy finds out what each destination lacks (see
/// [`Plan::make`]); blobs are moved, each read once from the source; manifests are written from the
/// bottom up; the name comes last. Digests do not change, unless a new index was requested. If an
/// interrupted copy is repeated, it moves only what is missing.
///
/// Must be called on a tokio runtime with its blocking pool. Dropping it leaves nothing visible
/// that is not complete and verified.
///
/// # Errors
///
/// As [`Plan::make`] and [`Plan::run`]. With several destinations, the error of one that failed is
/// in the report.
pub async fn copy(
    source: Arc<dyn End>,
    destinations: Vec<Arc<dyn End>>,
    options: &CopyOptions,
) -> Result<CopyReport, TransferError> {
    let planning = Plan::make(source, destinations, options);
    let plan = unless_cancelled(&options.run, planning).await?;
    let (digest, platform) = (plan.digest().clone(), plan.platform().cloned());
    let (new_index, foreign_layers) = (plan.is_new_index(), plan.foreign_layers());
    let destinations = plan.run(&options.run).await?;
    Ok(CopyReport {
        digest,
        platform,
        new_index,
        foreign_layers,
        destinations,
    })
}
