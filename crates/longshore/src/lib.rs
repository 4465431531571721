//! A registry client that authenticates, retries, resumes and verifies.
//!
//! [`Client`] reads repositories of OCI registries over any transport. It answers challenges,
//! fetches and caches tokens, follows redirects, retries, and resumes blobs that break off. It
//! returns no manifest, and never ends a blob cleanly, unless the bytes match the digest. A secret
//! goes to the origin it belongs to and nowhere else.
//!
//! If you only need a token for a 401, call [`fetch_token`].
//!
//! Left to the caller: where blobs are stored (see `longshore-layout` and `longshore-copy`), and
//! whether to show the warnings of a registry ([`Notice`]).
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
//! uses unless it is given others. They also work with [`TokenCache`] and [`fetch_token`]:
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
//!
//! Ids such as RT1 name the rules in the project's `RULES.md`.

pub use longshore_auth as auth;
pub use longshore_auth::Credential;
#[cfg(feature = "hyper")]
pub use longshore_hyper as hyper;
pub use longshore_model as model;
pub use longshore_origin as origin;
pub use longshore_proto as proto;
pub use longshore_proto::document::VerifiedDocument;
pub use longshore_proto::download::BLOB_LIMIT_BYTES;
pub use longshore_proto::referrers::ReferrersPage;
pub use longshore_proto::retry::QUOTA_WAIT_LIMIT;
pub use longshore_proto::upload::UploadOutcome;
pub use longshore_transport as transport;

pub use crate::blob::{BlobFrames, BlobReader, CopyError};
pub use crate::builder::{BuildError, ClientBuilder};
pub use crate::client::Client;
pub use crate::content::{Content, ContentFrames, FileContent, OpeningContent, StreamContent};
pub use crate::credentials::{
    Anonymous, CredentialError, CredentialSource, DOCKER_CONFIG_LIMIT_BYTES, DockerConfig,
    DockerConfigError, DockerCredentials, DynCredentials, HELPER_LIMIT, HELPER_OUTPUT_LIMIT_BYTES,
    HelperError, HelperReason, OneCredential,
};
pub use crate::error::{Cause, Error, ErrorClass, ErrorKind, JsonError};
pub use crate::fetch_token::{TokenRequest, fetch_token};
pub use crate::hosts::{HostError, HostSettings};
pub use crate::idle::{IDLE_LIMIT, SLOW_BYTES, SLOW_WINDOW};
pub use crate::limit::{MEMORY_LIMIT_BYTES, REQUESTS_PER_ORIGIN};
pub use crate::list::{COLLECTED_LIMIT_BYTES, List};
pub use crate::manifests::PushedManifest;
pub use crate::mount::MountOutcome;
pub use crate::notice::Notice;
pub use crate::operation::Operation;
pub use crate::push::{PushObserver, PushOptions, PushedBlob, SessionKeeper, UploadSession};
pub use crate::repository::{BlobHead, ManifestHead, PulledManifest, Repository};
pub use crate::seek::{BlobSeeker, SEEK_BLOCK_BYTES, SEEK_BLOCKS_KEPT};
pub use crate::tokens::{TOKENS_KEPT, TokenCache};

mod blob;
mod body;
mod builder;
mod client;
mod collect;
mod content;
mod credentials;
mod drive;
mod error;
mod exchange;
mod fetch_token;
mod hosts;
mod idle;
mod limit;
mod list;
mod manifests;
mod mount;
mod notice;
mod operation;
mod push;
mod repository;
mod seek;
mod send;
mod site;
mod suffixes;
mod tokens;
