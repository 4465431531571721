//! One repository of one registry.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use longshore_auth::{AuthCall, Credential};
use longshore_model::{
    Digest, Hasher, MANIFEST_LIMIT_BYTES, Manifest, ManifestError, MediaType, RepositoryName,
    TagOrDigest, VerifyError,
};
use longshore_origin::Origin;
use longshore_proto::call::{Ask, Take};
use longshore_proto::endpoint::{
    BlobAnswer, BlobRequest, Endpoint, ManifestAnswer, ManifestRequest, PingAnswer, Read,
};
use longshore_proto::{Host, Quirks, Violation};
use longshore_transport::TlsIdentity;
use tokio::sync::OnceCell;

use crate::blob::{BlobFrames, BlobReader};
use crate::client::Client;
use crate::credentials::CredentialError;
use crate::drive::Answer;
use crate::error::{Cause, Error};
use crate::hosts::Registry;

/// One repository, read through one client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repository {
    site: Arc<Site>,
    name: RepositoryName,
    /// The document types to ask for, where not for every one there is.
    accept: Option<Arc<[MediaType]>>,
    /// The largest manifest to read, in bytes.
    manifest_limit: u64,
}

/// A registry as a client speaks to it.
pub(crate) struct Site {
    client: Client,
    /// The registry's canonical name.
    registry: String,
    home: Registry,
    /// Where the registry itself is: the origin of its last host.
    origin: Origin,
    /// The one repository this is for, if it is for one: a source may have a credential for part
    /// of a registry (CR2).
    repository: Option<RepositoryName>,
    /// What the source of credentials said, once it was asked.
    credential: OnceCell<Option<Credential>>,
}

impl Site {
    pub(crate) fn new(client: Client, registry: String, home: Registry, origin: Origin) -> Self {
        Self {
            client,
            registry,
            home,
            origin,
            repository: None,
            credential: OnceCell::new(),
        }
    }

