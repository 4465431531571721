//! What is attached to a manifest: signatures, attestations, bills of material.

use longshore::Repository;
use longshore::model::{Digest, Tag, TagOrDigest};
use longshore_copy::Referrers;

use super::problems::Problems;

/// Maximum number of referrers in a summary.
const REFERRERS_LIMIT: usize = 1_000;

/// What is attached to a manifest.
pub(super) struct Attached {
    /// `None` when they could not be read.
    pub(super) referrers: Option<Referrers>,
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
    pub(super) async fn read(repository: &Repository, subject: &Digest) -> (Self, Problems) {
        let ask = |kind, suffix| look(repository, subject, kind, suffix);
        let (referrers, signature, attestation, sbom) = tokio::join!(
            Referrers::first(repository, subject, REFERRERS_LIMIT),
            ask("signature", "sig"),
            ask("attestation", "att"),
            ask("sbom", "sbom"),
        );
        let mut problems = Problems::default();
        let referrers = match referrers {
            Ok(referrers) => Some(referrers),
            Err(error) => {
                problems.note_transfer("the referrers are not shown", error);
                None
            }
        };
        let mut cosign = Vec::new();
        for (kind, found) in [
            ("signature", signature),
            ("attestation", attestation),
            ("sbom", sbom),
        ] {
            match found {
                Ok(found) => cosign.extend(found),
                Err(error) => {
                    problems.note_request(&format!("a cosign {kind} is not shown"), error);
                }
            }
        }
        (Self { referrers, cosign }, problems)
    }
}

/// Requests one tag, with HEAD.
async fn look(
    repository: &Repository,
    subject: &Digest,
    kind: &'static str,
    suffix: &str,
) -> Result<Option<Cosign>, longshore::Error> {
    let text = format!("{}.{suffix}", subject.as_str().replacen(':', "-", 1));
    // A longer digest is not a valid tag.
    let Ok(tag) = text.parse::<Tag>() else {
        return Ok(None);
    };
    let target = TagOrDigest::from(tag.clone());
    let head = repository.manifest_head(&target).await?;
    Ok(head.map(|head| Cosign {
        kind,
        tag,
        digest: head.digest,
    }))
}
