//! The error type of the client.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use http::StatusCode;
use longshore_auth::{AuthError, ExchangeError};
use longshore_model::{Digest, ManifestError, UnsupportedAlgorithm, VerifyError};
use longshore_origin::Origin;
use longshore_proto::call::{CallError, Ended, Place};
use longshore_proto::document::DocumentError;
use longshore_proto::download::DownloadError;
use longshore_proto::endpoint::{Endpoint, PageError};
use longshore_proto::listing::ListingError;
use longshore_proto::referrers::ReferrersError;
use longshore_proto::retry::is_retryable;
use longshore_proto::upload::UploadError;
use longshore_proto::{Refusal, RefusalKind, Violation, WriteRefusal};
use longshore_transport::{TransportError, TransportErrorKind};

use crate::credentials::CredentialError;
use crate::hosts::HostError;
use crate::operation::Operation;

/// What was being done, where, how often it was tried, and why it failed.
///
/// Match on the [`kind`](Self::kind) to decide what to do; the [`cause`](Self::cause) has the
/// details, and the source chain continues with the error underneath it. `Display` is the first
/// line of that chain, `Debug` the whole chain, so that a test or a program that unwraps an error
/// shows what happened.
pub struct Error(Box<Inner>);

struct Inner {
    operation: Operation,
    registry: String,
    attempts: u32,
    cause: Cause,
    credentials: FoundCredentials,
    /// Where the upload session is, if that is not the registry's origin.
    session: Option<Origin>,
    /// The last of the failures that used up the resumes of an upload.
    last: Option<Error>,
}

/// The credentials that the client had found when an operation failed.
#[derive(Clone, Debug)]
pub(crate) enum FoundCredentials {
    /// None were found or looked up; holds the error of the source, if it failed.
    None(Option<CredentialError>),
    Some,
}

/// Why an operation failed, sorted by who must act.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// Authentication failed or was refused, with the registry's own words if it sent any.
    Auth(AuthError, Option<Box<Refusal>>),
    /// No answer arrived, or it redirected to a forbidden place, with the last failure of the
    /// transport if that was the reason.
    Call(CallError, Option<TransportError>),
    /// The credentials for the registry exist but cannot be read.
    Credentials(CredentialError),
    /// The content does not match its digest or size.
    Digest(VerifyError),
    /// The document is not a manifest.
    Document(ManifestError),
    /// The blob broke off too often, or is larger than its limit.
    Download(DownloadError, Option<TransportError>),
    /// The registry's name or settings cannot be used.
    Host(HostError),
    /// The list does not end (RD5, LI).
    Listing(ListingError),
    /// The registry does not send parts of a blob, or does not say its size.
    NoRanges,
    /// The document is a manifest, but not an index.
    NotAnIndex,
    /// The answer to a `HEAD` by digest names another digest (DG2).
    OtherDigest {
        /// The digest that was asked for.
        wanted: Digest,
        /// The digest in the answer.
        named: Digest,
    },
    /// A page of a list is malformed.
    Page(JsonError),
    /// The registry answers with an error.
    Refused(Refusal),
    /// The content to send cannot be read.
    RequestBody(io::Error),
    /// A document, or a blob whose size no descriptor says, is larger than its limit.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// No verifier exists for the digest's algorithm (DG1).
    Unverifiable(UnsupportedAlgorithm),
    /// The upload cannot be continued, or the registry stored something else (DG7).
    Upload(UploadError),
    /// The answer breaks the specification.
    Violation(Violation),
    /// The answer is a web page: of a captive portal, of a proxy, or of a server that is no
    /// registry.
    WebPage,
}

