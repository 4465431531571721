//! A read-through cache for OCI registries.
//!
//! Ids such as CA5 name the rules in the project's `RULES.md`.

mod name;
mod observer;
pub mod records;
#[cfg(feature = "server")]
pub mod server;
mod router;
mod target;

pub use name::{ImageName, UpstreamName, UpstreamNameError};
pub use observer::{
    AnswerNote, Answered, CallOutcome, Event, FillEnd, MissReason, NoObserver, Observer, Observers,
    Outcome, RequestId, RequestKind, Routed, Sent, UpstreamCall,
};
pub use router::{Address, KnownUpstreams, Router, RouterBuilder, RouterError, RoutingError};
pub use target::PAGE_ENTRIES_LIMIT;
