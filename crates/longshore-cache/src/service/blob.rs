//! Blobs: from the store, from a fill, or, for a distant range, directly from the upstream.

use std::ops::Range;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Response, StatusCode};
use longshore_proto::endpoint::{BlobBody, BlobRequest, Read};

use super::{Reply, Shared, Site, check_verifiable};
use crate::body::CacheBody;
use crate::failure::Failure;
use crate::fill::{Fill, FillError, FillErrorKind, FillKey, FillSource, FillState};
use crate::known::{AbsentKey, ContentKey, ContentKind};
use crate::name::ImageName;
use crate::observer::{Event, MissReason, Outcome};
use crate::plan::{ContentFacts, ContentPlan, RangeFacts, RangeSource, plan_content, plan_range};
use crate::policy::UnverifiedRanges;
use crate::upstream::{Patience, UpstreamError, UpstreamErrorKind, UpstreamFrames};

/// The header field that marks an answer sent before the whole blob was verified.
const VERIFIED: HeaderName = HeaderName::from_static("longshore-verified");

/// The result of a `HEAD` of a blob: its size, if the upstream states it.
pub(super) type BlobHeadResult = Result<Option<u64>, Failure>;

type BlobResult = (Outcome, Result<Response<CacheBody>, Failure>);

impl Shared {
    pub(super) async fn blob(
        self: &Arc<Self>,
        site: &Arc<Site>,
        image: &ImageName,
        request: &BlobRequest,
    ) -> Reply {
        if let Err(failure) = check_verifiable(&request.digest) {
            return Reply::new(Outcome::Refused, Err(failure));
        }
        let key = (image.clone(), request.digest.clone());
        let (outcome, result) = self.blob_result(site, &key, request).await;
        Reply::new(outcome, result)
    }

    async fn blob_result(
        self: &Arc<Self>,
        site: &Arc<Site>,
        key: &ContentKey,
        request: &BlobRequest,
    ) -> BlobResult {
        if self.known.kind(&key.1).await == Some(ContentKind::Manifest) {
            return Box::pin(self.manifest_as_blob(site, key)).await;
        }
        let shown = self.known.is_shown(key).await;
        let at_hand = self.known.store().size(&key.1).is_some();
        let plan = plan_content(ContentFacts {
            shown,
            at_hand,
            known_absent: !(shown && at_hand)
                && self.known.is_absent(&AbsentKey::Blob(key.clone())),
            offline: site.upstream.is_offline(),
        });
        let (outcome, reason) = match plan {
            ContentPlan::Serve => (Outcome::Hit, MissReason::Damaged),
            ContentPlan::Show => {
                let outcome = Outcome::Miss(MissReason::Unmarked);
                if let Err(failure) = Box::pin(self.head_blob(site, key)).await {
                    return (outcome, Err(failure));
                }
                (outcome, MissReason::Damaged)
            }
            ContentPlan::Fetch => {
                let reason = self.known.reason(&key.1);
                return Box::pin(self.fetched(site, key, request, reason)).await;
            }
            ContentPlan::Absent => return (Outcome::Negative, Err(Failure::Absent)),
            ContentPlan::Offline => {
                let offline = Outcome::Miss(MissReason::Offline);
                return (offline, Err(Failure::Offline));
            }
        };
        match self.known.blob(&key.1) {
            Some(stored) => {
                let answered = request.answer(stored.size()).map_err(Failure::Request);
                let result = answered.map(|response| {
                    response.map(|body| match body {
                        BlobBody::Bytes(range) => CacheBody::stored(stored, range),
                        BlobBody::Multipart(parts) => CacheBody::stored_parts(stored, parts),
                    })
                });
                (outcome, result)
            }
            // The stored blob is damaged, or its file was deleted.
            None => Box::pin(self.fetched(site, key, request, reason)).await,
        }
    }

    /// Answers a request for a manifest at the blob endpoint with 404. containerd requests any
    /// content there first, and requests the manifest after a 404. If no upstream answer proved
    /// that the repository contains the manifest, the upstream is asked first, so that the answer
    /// reveals nothing about other repositories (CA6).
    async fn manifest_as_blob(self: &Arc<Self>, site: &Arc<Site>, key: &ContentKey) -> BlobResult {
        if self.known.is_shown(key).await || self.known.is_absent(&AbsentKey::Blob(key.clone())) {
            return (Outcome::Negative, Err(Failure::Absent));
        }
        let asked = self.head_blob(site, key).await;
        let outcome = Outcome::Miss(MissReason::Unmarked);
        (outcome, asked.and(Err(Failure::Absent)))
    }