    /// The same, for one repository.
    pub(crate) fn of(self, name: RepositoryName) -> Self {
        let repository = Some(name);
        Self { repository, ..self }
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn registry(&self) -> &str {
        &self.registry
    }

    pub(crate) fn hosts(&self) -> Arc<[Host]> {
        Arc::clone(&self.home.hosts)
    }

    pub(crate) const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What the registry itself does differently.
    pub(crate) fn quirks(&self) -> Quirks {
        self.home
            .hosts
            .last()
            .map(|host| host.quirks().clone())
            .unwrap_or_default()
    }

    pub(crate) const fn tls(&self) -> &TlsIdentity {
        &self.home.settings.tls
    }

    /// The credential of the registry, once somebody had to look for it.
    pub(crate) fn known_credential(&self) -> Option<Option<Credential>> {
        self.credential.get().cloned()
    }

    /// The credential of the registry; an error is not remembered.
    pub(crate) async fn credential(&self) -> Result<Option<Credential>, CredentialError> {
        let repository = self.repository.as_ref().map(RepositoryName::as_str);
        let lookup = || self.client.credentials().lookup(&self.registry, repository);
        self.credential.get_or_try_init(lookup).await.cloned()
    }

    pub(crate) fn error(&self, operation: impl fmt::Display, cause: Cause) -> Error {
        Error::new(operation, &self.registry, cause)
    }

    pub(crate) async fn ping(&self) -> Result<PingAnswer, Error> {
        let answer = self.drive(Ask::new(Endpoint::Ping, Take::Nothing)).await?;
        if !answer.head.status.is_success() {
            return Err(self.refused("the API version", &answer));
        }
        PingAnswer::read(&answer.head)
            .map_err(|violation| self.error("the API version", Cause::Violation(violation)))
    }

    pub(crate) fn refused(&self, operation: impl fmt::Display, answer: &Answer) -> Error {
        self.error(operation, Cause::Refused(answer.refusal()))
            .after(answer.attempts)
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

/// A manifest as it came: exact bytes, what they say, and what the registry claimed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PulledManifest {
    /// The document; its digest is computed over its bytes, with the algorithm it was asked for
    /// by or else the registry's own.
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManifestHead {
    /// Its digest, as claimed.
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
    /// Its size in bytes, as claimed.
    pub size: Option<u64>,
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
    /// A registry may send another type all the same; what it sent is for the caller to look at.
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

    /// The repository's name.
    #[must_use]
    pub const fn name(&self) -> &RepositoryName {
        &self.name
    }

    pub(crate) const fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// The origin of its registry: where secrets go, and nowhere else.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        self.site.origin()
    }

    /// Pulls a manifest or index by tag or digest (distribution-spec v1.1.1 "Pulling manifests").
    ///
    /// The bytes are hashed before they are parsed: asked for by digest they match it, and a
    /// digest header that disagrees with them is refused (DG2). At most 8 MiB, or as
    /// [`with_manifest_limit`](Self::with_manifest_limit) says (LI).
    ///
    /// # Errors
    ///
    /// [`Error`], whose [`kind`](Error::kind) tells absence, refusal and failure apart.
    pub async fn manifest(&self, target: &TagOrDigest) -> Result<PulledManifest, Error> {
        let request = self.manifest_request(Read::Get, target);
        let what = request.to_string();
        let limit = self.manifest_limit;
        let answer = self
            .site
            .drive(Ask::new(request, Take::Document { limit }))
            .await?;
        if !answer.head.status.is_success() {
            return Err(self.site.refused(&what, &answer));
        }
        let failed = |cause| self.site.error(&what, cause);
        let claims = ManifestAnswer::read(&answer.head)
            .map_err(Cause::Violation)
            .map_err(failed)?;
        let coding = Violation::coding(&answer.head, "Pulling manifests");
        let manifest = read(target, &claims, coding, answer.into_bytes()).map_err(failed)?;
        Ok(PulledManifest {
            manifest,
            digest_header: claims.digest,
        })
    }

    /// What the registry says about a manifest; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// [`Error`] for everything but presence and absence, and when what is asked for by digest is
    /// said to have another (DG2).
    pub async fn manifest_head(&self, target: &TagOrDigest) -> Result<Option<ManifestHead>, Error> {
        let request = self.manifest_request(Read::Head, target);
        let what = request.to_string();
        let Some(answer) = self.head(request).await? else {
            return Ok(None);
        };
        let claims = ManifestAnswer::read(&answer.head)
            .map_err(|violation| self.site.error(&what, Cause::Violation(violation)))?;
        self.is_about(&what, target.digest(), claims.digest.as_ref())?;
        Ok(Some(ManifestHead {
            digest: claims.digest,
            media_type: claims.content_type.and_then(|text| text.parse().ok()),
            size: claims.length,
        }))
    }

    /// What the registry says about a blob; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// As [`manifest_head`](Self::manifest_head).
    pub async fn blob_head(&self, digest: &Digest) -> Result<Option<BlobHead>, Error> {
        let request = BlobRequest::new(Read::Head, self.name.clone(), digest.clone());
        let request = Endpoint::Blob(request);
        let what = request.to_string();
        let Some(answer) = self.head(request).await? else {
            return Ok(None);
        };
        let claims = BlobAnswer::read(&answer.head)
            .map_err(|violation| self.site.error(&what, Cause::Violation(violation)))?;
        self.is_about(&what, Some(digest), claims.digest.as_ref())?;
        Ok(Some(BlobHead {
            size: claims.length,
        }))
    }

    /// Reads a blob, verified as it is read (distribution-spec v1.1.1 "Pulling blobs").
    ///
    /// `size` is the size by the blob's descriptor, in bytes; without it only the digest is
    /// checked. Nothing is requested before the first bytes are asked for.
    ///
    /// # Errors
    ///
    /// No verifier exists for the digest's algorithm (DG1).
    pub fn blob(&self, digest: &Digest, size: Option<u64>) -> Result<BlobReader, Error> {
        BlobReader::new(self.blob_frames(digest, size), size).map_err(|error| {
            self.site.error(
                format_args!("blob {digest} of {}", self.name),
                Cause::Unverifiable(error),
            )
        })
    }

    /// Reads a blob without verifying it, for a sink that does.
    #[must_use]
    pub fn blob_frames(&self, digest: &Digest, size: Option<u64>) -> BlobFrames {
        self.blob_frames_from(digest, size, 0)
    }

    /// As [`blob_frames`](Self::blob_frames), from this position on: the bytes before are there
    /// already, and were hashed.
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

    /// Earns a bearer token to read this repository with, to be used elsewhere: another client
    /// takes it as its credential. `None` when the registry asks for no token.
    ///
    /// A caller who keeps the token needs no [`TokenCache`](crate::TokenCache).
    ///
    /// # Errors
    ///
    /// As of any request: the registry or its token endpoint refuses or cannot be reached.
    pub async fn token(&self) -> Result<Option<Credential>, Error> {
        let mut ask = Ask::new(Endpoint::Ping, Take::Nothing);
        ask.behalf = Some(self.name.clone());
        let mut auth = AuthCall::new();
        let answer = self.site.drive_as(ask, &mut auth).await?;
        if !answer.head.status.is_success() {
            return Err(self
                .site
                .refused(format_args!("a token for {}", self.name), &answer));
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

    /// Refuses a head that is about other content than was asked for by digest (DG2). A claim
    /// under another algorithm tells nothing.
    fn is_about(
        &self,
        what: &str,
        wanted: Option<&Digest>,
        claimed: Option<&Digest>,
    ) -> Result<(), Error> {
        match (wanted, claimed) {
            (Some(wanted), Some(claimed))
                if wanted.algorithm() == claimed.algorithm() && wanted != claimed =>
            {
                let (expected, actual) = (wanted.clone(), claimed.clone());
                let cause = Cause::Digest(VerifyError::Digest { expected, actual });
                Err(self.site.error(what, cause))
            }
            _ => Ok(()),
        }
    }

    async fn head(&self, request: Endpoint) -> Result<Option<Answer>, Error> {
        let what = request.to_string();
        let answer = self.site.drive(Ask::new(request, Take::Nothing)).await?;
        if answer.head.status.is_success() {
            return Ok(Some(answer));
        }
        let refusal = answer.refusal();
        if refusal.kind() == longshore_proto::RefusalKind::Absent {
            return Ok(None);
        }
        Err(self.site.refused(&what, &answer))
    }
}

/// Reads a document after checking it against the digest it was asked for by, and against the
/// one the registry claims (DG2).
#[expect(
    clippy::result_large_err,
    reason = "one for each manifest, boxed by the caller"
)]
fn read(
    target: &TagOrDigest,
    claims: &ManifestAnswer,
    coding: Option<Violation>,
    bytes: Bytes,
) -> Result<Manifest, Cause> {
    // A claim that nobody can check is neither believed nor refused.
    let claimed = claims.digest.as_ref();
    let claimed = claimed.filter(|digest| Hasher::new(&digest.algorithm()).is_ok());
    let content_type = claims.content_type.as_deref();
    let manifest = match (target.digest().or(claimed), coding) {
        (Some(digest), _) => Manifest::parse_verified(bytes, content_type, digest),
        // Nothing tells that these are the bytes that were meant.
        (None, Some(violation)) => return Err(Cause::Violation(violation)),
        (None, None) => Manifest::parse(bytes, content_type),
    };
    let manifest = manifest.map_err(|error| match error {
        ManifestError::Verify(error) => Cause::Digest(error),
        ManifestError::UnsupportedAlgorithm(error) => Cause::Unverifiable(error),
        error => Cause::Document(error),
    })?;
    match claimed {
        Some(expected) if expected != manifest.digest() => {
            let actual = Digest::of(&expected.algorithm(), manifest.bytes());
            let actual = actual.map_err(Cause::Unverifiable)?;
            if actual == *expected {
                return Ok(manifest);
            }
            Err(Cause::Digest(VerifyError::Digest {
                expected: expected.clone(),
                actual,
            }))
        }
        _ => Ok(manifest),
    }
}
