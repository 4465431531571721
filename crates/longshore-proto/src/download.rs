//! The download of one blob, resumed where it breaks off.
//!
//! The machine counts bytes; it neither holds nor hashes them. The receiver verifies them.
//!
//! ```text
//!            ask (no Range, or bytes=N-)
//!             │
//!             ▼
//!   200 ──► Whole: drop the first N ──┐
//!   206 at N, same total and tag ─────┤──► bytes … ──► end at the size ──► Finished
//!   refused, or another 206, once ──► ask (no Range)
//!                                                 └──► broken, or ended early ──► ask (bytes=N-)
//! ```
//!
//! RT6: a registry may refuse a request only because of its `Range`, and not only with 416. So any
//! 4xx except 401 and 429, and a 501, is followed by one request for the whole blob.

use http::{StatusCode, response};
use longshore_model::{Digest, RepositoryName};

use crate::call::{Ask, Take};
use crate::endpoint::{BlobAnswer, BlobRequest, Endpoint, Extent, Read};
use crate::range::ByteRange;
use crate::resume::{ResumeBudget, TooManyResumes};
use crate::retry::Jitter;
use crate::violation::Violation;

pub use self::part::PartDownload;
pub use crate::resume::{PROGRESS_BYTES, RESUMES, STALLED_RESUMES};

mod part;

/// Default limit of a blob of unknown size, in bytes (LI): 32 GiB.
pub const BLOB_LIMIT_BYTES: u64 = 32 * 1024 * 1024 * 1024;

/// A body of at least this size counts as large, in bytes.
const BULK_BYTES: u64 = 1024 * 1024;

/// The download of one blob.
#[derive(Clone, Debug)]
pub struct Download {
    name: RepositoryName,
    digest: Digest,
    /// The size, from the descriptor or from the first answer.
    size: Option<u64>,
    /// The largest size that the caller reads without a descriptor, if the caller has set one.
    limit: Option<u64>,
    /// Whether the registry has confirmed the digest.
    confirmed: bool,
    etag: Option<String>,
    received: u64,
    /// Bytes at the front of the current answer that were received before.
    skip: u64,
    ranged: bool,
    restarted: bool,
    budget: ResumeBudget,
    /// Where a body last came to its end, and not only broke off, before the size.
    ended: Option<u64>,
}

/// What a download needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle both")]
pub enum Next {
    /// Ask this, and continue with its body.
    Ask(Ask),
    /// Every byte was received.
    Finished,
}

/// What the head of an answer means for a download.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle both")]
pub enum Body {
    /// Drop the body, and ask this instead.
    Ask(Ask),
    /// Read the body, giving each piece's length to [`Download::on_bytes`].
    Read,
}

/// Why a download ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The connection broke again and again.
    #[error("the blob broke off {resumes} times, at last after {received} bytes")]
    Resumes {
        /// How often it was resumed.
        resumes: u32,
        /// How many bytes had arrived.
        received: u64,
    },
    /// The blob is larger than the limit for a blob whose size no descriptor says (LI).
    #[error("the blob is larger than the limit of {limit} bytes")]
    OverLimit {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The registry sends another part of the blob than the one asked for, or the whole.
    #[error("the registry does not send the part of the blob that was asked for")]
    NoPart,
    /// The registry sends, or announces, more than the descriptor allows (LI1, LI3).
    #[error(
        "the descriptor says {expected} bytes, but the registry has more{}",
        blame(*.confirmed)
    )]
    TooLong {
        /// The size by the descriptor, in bytes.
        expected: u64,
        /// Whether the registry says that the blob has the digest of the descriptor.
        confirmed: bool,
    },
    /// The registry says that what it sends has another digest than the one asked for (DG2).
    #[error("the registry sends a blob of digest {claimed}")]
    OtherDigest {
        /// The digest by the registry.
        claimed: Digest,
    },
    /// The registry announces less than has already arrived: its content has changed (DG3).
    #[error("the blob is said to have {announced} bytes, but {received} have arrived")]
    Shrunk {
        /// How many bytes had arrived.
        received: u64,
        /// The size by the registry, in bytes.
        announced: u64,
    },
    /// The registry announces less than the descriptor says, or came to the same end before the
    /// size twice: it has other content (DG3), and asking again for the rest would not bring it.
    #[error(
        "the descriptor says {expected} bytes, but the registry has {announced}{}",
        blame(*.confirmed)
    )]
    TooShort {
        /// The size by the descriptor, in bytes.
        expected: u64,
        /// The size by the registry, in bytes.
        announced: u64,
        /// Whether the registry says that the blob has the digest of the descriptor.
        confirmed: bool,
    },
    /// An answer breaks the specification.
    #[error(transparent)]
    Violation(#[from] Violation),
}