    /// Answers a request for a blob that is not stored.
    async fn fetched(
        self: &Arc<Self>,
        site: &Arc<Site>,
        key: &ContentKey,
        request: &BlobRequest,
        reason: MissReason,
    ) -> BlobResult {
        if request.read == Read::Head || request.if_none_match.is_some() {
            let (outcome, size) = match self.known_size(key).await {
                Some(size) => (Outcome::Hit, Ok(size)),
                None => (Outcome::Miss(reason), self.blob_size(site, key).await),
            };
            let size = match size {
                Ok(size) => size,
                Err(failure) => return (outcome, Err(failure)),
            };
            let response = answer_with(request, size, |_| CacheBody::empty());
            let is_unmodified = |it: &Response<_>| it.status() == StatusCode::NOT_MODIFIED;
            if request.read == Read::Head || response.as_ref().is_ok_and(is_unmodified) {
                return (outcome, response);
            }
        }
        match request.range {
            None => self.whole(site, key, request, reason).await,
            Some(_) => self.part(site, key, request, reason).await,
        }
    }

    /// Answers with the whole blob, from the running fill or a new one.
    async fn whole(
        self: &Arc<Self>,
        site: &Arc<Site>,
        key: &ContentKey,
        request: &BlobRequest,
        reason: MissReason,
    ) -> BlobResult {
        match self.fill(site, key, reason).await {
            (outcome, Ok((fill, size))) => {
                let result = answer_with(request, size, |body| fill_body(fill, body));
                (outcome, result)
            }
            (outcome, Err(failure)) => (outcome, Err(failure)),
        }
    }

    /// Joins or starts the fill of a blob, and waits for its head.
    async fn fill(
        self: &Arc<Self>,
        site: &Arc<Site>,
        key: &ContentKey,
        reason: MissReason,
    ) -> (Outcome, Result<(Fill, u64), Failure>) {
        let image = &key.0;
        // The size from an earlier answer of the upstream may be wrong.
        let mut size = self.known.blob_size(key).await;
        loop {
            let (outcome, fill) = match self.fills.join(&fill_key(key)) {
                Some(fill) => (Outcome::Joined, fill),
                None => (Outcome::Miss(reason), self.begin_fill(site, key, size)),
            };
            match self.size_of(&fill).await {
                Ok(size) => {
                    if fill.shows(&image.repository) {
                        self.known.learn_shown(key);
                    } else if !self.known.is_shown(key).await
                        // CA6: an answer about another repository proves nothing about this one.
                        && let Err(failure) = self.head_blob(site, key).await
                    {
                        return (outcome, Err(failure));
                    }
                    self.known.learn_blob_size(key, size);
                    return (outcome, Ok((fill, size)));
                }
                // An error of another repository says nothing about this one: try again.
                Err(_) if *fill.repository() != image.repository => {}
                Err(error) if error.kind() == INVALID && size.is_some() => {
                    self.known.forget_blob_size(key);
                    size = None;
                }
                Err(error) => {
                    if error.kind() == ABSENT {
                        self.known.set_absent(AbsentKey::Blob(key.clone()));
                    }
                    return (outcome, Err(Failure::Fill(error)));
                }
            }
        }
    }

    /// The size of the blob of a fill. If the upstream does not announce the size, this waits for
    /// the end of the transfer.
    async fn size_of(&self, fill: &Fill) -> Result<u64, FillError> {
        if let Some(size) = fill.head().await?.size {
            return Ok(size);
        }
        if fill.passes_through() {
            // A blob that is not stored must be read while it arrives, so nothing can wait for its
            // size.
            return Err(FillErrorKind::Store.into());
        }
        fill.done().await?;
        Ok(fill.progress().written)
    }

    fn begin_fill(self: &Arc<Self>, site: &Arc<Site>, key: &ContentKey, size: Option<u64>) -> Fill {
        let source = FillSource::new(site.upstream.clone(), key.0.repository.clone());
        let fill = self.fills.begin(fill_key(key), source, size);
        let (key, verdict) = (key.clone(), fill.verdict());
        self.behind(|this| async move {
            if verdict.reached().await.is_err() {
                this.known.forget_blob_size(&key);
                return;
            }
            this.known.keep_blob(&key.1).await;
            if verdict.shows(&key.0.repository) {
                this.known.learn_shown(&key);
                this.known.keep_mark(&key).await;
            }
        });
        fill
    }

