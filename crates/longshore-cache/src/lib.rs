//! A read-through cache for OCI registries.
//!
//! Ids such as CA5 name the rules in the project's `RULES.md`.

mod name;
mod observer;
mod policy;
pub mod records;
mod router;
#[cfg(feature = "server")]
pub mod server;
mod target;

pub use name::{ImageName, UpstreamName, UpstreamNameError};
pub use observer::{
    AnswerNote, Answered, CallOutcome, Event, FillEnd, MissReason, NoObserver, Observer, Observers,
    Outcome, RequestId, RequestKind, Routed, Sent, UpstreamCall,
};
pub use policy::{Freshness, Pattern, TagTtl, UnverifiedRanges, UpstreamPolicy};
pub use router::{Address, KnownUpstreams, Router, RouterBuilder, RouterError, RoutingError};
pub use target::PAGE_ENTRIES_LIMIT;

/// How long a tag is used without asking the upstream, by default.
pub const DEFAULT_TAG_TTL: std::time::Duration = std::time::Duration::from_secs(300);
