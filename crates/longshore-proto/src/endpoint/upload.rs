//! Requests of an upload (distribution-spec v1.1.1 "Pushing blobs", end-4a to end-6, end-11,
//! end-13 and end-14).
//!
//! A session's URL is whatever the registry's `Location` says, so a client sends the requests of a
//! session [to that location](super::Endpoint::write_at). A server that made the URL itself finds
//! the identifier of the session in its path:
//!
//! ```text
//! path    = "/v2/" name "/blobs/uploads/" [ session ]
//! session = 1*( ALPHA / DIGIT / "-" / "." / "_" / "=" / "~" )
//! ```

use std::fmt;

use http::{HeaderMap, Method, header};
use longshore_model::{Algorithm, Digest, RepositoryName};

use super::query;
use super::request::{Access, AnswerBody, Need, Patience, Repeatable, Request, RequestHead, Verb};
use crate::Host;
use crate::field;
use crate::range::number;
use crate::route::RouteError;

pub use self::answer::{BlobStored, Received, UploadAnswer};

mod answer;

/// One request of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadRequest {
    /// The repository that gets the blob.
    pub name: RepositoryName,
    /// Which request.
    pub step: UploadStep,
}

/// The requests of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UploadStep {
    /// Ends a session without a blob: `DELETE` (end-14).
    Cancel {
        /// The session, in a request that a server reads.
        session: Option<UploadSession>,
    },
    /// Sends a part of the blob: `PATCH` (end-5).
    Chunk {
        /// The session, in a request that a server reads.
        session: Option<UploadSession>,
        /// The bytes in the body; `None` when the length is not known in advance.
        range: Option<ChunkRange>,
    },
    /// Sends the last part, or nothing, and names the blob: `PUT` (end-6).
    Finish {
        /// The session, in a request that a server reads.
        session: Option<UploadSession>,
        /// The digest of the whole blob.
        digest: Digest,
        /// The bytes in the body; `None` for an empty body, or for the whole blob.
        range: Option<ChunkRange>,
    },
    /// Makes a blob of another repository available without sending it: `POST` (end-11). The
    /// registry may open a session instead.
    Mount {
        /// The blob.
        digest: Digest,
        /// A repository of the same registry that has it; `None` lets the registry find one.
        from: Option<RepositoryName>,
    },
    /// Opens a session: `POST` (end-4a), or with a digest sends the whole blob (end-4b).
    Start {
        /// The digest of the blob in the body.
        digest: Option<Digest>,
        /// The algorithm of the digest in the last request, if it is not sha256.
        algorithm: Option<Algorithm>,
    },
    /// Requests the number of bytes that have arrived: `GET` (end-13).
    Status {
        /// The session, in a request that a server reads.
        session: Option<UploadSession>,
    },
}

/// The identifier of a session in the path of a URL that a server built on this crate made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadSession(Box<str>);

impl UploadSession {
    /// Reads an identifier; `None` when it is empty or has a character outside the grammar.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_allowed = |byte| matches!(byte, b'-' | b'.' | b'_' | b'=' | b'~');
        let mut bytes = text.bytes();
        let allowed = bytes.all(|byte| byte.is_ascii_alphanumeric() || is_allowed(byte));
        (allowed && !text.is_empty() && !matches!(text, "." | "..")).then(|| Self(text.into()))
    }

    /// The identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The first and the last position of a part, both included: `Content-Range` as uploads write it,
/// without a unit (distribution-spec v1.1.1 "Pushing a blob in chunks").
///
/// ```text
/// Content-Range = first-pos "-" last-pos
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkRange {
    first: u64,
    last: u64,
}

impl ChunkRange {
    /// The part from `first` to `last`; `None` when `last` comes before `first`.
    #[must_use]
    pub const fn new(first: u64, last: u64) -> Option<Self> {
        if first <= last {
            Some(Self { first, last })
        } else {
            None
        }
    }

    /// The position of the first byte.
    #[must_use]
    pub const fn first(self) -> u64 {
        self.first
    }

    /// The position of the last byte.
    #[must_use]
    pub const fn last(self) -> u64 {
        self.last
    }

    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        Self::new(number(first.as_bytes())?, number(last.as_bytes())?)
    }
}

impl fmt::Display for ChunkRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// The parameters of the query.
const DIGEST: &str = "digest";
const ALGORITHM: &str = "digest-algorithm";
const MOUNT: &str = "mount";
const FROM: &str = "from";

impl UploadRequest {
    /// One request of an upload to this repository.
    #[must_use]
    pub const fn new(name: RepositoryName, step: UploadStep) -> Self {
        Self { name, step }
    }

    /// Reads a request whose path named an upload, and whose method is one of that path.
    pub(crate) fn read(
        method: &Method,
        name: RepositoryName,
        session: Option<UploadSession>,
        parameters: &str,
        headers: &HeaderMap,
    ) -> Result<Self, RouteError> {
        let range = || match headers.get(header::CONTENT_RANGE) {
            Some(value) => match value.to_str().ok().and_then(ChunkRange::parse) {
                Some(range) => Ok(Some(range)),
                None => Err(RouteError::Upload),
            },
            None => Ok(None),
        };
        let digest = |name| match query::first(parameters, name) {
            Some(text) => text.parse().map(Some).map_err(|_| RouteError::Digest),
            None => Ok(None),
        };
        let Some(session) = session else {
            let step = match (digest(MOUNT)?, query::first(parameters, FROM)) {
                (Some(digest), None) => UploadStep::Mount { digest, from: None },
                (Some(digest), Some(from)) => UploadStep::Mount {
                    digest,
                    from: Some(from.parse().map_err(|_| RouteError::Name)?),
                },
                (None, _) => UploadStep::Start {
                    digest: digest(DIGEST)?,
                    algorithm: match query::first(parameters, ALGORITHM) {
                        Some(text) => Some(text.parse().map_err(|_| RouteError::Digest)?),
                        None => None,
                    },
                },
            };
            return Ok(Self { name, step });
        };
        let session = Some(session);
        let step = match *method {
            Method::DELETE => UploadStep::Cancel { session },
            Method::PATCH => UploadStep::Chunk {
                session,
                range: range()?,
            },
            Method::PUT => UploadStep::Finish {
                session,
                digest: digest(DIGEST)?.ok_or(RouteError::Digest)?,
                range: range()?,
            },
            _ => UploadStep::Status { session },
        };
        Ok(Self { name, step })
    }

