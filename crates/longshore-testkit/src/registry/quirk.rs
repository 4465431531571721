//! What a registry does differently from the specification.

use http::StatusCode;
use longshore_model::Digest;

/// Switches for what a registry does differently from the specification. By default, the registry
/// follows distribution-spec v1.1.1.
///
/// The documentation of each field names registries that are known to behave like this. Each
/// function sets the switches of one registry; a test of one difference sets one field.
///
/// ```
/// use longshore_testkit::registry::{Quirks, Registry};
///
/// let mut quirks = Quirks::default();
/// quirks.chunk_max_bytes = Some(4 * 1024 * 1024);
/// let registry = Registry::builder().writable().quirks(quirks).start()?;
/// # drop(registry);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quirks {
    /// The maximum length of a request body, in bytes; a longer one is answered with 413, before it
    /// is read if `Content-Length` announces it. Registries behind nginx (1 MiB unless configured)
    /// and Cloudflare (100 MB).
    pub body_max_bytes: Option<u64>,
    /// The maximum length of a chunk that has a `Content-Range`, in bytes; a longer one is answered
    /// with 416. GHCR: 4 MiB.
    pub chunk_max_bytes: Option<u64>,
    /// The minimum length of a chunk that is not the last, in bytes, announced as
    /// `OCI-Chunk-Min-Length`; data after a shorter chunk is refused with 400. Amazon ECR: 5 MiB.
    pub chunk_min_bytes: Option<u64>,
    /// Which chunks are accepted and kept.
    pub chunks: Chunks,
    /// The status of an accepted chunk. Amazon ECR: 201; old versions of distribution: 204.
    pub patch_status: StatusCode,
    /// Whether a body of unknown length is refused with 411. Azure refuses long ones.
    pub length_required: bool,
    /// What the `Range` of a session counts.
    pub range: RangeForm,
    /// Whether the request for the state of a session gets 404. Amazon ECR.
    pub no_status: bool,
    /// In which form `Location` names a session.
    pub location: LocationForm,
    /// The query of `Location`, without which the session is not found.
    pub location_query: LocationQuery,
    /// Whether a session ends when a request continues it at any `Location` but the latest.
    /// distribution.
    pub latest_location_only: bool,
    /// Whether a session ends after a chunk that is refused with 416 or whose body breaks off.
    /// Azure, distribution.
    pub broken_chunk_ends_session: bool,
    /// How a mount is answered.
    pub mount: MountForm,
    /// Whether the empty blob is refused with 400. Amazon ECR, Google.
    pub empty_blob_refused: bool,
    /// Number of bytes of each blob that are stored, although the answer reports success; simulates
    /// a lost write.
    pub stored_max_bytes: Option<u64>,
    /// The limit of everything that is stored.
    pub quota: Option<Quota>,
    /// Whether a push to a repository that does not exist is refused with 404; see
    /// [`Contents::create`](super::Contents::create). Amazon ECR.
    pub repository_must_exist: bool,
    /// Whether digests other than sha256 are refused with 400. Most registries.
    pub sha256_only: bool,
    /// How existing tags are protected.
    pub immutable_tags: Option<ImmutableTags>,
    /// Whether a manifest without a `mediaType` is refused with 400. Amazon ECR.
    pub media_type_required: bool,
    /// Whether a manifest of an unknown type is stored as it is. Otherwise it is refused with 400,
    /// as by distribution.
    pub unknown_manifests: bool,
    /// What happens to an index if the registry lacks some of its manifests. Nexus, distribution
    /// and others refuse it.
    pub sparse_index: MissingContent,
    /// What happens to a manifest if the registry lacks some of its blobs.
    pub missing_blobs: MissingContent,
    /// Whether the `tag` parameters of a `PUT` of a manifest are ignored, and the answer has no
    /// `OCI-Tag`. Every registry that follows version 1.1 of the specification.
    pub no_tag_parameter: bool,
    /// How referrers are supported.
    pub referrers: ReferrersForm,
    /// Whether the deletion of a blob is answered with 405. Docker Hub, Amazon ECR.
    pub no_blob_delete: bool,
    /// Whether the deletion of a manifest is answered with 405. Docker Hub, Amazon ECR.
    pub no_manifest_delete: bool,
    /// Whether the deletion of a tag is answered with 405. Many registries.
    pub no_tag_delete: bool,
    /// Whether a request without valid credentials is refused before its body is read. Registries
    /// behind a proxy that checks the credentials.
    pub early_refusal: bool,
    /// Number of requests that each token is accepted for. Later requests are refused with
    /// `invalid_token`, so a long push needs several tokens. Simulates a short lifetime (Docker
    /// Hub, GitLab: 5 minutes).
    pub token_uses: Option<u64>,
    /// The status for a request whose token has expired. The answer has no challenge; its text says
    /// that the token has expired. Amazon ECR: 403; Amazon ECR Public: 400.
    pub expired: Option<StatusCode>,
    /// The maximum number of entries of a page, and the status for a request for more. Quay: 100
    /// and 413; Amazon ECR: 1,000 and 400.
    pub page_max: Option<(usize, StatusCode)>,
    /// Whether lists ignore `n` and `last`, and name a next page although there is none. Google.
    pub pages_ignored: bool,
    /// Whether a tag of the form `sha256-<hex>` names the manifest of that digest. GitLab.
    pub digest_tags: bool,
    /// The status for `HEAD` of a blob. Amazon ECR Public: 401; stores behind signed URLs: 403.
    pub blob_head: Option<StatusCode>,
    /// The status for `HEAD` of a manifest. Ollama: 405.
    pub manifest_head: Option<StatusCode>,
    /// The status for `GET` of a part of a blob. Content delivery networks: 400, 403, 404, 501.
    pub range_refused: Option<StatusCode>,
    /// Whether `Accept` is refused with 406 where the answer is a blob. Artifactory.
    pub accept_refused: bool,
    /// The status for a read of anything that does not exist. Artifactory: 403.
    pub absent: StatusCode,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            body_max_bytes: None,
            chunk_max_bytes: None,
            chunk_min_bytes: None,
            chunks: Chunks::All,
            patch_status: StatusCode::ACCEPTED,
            length_required: false,
            range: RangeForm::Blob,
            no_status: false,
            location: LocationForm::Path,
            location_query: LocationQuery::None,
            latest_location_only: false,
            broken_chunk_ends_session: false,
            mount: MountForm::From,
            empty_blob_refused: false,
            stored_max_bytes: None,
            quota: None,
            repository_must_exist: false,
            sha256_only: false,
            immutable_tags: None,
            media_type_required: false,
            unknown_manifests: false,
            sparse_index: MissingContent::Refused,
            missing_blobs: MissingContent::Refused,
            no_tag_parameter: false,
            referrers: ReferrersForm::Api,
            no_blob_delete: false,
            no_manifest_delete: false,
            no_tag_delete: false,
            early_refusal: false,
            token_uses: None,
            expired: None,
            page_max: None,
            pages_ignored: false,
            digest_tags: false,
            blob_head: None,
            manifest_head: None,
            range_refused: None,
            accept_refused: false,
            absent: StatusCode::NOT_FOUND,
        }
    }
}

