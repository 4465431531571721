//! Pushes to registries that differ from the specification, or misbehave.
//!
//! The registry is the testkit's, over real connections on loopback. Time is the test's: waits
//! end at once, and are as short as they may be.
#![expect(clippy::unwrap_used, reason = "in a test, panicking is how to fail")]

mod broken;
mod commit;
mod errors;
mod location;
mod manifests;
mod quirks;
mod support;
mod tokens;
