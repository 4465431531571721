//! Writes: uploads, manifests and deletions.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use longshore_model::{Algorithm, Descriptor, Digest, Manifest, RepositoryName, TagOrDigest};
use longshore_origin::{Origin, Scheme};
use longshore_proto::endpoint::{
    BlobRequest, BlobStored, ChunkRange, Deletable, DeleteRequest, Endpoint, ManifestPut,
    ManifestRequest, ManifestStored, Read, UploadAnswer, UploadRequest, UploadSession, UploadStep,
};
use longshore_proto::error_code::{ErrorBody, ErrorCode};
use longshore_proto::{Host, Refusal};

use super::{State, not_found};
use crate::content::BlobContent;
use crate::image::DescribedContent;
use crate::requests::unpoisoned;
use crate::{RecordedRequest, ScriptedResponse};

/// The upload sessions that are open.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    opened: u64,
    open: BTreeMap<String, Session>,
}

#[derive(Debug)]
struct Session {
    repository: String,
    received: Vec<u8>,
}

impl Sessions {
    fn open(&mut self, repository: &str) -> String {
        self.opened += 1;
        let id = format!("session-{}", self.opened);
        let session = Session {
            repository: repository.to_owned(),
            received: Vec::new(),
        };
        self.open.insert(id.clone(), session);
        id
    }

    fn get(&mut self, repository: &str, id: &str) -> Result<&mut Session, Refusal> {
        let session = self.open.get_mut(id);
        let session = session.filter(|session| session.repository == repository);
        session.ok_or_else(|| not_found(ErrorCode::BlobUploadUnknown, "upload unknown"))
    }

    pub(super) fn forget(&mut self) {
        self.open.clear();
    }
}

impl Session {
    /// Takes a part of the blob, which must begin where the earlier parts end.
    fn take(&mut self, range: Option<ChunkRange>, body: &Bytes) -> Result<(), u64> {
        let received = self.received.len() as u64;
        if let Some(range) = range {
            let length = range.last() - range.first() + 1;
            if range.first() != received || length != body.len() as u64 {
                return Err(received);
            }
        }
        self.received.extend_from_slice(body);
        Ok(())
    }
}

impl State {
    pub(super) fn upload(
        &self,
        wanted: &UploadRequest,
        request: &RecordedRequest,
    ) -> Result<ScriptedResponse, Refusal> {
        let name = &wanted.name;
        let mut sessions = unpoisoned(&self.sessions);
        match &wanted.step {
            UploadStep::Mount { digest, from } => {
                let found = from
                    .as_ref()
                    .and_then(|from| self.contents.blob(from.as_str(), digest));
                match found {
                    Some(content) => Ok(self.stored(name, digest, content)),
                    None => Ok(opened(name, &sessions.open(name.as_str()))),
                }
            }
            UploadStep::Start {
                digest: Some(digest),
                ..
            } => self.store(name, digest, request.body.clone()),
            UploadStep::Start { digest: None, .. } => {
                Ok(opened(name, &sessions.open(name.as_str())))
            }
            UploadStep::Chunk { session, range } => {
                let id = id(session.as_ref());
                let open = sessions.get(name.as_str(), id)?;
                match open.take(*range, &request.body) {
                    Ok(()) => Ok(progress(name, id, open, StatusCode::ACCEPTED)),
                    Err(_) => Ok(progress(name, id, open, StatusCode::RANGE_NOT_SATISFIABLE)),
                }
            }
            UploadStep::Finish {
                session,
                digest,
                range,
            } => {
                let id = id(session.as_ref());
                let open = sessions.get(name.as_str(), id)?;
                if open.take(*range, &request.body).is_err() {
                    return Ok(progress(name, id, open, StatusCode::RANGE_NOT_SATISFIABLE));
                }
                let content = std::mem::take(&mut open.received);
                sessions.open.remove(id);
                self.store(name, digest, content.into())
            }
            UploadStep::Status { session } => {
                let id = id(session.as_ref());
                let open = sessions.get(name.as_str(), id)?;
                Ok(progress(name, id, open, StatusCode::NO_CONTENT))
            }
            UploadStep::Cancel { session } => {
                let id = id(session.as_ref());
                sessions.get(name.as_str(), id)?;
                sessions.open.remove(id);
                Ok(ScriptedResponse::status(StatusCode::NO_CONTENT))
            }
            _ => Err(unsupported()),
        }
    }

    /// Stores a blob that arrived, if it is what its digest says.
    fn store(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        body: Bytes,
    ) -> Result<ScriptedResponse, Refusal> {
        if Digest::of(&digest.algorithm(), &body).ok().as_ref() != Some(digest) {
            return Err(invalid(ErrorCode::DigestInvalid, "the digest is another"));
        }
        Ok(self.stored(name, digest, body.into()))
    }

