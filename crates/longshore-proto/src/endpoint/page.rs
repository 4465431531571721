//! What all lists share: which page is asked for, and the head of its answer.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, response};
use longshore_origin::{Origin, resolve};

use super::query;
use super::request::RequestHead;
use crate::field;
use crate::link;
use crate::violation::Violation;

/// The header that names the filters a registry applied (distribution-spec v1.1.1 "Listing
/// Referrers").
const FILTERS_APPLIED: &str = "oci-filters-applied";

/// The part of a list that is asked for: the query of its URL, without the question mark.
///
/// The query of a following page is the registry's and goes back byte for byte (RD5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PageQuery(String);

impl PageQuery {
    /// The first page: at most `n` entries, those after `last`.
    #[must_use]
    pub fn first(n: Option<u32>, last: Option<&str>) -> Self {
        let mut query = Self::default();
        if let Some(n) = n {
            query.push("n", &n.to_string());
        }
        if let Some(last) = last {
            query.push("last", last);
        }
        query
    }

    /// A query that comes from a `Link` target or from a request.
    #[must_use]
    pub fn raw(query: &str) -> Self {
        Self(query.to_owned())
    }

    /// The query as it stands in a URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of the first parameter of this name, decoded; `None` also when the decoded bytes
    /// are not UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        query::first(&self.0, name)
    }

    /// As [`get`](Self::get), but the value may be any bytes.
    pub(super) fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        query::first_bytes(&self.0, name)
    }

    /// The query without the parameters of these names.
    pub(super) fn without(&self, names: &[&str]) -> Self {
        Self(query::without(&self.0, names))
    }

    pub(super) fn push(&mut self, name: &str, value: &str) {
        query::push(&mut self.0, name, value);
    }

    /// The request for this page of the list at this path.
    pub(super) fn request(&self, path: String) -> RequestHead {
        RequestHead::new(Method::GET, self.at(path))
    }

    /// The path and query of this page of the list at this path.
    pub(super) fn at(&self, mut path: String) -> String {
        if !self.0.is_empty() {
            path.push('?');
            path.push_str(&self.0);
        }
        path
    }
}

/// The head of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListAnswer {
    /// The target of `Link` with the relation `next`, as sent.
    pub next: Option<String>,
    /// Whether the registry applied the filter of artifact types.
    pub filtered: bool,
    /// The type of the page.
    pub content_type: Option<String>,
}

impl ListAnswer {
    /// The head of the last or only page.
    #[must_use]
    pub fn last(content_type: &str) -> Self {
        Self {
            content_type: Some(content_type.to_owned()),
            ..Self::default()
        }
    }

    /// The head of a page of names, with the path and query of the next page.
    pub(super) fn of_names(next: Option<String>) -> Self {
        Self {
            next,
            ..Self::last("application/json")
        }
    }

    /// Sets the path and query of the next page.
    #[must_use]
    pub fn with_next(mut self, target: &str) -> Self {
        self.next = Some(target.to_owned());
        self
    }

    /// States that the registry applied the requested filter of artifact types.
    #[must_use]
    pub const fn with_filter(mut self) -> Self {
        self.filtered = true;
        self
    }

    /// The origin that the link to the next page names, if it differs from `from`, the origin that
    /// sent this page. A client still requests the next page from `from` (RD5: only the query of
    /// the link is used), and may warn its user.
    #[must_use]
    pub fn foreign_next(&self, from: &Origin) -> Option<Origin> {
        let next = self.next.as_ref()?;
        // The path of this page does not affect the origin of the link.
        let (origin, _) = resolve((from, "/"), next.as_bytes()).ok()?;
        (origin != *from).then_some(origin)
    }

