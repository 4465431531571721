//! The task that transfers a blob from an upstream into the store.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use longshore_model::{Verifier, VerifyError};
use longshore_store::{RandomReader, StoreError};
use longshore_transport::Timer;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::limits::{Limits, Standing};
use super::places::Place;
use super::progress::Pace;
use super::ring::{Ring, Room};
use super::{
    BlobSource, FILL_HOLD_BACK_BYTES, FillError, FillErrorKind, FillState, Frames, Pool, Shared,
    Spool,
};
use crate::bounded::BoundedWriter;
use crate::observer::{Event, FillEnd};

/// A blob of at most this size is received into memory, and stored after it was sent: 64 KiB,
/// because such a blob is released only after its verification anyway.
const SMALL_BYTES: u64 = FILL_HOLD_BACK_BYTES;

/// If the size of a blob is not known, room for it is reserved in steps of 64 MiB.
const RESERVE_STEP_BYTES: u64 = 64 * 1024 * 1024;

/// Total time that a slow reader of a transfer that is not stored may delay the others: 10 s.
const SLOW_READER_PATIENCE: Duration = Duration::from_secs(10);

/// Maximum number of bytes that are added to a ring at a time; much less than its size.
const PART_BYTES: usize = 128 * 1024;

/// Size in bytes of the buffer to hash the bytes that were stored before the store failed.
const REHASH_BUFFER_BYTES: usize = 128 * 1024;

/// One transfer.
pub(super) struct Transfer<S: BlobSource> {
    pool: Arc<Pool>,
    shared: Arc<Shared>,
    source: S,
    size: Option<u64>,
    /// Position of the next byte, from the beginning of the blob.
    written: u64,
    /// Number of bytes that came from the upstream.
    received: u64,
    is_stored: bool,
    pace: Pace,
    limits: Limits,
    /// Ends when a limit may be reached.
    alarm: Option<(Duration, Timer)>,
    /// The rest of [`SLOW_READER_PATIENCE`] for the slowest reader.
    patience: Duration,
    stopping: watch::Receiver<bool>,
    place: Option<Place>,
}

/// The destination of the bytes.
enum Sink {
    Store(BoundedWriter, RandomReader),
    /// Only to the readers.
    Readers(Verifier),
}

impl<S: BlobSource> Transfer<S> {
    pub(super) fn new(pool: Arc<Pool>, shared: Arc<Shared>, source: S) -> Self {
        let size = shared.progress.borrow().size;
        Self {
            limits: Limits::new(pool.clock.now()),
            stopping: pool.stopping.subscribe(),
            pool,
            shared,
            source,
            size,
            written: 0,
            received: 0,
            is_stored: true,
            pace: Pace::new(),
            alarm: None,
            patience: SLOW_READER_PATIENCE,
            place: None,
        }
    }

    pub(super) async fn run(mut self) {
        let opened = match self.open().await {
            Ok(opened) => opened,
            Err(error) => return self.end(Err(error)),
        };
        if self.size.is_some_and(|size| size <= SMALL_BYTES) && !self.is_listed() {
            let received = self.receive_small(opened).await;
            return self.store_small(received).await;
        }
        let handle = Handle::current();
        // If the runtime shuts down first, the transfer is dropped and ends.
        drop(tokio::task::spawn_blocking(move || {
            let ended = handle.block_on(self.transfer(opened));
            self.end(ended);
        }));
    }

    /// Waits for a permit, and requests the blob if its size is not known.
    async fn open(&mut self) -> Result<Option<S::Frames>, FillError> {
        self.pool.observer.event(&Event::FillStarted {
            upstream: &self.shared.key.upstream,
            digest: &self.shared.key.digest,
        });
        // Content that cannot be verified is not requested.
        self.verifier()?;
        self.place = Some(self.turn().await?);
        if self.size.is_some() || self.is_listed() {
            return Ok(None);
        }
        let digest = &self.shared.key.digest;
        let mut frames = self.source.open(digest, None, 0);
        self.head(&mut frames).await?;
        self.size = frames.size();
        Ok(Some(frames))
    }

    async fn turn(&mut self) -> Result<Place, FillError> {
        let (pool, shared) = (Arc::clone(&self.pool), Arc::clone(&self.shared));
        let mut turn = std::pin::pin!(pool.places.take(&shared.key.upstream));
        loop {
            let until = self.check()?;
            tokio::select! {
                biased;
                // It never fails.
                place = &mut turn => {
                    return place.map_err(|_| FillErrorKind::Stopped.into());
                }
                () = self.wait(until) => {}
            }
        }
    }

