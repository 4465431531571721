//! Code that all ends with a store share.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use longshore::{Content, FileContent};
use longshore_model::{Digest, Manifest, ManifestError};
use longshore_store::{Opened, Store, StoreError, Writer};

use super::{BlobOutcome, BlobPut, End, RawManifest, TakeManifest};
use crate::cancellation::blocking;
use crate::error::TransferError;
use crate::plan::{PlannedBlob, stored_document};

/// Minimum size of a blob, in bytes, of which a store keeps a part when its transfer breaks off.
pub(crate) const RESUMED_BYTES: u64 = 1024 * 1024;

/// Opens a blob; `None` when it has another size.
pub(super) fn content(
    store: &dyn Store,
    blob: &PlannedBlob,
) -> Result<Option<Box<dyn Content>>, TransferError> {
    let reader = store.open(&blob.digest)?;
    if reader.size() != blob.size {
        return Ok(None);
    }
    Ok(Some(match reader.into_opened() {
        Opened::File(file) => Box::new(FileContent::new(file).map_err(TransferError::Source)?),
        Opened::Bytes(bytes) => Box::new(bytes),
    }))
}

pub(super) fn has_blobs(
    store: Option<Arc<dyn Store>>,
    blobs: &[&PlannedBlob],
) -> Result<Vec<bool>, TransferError> {
    let Some(store) = store else {
        return Ok(vec![false; blobs.len()]);
    };
    let has = |blob: &&PlannedBlob| Ok(store.reuse(&blob.digest, blob.size)?);
    blobs.iter().map(has).collect()
}

/// Reads the manifest of this digest.
pub(super) async fn manifest(
    end: &dyn End,
    digest: &Digest,
    take: TakeManifest<'_>,
) -> Result<(), TransferError> {
    take(read(end, digest)?).await
}

fn read(end: &dyn End, digest: &Digest) -> Result<Manifest, TransferError> {
    let store = end.opened_store()?;
    let absent = || TransferError::NoManifest {
        digest: digest.clone(),
    };
    let size = store.size(digest)?.ok_or_else(absent)?;
    let bytes = stored_document(&*store, digest, size)?.ok_or_else(absent)?;
    Manifest::parse_verified(bytes, None, digest).map_err(|source| match source {
        ManifestError::Verify(_) => TransferError::Damaged {
            end: end.name(),
            digest: digest.clone(),
        },
        source => TransferError::Manifest {
            end: end.name(),
            digest: digest.clone(),
            source,
        },
    })
}

/// Writes a blob; resumes where an earlier run stopped.
pub(super) async fn put_blob(
    store: &dyn Store,
    put: BlobPut<'_>,
) -> Result<BlobOutcome, TransferError> {
    let PlannedBlob { digest, size, .. } = put.blob;
    let store = store.interruptible(put.interrupt);
    let writer = if *size >= RESUMED_BYTES {
        store.resume(digest, *size)?
    } else {
        store.begin(digest, Some(*size))?
    };
    write(writer, put.content).await?;
    Ok(BlobOutcome::Moved)
}

async fn write(mut writer: Writer, content: &dyn Content) -> Result<(), TransferError> {
    let resumed_at = writer.position();
    let mut frames = content
        .open(resumed_at)
        .await
        .map_err(TransferError::of_content)?;
    loop {
        match poll_fn(|context| frames.as_mut().poll_next(context)).await {
            Some(Ok(frame)) => writer.write(&frame)?,
            Some(Err(error)) => {
                if writer.position() == resumed_at && !may_resume(&error) {
                    writer.discard();
                }
                return Err(TransferError::of_content(error));
            }
            None => return Ok(writer.commit()?),
        }
    }
}

/// Returns whether the partial blob of an earlier run is kept after a transfer that received no
/// further byte. If the registry refused the range, the partial blob is removed, so that the next
/// run does not request the same range (RT6: a refused range restarts the download).
fn may_resume(error: &io::Error) -> bool {
    use longshore::ErrorKind;
    let source = error.get_ref().and_then(|error| error.downcast_ref());
    let Some(kind) = source.map(longshore::Error::kind) else {
        return true;
    };
    matches!(
        kind,
        ErrorKind::Auth
            | ErrorKind::Configuration
            | ErrorKind::RateLimited
            | ErrorKind::RealmRefused
            | ErrorKind::Unavailable
    )
}

/// Writes a manifest unless the store already holds exactly these bytes. Runs on a thread of the
/// blocking pool, because the first write waits for the lock of the store.
pub(super) async fn put_manifest(
    store: Arc<dyn Store>,
    manifest: &RawManifest,
) -> Result<(), TransferError> {
    put_document(store, &manifest.descriptor.digest, &manifest.bytes).await?;
    Ok(())
}

/// Writes a document unless the store already holds exactly these bytes; returns whether it does.
pub(crate) async fn put_document(
    store: Arc<dyn Store>,
    digest: &Digest,
    bytes: &Bytes,
) -> Result<bool, TransferError> {
    let (digest, bytes) = (digest.clone(), bytes.clone());
    blocking(move |interrupt| {
        let store = store.interruptible(interrupt);
        let is_present = holds(&*store, &digest, &bytes)?;
        if !is_present {
            store.put(&digest, &bytes)?;
        }
        Ok::<_, StoreError>(is_present)
    })
    .await
}

/// Returns whether the store holds exactly these bytes as the blob `digest`.
fn holds(store: &dyn Store, digest: &Digest, bytes: &[u8]) -> Result<bool, StoreError> {
    use io::Read as _;
    if !store.reuse(digest, bytes.len() as u64)? {
        return Ok(false);
    }
    let mut found = Vec::new();
    let reader = store.open(digest)?;
    let read = reader.take(bytes.len() as u64 + 1).read_to_end(&mut found);
    Ok(read.is_ok() && found == *bytes)
}
