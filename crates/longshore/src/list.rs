//! Lists of a registry, page by page.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use longshore_origin::resolve;
use longshore_proto::endpoint::{ListAnswer, PageError, read_repositories, read_tags};
use longshore_proto::listing::Listing;

use crate::drive::Answer;
use crate::error::{Cause, Error};
use crate::repository::{Repository, Site};

pub use self::referrers::ReferrersPage;

mod referrers;

/// The pages of a list that is collected whole may have so many bytes in all; more are an error
/// (LI). A million tags of thirty characters fit.
pub const COLLECTED_LIMIT_BYTES: u64 = 32 * 1024 * 1024;

/// The entries of a list, page by page, as they are asked for.
///
/// Ends with an error when the registry leads in a circle, or on for ever (RD5, LI); what came
/// before is as good as any. One page is held at a time.
pub struct List<T> {
    site: Arc<Site>,
    fetch: Fetch<T>,
    items: VecDeque<T>,
    /// How many bytes the pages had so far.
    bytes: u64,
    /// What is listed.
    what: String,
    state: State<T>,
}

type Fetch<T> = Arc<dyn Fn(Arc<Site>, Listing) -> Fetching<T> + Send + Sync>;

type Fetching<T> = Pin<Box<dyn Future<Output = Result<Page<T>, Error>> + Send>>;

enum State<T> {
    Asking(Fetching<T>),
    Done,
    Due(Box<Listing>),
    Failed(Error),
}

/// One page, and where the list goes on.
struct Page<T> {
    items: Vec<T>,
    /// The length of the page as it came.
    bytes: u64,
    next: State<T>,
}

impl<T> List<T> {
    fn new<F>(
        site: Arc<Site>,
        listing: Listing,
        fetch: impl Fn(Arc<Site>, Listing) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Page<T>, Error>> + Send + 'static,
    {
        let what = listing.ask().endpoint.to_string();
        Self {
            site,
            fetch: Arc::new(move |site, listing| Box::pin(fetch(site, listing))),
            items: VecDeque::new(),
            bytes: 0,
            what,
            state: State::Due(Box::new(listing)),
        }
    }

    /// Ends with an error after so many entries (LI). The default is a million; what is set once
    /// the list was begun has no effect.
    #[must_use]
    pub fn with_limit(mut self, entries: u64) -> Self {
        if let State::Due(listing) = &mut self.state {
            **listing = (**listing).clone().with_limit(entries);
        }
        self
    }

    /// The next entry, or `None` at the end.
    ///
    /// Cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// The registry refuses or cannot be reached, a page is none, or the list goes on for ever.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Every entry, where the list is of moderate length: a longer one is for
    /// [`next`](Self::next), which holds a page at a time.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), and when the pages have more than [`COLLECTED_LIMIT_BYTES`] in
    /// all.
    pub async fn collect(mut self) -> Result<Vec<T>, Error> {
        let limit = COLLECTED_LIMIT_BYTES;
        let mut all = Vec::new();
        while let Some(item) = self.next().await {
            all.push(item?);
            if self.bytes > limit {
                return Err(self.site.error(&self.what, Cause::TooLarge { limit }));
            }
        }
        Ok(all)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            self.state = match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Poll::Ready(None),
                State::Failed(error) => return Poll::Ready(Some(Err(error))),
                State::Due(listing) => {
                    State::Asking((self.fetch)(Arc::clone(&self.site), *listing))
                }
                State::Asking(mut fetching) => match fetching.as_mut().poll(cx) {
                    Poll::Pending => {
                        self.state = State::Asking(fetching);
                        return Poll::Pending;
                    }
                    Poll::Ready(page) => match page {
                        Ok(page) => {
                            self.items.extend(page.items);
                            self.bytes = self.bytes.saturating_add(page.bytes);
                            page.next
                        }
                        Err(error) => State::Failed(error),
                    },
                },
            };
        }
    }
}

impl<T: Unpin> Stream for List<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(ready!(self.poll(cx)))
    }
}

impl<T> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List")
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}

impl Repository {
    /// The tags of the repository, at most `n` a page, those after `last` (distribution-spec
    /// v1.1.1 "Listing Tags").
    ///
    /// A tag is what the registry sent, and need not be one by the grammar (OU2).
    #[must_use]
    pub fn tags(&self, n: Option<u32>, last: Option<&str>) -> List<String> {
        let listing = Listing::tags(self.name().clone(), n, last);
        List::new(Arc::clone(self.site()), listing, |site, listing| {
            names(site, listing, read_tags)
        })
    }
}

/// The repositories of a registry.
pub(crate) fn catalogue(site: Arc<Site>, n: Option<u32>, last: Option<&str>) -> List<String> {
    let listing = Listing::catalogue(n, last);
    List::new(site, listing, |site, listing| {
        names(site, listing, read_repositories)
    })
}

async fn names(
    site: Arc<Site>,
    mut listing: Listing,
    read: fn(&[u8]) -> Result<Vec<String>, PageError>,
) -> Result<Page<String>, Error> {
    let (what, answer) = asked(&site, &mut listing).await?;
    if !answer.head.status.is_success() {
        return Err(site.refused(&what, &answer));
    }
    let (head, body) = page_of(&site, &what, answer)?;
    let items = read(&body).map_err(|error| site.error(&what, Cause::Page(error.into())))?;
    let entries: Vec<_> = items.iter().map(String::as_str).collect();
    let next = match go_on(&site, &what, &mut listing, &head, entries) {
        Ok(true) => State::Due(Box::new(listing)),
        Ok(false) => State::Done,
        Err(error) => State::Failed(error),
    };
    let bytes = body.len() as u64;
    Ok(Page { items, bytes, next })
}

/// Asks for the page that is due, and for a smaller one where the listing knows that to help.
async fn asked(site: &Site, listing: &mut Listing) -> Result<(String, Answer), Error> {
    loop {
        let ask = listing.ask();
        let what = ask.endpoint.to_string();
        let answer = site.drive(ask).await?;
        if !listing.on_refused(answer.head.status) {
            return Ok((what, answer));
        }
    }
}

fn page_of(site: &Site, what: &str, answer: Answer) -> Result<(ListAnswer, Bytes), Error> {
    let head = ListAnswer::read(&answer.head)
        .map_err(|violation| site.error(what, Cause::Violation(violation)))?;
    Ok((head, answer.into_bytes()))
}

/// Whether the list goes on, after these entries.
fn go_on(
    site: &Site,
    what: &str,
    listing: &mut Listing,
    head: &ListAnswer,
    entries: Vec<&str>,
) -> Result<bool, Error> {
    if let Some(next) = &head.next
        && let Ok((origin, _)) = resolve((site.origin(), "/v2/"), next.as_bytes())
        && origin != *site.origin()
    {
        tracing::warn!("{what}: the link to the next page leads to {origin}; asking here instead");
    }
    let more = listing.on_page(head, entries);
    more.map_err(|error| site.error(what, Cause::Listing(error)))
}
