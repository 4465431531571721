//! The commands, a file each.

use longshore::Repository;
use longshore::model::{
    Digest, Document, INDEX_DEPTH_LIMIT, Manifest, Platform, Reference, TagOrDigest,
};

use crate::exit::Failure;

pub(crate) mod blob;
pub(crate) mod config;
pub(crate) mod digest;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod manifest;
pub(crate) mod ping;
pub(crate) mod pull;
pub(crate) mod referrers;
pub(crate) mod verify;

/// Reads a reference; one that is none is told with its text.
pub(crate) fn reference(text: &str) -> Result<Reference, Failure> {
    Reference::parse(text).map_err(|error| Failure::reference(text, &error))
}

/// Follows an index, and indexes in it, to the manifest of one platform.
pub(crate) async fn choose(
    repository: &Repository,
    mut manifest: Manifest,
    wanted: &Platform,
) -> Result<Manifest, Failure> {
    for _ in 0..INDEX_DEPTH_LIMIT {
        let Document::Index(index) = manifest.document() else {
            return Ok(manifest);
        };
        let chosen = index.select(wanted)?.digest.clone();
        manifest = repository
            .manifest(&TagOrDigest::from(chosen))
            .await?
            .manifest;
    }
    match manifest.document() {
        Document::Index(_) => Err(Failure::nested()),
        _ => Ok(manifest),
    }
}

/// The digest of what a tag or digest names, if it is there: by HEAD, which no registry counts
/// against a pull limit, or by GET where that tells none.
pub(crate) async fn resolve(
    repository: &Repository,
    target: &TagOrDigest,
) -> Result<Digest, Failure> {
    if let Some(head) = repository.manifest_head(target).await?
        && let Some(digest) = target.digest().cloned().or(head.digest)
    {
        return Ok(digest);
    }
    Ok(repository.manifest(target).await?.manifest.digest().clone())
}
