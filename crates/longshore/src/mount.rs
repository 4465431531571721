//! Mounting blobs of other repositories.

use http::StatusCode;
use longshore_model::{Digest, RepositoryName};
use longshore_proto::endpoint::Repeatable;
use longshore_proto::upload::{Upload, UploadContent, UploadError, UploadNext, UploadOptions};
use longshore_proto::{Mounts, RefusalKind};

use crate::error::{Cause, Error};
use crate::repository::Repository;

/// The result of asking a registry to mount a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MountOutcome {
    /// The repository has the blob now.
    Mounted,
    /// The registry did not mount the blob, so it has to be pushed.
    NotMounted {
        /// The status of the answer: 202 when the registry opened an upload session instead, or
        /// the status of a refusal. `None` without an answer: the registry is known not to mount,
        /// or its token endpoint issues no token for both repositories.
        status: Option<StatusCode>,
    },
}

impl Repository {
    /// Makes a blob of another repository of the same registry available in this one, without
    /// sending it (distribution-spec v1.1.1 "Mounting a blob from another repository").
    ///
    /// One token is requested for both repositories. When the registry opens an upload session
    /// instead, the session is cancelled. [`put_blob`](Self::put_blob) with
    /// [`PushOptions::mount`](crate::PushOptions::mount) uses the session and needs no second
    /// request, so use that where the content is at hand.
    ///
    /// # Errors
    ///
    /// The registry cannot be reached, or says that it mounted another blob (DG7). A refusal is not
    /// an error, but [`MountOutcome::NotMounted`] and a [`Notice`](crate::Notice), because pushing
    /// the blob may still be allowed.
    pub async fn mount_blob(
        &self,
        digest: &Digest,
        from: &RepositoryName,
    ) -> Result<MountOutcome, Error> {
        let site = self.site();
        let quirks = site.quirks().upload;
        if quirks.mounts == Mounts::Never {
            return Ok(MountOutcome::NotMounted { status: None });
        }
        let mut what = UploadContent::stream();
        what.digest = Some(digest.clone());
        let mut how = UploadOptions::default();
        how.mount = Some(from.clone());
        let mut upload = Upload::new(self.name().clone(), what, how, quirks);
        let answer = match site.drive(upload.start()).await {
            Ok(answer) => answer,
            Err(error) => {
                // A token for the target alone may still be issued.
                let status = error.denial().ok_or(error)?;
                self.tell_mount_refused(from, status);
                return Ok(MountOutcome::NotMounted { status });
            }
        };
        let status = answer.head.status;
        let kind = answer.refusal().kind();
        let is_unavailable = matches!(kind, RefusalKind::RateLimited | RefusalKind::Unavailable);
        let jitter = site.client().jitter();
        match upload.on_answer(&answer.head, answer.ended(), jitter) {
            Ok(UploadNext::Finished(_)) => Ok(MountOutcome::Mounted),
            // A session or a refusal: the next request of the upload is not sent.
            Ok(_) if !is_unavailable => {
                self.cancel_upload(&upload).await;
                if let Some(refused) = upload.mount_refused() {
                    self.tell_mount_refused(from, Some(refused));
                }
                let status = Some(status);
                Ok(MountOutcome::NotMounted { status })
            }
            Ok(_) | Err(UploadError::Refused) => Err(answer.refused(site)),
            Err(error) => Err(answer.failed(site, Cause::Upload(error))),
        }
    }

    /// Reports to the listener that blobs of this repository are not mounted here.
    pub(crate) fn tell_mount_refused(&self, from: &RepositoryName, status: Option<StatusCode>) {
        let notices = self.site().client().notices();
        notices.mount_refused(self.origin(), from, self.name(), status);
    }

    /// Ends the session of an upload, if one is open. Its failure does not matter: the registry
    /// removes old sessions in time.
    pub(crate) async fn cancel_upload(&self, upload: &Upload) {
        if let Some(mut ask) = upload.cancel() {
            ask.repeatable = Repeatable::Never;
            if let Err(error) = self.site().drive(ask).await {
                tracing::debug!(%error, "the upload session was not cancelled");
            }
        }
    }
}
