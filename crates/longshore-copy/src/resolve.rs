//! From a tag to a digest.

use longshore::Repository;
use longshore_model::{Digest, TagOrDigest};

use crate::error::TransferError;

/// Returns the digest of what a tag or digest names, if the registry has it.
///
/// Asks with HEAD, which no registry counts against a pull limit (RT8: HEAD is preferred for tag
/// checks); with GET only if the answer names no digest. A digest from a HEAD is the registry's
/// claim: content that is fetched by it is verified.
///
/// # Errors
///
/// [`TransferError::Registry`], also when the content is absent.
pub async fn resolve(
    repository: &Repository,
    target: &TagOrDigest,
) -> Result<Digest, TransferError> {
    if let Some(head) = repository.manifest_head(target).await?
        && let Some(digest) = target.digest().cloned().or(head.digest)
    {
        return Ok(digest);
    }
    Ok(repository.manifest(target).await?.manifest.digest().clone())
}