/// The kind of a failure, for programs to match on. The kinds are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Credentials are required, or were not accepted.
    Auth,
    /// The content to send cannot be read on the side of the client.
    Body,
    /// Settings, names or credentials on this side cannot be used.
    Configuration,
    /// Access is denied.
    Denied,
    /// Content does not match its digest or size.
    Digest,
    /// The thing asked for does not exist.
    NotFound,
    /// The other end violates the protocol, or redirects to a forbidden place.
    Protocol,
    /// Too many requests; see [`Error::retry_after`].
    RateLimited,
    /// The registry sends its users to a token endpoint that the rules do not allow (RE1–RE4).
    RealmRefused,
    /// Something is larger than its limit.
    TooLarge,
    /// The other end cannot be reached, or cannot answer now.
    Unavailable,
    /// The registry does not support this.
    Unsupported,
}

/// What an error says about the requested object.
///
/// It is coarser than [`ErrorKind`], and meant for optional requests: it says whether the object is
/// absent, or could not be read, and why. See [`Error::class`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The object does not exist.
    Absent,
    /// Another error: content that does not match its digest, a limit, or a setting of the client.
    Other,
    /// The registry does not grant access to it.
    Refused {
        /// Whether the client has credentials for this registry.
        with_credentials: bool,
    },
    /// The registry or its token endpoint cannot be reached, or cannot answer now.
    Unavailable,
    /// The registry does not support the request: it says so, or its answer does not follow the
    /// protocol.
    Unsupported,
}

impl Error {
    pub(crate) fn new(operation: Operation, registry: &str, cause: Cause) -> Self {
        Self(Box::new(Inner {
            operation,
            registry: registry.to_owned(),
            attempts: 1,
            cause,
            credentials: FoundCredentials::None(None),
            session: None,
            last: None,
        }))
    }

    /// The error of a call that ended like this.
    pub(crate) fn of_call(self, ended: &Ended) -> Self {
        let mut error = self.after(ended.attempts);
        let hop = ended.place.as_ref().map(Place::hop);
        let hop = hop.filter(|hop| matches!(ended.endpoint, Endpoint::Upload(_)) && !hop.is_home());
        error.0.session = hop.map(|hop| hop.origin().clone());
        error
    }

    /// The same error of another operation.
    pub(crate) fn during(mut self, operation: Operation) -> Self {
        self.0.operation = operation;
        self
    }

    /// With the failure that led to it, if there was one.
    pub(crate) fn because(mut self, last: Option<Self>) -> Self {
        self.0.last = last;
        self
    }

    pub(crate) fn with_credentials(mut self, credentials: FoundCredentials) -> Self {
        self.0.credentials = credentials;
        self
    }

