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
//! # Writes
//!
//! A registry that is [`writable`](registry::Builder::writable) accepts blobs as one `POST`, as a
//! `POST` and a `PUT`, and in chunks; mounts; manifests by tag, by digest, and under several tags
//! with one request; and deletions. It keeps what it accepts, so a test can compare it with what
//! its client sent:
//!
//! ```
//! use longshore_testkit::registry::{Misbehaviour, Part, Quirks, Registry, Rule};
//!
//! let mut quirks = Quirks::distribution();
//! quirks.chunk_max_bytes = Some(1024 * 1024);
//! let registry = Registry::builder().writable().quirks(quirks).start()?;
//! // Only a part of the first chunk arrives, and then its connection closes.
//! let cut = Rule::on(Part::Upload, Misbehaviour::CutRequestAfter(1000));
//! registry.misbehave(cut.method(http::Method::PATCH).times(1));
//! // … let the client under test push to registry.authority() …
//! # let digest = &longshore_model::Digest::sha256(b"");
//! let stored = registry.contents().blob("app", digest).map(|blob| blob.bytes());
//! # assert_eq!(stored, None);
//! for request in registry.requests_to(Part::Upload) {
//!     println!("{}: {} bytes", request.line(), request.body.len());
//! }
//! # std::io::Result::Ok(())
//! ```
//!
//! [`Quirks`](registry::Quirks) says how a registry always differs from the specification. The
//! documentation of each field names registries that behave like this, and a function such as
//! [`Quirks::amazon_ecr`](registry::Quirks::amazon_ecr) sets all fields for one registry.
//!
//! | about | switches |
//! |---|---|
//! | length of bodies | `body_max_bytes` (413), `length_required` (411) |
//! | length of chunks | `chunk_max_bytes` (416), `chunk_min_bytes` |
//! | chunks | `chunks` (all, one, none, only the last is kept), `patch_status` |
//! | progress of a session | `range` (of the blob, of a chunk, missing), `no_status` |
//! | place of a session | `location` (absolute, path, relative, http), `location_query` |
//! | end of a session | `latest_location_only`, `broken_chunk_ends_session` |
//! | mounts | `mount` (with or without `from`, always a session, refused) |
//! | storing content | `empty_blob_refused`, `stored_max_bytes`, `quota`, `sha256_only` |
//! | repositories | `repository_must_exist` |
//! | manifests | `media_type_required`, `sparse_index`, `missing_blobs`, `referrers` |
//! | tags | `immutable_tags`, `no_tag_parameter`, `digest_tags` |
//! | deletions | `no_blob_delete`, `no_manifest_delete`, `no_tag_delete` |
//! | credentials | `early_refusal`, `token_uses`, `expired` |
//! | reads | `blob_head`, `manifest_head`, `range_refused`, `accept_refused`, `absent` |
//! | lists | `page_max`, `pages_ignored` |
//!
//! The token server has a switch as well, [`refuse_action`](token::Builder::refuse_action).
//!
//! A [`Misbehaviour`](registry::Misbehaviour) is a fault that occurs at some requests. A
//! [`Rule`](registry::Rule) selects these requests by endpoint, method, path and number:
//!
//! | what goes wrong | misbehaviour |
//! |---|---|
//! | the body of a request arrives in part | `CutRequestAfter`, `StallRequestAfter` |
//! | the body of a request arrives slowly | `PaceRequest` |
//! | the registry answers before it reads the body | `AnswerEarly` |
//! | the request took effect, but the answer is lost or wrong | `HangUp`, `Status` |
//! | the answer names another digest, or none | `DigestHeader`, `NoDigestHeader` |
//! | `Location` is wrong, missing or repeated | `Location`, `NoHeader`, `AddHeader` |
//! | sessions or tokens end | `ForgetUploads`, `RevokeTokens` |
//! | too many requests | `RetryAfter`, `SecondaryRateLimit` |
//!
//! The example `foreign_client` uses them to test a client that is not Longshore's.
//!
//! # Limits
//!
//! Tokens are stamped with the system's clock. A registry keeps everything that is pushed in
//! memory, and accepts at most 64 MiB in one request. It parses each manifest before it stores it,
//! so it refuses a manifest of an unknown type.
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
