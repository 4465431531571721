//! A list in pages.
//!
//! The machine decides where the next page is, and when a list has too many pages. The driver
//! reads the entries and passes them as text.
//!
//! ```text
//!    ┌── 400 or 413 to a large first page: a smaller one
//!    ▼
//!   ask ──► 200 ──► on_page ─┬─ no Link ───────────────────────────► None: the end
//!    ▲                       ├─ Link ──────────────────────────────► the next page
//!    └───────────────────────┘
//!                            ├─ Link to a page seen before ────────┐
//!                            ├─ Link, and nothing new on 21 pages ─┼► ListingError (RD5)
//!                            └─ pages or entries over their limit ─┘
//! ```

use std::collections::HashSet;

use http::StatusCode;
use longshore_model::{Digest, MediaType, RepositoryName};

use self::filter::{EntryFilter, hash};
use crate::call::{Ask, Take};
use crate::endpoint::{
    CatalogueRequest, Endpoint, ListAnswer, PageQuery, ReferrersRequest, TagsRequest,
};

mod filter;

/// A page of a list is read up to this size, in bytes; a larger one is an error (LI).
pub const PAGE_LIMIT_BYTES: u64 = 8 * 1024 * 1024;

/// Maximum number of pages of one list; one more is an error (LI).
pub const PAGES_LIMIT: u32 = 10_000;

/// Default maximum number of entries of one list; one more is an error (LI).
pub const ENTRIES_LIMIT: u64 = 1_000_000;

/// Maximum number of pages in a row without a new entry; one more is an error (RD5). Registries
/// that filter a list page by page send such pages.
pub const STALE_PAGES_LIMIT: u32 = 20;

/// A number of entries per page that every known registry accepts.
const SMALL_PAGE: u32 = 100;

/// A list in pages.
#[derive(Clone, Debug)]
pub struct Listing {
    endpoint: Endpoint,
    limit: u64,
    pages: u32,
    entries: u64,
    /// Number of pages in a row, up to the last one, without a new entry.
    stale_pages: u32,
    /// Hashes of the queries of the requested pages. Two queries with the same hash count as one,
    /// which would end the list with an error.
    asked: HashSet<u64>,
    /// The entries that were read. It is filled only if there is a second page.
    came: EntryFilter,
}

/// Why a list ends early (RD5, LI).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListingError {
    /// The list has more entries than its limit.
    #[error("the list has more than {limit} entries")]
    Entries {
        /// The limit.
        limit: u64,
    },
    /// The link points to a page that was read before.
    #[error("page {page} of the list links to a page that was read before")]
    Loop {
        /// Which page, from 1.
        page: u32,
    },
    /// The list has more pages than [`PAGES_LIMIT`].
    #[error("the list has more than {PAGES_LIMIT} pages")]
    Pages,
    /// More than [`STALE_PAGES_LIMIT`] pages in a row have no new entry.
    #[error("more than {STALE_PAGES_LIMIT} pages in a row, up to page {page}, have no new entry")]
    Stale {
        /// The number of the last of these pages, from 1.
        page: u32,
    },
}

impl Listing {
    /// The tags of a repository, at most `n` a page, those after `last`.
    #[must_use]
    pub fn tags(name: RepositoryName, n: Option<u32>, last: Option<&str>) -> Self {
        Self::of(Endpoint::Tags(TagsRequest::new(
            name,
            PageQuery::first(n, last),
        )))
    }

    /// The repositories of a registry, at most `n` a page, those after `last`.
    #[must_use]
    pub fn catalogue(n: Option<u32>, last: Option<&str>) -> Self {
        Self::of(Endpoint::Catalogue(CatalogueRequest::new(
            PageQuery::first(n, last),
        )))
    }

    /// What refers to a manifest, of one artifact type or of all.
    #[must_use]
    pub fn referrers(
        name: RepositoryName,
        subject: Digest,
        artifact_type: Option<&MediaType>,
    ) -> Self {
        Self::of(Endpoint::Referrers(ReferrersRequest::new(
            name,
            subject,
            artifact_type,
        )))
    }