    pub(crate) fn after(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// What was being done: a verb, and the thing with its tag or digest and its repository.
    #[must_use]
    pub fn operation(&self) -> &Operation {
        &self.0.operation
    }

    /// The registry's own words, where it refused: the status, its codes with message and detail,
    /// or the beginning of another body.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.0.cause {
            Cause::Refused(refusal) => Some(refusal),
            Cause::Auth(_, refusal) => refusal.as_deref(),
            _ => None,
        }
    }

    /// If authentication was refused, the status of the registry's answer, where it was the
    /// registry that refused.
    pub(crate) fn denial(&self) -> Option<Option<StatusCode>> {
        match (&self.0.cause, self.kind()) {
            (_, ErrorKind::RateLimited | ErrorKind::Unavailable) => None,
            (Cause::Auth(_, refusal), _) => Some(refusal.as_ref().map(|refusal| refusal.status)),
            _ => None,
        }
    }

    /// Why a write was refused, if the registry's answer says so: an immutable tag, a repository
    /// that does not exist, a quota, a read-only registry, or a manifest that it does not accept.
    #[must_use]
    pub fn write_refusal(&self) -> Option<WriteRefusal> {
        match (&self.0.operation, &self.0.cause) {
            (Operation::Request(endpoint), Cause::Refused(refusal)) => {
                WriteRefusal::of(endpoint, refusal)
            }
            _ => None,
        }
    }

    /// Whether the client had found credentials for this registry when the operation failed. A
    /// token for anonymous users is not a credential.
    #[must_use]
    pub fn had_credentials(&self) -> bool {
        matches!(self.0.credentials, FoundCredentials::Some)
    }

    /// The error of the source of credentials, if a credential might have prevented this error
    /// (CR11).
    #[must_use]
    pub fn missing_credentials(&self) -> Option<&CredentialError> {
        let FoundCredentials::None(Some(failure)) = &self.0.credentials else {
            return None;
        };
        let matters = match &self.0.cause {
            Cause::Auth(AuthError::CredentialsRequired { .. }, _) => true,
            Cause::Credentials(error) => error.is_unavailable(),
            Cause::Refused(refusal) => {
                matches!(
                    refusal.kind(),
                    RefusalKind::Denied | RefusalKind::Unauthorized
                )
            }
            _ => false,
        };
        matters.then_some(failure)
    }

    /// The registry, by the name its references carry.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.0.registry
    }

    /// Why it failed.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// Returns the error of content that could not be read to be sent
    /// ([`ErrorKind::Body`]).
    ///
    /// # Errors
    ///
    /// This error, if it is another one.
    pub fn into_body_error(self) -> Result<io::Error, Self> {
        let inner = self.0;
        match inner.cause {
            Cause::RequestBody(error) => Ok(error),
            cause => Err(Self(Box::new(Inner { cause, ..*inner }))),
        }
    }

    /// How often the request was sent.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// How long the registry asks to wait, if it was a rate limit that says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.0.cause {
            Cause::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// The token endpoint that would have to be allowed for the credentials to go there (RE4).
    #[must_use]
    pub fn refused_realm(&self) -> Option<&Origin> {
        match &self.0.cause {
            Cause::Auth(AuthError::RealmRefused(refused), _) => Some(&refused.realm),
            _ => None,
        }
    }

    /// What the error says about the requested object.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        let with_credentials = self.had_credentials();
        match (self.kind(), &self.0.cause) {
            (ErrorKind::NotFound, _) => ErrorClass::Absent,
            (ErrorKind::Auth | ErrorKind::Denied, _) => ErrorClass::Refused { with_credentials },
            (ErrorKind::RateLimited | ErrorKind::Unavailable, _) => ErrorClass::Unavailable,
            (ErrorKind::Unsupported, Cause::Unverifiable(_)) => ErrorClass::Other,
            (ErrorKind::Unsupported, _) => ErrorClass::Unsupported,
            (ErrorKind::Protocol, cause) => match cause {
                Cause::Auth(..) | Cause::Listing(_) => ErrorClass::Other,
                _ => ErrorClass::Unsupported,
            },
            _ => ErrorClass::Other,
        }
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &self.0.cause {
            Cause::Auth(AuthError::Unreachable { source, .. }, _) => {
                let wire = source.downcast_ref::<TransportError>();
                wire_kind(wire.map(TransportError::kind))
            }
            Cause::Auth(AuthError::Exchange { source, .. }, _) => match source {
                ExchangeError::Status { status, .. } if status.as_u16() == 429 => {
                    ErrorKind::RateLimited
                }
                ExchangeError::Status { status, .. } if is_retryable(*status) => {
                    ErrorKind::Unavailable
                }
                _ => ErrorKind::Protocol,
            },
            Cause::Auth(AuthError::RealmRefused(_) | AuthError::Realm { .. }, _) => {
                ErrorKind::RealmRefused
            }
            Cause::Auth(..) => ErrorKind::Auth,
            Cause::Call(CallError::Failed { .. }, wire) => {
                wire_kind(wire.as_ref().map(TransportError::kind))
            }
            Cause::Call(..) | Cause::Document(_) | Cause::Violation(_) => ErrorKind::Protocol,
            Cause::Credentials(_) | Cause::Host(_) => ErrorKind::Configuration,
            Cause::Digest(_) | Cause::OtherDigest { .. } => ErrorKind::Digest,
            Cause::Download(DownloadError::Resumes { .. }, _) => ErrorKind::Unavailable,
            Cause::Download(DownloadError::Violation(_), _) => ErrorKind::Protocol,
            Cause::Download(..) => ErrorKind::Digest,
            Cause::Refused(refusal) => refused_kind(refusal, self.write_refusal()),
            Cause::WebPage => ErrorKind::Protocol,
            Cause::NoRanges => ErrorKind::Unsupported,
            Cause::RequestBody(_) => ErrorKind::Body,
            Cause::Listing(_) | Cause::NotAnIndex | Cause::Page(_) => ErrorKind::Protocol,
            Cause::TooLarge { .. } => ErrorKind::TooLarge,
            Cause::Unverifiable(_) => ErrorKind::Unsupported,
            Cause::Upload(error) => match error {
                UploadError::Early { .. } | UploadError::Failed | UploadError::Resumes { .. } => {
                    ErrorKind::Unavailable
                }
                UploadError::NotSeekable { .. } => ErrorKind::Body,
                _ => ErrorKind::Protocol,
            },
        }
    }
}

