//! What a tag stands for now, as dry runs show it.

use longshore::Repository;
use longshore::model::{Digest, Reference, TagOrDigest};

use crate::exit::Failure;

/// Asks for the digest of what is in the repository under this name now.
pub(crate) async fn digest(
    repository: &Repository,
    target: &TagOrDigest,
) -> Result<Option<Digest>, Failure> {
    let head = repository.manifest_head(target).await?;
    Ok(head.and_then(|head| head.digest))
}

/// Says what putting the manifest `digest` under a name would change.
pub(crate) fn change(name: &Reference, digest: &Digest, current: Option<&Digest>) -> String {
    match current {
        None => format!("would add {name}"),
        Some(current) if current == digest => format!("{name} stands for this digest already"),
        Some(current) => format!("would move {name}, which stands for {current}"),
    }
}
