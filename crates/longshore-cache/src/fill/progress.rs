//! The progress of a fill, and the bytes that its readers may have.

use std::time::Duration;

use super::{FILL_HOLD_BACK_BYTES, FillError};

/// Minimum number of new bytes between two publications of progress: 64 KiB.
pub(crate) const PUBLISH_BYTES: u64 = 64 * 1024;

/// Minimum time between two publications of progress: 5 ms.
pub(crate) const PUBLISH_INTERVAL: Duration = Duration::from_millis(5);

/// The progress of a fill.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// Number of bytes that were written, from the beginning of the blob.
    pub(crate) written: u64,
    /// The size of the blob in bytes; `None` while it is unknown.
    pub(crate) size: Option<u64>,
    pub(crate) state: FillState,
}

/// The state of a fill.
#[derive(Clone, Debug)]
pub(crate) enum FillState {
    /// The upstream has not answered yet.
    Asking,
    /// Bytes arrive.
    Filling,
    /// All bytes arrived, and their digest matches.
    Verified,
    /// The fill ended early.
    Failed(FillError),
}

impl Progress {
    pub(crate) const fn new(size: Option<u64>) -> Self {
        Self {
            written: 0,
            size,
            state: FillState::Asking,
        }
    }

    /// Number of bytes, from the beginning of the blob, that readers may send.
    ///
    /// CA4: the last 64 KiB wait for the digest, so that no client gets a complete body of wrong
    /// bytes.
    pub(crate) const fn released(&self) -> u64 {
        match self.state {
            FillState::Verified => self.written,
            FillState::Filling => self.written.saturating_sub(FILL_HOLD_BACK_BYTES),
            FillState::Asking | FillState::Failed(_) => 0,
        }
    }

    /// Whether the fill has ended, verified or failed.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, FillState::Verified | FillState::Failed(_))
    }
}

/// Decides when progress is published, so that many readers are not woken for each frame: after
/// [`PUBLISH_BYTES`] and [`PUBLISH_INTERVAL`], whichever is later. The first released bytes are
/// published immediately.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The position and the time of the last publication.
    published: u64,
    at: Option<Duration>,
}

impl Pace {
    pub(crate) const fn new() -> Self {
        Self {
            published: 0,
            at: None,
        }
    }

    /// The time after which progress must be published; `None` if there are too few new bytes.
    pub(crate) fn due(&self, written: u64, now: Duration) -> Option<Duration> {
        let begins = self.published <= FILL_HOLD_BACK_BYTES && written > FILL_HOLD_BACK_BYTES;
        if !begins && written.saturating_sub(self.published) < PUBLISH_BYTES {
            return None;
        }
        let elapsed = self
            .at
            .map_or(PUBLISH_INTERVAL, |at| now.saturating_sub(at));
        Some(PUBLISH_INTERVAL.saturating_sub(elapsed))
    }

    pub(crate) const fn published(&mut self, written: u64, now: Duration) {
        self.published = written;
        self.at = Some(now);
    }

    /// Whether there are unpublished bytes.
    pub(crate) const fn is_behind(&self, written: u64) -> bool {
        written > self.published
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fill::FillErrorKind;

    const KIB: u64 = 1024;

    fn released(written: u64, state: FillState) -> u64 {
        let size = Some(1 << 20);
        Progress {
            written,
            size,
            state,
        }
        .released()
    }

    #[test]
    fn ca4_the_last_64_kib_are_released_with_the_verdict() {
        for (written, expected) in [
            (0, 0),
            (1, 0),
            (64 * KIB, 0),
            (64 * KIB + 1, 1),
            (200 * KIB, 136 * KIB),
            (1 << 20, (1 << 20) - 64 * KIB),
        ] {
            assert_eq!(released(written, FillState::Asking), 0);
            assert_eq!(released(written, FillState::Filling), expected);
            assert_eq!(released(written, FillState::Verified), written);
            let failed = FillState::Failed(FillErrorKind::Deadline.into());
            assert_eq!(released(written, failed), 0);
        }
    }

    #[test]
    fn progress_is_published_after_bytes_and_time() {
        let ms = Duration::from_millis;
        let mut pace = Pace::new();
        // No byte is released yet, so nothing is published.
        assert_eq!(pace.due(63 * KIB, ms(0)), None);
        // The first released byte is published immediately.
        assert_eq!(pace.due(64 * KIB + 1, ms(0)), Some(ms(0)));
        pace.published(64 * KIB + 1, ms(0));
        assert!(!pace.is_behind(64 * KIB + 1));
        // Time alone, and bytes alone, are not enough.
        assert_eq!(pace.due(128 * KIB, ms(100)), None);
        assert_eq!(pace.due(128 * KIB + 1, ms(2)), Some(ms(3)));
        assert_eq!(pace.due(128 * KIB + 1, ms(5)), Some(ms(0)));
        assert!(pace.is_behind(128 * KIB + 1));
    }
}
