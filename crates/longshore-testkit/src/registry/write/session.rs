//! Upload sessions.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{StatusCode, header};
use longshore_model::{Algorithm, RepositoryName};
use longshore_proto::Refusal;
use longshore_proto::endpoint::{
    ChunkRange, Endpoint, Received, UploadAnswer, UploadRequest, UploadSession, UploadStep,
};
use longshore_proto::error_code::{ErrorBody, ErrorCode};

use super::{created, path};
use crate::registry::not_found;
use crate::registry::quirk::{Chunks, LocationForm, LocationQuery, Quirks, RangeForm};
use crate::{RecordedRequest, ScriptedResponse};

/// The upload sessions that are open.
#[derive(Debug, Default)]
pub(in crate::registry) struct Sessions {
    opened: u64,
    open: BTreeMap<String, Session>,
}

/// The part of a blob that has arrived.
#[derive(Debug)]
pub(super) struct Session {
    id: String,
    repository: RepositoryName,
    pub(super) algorithm: Option<Algorithm>,
    /// The bytes that are kept.
    pub(super) content: Vec<u8>,
    /// How many bytes have arrived.
    length: u64,
    /// The bytes that have arrived of a request whose body is still being read.
    arriving: Option<Vec<u8>>,
    first_chunk: u64,
    last_chunk: u64,
    pub(super) chunks: u64,
}

impl Sessions {
    pub(super) fn open(
        &mut self,
        repository: &RepositoryName,
        algorithm: Option<Algorithm>,
    ) -> &Session {
        self.opened += 1;
        let id = format!("session-{}", self.opened);
        let session = Session {
            id: id.clone(),
            repository: repository.clone(),
            algorithm,
            content: Vec::new(),
            length: 0,
            arriving: None,
            first_chunk: 0,
            last_chunk: 0,
            chunks: 0,
        };
        self.open.entry(id).or_insert(session)
    }

    /// The session that a request names. It includes the bytes of an earlier request whose body did
    /// not arrive to its end.
    pub(super) fn find(
        &mut self,
        wanted: &UploadRequest,
        session: Option<&UploadSession>,
        request: &RecordedRequest,
        quirks: &Quirks,
    ) -> Result<&mut Session, Refusal> {
        let text = session.map_or("", UploadSession::as_str);
        let (id, turn) = text.split_once('.').unwrap_or((text, ""));
        let unknown = || not_found(ErrorCode::BlobUploadUnknown, "upload unknown");
        let found = self.open.get_mut(id).ok_or_else(unknown)?;
        if found.repository != wanted.name || !found.signed(request.query(), quirks) {
            return Err(unknown());
        }
        match found.arriving.take() {
            // The body of this request was read with pauses, and no other request came in between.
            Some(_) if request.paused => {}
            Some(arrived) => found.keep(&arrived, quirks),
            None if request.paused => {
                return Err(not_found(
                    ErrorCode::BlobUploadInvalid,
                    "another request came",
                ));
            }
            None => {}
        }
        if quirks.latest_location_only && turn != found.chunks.to_string() {
            self.end(id);
            return Err(not_found(
                ErrorCode::BlobUploadInvalid,
                "not the latest location",
            ));
        }
        self.open.get_mut(id).ok_or_else(unknown)
    }

    /// Keeps the bytes that have arrived of a request whose body is still being read.
    pub(super) fn arriving(&mut self, session: &UploadSession, body: &Bytes) {
        let id = session.as_str().split('.').next().unwrap_or_default();
        if let Some(found) = self.open.get_mut(id) {
            found.arriving = Some(body.to_vec());
        }
    }

    pub(super) fn end(&mut self, session: &str) -> Option<Session> {
        let id = session.split('.').next().unwrap_or_default();
        self.open.remove(id)
    }

    pub(in crate::registry) fn forget(&mut self) {
        self.open.clear();
    }
}

impl Session {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Adds a part of the blob, which must begin where the earlier parts end.
    pub(super) fn take(
        &mut self,
        range: Option<ChunkRange>,
        request: &RecordedRequest,
        quirks: &Quirks,
    ) -> Result<(), WrongChunk> {
        let body = &request.body;
        let length = body.len() as u64;
        if let Some(range) = range {
            let announced = (range.last() - range.first()).saturating_add(1);
            let fits = announced == length || !request.complete;
            let is_long = quirks.chunk_max_bytes.is_some_and(|max| announced > max);
            if range.first() != self.length || !fits || is_long {
                return Err(WrongChunk::Range);
            }
        }
        let min = quirks.chunk_min_bytes.unwrap_or_default();
        if !body.is_empty() && self.chunks > 0 && self.last_chunk < min {
            return Err(WrongChunk::Short);
        }
        self.keep(body, quirks);
        Ok(())
    }

