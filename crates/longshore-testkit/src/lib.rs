//! A hermetic registry, token server, fault proxy and image generator for tests.
//!
//! Everything listens on loopback and answers from memory:
//!
//! - [`image`]: images generated from a seed, the same bytes every time, up to any size;
//! - [`registry`]: a registry that serves them, demands nothing, Basic or tokens, counts and
//!   keeps every request, and misbehaves in named ways when told to;
//! - [`token`]: a token server that signs real JWTs, which Debian's `docker-registry` accepts;
//! - [`fault`]: a TCP proxy that cuts or stalls chosen connections after chosen bytes;
//! - [`raw`]: a peer that says fixed bytes, HTTP or not;
//! - [`recorder`]: a second origin that keeps what it is sent and answers as told;
//! - [`hostile`]: what peers say to break a client: texts, tokens, documents, places;
//! - [`certificate`]: an authority and server certificates for TLS on any of the above;
//! - [`transport_conformance`]: the contract of a client's transport, as tests for any of them;
//! - [`demo`]: a registry and a token server together, as `cargo xtask demo` shows them.
//!
//! Every server runs on a thread and a runtime of its own, so a test may block (on a child
//! process, say) while it is served, and stops when its handle is dropped. Nothing sleeps unless
//! told to: where order matters, use a [`Gate`]; where speed does, a [`Valve`].
//!
//! ```
//! use longshore_testkit::image;
//! use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};
//! use longshore_testkit::token::TokenServer;
//!
//! let tokens = TokenServer::builder().user("alice", "secret").start()?;
//! let registry = Registry::builder()
//!     .image("library/app", "1.0", &image::twenty_platforms(7))
//!     .bearer(&tokens)
//!     .start()?;
//! registry.misbehave(Rule::on(Part::Blob, Misbehaviour::CutAfter(100)).times(1));
//! let reference = format!("{}/library/app:1.0", registry.authority());
//! // … let the client under test pull `reference`, then look at what it did …
//! assert!(!registry.requests().hold("secret"), "a password is for the token server alone");
//! # let _ = reference;
//! # std::io::Result::Ok(())
//! ```
//!
//! What it leaves to the caller: a clock (tokens are stamped with the system's), and writes (the
//! registry answers them with 405).
//!
//! Ids such as RT1 name the rules in the project's `RULES.md`.

pub mod certificate;
mod content;
pub mod demo;
pub mod fault;
mod gate;
pub mod hostile;
pub mod image;

mod listen;
pub mod raw;
pub mod recorder;
pub mod registry;
mod requests;
mod serve;
#[cfg(test)]
mod testing;
pub mod token;
pub mod transport_conformance;
mod valve;

pub use content::BlobContent;
pub use gate::Gate;
pub use listen::Listen;
pub use requests::{RecordedRequest, Requests};
pub use serve::ScriptedResponse;
pub use valve::Valve;