    fn stored(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        content: BlobContent,
    ) -> ScriptedResponse {
        self.contents.set_blob(name.as_str(), digest, content);
        let blob = BlobRequest::new(Read::Get, name.clone(), digest.clone());
        created(BlobStored::new(&path(&Endpoint::Blob(blob)), digest.clone()).write())
    }

    pub(super) fn put_manifest(
        &self,
        wanted: &ManifestPut,
        request: &RecordedRequest,
    ) -> Result<ScriptedResponse, Refusal> {
        let name = wanted.name.as_str();
        let body = request.body.clone();
        let algorithm = match &wanted.target {
            TagOrDigest::Digest(digest) => digest.algorithm(),
            TagOrDigest::Tag(_) => Algorithm::Sha256,
        };
        let digest = Digest::of(&algorithm, &body)
            .map_err(|_| invalid(ErrorCode::DigestInvalid, "the algorithm is unknown"))?;
        if matches!(&wanted.target, TagOrDigest::Digest(named) if *named != digest) {
            return Err(invalid(ErrorCode::DigestInvalid, "the digest is another"));
        }
        let manifest = Manifest::parse(body.clone(), Some(wanted.media_type.as_str()));
        let manifest =
            manifest.map_err(|error| invalid(ErrorCode::ManifestInvalid, &error.to_string()))?;
        let document = manifest.document();
        for child in document.children() {
            let absent = self.contents.blob(name, &child.digest).is_none()
                && self.contents.manifest(name, &child.digest).is_none();
            if absent {
                let text = format!("{} is not here", child.digest);
                return Err(not_found(ErrorCode::ManifestBlobUnknown, &text));
            }
        }
        let subject = document.subject().map(|subject| subject.digest.clone());
        let size = body.len() as u64;
        let descriptor = Descriptor::new(wanted.media_type.clone(), digest.clone(), size);
        let content = body.into();
        let stored = DescribedContent {
            descriptor,
            content,
        };
        match &wanted.target {
            TagOrDigest::Tag(tag) => self.contents.add_document(name, tag.as_str(), stored),
            TagOrDigest::Digest(_) => self.contents.add_untagged(name, stored),
        }
        let manifest = ManifestRequest::new(Read::Get, wanted.name.clone(), digest.clone().into());
        let location = path(&Endpoint::Manifest(manifest));
        Ok(created(
            ManifestStored::new(&location, digest, subject).write(),
        ))
    }

    pub(super) fn delete(&self, wanted: &DeleteRequest) -> Result<ScriptedResponse, Refusal> {
        let name = wanted.name.as_str();
        let removed = match &wanted.content {
            Deletable::Blob(digest) => self.contents.remove_blob(name, digest),
            Deletable::Manifest(TagOrDigest::Digest(digest)) => {
                self.contents.remove_manifest(name, digest)
            }
            Deletable::Manifest(TagOrDigest::Tag(tag)) => {
                self.contents.remove_tag(name, tag.as_str())
            }
        };
        if removed {
            Ok(ScriptedResponse::status(StatusCode::ACCEPTED))
        } else {
            let code = match &wanted.content {
                Deletable::Blob(_) => ErrorCode::BlobUnknown,
                _ => ErrorCode::ManifestUnknown,
            };
            Err(not_found(code, "not here"))
        }
    }
}

fn id(session: Option<&UploadSession>) -> &str {
    session.map_or("", UploadSession::as_str)
}

/// The path of an endpoint; the origin does not matter.
fn path(endpoint: &Endpoint) -> String {
    let origin = Origin::from_authority(Scheme::Http, "localhost");
    let head = origin.map(|origin| endpoint.write(&Host::new(origin)));
    head.map_or_else(|_| String::new(), |head| head.path_and_query)
}

fn location(name: &RepositoryName, id: &str) -> String {
    let session = UploadSession::parse(id);
    let request = UploadRequest::new(name.clone(), UploadStep::Status { session });
    path(&Endpoint::Upload(request))
}

fn opened(name: &RepositoryName, id: &str) -> ScriptedResponse {
    created(UploadAnswer::new(&location(name, id), 0).write(StatusCode::ACCEPTED))
}

fn progress(
    name: &RepositoryName,
    id: &str,
    session: &Session,
    status: StatusCode,
) -> ScriptedResponse {
    let received = session.received.len() as u64;
    created(UploadAnswer::new(&location(name, id), received).write(status))
}

fn created((status, headers): (StatusCode, http::HeaderMap)) -> ScriptedResponse {
    let mut answer = ScriptedResponse::status(status);
    answer.headers = headers;
    answer
}

fn invalid(code: ErrorCode, message: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, ErrorBody::one(code, message))
}

fn unsupported() -> Refusal {
    let body = ErrorBody::one(ErrorCode::Unsupported, "this registry does not do that");
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, body)
}

#[cfg(test)]
mod tests;
