//! The digest that a tag stands for now, for dry runs.

use longshore::Repository;
use longshore::model::{Digest, Reference, TagOrDigest};

use crate::exit::Failure;

/// Returns the digest that this name in the repository stands for now.
pub(crate) async fn digest(
    repository: &Repository,
    target: &TagOrDigest,
) -> Result<Option<Digest>, Failure> {
    let head = repository.manifest_head(target).await?;
    Ok(head.and_then(|head| head.digest))
}

/// Describes what putting the manifest `digest` under a name would change.
pub(crate) fn change(name: &Reference, digest: &Digest, current: Option<&Digest>) -> String {
    match current {
        None => format!("would add {name}"),
        Some(current) if current == digest => format!("{name} stands for this digest already"),
        Some(current) => format!("would move {name}, which stands for {current}"),
    }
}
