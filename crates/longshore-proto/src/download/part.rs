//! The download of one part of a blob.
//!
//! It works like a [`Download`](super::Download), but ends at the last byte of the part. An answer
//! with the whole blob is refused, because the caller does not want all of it.
//!
//! ```text
//!   ask (bytes=N-M)
//!    │
//!    ▼
//!   206 from N, to M or before ──► bytes … ──► end at M ──► Finished
//!    │                                   └──► broken, or ended early ──► ask (bytes=N'-M)
//!    ├── refused, or another 206, to a resume, once ──► ask (bytes=N-M), from the beginning
//!    └── anything else ──► NoPart
//! ```

use http::{StatusCode, response};
use longshore_model::{Digest, RepositoryName};

use super::{BULK_BYTES, Body, DownloadError, Next, is_answer, is_strong, may_refuse_range};
use crate::call::{Ask, Take};
use crate::endpoint::{BlobAnswer, BlobRequest, Endpoint, Extent, Read};
use crate::range::ByteRange;
use crate::resume::ResumeBudget;
use crate::retry::Jitter;
use crate::violation::Violation;

/// The download of one part of a blob. Its bytes cannot be verified: a digest covers the whole.
#[derive(Clone, Debug)]
pub struct PartDownload {
    name: RepositoryName,
    digest: Digest,
    /// The size of the whole.
    size: u64,
    /// Positions in the blob: of the first byte wanted, the next one, and the last one wanted.
    first: u64,
    at: u64,
    last: u64,
    /// The last position the current answer has.
    end: u64,
    etag: Option<String>,
    restarted: bool,
    budget: ResumeBudget,
}

impl PartDownload {
    /// The part from `first` to `last`, both included, of a blob of `size` bytes; `None` where
    /// the blob has no such part.
    #[must_use]
    pub fn new(
        name: RepositoryName,
        digest: Digest,
        size: u64,
        (first, last): (u64, u64),
    ) -> Option<Self> {
        (first <= last && last < size).then(|| Self {
            name,
            digest,
            size,
            first,
            at: first,
            last,
            end: last,
            etag: None,
            restarted: false,
            budget: ResumeBudget::new(first),
        })
    }

    /// The request for what is missing.
    #[must_use]
    pub fn ask(&self) -> Ask {
        let mut request = BlobRequest::new(Read::Get, self.name.clone(), self.digest.clone());
        request.range = Some(ByteRange::Span(self.at, self.last).into());
        let mut ask = Ask::new(Endpoint::Blob(request), Take::Stream);
        ask.bulk = self.last - self.at >= BULK_BYTES;
        ask
    }

    /// The size of the whole blob, in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Whether an answer with this status must be passed to [`on_head`](Self::on_head), as for
    /// [`Download::takes`](super::Download::takes).
    #[must_use]
    pub fn takes(&self, status: StatusCode) -> bool {
        is_answer(status) || self.may_restart() && may_refuse_range(status)
    }

    /// The head of the answer to [`ask`](Self::ask), if the download [`takes`](Self::takes) it.
    ///
    /// After [`Body::Ask`], the part restarts at its first byte: drop the bytes that were received.
    ///
    /// # Errors
    ///
    /// [`DownloadError::NoPart`] when it is not a part that begins where it should, of a blob of
    /// this size and the same content as before; [`DownloadError::OtherDigest`] when it is about
    /// other content (DG2); [`DownloadError::Violation`] when it breaks the specification, or has a
    /// content coding: no digest shows that its bytes are the right ones (DG6).
    pub fn on_head(&mut self, head: &response::Parts) -> Result<Body, DownloadError> {
        let answer = match BlobAnswer::read(head) {
            Ok(answer) => answer,
            Err(violation) => return self.restart(violation.into()),
        };
        if let Some(violation) = Violation::coding(head, "Pulling blobs") {
            return Err(violation.into());
        }
        answer.check_digest(&self.digest)?;
        let end = match answer.extent {
            Extent::Part { first, last, total }
                if first == self.at
                    && last <= self.last
                    && total.is_none_or(|total| total == self.size)
                    && answer.continues(self.etag.as_deref()) =>
            {
                last
            }
            _ => return self.restart(DownloadError::NoPart),
        };
        self.end = end;
        if answer.etag.as_deref().is_some_and(is_strong) {
            self.etag = answer.etag;
        }
        self.budget.begin(self.at);
        Ok(Body::Read)
    }

    /// Whether this is the first refusal of a resume (RT6).
    const fn may_restart(&self) -> bool {
        self.at > self.first && !self.restarted
    }

    /// Restarts the part after a resume that was not honoured, once.
    fn restart(&mut self, error: DownloadError) -> Result<Body, DownloadError> {
        if !self.may_restart() {
            return Err(error);
        }
        self.restarted = true;
        self.at = self.first;
        self.etag = None;
        Ok(Body::Ask(self.ask()))
    }

    /// This many bytes of the body arrived.
    ///
    /// # Errors
    ///
    /// [`DownloadError::NoPart`] at the first byte beyond the part that was announced.
    pub fn on_bytes(&mut self, count: u64) -> Result<(), DownloadError> {
        let next = self.at.checked_add(count);
        self.at = next
            .filter(|next| *next <= self.end + 1)
            .ok_or(DownloadError::NoPart)?;
        Ok(())
    }

    /// The body ended, or broke off; behind the last byte that is no loss.
    ///
    /// # Errors
    ///
    /// [`DownloadError::Resumes`] when it did so too often, or too often without progress (RT6).
    pub fn on_end(&mut self, jitter: Jitter) -> Result<Next, DownloadError> {
        if self.at > self.last {
            return Ok(Next::Finished);
        }
        let delay = self.budget.resume(self.at, jitter)?;
        let mut ask = self.ask();
        ask.delay = delay;
        Ok(Next::Ask(ask))
    }
}

#[cfg(test)]
mod tests;
