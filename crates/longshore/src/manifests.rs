//! Writing manifests and tags to a repository, and deleting from it.

use bytes::Bytes;
use longshore_auth::AuthCall;
use longshore_model::{Algorithm, Digest, MediaType, Tag, TagOrDigest, VerifyError};
use longshore_proto::RefusalKind;
use longshore_proto::call::{Ask, BodyName, Take};
use longshore_proto::endpoint::{
    Deletable, DeleteRequest, Endpoint, ManifestPut, ManifestStored, TAGS_PER_PUT,
};
use longshore_transport::Body;

use crate::body::{OpenBody, OpeningBody};
use crate::drive::Answer;
use crate::error::{Cause, Error};
use crate::operation::Operation;
use crate::repository::Repository;

/// A manifest that a registry has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushedManifest {
    /// The digest of the bytes.
    pub digest: Digest,
    /// `OCI-Subject`: the manifest that this one refers to, as the registry understood it. `None`
    /// for a registry without a referrers API (distribution-spec v1.1.1 "Pushing Manifests with
    /// Subject").
    pub subject: Option<Digest>,
}

impl Repository {
    /// Pushes a manifest or index, by tag or by digest (distribution-spec v1.1.1 "Pushing
    /// manifests").
    ///
    /// The bytes are sent unchanged. The registry must have the content that the manifest refers
    /// to.
    ///
    /// # Errors
    ///
    /// The registry refuses or cannot be reached, or says that it stored another digest (DG7).
    /// [`ErrorKind::Digest`](crate::ErrorKind::Digest) when the target is not the digest of the
    /// bytes; then nothing is sent.
    pub async fn put_manifest(
        &self,
        target: &TagOrDigest,
        media_type: &MediaType,
        bytes: Bytes,
    ) -> Result<PushedManifest, Error> {
        let request = ManifestPut::new(self.name().clone(), target.clone(), media_type.clone());
        let digest = self.digest_of(&request, target.digest(), &bytes)?;
        let answer = self.send_manifest(request, bytes).await?;
        let stored = self.read_stored(answer.successful(self.site())?, &digest)?;
        let subject = stored.subject;
        Ok(PushedManifest { digest, subject })
    }

    /// Pushes a manifest or index by its digest, and sets any number of tags to it.
    ///
    /// `digest` is the digest of the bytes; with `None`, it is computed with sha256. If the
    /// registry supports it, up to [`TAGS_PER_PUT`] tags are set with one request
    /// (distribution-spec, after v1.1.1, "Pushing Manifests": the parameter `tag` and the header
    /// `OCI-Tag`), otherwise one request is sent for each tag. A single tag is set directly.
    ///
    /// If a registry needs one request for each tag, it chooses the algorithm of the digest that it
    /// returns for these tags, usually sha256.
    ///
    /// # Errors
    ///
    /// As [`put_manifest`](Self::put_manifest). The tags are set in their order. The error names
    /// the tag that failed; the tags before it are set.
    pub async fn put_manifest_with_tags(
        &self,
        digest: Option<&Digest>,
        media_type: &MediaType,
        bytes: Bytes,
        tags: &[Tag],
    ) -> Result<PushedManifest, Error> {
        let digest = match digest {
            Some(digest) => digest.clone(),
            None => Digest::sha256(&bytes),
        };
        let target = TagOrDigest::Digest(digest.clone());
        let by_digest = ManifestPut::new(self.name().clone(), target.clone(), media_type.clone());
        self.digest_of(&by_digest, Some(&digest), &bytes)?;
        let by_tag = async |tag: &Tag| {
            let tag = TagOrDigest::Tag(tag.clone());
            self.put_manifest(&tag, media_type, bytes.clone()).await
        };
        match tags {
            [] => return self.put_manifest(&target, media_type, bytes).await,
            [tag] if digest.algorithm() == Algorithm::Sha256 => return by_tag(tag).await,
            _ => {}
        }
        let mut subject = None;
        for tags in tags.chunks(TAGS_PER_PUT) {
            let request = by_digest.clone().with_tags(tags.iter().cloned());
            let stored = self.put_tags(request, bytes.clone()).await?;
            let stored = stored.unwrap_or_default();
            subject = stored.subject.or(subject);
            for tag in tags.iter().filter(|tag| !stored.tags.contains(tag)) {
                subject = by_tag(tag).await?.subject.or(subject);
            }
        }
        Ok(PushedManifest { digest, subject })
    }

    /// Sets tags to an existing manifest: reads it once, and writes it under the new tags.
    ///
    /// Only the manifest itself is read and written, even if it is an index. Returns its digest.
    ///
    /// # Errors
    ///
    /// As [`manifest`](Self::manifest) and
    /// [`put_manifest_with_tags`](Self::put_manifest_with_tags).
    pub async fn tag(&self, source: &TagOrDigest, tags: &[Tag]) -> Result<PushedManifest, Error> {
        let manifest = self.manifest(source).await?.manifest;
        let (digest, bytes) = (manifest.digest(), manifest.bytes().clone());
        let tags: Vec<_> = tags
            .iter()
            .filter(|tag| !matches!(source, TagOrDigest::Tag(source) if source == *tag))
            .cloned()
            .collect();
        if tags.is_empty() {
            let (digest, subject) = (digest.clone(), None);
            return Ok(PushedManifest { digest, subject });
        }
        self.put_manifest_with_tags(Some(digest), manifest.media_type(), bytes, &tags)
            .await
    }

