//! Who is at the other end of a registry connection, and what may be shown to them or sent there.
//!
//! Every secret a registry client holds belongs to one [`Origin`]. This crate says when two URLs
//! share one, where a redirect may lead ([`Hop::follow`]), which addresses may be connected to on
//! the way ([`AddressPolicy`], by the [`AddressClass`] of each, however it is dressed up), and how
//! text that came from a peer is made safe to show ([`Escaped`], [`RedactedUri`]) and its JSON safe
//! to parse ([`check_json_object`]).
//!
//! It leaves to the caller: resolving names, connecting, and attaching secrets. It never awaits and
//! touches no socket, file, clock, environment or random number.
//!
//! ```
//! use longshore_origin::{AddressPolicy, Hop, Origin, Peer};
//!
//! let registry: Origin = "https://registry.example".parse()?;
//! let blob = Hop::first(registry, "/v2/app/blobs/sha256:00")?;
//! assert!(blob.is_home());
//! assert_eq!(blob.policy(), AddressPolicy::Any);
//!
//! // A redirect to a content network leaves home: no secret follows it, now or later.
//! let away = blob.follow(b"https://cdn.example/00?sig=x", Peer::default())?;
//! assert!(!away.is_home());
//! let back = away.follow(b"https://registry.example/v2/", Peer::default())?;
//! assert!(!back.is_home());
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! Ids such as RT1 name the rules in the project's `RULES.md`.

mod address;
mod escape;
mod hop;
mod json;
mod origin;
mod resolve;
mod secret;
mod uri;

pub use address::{
    AddressClass, AddressPolicy, AddressRange, AddressRangeError, AddressRefused, AllowAddresses,
};
pub use escape::{ESCAPED_LIMIT_CHARS, Escaped, is_unsafe};
pub use hop::{Hop, HopError, Peer};
pub use json::{JSON_DEPTH_LIMIT, JsonFault, JsonShapeError, check_json_depth, check_json_object};
pub use origin::{Origin, OriginError, Scheme};
pub use resolve::{ResolveError, URL_LIMIT_BYTES, resolve};
pub use secret::Secret;
pub use uri::{RedactedUri, split_user_information, without_user_information};
