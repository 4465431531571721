//! Progress of a transfer: a bar where somebody looks, nothing where nobody does.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar is drawn so often, from one counter: a frame costs one addition.
const REDRAW: Duration = Duration::from_millis(100);

/// How many bytes have moved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moved(Arc<AtomicU64>);

impl Moved {
    /// Bytes arrived.
    pub(crate) fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that arrived turned out useless.
    pub(crate) fn take_back(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// So many bytes have arrived.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Draws a bar until it is dropped; without a terminal on stderr waits for ever.
pub(crate) async fn draw(moved: Moved, total: u64, what: String) {
    if !std::io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    let bar = bar(what);
    bar.set_length(total);
    let _cleared = Cleared(&bar);
    loop {
        bar.set_position(moved.bytes());
        tokio::time::sleep(REDRAW).await;
    }
}

/// A bar of bytes; nothing is drawn where stderr is no terminal.
pub(crate) fn bar(what: String) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let template = "{msg} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what);
    bar
}

/// Leaves the line as it was.
struct Cleared<'a>(&'a ProgressBar);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
