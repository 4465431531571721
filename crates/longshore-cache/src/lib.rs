//! A read-through cache for OCI registries.
//!
//! Ids such as CA5 name the rules in the project's `RULES.md`.

mod evict;
mod name;
pub mod records;

pub use name::{ImageName, UpstreamName, UpstreamNameError};
