//! Writing blobs to a repository.

use http::StatusCode;
use longshore_auth::AuthCall;
use longshore_model::{Digest, RepositoryName};
use longshore_proto::call::CallError;
use longshore_proto::upload::{
    Upload, UploadContent, UploadError, UploadNext, UploadOptions, UploadOutcome,
};

use crate::content::Content;
use crate::drive::Answer;
use crate::error::{Cause, Error};
use crate::operation::Operation;
use crate::repository::Repository;

use self::body::UploadBodies;

mod body;

/// How a blob is pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushOptions {
    /// The digest of the content; `None` computes it, with sha256, while the content is sent.
    pub digest: Option<Digest>,
    /// Ask first whether the registry has the blob. One more request, which saves a transfer where
    /// the answer is yes.
    pub check: bool,
    /// A repository of the same registry that has the blob, to mount it from.
    pub mount: Option<RepositoryName>,
    /// The size of a chunk in bytes; `None` leaves it to the size of the blob and to what is known
    /// of the registry.
    pub chunk: Option<u64>,
}

/// A blob that a registry has now.
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
    /// The content is hashed while it is sent, and the last bytes are sent only if it has the
    /// digest and size that it should have. An upload that breaks off continues where the registry
    /// has it, if the content is [seekable](Content::is_seekable).
    ///
    /// Dropping the future leaves a session without a blob, which the registry removes in time.
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
        let bodies = UploadBodies::new(content, options.digest.clone()).map_err(|error| {
            let cause = Cause::Unverifiable(error);
            self.site().error(operation(&options.digest), cause)
        })?;
        let mut what = UploadContent::stream();
        what.digest.clone_from(&options.digest);
        what.size = content.size();
        what.seekable = content.is_seekable();
        let mut how = UploadOptions::default();
        (how.check, how.chunk) = (options.check, options.chunk);
        how.mount.clone_from(&options.mount);
        let quirks = self.site().quirks().upload;
        let upload = Upload::new(self.name().clone(), what, how, quirks);
        let mut push = Push {
            repository: self,
            bodies,
            upload,
            digest: options.digest,
        };
        let outcome = push.run().await;
        if outcome.is_err() {
            self.cancel_upload(&push.upload).await;
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
    digest: Option<Digest>,
}

impl Push<'_> {
    async fn run(&mut self) -> Result<UploadOutcome, Error> {
        let site = self.repository.site();
        let mut ask = self.upload.start();
        loop {
            let sent = site
                .drive_with(ask, &self.bodies, &mut AuthCall::new())
                .await;
            if let Some(failure) = self.bodies.failure() {
                return Err(self.error(Cause::RequestBody(failure)));
            }
            ask = match self.on_sent(sent)? {
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

    fn on_sent(&mut self, sent: Result<Answer, Error>) -> Result<UploadNext, Error> {
        let site = self.repository.site();
        let jitter = site.client().jitter();
        match sent {
            Ok(answer) if answer.asks_too_long(site) => Err(answer.refused(site)),
            Ok(answer) => {
                match self
                    .upload
                    .on_answer(&answer.classified_head(), answer.ended(), jitter)
                {
                    Ok(next) => Ok(next),
                    Err(UploadError::Refused) => Err(answer.refused(site)),
                    Err(error) => Err(answer.failed(site, Cause::Upload(error))),
                }
            }
            Err(error) => match error.cause() {
                Cause::Call(CallError::Failed { .. }, _) => {
                    tracing::debug!(%error, "the upload broke off");
                    match self.upload.on_failed(jitter) {
                        Ok(next) => Ok(next),
                        Err(UploadError::Failed) => Err(error),
                        Err(other) => Err(self.failed(other)),
                    }
                }
                _ => Err(error),
            },
        }
    }

    fn on_digest(&mut self) -> Result<UploadNext, Error> {
        let Some((digest, size)) = self.bodies.finish() else {
            return Err(self.failed(UploadError::Failed));
        };
        self.digest = Some(digest.clone());
        let next = self.upload.on_digest(digest, size);
        next.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: UploadError) -> Error {
        self.error(Cause::Upload(error))
    }

    fn error(&self, cause: Cause) -> Error {
        let operation = self.repository.push_operation(self.digest.clone());
        self.repository.site().error(operation, cause)
    }
}
