//! Why a registry refuses a write, if its answer says so.
//!
//! The specification has no codes for immutable tags, quotas and read-only registries, so these are
//! recognized by the messages of known registries.

use std::fmt;

use http::StatusCode;
use longshore_model::{Digest, TagOrDigest};
use longshore_origin::Escaped;

use crate::endpoint::{Deletable, Endpoint, UploadStep};
use crate::error_code::ErrorCode;
use crate::refusal::{Refusal, RefusalKind};

/// Why a write was refused, for a program that advises its user.
///
/// `Display` is a clause, for example "the tag is immutable".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriteRefusal {
    /// The manifest names content that the repository does not have.
    BlobUnknown {
        /// The digests that the answer names; empty if it names none.
        digests: Vec<Digest>,
    },
    /// The tag exists, and may not be moved to another manifest or deleted.
    ImmutableTag,
    /// The registry does not accept the manifest.
    ManifestInvalid {
        /// The detail of the answer, as JSON text; text of the peer.
        detail: Option<String>,
    },
    /// A quota of the user or the storage of the registry is used up.
    Quota,
    /// The registry accepts no writes, for now or permanently: it is under maintenance, or is a
    /// cache of another registry.
    ReadOnly,
    /// The repository does not exist, and the registry does not create it with the first push.
    RepositoryMissing,
    /// The registry deletes manifests by digest, and no tags.
    TagsKept,
}

impl WriteRefusal {
    /// Reads the refusal of a request: first its status, then its codes, then its messages. `None`
    /// when the request does not write, or when the answer does not give the reason.
    #[must_use]
    pub fn of(endpoint: &Endpoint, refusal: &Refusal) -> Option<Self> {
        let write = Write::of(endpoint)?;
        let kind = refusal.kind();
        if matches!(kind, RefusalKind::Unauthorized | RefusalKind::RateLimited) {
            return None;
        }
        match refusal.status {
            // distribution 2.8 takes the tag for a malformed digest.
            StatusCode::BAD_REQUEST
                if deletes_tag(endpoint) && refusal.body.names(&ErrorCode::DigestInvalid) =>
            {
                Some(Self::TagsKept)
            }
            StatusCode::INSUFFICIENT_STORAGE => Some(Self::Quota),
            StatusCode::NOT_FOUND => Self::by_code(write, refusal).or(match write {
                Write::Start => Some(Self::RepositoryMissing),
                _ => None,
            }),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                let refused = || (write != Write::Delete).then_some(Self::ReadOnly);
                Self::by_words(write, refusal).or_else(refused)
            }
            StatusCode::CONFLICT => Self::by_words(write, refusal)
                .or_else(|| Self::by_code(write, refusal))
                .or_else(|| (write == Write::Tag).then_some(Self::ImmutableTag)),
            // The messages are more specific than the codes: Google's registries report an
            // immutable tag as an invalid manifest.
            status if status.is_client_error() || status.is_server_error() => {
                Self::by_words(write, refusal).or_else(|| Self::by_code(write, refusal))
            }
            _ => None,
        }
    }

    fn by_code(write: Write, refusal: &Refusal) -> Option<Self> {
        let body = &refusal.body;
        let is_manifest = matches!(write, Write::Tag | Write::Manifest);
        let names = |codes: &[ErrorCode]| codes.iter().any(|code| body.names(code));
        if names(&[ErrorCode::NameUnknown]) && write != Write::Delete {
            return Some(Self::RepositoryMissing);
        }
        if !is_manifest {
            return None;
        }
        if names(&[ErrorCode::ManifestBlobUnknown, ErrorCode::BlobUnknown]) {
            let digests = digests(refusal);
            return Some(Self::BlobUnknown { digests });
        }
        names(&[ErrorCode::ManifestInvalid]).then(|| {
            let details = body.entries.iter().find_map(|entry| entry.detail.clone());
            let detail = details.filter(|detail| detail != "{}");
            Self::ManifestInvalid { detail }
        })
    }

    fn by_words(write: Write, refusal: &Refusal) -> Option<Self> {
        let says = |words: &[&str]| {
            let mut texts = refusal.body.texts();
            texts.any(|text| words.iter().any(|word| text.contains(word)))
        };
        if matches!(write, Write::Tag | Write::Delete) && says(IMMUTABLE) {
            Some(Self::ImmutableTag)
        } else if says(QUOTA) {
            Some(Self::Quota)
        } else if says(READ_ONLY) {
            Some(Self::ReadOnly)
        } else {
            None
        }
    }
}

