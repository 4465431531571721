//! Copies images and artifacts between registries, OCI image layouts and memory.
//!
//! [`copy`] does it in one call: it plans what each destination lacks, moves each blob once, even
//! if several manifests and destinations share it, and makes the name of the image visible last.
//! Digests do not change. A repeated copy does not move again what an interrupted one has moved:
//! downloads are resumed where they stopped, and so are uploads, if the destination has a
//! [`Journal`]. [`pull`] copies the image for one platform from a registry to a layout or to
//! memory.
//!
//! The parts are public too. An [`End`] is a place that images are copied from or to; the crate has
//! [`RegistryEnd`], [`LayoutEnd`] and [`MemoryEnd`], and [`EndName`] parses the name of an end. A
//! [`Plan`] can be inspected before it runs: it says what exists, what is mounted and what is
//! moved. A run reports to an [`Observer`], and a [`Cancellation`] ends it early. [`resolve`],
//! [`select_platform`], [`fetch_config`] and [`Referrers`] read what surrounds an image.
//!
//! What is left to the caller: a [`Repository`](longshore::Repository) for each registry, a tokio
//! runtime with its blocking pool (a current-thread runtime is the fastest), and what becomes of
//! the content.
//!
//! From one registry to another and to a layout, inspecting the plan first:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use longshore::Client;
//! use longshore_copy::{CopyOptions, End, LayoutEnd, LayoutEntry, Plan, RegistryEnd};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder().build()?;
//! let source = RegistryEnd::open(&client, &"ghcr.io/owner/app:v1".parse()?).await?;
//! let registry = RegistryEnd::open(&client, &"registry.example/app:v1".parse()?).await?;
//! let layout = LayoutEnd::new(LayoutEntry::new("images").named("v1"));
//! let destinations: Vec<Arc<dyn End>> = vec![Arc::new(registry), Arc::new(layout)];
//!
//! let options = CopyOptions::default();
//! let plan = Plan::make(Arc::new(source), destinations, &options).await?;
//! for destination in plan.destinations() {
//!     let (name, bytes) = (destination.end().name(), destination.missing_bytes());
//!     println!("{name} lacks {bytes} bytes");
//! }
//! for report in plan.run(&options.run).await? {
//!     match report.error {
//!         None => println!("{} has the image: {:?}", report.name, report.tally),
//!         Some(error) => println!("{} was given up: {error}", report.name),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Into memory, with the layers in the order of the manifest:
//!
//! ```no_run
//! use longshore::Client;
//! use longshore::model::Reference;
//! use longshore_copy::{MemoryStore, PullOptions, pull};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let reference: Reference = "ghcr.io/owner/app:v1".parse()?;
//! let repository = Client::builder().build()?.repository(&reference).await?;
//!
//! let store = MemoryStore::with_limit_bytes(1 << 30);
//! let options = PullOptions::default();
//! let image = pull(&repository, &reference.target(), &store, &options).await?;
//! for layer in image.layers() {
//!     let bytes = store.bytes(&layer.digest)?.ok_or("pulled, so it is there")?;
//!     println!("{} {} bytes", layer.media_type, bytes.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Into a layout on disk, for all platforms:
//!
//! ```no_run
//! use longshore::Client;
//! use longshore::model::Reference;
//! use longshore_copy::layout::Layout;
//! use longshore_copy::store::Store as _;
//! use longshore_copy::{LayoutEntry, Platforms, PullOptions, pull};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let reference: Reference = "alpine:3.20".parse()?;
//! let repository = Client::builder().build()?.repository(&reference).await?;
//!
//! let options = PullOptions::default().with_platforms(Platforms::All);
//! let entry = LayoutEntry::new("images").named("3.20");
//! let image = pull(&repository, &reference.target(), entry, &options).await?;
//! println!("{} with {} bytes", image.manifest.digest(), image.tally.bytes);
//!
//! // Later, any blob of it is read by its digest.
//! let mut index = Vec::new();
//! let mut reader = Layout::open("images".as_ref())?.store().open(image.manifest.digest())?;
//! std::io::copy(&mut reader, &mut index)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! None. The transport is the one that the client was built with.
//!
//! Ids such as RT1 name the rules in the project's `RULES.md`.

pub use longshore_layout as layout;
pub use longshore_store as store;
pub use longshore_store::{Durability, MemoryStore};

pub use crate::cancellation::Cancellation;
pub use crate::config::{check_config_platform, fetch_config};
pub use crate::copy::{CopyOptions, CopyReport, copy};
pub use crate::digest_tag::{DigestTag, DigestTagKind};
pub use crate::end::{
    BlobOutcome, BlobPut, End, EndFuture, LayoutEnd, LayoutEntry, MemoryEnd, PublishedName,
    RawManifest, RegistryEnd, TakeManifest,
};
pub use crate::end_name::{END_NAME_LIMIT_BYTES, EndName, EndNameError, LayoutName};
pub use crate::error::{TransferError, TransferErrorKind};
pub use crate::journal::{
    JOURNAL_ENTRY_LIMIT_BYTES, JOURNAL_LIFETIME, Journal, JournalEntry, JournalError, JournalLock,
    UploadKey,
};
pub use crate::observer::{ByteCounter, Event, Observer};
pub use crate::plan::{
    BlobAction, DESCRIPTORS_LIMIT, MANIFESTS_LIMIT_BYTES, Plan, PlannedBlob, PlannedDestination,
    PlannedManifest, stored_manifest,
};
pub use crate::platform::{Platforms, Subset, host_platform, select_platform};
pub use crate::preflight::{Concern, PORTABLE_MANIFEST_BYTES, preflight};
pub use crate::pull::{Destination, PullOptions, Report, pull};
pub use crate::referrers::{
    REFERRERS_DEPTH_LIMIT, REFERRERS_LIMIT, Referrer, Referrers, ReferrersSource,
};
pub use crate::resolve::resolve;
pub use crate::run::{DestinationReport, RunOptions, Tally};

mod cancellation;
mod config;
mod content;
mod copy;
mod digest_tag;
mod end;
mod end_name;
mod error;
mod failures;
mod in_order;
mod journal;
mod observer;
mod patience;
mod plan;
mod platform;
mod preflight;
mod pull;
mod referrers;
mod resolve;
mod run;
mod tee;
