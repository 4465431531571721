//! The deadline of a fill, and when a fill without readers continues.

use std::time::Duration;

use super::{
    FILL_DEADLINE, FILL_UNREAD_GRACE, FILL_UNREAD_PERCENT, FILL_UNREAD_SMALL_BYTES, FillErrorKind,
};

/// Watches the deadline of a fill, and whether it has readers.
#[derive(Debug)]
pub(crate) struct Limits {
    deadline: Duration,
    /// When the last reader left.
    unread_since: Option<Duration>,
}

/// The state of a fill that its limits depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Whether the fill has a reader, or a client that waits to read.
    pub(crate) is_read: bool,
    /// Whether the bytes are stored; otherwise only the present readers get them.
    pub(crate) is_stored: bool,
    pub(crate) written: u64,
    pub(crate) size: Option<u64>,
}

impl Limits {
    pub(crate) const fn new(now: Duration) -> Self {
        Self {
            deadline: now.saturating_add(FILL_DEADLINE),
            unread_since: None,
        }
    }

    /// Returns the time until which the fill may continue if nothing changes.
    ///
    /// # Errors
    ///
    /// [`FillErrorKind::Deadline`], [`FillErrorKind::Abandoned`].
    pub(crate) fn check(
        &mut self,
        now: Duration,
        standing: Standing,
    ) -> Result<Duration, FillErrorKind> {
        if now >= self.deadline {
            return Err(FillErrorKind::Deadline);
        }
        if standing.is_read {
            self.unread_since = None;
            return Ok(self.deadline);
        }
        if !standing.is_stored {
            return Err(FillErrorKind::Abandoned);
        }
        let since = *self.unread_since.get_or_insert(now);
        if continues_unread(standing.written, standing.size) {
            return Ok(self.deadline);
        }
        let end = since.saturating_add(FILL_UNREAD_GRACE);
        if now >= end {
            return Err(FillErrorKind::Abandoned);
        }
        Ok(end.min(self.deadline))
    }
}

/// Whether a fill without readers continues to its end.
fn continues_unread(written: u64, size: Option<u64>) -> bool {
    size.is_some_and(|size| {
        let threshold = size / 100 * FILL_UNREAD_PERCENT + size % 100 * FILL_UNREAD_PERCENT / 100;
        size < FILL_UNREAD_SMALL_BYTES || written > threshold
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn ca5_a_fill_without_readers_goes_on_if_it_is_small_or_has_come_far() {
        for (written, size, expected) in [
            (0, Some(64 * MIB - 1), true),
            (0, Some(64 * MIB), false),
            (16 * MIB, Some(64 * MIB), false),
            (16 * MIB + 1, Some(64 * MIB), true),
            (u64::MAX / 4, Some(u64::MAX), false),
            (u64::MAX / 4 + 2, Some(u64::MAX), true),
            (1 << 40, None, false),
        ] {
            assert_eq!(
                continues_unread(written, size),
                expected,
                "{written} of {size:?}"
            );
        }
    }

    #[test]
    fn ca5_a_fill_ends_30_s_after_its_last_reader_or_6_h_after_its_start() {
        let read = Standing {
            is_read: true,
            is_stored: true,
            written: 0,
            size: Some(1 << 30),
        };
        let unread = Standing {
            is_read: false,
            ..read
        };
        let far = Standing {
            written: 1 << 29,
            ..unread
        };
        let passes = Standing {
            is_stored: false,
            ..far
        };
        let mut limits = Limits::new(seconds(100));
        let end = seconds(100 + 6 * 3600);
        assert_eq!(limits.check(seconds(100), read), Ok(end));
        assert_eq!(limits.check(seconds(110), unread), Ok(seconds(140)));
        assert_eq!(limits.check(seconds(139), unread), Ok(seconds(140)));
        // A reader within the grace period restarts it.
        assert_eq!(limits.check(seconds(139), read), Ok(end));
        assert_eq!(limits.check(seconds(150), unread), Ok(seconds(180)));
        assert_eq!(limits.check(seconds(180), far), Ok(end));
        let abandoned = Err(FillErrorKind::Abandoned);
        assert_eq!(limits.check(seconds(180), unread), abandoned);
        // Without a reader, a transfer that is not stored is useless.
        assert_eq!(limits.check(seconds(181), passes), abandoned);
        assert_eq!(limits.check(end, read), Err(FillErrorKind::Deadline));
    }
}