impl Quirks {
    /// Amazon ECR.
    #[must_use]
    pub fn amazon_ecr() -> Self {
        Self {
            chunk_min_bytes: Some(5 * MIB),
            patch_status: StatusCode::CREATED,
            range: RangeForm::FirstChunk,
            no_status: true,
            mount: MountForm::Session,
            empty_blob_refused: true,
            repository_must_exist: true,
            media_type_required: true,
            no_blob_delete: true,
            no_manifest_delete: true,
            no_tag_delete: true,
            referrers: ReferrersForm::Refused(StatusCode::METHOD_NOT_ALLOWED),
            expired: Some(StatusCode::FORBIDDEN),
            page_max: Some((1000, StatusCode::BAD_REQUEST)),
            ..Self::default()
        }
    }

    /// Artifactory, which may keep only the last chunk of a blob.
    #[must_use]
    pub fn artifactory() -> Self {
        Self {
            chunks: Chunks::LastKept,
            accept_refused: true,
            absent: StatusCode::FORBIDDEN,
            ..Self::default()
        }
    }

    /// Azure Container Registry.
    #[must_use]
    pub fn azure() -> Self {
        Self {
            length_required: true,
            broken_chunk_ends_session: true,
            ..Self::default()
        }
    }

    /// The registry of the distribution project, versions 2 and 3.
    #[must_use]
    pub fn distribution() -> Self {
        Self {
            location: LocationForm::Absolute,
            location_query: LocationQuery::Plain,
            latest_location_only: true,
            broken_chunk_ends_session: true,
            no_tag_parameter: true,
            referrers: ReferrersForm::Unknown,
            ..Self::default()
        }
    }

    /// Docker Hub.
    #[must_use]
    pub fn docker_hub() -> Self {
        Self {
            no_blob_delete: true,
            no_manifest_delete: true,
            no_tag_delete: true,
            referrers: ReferrersForm::SubjectOnly,
            ..Self::distribution()
        }
    }

    /// GitHub's registry, GHCR.
    #[must_use]
    pub fn github() -> Self {
        Self {
            chunk_max_bytes: Some(4 * MIB),
            referrers: ReferrersForm::Unknown,
            ..Self::default()
        }
    }

    /// GitLab's registry.
    #[must_use]
    pub fn gitlab() -> Self {
        Self {
            digest_tags: true,
            ..Self::distribution()
        }
    }

    /// Google's registries.
    #[must_use]
    pub fn google() -> Self {
        Self {
            chunks: Chunks::One,
            location: LocationForm::Relative,
            location_query: LocationQuery::Plain,
            empty_blob_refused: true,
            pages_ignored: true,
            ..Self::default()
        }
    }

