//! The upload of one blob, resumed where it broke off (distribution-spec v1.1.1 "Pushing blobs").
//!
//! The machine chooses the requests and counts bytes; it neither holds nor hashes them. A request
//! names the part of the content that is its body ([`BodyName`]), and the driver opens that part
//! each time it sends the request.
//!
//! ```text
//!   Exists ─┬─ 200 ──────────────────────────► Finished (existing)
//!           └─ any other answer ─► Mount, or Start
//!   Mount ──┬─ 201 ──────────────────────────► Finished (mounted)
//!           ├─ 202 ─► Whole, or Chunk
//!           └─ any refusal, also of authentication ─► Start
//!   Start ─── 202 ─► Whole, or Chunk
//!
//!   Whole ──┬─ 201 ──────────────────────────► Finished (sent)
//!           ├─ 413 ─► Start, then Chunk
//!           └─ no clear answer ─► Confirm
//!   Chunk ──┬─ 202, bytes left ─► Chunk
//!           ├─ 202, none left ─► Finish
//!           ├─ 413 ─► Start, then smaller chunks
//!           └─ 416, or no clear answer ─► Status
//!   Finish ─┬─ 201 ──────────────────────────► Finished (sent)
//!           ├─ 416 ─► Status
//!           └─ no clear answer ─► Confirm
//!
//!   Confirm ┬─ 200 ──────────────────────────► Finished (sent)
//!           └─ any other answer ─► Status
//!   Status ─┬─ a range ─► Chunk, or Finish
//!           ├─ no clear answer ─► Status, a few times
//!           └─ any other answer ─► Start
//!   Saved ──┬─ a range ─► Chunk, or Finish
//!           ├─ no clear answer ─► Saved, a few times
//!           └─ any other answer ─► Exists
//! ```
//!
//! An upload begins at `Exists`, `Mount` or `Start`; if it has a session of an earlier run, at
//! `Saved`.
//!
//! A 404 for a request of a session means that the session no longer exists: the upload starts
//! again. *No clear answer* is a failure of the transport, or a status that may change in another
//! attempt (RT2). It is then unknown what the registry received, so the machine asks the registry
//! before it sends anything again (RT4, DG7). Every return to `Start` or `Status` after less than
//! [`PROGRESS_BYTES`] counts against the [budget](STALLED_RESUMES) (RT6).

use std::time::Duration;

use http::{StatusCode, response};
use longshore_model::{Algorithm, Digest, RepositoryName};
use longshore_origin::HopError;

use crate::call::{Ask, BodyName, Ended, Place, Take};
use crate::endpoint::{
    BlobRequest, BlobStored, ChunkRange, Endpoint, Read, UploadAnswer, UploadRequest, UploadStep,
};
use crate::field;
use crate::quirk::{Chunks, Mounts, RangeTrust, UploadQuirks};
use crate::resume::{ResumeBudget, TooManyResumes};
use crate::retry::{Jitter, is_retryable, retry_after};
use crate::violation::Violation;

pub use crate::resume::{PROGRESS_BYTES, RESUMES, STALLED_RESUMES};

/// A blob larger than this is sent in chunks, in bytes: 256 MiB. A broken connection then costs at
/// most one chunk.
pub const WHOLE_LIMIT_BYTES: u64 = 256 * MIB;

/// The default size of a chunk if neither the user nor the registry sets one, in bytes: 128 MiB.
pub const CHUNK_BYTES: u64 = 128 * MIB;

/// Chunk sizes that are tried in this order after a 413, in bytes. By default, proxies limit a body
/// to 100 MB or 1 MiB.
const SMALLER: [u64; 4] = [64 * MIB, 8 * MIB, MIB, MIB / 2];

/// How often in a row a session is asked again how much it has, where its answer is a status that
/// another attempt may change. The whole content is sent again after that.
const STATUS_RETRIES: u32 = 2;

/// A body of at least this size counts as large, in bytes.
const BULK_BYTES: u64 = MIB;

const MIB: u64 = 1024 * 1024;

