//! What the fuzz targets run.
//!
//! Each body is a plain function from bytes to nothing that panics when a promise is broken, so
//! that the fuzzer can look for an input and `cargo test` can replay the ones already found. It is
//! given text a stranger chose; everything it asserts holds for every text.

mod authenticator;
mod challenge;
mod reference;

pub use authenticator::authenticator;
pub use challenge::challenge;
pub use reference::reference;