impl From<TooManyResumes> for DownloadError {
    fn from(TooManyResumes { resumes, position }: TooManyResumes) -> Self {
        let received = position;
        Self::Resumes { resumes, received }
    }
}

/// Explains which of the two sizes is wrong, if that is known.
const fn blame(confirmed: bool) -> &'static str {
    if confirmed {
        " under the same digest: the size in the descriptor is wrong"
    } else {
        ": the size in the descriptor is wrong, or the registry has other content"
    }
}

impl Download {
    /// A download of this blob; `size` is its size by the descriptor, in bytes.
    #[must_use]
    pub const fn new(name: RepositoryName, digest: Digest, size: Option<u64>) -> Self {
        Self {
            name,
            digest,
            size,
            limit: None,
            confirmed: false,
            etag: None,
            received: 0,
            skip: 0,
            ranged: false,
            restarted: false,
            budget: ResumeBudget::new(0),
            ended: None,
        }
    }

    /// Continues at this position: the caller has the earlier bytes from a previous attempt.
    #[must_use]
    pub const fn resumed(mut self, position: u64) -> Self {
        self.received = position;
        self.budget = ResumeBudget::new(position);
        self
    }

    /// Reads at most this many bytes if no descriptor says the size. By default the size that the
    /// registry announces is the limit, or [`BLOB_LIMIT_BYTES`] if it announces none.
    #[must_use]
    pub const fn with_limit(mut self, bytes: u64) -> Self {
        self.set_limit(bytes);
        self
    }

    /// As [`with_limit`](Self::with_limit).
    pub const fn set_limit(&mut self, bytes: u64) {
        self.limit = Some(bytes);
    }

    /// The request for what is missing.
    ///
    /// At position 0 there is no `Range`: some registries answer `bytes=0-` with 400.
    #[must_use]
    pub fn ask(&mut self) -> Ask {
        self.ranged = self.received > 0 && !self.restarted;
        let mut request = BlobRequest::new(Read::Get, self.name.clone(), self.digest.clone());
        if self.ranged {
            request.range = Some(ByteRange::From(self.received).into());
            request.if_range.clone_from(&self.etag);
        }
        let missing = self
            .size
            .map_or(u64::MAX, |size| size.saturating_sub(self.received));
        let mut ask = Ask::new(Endpoint::Blob(request), Take::Stream);
        ask.bulk = missing >= BULK_BYTES;
        ask
    }

    /// How many bytes have been received.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// The size of the blob, if a descriptor or an answer said it.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// Whether an answer with this status must be passed to [`on_head`](Self::on_head): 200, 206 or
    /// 416, or a refusal that may concern only the range. Any other refusal is final.
    #[must_use]
    pub fn takes(&self, status: StatusCode) -> bool {
        is_answer(status) || self.ranged && may_refuse_range(status)
    }

    /// The head of the answer to [`ask`](Self::ask), if the download [`takes`](Self::takes) it.
    ///
    /// # Errors
    ///
    /// [`DownloadError::OverLimit`] when without a descriptor it announces more than the limit,
    /// [`DownloadError::TooLong`] and [`DownloadError::TooShort`] when the answer announces another
    /// size than the descriptor's, [`DownloadError::Shrunk`] when without a descriptor it
    /// announces less than has arrived, [`DownloadError::OtherDigest`] when it is about other
    /// content, [`DownloadError::Violation`] when it breaks the specification and a restart did
    /// not help.
    pub fn on_head(&mut self, head: &response::Parts) -> Result<Body, DownloadError> {
        let answer = match BlobAnswer::read(head) {
            Ok(answer) => answer,
            Err(violation) => return self.restart(violation),
        };
        answer.check_digest(&self.digest)?;
        self.confirmed = answer.digest.as_ref() == Some(&self.digest);
        let confirmed = self.confirmed;
        let total = match answer.extent {
            Extent::Whole => {
                self.skip = self.received;
                answer.length
            }
            Extent::Part { first, total, .. } if self.continues(first, total, &answer) => {
                self.skip = 0;
                total
            }
            _ => {
                let status = head.status.as_u16();
                return self.restart(Violation::Status {
                    section: "Pulling blobs",
                    status,
                });
            }
        };
        match (self.size, total) {
            (Some(expected), Some(announced)) if announced > expected => {
                return Err(DownloadError::TooLong {
                    expected,
                    confirmed,
                });
            }
            (Some(expected), Some(announced)) if announced < expected => {
                return Err(DownloadError::TooShort {
                    expected,
                    announced,
                    confirmed,
                });
            }
            (None, Some(announced)) if announced > self.limit.unwrap_or(u64::MAX) => {
                let limit = self.limit.unwrap_or(BLOB_LIMIT_BYTES);
                return Err(DownloadError::OverLimit { limit });
            }
            (None, Some(announced)) if announced < self.received => {
                let received = self.received;
                return Err(DownloadError::Shrunk {
                    received,
                    announced,
                });
            }
            _ => {}
        }
        self.size = self.size.or(total);
        if answer.etag.as_deref().is_some_and(is_strong) {
            self.etag = answer.etag;
        }
        self.budget.begin(self.received);
        Ok(Body::Read)
    }