    fn of(endpoint: Endpoint) -> Self {
        let mut listing = Self {
            endpoint,
            limit: ENTRIES_LIMIT,
            pages: 0,
            entries: 0,
            stale_pages: 0,
            asked: HashSet::new(),
            came: EntryFilter::default(),
        };
        let first = hash(listing.page().map_or("", PageQuery::as_str));
        listing.asked.insert(first);
        listing
    }

    /// Reads no more than this many entries.
    #[must_use]
    pub const fn with_limit(mut self, entries: u64) -> Self {
        self.limit = entries;
        self
    }

    /// The request for the page that is due.
    #[must_use]
    pub fn ask(&self) -> Ask {
        Ask::new(
            self.endpoint.clone(),
            Take::Document {
                limit: PAGE_LIMIT_BYTES,
            },
        )
    }

    /// Whether a page has come.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.pages > 0
    }

    /// A page came with these entries; says whether another is to be asked for.
    ///
    /// Of the link to it only the query is used: the next page is of the same list, on the same
    /// registry, wherever the link leads (RD5).
    ///
    /// # Errors
    ///
    /// [`ListingError`] when the list goes in a circle or over a limit. The entries of this page
    /// are then as good as those before.
    pub fn on_page(
        &mut self,
        answer: &ListAnswer,
        entries: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<bool, ListingError> {
        self.pages += 1;
        let mut fresh = false;
        for entry in entries {
            self.entries += 1;
            if self.entries > self.limit {
                return Err(ListingError::Entries { limit: self.limit });
            }
            if answer.next.is_some() {
                fresh |= self.came.insert(entry.as_ref());
            }
        }
        let Some(next) = &answer.next else {
            return Ok(false);
        };
        if self.pages >= PAGES_LIMIT {
            return Err(ListingError::Pages);
        }
        self.stale_pages = if fresh { 0 } else { self.stale_pages + 1 };
        if self.stale_pages > STALE_PAGES_LIMIT {
            return Err(ListingError::Stale { page: self.pages });
        }
        let query = query_of(next);
        if !self.asked.insert(hash(query)) {
            return Err(ListingError::Loop { page: self.pages });
        }
        let query = PageQuery::raw(query);
        if let Some(page) = self.page_mut() {
            *page = query;
        }
        Ok(true)
    }

    /// The first page was refused with this status; says whether to ask for a smaller one. Some
    /// registries refuse large pages instead of sending fewer entries (413 of Quay, 400 of ECR).
    pub fn on_refused(&mut self, status: StatusCode) -> bool {
        let wanted = self.page().and_then(|page| page.get("n"));
        let is_large = wanted
            .and_then(|n| n.parse::<u32>().ok())
            .is_some_and(|n| n > SMALL_PAGE);
        if self.pages > 0 || !is_large || !matches!(status.as_u16(), 400 | 413) {
            return false;
        }
        let Some(page) = self.page_mut() else {
            return false;
        };
        *page = PageQuery::first(Some(SMALL_PAGE), page.get("last").as_deref());
        true
    }

    fn page(&self) -> Option<&PageQuery> {
        match &self.endpoint {
            Endpoint::Catalogue(request) => Some(&request.page),
            Endpoint::Referrers(request) => Some(&request.page),
            Endpoint::Tags(request) => Some(&request.page),
            _ => None,
        }
    }

    fn page_mut(&mut self) -> Option<&mut PageQuery> {
        match &mut self.endpoint {
            Endpoint::Catalogue(request) => Some(&mut request.page),
            Endpoint::Referrers(request) => Some(&mut request.page),
            Endpoint::Tags(request) => Some(&mut request.page),
            _ => None,
        }
    }
}