    /// Answers with one or more ranges of a blob.
    async fn part(
        self: &Arc<Self>,
        site: &Arc<Site>,
        key: &ContentKey,
        request: &BlobRequest,
        reason: MissReason,
    ) -> BlobResult {
        let size = match self.blob_size(site, key).await {
            Ok(size) => size,
            Err(failure) => return (Outcome::Miss(reason), Err(failure)),
        };
        let response = match request.answer(size) {
            Ok(response) => response,
            Err(refusal) => return (Outcome::Refused, Err(Failure::Request(refusal))),
        };
        let ranges = match response.body() {
            BlobBody::Bytes(range) if range.is_empty() => {
                return (
                    Outcome::Miss(reason),
                    Ok(response.map(|_| CacheBody::empty())),
                );
            }
            BlobBody::Bytes(range) => std::slice::from_ref(range),
            BlobBody::Multipart(parts) => parts.ranges(),
        };
        let length: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        let wanted = length.saturating_add(self.known.relayed(&key.1));
        // A fill that is not stored can be read only in order, so a range cannot use it.
        let running = self.fills.join(&fill_key(key));
        let running = running.filter(|fill| !fill.passes_through());
        let plan = plan_range(RangeFacts {
            count: ranges.len(),
            first: farthest(ranges),
            wanted,
            size,
            written: running.map(|fill| fill.progress().written),
            store_limit: self.known.store().limit(),
            may_be_unverified: self.unverified_ranges == UnverifiedRanges::Allow,
        });
        if plan.from != RangeSource::Upstream {
            let must_wait = plan.from == RangeSource::Verified;
            return self
                .filled_part(site, key, response, must_wait, reason)
                .await;
        }
        self.known.set_relayed(&key.1, wanted);
        if plan.fill {
            self.fill_behind(site, key);
        }
        let (parts, body) = response.into_parts();
        match relayed(site, key, size, body).await {
            Ok(body) => {
                let response = Response::from_parts(parts, body);
                (Outcome::PassedThrough, Ok(self.marked(key, response)))
            }
            // The upstream sends no ranges.
            Err(error) if error.kind() == UpstreamErrorKind::Invalid => {
                match request.answer(size) {
                    Ok(response) => self.filled_part(site, key, response, false, reason).await,
                    Err(refusal) => (Outcome::Refused, Err(Failure::Request(refusal))),
                }
            }
            Err(error) => (Outcome::Miss(reason), Err(Failure::Upstream(error))),
        }
    }

    /// Answers with one or more ranges of a blob from its fill; with `must_wait`, only after the
    /// blob was verified.
    async fn filled_part(
        self: &Arc<Self>,
        site: &Arc<Site>,
        key: &ContentKey,
        response: Response<BlobBody>,
        must_wait: bool,
        reason: MissReason,
    ) -> BlobResult {
        let (outcome, filled) = self.fill(site, key, reason).await;
        let fill = match filled {
            Ok((fill, _)) => fill,
            Err(failure) => return (outcome, Err(failure)),
        };
        if must_wait {
            if fill.passes_through() {
                return (outcome, Err(Failure::NoRoom));
            }
            if let Err(error) = fill.done().await {
                return (outcome, Err(Failure::Fill(error)));
            }
        }
        let verified = matches!(fill.progress().state, FillState::Verified);
        let response = response.map(|body| fill_body(fill, body));
        match verified {
            true => (outcome, Ok(response)),
            false => (outcome, Ok(self.marked(key, response))),
        }
    }

    /// Starts a fill in the background.
    fn fill_behind(self: &Arc<Self>, site: &Arc<Site>, key: &ContentKey) {
        let (site, key) = (Arc::clone(site), key.clone());
        self.behind(|this| async move {
            // A failure is reported when the whole blob is requested.
            let _ = this.fill(&site, &key, MissReason::Cold).await;
        });
    }

    /// Marks and counts an answer that is sent before the whole blob was verified.
    fn marked(&self, key: &ContentKey, mut response: Response<CacheBody>) -> Response<CacheBody> {
        let headers = response.headers_mut();
        headers.insert(VERIFIED, HeaderValue::from_static("no"));
        self.observer.event(&Event::UnverifiedRange {
            upstream: &key.0.upstream,
            digest: &key.1,
        });
        response
    }

