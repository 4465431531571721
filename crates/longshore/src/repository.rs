//! One repository of one registry.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore_auth::{AuthCall, Credential};
use longshore_model::{
    Digest, MANIFEST_LIMIT_BYTES, Manifest, MediaType, RepositoryName, TagOrDigest, Verifier,
};
use longshore_origin::Origin;
use longshore_proto::RefusalKind;
use longshore_proto::call::{Ask, Take};
use longshore_proto::document::{self, DocumentError, VerifiedDocument};
use longshore_proto::download::PartDownload;
use longshore_proto::endpoint::{
    BlobAnswer, BlobRequest, Endpoint, ManifestAnswer, ManifestRequest, Read,
};
use longshore_transport::Clock;

use crate::blob::{BlobFrames, BlobReader};
use crate::body::NoBody;
use crate::drive::Answer;
use crate::error::{Cause, Error};
use crate::operation::Operation;
use crate::site::Site;

/// One repository, read through one client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repository {
    site: Arc<Site>,
    name: RepositoryName,
    /// The document types to ask for; `None` for all of them.
    accept: Option<Arc<[MediaType]>>,
    /// The largest manifest to read, in bytes.
    manifest_limit: u64,
}

/// A manifest as received: its exact bytes, their content, and the registry's claim.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PulledManifest {
    /// The document. Its digest is computed over its bytes, with the algorithm of the requested
    /// digest, or else of the digest that the registry claims.
    pub manifest: Manifest,
    /// `Docker-Content-Digest`, as sent; it matches the bytes wherever it can be checked (DG2).
    pub digest_header: Option<Digest>,
}

impl PulledManifest {
    /// The digest of the bytes.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        self.manifest.digest()
    }
}

/// What a registry says about a manifest without sending it.
///
/// These are claims: verify the content that is fetched by them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManifestHead {
    /// Its digest, as claimed; `None` only if the manifest was requested by its digest.
    pub digest: Option<Digest>,
    /// Its type, as claimed.
    pub media_type: Option<MediaType>,
    /// Its size in bytes, as claimed.
    pub size: Option<u64>,
}

/// What a registry says about a blob without sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobHead {
    /// Its size in bytes, as claimed; `None` if the registry does not give a valid size.
    pub size: Option<u64>,
}

impl BlobHead {
    /// Whether this may be the blob of this size in bytes: the registry says this size, or none. 0
    /// says nothing, because some registries send it in every answer to `HEAD`.
    #[must_use]
    pub fn may_have(&self, size: u64) -> bool {
        self.size.is_none_or(|stored| stored == 0 || stored == size)
    }
}

impl Repository {
    pub(crate) const fn new(site: Arc<Site>, name: RepositoryName) -> Self {
        Self {
            site,
            name,
            accept: None,
            manifest_limit: MANIFEST_LIMIT_BYTES as u64,
        }
    }

    /// The same, asking for manifests of these types alone, in the order they are preferred
    /// (`Accept`, RFC 9110 §12.5.1). The default is every type of the OCI and Docker
    /// specifications.
    ///
    /// A registry may still send another type, so check what it sent.
    #[must_use]
    pub fn accepting(mut self, types: impl IntoIterator<Item = MediaType>) -> Self {
        self.accept = Some(types.into_iter().collect());
        self
    }

    /// The same, reading manifests of up to this many bytes (LI). The default is 8 MiB.
    #[must_use]
    pub const fn with_manifest_limit(mut self, bytes: u64) -> Self {
        self.manifest_limit = bytes;
        self
    }

    /// Requests push access from now on, even for requests that only read. One token then serves
    /// the reads before a write, and the write itself. Clones of this value are affected too.
    pub fn expect_pushes(&self) {
        self.site.set_pushes();
    }

    /// The repository's name.
    #[must_use]
    pub const fn name(&self) -> &RepositoryName {
        &self.name
    }

    pub(crate) const fn manifest_limit(&self) -> u64 {
        self.manifest_limit
    }