/// The query of a URI reference, without its question mark (RFC 3986 §3.4).
fn query_of(target: &str) -> &str {
    let target = target.split_once('#').map_or(target, |(target, _)| target);
    target.split_once('?').map_or("", |(_, query)| query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags() -> Listing {
        Listing::tags("app".parse().unwrap(), None, None)
    }

    fn page(next: &str) -> ListAnswer {
        ListAnswer::last("application/json").with_next(next)
    }

    #[track_caller]
    fn asks_for(listing: &Listing, query: &str) {
        match listing.ask().endpoint {
            Endpoint::Tags(request) => assert_eq!(request.page.as_str(), query),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pages_follow_until_there_is_no_link() {
        let mut listing = tags();
        asks_for(&listing, "");
        assert_eq!(
            listing.on_page(&page("/v2/app/tags/list?last=b&n=2"), ["a", "b"]),
            Ok(true)
        );
        asks_for(&listing, "last=b&n=2");
        assert_eq!(
            listing.on_page(&ListAnswer::last("application/json"), ["c"]),
            Ok(false)
        );
    }

    #[test]
    fn rd5_only_the_query_of_a_link_is_used() {
        for target in [
            "https://evil.example/steal?last=b",
            "//x/?last=b",
            "?last=b#there",
        ] {
            let mut listing = tags();
            assert_eq!(listing.on_page(&page(target), ["a"]), Ok(true), "{target}");
            asks_for(&listing, "last=b");
        }
    }

    #[test]
    fn rd5_a_circle_ends_the_list() {
        let mut listing = tags();
        assert_eq!(listing.on_page(&page("?last=b"), ["a", "b"]), Ok(true));
        let again = listing.on_page(&page("?last=b"), ["c"]);
        assert_eq!(again, Err(ListingError::Loop { page: 2 }));

        let mut listing = tags();
        let nowhere = listing.on_page(&page("/v2/app/tags/list"), ["a"]);
        assert_eq!(nowhere, Err(ListingError::Loop { page: 1 }));
    }

    #[test]
    fn rd5_pages_without_a_new_entry_are_followed_twenty_times() {
        for entries in [&[][..], &["a"][..]] {
            let mut listing = tags();
            assert_eq!(listing.on_page(&page("?page=0"), ["a"]), Ok(true));
            for number in 1..=STALE_PAGES_LIMIT {
                let next = page(&format!("?page={number}"));
                let stale = listing.on_page(&next, entries.iter().copied());
                assert_eq!(stale, Ok(true), "{number}");
            }
            // A new entry begins the count again.
            let mut fresh = listing.clone();
            assert_eq!(fresh.on_page(&page("?page=x"), ["b"]), Ok(true));
            assert_eq!(fresh.on_page(&page("?page=y"), ["b"]), Ok(true));
            // So does the end.
            let last = ListAnswer::last("application/json");
            assert_eq!(listing.clone().on_page(&last, ["a"]), Ok(false));
            let ended = listing.on_page(&page("?page=x"), entries.iter().copied());
            let page = STALE_PAGES_LIMIT + 2;
            assert_eq!(ended, Err(ListingError::Stale { page }));
        }
    }

    #[test]
    fn a_first_page_that_is_too_large_is_asked_for_smaller_once() {
        let listing = |n| Listing::tags("app".parse().unwrap(), n, Some("a b"));
        for (n, status, smaller) in [
            (Some(1000), 413, true),
            (Some(1000), 400, true),
            (Some(100), 413, false),
            (None, 413, false),
            (Some(1000), 404, false),
        ] {
            let mut listing = listing(n);
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(listing.on_refused(status), smaller, "{n:?} {status}");
            assert!(!listing.on_refused(status), "{n:?} {status}");
            if smaller {
                asks_for(&listing, "n=100&last=a%20b");
            }
        }
        let mut listing = listing(Some(1000));
        assert_eq!(listing.on_page(&page("?n=1000&last=b"), ["b"]), Ok(true));
        assert!(!listing.on_refused(StatusCode::PAYLOAD_TOO_LARGE));
    }

    #[test]
    fn li_entries_and_pages_are_counted() {
        let mut listing = tags().with_limit(2);
        let many = listing.on_page(&page("?x"), ["a", "b", "c"]);
        assert_eq!(many, Err(ListingError::Entries { limit: 2 }));

        let mut listing = tags();
        for number in 1..PAGES_LIMIT {
            let next = page(&format!("?last={number}"));
            assert_eq!(
                listing.on_page(&next, [number.to_string().as_str()]),
                Ok(true)
            );
        }
        assert_eq!(
            listing.on_page(&page("?last=x"), ["x"]),
            Err(ListingError::Pages)
        );
    }
}