    /// Receives a small blob into memory; returns it verified.
    async fn receive_small(&mut self, opened: Option<S::Frames>) -> Result<Bytes, FillError> {
        let mut verifier = self.verifier()?;
        let mut content = BytesMut::new();
        let mut frames = self.opened_at(0, opened);
        while let Some(frame) = self.next(&mut frames).await? {
            verifier.update(&frame).map_err(mismatch)?;
            content.extend_from_slice(&frame);
        }
        verifier.finish().map_err(mismatch)?;
        Ok(content.freeze())
    }

    /// Releases a small blob to the readers, then stores it.
    async fn store_small(mut self, received: Result<Bytes, FillError>) {
        let content = match received {
            Ok(content) => content,
            Err(error) => return self.end(Err(error)),
        };
        self.written = content.len() as u64;
        let _ = self.shared.spool.set(Spool::Memory(content.clone()));
        self.publish(FillState::Verified);
        let handle = tokio::task::spawn_blocking(move || {
            let digest = &self.shared.key.digest;
            match self.pool.store.put(digest, &content) {
                Ok(true) => self.pool.stored(),
                Ok(false) => {}
                Err(error) => self.pool.not_stored(digest, &error),
            }
            // Remove the fill from the running ones only now, when the store has the blob.
            self.end(Ok(()));
        });
        drop(handle);
    }

    /// Transfers a blob into the store. Blocks.
    async fn transfer(&mut self, opened: Option<S::Frames>) -> Result<(), FillError> {
        if self.is_there()? {
            return Ok(());
        }
        let mut sink = self.sink()?;
        let mut frames = self.opened_at(self.written, opened);
        let mut next = match self.head(&mut frames).await {
            Ok(()) => {
                self.publish(FillState::Filling);
                self.next(&mut frames).await
            }
            Err(error) => Err(error),
        };
        loop {
            match next {
                Ok(Some(frame)) => self.write(&mut sink, frame).await?,
                Ok(None) => return self.finish(sink),
                Err(error) => {
                    self.keep(sink);
                    return Err(error);
                }
            }
            next = self.next(&mut frames).await;
        }
    }

    /// Whether the index of the store lists the blob: another fill may have stored it since the
    /// caller checked.
    fn is_listed(&self) -> bool {
        self.pool.store.size(&self.shared.key.digest).is_some()
    }

    /// Whether the store has the blob.
    fn is_there(&mut self) -> Result<bool, FillError> {
        let digest = &self.shared.key.digest;
        let Ok(Some(blob)) = self.pool.store.get(digest) else {
            return Ok(false);
        };
        self.written = blob.size();
        self.size = Some(blob.size());
        let _ = self.shared.spool.set(Spool::Stored(blob));
        Ok(true)
    }

    /// Reserves room and starts or resumes a writer of the store. Without room the blob passes
    /// through.
    fn sink(&mut self) -> Result<Sink, FillError> {
        match self.begin_to_store() {
            Ok(Some((writer, reader))) => {
                self.written = writer.position();
                let _ = self.shared.spool.set(Spool::file(reader.clone()));
                return Ok(Sink::Store(writer, reader));
            }
            Ok(None) => {
                tracing::debug!(
                    digest = %self.shared.key.digest,
                    "no room to store the blob; it passes through"
                );
            }
            Err(error @ StoreError::Unsupported { .. }) => {
                return Err(FillError::new(FillErrorKind::Unsupported, error));
            }
            Err(error) => self.pool.not_stored(&self.shared.key.digest, &error),
        }
        let verifier = self.verifier()?;
        self.is_stored = false;
        let _ = self.shared.spool.set(Spool::ring());
        Ok(Sink::Readers(verifier))
    }

    fn begin_to_store(&self) -> Result<Option<(BoundedWriter, RandomReader)>, StoreError> {
        let (store, digest) = (&self.pool.store, &self.shared.key.digest);
        let Some(room) = store.reserve(self.size.unwrap_or(RESERVE_STEP_BYTES)) else {
            return Ok(None);
        };
        let writer = store.begin(digest, self.size, room)?;
        let reader = writer.reader()?;
        Ok(Some((writer, reader)))
    }

    fn opened_at(&self, position: u64, opened: Option<S::Frames>) -> S::Frames {
        let digest = &self.shared.key.digest;
        // If a partial blob was kept, request the blob again from the end of that part.
        let opened = opened.filter(|_| position == 0);
        opened.unwrap_or_else(|| self.source.open(digest, self.size, position))
    }

