//! The repositories of a registry (Docker Registry HTTP API V2 "Catalog").

use std::fmt;

use bytes::Bytes;
use http::Response;
use longshore_model::RepositoryName;

use super::request::{Need, Request, RequestHead};
use super::{ListAnswer, PageQuery, write_repositories};
use crate::{Host, Refusal, host};

/// A request for the repositories of a registry. The distribution specification does not define
/// this request, but many registries support it.
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

    /// Makes the answer of a server that has these repositories, which must be sorted by their
    /// bytes; see [`TagsRequest::answer`](super::TagsRequest::answer).
    ///
    /// # Errors
    ///
    /// The [`Refusal`] to send when the requested number of entries is not a number.
    pub fn answer(
        &self,
        base: &str,
        repositories: &[String],
        most: usize,
    ) -> Result<Response<Bytes>, Refusal> {
        let slice = self.page.slice(repositories, self.page.n()?, most);
        let path = host::path(base, [], format_args!("{REST}"));
        let answer = ListAnswer::of_names(slice.next.map(|next| next.at(path)));
        Ok(answer.write_with(write_repositories(slice.entries)))
    }
}

/// The path below that of the API.
const REST: &str = "_catalog";

impl Request for CatalogueRequest {
    fn write(&self, host: &Host) -> RequestHead {
        self.page.request(host.path(None, format_args!("{REST}")))
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
