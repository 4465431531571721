//! Lists of a registry, page by page.

use std::fmt;
use std::future::poll_fn;
use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use longshore_origin::resolve;
use longshore_proto::endpoint::{
    Endpoint, ListAnswer, NamesPage, PageError, read_repositories, read_tags,
};
use longshore_proto::listing::Listing;

use crate::error::{Cause, Error};
use crate::operation::Operation;
use crate::repository::Repository;
use crate::site::Site;

mod referrers;

/// Maximum total size of the pages of a list that is collected as a whole, in bytes; for referrers,
/// their size in memory if that is larger. A larger list is an error (LI). A million tags of thirty
/// characters fit.
pub const COLLECTED_LIMIT_BYTES: u64 = 32 * 1024 * 1024;

/// The entries of a list, fetched page by page as they are read.
///
/// Ends with an error when a page links to a page that was read before, when more than 20 pages in
/// a row have no new entry, or when the list exceeds a limit (RD5, LI). The entries before the
/// error are valid. One page is held at a time.
pub struct List<T> {
    site: Arc<Site>,
    /// The rest of the page.
    items: Items<T>,
    /// The size of all pages so far, in bytes.
    bytes: u64,
    /// What is listed.
    endpoint: Endpoint,
    state: State<T>,
}

/// Fetches the pages of a list.
trait PageSource<T>: Send {
    /// Fetches the next page.
    fn fetch(self: Box<Self>, site: Arc<Site>) -> PageFuture<T>;

    /// Limits the number of entries.
    fn limit(&mut self, entries: u64);
}

/// The entries of a page, decoded one at a time (LI2).
type Items<T> = Box<dyn Iterator<Item = T> + Send>;

type PageFuture<T> = Pin<Box<dyn Future<Output = Result<Page<T>, Error>> + Send>>;

enum State<T> {
    Done,
    Due(Box<dyn PageSource<T>>),
    Failed(Error),
    Fetching(PageFuture<T>),
}

/// One page, and how the list continues.
struct Page<T> {
    items: Items<T>,
    /// The size of the page in bytes, or its size in memory if that is larger.
    bytes: u64,
    next: State<T>,
}

impl<T> List<T> {
    fn new(site: Arc<Site>, endpoint: Endpoint, source: impl PageSource<T> + 'static) -> Self
    where
        T: 'static,
    {
        Self {
            site,
            items: Box::new(iter::empty()),
            bytes: 0,
            endpoint,
            state: State::Due(Box::new(source)),
        }
    }

    /// Ends with an error after this many entries (LI). The default is a million. Calling this
    /// after the first page was requested has no effect.
    #[must_use]
    pub fn with_limit(mut self, entries: u64) -> Self {
        if let State::Due(source) = &mut self.state {
            source.limit(entries);
        }
        self
    }

    /// The next entry, or `None` at the end.
    ///
    /// Cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// The registry refuses or cannot be reached, a page is malformed, or the list does not end.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Every entry of a list of moderate length. For a longer one use [`next`](Self::next), which
    /// holds one page at a time.
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
                let operation = Operation::Request(self.endpoint);
                return Err(self.site.error(operation, Cause::TooLarge { limit }));
            }
        }
        Ok(all)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        loop {
            if let Some(item) = self.items.next() {
                return Poll::Ready(Some(Ok(item)));
            }
            self.state = match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Poll::Ready(None),
                State::Failed(error) => return Poll::Ready(Some(Err(error))),
                State::Due(source) => State::Fetching(source.fetch(Arc::clone(&self.site))),
                State::Fetching(mut fetching) => match fetching.as_mut().poll(cx) {
                    Poll::Pending => {
                        self.state = State::Fetching(fetching);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(page)) => {
                        self.items = page.items;
                        self.bytes = self.bytes.saturating_add(page.bytes);
                        page.next
                    }
                    Poll::Ready(Err(error)) => State::Failed(error),
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
    /// The tags of the repository after `last`, at most `n` a page (distribution-spec v1.1.1
    /// "Listing Tags").
    ///
    /// A tag is what the registry sent, and may break the grammar of tags (OU2): see
    /// [`NamesPage`].
    #[must_use]
    pub fn tags(&self, n: Option<u32>, last: Option<&str>) -> List<String> {
        let listing = Listing::tags(self.name().clone(), n, last);
        names(Arc::clone(self.site()), listing, read_tags)
    }
}

/// The repositories of a registry.
pub(crate) fn catalogue(site: Arc<Site>, n: Option<u32>, last: Option<&str>) -> List<String> {
    names(site, Listing::catalogue(n, last), read_repositories)
}

fn names(site: Arc<Site>, listing: Listing, read: ReadNames) -> List<String> {
    let endpoint = listing.ask().endpoint;
    List::new(site, endpoint, Names { listing, read })
}

/// A list of names.
struct Names {
    listing: Listing,
    read: ReadNames,
}

type ReadNames = fn(&Bytes) -> Result<NamesPage, PageError>;

impl PageSource<String> for Names {
    fn fetch(self: Box<Self>, site: Arc<Site>) -> PageFuture<String> {
        Box::pin(self.page(site))
    }

    fn limit(&mut self, entries: u64) {
        self.listing = self.listing.clone().with_limit(entries);
    }
}

impl Names {
    async fn page(mut self: Box<Self>, site: Arc<Site>) -> Result<Page<String>, Error> {
        let mut answer = loop {
            let answer = site.drive(self.listing.ask()).await?;
            if !self.listing.on_refused(answer.head.status) {
                break answer.successful(&site)?;
            }
        };
        let body = answer.take_bytes();
        let head = match ListAnswer::read(&answer.head) {
            Ok(head) => head,
            Err(violation) => return Err(answer.failed(&site, violation.into())),
        };
        let items = match (self.read)(&body) {
            Ok(items) => items,
            Err(error) => return Err(answer.failed(&site, Cause::Page(error.into()))),
        };
        warn_of_foreign_link(&site, &self.listing.ask().endpoint, &head);
        let next = match self.listing.on_page(&head, items.clone()) {
            Ok(true) => State::Due(self),
            Ok(false) => State::Done,
            Err(error) => State::Failed(answer.failed(&site, Cause::Listing(error))),
        };
        let bytes = body.len() as u64;
        let items = Box::new(items);
        Ok(Page { items, bytes, next })
    }
}

/// Logs a warning when the link to the next page names another origin. RD5: only the query of the
/// link is used.
fn warn_of_foreign_link(site: &Site, endpoint: &Endpoint, head: &ListAnswer) {
    if let Some(next) = &head.next
        && let Ok((origin, _)) = resolve((site.origin(), "/"), next.as_bytes())
        && origin != *site.origin()
    {
        tracing::warn!(
            "{endpoint}: the link to the next page leads to {origin}; the next page is requested \
             from {} instead",
            site.origin()
        );
    }
}
