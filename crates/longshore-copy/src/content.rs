//! The content that a copy reads and sends.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use longshore::{BlobFrames, Content, ContentFrames, OpeningContent, PushObserver, Repository};
use longshore_model::Digest;

use crate::observer::{ByteCounter, Event, Observer};
use crate::plan::PlannedBlob;

/// A blob of a registry. Opening it requests its bytes from that position to the end; they are not
/// verified.
pub(crate) struct RegistryContent {
    repository: Repository,
    digest: Digest,
    size: u64,
}

impl RegistryContent {
    pub(crate) fn new(repository: Repository, blob: &PlannedBlob) -> Self {
        Self {
            repository,
            digest: blob.digest.clone(),
            size: blob.size,
        }
    }
}

impl Content for RegistryContent {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    fn open(&self, position: u64) -> OpeningContent<'_> {
        let frames = self
            .repository
            .blob_frames_from(&self.digest, Some(self.size), position);
        let frames: ContentFrames = Box::pin(RegistryFrames::Idle(Box::new(frames)));
        Box::pin(std::future::ready(Ok(frames)))
    }
}

/// The frames of a blob as a stream.
enum RegistryFrames {
    Idle(Box<BlobFrames>),
    Reading(Pin<Box<dyn Future<Output = NextFrame> + Send>>),
    Done,
}

type NextFrame = (Option<Result<Bytes, longshore::Error>>, Box<BlobFrames>);

impl Stream for RegistryFrames {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::mem::replace(&mut *self, Self::Done) {
                Self::Idle(mut frames) => {
                    *self = Self::Reading(Box::pin(async move {
                        let frame = frames.next().await;
                        (frame, frames)
                    }));
                }
                Self::Reading(mut reading) => match reading.as_mut().poll(cx) {
                    Poll::Pending => {
                        *self = Self::Reading(reading);
                        return Poll::Pending;
                    }
                    Poll::Ready((Some(Ok(frame)), frames)) => {
                        *self = Self::Idle(frames);
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    Poll::Ready((Some(Err(error)), _)) => {
                        return Poll::Ready(Some(Err(io::Error::other(error))));
                    }
                    Poll::Ready((None, _)) => return Poll::Ready(None),
                },
                Self::Done => return Poll::Ready(None),
            }
        }
    }
}

/// Content that counts its bytes for a run. A byte that is read several times counts once.
pub(crate) struct Counted {
    content: Box<dyn Content>,
    blob: PlannedBlob,
    counts: Arc<Counts>,
    progress: Arc<Mutex<Progress>>,
    /// The last reader, if it stopped before the end. The next chunk of an upload continues with
    /// it, without another request to the source.
    stopped: Arc<Mutex<Option<Stopped>>>,
}

/// A reader that stopped.
struct Stopped {
    frames: ContentFrames,
    /// The last frame that it returned; a part of the frame may not have been used.
    last: Bytes,
    /// The position after that frame.
    position: u64,
}

/// The counters that all transfers of a run share.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// The bytes that are in the destination, or on their way to it.
    pub(crate) bytes: ByteCounter,
    /// The part of these bytes that an earlier run had kept.
    pub(crate) resumed: ByteCounter,
}

impl Counts {
    pub(crate) fn tell(&self, event: Event<'_>) {
        if let Some(observer) = &self.observer {
            observer.observe(event);
        }
    }
}

/// The progress of one blob.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// The position at which the first reader began; `None` before it does.
    resumed_at: Option<u64>,
    /// The position up to which bytes were counted.
    position: u64,
    /// Whether the source failed at the end.
    failed: bool,
}

/// Says how far a content has come.
pub(crate) struct Meter(Arc<Mutex<Progress>>, u64);

impl Meter {
    /// Returns the number of bytes that were read, from the position where reading began.
    pub(crate) fn moved(&self) -> u64 {
        let progress = *lock(&self.0);
        let resumed_at = progress.resumed_at.unwrap_or_default();
        progress.position.saturating_sub(resumed_at)
    }

    /// Returns up to where bytes were read.
    pub(crate) fn position(&self) -> u64 {
        lock(&self.0).position
    }

    /// Returns whether all was read.
    pub(crate) fn is_at_end(&self) -> bool {
        let progress = lock(&self.0);
        progress.resumed_at.is_some() && progress.position >= self.1
    }

    /// Returns whether the content was read.
    pub(crate) fn was_opened(&self) -> bool {
        lock(&self.0).resumed_at.is_some()
    }
}

