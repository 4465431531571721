//! The manifests that refer to another one (distribution-spec v1.1.1 "Listing Referrers", end-12).

use std::fmt;

use http::{HeaderValue, header};
use longshore_model::{Digest, MediaType, RepositoryName};

use super::PageQuery;
use super::request::{Access, Need, Request, RequestHead};
use crate::Host;

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

    /// The artifact type that the client wants; `None` for all of them.
    #[must_use]
    pub fn artifact_type(&self) -> Option<String> {
        self.page.get(ARTIFACT_TYPE)
    }
}

/// The parameter that filters by artifact type.
const ARTIFACT_TYPE: &str = "artifactType";

impl Request for ReferrersRequest {
    fn write(&self, host: &Host) -> RequestHead {
        let path = host.path(Some(&self.name), format_args!("referrers/{}", self.subject));
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
