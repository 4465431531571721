//! Writing manifests and tags to a repository, and deleting from it.

use bytes::Bytes;
use longshore_auth::AuthCall;
use longshore_model::{Algorithm, Digest, MediaType, Tag, TagOrDigest};
use longshore_proto::call::{Ask, BodyName, Take};
use longshore_proto::endpoint::{Deletable, DeleteRequest, Endpoint, ManifestPut, ManifestStored};
use longshore_transport::Body;

use crate::body::{OpenBody, OpeningBody};
use crate::error::{Cause, Error};
use crate::operation::Operation;
use crate::repository::Repository;

/// A manifest that a registry has now.
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
    /// The bytes are sent as they are. The registry must have the content that the manifest names.
    ///
    /// # Errors
    ///
    /// The registry refuses or cannot be reached, or says that it stored another digest (DG7).
    pub async fn put_manifest(
        &self,
        target: &TagOrDigest,
        media_type: &MediaType,
        bytes: Bytes,
    ) -> Result<PushedManifest, Error> {
        let algorithm = target.digest().map_or(Algorithm::Sha256, Digest::algorithm);
        let request = ManifestPut::new(self.name().clone(), target.clone(), media_type.clone());
        let endpoint = Endpoint::ManifestPut(request);
        let failed = |cause| {
            let operation = Operation::Request(endpoint.clone());
            self.site().error(operation, cause)
        };
        let digest =
            Digest::of(&algorithm, &bytes).map_err(|error| failed(Cause::Unverifiable(error)))?;
        let mut ask = Ask::new(endpoint.clone(), Take::Nothing);
        ask.body = Some(BodyName {
            offset: 0,
            length: Some(bytes.len() as u64),
        });
        let mut auth = AuthCall::new();
        let answer = self
            .site()
            .drive_with(ask, &Known(bytes), &mut auth)
            .await?;
        let answer = answer.successful(self.site())?;
        let stored = match ManifestStored::read(&answer.head) {
            Ok(stored) => stored,
            Err(violation) => return Err(answer.failed(self.site(), violation.into())),
        };
        if let Err(violation) = stored.check(&digest) {
            return Err(answer.failed(self.site(), violation.into()));
        }
        let subject = stored.subject;
        Ok(PushedManifest { digest, subject })
    }

    /// Deletes a manifest, together with every tag that names it (distribution-spec v1.1.1
    /// "Deleting manifests"). `false` when it was not there.
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
    /// As [`delete_manifest`](Self::delete_manifest). Many registries do not delete tags.
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
        let ask = Ask::new(Endpoint::Delete(request), Take::Nothing);
        self.unless_absent(ask).await.map(|answer| answer.is_some())
    }
}

/// A body that is in memory.
struct Known(Bytes);

impl OpenBody for Known {
    fn open(&self, _: BodyName) -> OpeningBody<'_> {
        Box::pin(std::future::ready(Ok(Body::from(self.0.clone()))))
    }
}
