//! Progress: a bar on a terminal, and nothing elsewhere.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use longshore::model::Digest;
use longshore_copy::{ByteCounter, Event, Observer};
use tokio::sync::watch;

use crate::output;

/// Redraw interval of the progress bar. All transfers share one counter, so a frame costs one
/// addition.
const REDRAW: Duration = Duration::from_millis(100);

/// The bar of this process.
static SHOWN: Mutex<Shown> = Mutex::new(Shown::Nothing);

/// What is drawn. A command draws at most one bar.
enum Shown {
    Nothing,
    Bar(ProgressBar),
    /// The process is ending: nothing may be drawn any more.
    Over,
}

/// Draws the progress of a pull.
#[derive(Default)]
pub(crate) struct TransferProgress {
    /// The total in bytes and the counter, once they are known.
    planned: watch::Sender<Option<(u64, ByteCounter)>>,
    /// The first blobs in the destination that had to be replaced.
    damaged: Mutex<Vec<Digest>>,
    /// What was found about the first blobs that a registry did not serve.
    lost: Mutex<Vec<String>>,
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
            Event::Lost { error, .. } => {
                let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
                if lost.len() < DAMAGED_LIMIT {
                    lost.push(error.to_string());
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

    /// Returns what was found about the first blobs that a registry did not serve.
    pub(crate) fn lost(&self) -> Vec<String> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.clone()
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
    bar.set_message(output::harmless(&title).into_owned());
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Shown::Over = *shown {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    } else {
        *shown = Shown::Bar(bar.clone());
    }
    bar
}

/// Removes the bar from the terminal permanently, even if another thread still updates it or is
/// about to create one.
pub(crate) fn end() {
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Shown::Bar(bar) = std::mem::replace(&mut *shown, Shown::Over) {
        bar.finish_and_clear();
    }
}

/// Removes the bar from the terminal when it is dropped.
struct Cleared<'a>(&'a ProgressBar);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_drawn_once_the_process_ends() {
        let bar = bar("image".to_owned());
        assert!(!bar.is_finished());
        end();
        assert!(bar.is_finished());
        assert!(super::bar("another".to_owned()).is_hidden());
    }
}
