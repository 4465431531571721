//! The transport and clock a registry client runs on.
//!
//! A [`Transport`] sends one request and gives one response. It follows no redirect, repeats
//! nothing, attaches no credential and decodes no body: all of that is decided above it, so that
//! a program which implements this one method over another HTTP client, a recorded script or an
//! in-process service gets authentication, redirects, retries, resume and paging with it.
//!
//! Left to the caller: which request to send, how long to wait for it (see [`Clock`]), and what
//! the answer means.
//!
//! ```
//! use longshore_transport::{Body, DynTransport, Transport, TransportError};
//!
//! struct Teapot;
//!
//! impl Transport for Teapot {
//!     async fn send(
//!         &self,
//!         _request: http::Request<Body>,
//!     ) -> Result<http::Response<Body>, TransportError> {
//!         let mut response = http::Response::new(Body::from("short and stout"));
//!         *response.status_mut() = http::StatusCode::IM_A_TEAPOT;
//!         Ok(response)
//!     }
//! }
//!
//! let transport = DynTransport::new(Teapot);
//! # let _ = transport;
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `tower` | `ServiceTransport`: any clonable `tower_service::Service` as a transport |
//! | `test-util` | `ScriptedTransport` and `TestClock`, for tests without a network |
//!
//! Ids such as RT1 name the rules in the project's `RULES.md`.

pub use crate::body::Body;
pub use crate::capability::{Capabilities, Capability, MissingCapability};
#[cfg(feature = "test-util")]
pub use crate::clock::TestClock;
pub use crate::clock::{Clock, Timer};
pub use crate::declared::Declared;
pub use crate::error::{Phase, TlsFault, TransportError, TransportErrorKind};
pub use crate::head::{HEADER_LIMIT, HEADER_LIMIT_BYTES, INTERIM_LIMIT, check_head};
#[cfg(feature = "test-util")]
pub use crate::script::{Exchange, ScriptedTransport};
#[cfg(feature = "tower")]
pub use crate::service::ServiceTransport;
pub use crate::transport::{DynTransport, FnTransport, Transport, from_fn};
pub use crate::wish::{ConnectionWish, Sensitivity, TlsIdentity, WireWish};

mod body;
mod capability;
mod clock;
mod declared;
mod error;
mod guard;
mod head;
#[cfg(feature = "test-util")]
mod script;
#[cfg(feature = "tower")]
mod service;
mod transport;
mod wish;
