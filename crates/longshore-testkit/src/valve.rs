//! A valve, with which a test controls how fast a body passes.

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::watch;

/// Lets a given number of bytes pass, and then blocks until it is given more.
///
/// A body that [passes](crate::ScriptedResponse::paced) through a valve is slow by the test's own
/// clock, and takes no real time. Clones share one count of bytes.
///
/// ```
/// use longshore_testkit::{ScriptedResponse, Valve};
///
/// let valve = Valve::new();
/// let slow = ScriptedResponse::status(http::StatusCode::OK);
/// let slow = slow.body(vec![0; 1000]).paced(valve.clone());
/// // … serve `slow`, then, each time a byte is due …
/// valve.let_pass(1);
/// # let _ = slow;
/// ```
#[derive(Clone, Debug)]
pub struct Valve(Arc<watch::Sender<u64>>);

impl Valve {
    /// A valve that is shut.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Lets this many more bytes pass.
    pub fn let_pass(&self, bytes: u64) {
        self.0
            .send_modify(|credit| *credit = credit.saturating_add(bytes));
    }

    /// Lets everything pass.
    pub fn open(&self) {
        self.0.send_replace(u64::MAX);
    }

    /// Takes as many bytes of what may pass as there are, at most `most`; none is not ready.
    pub(crate) fn poll_take(
        &self,
        waiting: &mut Waiting,
        most: u64,
        cx: &mut Context<'_>,
    ) -> Poll<u64> {
        loop {
            let mut taken = 0;
            self.0.send_if_modified(|credit| {
                taken = most.min(*credit);
                if *credit != u64::MAX {
                    *credit -= taken;
                }
                // Who waits, waits for more, and not for this.
                false
            });
            if taken > 0 || most == 0 {
                *waiting = None;
                return Poll::Ready(taken);
            }
            let wait = waiting.get_or_insert_with(|| {
                let mut seen = self.0.subscribe();
                Box::pin(async move {
                    // The sender lives as long as the valve, which is ours.
                    let _ = seen.wait_for(|credit| *credit > 0).await;
                })
            });
            std::task::ready!(wait.as_mut().poll(cx));
            *waiting = None;
        }
    }
}

impl Default for Valve {
    fn default() -> Self {
        Self::new()
    }
}

/// The wait that is going on, if one is.
pub(crate) type Waiting = Option<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>>;