/// The end position for content of unknown size. No content is that long (LI3).
const TO_THE_END: u64 = u64::MAX;

/// The content to upload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadContent {
    /// The digest; `None` when it is computed while the content is sent.
    pub digest: Option<Digest>,
    /// The size in bytes; `None` when it is known only at the end of the stream.
    pub size: Option<u64>,
    /// Whether the content can be read again from any position.
    pub seekable: bool,
}

impl UploadContent {
    /// Content of this digest and size in bytes that can be read again.
    #[must_use]
    pub const fn known(digest: Digest, size: u64) -> Self {
        Self {
            digest: Some(digest),
            size: Some(size),
            seekable: true,
        }
    }

    /// Whether a later run can continue an upload of this content: its digest and size are known,
    /// and it can be read again.
    #[must_use]
    pub const fn is_resumable(&self) -> bool {
        self.digest.is_some() && self.size.is_some() && self.seekable
    }

    /// Content of unknown digest and size that can be read only once.
    #[must_use]
    pub const fn stream() -> Self {
        Self {
            digest: None,
            size: None,
            seekable: false,
        }
    }
}

/// Options for the first requests of an upload and for its chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadOptions {
    /// Whether to ask first if the registry has the blob. This costs one request, and saves the
    /// transfer if the blob exists.
    pub check: bool,
    /// A repository of the same registry that has the blob, to mount it from.
    pub mount: Option<RepositoryName>,
    /// The size of a chunk in bytes; `None` chooses it by the size of the blob and by the quirks of
    /// the registry.
    pub chunk: Option<u64>,
    /// Content is not sent a second time: a request with content that fails ends the upload (RT1:
    /// one attempt). Only a wait longer than this, for the end of a rate limit's window, is
    /// followed by another request. `None` lets the upload be resumed.
    pub once: Option<Duration>,
}

/// What an upload needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle every one")]
pub enum UploadNext {
    /// Send this, and report the result.
    Ask(Ask),
    /// Every byte was sent: pass the digest to [`Upload::on_digest`].
    Digest,
    /// The registry has the blob.
    Finished(UploadOutcome),
}

/// How the registry got a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UploadOutcome {
    /// It had the blob already.
    Existing,
    /// It took the blob from another of its repositories.
    Mounted,
    /// The blob was sent.
    Sent,
}

/// Why an upload ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// The request failed each time. The driver knows the last failure.
    #[error("the upload broke off, and cannot be continued")]
    Failed,
    /// The registry answered with a success before the content of the request was sent. The
    /// machine does not return this: a driver reports such an answer to [`Upload::on_failed`].
    #[error("status {status} came before all of the content was sent")]
    Early {
        /// The status of the answer.
        status: u16,
    },
    /// The registry refused the request. The driver knows the answer.
    #[error("the registry refuses the upload")]
    Refused,
    /// The upload broke off too often (RT6).
    #[error("the upload broke off {resumes} times, at last after {received} bytes")]
    Resumes {
        /// How often it was continued.
        resumes: u32,
        /// How many bytes the registry had.
        received: u64,
    },
    /// The registry says where the session is in a form that cannot be used (RD7).
    #[error("status {status} without one Location header")]
    NoLocation {
        /// The status of the answer.
        status: u16,
    },
    /// The session is at a forbidden place (RD2, RD4).
    #[error("the location of the upload session was refused")]
    Location(#[source] HopError),
    /// The registry counts more bytes than were sent to it.
    #[error("the registry says that it has {received} bytes of the {sent} that were sent")]
    Range {
        /// How many bytes the registry has, as it says.
        received: u64,
        /// How many bytes were sent.
        sent: u64,
    },
    /// The registry has something of another size as the blob.
    #[error("the registry says that the blob it has is {stored} bytes long, not {size}")]
    Stored {
        /// The size in bytes that the registry says.
        stored: u64,
        /// The size of the content in bytes.
        size: u64,
    },
    /// The content cannot be read again from the position where the registry needs it.
    #[error("the upload broke off after {received} bytes, and its source cannot be read again")]
    NotSeekable {
        /// The position that is needed.
        received: u64,
    },
    /// The registry stored something else (DG7).
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// The upload of one blob.
#[derive(Clone, Debug)]
pub struct Upload {
    name: RepositoryName,
    content: UploadContent,
    options: UploadOptions,
    quirks: UploadQuirks,
    state: State,
    session: Option<Session>,
    /// Number of bytes that the registry has in the session.
    received: u64,
    /// The position up to which the content was read to send it.
    sent: u64,
    /// The size of a chunk; `None` sends the whole.
    chunk: Option<u64>,
    mount_refused: Option<StatusCode>,
    /// Number of bytes that were sent in chunks that the registry accepted.
    counted: u64,
    /// Whether a request with content got no answer. Some proxies close a connection after each
    /// answer without announcing it; the next request on that connection is then lost too.
    lost: bool,
    /// How often in a row the session did not say how much it has.
    unanswered: u32,
    budget: ResumeBudget,
}

/// An open session.
#[derive(Clone, Debug)]
struct Session {
    place: Place,
    min_chunk: u64,
}

/// The request that is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Chunk { length: Option<u64> },
    Confirm,
    Exists,
    Finish,
    Mount,
    Saved,
    Start,
    Status,
    Whole,
}