impl Counted {
    pub(crate) fn new(content: Box<dyn Content>, blob: PlannedBlob, counts: Arc<Counts>) -> Self {
        Self {
            content,
            blob,
            counts,
            progress: Arc::default(),
            stopped: Arc::default(),
        }
    }

    /// Subtracts everything that was counted; returns the number of these bytes.
    pub(crate) fn take_back(&self) -> u64 {
        let progress = std::mem::take(&mut *lock(&self.progress));
        self.counts.bytes.subtract(progress.position);
        self.counts
            .resumed
            .subtract(progress.resumed_at.unwrap_or_default());
        progress.position
    }

    /// Returns what says how far the content has come.
    pub(crate) fn meter(&self) -> Meter {
        Meter(Arc::clone(&self.progress), self.blob.size)
    }

    /// Returns whether the source failed.
    pub(crate) fn has_failed(&self) -> bool {
        lock(&self.progress).failed
    }

    /// Returns an observer that tells the run when an upload of this content is resumed.
    pub(crate) fn observer(&self) -> Arc<dyn PushObserver> {
        Arc::new(Resumes {
            counts: Arc::clone(&self.counts),
            blob: self.blob.clone(),
        })
    }

    /// Takes the last reader if it stopped at this position; returns it with the bytes to return
    /// again.
    fn continue_at(&self, position: u64) -> Option<(ContentFrames, Bytes)> {
        let stopped = lock(&self.stopped).take()?;
        let again = stopped.position.checked_sub(position)?;
        let again = usize::try_from(again).ok()?;
        let given = stopped.last.len().checked_sub(again)?;
        Some((stopped.frames, stopped.last.slice(given..)))
    }

    fn start(&self, position: u64) {
        let mut progress = lock(&self.progress);
        if progress.resumed_at.is_some() {
            return;
        }
        progress.resumed_at = Some(position);
        progress.position = position;
        drop(progress);
        self.counts.bytes.add(position);
        self.counts.resumed.add(position);
        self.counts.tell(Event::Started {
            blob: &self.blob,
            resumed_at: position,
        });
    }
}

impl Content for Counted {
    fn size(&self) -> Option<u64> {
        self.content.size()
    }

    fn is_seekable(&self) -> bool {
        self.content.is_seekable()
    }

    fn open(&self, position: u64) -> OpeningContent<'_> {
        Box::pin(async move {
            let (frames, again) = match self.continue_at(position) {
                Some(continued) => continued,
                None => (self.content.open(position).await?, Bytes::new()),
            };
            self.start(position);
            let frames: ContentFrames = Box::pin(CountedFrames {
                frames: Some(frames),
                last: Bytes::new(),
                again,
                position,
                counts: Arc::clone(&self.counts),
                progress: Arc::clone(&self.progress),
                stopped: Arc::clone(&self.stopped),
            });
            Ok(frames)
        })
    }
}

struct Resumes {
    counts: Arc<Counts>,
    blob: PlannedBlob,
}

impl PushObserver for Resumes {
    fn resumed(&self, position: u64) {
        let blob = &self.blob;
        self.counts.tell(Event::Resumed { blob, position });
    }
}

struct CountedFrames {
    /// `None` at the end, and after an error.
    frames: Option<ContentFrames>,
    last: Bytes,
    /// Bytes that the previous reader got and did not use.
    again: Bytes,
    position: u64,
    counts: Arc<Counts>,
    progress: Arc<Mutex<Progress>>,
    stopped: Arc<Mutex<Option<Stopped>>>,
}

impl CountedFrames {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if !self.again.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.again))));
        }
        let Some(frames) = &mut self.frames else {
            return Poll::Ready(None);
        };
        let frame = ready!(frames.as_mut().poll_next(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.frames = None;
        }
        Poll::Ready(frame)
    }
}

impl Stream for CountedFrames {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let frame = ready!(this.poll_frame(cx));
        let mut progress = lock(&this.progress);
        progress.failed = matches!(frame, Some(Err(_)));
        if let Some(Ok(frame)) = &frame {
            this.last = frame.clone();
            this.position = this.position.saturating_add(frame.len() as u64);
            let fresh = this.position.saturating_sub(progress.position);
            progress.position = progress.position.max(this.position);
            this.counts.bytes.add(fresh);
        }
        Poll::Ready(frame)
    }
}

impl Drop for CountedFrames {
    fn drop(&mut self) {
        let Some(frames) = self.frames.take() else {
            return;
        };
        *lock(&self.stopped) = Some(Stopped {
            frames,
            last: std::mem::take(&mut self.last),
            position: self.position,
        });
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
