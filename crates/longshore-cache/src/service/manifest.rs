//! Manifests, by tag and by digest.

use std::sync::Arc;

use http::Response;
use longshore_model::{Descriptor, Digest, Tag, TagOrDigest};
use longshore_proto::endpoint::{ManifestRequest, Read};

use super::{PAUSE_AFTER_FAILURE, Reply, Shared, Site, check_verifiable, respond_with};
use crate::body::CacheBody;
use crate::document::Document;
use crate::failure::Failure;
use crate::known::{AbsentKey, ContentKey, HeadFact, TagKey};
use crate::name::ImageName;
use crate::observer::{MissReason, Outcome};
use crate::plan::{Age, ContentFacts, ContentPlan, NameFacts, NamePlan, plan_content, plan_name};
use crate::records::TagRecord;
use crate::upstream::Patience;

/// A whole manifest, or the answer of the upstream to its `HEAD`.
#[derive(Clone, Debug)]
pub(super) enum Fetched {
    Document(Arc<Document>),
    Head(HeadFact),
}

/// The result of asking an upstream about a manifest.
pub(super) type FetchResult = Result<Fetched, Failure>;

/// The key of a request to an upstream for a manifest, which several clients can share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum FetchKey {
    /// The manifest that a tag names.
    Tag(TagKey),
    /// The head of that manifest.
    TagHead(TagKey),
    /// Whether a tag still names the manifest that the cache has.
    Revalidation(TagKey),
    /// A manifest by its digest.
    Digest(ContentKey),
    /// The head of that manifest.
    DigestHead(ContentKey),
}

impl Shared {
    pub(super) async fn manifest(
        self: &Arc<Self>,
        site: &Arc<Site>,
        image: &ImageName,
        request: &ManifestRequest,
    ) -> Reply {
        let (outcome, result) = match &request.target {
            TagOrDigest::Tag(tag) => {
                let key = TagKey {
                    image: image.clone(),
                    tag: tag.clone(),
                };
                self.by_tag(site, &key, request.read).await
            }
            TagOrDigest::Digest(digest) => {
                let key = (image.clone(), digest.clone());
                self.by_digest(site, &key, request.read).await
            }
        };
        Reply::new(outcome, result.map(|fetched| answer(request, &fetched)))
    }

    async fn by_tag(
        self: &Arc<Self>,
        site: &Arc<Site>,
        key: &TagKey,
        read: Read,
    ) -> (Outcome, FetchResult) {
        let now = self.known.unix_time();
        let ttl = site.policy.tag_ttl(&key.tag, self.freshness.tag_ttl);
        let age_of = |validated| Age::of(validated, now, ttl, self.freshness.stale_if_error);
        let head = self
            .known
            .head(key)
            .filter(|head| age_of(head.at) == Age::Fresh);
        let (record, document) = self.observed(key, head.as_ref()).await;
        let age = record.as_ref().map(|record| age_of(record.last_validated));
        let plan = plan_name(NameFacts {
            age,
            at_hand: document.is_some(),
            known_absent: age != Some(Age::Fresh)
                && self.known.is_absent(&AbsentKey::Tag(key.clone())),
            offline: site.upstream.is_offline(),
            spare: age.is_some_and(|age| age != Age::Fresh)
                && self.spares(site, &AbsentKey::Tag(key.clone())),
        });
        match (plan, document) {
            (NamePlan::Serve { stale }, Some(document)) => {
                let outcome = if stale { Outcome::Stale } else { Outcome::Hit };
                (outcome, Ok(Fetched::Document(document)))
            }
            (NamePlan::Revalidate { stale }, Some(document)) => {
                Box::pin(self.revalidated(site, key, document, stale)).await
            }
            (NamePlan::Absent, _) => (Outcome::Negative, Err(Failure::Absent)),
            (NamePlan::Offline, _) => {
                let offline = Outcome::Miss(MissReason::Offline);
                (offline, Err(Failure::Offline))
            }
            _ => {
                let reason = match &record {
                    Some(record) => self.known.reason(&record.digest),
                    None => MissReason::Cold,
                };
                Box::pin(self.fetched_by_tag(site, key, read, head, reason)).await
            }
        }
    }

