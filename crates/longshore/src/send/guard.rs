//! Limits on the time that a request may take: its body, and then the head of its answer.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Body as _, Frame, SizeHint};
use longshore_transport::{Body, Clock, TransportError};

use crate::idle::{IDLE_LIMIT, SLOW_BYTES, SLOW_WINDOW};

/// Ends a request whose body stalls or is too slow (RT10: an upload body without progress is
/// aborted), or whose answer takes too long.
///
/// The limit of the answer counts from the end of the body, because a large body takes time. Before
/// that, only the time counts in which the transport holds a piece of the body: a source that is
/// slow to produce the next piece is not the fault of the peer.
pub(super) struct RequestGuard {
    clock: Arc<dyn Clock>,
    limit: Duration,
    progress: Arc<Mutex<Progress>>,
}

/// How far a request has been sent.
#[derive(Debug)]
struct Progress {
    stage: Stage,
    /// Time in which the transport held a piece, and the bytes it took, in the current window.
    held: Duration,
    bytes: u64,
    /// Whether a whole window brought too few bytes.
    is_slow: bool,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The transport has not yet asked for the body since then: it connects, or the peer takes
    /// nothing.
    Begin(Duration),
    /// The head of the answer is due since then: there is no body, or it has been sent.
    Head(Duration),
    /// The transport has held a piece of the body since this time.
    Held(Duration),
    /// The source was asked for the next piece.
    Source,
}

impl RequestGuard {
    /// Watches this request from now on.
    pub(super) fn watch(
        clock: &Arc<dyn Clock>,
        request: Request<Body>,
        limit: Duration,
    ) -> (Self, Request<Body>) {
        let now = clock.now();
        let progress = Arc::new(Mutex::new(Progress {
            stage: if request.body().is_end_stream() || request.body().known().is_some() {
                Stage::Head(now)
            } else {
                Stage::Begin(now)
            },
            held: Duration::ZERO,
            bytes: 0,
            is_slow: false,
        }));
        let guard = Self {
            clock: Arc::clone(clock),
            limit,
            progress: Arc::clone(&progress),
        };
        if request.body().known().is_some() {
            return (guard, request);
        }
        let clock = Arc::clone(clock);
        let request = request.map(|body| {
            let watched = Watched {
                body,
                clock,
                progress,
            };
            Body::wrap_with(watched, |error: TransportError| error)
        });
        (guard, request)
    }

    /// The output of `work`, or `None` when a limit is exceeded first.
    pub(super) async fn race<T>(self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        // The stage changes without a call to this, and the limit of the next may end sooner.
        let alarm_in = |left: Duration| self.clock.alarm(left.min(IDLE_LIMIT));
        let mut alarm = alarm_in(self.left()?);
        poll_fn(|cx| {
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            loop {
                ready!(alarm.as_mut().poll(cx));
                match self.left() {
                    Some(left) => alarm = alarm_in(left),
                    None => return Poll::Ready(None),
                }
            }
        })
        .await
    }

    /// How long to wait before the next check; `None` when a limit is exceeded.
    fn left(&self) -> Option<Duration> {
        let now = self.clock.now();
        let progress = lock(&self.progress);
        let (since, limit) = match progress.stage {
            _ if progress.is_slow => return None,
            Stage::Head(since) => (since, self.limit),
            Stage::Begin(since) | Stage::Held(since) => (since, IDLE_LIMIT),
            Stage::Source => (now, IDLE_LIMIT),
        };
        let left = limit.saturating_sub(now.saturating_sub(since));
        (!left.is_zero()).then_some(left)
    }
}

impl Progress {
    /// The transport requests the next piece, so it has sent the previous one.
    fn asked(&mut self, now: Duration) {
        if let Stage::Held(since) = self.stage {
            self.held += now.saturating_sub(since);
            if self.held >= SLOW_WINDOW {
                self.is_slow |= self.bytes < SLOW_BYTES;
                (self.held, self.bytes) = (Duration::ZERO, 0);
            }
        }
        self.stage = Stage::Source;
    }
}

