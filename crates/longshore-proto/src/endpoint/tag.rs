//! The tags of a repository (distribution-spec v1.1.1 "Listing Tags", end-8).

use std::fmt;

use longshore_model::RepositoryName;

use super::PageQuery;
use super::request::{Access, Need, Request, RequestHead};
use crate::Host;

/// A request for the tags of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TagsRequest {
    /// The repository.
    pub name: RepositoryName,
    /// Which part of the list.
    pub page: PageQuery,
}

impl TagsRequest {
    /// Asks for one page.
    #[must_use]
    pub const fn new(name: RepositoryName, page: PageQuery) -> Self {
        Self { name, page }
    }
}

impl Request for TagsRequest {
    fn write(&self, host: &Host) -> RequestHead {
        let path = host.path(Some(&self.name), format_args!("tags/list"));
        self.page.request(path)
    }

    fn name(&self) -> Option<&RepositoryName> {
        Some(&self.name)
    }

    fn needs(&self, host: &Host) -> Vec<Need> {
        vec![Need::new(host, &self.name, Access::Pull)]
    }
}

impl fmt::Display for TagsRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the tags of {}", self.name)
    }
}
