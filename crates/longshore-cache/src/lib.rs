//! A read-through cache for OCI registries.
//!
//! Ids such as CA5 name the rules in the project's `RULES.md`.

mod name;
pub mod records;
mod upstream;

pub use name::{ImageName, UpstreamName, UpstreamNameError};
pub use upstream::{
    ABUSE_PAUSE, ABUSE_PAUSE_LIMIT, CREDENTIAL_KEPT, Patience, REFUSAL_KEPT, REFUSALS_IN_A_ROW,
    Upstream, UpstreamBuildError, UpstreamBuilder, UpstreamCall, UpstreamCallKind, UpstreamError,
    UpstreamErrorKind, UpstreamFailure, UpstreamFrames, UpstreamHealth, UpstreamOutcome,
    revalidation_wait,
};
