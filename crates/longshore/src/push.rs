//! Writing blobs to a repository.

use std::io;
use std::sync::Arc;

use http::StatusCode;
use longshore_auth::AuthCall;
use longshore_model::{Digest, RepositoryName};
use longshore_proto::call::CallError;
use longshore_proto::endpoint::{Endpoint, UploadStep, Verb};
use longshore_proto::upload::{
    Upload, UploadContent, UploadError, UploadNext, UploadOptions, UploadOutcome,
};

use crate::content::Content;
use crate::drive::Answer;
use crate::error::{Cause, Error, ErrorKind};
use crate::operation::Operation;
use crate::repository::Repository;

pub use self::body::PushObserver;
pub use self::session::{SessionKeeper, UploadSession};

use self::body::UploadBodies;
use self::session::Record;

mod body;
mod session;

/// How a blob is pushed.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PushOptions {
    /// The digest of the content; `None` computes it, with sha256, while the content is sent.
    pub digest: Option<Digest>,
    /// Whether the caller has verified that the content has the [`digest`](Self::digest). The
    /// content is then sent without hashing, and only its size is checked. Without a digest this
    /// has no effect.
    ///
    /// A registry that verifies what it stores still refuses content that does not match its
    /// digest.
    pub verified: bool,
    /// Whether to ask first if the registry has the blob. This costs one request, and saves the
    /// transfer if the blob exists.
    pub check: bool,
    /// A repository of the same registry that has the blob, to mount it from.
    pub mount: Option<RepositoryName>,
    /// The size of a chunk in bytes; `None` chooses it by the size of the blob and by the quirks of
    /// the registry.
    pub chunk: Option<u64>,
    /// A session of an earlier push of the same content, which is continued if the registry still
    /// has it. This needs a [`digest`](Self::digest), and content that has a size and is
    /// [seekable](Content::is_seekable).
    pub session: Option<UploadSession>,
    /// Keeps the session of this push, under the same conditions, so that a later run can continue
    /// it.
    pub keeper: Option<Arc<dyn SessionKeeper>>,
    /// Is told which bytes are sent, and when the upload is resumed.
    pub observer: Option<Arc<dyn PushObserver>>,
}

/// A blob that a registry has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushedBlob {
    /// The digest of the content.
    pub digest: Digest,
    /// How the registry got it.
    pub outcome: UploadOutcome,
    /// The status with which the registry refused to mount the blob, if it did.
    pub mount_refused: Option<StatusCode>,
}

impl Repository {
    /// Pushes a blob (distribution-spec v1.1.1 "Pushing blobs").
    ///
    /// The content is hashed while it is sent, unless it was [verified](PushOptions::verified)
    /// before. The last bytes are sent only if the content has the expected digest and size. If the
    /// content is [seekable](Content::is_seekable), an upload that breaks off continues with the
    /// first byte that the registry does not have.
    ///
    /// If the future is dropped, the upload session stays open without a blob. The registry removes
    /// it later, or a later push continues it, if a [keeper](PushOptions::keeper) has it. A push
    /// that fails cancels its session, unless a keeper has it and another attempt may succeed.
    ///
    /// # Errors
    ///
    /// The registry refuses or cannot be reached, or the content cannot be read
    /// ([`ErrorKind::Body`](crate::ErrorKind::Body)).
    pub async fn put_blob(
        &self,
        content: &dyn Content,
        options: PushOptions,
    ) -> Result<PushedBlob, Error> {
        let operation = |digest: &Option<Digest>| self.push_operation(digest.clone());
        let bodies = UploadBodies::new(content, options.digest.clone(), options.verified);
        let bodies = bodies.map_err(|error| {
            let cause = Cause::Unverifiable(error);
            self.site().error(operation(&options.digest), cause)
        })?;
        let mut push = Push {
            repository: self,
            bodies: bodies.with_observer(options.observer.clone()),
            upload: self.upload(content, &options),
            record: Record::new(options.keeper, options.session.is_some()),
            digest: options.digest,
            last: None,
        };
        let outcome = push.run().await;
        if let Err(error) = &outcome {
            push.give_up(error).await;
        }
        let outcome = outcome?;
        let mount_refused = push.upload.mount_refused();
        if let (Some(from), Some(status)) = (&options.mount, mount_refused) {
            self.tell_mount_refused(from, Some(status));
        }
        match push.digest {
            Some(digest) => Ok(PushedBlob {
                digest,
                outcome,
                mount_refused,
            }),
            // The machine finishes only with a digest.
            None => Err(self
                .site()
                .error(operation(&None), Cause::Upload(UploadError::Failed))),
        }
    }

    /// The upload of this content, in the session of an earlier run if there is one.
    fn upload(&self, content: &dyn Content, options: &PushOptions) -> Upload {
        let site = self.site();
        let mut what = UploadContent::stream();
        what.digest.clone_from(&options.digest);
        what.size = content.size();
        what.seekable = content.is_seekable();
        let mut how = UploadOptions::default();
        how.check = options.check;
        how.mount.clone_from(&options.mount);
        how.chunk = options.chunk;
        let retry = site.client().policy().retry;
        how.once = (retry.attempts <= 1).then_some(retry.retry_after);
        let upload = Upload::new(self.name().clone(), what, how, site.quirks().upload);
        let hosts = site.hosts();
        let saved = match (&options.session, hosts.split_last()) {
            // The registry itself is the last host.
            (Some(session), Some((registry, mirrors))) => session.place(registry, mirrors.len()),
            _ => None,
        };
        match saved {
            Some((place, min_chunk)) => upload.resumed(place, min_chunk),
            None => upload,
        }
    }