    /// Writes the head of the page.
    #[must_use]
    pub fn write(&self) -> (StatusCode, HeaderMap) {
        let mut headers = HeaderMap::new();
        let link = self
            .next
            .as_ref()
            .map(|target| format!("<{target}>; rel=\"next\""));
        field::put(&mut headers, header::LINK, link.as_ref());
        field::put(
            &mut headers,
            header::CONTENT_TYPE,
            self.content_type.as_ref(),
        );
        if self.filtered {
            headers.insert(FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
        }
        (StatusCode::OK, headers)
    }

    /// Writes the head and this page.
    pub(super) fn write_with(&self, page: Vec<u8>) -> Response<Bytes> {
        field::document(&Method::GET, self.write(), page.into())
    }

    /// Reads the head of a page.
    ///
    /// # Errors
    ///
    /// [`Violation`] when the status is not 200, `Link` is malformed, or the page has a content
    /// coding: no digest shows that its bytes are the right ones (DG6).
    pub fn read(head: &response::Parts) -> Result<Self, Violation> {
        let section = "Content Discovery";
        Violation::unless_status(head, &[StatusCode::OK], section)?;
        if let Some(violation) = Violation::coding(head, section) {
            return Err(violation);
        }
        let fields = head
            .headers
            .get_all(header::LINK)
            .iter()
            .map(HeaderValue::as_bytes);
        let next = link::next(fields).map_err(|_| {
            let found = head
                .headers
                .get(header::LINK)
                .map_or(&b""[..], HeaderValue::as_bytes);
            Violation::header(section, &header::LINK, found)
        })?;
        let filters = head.headers.get_all(FILTERS_APPLIED).iter();
        Ok(Self {
            next: next.map(|target| String::from_utf8_lossy(target).into_owned()),
            filtered: filters
                .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
                .any(|filter| filter.trim_ascii() == b"artifactType"),
            content_type: field::media_type(&head.headers),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_query_encodes_and_decodes() {
        let query = PageQuery::first(Some(5), Some("a/b +c"));
        assert_eq!(query.as_str(), "n=5&last=a%2Fb%20%2Bc");
        assert_eq!(query.get("last").as_deref(), Some("a/b +c"));
        assert_eq!(query.get("n").as_deref(), Some("5"));
        assert_eq!(query.get("x"), None);
        assert_eq!(
            PageQuery::raw("last=a%2&n=%zz+").get("last").as_deref(),
            Some("a%2")
        );
        assert_eq!(PageQuery::raw("n=%zz+").get("n").as_deref(), Some("%zz "));
        assert_eq!(PageQuery::raw("n=%ff").get("n"), None);
    }

    #[test]
    fn rd5_a_link_to_another_origin_is_seen() {
        let from: Origin = "https://r.example".parse().unwrap();
        for (next, foreign) in [
            ("/v2/a/tags/list?last=b", None),
            ("?last=b", None),
            ("https://r.example:443/x", None),
            ("http://r.example/x", Some("http://r.example")),
            ("//evil.example/x", Some("https://evil.example")),
            ("ftp://evil.example/x", None),
        ] {
            let answer = ListAnswer::last("application/json").with_next(next);
            let found = answer.foreign_next(&from).map(|origin| origin.to_string());
            assert_eq!(found.as_deref(), foreign, "{next}");
        }
        let last = ListAnswer::last("application/json");
        assert_eq!(last.foreign_next(&from), None);
    }

    #[test]
    fn dg6_a_coded_page_is_refused() {
        for (coding, refused) in [("gzip", true), ("identity", false), ("Identity", false)] {
            let (mut head, ()) = Response::new(()).into_parts();
            let value = HeaderValue::from_static(coding);
            head.headers.insert(header::CONTENT_ENCODING, value);
            let answer = ListAnswer::read(&head).map(|answer| answer.next);
            let violation = Violation::Header {
                section: "Content Discovery",
                header: "content-encoding".to_owned(),
                found: coding.to_owned(),
            };
            assert_eq!(answer, if refused { Err(violation) } else { Ok(None) });
        }
    }
}
