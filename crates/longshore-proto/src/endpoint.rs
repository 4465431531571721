//! Every request of the distribution specification as a value, in both directions.
//!
//! A client [writes](Endpoint::write) an endpoint into a request; a server
//! [reads](crate::route::read) the same value out of it. A property test holds the two together:
//! reading what was written gives the value back. Answers work the same way, in
//! [`ManifestAnswer`], [`ManifestStored`], [`BlobAnswer`], [`NotModified`], [`ListAnswer`] and
//! [`PingAnswer`]. A server that has the content lets the request make the answer, which then
//! follows the range and the conditions of the request: see [`BlobRequest::answer`] and
//! [`ManifestRequest::answer`].
//!
//! An endpoint describes itself: which access it [needs](Endpoint::needs), what the bodies of its
//! answers [hold](Endpoint::answer_body), how long an answer [may take](Endpoint::patience) and
//! whether it [may be sent again](Endpoint::repeatable).

use std::fmt;

use http::{HeaderValue, Method, response};
use longshore_model::RepositoryName;

pub use self::blob::{BlobAnswer, BlobBody, BlobRequest, Extent};
pub use self::catalog::CatalogueRequest;
pub use self::delete::{Deletable, DeleteRequest};
pub use self::manifest::{
    ManifestAnswer, ManifestPut, ManifestRequest, ManifestStored, TAGS_PER_PUT,
};
pub use self::multipart::{Multipart, MultipartPiece};
pub use self::names::{
    NamesPage, PageError, read_repositories, read_tags, write_repositories, write_tags,
};
pub use self::not_modified::NotModified;
pub use self::page::{ListAnswer, PageQuery};
pub use self::ping::PingAnswer;
pub use self::referrer::ReferrersRequest;
use self::request::Request;
pub use self::request::{Access, AnswerBody, Need, Patience, Repeatable, RequestHead, Verb};
pub use self::tag::TagsRequest;
pub use self::upload::{
    BlobStored, ChunkRange, Received, UploadAnswer, UploadRequest, UploadSession, UploadStep,
};
use crate::Host;
pub use crate::field::ignored_digest;

mod blob;
mod catalog;
mod delete;
mod manifest;
mod multipart;
mod names;
mod not_modified;
mod page;
mod ping;
pub(crate) mod query;
mod referrer;
mod request;
mod slice;
mod tag;
mod upload;

/// One request of the distribution specification (v1.1.1, "Endpoints").
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// A blob or parts of it, or its head (end-2).
    Blob(BlobRequest),
    /// The repositories of a registry.
    Catalogue(CatalogueRequest),
    /// Removes a tag, a manifest or a blob (end-9, end-10).
    Delete(DeleteRequest),
    /// A manifest or its head, by tag or digest (end-3).
    Manifest(ManifestRequest),
    /// Stores a manifest (end-7).
    ManifestPut(ManifestPut),
    /// Whether this is a registry (end-1).
    Ping,
    /// The manifests that refer to one (end-12).
    Referrers(ReferrersRequest),
    /// The tags of a repository (end-8).
    Tags(TagsRequest),
    /// One request of an upload (end-4a to end-6, end-11, end-13, end-14).
    Upload(UploadRequest),
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

    const fn answer_body(self) -> AnswerBody {
        match self {
            Self::Get => AnswerBody::Content,
            Self::Head => AnswerBody::Never,
        }
    }
}

impl Endpoint {
    /// Writes the request for this host.
    ///
    /// Every request asks for the content as it is stored (DG6): a digest covers those bytes.
    #[must_use]
    pub fn write(&self, host: &Host) -> RequestHead {
        identity(self.request().write(host))
    }

    /// Writes the request for a path and query from an earlier answer of the same host, such as the
    /// `Location` of an upload session. The given query is kept byte for byte (RD4); parameters of
    /// the endpoint are appended to it.
    #[must_use]
    pub fn write_at(&self, host: &Host, location: &str) -> RequestHead {
        identity(self.request().write_at(host, location))
    }

    /// The repository this is about.
    #[must_use]
    pub fn name(&self) -> Option<&RepositoryName> {
        self.request().name()
    }

    /// The access the request needs at this host; a ping needs none. The access to the main subject
    /// of the request comes first; a mount also reads the repository that has the blob.
    #[must_use]
    pub fn needs(&self, host: &Host) -> Vec<Need> {
        self.request().needs(host)
    }

    /// What the request does.
    #[must_use]
    pub fn verb(&self) -> Verb {
        self.request().verb()
    }

    /// Whether the request reads content or names, so that a mirror may serve it.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.request().is_read()
    }

    /// What the bodies of its answers hold.
    #[must_use]
    pub fn answer_body(&self) -> AnswerBody {
        self.request().answer_body()
    }

    /// The same request with `GET`, if this one is a `HEAD`.
    #[must_use]
    pub fn with_get(&self) -> Option<Self> {
        self.request().with_get()
    }

    /// Whether this answer to a `HEAD` contains the requested fact: for a blob its length, for a
    /// manifest its digest, unless the request is by digest. An impossible length and a digest that
    /// cannot be verified are ignored (DG2).
    #[must_use]
    pub fn is_answered_by(&self, head: &response::Parts) -> bool {
        self.request().is_answered_by(head)
    }

    /// How long the head of its answer may take.
    #[must_use]
    pub fn patience(&self) -> Patience {
        self.request().patience()
    }

    /// Whether the request may be sent again after a failure (RT4).
    #[must_use]
    pub fn repeatable(&self) -> Repeatable {
        self.request().repeatable()
    }

    fn request(&self) -> &dyn Request {
        match self {
            Self::Blob(request) => request,
            Self::Catalogue(request) => request,
            Self::Delete(request) => request,
            Self::Manifest(request) => request,
            Self::ManifestPut(request) => request,
            Self::Ping => &ping::Ping,
            Self::Referrers(request) => request,
            Self::Tags(request) => request,
            Self::Upload(request) => request,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request().fmt(f)
    }
}

fn identity(mut head: RequestHead) -> RequestHead {
    let identity = HeaderValue::from_static("identity");
    head.headers.insert(http::header::ACCEPT_ENCODING, identity);
    head
}