impl From<TooManyResumes> for UploadError {
    fn from(TooManyResumes { resumes, position }: TooManyResumes) -> Self {
        let received = position;
        Self::Resumes { resumes, received }
    }
}

impl Upload {
    /// Makes the upload of this content to a repository of a registry with these quirks.
    #[must_use]
    pub fn new(
        name: RepositoryName,
        content: UploadContent,
        options: UploadOptions,
        quirks: UploadQuirks,
    ) -> Self {
        let chunk = match (options.chunk, quirks.chunks, content.size) {
            (_, Chunks::Never, _) => None,
            (Some(bytes), Chunks::AtMost(limit), _) => Some(bytes.min(limit)),
            (Some(bytes), _, _) => Some(bytes),
            (None, Chunks::AtMost(limit), Some(size)) if size > WHOLE_LIMIT_BYTES => {
                Some(CHUNK_BYTES.min(limit))
            }
            (None, Chunks::Allowed, Some(size)) if size > WHOLE_LIMIT_BYTES => Some(CHUNK_BYTES),
            _ => None,
        };
        Self {
            name,
            content,
            options,
            quirks,
            state: State::Start,
            session: None,
            received: 0,
            sent: 0,
            chunk,
            mount_refused: None,
            counted: 0,
            lost: false,
            unanswered: 0,
            budget: ResumeBudget::new(0),
        }
    }

    /// Continues a session of an earlier run. The first request asks how much the registry has.
    /// `min_chunk` is the minimum length of each part except the last, in bytes.
    ///
    /// If the session no longer exists, or does not match this content, the machine asks whether
    /// the registry has the blob, because the earlier run may have ended before it got the last
    /// answer. Content that is not [resumable](UploadContent::is_resumable) is uploaded in a new
    /// session.
    #[must_use]
    pub fn resumed(mut self, place: Place, min_chunk: u64) -> Self {
        if self.content.is_resumable() {
            self.session = Some(Session { place, min_chunk });
            self.sent = self.content.size.unwrap_or_default();
        }
        self
    }

    /// The first request.
    #[must_use]
    pub fn start(&mut self) -> Ask {
        if self.session.is_some() {
            let ask = self.status();
            self.state = State::Saved;
            return ask;
        }
        match &self.content.digest {
            Some(digest) if self.options.check => {
                let digest = digest.clone();
                self.exists(State::Exists, digest)
            }
            _ => self.begin(),
        }
    }

    /// The content that is uploaded.
    #[must_use]
    pub const fn content(&self) -> &UploadContent {
        &self.content
    }

    /// The place of the open session, to be saved for a later run. It may contain a signed query,
    /// which is a secret of the registry.
    #[must_use]
    pub fn session(&self) -> Option<&Place> {
        self.session.as_ref().map(|session| &session.place)
    }

