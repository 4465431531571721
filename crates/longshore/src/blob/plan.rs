//! What a download reads: the whole blob, or one part of it.

use http::{StatusCode, response};
use longshore_proto::download::{Body, Download, DownloadError, Next, PartDownload};
use longshore_proto::retry::Jitter;

/// One of the two machines for downloads.
pub(super) enum Plan {
    Part(Box<Part>),
    Whole(Download),
}

/// A part, and how many of its bytes were given out.
pub(super) struct Part {
    machine: PartDownload,
    given: u64,
    /// Bytes at the front of the current answer that were given out before the part was restarted.
    skip: u64,
}

impl Plan {
    pub(super) fn part(machine: PartDownload) -> Self {
        let (given, skip) = (0, 0);
        Self::Part(Box::new(Part {
            machine,
            given,
            skip,
        }))
    }

    /// The size of the whole blob.
    pub(super) const fn size(&self) -> Option<u64> {
        match self {
            Self::Part(part) => Some(part.machine.size()),
            Self::Whole(download) => download.size(),
        }
    }

    /// How many bytes have been received.
    pub(super) const fn received(&self) -> u64 {
        match self {
            Self::Part(part) => part.given,
            Self::Whole(download) => download.received(),
        }
    }

    pub(super) fn takes(&self, status: StatusCode) -> bool {
        match self {
            Self::Part(part) => part.machine.takes(status),
            Self::Whole(download) => download.takes(status),
        }
    }

    pub(super) fn on_head(&mut self, head: &response::Parts) -> Result<Body, DownloadError> {
        match self {
            Self::Part(part) => {
                let verdict = part.machine.on_head(head)?;
                if matches!(verdict, Body::Ask(_)) {
                    part.skip = part.given;
                }
                Ok(verdict)
            }
            Self::Whole(download) => download.on_head(head),
        }
    }

    /// Counts bytes that arrived. Returns how many to drop from the front, because they were given
    /// out before.
    pub(super) fn on_bytes(&mut self, count: u64) -> Result<u64, DownloadError> {
        match self {
            Self::Part(part) => {
                part.machine.on_bytes(count)?;
                let dropped = part.skip.min(count);
                part.skip -= dropped;
                part.given += count - dropped;
                Ok(dropped)
            }
            Self::Whole(download) => download.on_bytes(count),
        }
    }

    pub(super) fn on_end(&mut self, jitter: Jitter) -> Result<Next, DownloadError> {
        match self {
            Self::Part(part) => part.machine.on_end(jitter),
            Self::Whole(download) => download.on_end(jitter),
        }
    }

    pub(super) fn on_interrupted(&mut self, jitter: Jitter) -> Result<Next, DownloadError> {
        match self {
            Self::Part(part) => part.machine.on_end(jitter),
            Self::Whole(download) => download.on_interrupted(jitter),
        }
    }
}