    /// Counts bytes of the body that arrived. Returns how many of them to drop from the front,
    /// because they were received before.
    ///
    /// # Errors
    ///
    /// [`DownloadError::TooLong`] at the first byte beyond the size, or
    /// [`DownloadError::OverLimit`] beyond the limit if the size is not known.
    pub fn on_bytes(&mut self, count: u64) -> Result<u64, DownloadError> {
        let dropped = self.skip.min(count);
        self.skip -= dropped;
        self.received = self.received.saturating_add(count - dropped);
        let limit = self.limit.unwrap_or(BLOB_LIMIT_BYTES);
        match self.size {
            Some(expected) if self.received > expected => Err(DownloadError::TooLong {
                expected,
                confirmed: self.confirmed,
            }),
            None if self.received > limit => Err(DownloadError::OverLimit { limit }),
            _ => Ok(dropped),
        }
    }

    /// The body ended as HTTP lets it.
    ///
    /// # Errors
    ///
    /// As [`on_interrupted`](Self::on_interrupted), when it ended before the size, or before what
    /// had been received already; [`DownloadError::TooShort`] when two answers that brought
    /// anything ended at the same place. A body of no bytes is a sign of trouble, and asked for
    /// again as if it had broken off.
    pub fn on_end(&mut self, jitter: Jitter) -> Result<Next, DownloadError> {
        let received = self.received;
        match self.size {
            _ if self.skip > 0 => {}
            Some(expected) if received < expected => {
                if received > 0 && self.ended.replace(received) == Some(received) {
                    return Err(DownloadError::TooShort {
                        expected,
                        announced: received,
                        confirmed: self.confirmed,
                    });
                }
            }
            _ => return Ok(Next::Finished),
        }
        self.on_interrupted(jitter)
    }

    /// The body broke off; behind its last byte that is no loss.
    ///
    /// # Errors
    ///
    /// [`DownloadError::Resumes`] when it did so too often, or too often without progress.
    pub fn on_interrupted(&mut self, jitter: Jitter) -> Result<Next, DownloadError> {
        // What broke was only the end of the body: there is nothing left to ask for.
        if self.size == Some(self.received) && self.skip == 0 {
            return Ok(Next::Finished);
        }
        let delay = self.budget.resume(self.received, jitter)?;
        let mut ask = self.ask();
        ask.delay = delay;
        Ok(Next::Ask(ask))
    }

    /// RT6: exactly where we are, and of the same content as before.
    fn continues(&self, first: u64, total: Option<u64>, answer: &BlobAnswer) -> bool {
        self.ranged
            && first == self.received
            && total.is_none_or(|total| self.size.is_none_or(|size| size == total))
            && answer.continues(self.etag.as_deref())
    }

    /// A range that was not honoured: ask once more for the whole.
    fn restart(&mut self, violation: Violation) -> Result<Body, DownloadError> {
        if self.restarted || !self.ranged {
            return Err(violation.into());
        }
        self.restarted = true;
        self.etag = None;
        Ok(Body::Ask(self.ask()))
    }
}

impl BlobAnswer {
    /// Refuses an answer that claims another digest under the same algorithm (DG2). A digest under
    /// another algorithm cannot be compared, so it is ignored.
    fn check_digest(&self, wanted: &Digest) -> Result<(), DownloadError> {
        match &self.digest {
            Some(claimed) if claimed.algorithm() == wanted.algorithm() && claimed != wanted => {
                let claimed = claimed.clone();
                Err(DownloadError::OtherDigest { claimed })
            }
            _ => Ok(()),
        }
    }

    /// Whether the answer is of the content that had this entity tag, as far as tags tell.
    fn continues(&self, etag: Option<&str>) -> bool {
        self.etag
            .as_deref()
            .is_none_or(|now| etag.is_none_or(|before| before == now))
    }
}

/// A weak tag says nothing about bytes (RFC 9110 §13.1.5).
fn is_strong(etag: &str) -> bool {
    etag.starts_with('"')
}

/// Whether the specification defines this status for a request for a blob or a part of it.
fn is_answer(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 206 | 416)
}

/// Whether a refusal of a request with `Range` may concern only the range (RT6).
fn may_refuse_range(status: StatusCode) -> bool {
    match status.as_u16() {
        401 | 429 => false,
        501 => true,
        _ => status.is_client_error(),
    }
}

#[cfg(test)]
mod tests;