    /// The minimum length of each part of the open session except the last, in bytes.
    #[must_use]
    pub fn min_chunk(&self) -> u64 {
        self.session.as_ref().map_or(0, |session| session.min_chunk)
    }

    /// Number of bytes that the registry has in the open session.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// The status of the refusal, if the registry refused to mount the blob.
    #[must_use]
    pub const fn mount_refused(&self) -> Option<StatusCode> {
        self.mount_refused
    }

    /// The request that cancels the open session (end-14). Its answer does not matter, because
    /// registries remove old sessions. `None` also if the URL of the session may be that of a
    /// manifest or a blob, which the request would delete.
    #[must_use]
    pub fn cancel(&self) -> Option<Ask> {
        let place = self.session()?.clone();
        // A registry may name any URL, and this request carries the credentials of a user who may
        // be allowed to delete.
        if may_name_content(place.hop().uri().path()) {
            return None;
        }
        Some(self.ask_at(place, UploadStep::Cancel { session: None }))
    }

    /// Reports an answer.
    ///
    /// # Errors
    ///
    /// [`UploadError`]. For [`UploadError::Refused`], the answer contains the reason.
    pub fn on_answer(
        &mut self,
        head: &response::Parts,
        ended: &Ended,
        jitter: Jitter,
    ) -> Result<UploadNext, UploadError> {
        self.consume();
        let status = head.status;
        let is_unclear = is_retryable(status);
        let wait = retry_after(status, &head.headers);
        match (self.state, status.as_u16()) {
            (State::Exists, 200) if self.other_size(head).is_none() => {
                Ok(UploadNext::Finished(UploadOutcome::Existing))
            }
            (State::Exists, _) => Ok(UploadNext::Ask(self.begin())),
            (State::Mount, 201) => self.stored(head, UploadOutcome::Mounted),
            (State::Mount, 202) => Ok(self
                .opened(head, ended)
                .unwrap_or_else(|_| self.on_mount_refused(status))),
            (State::Mount, _) => Ok(self.on_mount_refused(status)),
            (State::Start, 202) => self.opened(head, ended),
            (State::Whole | State::Finish, 200 | 201 | 204) => {
                self.stored(head, UploadOutcome::Sent)
            }
            (State::Whole | State::Chunk { .. }, 413) => self.shrink(jitter),
            (State::Chunk { length }, 200 | 201 | 202 | 204) => {
                self.on_chunk(head, ended, length, jitter)
            }
            (State::Chunk { .. }, 416) if self.received < self.counted => self.distrust(jitter),
            (State::Chunk { .. } | State::Finish, 416) => self.resume(State::Status, wait, jitter),
            (State::Confirm, 200) => match self.other_size(head) {
                Some(error) => Err(error),
                None => {
                    self.session = None;
                    Ok(UploadNext::Finished(UploadOutcome::Sent))
                }
            },
            (State::Confirm, _) => self.resume(State::Status, None, jitter),
            (State::Status | State::Saved, 200 | 202 | 204) => self.on_status(head, ended, jitter),
            (State::Status | State::Saved, _) if is_unclear && self.may_ask_again() => {
                self.ask_again(wait, jitter)
            }
            (State::Saved, _) => Ok(UploadNext::Ask(self.abandon())),
            (State::Status, _) | (State::Whole | State::Chunk { .. } | State::Finish, 404) => {
                self.restart(jitter)
            }
            (State::Chunk { .. }, _) if is_unclear => self.resume(State::Status, wait, jitter),
            (State::Whole | State::Finish, _) if is_unclear => {
                self.resume(State::Confirm, wait, jitter)
            }
            _ => Err(UploadError::Refused),
        }
    }

