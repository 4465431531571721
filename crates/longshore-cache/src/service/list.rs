//! Lists of tags and of referrers, and the catalogue of the cached repositories.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use longshore_model::Descriptor;
use longshore_proto::endpoint::{ReferrersRequest, TagsRequest};

use super::{PAUSE_AFTER_FAILURE, Reply, Shared, Site};
use crate::body::CacheBody;
use crate::failure::Failure;
use crate::known::AbsentKey;
use crate::name::{ImageName, UpstreamName};
use crate::observer::{MissReason, Outcome};
use crate::plan::{Age, NameFacts, NamePlan, plan_name};
use crate::records::{ListKey, ListRecord};
use crate::target::{Outer, PAGE_ENTRIES_LIMIT, TargetCatalogue};

pub(super) type ListId = (ImageName, ListKey);
pub(super) type ListResult = Result<Arc<ListRecord>, Failure>;
/// The sorted names of the cached repositories.
pub(super) type CatalogueResult = Result<Arc<Vec<String>>, Failure>;

impl Shared {
    pub(super) async fn tags(
        self: &Arc<Self>,
        site: &Arc<Site>,
        image: &ImageName,
        request: &TagsRequest,
        outer: &Outer,
    ) -> Reply {
        let (outcome, list) = self.list(site, &(image.clone(), ListKey::Tags)).await;
        let result = list.and_then(|list| {
            let mut named = request.clone();
            named.name = outer.name.clone();
            let response = named.answer(&outer.base, &list.entries, PAGE_ENTRIES_LIMIT);
            response.map_err(Failure::Request).map(in_memory)
        });
        Reply::new(outcome, result)
    }

    pub(super) async fn referrers(
        self: &Arc<Self>,
        site: &Arc<Site>,
        image: &ImageName,
        request: &ReferrersRequest,
        outer: &Outer,
    ) -> Reply {
        let key = (image.clone(), ListKey::Referrers(request.subject.clone()));
        let (outcome, list) = self.list(site, &key).await;
        let result = list.map(|list| {
            // This cache wrote the list, so every entry is a descriptor.
            let entries = list.entries.iter();
            let referrers = entries.filter_map(|entry| serde_json::from_str(entry).ok());
            let mut named = request.clone();
            named.name = outer.name.clone();
            in_memory(named.answer(&outer.base, referrers, PAGE_ENTRIES_LIMIT))
        });
        Reply::new(outcome, result)
    }

    pub(super) async fn catalogue(self: &Arc<Self>, target: &TargetCatalogue) -> Reply {
        // Every request reads all names, so concurrent requests share one read.
        let (this, upstream) = (Arc::clone(self), target.upstream.clone());
        let work = || async move { this.repositories(upstream.as_ref()).await };
        let now = self.clock.now();
        let flight = self.catalogues.join(&target.upstream, now, work);
        let names = match flight.result().await.unwrap_or(Err(Failure::Interrupted)) {
            Ok(names) => names,
            Err(failure) => return Reply::new(Outcome::Refused, Err(failure)),
        };
        let answer = target
            .request
            .answer(&target.base, &names, PAGE_ENTRIES_LIMIT);
        let result = answer.map_err(Failure::Request).map(in_memory);
        Reply::new(Outcome::Hit, result)
    }

    /// The names of the cached repositories, of one upstream or of all.
    async fn repositories(&self, upstream: Option<&UpstreamName>) -> CatalogueResult {
        let images = self.known.records().images().await.map_err(|error| {
            tracing::warn!(%error, "cannot list the repositories in the records of the cache");
            Failure::Records
        })?;
        let is_wanted =
            |image: &ImageName| upstream.is_none_or(|upstream| image.upstream == *upstream);
        let images = images.into_iter().filter(is_wanted);
        let mut names: Vec<String> = images.map(|image| image.to_string()).collect();
        names.sort_unstable();
        Ok(Arc::new(names))
    }

    /// The list that the upstream sent last. Concurrent requests read its record once.
    async fn known_list(self: &Arc<Self>, key: &ListId) -> Option<Arc<ListRecord>> {
        if let Some(list) = self.known.list(key) {
            return Some(list);
        }
        let (this, list) = (Arc::clone(self), key.clone());
        let work = || async move { this.known.stored_list(&list).await };
        let flight = self.list_reads.join(key, self.clock.now(), work);
        flight.result().await.flatten()
    }