    /// The last answer of the upstream about a tag, and the manifest that the tag names, if the
    /// cache has it. An answer to `HEAD` counts if the cache has its manifest, because another
    /// client fetched it.
    async fn observed(
        &self,
        key: &TagKey,
        head: Option<&HeadFact>,
    ) -> (Option<TagRecord>, Option<Arc<Document>>) {
        if let Some(head) = head
            && let Some(document) = self.known.document(&head.digest).await
        {
            let record = TagRecord::new(head.digest.clone(), head.at);
            return (Some(record), Some(document));
        }
        let record = self.known.tag(key).await;
        let document = match &record {
            Some(record) => self.known.document(&record.digest).await,
            None => None,
        };
        (record, document)
    }

    /// Asks the upstream whether the tag still names the cached manifest. With `stale`, the wait is
    /// short: after it, or if the upstream fails, the answer is the cached manifest, and the
    /// request to the upstream continues in the background.
    async fn revalidated(
        self: &Arc<Self>,
        site: &Arc<Site>,
        key: &TagKey,
        document: Arc<Document>,
        stale: bool,
    ) -> (Outcome, FetchResult) {
        let patience = match stale {
            true => Patience::OneAttempt,
            false => Patience::Normal,
        };
        let (this, site, had) = (Arc::clone(self), Arc::clone(site), Arc::clone(&document));
        let tag = key.clone();
        let flight = self.fetch(&FetchKey::Revalidation(key.clone()), || async move {
            this.revalidate(&site, &tag, &had, patience).await
        });
        let result = match stale {
            true => self.unless_stale_wait_ends(flight).await,
            false => Some(flight.result().await.unwrap_or(Err(Failure::Interrupted))),
        };
        let expired = Outcome::Miss(MissReason::Expired);
        match result {
            Some(Ok(Fetched::Document(found))) => {
                let outcome = match found.digest() == document.digest() {
                    true => Outcome::Revalidated,
                    false => expired,
                };
                (outcome, Ok(Fetched::Document(found)))
            }
            Some(Err(failure)) if failure.excludes_stale() || !stale => (expired, Err(failure)),
            Some(Ok(Fetched::Head(head))) => (expired, Ok(Fetched::Head(head))),
            Some(Err(_)) => {
                let key = AbsentKey::Tag(key.clone());
                self.known.set_unanswered(key, PAUSE_AFTER_FAILURE);
                (Outcome::Stale, Ok(Fetched::Document(document)))
            }
            None => (Outcome::Stale, Ok(Fetched::Document(document))),
        }
    }

    async fn revalidate(
        self: Arc<Self>,
        site: &Arc<Site>,
        key: &TagKey,
        document: &Arc<Document>,
        patience: Patience,
    ) -> FetchResult {
        let target = TagOrDigest::Tag(key.tag.clone());
        let repository = &key.image.repository;
        let head = site
            .upstream
            .manifest_head(repository, &target, patience)
            .await;
        let Some(head) = head.map_err(Failure::Upstream)? else {
            self.known.drop_tag(key).await;
            self.known.set_absent(AbsentKey::Tag(key.clone()));
            return Err(Failure::Absent);
        };
        match head.digest {
            Some(digest) if digest == *document.digest() => {
                self.confirmed(key, digest);
                Ok(Fetched::Document(Arc::clone(document)))
            }
            _ => self.fetch_tag(site, key, patience).await,
        }
    }

    /// Answers a request for a tag whose manifest is not in the cache.
    async fn fetched_by_tag(
        self: &Arc<Self>,
        site: &Arc<Site>,
        key: &TagKey,
        read: Read,
        head: Option<HeadFact>,
        reason: MissReason,
    ) -> (Outcome, FetchResult) {
        if let (Read::Head, Some(head)) = (read, &head) {
            return (Outcome::Hit, Ok(Fetched::Head(head.clone())));
        }
        let (this, upstream, tag) = (Arc::clone(self), Arc::clone(site), key.clone());
        let flight = match read {
            Read::Head => self.fetch(&FetchKey::TagHead(key.clone()), || async move {
                this.head_tag(&upstream, &tag).await
            }),
            _ => self.fetch(&FetchKey::Tag(key.clone()), || async move {
                this.fetch_tag(&upstream, &tag, Patience::Normal).await
            }),
        };
        let result = flight.result().await;
        (
            Outcome::Miss(reason),
            result.unwrap_or(Err(Failure::Interrupted)),
        )
    }