    /// Reports that the request got no answer, or one that does not say whether the registry has
    /// the body.
    ///
    /// # Errors
    ///
    /// [`UploadError::Failed`] when there is no other way to continue.
    pub fn on_failed(&mut self, jitter: Jitter) -> Result<UploadNext, UploadError> {
        self.consume();
        match self.state {
            State::Chunk { .. } | State::Whole | State::Finish if self.options.once.is_some() => {
                Err(UploadError::Failed)
            }
            State::Chunk { .. } => {
                self.lost = true;
                self.resume(State::Status, None, jitter)
            }
            State::Whole | State::Finish => {
                self.lost = true;
                self.resume(State::Confirm, None, jitter)
            }
            // The session may be at another origin; the registry itself may still answer.
            State::Saved if self.session().is_some_and(|place| !place.hop().is_home()) => {
                Ok(UploadNext::Ask(self.abandon()))
            }
            // The call has used up its attempts.
            State::Confirm
            | State::Exists
            | State::Mount
            | State::Saved
            | State::Start
            | State::Status => Err(UploadError::Failed),
        }
    }

    /// Authentication failed for the request, with the status of the last answer if there was one.
    /// A token for the target alone may be issued where one for a mount is not.
    ///
    /// # Errors
    ///
    /// [`UploadError::Failed`] when there is no other way to continue.
    pub fn on_denied(&mut self, status: Option<StatusCode>) -> Result<UploadNext, UploadError> {
        match self.state {
            State::Mount => Ok(self.on_mount_refused(status.unwrap_or(StatusCode::UNAUTHORIZED))),
            _ => Err(UploadError::Failed),
        }
    }

    /// Reports the digest and size of the content, which the driver computed while it sent the
    /// content.
    ///
    /// # Errors
    ///
    /// [`UploadError::NotSeekable`] when the registry does not have all of it.
    pub fn on_digest(&mut self, digest: Digest, size: u64) -> Result<UploadNext, UploadError> {
        if self.content.size.is_none() {
            self.received = size;
            self.sent = size;
        }
        self.content.digest = Some(digest);
        self.content.size = Some(size);
        self.next()
    }

    /// Requests a mount if one is wanted and possible; otherwise opens a session.
    fn begin(&mut self) -> Ask {
        let from = match (&self.options.mount, self.quirks.mounts) {
            (Some(from), Mounts::From | Mounts::Anonymous) => Some(from.clone()),
            (None, Mounts::Anonymous) => None,
            _ => return self.open(),
        };
        let Some(digest) = self.content.digest.clone() else {
            return self.open();
        };
        self.state = State::Mount;
        self.ask(UploadStep::Mount { digest, from })
    }

    /// The blob is sent instead.
    fn on_mount_refused(&mut self, status: StatusCode) -> UploadNext {
        self.mount_refused = Some(status);
        UploadNext::Ask(self.open())
    }

    fn open(&mut self) -> Ask {
        self.state = State::Start;
        let algorithm = self.content.digest.as_ref().map(Digest::algorithm);
        self.ask(UploadStep::Start {
            digest: None,
            algorithm: algorithm.filter(|algorithm| *algorithm != Algorithm::Sha256),
        })
    }

    /// Handles the answer that opened a session.
    fn opened(&mut self, head: &response::Parts, ended: &Ended) -> Result<UploadNext, UploadError> {
        let answer = UploadAnswer::read(head);
        let status = head.status.as_u16();
        let place = followed(ended, &answer)?.ok_or(UploadError::NoLocation { status })?;
        self.session = Some(Session {
            place,
            min_chunk: answer.min_chunk.unwrap_or_default(),
        });
        self.received = 0;
        self.next()
    }

    /// Makes the request for what the registry still needs.
    fn next(&mut self) -> Result<UploadNext, UploadError> {
        let Some(session) = &self.session else {
            return Ok(UploadNext::Ask(self.open()));
        };
        let place = session.place.clone();
        let min_chunk = session.min_chunk;
        let received = self.received;
        if received < self.sent && !self.content.seekable {
            return Err(UploadError::NotSeekable { received });
        }
        let left = self.content.size.map(|size| size.saturating_sub(received));
        match (&self.content.digest, left, self.chunk) {
            (None, Some(0), _) => Ok(UploadNext::Digest),
            // Everything was sent, so the driver now knows the size.
            (_, None, _) if received == TO_THE_END => Ok(UploadNext::Digest),
            (Some(digest), Some(0), _) => {
                let digest = digest.clone();
                Ok(UploadNext::Ask(self.finish(place, digest)))
            }
            (digest, Some(left), chunk) => {
                let length = chunk
                    .map_or(left, |chunk| chunk.max(min_chunk).max(1))
                    .min(left);
                let ask = match digest {
                    Some(digest) if received == 0 && length == left => {
                        let digest = digest.clone();
                        self.whole(place, digest, left)
                    }
                    _ => self.part(place, Some(length)),
                };
                Ok(UploadNext::Ask(ask))
            }
            (_, None, _) => Ok(UploadNext::Ask(self.part(place, None))),
        }
    }