    async fn list(self: &Arc<Self>, site: &Arc<Site>, key: &ListId) -> (Outcome, ListResult) {
        let known = self.known_list(key).await;
        let now = self.known.unix_time();
        let (ttl, limit) = (self.freshness.tag_ttl, self.freshness.stale_if_error);
        let age = known.as_ref();
        let age = age.map(|list| Age::of(list.last_validated, now, Some(ttl), limit));
        let plan = plan_name(NameFacts {
            age,
            at_hand: known.is_some(),
            known_absent: age != Some(Age::Fresh) && self.known.is_absent(&absent_key(key)),
            offline: site.upstream.is_offline(),
            spare: age.is_some_and(|age| age != Age::Fresh) && self.spares(site, &absent_key(key)),
        });
        match (plan, known) {
            (NamePlan::Serve { stale }, Some(list)) => {
                let outcome = if stale { Outcome::Stale } else { Outcome::Hit };
                (outcome, Ok(list))
            }
            (NamePlan::Revalidate { stale: true }, Some(list)) => {
                let flight = self.fetch_list(site, key);
                match self.unless_stale_wait_ends(flight).await {
                    Some(Ok(fetched)) => (Outcome::Miss(MissReason::Expired), Ok(fetched)),
                    Some(Err(Failure::Absent)) => {
                        (Outcome::Miss(MissReason::Expired), Err(Failure::Absent))
                    }
                    Some(Err(_)) => {
                        self.known
                            .set_unanswered(absent_key(key), PAUSE_AFTER_FAILURE);
                        (Outcome::Stale, Ok(list))
                    }
                    None => (Outcome::Stale, Ok(list)),
                }
            }
            (NamePlan::Absent, _) => (Outcome::Negative, Err(Failure::Absent)),
            (NamePlan::Offline, _) => {
                let offline = Outcome::Miss(MissReason::Offline);
                (offline, Err(Failure::Offline))
            }
            (_, known) => {
                let reason = match known {
                    Some(_) => MissReason::Expired,
                    None => MissReason::Cold,
                };
                let result = self.fetch_list(site, key).result().await;
                let result = result.unwrap_or(Err(Failure::Interrupted));
                (Outcome::Miss(reason), result)
            }
        }
    }

    fn fetch_list(self: &Arc<Self>, site: &Arc<Site>, key: &ListId) -> super::Flight<ListResult> {
        let (this, site, list) = (Arc::clone(self), Arc::clone(site), key.clone());
        self.lists.join(key, self.clock.now(), || async move {
            this.ask_for_list(&site, &list).await
        })
    }

    async fn ask_for_list(self: &Arc<Self>, site: &Site, key: &ListId) -> ListResult {
        let repository = &key.0.repository;
        let entries: Option<Vec<String>> = match &key.1 {
            ListKey::Tags => {
                let tags = site
                    .upstream
                    .tags(repository)
                    .await
                    .map_err(Failure::Upstream)?;
                tags.map(|mut tags| {
                    tags.sort_unstable();
                    tags.dedup();
                    tags
                })
            }
            ListKey::Referrers(subject) => {
                let referrers = site.upstream.referrers(repository, subject).await;
                let referrers = referrers.map_err(Failure::Upstream)?;
                Some(referrers.iter().filter_map(entry).collect())
            }
        };
        let Some(entries) = entries else {
            self.known.drop_list(key).await;
            self.known.set_absent(absent_key(key));
            return Err(Failure::Absent);
        };
        let list = Arc::new(ListRecord::new(entries, self.known.unix_time()));
        self.known.learn_list(key, &list);
        let (key, kept) = (key.clone(), Arc::clone(&list));
        self.behind(|this| async move { this.known.keep_list(&key, &kept).await });
        Ok(list)
    }
}

fn absent_key(key: &ListId) -> AbsentKey {
    AbsentKey::List(key.0.clone(), key.1.clone())
}

/// The entry of a list for this referrer.
fn entry(referrer: &Descriptor) -> Option<String> {
    serde_json::to_string(referrer).ok()
}

fn in_memory(response: Response<Bytes>) -> Response<CacheBody> {
    response.map(CacheBody::full)
}