    /// Quay.
    #[must_use]
    pub fn quay() -> Self {
        Self {
            mount: MountForm::FromRequired,
            page_max: Some((100, StatusCode::PAYLOAD_TOO_LARGE)),
            ..Self::default()
        }
    }

    /// zot, whose older versions count the bytes of the chunk in `Range`.
    #[must_use]
    pub fn zot() -> Self {
        Self {
            range: RangeForm::Chunk,
            ..Self::default()
        }
    }

    /// Whether content under this digest is accepted.
    pub(super) fn takes(&self, digest: &Digest) -> bool {
        !self.sha256_only || digest.as_str().starts_with("sha256:")
    }
}

/// Which chunks a registry accepts and keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Chunks {
    /// Every chunk.
    All,
    /// Only the last chunk is kept, and the digest is not checked: silent corruption. Artifactory
    /// and, according to one report, GHCR.
    LastKept,
    /// One, which may be the whole blob, as Docker sends it; a second one is answered with 405.
    /// Google.
    One,
    /// None: `PATCH` is answered with 405.
    Refused,
}

/// What the `Range` of a session counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RangeForm {
    /// The bytes of the blob that have arrived.
    Blob,
    /// The bytes of the last chunk. Aliyun, and older versions of zot.
    Chunk,
    /// The bytes of the first chunk, as long as the session lasts. Amazon ECR.
    FirstChunk,
    /// Nothing: the header is missing.
    Missing,
}

/// In which form `Location` names a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocationForm {
    /// `http://127.0.0.1:5000/v2/…`, from the `Host` of the request. distribution.
    Absolute,
    /// `/v2/…`. Google, zot.
    Path,
    /// `session-1`, relative to the URL of the request (RFC 3986 §5.2).
    Relative,
    /// `http://`, although the registry is reached over https: a proxy terminates TLS.
    Http,
}

/// The query of the `Location` of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocationQuery {
    /// There is none.
    None,
    /// A query that stays the same when a client decodes and encodes it again, as skopeo does.
    /// distribution, Google.
    Plain,
    /// A query that must come back byte for byte, as if it were signed, with characters that
    /// clients encode in different ways. Registries that store in a cloud.
    Signed,
}

/// How a mount is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MountForm {
    /// With 201 if any repository has the blob, even without `from`.
    Anonymous,
    /// With 201 if the repository in `from` has the blob, otherwise with a session.
    From,
    /// As [`From`](Self::From), but a request without `from` gets 400. Quay.
    FromRequired,
    /// With this status and `DENIED`.
    Refused(StatusCode),
    /// With a session, even if the blob exists. Amazon ECR with its default settings.
    Session,
}

/// The limit of everything that a registry stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// The size of the blobs and manifests of all repositories together, in bytes.
    pub bytes: u64,
    /// The status for a push that exceeds the limit: 403 (Harbor, Quay) or 507, with `DENIED`.
    pub status: StatusCode,
}

impl Quota {
    /// Makes a limit of this many bytes, with this status for anything more.
    #[must_use]
    pub const fn new(bytes: u64, status: StatusCode) -> Self {
        Self { bytes, status }
    }
}

/// How a registry refuses to move a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImmutableTags {
    /// The status.
    pub status: StatusCode,
    /// The error code.
    pub code: String,
}

impl ImmutableTags {
    /// 400 and `TAG_INVALID`. Amazon ECR.
    #[must_use]
    pub fn bad_request() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "TAG_INVALID")
    }

    /// 409 and `DENIED`. Google, Quay.
    #[must_use]
    pub fn conflict() -> Self {
        Self::new(StatusCode::CONFLICT, "DENIED")
    }

    /// 412 and `PRECONDITION`. Harbor.
    #[must_use]
    pub fn precondition() -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "PRECONDITION")
    }

    /// This status and error code.
    #[must_use]
    pub fn new(status: StatusCode, code: &str) -> Self {
        let code = code.to_owned();
        Self { status, code }
    }
}

/// What happens to a document that refers to absent content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingContent {
    /// The document is stored.
    Accepted,
    /// It is refused with 404 and `MANIFEST_BLOB_UNKNOWN`.
    Refused,
}

/// How a registry supports referrers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReferrersForm {
    /// The API lists them, and the answer to a manifest with a subject has `OCI-Subject`.
    Api,
    /// A manifest with a subject is refused with this status. Amazon ECR: 405; Docker Hub in the
    /// past: 404.
    Refused(StatusCode),
    /// There is no API, although `OCI-Subject` promises one. Docker Hub in the past.
    SubjectOnly,
    /// There is no API and no `OCI-Subject`. distribution, GHCR, GitLab.
    Unknown,
}

const MIB: u64 = 1024 * 1024;

#[cfg(test)]
mod tests;