    /// The request for what the registry still needs, after a wait.
    fn next_after(&mut self, delay: Duration) -> Result<UploadNext, UploadError> {
        let mut next = self.next();
        if let Ok(UploadNext::Ask(ask)) = &mut next {
            ask.delay = delay;
        }
        next
    }

    /// Sends the whole content in the request that names the blob.
    fn whole(&mut self, place: Place, digest: Digest, size: u64) -> Ask {
        self.state = State::Whole;
        let step = UploadStep::Finish {
            session: None,
            digest,
            range: None,
        };
        let ask = self.ask_at(place, step);
        self.with_body(ask, Some(size))
    }

    /// Sends the next part; `None` sends the whole rest, of unknown length.
    fn part(&mut self, place: Place, length: Option<u64>) -> Ask {
        self.state = State::Chunk { length };
        let first = self.received;
        let last = length.map(|length| first.saturating_add(length).saturating_sub(1));
        let range = last.and_then(|last| ChunkRange::new(first, last));
        let step = UploadStep::Chunk {
            session: None,
            range,
        };
        let ask = self.ask_at(place, step);
        self.with_body(ask, length)
    }

    /// Sends the request that names the blob, after every byte was sent.
    fn finish(&mut self, place: Place, digest: Digest) -> Ask {
        self.state = State::Finish;
        let step = UploadStep::Finish {
            session: None,
            digest,
            range: None,
        };
        let mut ask = self.ask_at(place, step);
        ask.fresh = self.lost;
        ask
    }

    fn with_body(&self, mut ask: Ask, length: Option<u64>) -> Ask {
        ask.body = Some(BodyName {
            offset: self.received,
            length,
        });
        ask.bulk = length.is_none_or(|length| length >= BULK_BYTES);
        ask.fresh = self.lost;
        ask
    }

    /// Handles the answer that accepted a part.
    fn on_chunk(
        &mut self,
        head: &response::Parts,
        ended: &Ended,
        length: Option<u64>,
        jitter: Jitter,
    ) -> Result<UploadNext, UploadError> {
        let answer = UploadAnswer::read(head);
        self.moved(ended, &answer)?;
        // A part of unknown length is the last one.
        let Some(length) = length else {
            self.received = self.sent;
            return self.next();
        };
        let sent = self.received.saturating_add(length);
        self.counted = self.counted.max(sent);
        let received = match (answer.received, self.quirks.range) {
            (Some(received), RangeTrust::Blob) => received.bytes(sent),
            _ => sent,
        };
        // Some registries count the bytes of the chunk instead of those of the blob.
        let counts_chunk = received < sent && received == length;
        self.received = if counts_chunk { sent } else { received };
        if self.received > sent {
            return Err(UploadError::Range { received, sent });
        }
        let delay = if self.received < sent {
            self.budget.resume(self.received, jitter)?
        } else {
            Duration::ZERO
        };
        self.budget.begin(self.received);
        self.next_after(delay)
    }

