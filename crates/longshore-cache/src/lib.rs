//! A read-through cache for OCI registries.
//!
//! Ids such as CA5 name the rules in the project's `RULES.md`.

mod bounded;
mod evict;
mod name;
pub mod records;

pub use bounded::{BoundedStore, BoundedStoreBuilder, BoundedWriter, Reservation, StoredBlob};
pub use name::{ImageName, UpstreamName, UpstreamNameError};
