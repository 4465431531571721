//! What the fuzz targets run.
//!
//! Each body is a plain function from bytes to nothing that panics when a promise is broken, so
//! that the fuzzer can look for an input and `cargo test` can replay the ones already found. It is
//! given text a stranger chose; everything it asserts holds for every text.

mod answer;
mod authenticator;
mod cache_route;
mod call;
mod challenge;
mod config;
mod content_range;
mod digest;
mod docker_config;
mod download;
mod end_name;
mod json;
mod link;
mod listing;
mod manifest;
mod multi_range;
mod reference;
mod retry_after;
mod route;
mod serve_config;
mod shown;
mod token_response;
mod upload;

pub use authenticator::authenticator;
pub use cache_route::cache_route;
pub use call::call;
pub use challenge::challenge;
pub use config::config;
pub use content_range::content_range;
pub use digest::digest;
pub use docker_config::docker_config;
pub use download::download;
pub use end_name::end_name;
pub use link::link;
pub use listing::listing;
pub use manifest::manifest;
pub use multi_range::multi_range;
pub use reference::reference;
pub use retry_after::retry_after;
pub use route::route;
pub use serve_config::serve_config;
pub use token_response::token_response;
pub use upload::upload;
