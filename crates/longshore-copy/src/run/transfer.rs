//! Moving one blob from the source to the destinations that lack it.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore::{ErrorKind, PushObserver};
use longshore_model::{RepositoryName, Verifier};
use longshore_store::{Interrupt, StoreError};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::DestinationReport;
use super::target::Target;
use crate::cancellation::StopSignal;
use crate::content::{Counted, Counts, Meter};
use crate::end::{BlobOutcome, BlobPut, End};
use crate::error::TransferError;
use crate::failures::Failures;
use crate::observer::Event;
use crate::patience::Patience;
use crate::plan::PlannedBlob;
use crate::tee::{Tee, TeeContent};

/// What all transfers of a run share.
pub(super) struct Context {
    pub(super) source: Arc<dyn End>,
    pub(super) targets: Vec<Target>,
    pub(super) failures: Arc<Failures>,
    pub(super) counts: Arc<Counts>,
    pub(super) interrupt: Interrupt,
    /// Whether content of the source is sent without being hashed.
    pub(super) trusts_source: bool,
    pub(super) verify_after: bool,
}

impl Context {
    /// Returns a destination by its place in the plan.
    #[expect(
        clippy::indexing_slicing,
        reason = "every number comes from counting the destinations of the same plan"
    )]
    pub(super) fn target(&self, number: usize) -> &Target {
        &self.targets[number]
    }

    /// Returns whether a destination is not a store on this machine.
    pub(super) fn uploads(&self) -> bool {
        self.targets.iter().any(|it| it.end.store().is_none())
    }

    /// Returns whether a destination was given up.
    pub(super) fn has_failed(&self, number: usize) -> bool {
        self.failures.has(number)
    }

    /// Gives a destination up. If it is the last one, this ends the run with an error.
    pub(super) fn fail(&self, number: usize, error: TransferError) -> Result<(), TransferError> {
        if !self.has_failed(number) && self.targets.len() > 1 {
            self.counts.tell(Event::Dropped {
                destination: &self.target(number).end.name(),
                error: &error,
            });
        }
        self.target(number).abort();
        self.failures.add(number, error)
    }

    /// Returns the result at each destination.
    pub(super) fn reports(&self) -> Vec<DestinationReport> {
        let targets = self.targets.iter().enumerate();
        let report = |(number, target): (usize, &Target)| DestinationReport {
            name: target.end.name(),
            tally: target.tally(),
            error: self.failures.take(number),
        };
        targets.map(report).collect()
    }
}

/// A blob and the destinations that lack it.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) blob: PlannedBlob,
    /// Whether its content is read, and not only mounted.
    pub(super) moves: bool,
    /// Each destination, and the repository to mount the blob from.
    to: Vec<(usize, Option<RepositoryName>)>,
}

impl Job {
    pub(super) fn new(blob: &PlannedBlob) -> Self {
        Self {
            blob: blob.clone(),
            moves: false,
            to: Vec::new(),
        }
    }

    pub(super) fn send(&mut self, number: usize) {
        self.moves = true;
        self.to.push((number, None));
    }

    pub(super) fn mount(&mut self, number: usize, from: &RepositoryName) {
        self.to.push((number, Some(from.clone())));
    }

    pub(super) fn unless_empty(self) -> Option<Self> {
        (!self.to.is_empty()).then_some(self)
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
    pub(super) async fn run(mut self, mut job: Job) -> Result<(), TransferError> {
        let result = match self.attempt(&mut job).await {
            Err(error) if error.is_mismatch() => self.attempt(&mut job).await,
            result => result,
        };
        let source = &self.context.source;
        result.map_err(
            |error| match error.is_mismatch() && source.store().is_some() {
                // Nobody between here and a source on this machine changes its content.
                true => TransferError::Damaged {
                    end: source.name(),
                    digest: job.blob.digest.clone(),
                },
                false => error,
            },
        )
    }

    /// Reads the content and sends it to every destination that still lacks it.
    async fn attempt(&mut self, job: &mut Job) -> Result<(), TransferError> {
        let context = Arc::clone(&self.context);
        job.to.retain(|(number, _)| !context.has_failed(*number));
        let content = context.source.content(&job.blob)?;
        let content = Counted::new(content, job.blob.clone(), Arc::clone(&context.counts));
        let moving = async {
            match job.to.as_slice() {
                [] => Ok(()),
                [(number, mount)] => context.put(*number, mount, &job.blob, &content).await,
                _ => context.put_to_several(job, &content).await,
            }
        };
        let moved = self.stop.unless_stopped(moving).await;
        let result = moved.unwrap_or(Err(TransferError::Cancelled));
        if let Err(error) = &result
            && error.is_mismatch()
        {
            let bytes = content.take_back();
            let blob = &job.blob;
            context.counts.tell(Event::TakenBack { blob, bytes });
        }
        result
    }
}

impl Context {
    /// Sends the content to one destination.
    async fn put(
        &self,
        number: usize,
        mount: &Option<RepositoryName>,
        blob: &PlannedBlob,
        content: &Counted,
    ) -> Result<(), TransferError> {
        let target = self.target(number);
        let put = BlobPut {
            blob,
            content,
            verified: self.trusts_source,
            mount: mount.as_ref(),
            observer: &content.observer(),
            interrupt: &self.interrupt,
        };
        let meter = content.meter();
        let putting = target.end.put_blob(put);
        match self.unless_stalled(number, putting, &meter).await {
            Ok(outcome) => {
                self.on_put(number, blob, outcome, meter.moved()).await?;
                if meter.was_opened() {
                    self.counts.tell(Event::Finished { blob });
                }
                Ok(())
            }
            Err(error) if content.has_failed() || error.is_mismatch() => Err(error),
            Err(error) => self.fail(number, error),
        }
    }