/// The kind of error when the registry refused.
fn refused_kind(refusal: &Refusal, write: Option<WriteRefusal>) -> ErrorKind {
    match (write, refusal.kind()) {
        (Some(WriteRefusal::BlobUnknown { .. } | WriteRefusal::RepositoryMissing), _)
        | (_, RefusalKind::Absent) => ErrorKind::NotFound,
        (Some(WriteRefusal::ManifestInvalid { .. } | WriteRefusal::TagsKept), _)
        | (_, RefusalKind::Unsupported) => ErrorKind::Unsupported,
        (_, RefusalKind::Denied) => ErrorKind::Denied,
        (_, RefusalKind::RateLimited) => ErrorKind::RateLimited,
        (_, RefusalKind::Unauthorized) => ErrorKind::Auth,
        (_, RefusalKind::Unavailable) => ErrorKind::Unavailable,
        (Some(_), _) => ErrorKind::Denied,
        (None, _) => ErrorKind::Protocol,
    }
}

/// The kind of error when no answer arrived, from the last error of the transport.
fn wire_kind(wire: Option<TransportErrorKind>) -> ErrorKind {
    match wire {
        // A retry cannot help with these.
        Some(TransportErrorKind::AddressRefused | TransportErrorKind::HeaderLimit) => {
            ErrorKind::Protocol
        }
        Some(TransportErrorKind::Unsupported) => ErrorKind::Configuration,
        _ => ErrorKind::Unavailable,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            operation,
            registry,
            attempts,
            cause,
            session,
            last,
            ..
        } = &*self.0;
        let preposition = operation.preposition();
        write!(f, "cannot {operation} {preposition} {registry}")?;
        if let Some(session) = session {
            write!(f, " (upload session at {session})")?;
        }
        f.write_str(": ")?;
        match (self.write_refusal(), self.refusal(), cause) {
            (Some(why), Some(refusal), _) => write!(f, "{why} ({refusal})")?,
            // The source is the last failure, so this message says what came of it.
            (_, _, Cause::Upload(error)) if last.is_some() => error.fmt(f)?,
            _ => cause.fmt(f)?,
        }
        match attempts {
            0 | 1 => Ok(()),
            many => write!(f, " after {many} attempts"),
        }
    }
}

