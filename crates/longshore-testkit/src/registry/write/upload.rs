//! The requests of an upload.

use bytes::Bytes;
use http::StatusCode;
use longshore_model::{Algorithm, Digest, RepositoryName};
use longshore_proto::Refusal;
use longshore_proto::endpoint::{
    BlobRequest, BlobStored, Endpoint, Read, UploadRequest, UploadSession, UploadStep,
};
use longshore_proto::error_code::{ErrorBody, ErrorCode};

use super::session::{Session, Sessions, WrongChunk};
use super::{created, invalid, path, unsupported};
use crate::content::BlobContent;
use crate::registry::State;
use crate::registry::not_found;
use crate::registry::quirk::{Chunks, MountForm};
use crate::requests::unpoisoned;
use crate::{RecordedRequest, ScriptedResponse};

impl State {
    pub(in crate::registry) fn upload(
        &self,
        wanted: &UploadRequest,
        request: &RecordedRequest,
    ) -> Result<ScriptedResponse, Refusal> {
        let name = &wanted.name;
        self.check_room(name.as_str(), 0)?;
        let sessions = &mut *unpoisoned(&self.sessions);
        match &wanted.step {
            UploadStep::Mount { digest, from } => {
                self.mount(name, digest, from.as_ref(), request, sessions)
            }
            UploadStep::Start {
                digest: Some(digest),
                ..
            } => self.store(name, digest, request.body.clone(), Check::Digest),
            UploadStep::Start {
                digest: None,
                algorithm,
            } => self.open(name, algorithm.as_ref(), request, sessions),
            UploadStep::Chunk { session, .. } => {
                if self.quirks.chunks == Chunks::Refused {
                    return Err(unsupported());
                }
                self.take(wanted, session.as_ref(), request, sessions)
            }
            UploadStep::Finish {
                session, digest, ..
            } => {
                let answer = self.take(wanted, session.as_ref(), request, sessions)?;
                if answer.status != self.quirks.patch_status {
                    return Ok(answer);
                }
                let text = session.as_ref().map_or("", UploadSession::as_str);
                let ended = sessions.end(text).ok_or_else(unknown)?;
                self.finish(name, digest, ended)
            }
            UploadStep::Status { session } => {
                let found = sessions.find(wanted, session.as_ref(), request, &self.quirks)?;
                if self.quirks.no_status {
                    return Err(unknown());
                }
                Ok(self.progress(found, StatusCode::NO_CONTENT, request))
            }
            UploadStep::Cancel { session } => {
                let found = sessions.find(wanted, session.as_ref(), request, &self.quirks)?;
                let id = found.id().to_owned();
                sessions.end(&id);
                Ok(ScriptedResponse::status(StatusCode::NO_CONTENT))
            }
            _ => Err(unsupported()),
        }
    }

    /// Keeps the bytes that have arrived of a request whose body is still being read.
    pub(in crate::registry) fn note_arriving(
        &self,
        wanted: &UploadRequest,
        request: &RecordedRequest,
    ) {
        if let UploadStep::Chunk { session, .. } | UploadStep::Finish { session, .. } = &wanted.step
            && let Some(session) = session
        {
            unpoisoned(&self.sessions).arriving(session, &request.body);
        }
    }

    fn mount(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
        request: &RecordedRequest,
        sessions: &mut Sessions,
    ) -> Result<ScriptedResponse, Refusal> {
        let found = match (self.quirks.mount, from) {
            (MountForm::Refused(status), _) => {
                let body = ErrorBody::one(ErrorCode::Denied, "this registry does not mount blobs");
                return Err(Refusal::new(status, body));
            }
            (MountForm::FromRequired, None) => {
                return Err(invalid(ErrorCode::NameInvalid, "from is missing"));
            }
            (MountForm::Session, _) | (MountForm::From, None) => None,
            (MountForm::Anonymous, None) => self.contents.any_blob(digest),
            (_, Some(from)) => self.contents.blob(from.as_str(), digest),
        };
        match found {
            Some(content) => Ok(self.stored(name, digest, content)),
            None => self.open(name, None, request, sessions),
        }
    }

