//! A read-through cache for OCI registries.
//!
//! [`CacheService`] answers the reads of the distribution specification for many upstream
//! registries behind one address. It fetches what it does not have, and feeds any number of clients
//! while one transfer arrives. It keeps nothing that was not verified, and answers from what it has
//! while an upstream is slow, refuses or is gone.
//!
//! Ids such as CA5 name the rules in the project's `RULES.md`.

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
    CONCURRENT_FILLS, FILL_DEADLINE, FILL_HOLD_BACK_BYTES, FILL_UNREAD_GRACE, FILL_UNREAD_PERCENT,
    FILL_UNREAD_SMALL_BYTES, FillError, FillErrorKind, Fills, FillsBuilder,
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

/// How long a tag is used without asking its upstream, unless something else is set: 5 minutes.
pub const DEFAULT_TAG_TTL: std::time::Duration = std::time::Duration::from_secs(5 * 60);

/// The name of the upstream that a name without a prefix belongs to, unless something else is set:
/// Docker Hub.
pub const DEFAULT_UPSTREAM: &str = "docker.io";

/// The media types of the manifests that a cache asks its upstreams for, as a value of `Accept`.
pub const DEFAULT_ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

/// The header field that names the digest of the content of an answer (distribution-spec v1.1.1
/// "Pulling manifests").
pub const DIGEST_HEADER: &str = "docker-content-digest";
