//! What all lists share: which page is asked for, and the head of its answer.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header, response};

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

    /// The query of a `Link` target, or as it stands in a request.
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

    pub(super) fn push(&mut self, name: &str, value: &str) {
        query::push(&mut self.0, name, value);
    }

    /// The request for this page of the list at this path.
    pub(super) fn request(&self, mut path: String) -> RequestHead {
        if !self.0.is_empty() {
            path.push('?');
            path.push_str(&self.0);
        }
        RequestHead::new(Method::GET, path)
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

    /// Another page follows, at this path and query.
    #[must_use]
    pub fn with_next(mut self, target: &str) -> Self {
        self.next = Some(target.to_owned());
        self
    }

    /// The entries are of one artifact type, as was asked for.
    #[must_use]
    pub const fn with_filter(mut self) -> Self {
        self.filtered = true;
        self
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

    /// Reads the head of a page.
    ///
    /// # Errors
    ///
    /// [`Violation`] when the status is not 200, `Link` makes no sense, or the page is coded: no
    /// digest tells that its bytes are those that were meant (DG6).
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
            content_type: field::text(&head.headers, &header::CONTENT_TYPE),
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
    fn dg6_a_coded_page_is_refused() {
        for (coding, refused) in [("gzip", true), ("identity", false), ("Identity", false)] {
            let (mut head, ()) = http::Response::new(()).into_parts();
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