    /// Waits for an upload. One of several destinations that makes no progress for too long is
    /// given up, except if only the answer to its last bytes is due.
    async fn unless_stalled(
        &self,
        number: usize,
        put: impl Future<Output = Result<BlobOutcome, TransferError>>,
        meter: &Meter,
    ) -> Result<BlobOutcome, TransferError> {
        let end = &*self.target(number).end;
        let Some(patience) = Patience::with(end).filter(|_| self.targets.len() > 1) else {
            return put.await;
        };
        let mut put = pin!(put);
        loop {
            let position = meter.position();
            tokio::select! {
                biased;
                result = &mut put => return result,
                () = patience.exhausted() => {}
            }
            if !meter.is_at_end() && meter.position() == position {
                return Err(TransferError::Stalled { end: end.name() });
            }
        }
    }

    /// Sends the content to several destinations. It is read once, and hashed once for all
    /// destinations that do not hash it themselves. Returns when everything was read: a registry
    /// that takes long to answer the last bytes delays no other destination.
    async fn put_to_several(
        self: &Arc<Self>,
        job: &Job,
        content: &Counted,
    ) -> Result<(), TransferError> {
        let blob = &job.blob;
        let is_store = |number: usize| self.target(number).end.store().is_some();
        let unverified = self.trusts_source || job.to.iter().all(|(it, _)| is_store(*it));
        let verifier = (!unverified).then(|| verifier(blob)).transpose()?;
        let ends = job.to.iter().map(|(number, _)| &*self.target(*number).end);
        let (tee, contents) = Tee::new(blob.size, ends.map(Patience::with), verifier);
        let shared = Arc::new(Shared {
            context: Arc::clone(self),
            blob: blob.clone(),
            observer: content.observer(),
            meter: content.meter(),
            source_failed: tee.failure(),
            mismatch: Mutex::default(),
            has_arrived: AtomicBool::new(false),
        });
        let (mut uploads, mut ends) = (Uploads(Vec::new()), Vec::new());
        for ((number, mount), content) in job.to.iter().cloned().zip(contents) {
            let (shared, (ended, end)) = (Arc::clone(&shared), oneshot::channel::<()>());
            let upload = async move {
                shared.put(number, mount, content).await;
                drop(ended);
            };
            let started = self.target(number).start(upload);
            let started = started.ok_or(TransferError::Cancelled)?;
            uploads.0.push((number, started));
            ends.push((number, end));
        }
        let on_stalled = |reader: usize| {
            if let Some((number, upload)) = uploads.0.get(reader) {
                upload.abort();
                let end = self.target(*number).end.name();
                // The run ends after this blob if no destination is left.
                let _ = self.fail(*number, TransferError::Stalled { end });
            }
        };
        let read = tee.run(content, on_stalled).await;
        for (number, end) in ends {
            if read.is_err() || is_store(number) {
                // Nothing is ever sent.
                let _ = end.await;
            }
        }
        uploads.0.clear();
        match (read, lock(&shared.mismatch).take()) {
            (Err(error), _) => Err(TransferError::of_content(error)),
            (Ok(()), Some(error)) => Err(error),
            (Ok(()), None) => Ok(()),
        }
    }

