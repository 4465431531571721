//! The server around the cache: configuration, listeners, metrics.

pub mod client_config;
pub mod config;