fn deletes_tag(endpoint: &Endpoint) -> bool {
    let Endpoint::Delete(request) = endpoint else {
        return false;
    };
    matches!(request.content, Deletable::Manifest(TagOrDigest::Tag(_)))
}

/// The target of the write, as far as it matters for a refusal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    Delete,
    Manifest,
    /// The first request of an upload.
    Start,
    Tag,
    Upload,
}

impl Write {
    fn of(endpoint: &Endpoint) -> Option<Self> {
        match endpoint {
            Endpoint::Delete(_) => Some(Self::Delete),
            Endpoint::ManifestPut(request) => match request.target {
                TagOrDigest::Tag(_) => Some(Self::Tag),
                TagOrDigest::Digest(_) if request.tags.is_empty() => Some(Self::Manifest),
                TagOrDigest::Digest(_) => Some(Self::Tag),
            },
            Endpoint::Upload(request) => match request.step {
                UploadStep::Mount { .. } | UploadStep::Start { .. } => Some(Self::Start),
                UploadStep::Chunk { .. } | UploadStep::Finish { .. } => Some(Self::Upload),
                UploadStep::Cancel { .. } | UploadStep::Status { .. } => None,
            },
            _ => None,
        }
    }
}

/// Messages of Amazon's ECR, Google's Artifact Registry, Harbor, Nexus and Artifactory.
const IMMUTABLE: &[&str] = &[
    "immutable",
    "immutability",
    "cannot be overwritten",
    "does not allow updating",
    "overwrite artifact",
];

/// Messages of Harbor, Quay, GitLab and distribution.
const QUOTA: &[&str] = &[
    "quota",
    "storage limit",
    "exceed the configured upper limit",
    "no space left",
    "insufficient storage",
];

/// Messages of Harbor and Quay.
const READ_ONLY: &[&str] = &[
    "read only",
    "read-only",
    "readonly",
    "write operations are currently suspended",
    "pushes to the registry are currently disabled",
];

/// The digests in the details and messages of an answer, each once.
fn digests(refusal: &Refusal) -> Vec<Digest> {
    let mut found = Vec::new();
    for entry in &refusal.body.entries {
        let texts = [entry.detail.as_deref(), entry.message.as_deref()];
        for text in texts.into_iter().flatten() {
            let is_part = |c: char| c.is_ascii_alphanumeric() || ":+._-=".contains(c);
            let words = text.split(|c| !is_part(c));
            for digest in words.filter_map(|word| word.parse::<Digest>().ok()) {
                if !found.contains(&digest) {
                    found.push(digest);
                }
            }
        }
    }
    found
}

impl fmt::Display for WriteRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlobUnknown { digests } => {
                f.write_str("the repository does not have all content that the manifest names")?;
                for (number, digest) in digests.iter().enumerate() {
                    let separator = if number == 0 { ": " } else { ", " };
                    write!(f, "{separator}{digest}")?;
                }
                Ok(())
            }
            Self::ImmutableTag => f.write_str("the tag is immutable"),
            Self::ManifestInvalid { detail } => {
                f.write_str("the registry does not accept the manifest")?;
                match detail {
                    Some(detail) => write!(f, ": {}", Escaped::text(detail)),
                    None => Ok(()),
                }
            }
            Self::Quota => f.write_str("the quota or the storage of the registry is used up"),
            Self::ReadOnly => f.write_str("the registry accepts no writes"),
            Self::RepositoryMissing => f.write_str(
                "the repository does not exist, and the registry does not create it with a push",
            ),
            Self::TagsKept => f.write_str("the registry does not delete tags"),
        }
    }
}

#[cfg(test)]
mod tests;