    /// Deletes a manifest, together with every tag that names it (distribution-spec v1.1.1
    /// "Deleting manifests"). `false` when it was not there.
    ///
    /// After an attempt without an answer, a manifest that is not there counts as deleted, with a
    /// [`Notice::DeletedUnseen`](crate::Notice::DeletedUnseen).
    ///
    /// # Errors
    ///
    /// The registry refuses or cannot be reached;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when it does not delete.
    pub async fn delete_manifest(&self, digest: &Digest) -> Result<bool, Error> {
        let target = TagOrDigest::Digest(digest.clone());
        self.delete(Deletable::Manifest(target)).await
    }

    /// Deletes a tag, and not the manifest that it names (distribution-spec v1.1.1 "Deleting
    /// tags"). `false` when it was not there.
    ///
    /// # Errors
    ///
    /// As [`delete_manifest`](Self::delete_manifest). Many registries do not delete tags; the
    /// manifest is never deleted in place of the tag.
    pub async fn delete_tag(&self, tag: &Tag) -> Result<bool, Error> {
        let target = TagOrDigest::Tag(tag.clone());
        self.delete(Deletable::Manifest(target)).await
    }

    /// Deletes a blob (distribution-spec v1.1.1 "Deleting Blobs"). `false` when it was not there.
    ///
    /// # Errors
    ///
    /// As [`delete_manifest`](Self::delete_manifest).
    pub async fn delete_blob(&self, digest: &Digest) -> Result<bool, Error> {
        self.delete(Deletable::Blob(digest.clone())).await
    }

    async fn delete(&self, content: Deletable) -> Result<bool, Error> {
        let request = DeleteRequest::new(self.name().clone(), content);
        let ask = Ask::new(Endpoint::Delete(request.clone()), Take::Nothing);
        let site = self.site();
        let answer = site.drive(ask).await?;
        if !answer.head.status.is_success() && answer.refusal().kind() == RefusalKind::Absent {
            let lost = answer.follows_lost_answer();
            if lost {
                site.client()
                    .notices()
                    .deleted_unseen(site.origin(), &request);
            }
            return Ok(lost);
        }
        answer.successful(site).map(|_| true)
    }

    /// The digest of the bytes under the algorithm of the expected digest, or else sha256.
    fn digest_of(
        &self,
        request: &ManifestPut,
        expected: Option<&Digest>,
        bytes: &[u8],
    ) -> Result<Digest, Error> {
        let algorithm = expected.map_or(Algorithm::Sha256, Digest::algorithm);
        let cause = match Digest::of(&algorithm, bytes) {
            Ok(actual) => match expected {
                Some(expected) if actual != *expected => {
                    let expected = expected.clone();
                    Cause::Digest(VerifyError::Digest { expected, actual })
                }
                _ => return Ok(actual),
            },
            Err(error) => Cause::Unverifiable(error),
        };
        let endpoint = Endpoint::ManifestPut(request.clone());
        Err(self.site().error(Operation::Request(endpoint), cause))
    }

    async fn send_manifest(&self, request: ManifestPut, bytes: Bytes) -> Result<Answer, Error> {
        let mut ask = Ask::new(Endpoint::ManifestPut(request), Take::Nothing);
        ask.body = Some(BodyName {
            offset: 0,
            length: Some(bytes.len() as u64),
        });
        let (site, bytes) = (self.site(), Known(bytes));
        site.drive_with(ask, &bytes, &mut AuthCall::new()).await
    }

    /// Pushes a manifest by digest together with tags. `None` when the registry does not set tags
    /// in this way, or refuses the request for a reason that may be the tags; a request by tag then
    /// shows which.
    async fn put_tags(
        &self,
        request: ManifestPut,
        bytes: Bytes,
    ) -> Result<Option<ManifestStored>, Error> {
        if self.site().sets_one_tag() {
            return Ok(None);
        }
        let digest = request.target.digest().cloned();
        let answer = self.send_manifest(request, bytes).await?;
        let (status, kind) = (answer.head.status, answer.refusal().kind());
        let may_be_tags = status.is_client_error()
            && !matches!(kind, RefusalKind::RateLimited | RefusalKind::Unauthorized);
        if may_be_tags {
            return Ok(None);
        }
        let answer = answer.successful(self.site())?;
        let Some(digest) = digest else {
            return Ok(None);
        };
        let stored = self.read_stored(answer, &digest)?;
        if stored.tags.is_empty() {
            self.site().set_one_tag();
        }
        Ok(Some(stored))
    }

    fn read_stored(&self, answer: Answer, digest: &Digest) -> Result<ManifestStored, Error> {
        let stored = ManifestStored::read(&answer.head);
        let checked = stored.and_then(|stored| stored.check(digest).map(|()| stored));
        checked.map_err(|violation| answer.failed(self.site(), violation.into()))
    }
}

/// A body that is in memory.
struct Known(Bytes);

impl OpenBody for Known {
    fn open(&self, _: BodyName) -> OpeningBody<'_> {
        Box::pin(std::future::ready(Ok(Body::from(self.0.clone()))))
    }
}
