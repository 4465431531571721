//! Pulling from the testkit's registry into memory and into layouts.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

mod content;
mod graph;
mod interrupted;
mod observed;
mod platforms;
mod referrers;
mod support;
