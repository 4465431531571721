//! What is attached to a manifest: signatures, attestations, bills of material.

use longshore::model::{Descriptor, Digest, Tag, TagOrDigest};
use longshore::{COLLECTED_LIMIT_BYTES, ErrorKind, Repository};
use longshore_copy::ReferrersSource;

use crate::exit::Failure;

/// Maximum number of referrers in a summary.
const REFERRERS_LIMIT: usize = 1_000;

/// What is attached to a manifest.
pub(super) struct Attached {
    pub(super) source: ReferrersSource,
    pub(super) referrers: Vec<Descriptor>,
    /// Whether there are more referrers than were read.
    pub(super) more: bool,
    pub(super) cosign: Vec<Cosign>,
}

/// What cosign keeps under a tag that is made from the digest of its subject.
///
/// Source: cosign "Signature Specification", "Tag-based discovery".
pub(super) struct Cosign {
    pub(super) kind: &'static str,
    pub(super) tag: Tag,
    /// The digest, as the registry claims it.
    pub(super) digest: Option<Digest>,
}

impl Attached {
    pub(super) async fn read(repository: &Repository, subject: &Digest) -> Result<Self, Failure> {
        let (mut attached, cosign) = tokio::try_join!(
            Self::refer(repository, subject),
            cosign(repository, subject)
        )?;
        attached.cosign = cosign;
        Ok(attached)
    }

    async fn refer(repository: &Repository, subject: &Digest) -> Result<Self, Failure> {
        let mut attached = Self {
            source: ReferrersSource::Nothing,
            referrers: Vec::new(),
            more: false,
            cosign: Vec::new(),
        };
        let mut pages = repository.referrers_pages(subject, None);
        let mut bytes = 0_u64;
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                // After the first page this is a failure, because the remaining referrers are
                // missing.
                Err(error)
                    if error.kind() == ErrorKind::Unsupported
                        && attached.source == ReferrersSource::Nothing =>
                {
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            attached.source = ReferrersSource::of(&page);
            bytes = bytes.saturating_add(page.manifest.bytes().len() as u64);
            attached.referrers.extend(page.into_descriptors());
            // LI2 (memory is not sized by what a peer sends): few referrers may have many bytes.
            if attached.referrers.len() > REFERRERS_LIMIT || bytes > COLLECTED_LIMIT_BYTES {
                attached.referrers.truncate(REFERRERS_LIMIT);
                attached.more = true;
                break;
            }
        }
        Ok(attached)
    }
}

/// Requests the three tags concurrently, with HEAD.
async fn cosign(repository: &Repository, subject: &Digest) -> Result<Vec<Cosign>, Failure> {
    let ask = |kind, suffix| look(repository, subject, kind, suffix);
    let (signature, attestation, sbom) = tokio::try_join!(
        ask("signature", "sig"),
        ask("attestation", "att"),
        ask("sbom", "sbom"),
    )?;
    Ok([signature, attestation, sbom]
        .into_iter()
        .flatten()
        .collect())
}

async fn look(
    repository: &Repository,
    subject: &Digest,
    kind: &'static str,
    suffix: &str,
) -> Result<Option<Cosign>, Failure> {
    let text = format!("{}.{suffix}", subject.as_str().replacen(':', "-", 1));
    // A longer digest is not a valid tag.
    let Ok(tag) = text.parse::<Tag>() else {
        return Ok(None);
    };
    let head = match repository
        .manifest_head(&TagOrDigest::from(tag.clone()))
        .await
    {
        Ok(head) => head,
        // The manifest could be read, so the credentials grant access to the repository. Some
        // registries answer like this when a tag is absent.
        Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unsupported) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(head.map(|head| Cosign {
        kind,
        tag,
        digest: head.digest,
    }))
}
