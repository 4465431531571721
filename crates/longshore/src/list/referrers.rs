//! The manifests that refer to one.

use std::sync::Arc;

use longshore_model::{Descriptor, Digest, MediaType};
use longshore_proto::endpoint::{Endpoint, ListAnswer, ReferrersRequest};
use longshore_proto::referrers::{ReferrersListing, ReferrersNext, ReferrersPage, ReferrersTurn};

use super::{List, Page, PageFuture, PageSource, State, warn_of_foreign_link};
use crate::error::{Cause, Error, ErrorClass};
use crate::operation::Operation;
use crate::repository::Repository;
use crate::site::Site;

impl Repository {
    /// The manifests that refer to this one, of one artifact type or of all (distribution-spec
    /// v1.1.1 "Listing Referrers").
    ///
    /// If the registry does not have the referrers API, the fallback tag is read instead. If that
    /// tag does not exist, there are no referrers. The registry does not have the API if its quirks
    /// say so, or if the first answer is anything but an index, a server failure, a rate limit, or
    /// a refusal of the client's credentials.
    #[must_use]
    pub fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> List<Descriptor> {
        self.referrers_list(subject, artifact_type, ReferrersPage::into_descriptors)
    }

    /// As [`referrers`](Self::referrers), a page at a time and with its bytes.
    #[must_use]
    pub fn referrers_pages(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> List<ReferrersPage> {
        self.referrers_list(subject, artifact_type, |page| vec![page])
    }

    fn referrers_list<T: Send + 'static>(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        items: fn(ReferrersPage) -> Vec<T>,
    ) -> List<T> {
        let site = Arc::clone(self.site());
        let name = self.name().clone();
        let request = ReferrersRequest::new(name.clone(), subject.clone(), artifact_type);
        let endpoint = Endpoint::Referrers(request);
        let subject = subject.clone();
        let listing = ReferrersListing::new(name, subject, artifact_type.cloned(), &site.quirks())
            .with_manifest_limit(self.manifest_limit());
        let source = Referrers {
            listing,
            endpoint: endpoint.clone(),
            items,
        };
        List::new(site, endpoint, source)
    }
}

/// The size of a page in memory, with its entries (LI2).
fn memory_bytes(page: &ReferrersPage) -> u64 {
    let entries = page.descriptors().map(Descriptor::memory_bytes);
    (page.manifest.bytes().len() + entries.sum::<usize>()) as u64
}

struct Referrers<T> {
    listing: ReferrersListing,
    endpoint: Endpoint,
    /// Turns a page into the items of the list.
    items: fn(ReferrersPage) -> Vec<T>,
}

impl<T: Send + 'static> PageSource<T> for Referrers<T> {
    fn fetch(self: Box<Self>, site: Arc<Site>) -> PageFuture<T> {
        Box::pin(self.page(site))
    }

    fn limit(&mut self, entries: u64) {
        self.listing = self.listing.clone().with_limit(entries);
    }
}

impl<T: Send + 'static> Referrers<T> {
    /// Fetches until there is a page or the end.
    async fn page(mut self: Box<Self>, site: Arc<Site>) -> Result<Page<T>, Error> {
        loop {
            let turn = self.turn(&site).await?;
            if turn.page.is_none() && turn.next == ReferrersNext::Ask {
                continue;
            }
            let bytes = turn.page.as_ref().map_or(0, memory_bytes);
            let items = turn.page.map(self.items).unwrap_or_default();
            let items = Box::new(items.into_iter());
            let next = match turn.next {
                ReferrersNext::Ask => State::Due(self),
                ReferrersNext::End => State::Done,
                ReferrersNext::Fail(error) => {
                    let operation = Operation::Request(self.endpoint);
                    State::Failed(site.error(operation, Cause::Listing(error)))
                }
            };
            return Ok(Page { items, bytes, next });
        }
    }

    /// Sends one request.
    async fn turn(&mut self, site: &Site) -> Result<ReferrersTurn, Error> {
        let Some(ask) = self.listing.ask() else {
            return Ok(ReferrersTurn::end());
        };
        let mut answer = match site.drive(ask).await {
            Ok(answer) => answer,
            Err(error) => {
                let turn = match error.refusal() {
                    Some(refusal) => self.listing.on_refused(refusal, error.had_credentials()),
                    None if error.class() == ErrorClass::Unsupported => self.listing.on_unusable(),
                    None => None,
                };
                return turn.ok_or(error);
            }
        };
        if !answer.head.status.is_success() {
            let refusal = answer.refusal();
            let error = answer.refused(site);
            let turn = self.listing.on_refused(&refusal, error.had_credentials());
            return turn.ok_or(error);
        }
        if let Ok(head) = ListAnswer::read(&answer.head) {
            warn_of_foreign_link(site, &self.endpoint, &head);
        }
        let body = answer.take_bytes();
        match self.listing.on_answer(&answer.head, body) {
            Ok(turn) => Ok(turn),
            Err(error) => Err(answer.failed(site, error.into())),
        }
    }
}