    fn session(&self) -> Option<&UploadSession> {
        match &self.step {
            UploadStep::Cancel { session }
            | UploadStep::Chunk { session, .. }
            | UploadStep::Finish { session, .. }
            | UploadStep::Status { session } => session.as_ref(),
            UploadStep::Mount { .. } | UploadStep::Start { .. } => None,
        }
    }

    const fn method(&self) -> Method {
        match self.step {
            UploadStep::Cancel { .. } => Method::DELETE,
            UploadStep::Chunk { .. } => Method::PATCH,
            UploadStep::Finish { .. } => Method::PUT,
            UploadStep::Mount { .. } | UploadStep::Start { .. } => Method::POST,
            UploadStep::Status { .. } => Method::GET,
        }
    }

    /// Adds the parameters to a path and query, whose own query stays byte for byte (RD4: a
    /// registry signs the query of its upload locations).
    fn push_parameters(&self, path_and_query: &mut String) {
        let mut push = |name, value| query::push_to_path(path_and_query, name, value);
        match &self.step {
            UploadStep::Finish { digest, .. } => push(DIGEST, digest.as_str()),
            UploadStep::Start { digest, algorithm } => {
                if let Some(digest) = digest {
                    push(DIGEST, digest.as_str());
                }
                if let Some(algorithm) = algorithm {
                    push(ALGORITHM, algorithm.as_str());
                }
            }
            UploadStep::Mount { digest, from } => {
                push(MOUNT, digest.as_str());
                if let Some(from) = from {
                    push(FROM, from.as_str());
                }
            }
            UploadStep::Cancel { .. } | UploadStep::Chunk { .. } | UploadStep::Status { .. } => {}
        }
    }
}

impl Request for UploadRequest {
    fn write(&self, host: &Host) -> RequestHead {
        let session = self.session().map_or("", UploadSession::as_str);
        let path = host.path(Some(&self.name), format_args!("blobs/uploads/{session}"));
        self.write_at(host, &path)
    }

    fn write_at(&self, _host: &Host, location: &str) -> RequestHead {
        let mut head = RequestHead::new(self.method(), location.to_owned());
        self.push_parameters(&mut head.path_and_query);
        if let UploadStep::Chunk { range, .. } | UploadStep::Finish { range, .. } = &self.step {
            field::put(&mut head.headers, header::CONTENT_RANGE, range.as_ref());
        }
        head
    }

    fn name(&self) -> Option<&RepositoryName> {
        Some(&self.name)
    }

    /// A mount also reads the repository that has the blob.
    fn needs(&self, host: &Host) -> Vec<Need> {
        let mut needs = vec![Need::new(host, &self.name, Access::Push)];
        if let UploadStep::Mount {
            from: Some(from), ..
        } = &self.step
        {
            needs.push(Need::new(host, from, Access::Pull));
        }
        needs
    }

    fn verb(&self) -> Verb {
        match self.step {
            UploadStep::Cancel { .. } => Verb::Cancel,
            UploadStep::Mount { .. } => Verb::Mount,
            UploadStep::Chunk { .. } | UploadStep::Finish { .. } | UploadStep::Start { .. } => {
                Verb::Push
            }
            UploadStep::Status { .. } => Verb::Read,
        }
    }

    /// A mirror does not know the session, so the request for its state also goes to the registry
    /// itself.
    fn is_read(&self) -> bool {
        false
    }

    fn answer_body(&self) -> AnswerBody {
        AnswerBody::Errors
    }

    /// The registry may hash or move the whole blob before it answers the last request.
    fn patience(&self) -> Patience {
        match self.step {
            UploadStep::Finish { .. }
            | UploadStep::Start {
                digest: Some(_), ..
            } => Patience::WholeBlob,
            _ => Patience::Ordinary,
        }
    }

    /// A second `POST` opens a second session, which does no harm. After a failed chunk or a failed
    /// last request, only the registry knows how many bytes arrived (RT4).
    fn repeatable(&self) -> Repeatable {
        match self.step {
            UploadStep::Chunk { .. }
            | UploadStep::Finish { .. }
            | UploadStep::Start {
                digest: Some(_), ..
            } => Repeatable::Never,
            _ => Repeatable::Always,
        }
    }
}

impl fmt::Display for UploadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.step {
            UploadStep::Finish { digest, .. }
            | UploadStep::Mount { digest, .. }
            | UploadStep::Start {
                digest: Some(digest),
                ..
            } => write!(f, "blob {digest} of {name}"),
            UploadStep::Chunk { .. } | UploadStep::Start { digest: None, .. } => {
                write!(f, "a blob of {name}")
            }
            UploadStep::Cancel { .. } | UploadStep::Status { .. } => {
                write!(f, "an upload of {name}")
            }
        }
    }
}