/// The message of this error and of each source, separated by colons.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = self.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auth(_, None) => f.write_str("authentication failed"),
            Self::Auth(_, Some(refusal)) => write!(f, "authentication failed ({refusal})"),
            Self::Call(CallError::Failed { .. }, _) => f.write_str("no answer"),
            Self::Call(..) => f.write_str("it is redirected to a forbidden place"),
            Self::Credentials(_) => f.write_str("no credentials"),
            Self::Document(_) => f.write_str("the document is not a manifest"),
            // The source is only the last failure, so this message says that the resumes are used
            // up.
            Self::Download(error @ DownloadError::Resumes { .. }, Some(_)) => error.fmt(f),
            Self::Download(DownloadError::Resumes { .. } | DownloadError::Violation(_), _) => {
                f.write_str("the content did not arrive")
            }
            Self::Digest(_) | Self::Download(..) => {
                f.write_str("the content does not match its digest or size")
            }
            Self::Host(_) => f.write_str("its name or settings cannot be used"),
            Self::Listing(_) => f.write_str("the list does not end"),
            Self::NoRanges => {
                f.write_str("the registry does not send parts of it, or does not say its size")
            }
            Self::NotAnIndex => f.write_str("the answer is not an index"),
            Self::OtherDigest { wanted, named } => {
                write!(f, "asked for {wanted}, the registry names {named}")
            }
            Self::Page(_) => f.write_str("the answer is not a list"),
            Self::Refused(refusal) => {
                let what = match refusal.kind() {
                    RefusalKind::Absent => "not found",
                    RefusalKind::Denied => "denied",
                    RefusalKind::RateLimited => "too many requests",
                    RefusalKind::Unauthorized => "not authorized",
                    RefusalKind::Unavailable => "the registry cannot answer",
                    RefusalKind::Unsupported => "the registry does not support it",
                    _ => "the registry refuses",
                };
                write!(f, "{what} ({refusal})")
            }
            Self::RequestBody(_) => f.write_str("the content to send cannot be read"),
            Self::TooLarge { limit } => write!(f, "larger than {limit} bytes"),
            Self::Unverifiable(_) => f.write_str("it cannot be verified"),
            Self::Upload(_) => f.write_str("the upload failed"),
            Self::Violation(_) => f.write_str("the answer violates the protocol"),
            Self::WebPage => f.write_str("the answer is a web page, not an answer of a registry"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        if let Some(error) = self.missing_credentials() {
            return Some(error);
        }
        if let Some(last) = &self.0.last {
            return Some(last);
        }
        match &self.0.cause {
            Cause::Auth(error, _) => Some(error),
            Cause::Call(CallError::Failed { .. }, Some(error)) => Some(error),
            Cause::Call(error, _) => Some(error),
            Cause::Credentials(error) => Some(error),
            Cause::Digest(error) => Some(error),
            Cause::Document(error) => Some(error),
            Cause::Download(DownloadError::Resumes { .. }, Some(error)) => Some(error),
            Cause::Download(error, _) => Some(error),
            Cause::Host(error) => Some(error),
            Cause::Listing(error) => Some(error),
            Cause::Page(error) => Some(error),
            Cause::NoRanges
            | Cause::NotAnIndex
            | Cause::OtherDigest { .. }
            | Cause::Refused(_)
            | Cause::TooLarge { .. }
            | Cause::WebPage => None,
            Cause::RequestBody(error) => Some(error),
            Cause::Unverifiable(error) => Some(error),
            Cause::Upload(error) => Some(error),
            Cause::Violation(error) => Some(error),
        }
    }
}

/// The position at which a text is not the expected JSON.
///
/// A parser's message may quote any amount of the text, which comes from a peer (OU1) or holds
/// secrets (OU3). So only the position is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unexpected at line {line} column {column}")]
#[non_exhaustive]
pub struct JsonError {
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        Self { line, column }
    }
}

impl From<Violation> for Cause {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<DocumentError> for Cause {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Digest(error) => Self::Digest(error),
            DocumentError::Manifest(error) => Self::Document(error),
            DocumentError::Unverifiable(error) => Self::Unverifiable(error),
            DocumentError::Violation(error) => Self::Violation(error),
        }
    }
}

impl From<ReferrersError> for Cause {
    fn from(error: ReferrersError) -> Self {
        match error {
            ReferrersError::Document(error) => error.into(),
            ReferrersError::NotAnIndex => Self::NotAnIndex,
        }
    }
}

impl From<PageError> for JsonError {
    fn from(error: PageError) -> Self {
        let (line, column) = (error.line, error.column);
        Self { line, column }
    }
}

#[cfg(test)]
mod tests;
