//! Tools for tests of fills: an upstream that sends only the bytes that a test allows.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::Bytes;
use http_body::Body as _;
use longshore_model::{Digest, RepositoryName};
use longshore_store::Store;
use longshore_transport::TestClock;
use tokio::sync::watch;

use super::*;
use crate::body::{CacheBody, CacheBodyError};

/// A repository with one blob. It sends only the bytes that a test allows.
#[derive(Clone)]
pub(crate) struct TestSource(Arc<Script>);

pub(crate) struct Script {
    repository: RepositoryName,
    content: Bytes,
    /// The size that it announces.
    pub(crate) announced: Option<u64>,
    frame_bytes: usize,
    /// The position up to which it sends; it sends the end when this is beyond the content.
    allowed: watch::Sender<u64>,
    /// The position at which it fails once.
    fails_at: Mutex<Option<(u64, FillErrorKind)>>,
    /// The positions from which it was requested.
    opened: Mutex<Vec<u64>>,
}

pub(crate) struct TestFrames {
    script: Arc<Script>,
    size: Option<u64>,
    position: u64,
}

/// Content whose bytes differ at near positions.
pub(crate) fn content(length: usize) -> Bytes {
    (0..length)
        .map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8)
        .collect()
}

impl TestSource {
    pub(crate) fn new(content: Bytes) -> Self {
        Self(Arc::new(Script {
            repository: "library/app".parse().unwrap(),
            announced: Some(content.len() as u64),
            content,
            frame_bytes: 32 * 1024,
            allowed: watch::Sender::new(0),
            fails_at: Mutex::default(),
            opened: Mutex::default(),
        }))
    }

    /// A source that sends everything immediately.
    pub(crate) fn open(content: Bytes) -> Self {
        let source = Self::new(content);
        source.allow_all();
        source
    }

    pub(crate) fn announcing(mut self, size: Option<u64>) -> Self {
        Arc::get_mut(&mut self.0).unwrap().announced = size;
        self
    }

    pub(crate) fn in_frames_of(mut self, bytes: usize) -> Self {
        Arc::get_mut(&mut self.0).unwrap().frame_bytes = bytes;
        self
    }

    pub(crate) fn failing_at(self, position: u64, kind: FillErrorKind) -> Self {
        *self.0.fails_at.lock().unwrap() = Some((position, kind));
        self
    }

    pub(crate) fn allow(&self, position: u64) {
        self.0.allowed.send_replace(position);
    }

    pub(crate) fn allow_all(&self) {
        self.allow(u64::MAX);
    }

    /// The positions from which it was requested.
    pub(crate) fn opened(&self) -> Vec<u64> {
        self.0.opened.lock().unwrap().clone()
    }
}

impl BlobSource for TestSource {
    type Frames = TestFrames;

    fn repository(&self) -> &RepositoryName {
        &self.0.repository
    }

    fn open(&self, _: &Digest, size: Option<u64>, position: u64) -> TestFrames {
        self.0.opened.lock().unwrap().push(position);
        TestFrames {
            script: Arc::clone(&self.0),
            size,
            position,
        }
    }
}

impl TestFrames {
    /// Fails once, at the configured position.
    fn fail(&self) -> Result<(), FillError> {
        let mut fails_at = self.script.fails_at.lock().unwrap();
        match fails_at.take_if(|(at, _)| *at == self.position) {
            Some((_, kind)) => Err(kind.into()),
            None => Ok(()),
        }
    }
}

impl Frames for TestFrames {
    async fn head(&mut self) -> Result<(), FillError> {
        self.fail()?;
        let mut allowed = self.script.allowed.subscribe();
        allowed.wait_for(|end| *end > 0).await.unwrap();
        self.size = self.size.or(self.script.announced);
        Ok(())
    }

    async fn next(&mut self) -> Option<Result<Bytes, FillError>> {
        if let Err(error) = self.head().await {
            return Some(Err(error));
        }
        let position = self.position;
        let mut allowed = self.script.allowed.subscribe();
        let allowed = *allowed.wait_for(|end| *end > position).await.unwrap();
        let fails_at = self.script.fails_at.lock().unwrap().map(|it| it.0);
        let content = &self.script.content;
        let end = (position + self.script.frame_bytes as u64)
            .min(allowed)
            .min(content.len() as u64)
            .min(fails_at.unwrap_or(u64::MAX).max(position));
        self.position = end;
        let frame = content.slice(position as usize..end as usize);
        (!frame.is_empty()).then_some(Ok(frame))
    }

    fn size(&self) -> Option<u64> {
        self.size
    }
}

/// Fills into a store.
pub(crate) struct Scene {
    pub(crate) fills: Fills,
    pub(crate) store: BoundedStore,
    pub(crate) clock: TestClock,
}

impl Scene {
    pub(crate) fn new(store: impl Store + 'static, limit: u64) -> Self {
        let clock = TestClock::default();
        let store = BoundedStore::open(Arc::new(store), limit).unwrap();
        let fills = Fills::builder(store.clone(), Arc::new(clock.clone())).build();
        Self {
            fills,
            store,
            clock,
        }
    }

    /// Begins or joins the fill of this digest.
    pub(crate) fn begin(&self, digest: &Digest, source: &TestSource, size: Option<u64>) -> Fill {
        self.fills.begin(key(digest), source.clone(), size)
    }
}

pub(crate) fn key(digest: &Digest) -> FillKey {
    FillKey {
        upstream: "registry.example".parse().unwrap(),
        digest: digest.clone(),
    }
}

impl Fill {
    pub(crate) fn reader(self, range: Range<u64>) -> CacheBody {
        CacheBody::filling(self, range)
    }
}

/// Waits until this number of bytes was published.
pub(crate) async fn written(fill: &Fill, bytes: u64) {
    fill.shared
        .wait_for(|it| it.written >= bytes || it.is_over())
        .await;
}

/// Wakes the transfers, so that they check the time.
pub(crate) fn wake(scene: &Scene) {
    for shared in scene.fills.pool().running().values() {
        shared.readers.wake();
    }
}

/// Waits until no transfer runs.
pub(crate) async fn idle(scene: &Scene) {
    let mut count = scene.fills.pool().count.subscribe();
    count.wait_for(|count| *count == 0).await.unwrap();
}

pub(crate) async fn frame(body: &mut CacheBody) -> Option<Result<Bytes, CacheBodyError>> {
    let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
    frame.map(|frame| frame.map(|frame| frame.into_data().unwrap()))
}

/// Reads a body to its end or its error.
pub(crate) async fn read(mut body: CacheBody) -> (Vec<u8>, Option<CacheBodyError>) {
    let mut bytes = Vec::new();
    while let Some(frame) = frame(&mut body).await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame),
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}

/// Reads a body to its end.
pub(crate) async fn read_whole(body: CacheBody) -> Vec<u8> {
    let (bytes, error) = read(body).await;
    assert!(error.is_none(), "{error:?} after {} bytes", bytes.len());
    bytes
}

/// Reads this number of bytes, and checks that no more are available.
pub(crate) async fn read_released(body: &mut CacheBody, bytes: usize) -> Vec<u8> {
    let mut had = Vec::new();
    while had.len() < bytes {
        had.extend_from_slice(&frame(body).await.unwrap().unwrap());
    }
    assert_eq!(had.len(), bytes);
    let mut next = std::pin::pin!(frame(body));
    let polled = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
    assert!(polled.is_pending(), "{polled:?}");
    had
}
