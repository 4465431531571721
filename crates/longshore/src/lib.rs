//! A registry client that authenticates, retries, resumes and verifies.
//!
//! [`Client`] reads repositories of OCI registries over any transport. It answers challenges,
//! fetches and keeps tokens, follows redirects, repeats what may be repeated, takes up blobs
//! where they broke off, and hands out no byte of a manifest, and no end of a blob, that does not
//! match its digest. A secret goes to the origin it belongs to and nowhere else.
//!
//! Who wants no more than the answer to a 401 has it in one call: [`fetch_token`].
//!
//! Left to the caller: where blobs go (see `longshore-layout`), in which order, and whether to show
//! what a registry says beside its answers ([`Notice`]).
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use longshore::Client;
//! use longshore::model::Reference;
//!
//! let client = Client::builder().build()?;
//! let reference: Reference = "alpine:3.20".parse()?;
//! let repository = client.repository(&reference).await?;
//! let pulled = repository.manifest(&reference.target()).await?;
//! println!("{} {}", pulled.digest(), pulled.manifest.media_type());
//! # Ok(())
//! # }
//! ```
//!
//! With the default feature, `longshore::hyper` holds the transport and the clock that a client
//! uses unless it is given others. They serve [`TokenCache`] and [`fetch_token`] too:
//!
//! ```no_run
//! # #[cfg(feature = "hyper")]
//! # async fn example(request: longshore::TokenRequest) -> Result<(), Box<dyn std::error::Error>> {
//! use longshore::hyper::{HyperTransport, TokioClock};
//! use longshore::{Client, TokenCache, fetch_token};
//!
//! let transport = HyperTransport::builder().build()?;
//! let issued = fetch_token(transport.clone(), TokioClock::new(), &request, None).await?;
//! println!("a token for {} s", issued.lifetime.as_secs());
//!
//! // Clients that are given clones of one cache share their tokens.
//! let tokens = TokenCache::new(TokioClock::new());
//! let client = Client::builder().transport(transport).token_cache(tokens).build()?;
//! # let _ = client;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `hyper` (default) | `longshore::hyper`: the transport and clock used where none are given |

pub use longshore_auth as auth;
pub use longshore_auth::Credential;
#[cfg(feature = "hyper")]
pub use longshore_hyper as hyper;
pub use longshore_model as model;
pub use longshore_origin as origin;
pub use longshore_proto as proto;
pub use longshore_transport as transport;

pub use crate::blob::{BlobFrames, BlobReader, CopyError};
pub use crate::builder::{BuildError, Builder};
pub use crate::client::Client;
pub use crate::credentials::{
    Anonymous, CredentialError, CredentialSource, DOCKER_CONFIG_LIMIT_BYTES, DockerConfig,
    DockerConfigError, OneCredential,
};
pub use crate::error::{Cause, Error, ErrorKind, JsonError};
pub use crate::fetch_token::{TokenRequest, fetch_token};
pub use crate::hosts::{HostError, HostSettings};
pub use crate::idle::{IDLE_LIMIT, SLOW_BYTES, SLOW_WINDOW};
pub use crate::limit::{MEMORY_LIMIT_BYTES, REQUESTS_PER_ORIGIN};
pub use crate::list::{COLLECTED_LIMIT_BYTES, List, ReferrersPage};
pub use crate::notice::Notice;
pub use crate::repository::{BlobHead, ManifestHead, PulledManifest, Repository};
pub use crate::seek::{BlobSeeker, SEEK_BLOCK_BYTES, SEEK_BLOCKS_KEPT};
pub use crate::tokens::{TOKENS_KEPT, TokenCache};

mod blob;
mod builder;
mod client;
mod collect;
mod credentials;
mod drive;
mod error;
mod exchange;
mod fetch_token;
mod hosts;
mod idle;
mod limit;
mod list;
mod notice;
mod repository;
mod seek;
mod suffixes;
mod tokens;
