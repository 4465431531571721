//! How each blob gets to a destination.

use std::sync::atomic::AtomicUsize;

use longshore::Repository;

use super::{BlobAction, PlannedBlob, PlannedDestination};
use crate::end::End;
use crate::error::TransferError;
use crate::patience::answer_of;

/// A destination, with the facts that decide how blobs get there.
pub(super) struct Claim<'a> {
    pub(super) source: &'a dyn End,
    /// The destinations before this one.
    pub(super) earlier: &'a [PlannedDestination],
    pub(super) end: &'a dyn End,
    pub(super) blobs: &'a [PlannedBlob],
    /// Whether to look for every blob, so that the plan is exact.
    pub(super) all: bool,
    /// Whether it is the only destination.
    pub(super) is_alone: bool,
}

/// Chooses the action for each blob.
pub(super) async fn find(claim: Claim<'_>) -> Result<Vec<BlobAction>, TransferError> {
    let Claim {
        source, end, blobs, ..
    } = claim;
    if blobs.is_empty() {
        return Ok(Vec::new());
    }
    let sibling = |repository: &Repository| match end.repository() {
        Some(own) if own.origin() == repository.origin() => Some(own.name() == repository.name()),
        _ => None,
    };
    if let Some(from) = source.repository()
        && let Some(is_same) = sibling(from)
    {
        let action = if is_same {
            BlobAction::Existing
        } else {
            let (from, after) = (from.name().clone(), false);
            BlobAction::Mount { from, after }
        };
        return Ok(vec![action; blobs.len()]);
    }
    let earlier = claim.earlier.iter().find_map(|it| {
        let repository = it.end.repository()?;
        sibling(repository)
            .is_some()
            .then(|| repository.name().clone())
    });
    if let Some(from) = earlier {
        let after = true;
        return Ok(vec![BlobAction::Mount { from, after }; blobs.len()]);
    }
    let asked: Vec<&PlannedBlob> = blobs.iter().collect();
    let answered = AtomicUsize::new(0);
    let asking = end.has_blobs(&asked, claim.all, &answered);
    let has = answer_of(end, claim.is_alone, &answered, asking).await?;
    let action = |has| match has {
        true => BlobAction::Existing,
        false => BlobAction::Move,
    };
    Ok(has.into_iter().map(action).collect())
}