    fn keep(&mut self, body: &[u8], quirks: &Quirks) {
        if body.is_empty() {
            return;
        }
        if quirks.chunks == Chunks::LastKept {
            self.content.clear();
        }
        self.content.extend_from_slice(body);
        self.last_chunk = body.len() as u64;
        self.length += self.last_chunk;
        if self.chunks == 0 {
            self.first_chunk = self.last_chunk;
        }
        self.chunks += 1;
    }

    /// Whether a request has the query of the location.
    fn signed(&self, query: &str, quirks: &Quirks) -> bool {
        match quirks.location_query {
            LocationQuery::None => true,
            LocationQuery::Plain => query.split('&').any(|pair| pair == plain_query(&self.id)),
            LocationQuery::Signed => {
                let rest = query.strip_prefix(&signed_query(&self.id));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('&'))
            }
        }
    }

    /// Makes an answer that states how much the session has.
    pub(super) fn answer(
        &self,
        status: StatusCode,
        request: &RecordedRequest,
        quirks: &Quirks,
        secure: bool,
    ) -> ScriptedResponse {
        let location = self.location(request, quirks, secure);
        let received = match quirks.range {
            RangeForm::Blob | RangeForm::Missing => self.length,
            RangeForm::Chunk => self.last_chunk,
            RangeForm::FirstChunk => self.first_chunk,
        };
        let mut answer = UploadAnswer::new(&location, received);
        answer.received = (quirks.range != RangeForm::Missing).then(|| Received::new(received));
        answer.min_chunk = quirks.chunk_min_bytes;
        created(answer.write(status))
    }

    fn location(&self, request: &RecordedRequest, quirks: &Quirks, secure: bool) -> String {
        let id = if quirks.latest_location_only {
            format!("{}.{}", self.id, self.chunks)
        } else {
            self.id.clone()
        };
        let session = UploadSession::parse(&id);
        let step = UploadStep::Status { session };
        let path = path(&Endpoint::Upload(UploadRequest::new(
            self.repository.clone(),
            step,
        )));
        let place = match (quirks.location, secure) {
            (LocationForm::Path, _) => path,
            (LocationForm::Relative, _) => id,
            (LocationForm::Absolute, true) => format!("https://{}{path}", authority(request)),
            (LocationForm::Absolute, false) | (LocationForm::Http, _) => {
                format!("http://{}{path}", authority(request))
            }
        };
        match quirks.location_query {
            LocationQuery::None => place,
            LocationQuery::Plain => format!("{place}?{}", plain_query(&self.id)),
            LocationQuery::Signed => format!("{place}?{}", signed_query(&self.id)),
        }
    }
}

/// Why a part of a blob is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WrongChunk {
    /// It does not begin where the earlier parts end, has another length than announced, or is too
    /// long.
    Range,
    /// The part before it was too short.
    Short,
}

impl WrongChunk {
    /// The answer for [`Short`](Self::Short). The answer for [`Range`](Self::Range) is the state of
    /// the session.
    pub(super) fn refusal() -> Refusal {
        let text = "a part that is not the last is shorter than OCI-Chunk-Min-Length";
        let body = ErrorBody::one(ErrorCode::SizeInvalid, text);
        Refusal::new(StatusCode::BAD_REQUEST, body)
    }
}

/// The host and port that the client sent the request to.
fn authority(request: &RecordedRequest) -> String {
    let target = request.uri.authority().map(ToString::to_string);
    let field = || request.header(header::HOST.as_str()).map(str::to_owned);
    target.or_else(field).unwrap_or_default()
}

fn plain_query(id: &str) -> String {
    format!("_state=c3RhdGU-{id}")
}

/// A query that changes when a client decodes and encodes it again.
fn signed_query(id: &str) -> String {
    format!("_state=a%2Fb+c%3D==~{id}&sig=%7e!$'()*,;:@/?")
}