    /// The size of a blob of this repository, without a request to the upstream.
    async fn known_size(&self, key: &ContentKey) -> Option<u64> {
        match self.known.is_shown(key).await {
            true => self.known.blob_size(key).await,
            false => None,
        }
    }

    /// The size of a blob, after an upstream answer proved that the repository contains it.
    async fn blob_size(
        self: &Arc<Self>,
        site: &Arc<Site>,
        key: &ContentKey,
    ) -> Result<u64, Failure> {
        if let Some(size) = self.known_size(key).await {
            return Ok(size);
        }
        if let Some(size) = self.head_blob(site, key).await? {
            return Ok(size);
        }
        // The upstream states the size only when it sends the blob.
        let (_, filled) = self.fill(site, key, MissReason::Cold).await;
        filled.map(|(_, size)| size)
    }

    /// Asks the upstream whether a repository contains a blob.
    async fn head_blob(self: &Arc<Self>, site: &Arc<Site>, key: &ContentKey) -> BlobHeadResult {
        let (this, site, content) = (Arc::clone(self), Arc::clone(site), key.clone());
        let flight = self.blob_heads.join(key, self.clock.now(), || async move {
            let (image, digest) = &content;
            let head = site
                .upstream
                .blob_head(&image.repository, digest, Patience::Normal)
                .await;
            let Some(head) = head.map_err(Failure::Upstream)? else {
                this.known.set_absent(AbsentKey::Blob(content));
                return Err(Failure::Absent);
            };
            this.known.learn_shown(&content);
            if let Some(size) = head.size {
                this.known.learn_blob_size(&content, size);
            }
            this.behind(|this| async move { this.known.keep_mark(&content).await });
            Ok(head.size)
        });
        flight.result().await.unwrap_or(Err(Failure::Interrupted))
    }
}

/// The error of an upstream that does not have the blob.
const ABSENT: FillErrorKind = FillErrorKind::Upstream(UpstreamErrorKind::Absent);

/// The error of an upstream whose answer cannot be used, for example because its size differs.
const INVALID: FillErrorKind = FillErrorKind::Upstream(UpstreamErrorKind::Invalid);

fn fill_key(key: &ContentKey) -> FillKey {
    FillKey {
        upstream: key.0.upstream.clone(),
        digest: key.1.clone(),
    }
}

/// A part of a blob, directly from the upstream.
fn part_of(site: &Site, key: &ContentKey, size: u64, range: Range<u64>) -> UpstreamFrames {
    let last = range.end.saturating_sub(1);
    let repository = &key.0.repository;
    site.upstream
        .blob_range(repository, &key.1, size, range.start, last)
}

/// Parts of a blob, directly from the upstream. One part is requested before this returns, so that
/// an error of the upstream gets an answer with its status.
async fn relayed(
    site: &Arc<Site>,
    key: &ContentKey,
    size: u64,
    body: BlobBody,
) -> Result<CacheBody, UpstreamError> {
    match body {
        BlobBody::Bytes(range) => {
            let length = range.end - range.start;
            let mut frames = part_of(site, key, size, range);
            frames.head().await?;
            Ok(CacheBody::relay(frames, length))
        }
        BlobBody::Multipart(parts) => {
            let (site, key) = (Arc::clone(site), key.clone());
            let open = move |range| part_of(&site, &key, size, range);
            Ok(CacheBody::relay_parts(parts, open))
        }
    }
}

/// The highest start of these ranges.
fn farthest(ranges: &[Range<u64>]) -> u64 {
    let starts = ranges.iter().map(|range| range.start);
    starts.max().unwrap_or_default()
}

fn answer_with(
    request: &BlobRequest,
    size: u64,
    body: impl FnOnce(BlobBody) -> CacheBody,
) -> Result<Response<CacheBody>, Failure> {
    let response = request.answer(size).map_err(Failure::Request)?;
    Ok(response.map(body))
}

fn fill_body(fill: Fill, body: BlobBody) -> CacheBody {
    match body {
        BlobBody::Bytes(range) => CacheBody::filling(fill, range),
        BlobBody::Multipart(parts) => CacheBody::filling_parts(fill, parts),
    }
}
