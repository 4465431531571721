//! Why a call to an upstream failed.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use longshore::{Cause, Error, ErrorKind};
use longshore_model::{Digest, RepositoryName, TagOrDigest};

use crate::name::UpstreamName;

/// Why a call to an upstream failed: the request, the upstream, and the kind of failure.
///
/// Cheap to clone, because several clients may wait for one call. The `Display` text can be sent to
/// a client: it contains names and a status, but no text, challenge or secret of the upstream
/// (CA7). The source chain has the details, for the log.
#[derive(Clone)]
pub struct UpstreamError(Arc<Inner>);

struct Inner {
    upstream: UpstreamName,
    what: What,
    kind: UpstreamErrorKind,
    /// The status of the answer, if it was a refusal.
    status: Option<u16>,
    retry_after: Option<Duration>,
    source: Option<Error>,
}

/// The kind of a failure, for programs to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UpstreamErrorKind {
    /// The upstream does not have the requested blob. Calls that return an `Option` return `None`
    /// instead.
    Absent,
    /// The upstream demands credentials, does not accept the ones it got, or denies access.
    Denied,
    /// The answer cannot be used: its content does not match the digest or the size, or it violates
    /// the protocol.
    Invalid,
    /// The upstream is configured as offline. No request was sent.
    Offline,
    /// The upstream refuses further requests for some time.
    RateLimited {
        /// Whether the limit counts all requests of this address, so that every request is refused
        /// until it ends. Otherwise it is a quota, such as the pull limit of Docker Hub, which does
        /// not count requests for the head of a manifest.
        abuse: bool,
    },
    /// The answer is larger than its limit.
    TooLarge,
    /// The upstream or its token endpoint cannot be reached, or cannot answer now.
    Unavailable,
    /// No verifier exists for the algorithm of the digest (DG1).
    Unverifiable,
}

/// The request to an upstream.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Blob(RepositoryName, Digest),
    Manifest(RepositoryName, TagOrDigest),
    Ping,
    Referrers(RepositoryName, Digest),
    Tags(RepositoryName),
}

impl UpstreamError {
    /// A failure before a request was sent.
    pub(super) fn unasked(
        upstream: &UpstreamName,
        what: What,
        kind: UpstreamErrorKind,
        retry_after: Option<Duration>,
    ) -> Self {
        Self(Arc::new(Inner {
            upstream: upstream.clone(),
            what,
            kind,
            status: None,
            retry_after,
            source: None,
        }))
    }

    pub(super) fn new(
        upstream: &UpstreamName,
        what: What,
        kind: UpstreamErrorKind,
        error: Error,
    ) -> Self {
        Self(Arc::new(Inner {
            upstream: upstream.clone(),
            what,
            kind,
            status: error.refusal().map(|refusal| refusal.status.as_u16()),
            retry_after: error.retry_after(),
            source: Some(error),
        }))
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> UpstreamErrorKind {
        self.0.kind
    }

    /// The upstream.
    #[must_use]
    pub fn upstream(&self) -> &UpstreamName {
        &self.0.upstream
    }

    /// How long to wait before another request, if the upstream stated it.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl UpstreamError {
    /// Describes the failure, without text of the upstream.
    fn reason(&self) -> &'static str {
        match self.0.source.as_ref().map(Error::cause) {
            Some(Cause::Digest(_) | Cause::OtherDigest { .. }) => {
                "its bytes do not match the digest or size"
            }
            Some(Cause::WebPage) => "the answer is a web page and not an answer of a registry",
            Some(Cause::Violation(_)) => "the answer violates the distribution specification",
            _ => self.0.kind.as_str(),
        }
    }
}

impl UpstreamErrorKind {
    /// The kind of a failure of the client. `is_abuse` decides which of the two rate limits it is.
    pub(super) fn of(error: &Error, is_abuse: impl FnOnce() -> bool) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Absent,
            ErrorKind::Auth | ErrorKind::Denied => Self::Denied,
            ErrorKind::RateLimited => Self::RateLimited { abuse: is_abuse() },
            ErrorKind::TooLarge => Self::TooLarge,
            ErrorKind::Unsupported if matches!(error.cause(), Cause::Unverifiable(_)) => {
                Self::Unverifiable
            }
            ErrorKind::Configuration | ErrorKind::Unavailable => Self::Unavailable,
            _ => Self::Invalid,
        }
    }

    /// Whether the upstream failed. A refusal of one request is not a failure.
    pub(super) const fn is_failure(self) -> bool {
        matches!(
            self,
            Self::Invalid | Self::RateLimited { .. } | Self::Unavailable
        )
    }

    /// Describes the kind, for errors and health reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "it does not exist there",
            Self::Denied => "access is denied",
            Self::Invalid => "the answer cannot be used",
            Self::Offline => "the upstream is configured as offline",
            Self::RateLimited { abuse: false } => "its quota of requests is used up",
            Self::RateLimited { abuse: true } => {
                "it refuses all requests from this address for some time"
            }
            Self::TooLarge => "it is larger than the limit",
            Self::Unavailable => "the upstream cannot be reached or cannot answer",
            Self::Unverifiable => "the algorithm of the digest is not supported",
        }
    }
}

impl What {
    /// The repository of the request.
    pub(super) const fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Blob(name, _)
            | Self::Manifest(name, _)
            | Self::Referrers(name, _)
            | Self::Tags(name) => Some(name),
            Self::Ping => None,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(name, digest) => write!(f, "read blob {digest} of {name}"),
            Self::Manifest(name, target) => {
                write!(f, "read manifest {} of {name}", target.as_str())
            }
            Self::Ping => f.write_str("check the registry"),
            Self::Referrers(name, digest) => {
                write!(f, "list the referrers of {digest} in {name}")
            }
            Self::Tags(name) => write!(f, "list the tags of {name}"),
        }
    }
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            upstream,
            what,
            status,
            retry_after,
            ..
        } = &*self.0;
        write!(f, "upstream {upstream}: cannot {what}: {}", self.reason())?;
        if let Some(status) = status {
            write!(f, " (status {status})")?;
        }
        match retry_after {
            Some(wait) => write!(f, ", retry in {} s", wait.as_secs()),
            None => Ok(()),
        }
    }
}

/// The message of this error and of each source, separated by colons.
impl fmt::Debug for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        match &self.0.source {
            Some(source) => write!(f, ": {source:?}"),
            None => Ok(()),
        }
    }
}

impl StdError for UpstreamError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.0.source.as_ref()?;
        Some(source)
    }
}
