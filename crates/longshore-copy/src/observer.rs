//! Events that a run reports to its caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::TransferError;
use crate::plan::PlannedBlob;

/// Takes the events of a run, for example to draw a progress bar.
///
/// Events come from several threads, one for each step of a blob and never one for each frame: to
/// see the bytes arrive, sample the [`ByteCounter`] of [`Event::Planned`]. A slow observer delays
/// the transfer that called it.
///
/// ```
/// use std::sync::OnceLock;
///
/// use longshore_copy::{ByteCounter, Cancellation, Event, Observer, PullOptions};
///
/// /// The number of bytes to move, and the counter of those that have arrived.
/// #[derive(Default)]
/// struct Progress(OnceLock<(u64, ByteCounter)>);
///
/// impl Observer for Progress {
///     fn observe(&self, event: Event<'_>) {
///         if let Event::Planned { bytes, counter, .. } = event {
///             // `bytes` is 0 when nothing is missing.
///             let _ = self.0.set((bytes, counter.clone()));
///         }
///     }
/// }
///
/// let cancellation = Cancellation::new();
/// let options = PullOptions::default()
///     .with_observer(Progress::default())
///     .with_cancellation(cancellation.clone());
/// # let _ = options;
/// ```
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn observe(&self, event: Event<'_>);
}

/// A step of a run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The first event but for [`Skipped`](Self::Skipped) and [`Lost`](Self::Lost): what the run
    /// will move.
    Planned {
        /// How many blobs are missing.
        blobs: u64,
        /// The size of these blobs in bytes.
        bytes: u64,
        /// Counts the bytes of these blobs up to `bytes` while they arrive.
        counter: &'a ByteCounter,
    },
    /// The destination has the blob already, verified unless
    /// [`RunOptions::trust_existing`](crate::RunOptions::trust_existing) is set; it is not moved.
    Skipped {
        /// The blob.
        blob: &'a PlannedBlob,
    },
    /// The destination has a file for the blob, but its content is wrong or cannot be read. The
    /// blob is moved after the others, and replaces the file; its bytes are added to those planned.
    Damaged {
        /// The blob.
        blob: &'a PlannedBlob,
    },
    /// A registry lists the blob and does not serve it with its size; it is sent again (see
    /// [`RunOptions::verify_after`](crate::RunOptions::verify_after)).
    Lost {
        /// The blob.
        blob: &'a PlannedBlob,
        /// What was found.
        error: &'a TransferError,
    },
    /// The transfer of a blob starts.
    Started {
        /// The blob.
        blob: &'a PlannedBlob,
        /// How many bytes an earlier run kept; the transfer resumes after them. They are counted as
        /// if they had arrived.
        resumed_at: u64,
    },
    /// An upload continues at this position, because it broke off or an earlier run began it.
    Resumed {
        /// The blob.
        blob: &'a PlannedBlob,
        /// The first byte that is sent, counted from the beginning of the blob; 0 means that the
        /// whole blob is sent again.
        position: u64,
    },
    /// A registry took the blob from another of its repositories; it is not moved.
    Mounted {
        /// The blob.
        blob: &'a PlannedBlob,
    },
    /// A destination failed and is given up; the others are finished.
    Dropped {
        /// The name of the end.
        destination: &'a str,
        /// Why.
        error: &'a TransferError,
    },
    /// The content did not match its digest or size and was discarded. It is fetched once more, or
    /// the run fails if this was the second attempt.
    TakenBack {
        /// The blob.
        blob: &'a PlannedBlob,
        /// How many bytes are subtracted from the counter.
        bytes: u64,
    },
    /// The blob is in the destination, verified.
    Finished {
        /// The blob.
        blob: &'a PlannedBlob,
    },
}

/// A number of bytes that several transfers add to and anybody may read. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct ByteCounter(Arc<AtomicU64>);

impl ByteCounter {
    /// Returns how many bytes were counted so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}
