//! Pulls images and artifacts into OCI image layouts and into memory.
//!
//! [`pull`] does it in one call: it chooses the image for a platform, plans what is missing, moves
//! each blob once, verifies every byte before it is visible, and names the image last. Large blobs
//! are resumed where an earlier run stopped, whatever stopped it.
//!
//! The parts are public too. A [`Plan`] is a value that says what is missing before it runs. A run
//! reports to an [`Observer`] and ends early by a [`Cancellation`]. [`resolve`],
//! [`select_platform`], [`fetch_config`] and [`Referrers`] read what surrounds an image.
//!
//! What is left to the caller: a [`Repository`](longshore::Repository), a tokio runtime with its
//! blocking pool (a current-thread runtime is the fastest), and what becomes of the content.
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
    JOURNAL_ENTRY_LIMIT_BYTES, JOURNAL_LIFETIME, Journal, JournalEntry, JournalError, UploadKey,
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
mod journal;
mod observer;
mod plan;
mod platform;
mod preflight;
mod pull;
mod referrers;
mod resolve;
mod run;
mod tee;
