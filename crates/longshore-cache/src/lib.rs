//! A read-through cache for OCI registries.
//!
//! Ids such as CA5 name the rules in the project's `RULES.md`.

mod name;
pub mod records;
#[cfg(feature = "server")]
pub mod server;

pub use name::{ImageName, UpstreamName, UpstreamNameError};
