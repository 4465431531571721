//! Stopping a run: by its caller, and when its future is dropped.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use longshore_store::Interrupt;
use tokio::sync::watch;

use crate::error::TransferError;

/// Ends a run early. Clones share one state; one cancellation may end several runs.
///
/// A cancelled run ends soon with [`TransferError::Cancelled`], after the threads that move blobs
/// have ended. Partial large blobs stay in the destination, invisible, and the next run resumes
/// them.
#[derive(Clone, Debug)]
pub struct Cancellation(Arc<watch::Sender<bool>>);

impl Cancellation {
    /// Makes a cancellation that has not been requested yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Cancels every run that has this cancellation among its options, including runs that start
    /// later.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Returns whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for [`cancel`](Self::cancel).
    pub(crate) async fn cancelled(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|cancelled| *cancelled).await;
    }
}

impl Default for Cancellation {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs blocking work on a thread of the blocking pool. Dropping the future sets the interrupt of
/// the work; the thread then ends soon, and nothing waits for it.
pub(crate) async fn blocking<T, E>(
    work: impl FnOnce(&Interrupt) -> Result<T, E> + Send + 'static,
) -> Result<T, TransferError>
where
    T: Send + 'static,
    E: Send + 'static,
    TransferError: From<E>,
{
    let guard = InterruptOnDrop(Interrupt::new());
    let interrupt = guard.0.clone();
    match tokio::task::spawn_blocking(move || work(&interrupt)).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(TransferError::Worker),
    }
}

struct InterruptOnDrop(Interrupt);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Stops the workers of one run when it is dropped, or earlier.
#[derive(Debug)]
pub(crate) struct StopSender {
    stopped: watch::Sender<bool>,
    interrupt: Interrupt,
}

impl StopSender {
    pub(crate) fn new() -> Self {
        Self {
            stopped: watch::Sender::new(false),
            interrupt: Interrupt::new(),
        }
    }

    /// Returns the interrupt that ends blocking calls of the workers, between two polls.
    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Makes the signal that one transfer listens to.
    pub(crate) fn subscribe(&self) -> StopSignal {
        StopSignal {
            state: self.stopped.subscribe(),
            change: self.stopped.subscribe(),
        }
    }

    /// Stops the workers. Once this has returned, none of them polls a future again, so the runtime
    /// and its sockets and timers may go away while the workers are still ending.
    pub(crate) fn stop(&self) {
        self.interrupt.set();
        // Waits until no guard is held: see `StopSignal::unless_stopped`.
        self.stopped.send_replace(true);
    }
}

impl Drop for StopSender {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Tells one transfer that its run was stopped.
#[derive(Clone, Debug)]
pub(crate) struct StopSignal {
    /// Read before each poll.
    state: watch::Receiver<bool>,
    /// Wakes a transfer that waits.
    change: watch::Receiver<bool>,
}

impl StopSignal {
    /// Drives `future` to its end; `None` when the run is stopped first.
    pub(crate) async fn unless_stopped<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let guarded = poll_fn(|context| {
            // Holds a read lock, so that `stop` waits for the end of this poll.
            let stopped = self.state.borrow();
            if *stopped {
                return Poll::Ready(None);
            }
            future.as_mut().poll(context).map(Some)
        });
        tokio::select! {
            biased;
            _ = self.change.wait_for(|stopped| *stopped) => None,
            output = guarded => output,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::task::{Context, Waker};

    use super::*;

    fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_cancellation_is_shared_and_stays() {
        let cancellation = Cancellation::default();
        let clone = cancellation.clone();
        assert!(!clone.is_cancelled());
        assert_eq!(poll_once(clone.cancelled()), Poll::Pending);
        cancellation.cancel();
        assert!(clone.is_cancelled());
        assert_eq!(poll_once(clone.cancelled()), Poll::Ready(()));
    }

    // RT9 (a dropped operation leaves nothing behind): the workers are stopped.
    #[test]
    fn rt9_nothing_is_polled_after_the_stop() {
        for drops in [false, true] {
            let sender = StopSender::new();
            let mut signal = sender.subscribe();
            let interrupt = sender.interrupt().clone();
            assert!(!interrupt.is_set());
            assert_eq!(
                poll_once(signal.unless_stopped(ready(1))),
                Poll::Ready(Some(1))
            );
            assert_eq!(
                poll_once(signal.unless_stopped(pending::<()>())),
                Poll::Pending
            );
            if drops {
                drop(sender);
            } else {
                sender.stop();
            }
            assert!(interrupt.is_set());
            let polled = signal.unless_stopped(async { panic!("polled") });
            assert_eq!(poll_once(polled), Poll::Ready(None::<()>));
        }
    }
}