    /// Asks the upstream which manifest a tag names. If the cache has that manifest, it is the
    /// answer, and is recorded for the tag.
    async fn head_tag(self: Arc<Self>, site: &Arc<Site>, key: &TagKey) -> FetchResult {
        let target = TagOrDigest::Tag(key.tag.clone());
        let repository = &key.image.repository;
        let head = site
            .upstream
            .manifest_head(repository, &target, Patience::Normal)
            .await;
        let Some(head) = head.map_err(Failure::Upstream)? else {
            self.known.set_absent(AbsentKey::Tag(key.clone()));
            return Err(Failure::Absent);
        };
        let (Some(digest), Some(media_type), Some(size)) =
            (head.digest, head.media_type, head.size)
        else {
            // An answer to HEAD must have all three, so fetch the manifest.
            return self.fetch_tag(site, key, Patience::Normal).await;
        };
        let document = self.known.document(&digest).await;
        let at = self.known.unix_time();
        let head = HeadFact {
            digest,
            media_type,
            size,
            at,
        };
        self.learn_head(&key.image, Some(&key.tag), &head);
        let Some(document) = document else {
            return Ok(Fetched::Head(head));
        };
        self.confirmed(key, head.digest);
        Ok(Fetched::Document(document))
    }

    /// Fetches the manifest that a tag names.
    async fn fetch_tag(
        self: &Arc<Self>,
        site: &Arc<Site>,
        key: &TagKey,
        patience: Patience,
    ) -> FetchResult {
        let target = TagOrDigest::Tag(key.tag.clone());
        match self.pull(site, &key.image, &target, patience).await? {
            Some(document) => {
                self.learn(&key.image, Some(&key.tag), &document);
                Ok(Fetched::Document(document))
            }
            None => {
                self.known.drop_tag(key).await;
                self.known.set_absent(AbsentKey::Tag(key.clone()));
                Err(Failure::Absent)
            }
        }
    }

    async fn by_digest(
        self: &Arc<Self>,
        site: &Arc<Site>,
        key: &ContentKey,
        read: Read,
    ) -> (Outcome, FetchResult) {
        if let Err(failure) = check_verifiable(&key.1) {
            return (Outcome::Refused, Err(failure));
        }
        let document = self.known.document(&key.1).await;
        let shown = self.known.is_shown(key).await;
        let at_hand = document.is_some();
        let plan = plan_content(ContentFacts {
            shown,
            at_hand,
            known_absent: !(shown && at_hand)
                && self.known.is_absent(&AbsentKey::Manifest(key.clone())),
            offline: site.upstream.is_offline(),
        });
        match (plan, document) {
            (ContentPlan::Serve, Some(document)) => (Outcome::Hit, Ok(Fetched::Document(document))),
            (ContentPlan::Absent, _) => (Outcome::Negative, Err(Failure::Absent)),
            (ContentPlan::Offline, _) => {
                let offline = Outcome::Miss(MissReason::Offline);
                (offline, Err(Failure::Offline))
            }
            (_, document) => Box::pin(self.fetched_by_digest(site, key, read, document)).await,
        }
    }

    /// Answers a request by digest with a request to the upstream. If the cache has the manifest
    /// (`document`), that is the answer after the upstream has proved that the repository contains
    /// it.
    async fn fetched_by_digest(
        self: &Arc<Self>,
        site: &Arc<Site>,
        key: &ContentKey,
        read: Read,
        document: Option<Arc<Document>>,
    ) -> (Outcome, FetchResult) {
        let is_head = read == Read::Head && document.is_none();
        if is_head && let Some(head) = self.known.digest_head(key) {
            return (Outcome::Hit, Ok(Fetched::Head(head)));
        }
        let (this, upstream, content) = (Arc::clone(self), Arc::clone(site), key.clone());
        let flight = if is_head || document.is_some() {
            self.fetch(&FetchKey::DigestHead(key.clone()), || async move {
                this.head_digest(&upstream, &content).await
            })
        } else {
            self.fetch(&FetchKey::Digest(key.clone()), || async move {
                this.fetch_digest(&upstream, &content).await
            })
        };
        let result = flight.result().await;
        let result = result.unwrap_or(Err(Failure::Interrupted));
        match document {
            Some(document) => {
                let result = result.map(|_| Fetched::Document(document));
                (Outcome::Miss(MissReason::Unmarked), result)
            }
            None => (Outcome::Miss(self.known.reason(&key.1)), result),
        }
    }

