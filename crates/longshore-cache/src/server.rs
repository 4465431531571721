//! The server around the cache: configuration, listeners, metrics.

pub mod config;
