//! Writing the manifests of a plan, from the bottom up, and the names last.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::transfer::Context;
use crate::end::{End, PublishedName, RawManifest};
use crate::error::TransferError;
use crate::plan::{Parts, PlannedDestination, PlannedManifest};

/// Maximum number of manifests that are written to a destination concurrently.
const CONCURRENT_MANIFESTS: usize = 16;

/// Maximum size of the manifests that are written concurrently to all destinations together, in
/// bytes; each may have one that is larger than its share. To read one takes several times as much
/// memory (LI2).
const WRITTEN_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

/// Writes the manifests that each destination lacks, and makes the image visible there. No
/// destination waits for another one.
pub(super) async fn write(context: &Arc<Context>, parts: Parts) -> Result<(), TransferError> {
    let parts = Arc::new(parts);
    let mut writing = JoinSet::new();
    for number in 0..parts.destinations.len() {
        let (context, parts) = (Arc::clone(context), Arc::clone(&parts));
        writing.spawn(async move {
            context.target(number).finished().await?;
            if context.has_failed(number) {
                return Ok(());
            }
            let Some(destination) = parts.destinations.get(number) else {
                return Ok(());
            };
            let writer = Writer {
                context: &context,
                parts: &parts,
                destination,
                number,
            };
            writer.write().await
        });
    }
    while let Some(ended) = writing.join_next().await {
        ended.unwrap_or(Err(TransferError::Worker))?;
    }
    Ok(())
}

/// Writes to one destination.
struct Writer<'a> {
    context: &'a Arc<Context>,
    parts: &'a Parts,
    destination: &'a PlannedDestination,
    number: usize,
}

impl Writer<'_> {
    async fn write(&self) -> Result<(), TransferError> {
        let Some((top, _)) = self.parts.manifests.split_first() else {
            return Ok(());
        };
        let heights = self.parts.manifests.iter().map(PlannedManifest::height);
        for height in 0..=heights.max().unwrap_or_default() {
            self.write_level(height).await?;
        }
        self.publish(top).await
    }

    /// Where manifests are read: the store of a destination has all of them, if it got them while
    /// the plan was made.
    fn from(&self) -> &Arc<dyn End> {
        let keeper = self.parts.destinations.iter().find(|it| it.is_keeper());
        keeper.map_or(&self.parts.source, |it| it.end())
    }

    /// Writes the manifests that have this many levels below them. What they list was written
    /// before.
    async fn write_level(&self, height: usize) -> Result<(), TransferError> {
        let share = WRITTEN_LIMIT_BYTES / (self.parts.destinations.len() as u64).max(1);
        let (mut writing, mut bytes) = (JoinSet::new(), 0_u64);
        for (place, manifest) in self.parts.manifests.iter().enumerate() {
            if manifest.height() != height || !self.lacks(place) {
                continue;
            }
            while writing.len() >= CONCURRENT_MANIFESTS
                || (bytes > 0 && bytes.saturating_add(manifest.size) > share)
            {
                let Some(ended) = writing.join_next().await else {
                    break;
                };
                bytes = bytes.saturating_sub(ended.unwrap_or(Err(TransferError::Worker))?);
            }
            bytes = bytes.saturating_add(manifest.size);
            let (context, from) = (Arc::clone(self.context), Arc::clone(self.from()));
            let (manifest, number) = (manifest.clone(), self.number);
            writing.spawn(async move {
                let raw = manifest.read(&*from).await?;
                put(&context, number, &raw).await?;
                Ok(manifest.size)
            });
        }
        while let Some(ended) = writing.join_next().await {
            ended.unwrap_or(Err(TransferError::Worker))?;
        }
        Ok(())
    }

    /// Returns whether a manifest is to be written by its digest. The image itself is written under
    /// its name, except to a store.
    fn lacks(&self, place: usize) -> bool {
        let has_name = place == 0 && self.destination.end().store().is_none();
        !has_name && !self.destination.is_written(place) && !self.context.has_failed(self.number)
    }

    /// Makes the image visible, after what belongs to it.
    async fn publish(&self, top: &PlannedManifest) -> Result<(), TransferError> {
        for (tag, place) in &self.parts.names {
            self.publish_as(*place, PublishedName::Tag(tag)).await?;
        }
        for place in &self.parts.unlisted {
            self.publish_as(*place, PublishedName::Unnamed).await?;
        }
        let is_store = self.destination.end().store().is_some();
        // The name of a store is set again, because that makes its blobs durable.
        if self.context.has_failed(self.number) || (self.destination.is_named() && !is_store) {
            return Ok(());
        }
        let raw = top.read(&**self.from()).await?;
        let target = self.context.target(self.number);
        match target.end.publish(&raw, PublishedName::Own).await {
            Ok(()) if is_store => {}
            Ok(()) if self.destination.is_written(0) => {}
            Ok(()) => target.count_manifest(raw.bytes.len() as u64),
            Err(error) => self.context.fail(self.number, error)?,
        }
        Ok(())
    }

    async fn publish_as(&self, place: usize, name: PublishedName<'_>) -> Result<(), TransferError> {
        let Some(manifest) = self.parts.manifests.get(place) else {
            return Ok(());
        };
        if self.context.has_failed(self.number) {
            return Ok(());
        }
        let raw = manifest.read(&**self.from()).await?;
        let end = &self.context.target(self.number).end;
        match end.publish(&raw, name).await {
            Ok(()) => Ok(()),
            Err(error) => self.context.fail(self.number, error),
        }
    }
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
