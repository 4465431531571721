//! The commands, a file each.

use longshore::Repository;
use longshore::model::{Document, INDEX_DEPTH_LIMIT, Manifest, Platform, TagOrDigest};

use crate::exit::Failure;

pub(crate) mod digest;
pub(crate) mod manifest;
pub(crate) mod ping;
pub(crate) mod pull;

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