    /// Handles the number of bytes that the registry says it has.
    fn on_status(
        &mut self,
        head: &response::Parts,
        ended: &Ended,
        jitter: Jitter,
    ) -> Result<UploadNext, UploadError> {
        let answer = UploadAnswer::read(head);
        let is_saved = self.state == State::Saved;
        let sent = self.sent;
        let received = match (answer.received, self.quirks.range) {
            (Some(received), RangeTrust::Blob) => received.bytes(sent),
            _ if is_saved => return Ok(UploadNext::Ask(self.abandon())),
            _ => return self.restart(jitter),
        };
        self.moved(ended, &answer)?;
        if received > sent && is_saved {
            return Ok(UploadNext::Ask(self.abandon()));
        }
        if received > sent {
            return Err(UploadError::Range { received, sent });
        }
        self.received = received;
        self.unanswered = 0;
        self.budget.begin(received);
        self.next()
    }

    /// Handles the refusal of a chunk at the position that the registry named, after the registry
    /// had accepted later chunks: its `Range` does not count what it has.
    fn distrust(&mut self, jitter: Jitter) -> Result<UploadNext, UploadError> {
        let delay = self.again(None, jitter)?;
        self.quirks.range = RangeTrust::Nothing;
        self.received = self.counted;
        self.next_after(delay)
    }

    /// Uses the new place of the session, if the answer names one.
    fn moved(&mut self, ended: &Ended, answer: &UploadAnswer) -> Result<(), UploadError> {
        if let Some(place) = followed(ended, answer)?
            && let Some(session) = &mut self.session
        {
            session.place = place;
        }
        Ok(())
    }

    /// Finishes the upload, if the answer names our digest (DG7).
    fn stored(
        &mut self,
        head: &response::Parts,
        outcome: UploadOutcome,
    ) -> Result<UploadNext, UploadError> {
        if let Some(digest) = &self.content.digest {
            BlobStored::read(head).check(digest)?;
        }
        self.session = None;
        Ok(UploadNext::Finished(outcome))
    }

    /// Handles a body that was too large: sends smaller chunks, in a new session.
    fn shrink(&mut self, jitter: Jitter) -> Result<UploadNext, UploadError> {
        let floor = self.min_chunk();
        let size = self.content.size.unwrap_or(u64::MAX);
        let now = self.chunk.map_or(size, |chunk| chunk.min(size));
        let smaller = SMALLER.into_iter().find(|bytes| *bytes < now);
        match smaller {
            Some(bytes) if bytes >= floor && self.quirks.chunks != Chunks::Never => {
                self.chunk = Some(bytes);
                self.check_restart()?;
                let delay = self.budget.resume(self.received, jitter)?;
                Ok(self.reopen(delay))
            }
            _ => Err(UploadError::Refused),
        }
    }

    /// Records that the body of the request in flight was read, perhaps to its end.
    fn consume(&mut self) {
        let length = match self.state {
            State::Chunk { length } => length.unwrap_or(TO_THE_END),
            State::Whole => self.content.size.unwrap_or(TO_THE_END),
            _ => return,
        };
        self.sent = self.sent.max(self.received.saturating_add(length));
    }

    /// A request is sent again, after the wait that the registry asked for; says how long to wait
    /// where it asked for none.
    fn again(&mut self, wait: Option<Duration>, jitter: Jitter) -> Result<Duration, UploadError> {
        let has_content = matches!(
            self.state,
            State::Chunk { .. } | State::Finish | State::Whole
        );
        if let Some(longest) = self.options.once.filter(|_| has_content)
            && wait.is_none_or(|wait| wait <= longest)
        {
            return Err(UploadError::Refused);
        }
        Ok(self.budget.resume(self.received, jitter)?)
    }

    /// Whether the session is asked once more how much it has, rather than given up.
    const fn may_ask_again(&self) -> bool {
        self.unanswered < STATUS_RETRIES && self.options.once.is_none()
    }

    /// Asks the session once more how much it has.
    fn ask_again(
        &mut self,
        wait: Option<Duration>,
        jitter: Jitter,
    ) -> Result<UploadNext, UploadError> {
        let state = self.state;
        self.unanswered += 1;
        let next = self.resume(State::Status, wait, jitter)?;
        self.state = state;
        Ok(next)
    }

