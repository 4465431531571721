//! Every request of the distribution specification as a value, in both directions.
//!
//! A client [writes](Endpoint::write) an endpoint into a request; a server
//! [reads](crate::route::read) the same value out of it. A property test holds the two together:
//! reading what was written gives the value back. Answers work the same way, in
//! [`ManifestAnswer`], [`ManifestStored`], [`BlobAnswer`], [`ListAnswer`] and [`PingAnswer`].

use std::fmt;

use http::{HeaderMap, HeaderValue, Method};
use longshore_model::RepositoryName;

pub use self::blob::{BlobAnswer, BlobRequest, Extent};
pub use self::list::{CatalogueRequest, ListAnswer, PageQuery, ReferrersRequest, TagsRequest};
pub use self::manifest::{ManifestAnswer, ManifestRequest, ManifestStored};
pub use self::page::{PageError, read_repositories, read_tags, write_repositories, write_tags};
pub use self::ping::PingAnswer;
use crate::Host;

mod blob;
mod list;
mod manifest;
mod page;
mod ping;

/// One request of the distribution specification (v1.1.1, "Endpoints").
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// A blob or a part of it, or its head (end-2).
    Blob(BlobRequest),
    /// The repositories of a registry.
    Catalogue(CatalogueRequest),
    /// A manifest or its head, by tag or digest (end-3).
    Manifest(ManifestRequest),
    /// Whether this is a registry (end-1).
    Ping,
    /// What refers to a manifest (end-12).
    Referrers(ReferrersRequest),
    /// The tags of a repository (end-8).
    Tags(TagsRequest),
}

/// Whether the content is wanted or only its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the specification reads with these two methods"
)]
pub enum Read {
    /// The content: `GET`.
    Get,
    /// Only what is known about it: `HEAD`.
    Head,
}

impl Read {
    /// The method of HTTP.
    #[must_use]
    pub const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Head => Method::HEAD,
        }
    }
}

/// What a request needs to be allowed to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Need {
    /// The repository's name as the host knows it, with a mirror's prefix; `None` is the
    /// registry itself.
    pub name: Option<String>,
    /// What is done to it.
    pub access: Access,
}

impl Need {
    /// The content of this repository is read.
    #[must_use]
    pub const fn pull(name: String) -> Self {
        Self {
            name: Some(name),
            access: Access::Pull,
        }
    }

    /// The repositories of the registry are listed.
    #[must_use]
    pub const fn catalogue() -> Self {
        Self {
            name: None,
            access: Access::Catalogue,
        }
    }
}

/// What is done to a repository or a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Access {
    /// The repositories of a registry are listed.
    Catalogue,
    /// Its content is read.
    Pull,
}

/// The head of a request, but for its origin.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path_and_query: String,
    /// The headers this endpoint itself calls for.
    pub headers: HeaderMap,
}

impl Endpoint {
    /// Writes the request as this host wants it.
    ///
    /// Every request asks for the content as it is stored (DG6): a digest covers those bytes.
    #[must_use]
    pub fn write(&self, host: &Host) -> RequestHead {
        let mut head = match self {
            Self::Blob(request) => request.write(host),
            Self::Catalogue(request) => request.write(host),
            Self::Manifest(request) => request.write(host),
            Self::Ping => ping::write(host),
            Self::Referrers(request) => request.write(host),
            Self::Tags(request) => request.write(host),
        };
        head.headers.insert(
            http::header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        head
    }

    /// The repository this is about.
    #[must_use]
    pub const fn name(&self) -> Option<&RepositoryName> {
        match self {
            Self::Blob(request) => Some(&request.name),
            Self::Manifest(request) => Some(&request.name),
            Self::Referrers(request) => Some(&request.name),
            Self::Tags(request) => Some(&request.name),
            Self::Catalogue(_) | Self::Ping => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(request) => write!(f, "blob {} of {}", request.digest, request.name),
            Self::Manifest(request) => write!(f, "manifest {} of {}", request.target, request.name),
            Self::Catalogue(_) => f.write_str("the list of repositories"),
            Self::Ping => f.write_str("the API version"),
            Self::Referrers(request) => {
                write!(
                    f,
                    "the referrers of {} in {}",
                    request.subject, request.name
                )
            }
            Self::Tags(request) => write!(f, "the tags of {}", request.name),
        }
    }
}
