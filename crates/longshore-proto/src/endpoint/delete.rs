//! Requests that remove content or tags (distribution-spec v1.1.1 "Content Management", end-9 and
//! end-10).

use std::fmt;

use http::Method;
use longshore_model::{Digest, RepositoryName, TagOrDigest};

use super::request::{Access, AnswerBody, Need, Request, RequestHead, Verb};
use crate::Host;

/// A request that removes something from a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeleteRequest {
    /// The repository.
    pub name: RepositoryName,
    /// What is removed.
    pub content: Deletable,
}

/// What can be removed from a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the specification removes these two; a tag is removed as a manifest"
)]
pub enum Deletable {
    /// A blob.
    Blob(Digest),
    /// A tag; or a manifest, together with every tag that names it.
    Manifest(TagOrDigest),
}

impl DeleteRequest {
    /// Removes this content.
    #[must_use]
    pub const fn new(name: RepositoryName, content: Deletable) -> Self {
        Self { name, content }
    }
}

impl Request for DeleteRequest {
    fn write(&self, host: &Host) -> RequestHead {
        let name = Some(&self.name);
        let path = match &self.content {
            Deletable::Blob(digest) => host.path(name, format_args!("blobs/{digest}")),
            Deletable::Manifest(target) => host.path(name, format_args!("manifests/{target}")),
        };
        RequestHead::new(Method::DELETE, path)
    }

    fn name(&self) -> Option<&RepositoryName> {
        Some(&self.name)
    }

    fn needs(&self, host: &Host) -> Vec<Need> {
        vec![Need::new(host, &self.name, Access::Delete)]
    }

    fn verb(&self) -> Verb {
        Verb::Delete
    }

    fn answer_body(&self) -> AnswerBody {
        AnswerBody::Errors
    }
}

impl fmt::Display for DeleteRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Deletable::Blob(digest) => write!(f, "blob {digest} of {}", self.name),
            Deletable::Manifest(target) => write!(f, "manifest {target} of {}", self.name),
        }
    }
}
