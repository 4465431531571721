//! Moving one blob: registry → verifier → store.

use std::sync::Arc;

use longshore::Repository;
use longshore_store::{Store, StoreError, StoreErrorKind, Writer};

use super::pool::LARGE_BYTES;
use crate::cancellation::StopSignal;
use crate::error::TransferError;
use crate::observer::{ByteCounter, Event, Observer};
use crate::plan::PlannedBlob;

/// What all transfers of a run share.
pub(super) struct Context {
    pub(super) repository: Repository,
    pub(super) store: Arc<dyn Store>,
    pub(super) observer: Option<Arc<dyn Observer>>,
    /// The bytes that are in the destination, or on their way to it.
    pub(super) counter: ByteCounter,
    /// Those of them that an earlier run had kept.
    pub(super) resumed: ByteCounter,
}

impl Context {
    pub(super) fn tell(&self, event: Event<'_>) {
        if let Some(observer) = &self.observer {
            observer.observe(event);
        }
    }
}

/// Moves one blob at a time; clones move several blobs concurrently.
#[derive(Clone)]
pub(super) struct Transfer {
    context: Arc<Context>,
    stop: StopSignal,
}

impl Transfer {
    pub(super) fn new(context: Arc<Context>, stop: StopSignal) -> Self {
        Self { context, stop }
    }

    /// Moves a blob, and once more if the content was wrong (RT2: one full re-fetch is allowed
    /// after a digest error).
    pub(super) async fn run(mut self, blob: &PlannedBlob) -> Result<(), TransferError> {
        match self.attempt(blob).await {
            Err(error) if is_mismatch(&error) => self.attempt(blob).await,
            result => result,
        }
    }

    /// Resumes a large blob from the bytes that an earlier run kept; the store hashes these again.
    async fn attempt(&mut self, blob: &PlannedBlob) -> Result<(), TransferError> {
        let PlannedBlob { digest, size } = blob;
        let store = &self.context.store;
        let writer = if *size >= LARGE_BYTES {
            store.resume(digest, *size)?
        } else {
            store.begin(digest, Some(*size))?
        };
        let resumed_at = writer.position();
        let context = Arc::clone(&self.context);
        context.counter.add(resumed_at);
        context.resumed.add(resumed_at);
        context.tell(Event::Started { blob, resumed_at });
        let mut bytes = resumed_at;
        let result = self.stream(blob, writer, &mut bytes).await;
        match &result {
            Ok(()) => context.tell(Event::Finished { blob }),
            Err(error) if is_mismatch(error) => {
                context.counter.subtract(bytes);
                context.resumed.subtract(resumed_at);
                context.tell(Event::TakenBack { blob, bytes });
            }
            Err(_) => {}
        }
        result
    }

    /// Writes what the registry sends, and counts it in `bytes` and for the run.
    async fn stream(
        &mut self,
        blob: &PlannedBlob,
        mut writer: Writer,
        bytes: &mut u64,
    ) -> Result<(), TransferError> {
        let Context {
            repository,
            counter,
            ..
        } = &*self.context;
        let resumed_at = *bytes;
        let mut frames = repository.blob_frames_from(&blob.digest, Some(blob.size), *bytes);
        loop {
            let Some(frame) = self.stop.unless_stopped(frames.next()).await else {
                return Err(TransferError::Cancelled);
            };
            let Some(frame) = frame else {
                return Ok(writer.commit()?);
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    if *bytes == resumed_at && !may_resume(error.kind()) {
                        writer.discard();
                    }
                    return Err(error.into());
                }
            };
            counter.add(frame.len() as u64);
            *bytes += frame.len() as u64;
            writer.write(&frame)?;
        }
    }
}

/// Returns whether the partial blob of an earlier run is kept after a transfer that received no
/// further byte. If the registry refused the range, the partial blob is removed, so that the next
/// run does not request the same range (RT6: a refused range restarts the download).
fn may_resume(kind: longshore::ErrorKind) -> bool {
    use longshore::ErrorKind;
    matches!(
        kind,
        ErrorKind::Auth
            | ErrorKind::Configuration
            | ErrorKind::RateLimited
            | ErrorKind::RealmRefused
            | ErrorKind::Unavailable
    )
}

/// Returns whether the content did not match its digest or size, as the store found.
fn is_mismatch(error: &TransferError) -> bool {
    let kind = |error: &StoreError| error.kind() == StoreErrorKind::Content;
    matches!(error, TransferError::Store(error) if kind(error))
}