    /// Asks the upstream whether a repository contains a manifest.
    async fn head_digest(self: Arc<Self>, site: &Arc<Site>, key: &ContentKey) -> FetchResult {
        let target = TagOrDigest::Digest(key.1.clone());
        let repository = &key.0.repository;
        let head = site
            .upstream
            .manifest_head(repository, &target, Patience::Normal)
            .await;
        let Some(head) = head.map_err(Failure::Upstream)? else {
            self.known.set_absent(AbsentKey::Manifest(key.clone()));
            return Err(Failure::Absent);
        };
        let (Some(media_type), Some(size)) = (head.media_type, head.size) else {
            return self.fetch_digest(site, key).await;
        };
        let head = HeadFact {
            digest: key.1.clone(),
            media_type,
            size,
            at: self.known.unix_time(),
        };
        self.learn_head(&key.0, None, &head);
        Ok(Fetched::Head(head))
    }

    /// Remembers an answer of the upstream to `HEAD`, and writes in the background that the
    /// repository contains the manifest.
    fn learn_head(self: &Arc<Self>, image: &ImageName, tag: Option<&Tag>, head: &HeadFact) {
        self.known.learn_head(image, tag, head);
        let key = (image.clone(), head.digest.clone());
        self.behind(|this| async move { this.known.keep_mark(&key).await });
    }

    /// Remembers that a tag names a cached manifest, and writes this in the background.
    fn confirmed(self: &Arc<Self>, key: &TagKey, digest: Digest) {
        self.known.learn_tag(key, digest.clone());
        let key = key.clone();
        self.behind(|this| async move { this.known.keep_tag(&key, &digest).await });
    }

    async fn fetch_digest(self: &Arc<Self>, site: &Arc<Site>, key: &ContentKey) -> FetchResult {
        let target = TagOrDigest::Digest(key.1.clone());
        match self.pull(site, &key.0, &target, Patience::Normal).await? {
            Some(document) => {
                self.learn(&key.0, None, &document);
                Ok(Fetched::Document(document))
            }
            None => {
                self.known.set_absent(AbsentKey::Manifest(key.clone()));
                Err(Failure::Absent)
            }
        }
    }

    /// Fetches and verifies a manifest.
    async fn pull(
        &self,
        site: &Site,
        image: &ImageName,
        target: &TagOrDigest,
        patience: Patience,
    ) -> Result<Option<Arc<Document>>, Failure> {
        let pulled = site
            .upstream
            .manifest(&image.repository, target, patience)
            .await;
        let pulled = pulled.map_err(Failure::Upstream)?;
        Ok(pulled.map(|pulled| Arc::new(Document::from(pulled))))
    }

    /// Remembers a fetched manifest, and writes it in the background.
    fn learn(self: &Arc<Self>, image: &ImageName, tag: Option<&Tag>, document: &Arc<Document>) {
        self.known.learn_document(image, tag, document);
        let (image, tag, document) = (image.clone(), tag.cloned(), Arc::clone(document));
        self.behind(|this| async move {
            this.known
                .keep_document(&image, tag.as_ref(), &document)
                .await;
        });
    }
}

/// Makes the answer with a manifest, or with its head.
fn answer(request: &ManifestRequest, fetched: &Fetched) -> Response<CacheBody> {
    match fetched {
        Fetched::Document(document) => {
            let response = request.answer(&document.descriptor);
            respond_with(response, |range| {
                let cut = |at| usize::try_from(at).unwrap_or(usize::MAX);
                let range = cut(range.start)..cut(range.end);
                CacheBody::full(document.bytes.slice(range))
            })
        }
        Fetched::Head(head) => {
            let descriptor =
                Descriptor::new(head.media_type.clone(), head.digest.clone(), head.size);
            respond_with(request.answer(&descriptor), |_| CacheBody::empty())
        }
    }
}
