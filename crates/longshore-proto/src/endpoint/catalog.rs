//! The repositories of a registry (Docker Registry HTTP API V2 "Catalog").

use std::fmt;

use longshore_model::RepositoryName;

use super::PageQuery;
use super::request::{Need, Request, RequestHead};
use crate::Host;

/// A request for the repositories of a registry. The specification leaves it out, and many
/// registries have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CatalogueRequest {
    /// Which part of the list.
    pub page: PageQuery,
}

impl CatalogueRequest {
    /// Asks for one page.
    #[must_use]
    pub const fn new(page: PageQuery) -> Self {
        Self { page }
    }
}

impl Request for CatalogueRequest {
    fn write(&self, host: &Host) -> RequestHead {
        self.page.request(host.path(None, format_args!("_catalog")))
    }

    fn name(&self) -> Option<&RepositoryName> {
        None
    }

    fn needs(&self, _host: &Host) -> Vec<Need> {
        vec![Need::Catalogue]
    }
}

impl fmt::Display for CatalogueRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the list of repositories")
    }
}