    /// The error of a blob that does not have the size of the content. An answer without a size
    /// says nothing; the size of an answer to `HEAD` may be missing or 0 (DG2).
    fn other_size(&self, head: &response::Parts) -> Option<UploadError> {
        let (size, stored) = (self.content.size?, field::length(&head.headers)?);
        (stored != 0 && stored != size).then_some(UploadError::Stored { stored, size })
    }

    /// Asks the registry what it has, after a wait.
    fn resume(
        &mut self,
        state: State,
        wait: Option<Duration>,
        jitter: Jitter,
    ) -> Result<UploadNext, UploadError> {
        let delay = self.again(wait, jitter)?;
        let mut ask = match (state, &self.content.digest) {
            (State::Confirm, Some(digest)) => {
                let digest = digest.clone();
                self.exists(State::Confirm, digest)
            }
            _ => self.status(),
        };
        // RT1: a registry that asks for no wait gets one.
        ask.delay = wait.map_or(delay, |wait| wait.max(delay));
        Ok(UploadNext::Ask(ask))
    }

    /// Gives up the session of an earlier run. That run may have ended after the registry stored
    /// the blob, so the next request asks whether the blob exists (DG7).
    fn abandon(&mut self) -> Ask {
        self.session = None;
        self.sent = 0;
        match self.content.digest.clone() {
            Some(digest) => self.exists(State::Exists, digest),
            None => self.begin(),
        }
    }

    /// Opens a new session for the whole content.
    fn restart(&mut self, jitter: Jitter) -> Result<UploadNext, UploadError> {
        self.check_restart()?;
        let delay = self.again(None, jitter)?;
        Ok(self.reopen(delay))
    }

    /// Whether the content can be sent from its beginning.
    const fn check_restart(&self) -> Result<(), UploadError> {
        if self.sent > 0 && !self.content.seekable {
            let received = 0;
            return Err(UploadError::NotSeekable { received });
        }
        Ok(())
    }

    fn reopen(&mut self, delay: Duration) -> UploadNext {
        self.session = None;
        self.received = 0;
        self.counted = 0;
        self.unanswered = 0;
        self.budget.begin(0);
        let mut ask = self.open();
        ask.delay = delay;
        UploadNext::Ask(ask)
    }

    fn status(&mut self) -> Ask {
        let Some(session) = &self.session else {
            return self.open();
        };
        let place = session.place.clone();
        self.state = State::Status;
        self.ask_at(place, UploadStep::Status { session: None })
    }

    /// Asks whether the registry has the blob.
    fn exists(&mut self, state: State, digest: Digest) -> Ask {
        self.state = state;
        let request = BlobRequest::new(Read::Head, self.name.clone(), digest);
        Ask::new(Endpoint::Blob(request), Take::Nothing)
    }

    fn ask(&self, step: UploadStep) -> Ask {
        let request = UploadRequest::new(self.name.clone(), step);
        Ask::new(Endpoint::Upload(request), Take::Nothing)
    }

    fn ask_at(&self, place: Place, step: UploadStep) -> Ask {
        let mut ask = self.ask(step);
        ask.from = Some(place);
        ask
    }
}

/// The place that an answer names (RD4); `None` if it names none.
fn followed(ended: &Ended, answer: &UploadAnswer) -> Result<Option<Place>, UploadError> {
    let (Some(location), Some(place)) = (&answer.location, &ended.place) else {
        return Ok(None);
    };
    let place = place.follow(location.as_bytes(), ended.peer);
    place.map(Some).map_err(UploadError::Location)
}

/// Whether this may be the path of a manifest, a tag or a blob, also if a server decodes it first.
/// A path that is in doubt counts as one.
fn may_name_content(path: &str) -> bool {
    let is_doubtful = |segment: &str| {
        segment.contains('%') || matches!(segment, "." | ".." | "manifests" | "tags" | "referrers")
    };
    let mut segments = path
        .split(['/', '\\'])
        .filter(|segment| !segment.is_empty());
    let mut after_blobs = false;
    segments.any(|segment| {
        let is_blob = after_blobs && segment.contains(':');
        after_blobs = segment == "blobs";
        is_blob || is_doubtful(segment)
    })
}

#[cfg(test)]
mod tests;