    fn open(
        &self,
        name: &RepositoryName,
        algorithm: Option<&Algorithm>,
        request: &RecordedRequest,
        sessions: &mut Sessions,
    ) -> Result<ScriptedResponse, Refusal> {
        if let Some(algorithm) = algorithm {
            let digest = Digest::of(algorithm, b"").ok();
            if !digest.is_some_and(|digest| self.quirks.takes(&digest)) {
                return Err(unsupported_digest());
            }
        }
        let session = sessions.open(name, algorithm.cloned());
        Ok(self.progress(session, StatusCode::ACCEPTED, request))
    }

    /// Adds the body of a request to its session.
    fn take(
        &self,
        wanted: &UploadRequest,
        session: Option<&UploadSession>,
        request: &RecordedRequest,
        sessions: &mut Sessions,
    ) -> Result<ScriptedResponse, Refusal> {
        let range = match &wanted.step {
            UploadStep::Chunk { range, .. } | UploadStep::Finish { range, .. } => *range,
            _ => None,
        };
        let found = sessions.find(wanted, session, request, &self.quirks)?;
        let is_second = self.quirks.chunks == Chunks::One && found.chunks > 0;
        if is_second && !request.body.is_empty() {
            return Err(unsupported());
        }
        let taken = found.take(range, request, &self.quirks);
        let answer = match taken {
            Ok(()) => Ok(self.progress(found, self.quirks.patch_status, request)),
            Err(WrongChunk::Range) => {
                Ok(self.progress(found, StatusCode::RANGE_NOT_SATISFIABLE, request))
            }
            Err(WrongChunk::Short) => Err(WrongChunk::refusal()),
        };
        let is_broken = taken.is_err() || !request.complete;
        if is_broken && self.quirks.broken_chunk_ends_session {
            let id = found.id().to_owned();
            sessions.end(&id);
        }
        // The client does not get this answer, and an incomplete request commits nothing.
        if request.complete {
            answer
        } else {
            Err(unknown())
        }
    }

    fn finish(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        session: Session,
    ) -> Result<ScriptedResponse, Refusal> {
        let other = |algorithm: &Algorithm| *algorithm != digest.algorithm();
        if session.algorithm.as_ref().is_some_and(other) {
            let text = "the digest is not of the algorithm that the session was opened for";
            return Err(invalid(ErrorCode::DigestInvalid, text));
        }
        let is_damaged = self.quirks.chunks == Chunks::LastKept && session.chunks > 1;
        let check = if is_damaged {
            Check::Nothing
        } else {
            Check::Digest
        };
        self.store(name, digest, session.content.into(), check)
    }

    /// Stores a blob that arrived, if it has its digest.
    fn store(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        body: Bytes,
        check: Check,
    ) -> Result<ScriptedResponse, Refusal> {
        if !self.quirks.takes(digest) {
            return Err(unsupported_digest());
        }
        if self.quirks.empty_blob_refused && body.is_empty() {
            return Err(invalid(
                ErrorCode::BlobUploadInvalid,
                "the blob has no parts",
            ));
        }
        let is_right = Digest::of(&digest.algorithm(), &body).ok().as_ref() == Some(digest);
        if check == Check::Digest && !is_right {
            return Err(invalid(
                ErrorCode::DigestInvalid,
                "the content has another digest",
            ));
        }
        self.check_room(name.as_str(), body.len() as u64)?;
        Ok(self.stored(name, digest, body.into()))
    }

    fn stored(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        content: BlobContent,
    ) -> ScriptedResponse {
        let content = match self.quirks.stored_max_bytes {
            Some(max) if content.length() > max => {
                let max = usize::try_from(max).unwrap_or(usize::MAX);
                content.bytes().slice(..max).into()
            }
            _ => content,
        };
        self.contents.set_blob(name.as_str(), digest, content);
        let blob = BlobRequest::new(Read::Get, name.clone(), digest.clone());
        created(BlobStored::new(&path(&Endpoint::Blob(blob)), digest.clone()).write())
    }

    fn progress(
        &self,
        session: &Session,
        status: StatusCode,
        request: &RecordedRequest,
    ) -> ScriptedResponse {
        session.answer(status, request, &self.quirks, self.secure)
    }
}

/// What is checked before a blob is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Digest,
    Nothing,
}

fn unknown() -> Refusal {
    not_found(ErrorCode::BlobUploadUnknown, "upload unknown")
}

fn unsupported_digest() -> Refusal {
    let text = "the algorithm of the digest is not supported";
    invalid(ErrorCode::DigestInvalid, text)
}