/// The body of a request under watch.
struct Watched {
    body: Body,
    clock: Arc<dyn Clock>,
    progress: Arc<Mutex<Progress>>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        lock(&self.progress).asked(self.clock.now());
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let now = self.clock.now();
        let mut progress = lock(&self.progress);
        progress.stage = match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                progress.bytes = progress.bytes.saturating_add(length as u64);
                if self.body.is_end_stream() {
                    Stage::Head(now)
                } else {
                    Stage::Held(now)
                }
            }
            Some(Err(_)) | None => Stage::Head(now),
        };
        drop(progress);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use longshore_transport::TestClock;

    use super::*;

    fn guard(clock: &TestClock) -> RequestGuard {
        let clock: Arc<dyn Clock> = Arc::new(clock.clone());
        let request = Request::new(Body::empty());
        RequestGuard::watch(&clock, request, Duration::from_secs(300)).0
    }

    fn seconds(guard: &RequestGuard) -> Option<u64> {
        guard.left().map(|left| left.as_secs())
    }

    // RT10 (an upload body without progress is aborted)
    #[test]
    fn rt10_a_piece_that_is_not_sent_for_thirty_seconds_ends_the_request() {
        let clock = TestClock::default();
        let guard = guard(&clock);
        clock.advance(Duration::from_secs(100));
        assert_eq!(seconds(&guard), Some(200));
        lock(&guard.progress).stage = Stage::Held(clock.now());
        clock.advance(Duration::from_secs(29));
        assert_eq!(seconds(&guard), Some(1));
        // The next piece is requested: the time starts again, and the source may be slow.
        lock(&guard.progress).asked(clock.now());
        clock.advance(Duration::from_secs(1000));
        assert_eq!(seconds(&guard), Some(30));
        lock(&guard.progress).stage = Stage::Held(clock.now());
        clock.advance(Duration::from_secs(30));
        assert_eq!(seconds(&guard), None);
    }

    /// A body of unknown length.
    struct Unread;

    impl http_body::Body for Unread {
        type Data = Bytes;
        type Error = TransportError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
            Poll::Ready(None)
        }
    }

    /// When a request with a body ends that stays in this stage.
    fn ends_after(clock: &TestClock, stage: Option<Stage>) -> Duration {
        let body = Body::wrap_with(Unread, |error: TransportError| error);
        let watched: Arc<dyn Clock> = Arc::new(clock.clone());
        let limit = Duration::from_secs(300);
        let (guard, _request) = RequestGuard::watch(&watched, Request::new(body), limit);
        let progress = Arc::clone(&guard.progress);
        let work = poll_fn(|_| {
            if let Some(stage) = stage {
                lock(&progress).stage = stage;
            }
            Poll::<()>::Pending
        });
        clock.ring(true);
        let race = pin!(guard.race(work));
        let polled = race.poll(&mut Context::from_waker(std::task::Waker::noop()));
        assert_eq!(polled, Poll::Ready(None));
        clock.now()
    }

    // RT10: the limit of the answer, which is longer, counts from the end of the body.
    #[test]
    fn rt10_a_body_of_which_the_peer_takes_nothing_ends_the_request_after_thirty_seconds() {
        let zero = Duration::ZERO;
        for (stage, expected) in [
            (None, 30),
            (Some(Stage::Held(zero)), 30),
            (Some(Stage::Head(zero)), 300),
        ] {
            let ended = ends_after(&TestClock::default(), stage);
            assert_eq!(ended, Duration::from_secs(expected), "{stage:?}");
        }
    }

    // RT10 (an upload body below 1 KiB/s for 60 s is aborted)
    #[test]
    fn rt10_a_body_that_trickles_ends_the_request() {
        for (bytes, ends) in [(SLOW_BYTES - 1, true), (SLOW_BYTES, false)] {
            let clock = TestClock::default();
            let guard = guard(&clock);
            for _ in 0..3 {
                let mut progress = lock(&guard.progress);
                progress.stage = Stage::Held(clock.now());
                progress.bytes += bytes / 3;
                clock.advance(Duration::from_secs(20));
                if progress.held == Duration::from_secs(40) {
                    progress.bytes = bytes;
                }
                progress.asked(clock.now());
            }
            assert_eq!(seconds(&guard).is_none(), ends, "{bytes}");
        }
    }

    #[test]
    fn the_head_of_the_answer_has_its_own_time_after_the_body() {
        let clock = TestClock::default();
        let guard = guard(&clock);
        clock.advance(Duration::from_secs(1000));
        lock(&guard.progress).stage = Stage::Head(clock.now());
        clock.advance(Duration::from_secs(299));
        assert_eq!(seconds(&guard), Some(1));
        clock.advance(Duration::from_secs(1));
        assert_eq!(seconds(&guard), None);
    }
}
