//! A latch that holds servers until a test lets them go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// A latch, shut until [`open`](Gate::open) is called; then open for ever.
///
/// Servers of this crate wait at gates where other kits would sleep: the test decides when the
/// held answer goes out, so no test depends on how fast the machine is. Clones share one latch.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Latch>);

#[derive(Debug)]
struct Latch {
    open: watch::Sender<bool>,
    reached: AtomicBool,
}

impl Gate {
    /// A gate that is shut.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Latch {
            open: watch::Sender::new(false),
            reached: AtomicBool::new(false),
        }))
    }

    /// Lets everyone who waits, or will wait, pass.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Whether anybody has come to the gate yet, and waits there or has passed it.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.0.reached.load(Ordering::SeqCst)
    }

    /// Waits until the gate is open.
    pub async fn passed(&self) {
        self.0.reached.store(true, Ordering::SeqCst);
        let mut seen = self.0.open.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = seen.wait_for(|open| *open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}
