//! Lists of a registry, page by page.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use longshore_model::{Descriptor, Digest, Document, Manifest, MediaType, Tag, TagOrDigest};
use longshore_origin::resolve;
use longshore_proto::endpoint::{ListAnswer, PageError, read_repositories, read_tags};
use longshore_proto::listing::Listing;
use longshore_proto::{Referrers as Support, RefusalKind};

use crate::drive::Answer;
use crate::error::{Cause, Error};
use crate::repository::{Repository, Site};

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

/// What refers to a manifest: the descriptors of one page, and the page itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReferrersPage {
    /// The page, byte for byte, with everything it says.
    pub manifest: Manifest,
    /// The referrers of the artifact type that was asked for.
    pub descriptors: Vec<Descriptor>,
    /// Whether the registry keeps them as a tag, for lack of the referrers API.
    pub from_tag: bool,
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

    /// What refers to a manifest, of one artifact type or of all (distribution-spec v1.1.1
    /// "Listing Referrers").
    ///
    /// Where the registry does not know the referrers API (404, or its quirks say so) the tag
    /// that stands in for it is read instead; without that there are none.
    #[must_use]
    pub fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> List<Descriptor> {
        let fetch = self.referrers_fetch(subject, artifact_type);
        let listing = Listing::referrers(self.name().clone(), subject.clone(), artifact_type);
        List::new(Arc::clone(self.site()), listing, move |site, listing| {
            let page = fetch(site, listing);
            async move {
                let page = page.await?;
                let Page {
                    mut items,
                    bytes,
                    next,
                } = page;
                let descriptors = items.pop().map(|page| page.descriptors).unwrap_or_default();
                Ok(Page {
                    items: descriptors,
                    bytes,
                    next: next.of(),
                })
            }
        })
    }

    /// As [`referrers`](Self::referrers), a page at a time and with its bytes.
    #[must_use]
    pub fn referrers_pages(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> List<ReferrersPage> {
        let fetch = self.referrers_fetch(subject, artifact_type);
        let listing = Listing::referrers(self.name().clone(), subject.clone(), artifact_type);
        List::new(Arc::clone(self.site()), listing, fetch)
    }

    fn referrers_fetch(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> impl Fn(Arc<Site>, Listing) -> Fetching<ReferrersPage> + Send + Sync + 'static {
        let (repository, subject) = (self.clone(), subject.clone());
        let wanted = artifact_type.cloned();
        move |site, listing| {
            let (repository, subject) = (repository.clone(), subject.clone());
            let wanted = wanted.clone();
            Box::pin(async move {
                match repository
                    .referrers_page(&site, listing, wanted.as_ref())
                    .await?
                {
                    Some(page) => Ok(page),
                    None => repository.referrers_tag(&subject, wanted.as_ref()).await,
                }
            })
        }
    }

    /// One page by the API; `None` where the registry does not know it.
    async fn referrers_page(
        &self,
        site: &Site,
        mut listing: Listing,
        wanted: Option<&MediaType>,
    ) -> Result<Option<Page<ReferrersPage>>, Error> {
        if site.quirks().referrers == Support::Tag {
            return Ok(None);
        }
        let (what, answer) = asked(site, &mut listing).await?;
        if !answer.head.status.is_success() {
            if answer.refusal().kind() == RefusalKind::Absent {
                return Ok(None);
            }
            return Err(site.refused(&what, &answer));
        }
        let (head, body) = page_of(site, &what, answer)?;
        let manifest = Manifest::parse(body, head.content_type.as_deref())
            .map_err(|error| site.error(&what, Cause::Document(error)))?;
        let Document::Index(index) = manifest.document() else {
            return Err(site.error(&what, Cause::NotAnIndex));
        };
        let all: Vec<_> = index
            .manifests
            .iter()
            .map(|entry| entry.digest.as_str())
            .collect();
        let next = go_on(site, &what, &mut listing, &head, all);
        let wanted = wanted.filter(|_| !head.filtered);
        let descriptors = of_type(&index.manifests, wanted);
        let page = ReferrersPage {
            descriptors,
            manifest,
            from_tag: false,
        };
        Ok(Some(Page {
            bytes: page.manifest.bytes().len() as u64,
            items: vec![page],
            next: next.map_or_else(State::Failed, |more| {
                if more {
                    State::Due(Box::new(listing))
                } else {
                    State::Done
                }
            }),
        }))
    }

    /// The tag that stands in for the API (distribution-spec v1.1.1 "Referrers Tag Schema").
    async fn referrers_tag(
        &self,
        subject: &Digest,
        wanted: Option<&MediaType>,
    ) -> Result<Page<ReferrersPage>, Error> {
        let none = Page {
            items: Vec::new(),
            bytes: 0,
            next: State::Done,
        };
        let Some(tag) = tag_of(subject) else {
            return Ok(none);
        };
        let manifest = match self.manifest(&tag).await {
            Ok(pulled) => pulled.manifest,
            Err(error) if error.kind() == crate::ErrorKind::NotFound => return Ok(none),
            Err(error) => return Err(error),
        };
        // GitLab resolves such a tag to the subject itself, whose children are no referrers.
        let index = match manifest.document() {
            Document::Index(index) if !is_of(&manifest, subject) => index,
            _ => return Ok(none),
        };
        if self.are_children(&index.manifests, subject).await? {
            return Ok(none);
        }
        let descriptors = of_type(&index.manifests, wanted);
        let page = ReferrersPage {
            descriptors,
            manifest,
            from_tag: true,
        };
        Ok(Page {
            bytes: page.manifest.bytes().len() as u64,
            items: vec![page],
            next: State::Done,
        })
    }

    /// Whether these are children of the index, and not referrers, as a registry answers that
    /// resolves the tag to a copy of the subject of its own making (quirks.md, GitLab).
    ///
    /// Referrers have an artifact type (distribution-spec v1.1.1 "Listing Referrers"); the subject
    /// is asked for only where none of the entries has one.
    async fn are_children(&self, entries: &[Descriptor], subject: &Digest) -> Result<bool, Error> {
        if entries.is_empty() || entries.iter().any(|entry| entry.artifact_type.is_some()) {
            return Ok(false);
        }
        let pulled = match self.manifest(&subject.clone().into()).await {
            Ok(pulled) => pulled,
            // Referrers may outlive their subject.
            Err(error) if error.kind() == crate::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let Document::Index(parent) = pulled.manifest.document() else {
            return Ok(false);
        };
        let is_child = |entry: &Descriptor| {
            parent
                .manifests
                .iter()
                .any(|child| child.digest == entry.digest)
        };
        Ok(entries.iter().all(is_child))
    }
}

/// Whether this is the digest of these bytes, by its own algorithm. One that nobody can compute
/// is not.
fn is_of(manifest: &Manifest, digest: &Digest) -> bool {
    Digest::of(&digest.algorithm(), manifest.bytes()).is_ok_and(|actual| actual == *digest)
}

impl<T> State<T> {
    /// The same, of a list of other items.
    fn of<U>(self) -> State<U> {
        match self {
            Self::Due(listing) => State::Due(listing),
            Self::Failed(error) => State::Failed(error),
            Self::Asking(_) | Self::Done => State::Done,
        }
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

fn of_type(descriptors: &[Descriptor], wanted: Option<&MediaType>) -> Vec<Descriptor> {
    let fits = |entry: &&Descriptor| wanted.is_none() || entry.artifact_type.as_ref() == wanted;
    descriptors.iter().filter(fits).cloned().collect()
}

/// `<algorithm>-<encoded>`, cut to 32 and 64 characters, with what no tag may have replaced.
fn tag_of(subject: &Digest) -> Option<TagOrDigest> {
    let algorithm = subject.algorithm();
    let algorithm = algorithm.as_str();
    let encoded = subject.encoded();
    let cut = |text: &str, length: usize| text.get(..length).unwrap_or(text).to_owned();
    let text = format!("{}-{}", cut(algorithm, 32), cut(encoded, 64)).replace('+', "-");
    text.parse::<Tag>().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_a_subject_is_cut_to_what_a_tag_may_be() {
        let hex = "a".repeat(64);
        let digest: Digest = format!("sha256:{hex}").parse().unwrap();
        assert_eq!(
            tag_of(&digest).unwrap().to_string(),
            format!("sha256-{hex}")
        );
        let digest: Digest = format!("sha512:{}", "b".repeat(128)).parse().unwrap();
        let expected = format!("sha512-{}", "b".repeat(64));
        assert_eq!(tag_of(&digest).unwrap().to_string(), expected);
    }
}
