//! Copies between ends: registries of the testkit, layouts on disk, memory.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of a test fails as the test does"
)]

mod between;
mod choices;
mod interrupted;
mod local;
mod memory;
mod opaque;
mod referrers;
mod several;
mod support;