    fn push_operation(&self, digest: Option<Digest>) -> Operation {
        Operation::Push {
            repository: self.name().clone(),
            digest,
        }
    }
}

/// The upload of one blob.
struct Push<'a> {
    repository: &'a Repository,
    bodies: UploadBodies<'a>,
    upload: Upload,
    record: Record,
    digest: Option<Digest>,
    /// The last failure of a request that did not end the upload.
    last: Option<Error>,
}

impl Push<'_> {
    async fn run(&mut self) -> Result<UploadOutcome, Error> {
        let site = self.repository.site();
        let mut ask = self.upload.start();
        loop {
            let sent = site
                .drive_with(ask, &self.bodies, &mut AuthCall::new())
                .await;
            let was_read = self.bodies.close();
            if let Some(failure) = self.bodies.failure() {
                return Err(self.error(Cause::RequestBody(failure)));
            }
            let next = self.on_sent(sent, was_read);
            let next = next.map_err(|error| self.as_push(error))?;
            self.record.update(&self.upload);
            ask = match next {
                UploadNext::Ask(ask) => ask,
                UploadNext::Finished(outcome) => return Ok(outcome),
                UploadNext::Digest => match self.on_digest()? {
                    UploadNext::Ask(ask) => ask,
                    UploadNext::Finished(outcome) => return Ok(outcome),
                    UploadNext::Digest => return Err(self.failed(UploadError::Failed)),
                },
            };
        }
    }

    /// `was_read` says whether the body of the request was read to its end.
    fn on_sent(
        &mut self,
        sent: Result<Answer, Error>,
        was_read: bool,
    ) -> Result<UploadNext, Error> {
        let site = self.repository.site();
        let jitter = site.client().jitter();
        match sent {
            // RT3: a wait longer than the limit fails at once, and the error says how long it is.
            Ok(answer) if answer.asks_too_long(site) => Err(answer.refused(site)),
            // DG3, DG7: what was not read cannot have arrived, and was not hashed.
            Ok(answer) if answer.head.status.is_success() && !was_read => {
                let status = answer.head.status.as_u16();
                let early = Cause::Upload(UploadError::Early { status });
                self.on_broken(answer.failed(site, early))
            }
            Ok(answer) => {
                let head = answer.classified_head();
                let next = self.upload.on_answer(&head, answer.ended(), jitter);
                match next {
                    Err(UploadError::Refused) => Err(answer.refused(site)),
                    Ok(_) | Err(UploadError::NotSeekable { .. } | UploadError::Resumes { .. }) => {
                        self.note(answer);
                        next.map_err(|error| self.failed(error))
                    }
                    Err(error) => Err(answer.failed(site, Cause::Upload(error))),
                }
            }
            Err(error) => match error.cause() {
                Cause::Call(CallError::Failed { .. }, _) => self.on_broken(error),
                _ => match error.denial() {
                    Some(status) => self.upload.on_denied(status).map_err(|_| error),
                    None => Err(error),
                },
            },
        }
    }

    /// Remembers the answer of a session, if it is a failure.
    fn note(&mut self, answer: Answer) {
        let is_session = match &answer.ended().endpoint {
            Endpoint::Upload(request) => !matches!(request.step, UploadStep::Mount { .. }),
            _ => false,
        };
        if is_session && !answer.head.status.is_success() {
            self.last = Some(answer.refused(self.repository.site()));
        }
    }

    /// A push also asks the registry questions, and its user did not ask to read anything.
    fn as_push(&self, error: Error) -> Error {
        match error.operation().endpoint().map(Endpoint::verb) {
            Some(Verb::Read) => error.during(self.repository.push_operation(self.digest.clone())),
            _ => error,
        }
    }

    /// The request had no answer that says whether the registry has what was sent.
    fn on_broken(&mut self, error: Error) -> Result<UploadNext, Error> {
        tracing::debug!(%error, "the upload broke off");
        let jitter = self.repository.site().client().jitter();
        match self.upload.on_failed(jitter) {
            Err(UploadError::Failed) => Err(error),
            next => {
                self.last = Some(error);
                next.map_err(|error| self.failed(error))
            }
        }
    }

    fn on_digest(&mut self) -> Result<UploadNext, Error> {
        let finished = self.bodies.finish();
        let (digest, size) = finished.map_err(|error| self.error(Cause::RequestBody(error)))?;
        self.digest = Some(digest.clone());
        let next = self.upload.on_digest(digest, size);
        next.map_err(|error| self.failed(error))
    }

    /// Ends the session, unless a later run may continue it.
    async fn give_up(&mut self, error: &Error) {
        if self.record.has(&self.upload) && may_succeed_later(error) {
            return;
        }
        self.repository.cancel_upload(&self.upload).await;
        self.record.forget();
    }

    fn failed(&mut self, error: UploadError) -> Error {
        let last = self.last.take().map(|error| self.as_push(error));
        self.error(Cause::Upload(error)).because(last)
    }

    fn error(&self, cause: Cause) -> Error {
        let operation = self.repository.push_operation(self.digest.clone());
        self.repository.site().error(operation, cause)
    }
}

/// Whether the cause of this error is neither the session nor the content, so that the same push
/// may succeed later in the same session.
fn may_succeed_later(error: &Error) -> bool {
    match (error.kind(), error.cause()) {
        // The upload broke off repeatedly, although the registry answers.
        (_, Cause::Upload(_)) => false,
        // The content does not have the expected digest or size.
        (_, Cause::RequestBody(error)) => error.kind() != io::ErrorKind::InvalidData,
        (ErrorKind::Auth | ErrorKind::RateLimited | ErrorKind::Unavailable, _) => true,
        _ => false,
    }
}
