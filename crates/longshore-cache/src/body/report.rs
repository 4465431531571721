//! Reports how much of a body was sent.

use std::fmt;
use std::sync::Arc;

use crate::observer::{Event, Observer, RequestId, RequestKind, Sent};

/// Reports the end of a body to an observer, when the connection drops the body.
pub(super) struct Report {
    id: RequestId,
    kind: RequestKind,
    observer: Arc<dyn Observer>,
    /// Number of bytes that were passed to the connection.
    pub(super) bytes: u64,
    /// Whether these are all bytes of the body.
    pub(super) complete: bool,
}

impl Report {
    pub(super) fn new(id: RequestId, kind: RequestKind, observer: Arc<dyn Observer>) -> Self {
        Self {
            id,
            kind,
            observer,
            bytes: 0,
            complete: false,
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let sent = Sent::new(self.id, self.kind, self.bytes, self.complete);
        self.observer.event(&Event::Sent(sent));
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("id", &self.id)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
