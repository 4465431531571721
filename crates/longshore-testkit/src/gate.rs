//! A latch that holds servers until a test lets them go.

use std::sync::Arc;

use tokio::sync::watch;

/// A latch, shut until [`open`](Gate::open) is called; then open for ever.
///
/// Servers of this crate wait at gates where other kits would sleep: the test decides when the
/// held answer goes out, so no test depends on how fast the machine is. Clones share one latch.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A gate that is shut.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Lets everyone who waits, or will wait, pass.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until the gate is open.
    pub async fn passed(&self) {
        let mut seen = self.0.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = seen.wait_for(|open| *open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}