    async fn write(&mut self, sink: &mut Sink, frame: Bytes) -> Result<(), FillError> {
        if let Sink::Store(writer, reader) = sink {
            match writer.write(&frame) {
                Ok(()) => {
                    self.written += frame.len() as u64;
                    return Ok(());
                }
                Err(StoreError::Content { source, .. }) => return Err(mismatch(source)),
                Err(error) => {
                    self.pool.not_stored(&self.shared.key.digest, &error);
                    *sink = Sink::Readers(self.overflow(&reader.clone())?);
                }
            }
        }
        if let Sink::Readers(verifier) = sink {
            verifier.update(&frame).map_err(mismatch)?;
            self.pass_on(frame).await?;
        }
        Ok(())
    }

    /// Continues without the store after it failed (CA9). The stored part of the blob can still be
    /// read.
    fn overflow(&mut self, stored: &RandomReader) -> Result<Verifier, FillError> {
        let mut verifier = self.verifier()?;
        let mut buffer = vec![0; REHASH_BUFFER_BYTES];
        while verifier.position() < self.written {
            let left = self.written - verifier.position();
            let length = usize::try_from(left).unwrap_or(usize::MAX);
            let length = length.min(REHASH_BUFFER_BYTES);
            let part = buffer.get_mut(..length).unwrap_or_default();
            let read = match stored.read_at(part, verifier.position()) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other,
            };
            let count = read.map_err(|error| FillError::new(FillErrorKind::Store, error))?;
            let part = part.get(..count).unwrap_or_default();
            verifier.update(part).map_err(mismatch)?;
        }
        self.is_stored = false;
        if let Some(spool) = self.shared.spool.get() {
            spool.overflow(self.written);
        }
        Ok(verifier)
    }

    /// Passes a frame to the readers, and waits for the slowest of them if the ring is full.
    async fn pass_on(&mut self, mut frame: Bytes) -> Result<(), FillError> {
        let shared = Arc::clone(&self.shared);
        let Some(ring) = shared.spool.get().and_then(Spool::as_ring) else {
            return Ok(());
        };
        while !frame.is_empty() {
            let part = frame.split_to(frame.len().min(PART_BYTES));
            self.wait_for_room(ring, part.len()).await?;
            self.written += part.len() as u64;
            ring.push(part);
        }
        Ok(())
    }

    async fn wait_for_room(&mut self, ring: &Ring, bytes: usize) -> Result<(), FillError> {
        loop {
            let until = self.check()?;
            let room = ring.make_room(bytes, &self.shared.readers.places());
            if room != Room::Free && self.pace.is_behind(self.written) {
                self.publish(FillState::Filling);
            }
            match room {
                Room::Free => return Ok(()),
                Room::Unread => self.wait(until).await,
                Room::HeldUp => self.wait_for_slow_reader(ring, bytes, until).await,
            }
        }
    }

    /// Waits for the slowest reader. A reader that is too slow falls behind.
    async fn wait_for_slow_reader(&mut self, ring: &Ring, bytes: usize, until: Duration) {
        let begin = self.pool.clock.now();
        self.wait(until.min(begin.saturating_add(self.patience)))
            .await;
        let waited = self.pool.clock.now().saturating_sub(begin);
        self.patience = self.patience.saturating_sub(waited);
        if self.patience.is_zero() {
            ring.force_room(bytes);
            self.patience = SLOW_READER_PATIENCE;
        }
    }

    fn finish(&mut self, sink: Sink) -> Result<(), FillError> {
        match sink {
            Sink::Readers(verifier) => verifier.finish().map_err(mismatch)?,
            Sink::Store(writer, _) => match writer.commit() {
                Ok(()) => self.pool.stored(),
                Err(StoreError::Content { source, .. }) => return Err(mismatch(source)),
                // The bytes are verified, and their readers have the file open.
                Err(error) => self.pool.not_stored(&self.shared.key.digest, &error),
            },
        }
        Ok(())
    }

    /// Keeps the partial blob for the next fill.
    fn keep(&self, sink: Sink) {
        if let Sink::Store(writer, _) = sink
            && let Err(error) = writer.keep()
        {
            self.pool.not_stored(&self.shared.key.digest, &error);
        }
    }

    /// Waits until the upstream has answered.
    async fn head(&mut self, frames: &mut S::Frames) -> Result<(), FillError> {
        loop {
            let until = self.check()?;
            tokio::select! {
                biased;
                head = frames.head() => return head,
                () = self.wait(until) => {}
            }
        }
    }

    /// Waits for the next bytes, and publishes progress meanwhile.
    async fn next(&mut self, frames: &mut S::Frames) -> Result<Option<Bytes>, FillError> {
        loop {
            let until = self.check()?;
            let due = self.pace.due(self.written, self.pool.clock.now());
            if due.is_some_and(|due| due.is_zero()) {
                self.publish(FillState::Filling);
                continue;
            }
            let clock = Arc::clone(&self.pool.clock);
            let publication = async {
                match due {
                    Some(due) => clock.sleep(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                frame = frames.next() => {
                    let frame = frame.transpose()?;
                    let length = frame.as_ref().map_or(0, Bytes::len);
                    self.received = self.received.saturating_add(length as u64);
                    return Ok(frame);
                }
                () = publication => {}
                () = self.wait(until) => {}
            }
        }
    }

    /// Returns the time until which the transfer may continue if nothing changes.
    fn check(&mut self) -> Result<Duration, FillError> {
        if *self.stopping.borrow() {
            return Err(FillErrorKind::Stopped.into());
        }
        loop {
            let standing = Standing {
                is_read: !self.shared.readers.is_empty(),
                is_stored: self.is_stored,
                written: self.written,
                size: self.size,
            };
            match self.limits.check(self.pool.clock.now(), standing) {
                Ok(until) => return Ok(until),
                // A reader may have joined in this moment.
                Err(FillErrorKind::Abandoned) if !self.pool.remove_unread(&self.shared) => {}
                Err(kind) => return Err(kind.into()),
            }
        }
    }

    /// Waits for a change of the readers, for the end of the cache, or until this time.
    async fn wait(&mut self, until: Duration) {
        let timer = match &mut self.alarm {
            Some((at, timer)) if *at == until => timer,
            alarm => {
                let clock = &self.pool.clock;
                let timer = clock.alarm(until.saturating_sub(clock.now()));
                &mut alarm.insert((until, timer)).1
            }
        };
        tokio::select! {
            biased;
            () = self.shared.readers.changed() => {}
            // The pool has the sender.
            _ = self.stopping.changed() => {}
            () = timer => self.alarm = None,
        }
    }

    fn publish(&mut self, state: FillState) {
        let (written, size) = (self.written, self.size);
        self.shared.progress.send_modify(|progress| {
            progress.written = written;
            progress.size = size;
            progress.state = state;
        });
        self.pace.published(written, self.pool.clock.now());
    }

    fn verifier(&self) -> Result<Verifier, FillError> {
        let verifier = Verifier::new(&self.shared.key.digest, self.size);
        verifier.map_err(|error| FillError::new(FillErrorKind::Unsupported, error))
    }

    /// Publishes the result. A later client finds the blob in the store, or starts a new fill.
    fn end(&mut self, ended: Result<(), FillError>) {
        self.pool.remove(&self.shared);
        let state = match ended {
            Ok(()) => FillState::Verified,
            Err(error) => FillState::Failed(error),
        };
        if !self.shared.progress.borrow().is_over() {
            self.publish(state);
        }
    }
}

impl<S: BlobSource> Drop for Transfer<S> {
    fn drop(&mut self) {
        // The runtime is shutting down, or the transfer panicked.
        self.end(Err(FillErrorKind::Stopped.into()));
        let progress = self.shared.progress.borrow();
        let end = match &progress.state {
            FillState::Failed(error) => end_of(error.kind()),
            _ => FillEnd::Verified,
        };
        drop(progress);
        self.pool.observer.event(&Event::FillEnded {
            upstream: &self.shared.key.upstream,
            digest: &self.shared.key.digest,
            bytes: self.received,
            end,
        });
        self.pool.count.send_modify(|count| *count -= 1);
        self.shared.settled.send_replace(true);
    }
}

fn mismatch(error: VerifyError) -> FillError {
    FillError::new(FillErrorKind::Mismatch, error)
}

const fn end_of(kind: FillErrorKind) -> FillEnd {
    match kind {
        FillErrorKind::Mismatch => FillEnd::Mismatch,
        FillErrorKind::Upstream(_) => FillEnd::Upstream,
        FillErrorKind::Deadline => FillEnd::Deadline,
        FillErrorKind::Abandoned | FillErrorKind::Stopped => FillEnd::Abandoned,
        FillErrorKind::Store | FillErrorKind::Unsupported => FillEnd::Store,
    }
}