    pub(crate) const fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// The clock that its client waits with.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(self.site.client().clock())
    }

    /// How long the registry asked to wait with every request, from now on (RT3); zero if it did
    /// not ask, or the time has passed.
    ///
    /// A caller that gives up what makes no progress should not count this time.
    #[must_use]
    pub fn requested_wait(&self) -> Duration {
        let client = self.site.client();
        client
            .limit()
            .requested_wait(self.site.origin(), client.clock().now())
    }

    /// The origin of its registry: where secrets go, and nowhere else.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        self.site.origin()
    }

    /// Pulls a manifest or index by tag or digest (distribution-spec v1.1.1 "Pulling manifests").
    ///
    /// The bytes are hashed before they are parsed. They must match the requested digest, and a
    /// digest header that disagrees with them is refused (DG2). They are at most 8 MiB, or the
    /// limit set by [`with_manifest_limit`](Self::with_manifest_limit) (LI).
    ///
    /// # Errors
    ///
    /// [`Error`], whose [`kind`](Error::kind) tells absence, refusal and failure apart.
    pub async fn manifest(&self, target: &TagOrDigest) -> Result<PulledManifest, Error> {
        self.manifest_with(target, std::future::ready).await
    }

    /// As [`manifest`](Self::manifest), but passes the manifest to `read` and returns its result.
    ///
    /// An upper bound of the memory of the document counts against
    /// [`MEMORY_LIMIT_BYTES`](crate::MEMORY_LIMIT_BYTES) until `read` has returned, and other
    /// requests for documents wait meanwhile if there is not enough (LI2). The value that `read`
    /// returns does not count. Use this to read many manifests concurrently and keep a part of
    /// each.
    ///
    /// # Errors
    ///
    /// As [`manifest`](Self::manifest).
    pub async fn manifest_with<F: Future>(
        &self,
        target: &TagOrDigest,
        read: impl FnOnce(PulledManifest) -> F,
    ) -> Result<F::Output, Error> {
        let request = self.manifest_request(Read::Get, target);
        let limit = self.manifest_limit;
        let ask = Ask::new(request, Take::Document { limit });
        let mut answer = self.site.drive(ask).await?.successful(&self.site)?;
        let bytes = answer.take_bytes();
        match document::read(target.digest(), &answer.head, bytes) {
            Ok((manifest, claims)) => Ok(read(PulledManifest {
                manifest,
                digest_header: claims.digest,
            })
            .await),
            Err(error) => Err(answer.failed(&self.site, error.into())),
        }
    }

    /// Pulls the document that a tag or digest names, verified and not parsed, for a caller that
    /// passes it on: documents of types that this client does not know pass as well.
    ///
    /// Digests and limits are as for [`manifest`](Self::manifest). If neither the request nor the
    /// answer has a digest, the document must be a manifest.
    ///
    /// # Errors
    ///
    /// As [`manifest`](Self::manifest).
    pub async fn document(&self, target: &TagOrDigest) -> Result<VerifiedDocument, Error> {
        let request = self.manifest_request(Read::Get, target);
        let limit = self.manifest_limit;
        let ask = Ask::new(request, Take::Document { limit });
        let mut answer = self.site.drive(ask).await?.successful(&self.site)?;
        let bytes = answer.take_bytes();
        let verified = document::verify(target.digest(), &answer.head, bytes);
        verified.map_err(|error| answer.failed(&self.site, error.into()))
    }

    /// Pulls the bytes that the registry has as the manifest of this digest, whatever they are,
    /// when it is asked for this media type; `None` when it has no such manifest.
    ///
    /// The bytes match the digest. They are at most 8 MiB, or the limit set by
    /// [`with_manifest_limit`](Self::with_manifest_limit) (LI).
    ///
    /// # Errors
    ///
    /// As [`manifest`](Self::manifest), but for content that is not a manifest.
    pub async fn manifest_bytes(
        &self,
        digest: &Digest,
        media_type: &MediaType,
    ) -> Result<Option<Bytes>, Error> {
        let mut request = ManifestRequest::new(Read::Get, self.name.clone(), digest.clone().into());
        request.accept = vec![media_type.clone()];
        let limit = self.manifest_limit;
        let ask = Ask::new(Endpoint::Manifest(request), Take::Document { limit });
        let Some(mut answer) = self.unless_absent(ask).await? else {
            return Ok(None);
        };
        let bytes = answer.take_bytes();
        let verified = Verifier::new(digest, None)
            .map_err(DocumentError::Unverifiable)
            .and_then(|mut verifier| {
                let read = verifier.update(&bytes);
                let verified = read.and_then(|()| verifier.finish());
                verified.map_err(DocumentError::Digest)
            });
        match verified {
            Ok(()) => Ok(Some(bytes)),
            Err(error) => Err(answer.failed(&self.site, error.into())),
        }
    }

    /// What the registry says about a manifest; `None` when it is not there.
    ///
    /// Sends `HEAD`. If the registry refuses `HEAD`, or does not give a digest that can be
    /// verified, the manifest itself is read and hashed (DG2).
    ///
    /// # Errors
    ///
    /// [`Error`] for any other answer, and when the registry claims another digest than the
    /// requested one (DG2).
    pub async fn manifest_head(&self, target: &TagOrDigest) -> Result<Option<ManifestHead>, Error> {
        let limit = self.manifest_limit;
        let request = self.manifest_request(Read::Head, target);
        let ask = Ask::new(request, Take::Document { limit });
        let Some(mut answer) = self.unless_absent(ask).await? else {
            return Ok(None);
        };
        if let Some(bytes) = answer.in_place_of_head() {
            return match document::read(target.digest(), &answer.head, bytes) {
                Ok((manifest, _)) => Ok(Some(ManifestHead {
                    digest: Some(manifest.digest().clone()),
                    media_type: Some(manifest.media_type().clone()),
                    size: Some(manifest.bytes().len() as u64),
                })),
                Err(error) => Err(answer.failed(&self.site, error.into())),
            };
        }
        let claims = match ManifestAnswer::read(&answer.head) {
            Ok(claims) => claims,
            Err(violation) => return Err(answer.failed(&self.site, violation.into())),
        };
        if let Some(cause) = other_digest(target.digest(), claims.digest.as_ref()) {
            return Err(answer.failed(&self.site, cause));
        }
        Ok(Some(ManifestHead {
            digest: claims.digest,
            media_type: claims.content_type.and_then(|text| text.parse().ok()),
            size: claims.length,
        }))
    }

    /// Whether the registry has a blob in this repository, as it says.
    ///
    /// As [`blob_head`](Self::blob_head), for callers that do not need the size.
    ///
    /// # Errors
    ///
    /// As [`manifest_head`](Self::manifest_head).
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        self.blob_head(digest).await.map(|head| head.is_some())
    }

    /// What the registry says about a blob; `None` when it is not there.
    ///
    /// Sends `HEAD`, and if the answer has no valid size, `GET`, whose body is not read (DG2).
    ///
    /// # Errors
    ///
    /// As [`manifest_head`](Self::manifest_head).
    pub async fn blob_head(&self, digest: &Digest) -> Result<Option<BlobHead>, Error> {
        let request = BlobRequest::new(Read::Head, self.name.clone(), digest.clone());
        let request = Endpoint::Blob(request);
        let ask = Ask::new(request.clone(), Take::Nothing);
        let Some(answer) = self.unless_absent(ask).await? else {
            return Ok(None);
        };
        let is_credible = request.is_answered_by(&answer.head);
        let claims = match BlobAnswer::read(&answer.head) {
            Ok(claims) => claims,
            Err(violation) => return Err(answer.failed(&self.site, violation.into())),
        };
        if let Some(cause) = other_digest(Some(digest), claims.digest.as_ref()) {
            return Err(answer.failed(&self.site, cause));
        }
        Ok(Some(BlobHead {
            size: claims.length.filter(|_| is_credible),
        }))
    }

    /// Reads a blob, verified as it is read (distribution-spec v1.1.1 "Pulling blobs").
    ///
    /// `size` is the size in the blob's descriptor, in bytes. Without it only the digest is
    /// checked, and at most 32 GiB are read, or the limit set by
    /// [`BlobReader::with_limit`] (LI).
    /// The request is sent when the first bytes are read.
    ///
    /// # Errors
    ///
    /// No verifier exists for the digest's algorithm (DG1).
    pub fn blob(&self, digest: &Digest, size: Option<u64>) -> Result<BlobReader, Error> {
        BlobReader::new(self.blob_frames(digest, size), size).map_err(|error| {
            let request = BlobRequest::new(Read::Get, self.name.clone(), digest.clone());
            let operation = Operation::Request(Endpoint::Blob(request));
            self.site.error(operation, Cause::Unverifiable(error))
        })
    }

    /// Reads a blob without verifying it, for a sink that does.
    #[must_use]
    pub fn blob_frames(&self, digest: &Digest, size: Option<u64>) -> BlobFrames {
        self.blob_frames_from(digest, size, 0)
    }

    /// As [`blob_frames`](Self::blob_frames), from this position on: the caller already has the
    /// bytes before it, and has hashed them.
    #[must_use]
    pub fn blob_frames_from(
        &self,
        digest: &Digest,
        size: Option<u64>,
        position: u64,
    ) -> BlobFrames {
        let site = Arc::clone(&self.site);
        BlobFrames::new(site, self.name.clone(), digest.clone(), size, position)
    }

    /// Reads one part of a blob, from the first to the last of these positions, both included, and
    /// nothing but that part. `size` is the size of the whole blob in bytes. `None` when the blob
    /// has no such part.
    ///
    /// A part cannot be verified, because the digest covers the whole blob. A registry that does
    /// not send parts of a blob is an error ([`Cause::NoRanges`]).
    #[must_use]
    pub fn blob_part_frames(
        &self,
        digest: &Digest,
        size: u64,
        part: (u64, u64),
    ) -> Option<BlobFrames> {
        let (site, name) = (Arc::clone(&self.site), self.name.clone());
        let part = PartDownload::new(name.clone(), digest.clone(), size, part)?;
        Some(BlobFrames::of_part(site, name, digest.clone(), part))
    }

    /// Gets a bearer token for reading this repository, to use elsewhere: another client takes it
    /// as its credential. `None` when the registry demands no token.
    ///
    /// A caller that keeps the token needs no [`TokenCache`](crate::TokenCache).
    ///
    /// # Errors
    ///
    /// As of any request: the registry or its token endpoint refuses or cannot be reached.
    pub async fn token(&self) -> Result<Option<Credential>, Error> {
        let mut ask = Ask::new(Endpoint::Ping, Take::Nothing);
        ask.behalf = Some(self.name.clone());
        let mut auth = AuthCall::new();
        let answer = self.site.drive_with(ask, &NoBody, &mut auth).await?;
        if !answer.head.status.is_success() {
            let repository = Some(self.name.clone());
            let refused = Cause::Refused(answer.refusal());
            return Err(self.site.error(Operation::Token { repository }, refused));
        }
        Ok(auth.token().cloned().map(Credential::from))
    }

    fn manifest_request(&self, read: Read, target: &TagOrDigest) -> Endpoint {
        let mut request = ManifestRequest::new(read, self.name.clone(), target.clone());
        if let Some(accept) = &self.accept {
            request.accept = accept.to_vec();
        }
        Endpoint::Manifest(request)
    }

    /// The successful answer to this request; `None` when what it is about is not there.
    pub(crate) async fn unless_absent(&self, ask: Ask) -> Result<Option<Answer>, Error> {
        let answer = self.site.drive(ask).await?;
        if answer.head.status.is_success() {
            return Ok(Some(answer));
        }
        if answer.refusal().kind() == RefusalKind::Absent {
            return Ok(None);
        }
        Err(answer.refused(&self.site))
    }
}

/// Why a head that claims another digest than the requested one is refused (DG2). A claim under
/// another algorithm cannot be compared, so it is ignored.
fn other_digest(wanted: Option<&Digest>, claimed: Option<&Digest>) -> Option<Cause> {
    match (wanted, claimed) {
        (Some(wanted), Some(claimed))
            if wanted.algorithm() == claimed.algorithm() && wanted != claimed =>
        {
            let (wanted, named) = (wanted.clone(), claimed.clone());
            Some(Cause::OtherDigest { wanted, named })
        }
        _ => None,
    }
}
