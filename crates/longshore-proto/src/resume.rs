//! How often a transfer may break off and continue (RT6).

use std::time::Duration;

use crate::retry::{Jitter, backoff};

/// Maximum number of resumes in a row that each bring less than [`PROGRESS_BYTES`] (RT6).
pub const STALLED_RESUMES: u32 = 5;

/// A resume that brings fewer bytes than this makes no progress (RT6).
pub const PROGRESS_BYTES: u64 = 16 * 1024;

/// Maximum number of resumes of one transfer (RT6).
pub const RESUMES: u32 = 200;

/// A transfer broke off too often, or too often without progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyResumes {
    /// How often it was resumed.
    pub(crate) resumes: u32,
    /// How many bytes had been transferred.
    pub(crate) position: u64,
}

/// The budget of resumes of one transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResumeBudget {
    /// The farthest position that a request began at, or broke off at. What is sent once more up to
    /// there is no progress, so that a peer that always falls back to one position is given up.
    farthest: u64,
    stalled: u32,
    resumes: u32,
}

impl ResumeBudget {
    pub(crate) const fn new(position: u64) -> Self {
        Self {
            farthest: position,
            stalled: 0,
            resumes: 0,
        }
    }

    /// Records that a request begins at this position. What came before it is progress, also if
    /// only a later answer told how much that is.
    pub(crate) const fn begin(&mut self, position: u64) {
        if self.advances(position) {
            self.stalled = 0;
        }
    }

    /// Moves to this position; returns whether it is progress.
    const fn advances(&mut self, position: u64) -> bool {
        let bytes = position.saturating_sub(self.farthest);
        self.farthest = self.farthest.saturating_add(bytes);
        bytes >= PROGRESS_BYTES
    }

    /// Records that the request broke off at this position; returns the wait before the next one.
    pub(crate) fn resume(
        &mut self,
        position: u64,
        jitter: Jitter,
    ) -> Result<Duration, TooManyResumes> {
        let has_progress = self.advances(position);
        if has_progress {
            self.stalled = 0;
        } else if self.resumes > 0 {
            // The first request does not count as a resume.
            self.stalled += 1;
        }
        if self.stalled >= STALLED_RESUMES || self.resumes >= RESUMES {
            return Err(TooManyResumes {
                resumes: self.resumes,
                position,
            });
        }
        self.resumes += 1;
        Ok(if has_progress {
            Duration::ZERO
        } else {
            backoff(self.stalled + 1, jitter)
        })
    }
}
