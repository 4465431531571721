//! A read-through cache for OCI registries.
//!
//! [`CacheService`] answers the reads of the distribution specification for many registries, its
//! *upstreams*, behind one address. It fetches content that it does not have, and one transfer
//! serves any number of clients while it arrives. It stores only verified content. While an
//! upstream is slow, refuses requests or is down, the cache answers from stored content.
//!
//! The service is a [`tower_service::Service`] without a listener and without global state, for any
//! HTTP server. A program chooses its parts:
//!
//! | part | decides | drivers |
//! | --- | --- | --- |
//! | [`Router`] | which upstream an image belongs to | |
//! | [`Upstream`] | how a registry is reached: URL, credentials, mirrors, transport | |
//! | [`BoundedStore`] | how much content is kept | any `longshore_store::Store`: files, memory |
//! | [`Records`] | where facts about tags are kept | [`FileRecords`], [`MemoryRecords`] |
//! | [`Fills`] | maximum number of concurrent blob transfers; services can share it | |
//! | [`Freshness`], [`UpstreamPolicy`] | how long tags are used without asking the upstream | |
//! | [`Observer`] | receives events, for metrics and logs | `server::Metrics` |
//! | `Clock` | the time | `longshore::hyper::TokioClock` |
//!
//! # Example
//!
//! A cache on disk in front of one registry. The second request causes no request to the registry:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use http::{Request, StatusCode};
//! use http_body_util::BodyExt as _;
//! use longshore::hyper::TokioClock;
//! use longshore_cache::records::FileRecords;
//! use longshore_cache::{BoundedStore, CacheService, Router, Upstream, UpstreamName};
//! use longshore_store::{Durability, Interrupt, StoreDirectory};
//! use tower_service::Service as _;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let image = longshore_testkit::image::single(1);
//! # let registry = longshore_testkit::registry::Registry::builder();
//! # let registry = registry.image("app", "v1", &image).start()?;
//! # let url = registry.url();
//! # let scratch = tempfile::tempdir()?;
//! # let directory = scratch.path();
//! // The names of its images begin with the name of the upstream: `registry.example/app`.
//! let name: UpstreamName = "registry.example".parse()?;
//! let upstream = Upstream::builder(name.clone(), &url).build()?;
//! let router = Router::builder().upstream(name)?.build();
//!
//! // Only one process uses the directory at a time. Version 1 is the version of its content.
//! let wait = Duration::from_secs(60);
//! let locked = StoreDirectory::open(directory, "cache", 1, wait, &Interrupt::new())?;
//! let files = locked.store(Durability::Each);
//! let store = BoundedStore::open(Arc::new(files), 20 << 30)?; // at most 20 GiB
//! let records = FileRecords::within(locked.dir())?;
//!
//! let (mut service, handle) = CacheService::builder()
//!     .store(store)
//!     .records(records)
//!     .router(router)
//!     .upstream(upstream)
//!     .clock(TokioClock::new())
//!     .build()?;
//!
//! for _ in 0..2 {
//!     let request = Request::get("/v2/registry.example/app/manifests/v1").body(())?;
//!     let response = service.call(request).await?;
//!     assert_eq!(response.status(), StatusCode::OK);
//!     let manifest = response.into_body().collect().await?.to_bytes();
//! #   assert_eq!(manifest, image.document());
//! }
//! # assert_eq!(registry.requests().all().len(), 1);
//! handle.shutdown().await; // waits until everything is written
//! # Ok(())
//! # }
//! ```
//!
//! The directory `examples` of this crate has a cache under hyper, and a cache with its own store
//! and records. The directory `examples/axum` of the repository has a cache under axum.
//!
//! # Who may read what
//!
//! Every client that reaches the service can read everything that the upstreams send to the cache.
//! The credentials of clients are ignored, and never sent to an upstream (CA7). A program that
//! configures credentials for its upstreams must itself decide who may send requests.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `server` | the module `server`: listeners with limits and TLS, metrics, configuration files |
//! | `conformance` | [`records`]: the tests that every driver of records passes |
//!
//! None is on by default.
//!
//! Ids such as CA5 name the rules in the project's `RULES.md`.
//!
//! [`FileRecords`]: records::FileRecords
//! [`MemoryRecords`]: records::MemoryRecords
//! [`Records`]: records::Records

mod body;
mod bounded;
mod document;
mod evict;
mod failure;
mod fill;
mod flight;
mod known;
mod name;
mod observer;
mod plan;
mod policy;
mod recent;
pub mod records;
mod router;
#[cfg(feature = "server")]
pub mod server;
mod service;
mod target;
mod tasks;
mod upstream;

pub use body::{CacheBody, CacheBodyError};
pub use bounded::{BoundedStore, BoundedStoreBuilder, BoundedWriter, Reservation, StoredBlob};
pub use fill::{
    CONCURRENT_FILLS, CONCURRENT_FILLS_TOTAL, FILL_DEADLINE, FILL_HOLD_BACK_BYTES,
    FILL_UNREAD_GRACE, FILL_UNREAD_PERCENT, FILL_UNREAD_SMALL_BYTES, FillError, FillErrorKind,
    Fills, FillsBuilder,
};
pub use name::{ImageName, UpstreamName, UpstreamNameError};
pub use observer::{
    AnswerNote, Answered, Event, FillEnd, MissReason, NoObserver, Observer, Observers, Outcome,
    RequestId, RequestKind, Routed, Sent,
};
pub use policy::{Freshness, Pattern, TagTtl, UnverifiedRanges, UpstreamPolicy};
pub use router::{Address, KnownUpstreams, Router, RouterBuilder, RouterError, RoutingError};
pub use service::{Answering, CacheBuildError, CacheBuilder, CacheHandle, CacheService};
pub use target::PAGE_ENTRIES_LIMIT;
pub use upstream::{
    ABUSE_PAUSE, ABUSE_PAUSE_LIMIT, CREDENTIAL_KEPT, Patience, REFUSAL_KEPT, REFUSALS_IN_A_ROW,
    Upstream, UpstreamBuildError, UpstreamBuilder, UpstreamCall, UpstreamCallKind, UpstreamError,
    UpstreamErrorKind, UpstreamFailure, UpstreamFrames, UpstreamHealth, UpstreamOutcome,
    revalidation_wait,
};

/// Default time for which a tag is used without a request to its upstream: 5 minutes.
pub const DEFAULT_TAG_TTL: std::time::Duration = std::time::Duration::from_secs(5 * 60);

/// The name of the default upstream of names without a prefix: Docker Hub.
pub const DEFAULT_UPSTREAM: &str = "docker.io";

/// The media types of manifests that a cache accepts from its upstreams, as a value of `Accept`.
pub const DEFAULT_ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

/// The header field with the digest of the content of an answer (distribution-spec v1.1.1 "Pulling
/// manifests").
pub const DIGEST_HEADER: &str = "docker-content-digest";