    /// Counts a blob that a destination has received.
    async fn on_put(
        &self,
        number: usize,
        blob: &PlannedBlob,
        outcome: BlobOutcome,
        bytes: u64,
    ) -> Result<(), TransferError> {
        let target = self.target(number);
        if self.verify_after
            && let Err(error) = check_stored(&*target.end, blob).await
        {
            return self.fail(number, error);
        }
        target.count(outcome, bytes);
        match outcome {
            BlobOutcome::Existing => self.counts.tell(Event::Skipped { blob }),
            BlobOutcome::Mounted => self.counts.tell(Event::Mounted { blob }),
            BlobOutcome::Moved => {}
        }
        Ok(())
    }
}

fn verifier(blob: &PlannedBlob) -> Result<Verifier, TransferError> {
    let verifier = Verifier::new(&blob.digest, Some(blob.size));
    let unsupported = |source| StoreError::Unsupported {
        digest: blob.digest.clone(),
        source,
    };
    Ok(verifier.map_err(unsupported)?)
}

/// The uploads of a blob. Dropping it ends them.
struct Uploads(Vec<(usize, AbortHandle)>);

impl Drop for Uploads {
    fn drop(&mut self) {
        self.0.iter().for_each(|(_, upload)| upload.abort());
    }
}

/// What the uploads of a blob to several destinations share.
struct Shared {
    context: Arc<Context>,
    blob: PlannedBlob,
    observer: Arc<dyn PushObserver>,
    meter: Meter,
    source_failed: Arc<AtomicBool>,
    /// What a store that hashes has found, if nobody else does.
    mismatch: Mutex<Option<TransferError>>,
    /// Whether a destination has the blob.
    has_arrived: AtomicBool,
}

impl Shared {
    /// Gives the content to one of the destinations.
    async fn put(&self, number: usize, mount: Option<RepositoryName>, content: TeeContent) {
        let target = self.context.target(number);
        // The semaphore is never closed.
        let _room = target.room.acquire().await;
        let put = BlobPut {
            blob: &self.blob,
            content: &content,
            verified: true,
            mount: mount.as_ref(),
            observer: &self.observer,
            interrupt: &self.context.interrupt,
        };
        let result = target.end.put_blob(put).await;
        let was_read = content.was_read();
        drop(content);
        let result = match result {
            Ok(outcome) => {
                let bytes = self.meter.moved();
                let put = self
                    .context
                    .on_put(number, &self.blob, outcome, bytes)
                    .await;
                self.has_arrived.store(true, Ordering::Relaxed);
                put
            }
            // The source failed, and its reader reports the error.
            Err(_) if self.source_failed.load(Ordering::Acquire) => Ok(()),
            Err(error) if error.is_mismatch() => {
                lock(&self.mismatch).get_or_insert(error);
                Ok(())
            }
            Err(error) if was_read && broke_off(&error) => {
                match self.put_alone(number, &mount).await {
                    Err(error) => self.context.fail(number, error),
                    put => put,
                }
            }
            Err(error) => self.context.fail(number, error),
        };
        // The run ends when it sees that no destination is left.
        drop(result);
    }
}

impl Shared {
    /// Reads the content for one destination, whose upload broke off after the others had moved on.
    async fn put_alone(
        &self,
        number: usize,
        mount: &Option<RepositoryName>,
    ) -> Result<(), TransferError> {
        let Context { source, counts, .. } = &*self.context;
        let content = source.content(&self.blob)?;
        let content = Counted::new(content, self.blob.clone(), Arc::clone(counts));
        self.context.put(number, mount, &self.blob, &content).await
    }
}

/// Returns whether an upload broke off that could have continued with other content.
fn broke_off(error: &TransferError) -> bool {
    let TransferError::Registry(error) = error else {
        return false;
    };
    matches!(error.kind(), ErrorKind::Body | ErrorKind::Unavailable)
}

impl Drop for Shared {
    fn drop(&mut self) {
        if *self.has_arrived.get_mut() && self.meter.was_opened() {
            let blob = &self.blob;
            self.context.counts.tell(Event::Finished { blob });
        }
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks that an end has stored as many bytes as the blob has.
pub(super) async fn check_stored(end: &dyn End, blob: &PlannedBlob) -> Result<(), TransferError> {
    match end.stored_size(blob).await? {
        Some(found) if found != blob.size => Err(TransferError::StoredSize {
            end: end.name(),
            digest: blob.digest.clone(),
            expected: blob.size,
            found,
        }),
        _ => Ok(()),
    }
}
