//! The manifests that refer to another one (distribution-spec v1.1.1 "Listing Referrers", end-12).

use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use longshore_model::{Descriptor, Digest, Document, Index, MediaType, RepositoryName};

use super::request::{Access, Need, Request, RequestHead};
use super::{ListAnswer, PageQuery};
use crate::{Host, host};

/// A request for the manifests that refer to one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReferrersRequest {
    /// The repository.
    pub name: RepositoryName,
    /// The manifest they refer to.
    pub subject: Digest,
    /// Which part of the list, with the filter of artifact types.
    pub page: PageQuery,
}

impl ReferrersRequest {
    /// Asks for the first page, of one artifact type or of all.
    #[must_use]
    pub fn new(name: RepositoryName, subject: Digest, artifact_type: Option<&MediaType>) -> Self {
        let mut page = PageQuery::default();
        if let Some(artifact_type) = artifact_type {
            page.push(ARTIFACT_TYPE, artifact_type.as_str());
        }
        Self {
            name,
            subject,
            page,
        }
    }

    /// The artifact type that the client wants; `None` for all of them, also when the parameter is
    /// empty.
    #[must_use]
    pub fn artifact_type(&self) -> Option<String> {
        let artifact_type = self.page.get(ARTIFACT_TYPE);
        artifact_type.filter(|artifact_type| !artifact_type.is_empty())
    }

    /// Makes the answer of a server whose repository has these referrers of the subject, in any
    /// order: an index of those with the requested artifact type, sorted by digest, without
    /// duplicates.
    ///
    /// A page has at most `most` entries, and at most
    /// [`PAGE_LIMIT_BYTES`](crate::listing::PAGE_LIMIT_BYTES); the link to the next page has an
    /// additional parameter with the last digest of this page.
    /// [`Manifest::as_referrer`](longshore_model::Manifest::as_referrer) makes the entry of a
    /// manifest. `base` is as in [`TagsRequest::answer`](super::TagsRequest::answer). A repository
    /// that does not exist has no referrers and is not an error ("Listing Referrers").
    #[must_use]
    pub fn answer(
        &self,
        base: &str,
        referrers: impl IntoIterator<Item = Descriptor>,
        most: usize,
    ) -> Response<Bytes> {
        let wanted = self.artifact_type();
        let is_wanted = |referrer: &Descriptor| {
            let artifact_type = referrer.artifact_type.as_ref().map(MediaType::as_str);
            wanted.is_none() || artifact_type == wanted.as_deref()
        };
        let mut referrers: Vec<_> = referrers.into_iter().filter(is_wanted).collect();
        referrers.sort_by(|a, b| a.digest.as_str().cmp(b.digest.as_str()));
        referrers.dedup_by(|a, b| a.digest == b.digest);
        let slice = self.page.slice(&referrers, None, most);

        let path = host::path(base, [&self.name], format_args!("{REST}{}", self.subject));
        let mut answer = ListAnswer::last(MediaType::OCI_INDEX.as_str());
        answer.next = slice.next.map(|next| next.at(path));
        answer.filtered = wanted.is_some();
        let mut index = Index::new(slice.entries.to_vec());
        index.media_type = Some(MediaType::OCI_INDEX);
        // Text and numbers always serialise.
        let page = serde_json::to_vec(&Document::Index(index)).unwrap_or_default();
        answer.write_with(page)
    }
}

/// The path below the name of the repository, up to the digest of the subject.
const REST: &str = "referrers/";

/// The parameter that filters by artifact type.
const ARTIFACT_TYPE: &str = "artifactType";

impl Request for ReferrersRequest {
    fn write(&self, host: &Host) -> RequestHead {
        let path = host.path(Some(&self.name), format_args!("{REST}{}", self.subject));
        let mut head = self.page.request(path);
        let accept = HeaderValue::from_static("application/vnd.oci.image.index.v1+json");
        head.headers.insert(header::ACCEPT, accept);
        head
    }

    fn name(&self) -> Option<&RepositoryName> {
        Some(&self.name)
    }

    fn needs(&self, host: &Host) -> Vec<Need> {
        vec![Need::new(host, &self.name, Access::Pull)]
    }
}

impl fmt::Display for ReferrersRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the referrers of {} in {}", self.subject, self.name)
    }
}
