//! The tags of a repository (distribution-spec v1.1.1 "Listing Tags", end-8).

use std::fmt;

use bytes::Bytes;
use http::Response;
use longshore_model::RepositoryName;

use super::request::{Access, Need, Request, RequestHead};
use super::{ListAnswer, PageQuery, write_tags};
use crate::{Host, Refusal, host};

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

    /// Makes the answer of a server whose repository has these tags, which must be sorted by their
    /// bytes: the requested page, with at most `most` tags and at most
    /// [`PAGE_LIMIT_BYTES`](crate::listing::PAGE_LIMIT_BYTES), with a link to the next one.
    ///
    /// `base` is the path below which clients find the API of this server, without a slash at its
    /// end: `/registry` for `/registry/v2/…`, or nothing.
    ///
    /// ```
    /// use http::{HeaderMap, Method};
    /// use longshore_proto::{endpoint::Endpoint, route};
    ///
    /// let target = "/v2/app/tags/list?n=2";
    /// let Endpoint::Tags(request) = route::read_only(&Method::GET, target, &HeaderMap::new())?
    /// else {
    ///     unreachable!("the path names a list of tags")
    /// };
    /// let tags = ["1", "2", "3"].map(str::to_owned);
    /// let response = request.answer("", &tags, 1000)?;
    /// assert_eq!(response.headers()["link"], "</v2/app/tags/list?n=2&last=2>; rel=\"next\"");
    /// assert_eq!(response.body(), r#"{"name":"app","tags":["1","2"]}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The [`Refusal`] to send when the requested number of entries is not a number.
    pub fn answer(
        &self,
        base: &str,
        tags: &[String],
        most: usize,
    ) -> Result<Response<Bytes>, Refusal> {
        let slice = self.page.slice(tags, self.page.n()?, most);
        let path = host::path(base, [&self.name], format_args!("{REST}"));
        let answer = ListAnswer::of_names(slice.next.map(|next| next.at(path)));
        Ok(answer.write_with(write_tags(&self.name, slice.entries)))
    }
}

/// The path below the name of the repository.
const REST: &str = "tags/list";

impl Request for TagsRequest {
    fn write(&self, host: &Host) -> RequestHead {
        let path = host.path(Some(&self.name), format_args!("{REST}"));
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
