//! The listing, of pages that a script gives.
//!
//! ```text
//! script = setup *( LF page )
//! setup  = [ 1*DIGIT ] ( "c" / "r" / "t" )        ; most entries; which list
//! page   = [ entry *( "," entry ) ] [ ">" link ]  ; a target, where there is a next page
//! ```

use std::collections::HashSet;

use longshore_model::{Digest, MediaType};
use longshore_origin::{Hop, Origin, Scheme};
use longshore_proto::Host;
use longshore_proto::call::Take;
use longshore_proto::endpoint::{Endpoint, ListAnswer, PageQuery};
use longshore_proto::listing::{
    Listing, ListingError, PAGE_LIMIT_BYTES, PAGES_LIMIT, STALE_PAGES_LIMIT,
};

use crate::answer::number;
use crate::shown::is_plain;

/// Plays a script.
///
/// # Panics
///
/// When a page is asked for that is of another list, on another host or was asked for before, when
/// a list continues for too long without a new entry, or ends early without a reason.
pub fn listing(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let setup = lines.next().unwrap_or_default();
    let (limit, kind) = number(setup);
    let is_limited = setup.first().is_some_and(u8::is_ascii_digit);
    let mut listing = list(kind);
    if is_limited {
        listing = listing.with_limit(limit);
    }
    let first = listing.ask().endpoint;
    let mut asked = HashSet::from([query(&first)]);
    let mut came = HashSet::new();
    let (mut entries, mut stale) = (0, 0);
    for (pages, line) in (1_u32..).zip(lines) {
        is_the_same_list(&listing, &first);
        let page = Page::read(line);
        entries += page.entries.len() as u64;
        let before = came.len();
        came.extend(page.entries.iter().map(|entry| (*entry).to_owned()));
        let fresh = came.len() > before;
        let next = page.target.map(query_of);
        match listing.on_page(&page.answer(), page.entries.iter().copied()) {
            Ok(true) => {
                let next = next.unwrap_or_else(|| panic!("nothing leads to a next page"));
                stale = if fresh { 0 } else { stale + 1 };
                assert!(
                    stale <= STALE_PAGES_LIMIT,
                    "RD5: continued after too many pages without a new entry"
                );
                assert_eq!(query(&listing.ask().endpoint), next, "RD5");
                assert!(asked.insert(next), "RD5: asked for before");
                assert!(
                    pages < PAGES_LIMIT && !(is_limited && entries > limit),
                    "LI"
                );
            }
            Ok(false) => return assert_eq!(next, None, "the list goes on"),
            Err(error) => {
                is_plain(&error);
                let is_so = match error {
                    ListingError::Entries { limit: told } => is_limited && told == limit,
                    ListingError::Loop { page } => {
                        page == pages && next.is_some_and(|next| asked.contains(&next))
                    }
                    ListingError::Pages => pages >= PAGES_LIMIT,
                    ListingError::Stale { page } => {
                        page == pages && !fresh && stale >= STALE_PAGES_LIMIT
                    }
                    other => panic!("{other}"),
                };
                return assert!(is_so, "{error} on page {pages}");
            }
        }
    }
}

fn list(kind: &[u8]) -> Listing {
    let name = || NAME.parse().unwrap_or_else(|error| panic!("{error}"));
    match kind.first() {
        Some(b'c') => Listing::catalogue(Some(9), None),
        Some(b'r') => {
            let subject = Digest::sha256(b"keel");
            Listing::referrers(name(), subject, Some(&MediaType::OCI_MANIFEST))
        }
        _ => Listing::tags(name(), None, Some("a/b c")),
    }
}

/// One page of a script.
#[derive(Debug)]
struct Page<'a> {
    entries: Vec<&'a str>,
    target: Option<&'a str>,
}

impl<'a> Page<'a> {
    fn read(line: &'a [u8]) -> Self {
        let line = std::str::from_utf8(line).unwrap_or_default();
        let (entries, target) = match line.split_once('>') {
            Some((entries, target)) => (entries, Some(target)),
            None => (line, None),
        };
        let entries = entries.split(',').filter(|entry| !entry.is_empty());
        Self {
            entries: entries.collect(),
            target,
        }
    }

    fn answer(&self) -> ListAnswer {
        let answer = ListAnswer::last("application/json");
        match self.target {
            Some(target) => answer.with_next(target),
            None => answer,
        }
    }
}

/// RD5: whatever a link names, the next page is of the same list, and of our host.
fn is_the_same_list(listing: &Listing, first: &Endpoint) {
    let ask = listing.ask();
    let limit = PAGE_LIMIT_BYTES;
    assert_eq!(ask.take, Take::Document { limit }, "LI");
    let home = Origin::from_authority(Scheme::Https, "registry.longshore.test");
    let home = home.unwrap_or_else(|error| panic!("{error}"));
    let host = Host::new(home.clone());
    let (head, expected) = (ask.endpoint.write(&host), first.write(&host));
    assert_eq!(head.method, expected.method);
    assert_eq!(head.headers, expected.headers);
    // A query that no request can hold is an error of the call.
    if let Ok(hop) = Hop::first(home.clone(), &head.path_and_query) {
        assert_eq!(*hop.origin(), home, "RD5");
        let path = |text: &str| text.split('?').next().map(str::to_owned);
        assert_eq!(
            hop.uri().path(),
            path(&expected.path_and_query).unwrap_or_default(),
            "RD5"
        );
        assert_eq!(hop.uri().query().unwrap_or_default(), query(&ask.endpoint));
    }
}

fn query(endpoint: &Endpoint) -> String {
    let page = match endpoint {
        Endpoint::Catalogue(request) => &request.page,
        Endpoint::Referrers(request) => &request.page,
        Endpoint::Tags(request) => &request.page,
        other => panic!("{other} is no list"),
    };
    PageQuery::as_str(page).to_owned()
}

/// RFC 3986 §3: what stands between the first `?` and the first `#` behind it.
fn query_of(target: &str) -> String {
    let target = target.split('#').next().unwrap_or_default();
    let mut parts = target.splitn(2, '?');
    parts.nth(1).unwrap_or_default().to_owned()
}

const NAME: &str = "tools/anchor";
