//! Progress: a bar on a terminal, and nothing elsewhere.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use longshore::model::Digest;
use longshore_copy::{ByteCounter, Event, Observer};
use tokio::sync::watch;

/// Redraw interval of the progress bar. All transfers share one counter, so a frame costs one
/// addition.
const REDRAW: Duration = Duration::from_millis(100);

/// Draws the progress of a pull.
#[derive(Default)]
pub(crate) struct TransferProgress {
    /// The total in bytes and the counter, once they are known.
    planned: watch::Sender<Option<(u64, ByteCounter)>>,
    /// The first blobs in the destination that had to be replaced.
    damaged: Mutex<Vec<Digest>>,
}

/// Maximum number of damaged blobs that are named.
const DAMAGED_LIMIT: usize = 20;

impl Observer for TransferProgress {
    fn observe(&self, event: Event<'_>) {
        match event {
            Event::Planned { bytes, counter, .. } => {
                self.planned.send_replace(Some((bytes, counter.clone())));
            }
            Event::Damaged { blob } => {
                let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
                if damaged.len() < DAMAGED_LIMIT {
                    damaged.push(blob.digest.clone());
                }
            }
            _ => {}
        }
    }
}

impl TransferProgress {
    /// Returns the first blobs in the destination that had to be replaced.
    pub(crate) fn damaged(&self) -> Vec<Digest> {
        let damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        damaged.clone()
    }

    /// Drives `work` to its end, and draws a bar meanwhile if standard error is a terminal.
    pub(crate) async fn draw<T>(&self, title: &str, work: impl Future<Output = T>) -> T {
        if !std::io::stderr().is_terminal() {
            return work.await;
        }
        let drawing = async {
            let mut planned = self.planned.subscribe();
            // The sender lives as long as `self`, so waiting cannot fail.
            if let Ok(planned) = planned.wait_for(Option::is_some).await
                && let Some((total, counter)) = planned.clone()
            {
                redraw(title, total, &counter).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            result = work => result,
            result = drawing => result,
        }
    }
}

/// Redraws a bar until the future is dropped.
async fn redraw(title: &str, total: u64, counter: &ByteCounter) {
    let bar = bar(title.to_owned());
    bar.set_length(total);
    let _cleared = Cleared(&bar);
    loop {
        bar.set_position(counter.bytes());
        tokio::time::sleep(REDRAW).await;
    }
}

/// Makes a bar of bytes. Nothing is drawn if standard error is not a terminal.
pub(crate) fn bar(title: String) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let template = "{msg} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(title);
    bar
}

/// Removes the bar from the terminal when it is dropped.
struct Cleared<'a>(&'a ProgressBar);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
