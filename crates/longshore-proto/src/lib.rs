//! The OCI distribution protocol as values and machines, without I/O.
//!
//! The crate has two layers. [`endpoint`] holds every request and answer of the specification as a
//! value that is written and read in both directions, so that a client and a server share one
//! reading of the wire. [`call`], [`download`], [`upload`], [`listing`] and [`referrers`] are
//! machines: they are given what arrived and return what to do next, and know neither sockets nor
//! secrets nor the time. [`pace`] decides how many requests are in flight. Any answer
//! may also carry messages for users: [`warning`] and [`RateLimit`].
//!
//! A server reads a request with [`route`], lets the request make its answer
//! ([`BlobRequest::answer`](endpoint::BlobRequest::answer) and those of the other requests that
//! read), or writes a [`Refusal`] when it has no answer.
//!
//! Left to the caller: sending, waiting, authentication, storage, and verifying what a download
//! brings.
//!
//! ```
//! use http::HeaderMap;
//! use longshore_model::Reference;
//! use longshore_origin::{Origin, Scheme};
//! use longshore_proto::endpoint::{Endpoint, ManifestRequest, Read};
//! use longshore_proto::{Host, route};
//!
//! let reference: Reference = "registry.example/app:1".parse()?;
//! let host = Host::new(Origin::from_authority(Scheme::Https, reference.registry())?);
//! let wanted = Endpoint::Manifest(ManifestRequest::new(
//!     Read::Get,
//!     reference.repository(),
//!     reference.target(),
//! ));
//! let head = wanted.write(&host);
//! assert_eq!(head.path_and_query, "/v2/app/manifests/1");
//! assert_eq!(route::read(&head.method, &head.path_and_query, &head.headers)?, wanted);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Ids such as RT1 name the rules in the project's `RULES.md`.

pub use crate::host::Host;
pub use crate::quirk::{
    Absent, Chunks, HeadBlob, HeadManifest, Mounts, Quirks, RangeTrust, ReferrersSupport,
    UploadQuirks,
};
pub use crate::rate_limit::RateLimit;
pub use crate::refusal::{Refusal, RefusalKind};
pub use crate::violation::Violation;
pub use crate::web_page::is_web_page;
pub use crate::write_refusal::WriteRefusal;

pub mod call;
pub mod document;
pub mod download;
pub mod endpoint;
mod entity_tag;
pub mod error_code;
mod field;
mod host;
pub mod link;
pub mod listing;
pub mod pace;
mod quirk;
pub mod range;
mod rate_limit;
pub mod referrers;
mod refusal;
mod resume;
pub mod retry;
pub mod route;
pub mod upload;
mod violation;
pub mod warning;
mod web_page;
mod write_refusal;
