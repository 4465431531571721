//! Writing the manifests of a plan, from the bottom up, and the names last.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::transfer::Context;
use crate::end::{End, PublishedName, RawManifest};
use crate::error::TransferError;
use crate::plan::{Parts, PlannedManifest};

/// Maximum number of manifests that are written concurrently.
const CONCURRENT_MANIFESTS: usize = 16;

/// Writes what each destination lacks, and makes the image visible there.
pub(super) async fn write(context: &Arc<Context>, parts: &Parts) -> Result<(), TransferError> {
    let Some((top, _)) = parts.manifests.split_first() else {
        return Ok(());
    };
    // The store of a destination has all manifests, if it got them while the plan was made.
    let keeper = parts.destinations.iter().find(|it| it.is_keeper());
    let from = keeper.map_or(&parts.source, |it| it.end());
    let highest = parts.manifests.iter().map(PlannedManifest::height).max();
    for height in 0..=highest.unwrap_or_default() {
        write_level(context, parts, from, height).await?;
    }
    publish(context, parts, from, top).await
}

/// Writes the manifests that have this many levels below them. What they list was written before.
async fn write_level(
    context: &Arc<Context>,
    parts: &Parts,
    from: &Arc<dyn End>,
    height: usize,
) -> Result<(), TransferError> {
    let mut writing = JoinSet::new();
    for (place, manifest) in parts.manifests.iter().enumerate() {
        if manifest.height() != height {
            continue;
        }
        let lacking: Vec<usize> = (0..parts.destinations.len())
            .filter(|&number| lacks(context, parts, number, place))
            .collect();
        if lacking.is_empty() {
            continue;
        }
        if writing.len() >= CONCURRENT_MANIFESTS
            && let Some(ended) = writing.join_next().await
        {
            ended.unwrap_or(Err(TransferError::Worker))?;
        }
        let (context, from) = (Arc::clone(context), Arc::clone(from));
        let manifest = manifest.clone();
        writing.spawn(async move {
            let raw = manifest.read(&*from).await?;
            for number in lacking {
                put(&context, number, &raw).await?;
            }
            Ok(())
        });
    }
    while let Some(ended) = writing.join_next().await {
        ended.unwrap_or(Err(TransferError::Worker))?;
    }
    Ok(())
}

/// Returns whether a manifest is to be written by its digest. The image itself is written under its
/// name, except to a store.
fn lacks(context: &Context, parts: &Parts, number: usize, place: usize) -> bool {
    let Some(destination) = parts.destinations.get(number) else {
        return false;
    };
    let has_name = place == 0 && destination.end().store().is_none();
    !has_name && !destination.is_written(place) && !context.has_failed(number)
}

async fn put(context: &Context, number: usize, raw: &RawManifest) -> Result<(), TransferError> {
    let target = context.target(number);
    match target.end.put_manifest(raw).await {
        Ok(()) => {
            target.count_manifest(raw.bytes.len() as u64);
            Ok(())
        }
        Err(error) => context.fail(number, error),
    }
}

/// Makes the image visible at each destination, after what belongs to it.
async fn publish(
    context: &Context,
    parts: &Parts,
    from: &Arc<dyn End>,
    top: &PlannedManifest,
) -> Result<(), TransferError> {
    for (tag, place) in &parts.names {
        publish_as(context, parts, from, *place, PublishedName::Tag(tag)).await?;
    }
    for place in &parts.unlisted {
        publish_as(context, parts, from, *place, PublishedName::Unnamed).await?;
    }
    for (number, destination) in parts.destinations.iter().enumerate() {
        let is_store = destination.end().store().is_some();
        // The name of a store is set again, because that makes its blobs durable.
        if context.has_failed(number) || (destination.is_named() && !is_store) {
            continue;
        }
        let raw = top.read(&**from).await?;
        let target = context.target(number);
        match target.end.publish(&raw, PublishedName::Own).await {
            Ok(()) if is_store => {}
            Ok(()) if destination.is_written(0) => {}
            Ok(()) => target.count_manifest(raw.bytes.len() as u64),
            Err(error) => context.fail(number, error)?,
        }
    }
    Ok(())
}

async fn publish_as(
    context: &Context,
    parts: &Parts,
    from: &Arc<dyn End>,
    place: usize,
    name: PublishedName<'_>,
) -> Result<(), TransferError> {
    let Some(manifest) = parts.manifests.get(place) else {
        return Ok(());
    };
    let raw = manifest.read(&**from).await?;
    for number in 0..parts.destinations.len() {
        let target = context.target(number);
        if !context.has_failed(number)
            && let Err(error) = target.end.publish(&raw, name).await
        {
            context.fail(number, error)?;
        }
    }
    Ok(())
}
