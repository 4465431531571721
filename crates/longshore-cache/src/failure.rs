//! Why a request gets no content, and the error answer for it.

use std::time::Duration;

use http::StatusCode;
use longshore_proto::Refusal;
use longshore_proto::error_code::{ErrorBody, ErrorCode};

use crate::fill::{FillError, FillErrorKind};
use crate::upstream::{UpstreamError, UpstreamErrorKind};

/// Why a request gets no content.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The upstream does not have it.
    Absent,
    /// It is not in the cache, and the upstream is configured as offline.
    Offline,
    /// The settings of the cache do not allow this repository.
    NotAllowed,
    /// The whole blob must be verified before a part of it is sent, and there is no room to store
    /// it.
    NoRoom,
    /// The upstream refused, failed or could not be reached.
    Upstream(UpstreamError),
    /// The transfer of a blob failed before its first byte.
    Fill(FillError),
    /// The upstream did not answer within the time for a response head.
    TooSlow,
    /// The cache cannot verify digests of this algorithm (DG1).
    Unverifiable(String),
    /// The request itself is wrong.
    Request(Refusal),
    /// The records of the cache cannot be read.
    Records,
    /// The task that did the work ended without a result.
    Interrupted,
}

/// The subject of a request, for the code and the message of its refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Manifest,
    Blob,
    Repository,
}

/// `Retry-After` of an answer after a timeout or during a shutdown.
const WAIT_AFTER_TIMEOUT: Duration = Duration::from_secs(5);
/// `Retry-After` of an answer when a limit is reached and the upstream gives no wait.
const WAIT_AFTER_LIMIT: Duration = Duration::from_secs(60);

impl Failure {
    /// Returns the refusal to send. To a client that named the upstream in `ns`, a rate limit is a
    /// 503: containerd repeats a request immediately after a 429, and tries the next host after a
    /// 503.
    pub(crate) fn refusal(&self, subject: Subject, has_namespace: bool) -> Refusal {
        match self {
            Self::Absent => absent(subject),
            Self::Offline => refusal(
                StatusCode::GATEWAY_TIMEOUT,
                unavailable(),
                "it is not in the cache, and its upstream is configured as offline",
            ),
            Self::NoRoom => refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                unavailable(),
                "there is no room to store the blob, and unverified ranges are not allowed; \
                 request the whole blob",
            )
            .with_retry_after(WAIT_AFTER_LIMIT),
            Self::NotAllowed => refusal(
                StatusCode::FORBIDDEN,
                ErrorCode::Denied,
                "the configuration of this cache does not allow this repository",
            ),
            Self::Upstream(error) => upstream(error, has_namespace, subject),
            Self::Fill(error) => match (error.kind(), error.upstream()) {
                (_, Some(error)) => upstream(error, has_namespace, subject),
                (FillErrorKind::Deadline, _) => Self::TooSlow.refusal(subject, has_namespace),
                (FillErrorKind::Stopped, _) => Self::Interrupted.refusal(subject, has_namespace),
                _ => refusal(StatusCode::BAD_GATEWAY, unavailable(), &error.to_string()),
            },
            Self::TooSlow => refusal(
                StatusCode::GATEWAY_TIMEOUT,
                unavailable(),
                "the upstream did not answer in time; the cache is still waiting: retry later",
            )
            .with_retry_after(WAIT_AFTER_TIMEOUT),
            Self::Unverifiable(text) => {
                refusal(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid, text)
            }
            Self::Request(refusal) => refusal.clone(),
            Self::Records => refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                unavailable(),
                "the cache cannot read its records; see the log of the cache",
            ),
            Self::Interrupted => refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                unavailable(),
                "the cache is shutting down; retry later",
            )
            .with_retry_after(WAIT_AFTER_TIMEOUT),
        }
    }

    /// Whether a stale copy must not be the answer: the upstream says that the content does not
    /// exist or that access is denied (CA8).
    pub(crate) fn excludes_stale(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::Upstream(error) => error.kind() == UpstreamErrorKind::Denied,
            _ => false,
        }
    }
}

fn absent(subject: Subject) -> Refusal {
    let (code, text) = match subject {
        Subject::Manifest => (
            ErrorCode::ManifestUnknown,
            "the upstream has no such manifest",
        ),
        Subject::Blob => (ErrorCode::BlobUnknown, "the upstream has no such blob"),
        Subject::Repository => (
            ErrorCode::NameUnknown,
            "the upstream has no such repository",
        ),
    };
    refusal(StatusCode::NOT_FOUND, code, text)
}

fn upstream(error: &UpstreamError, has_namespace: bool, subject: Subject) -> Refusal {
    let text = error.to_string();
    match error.kind() {
        UpstreamErrorKind::Absent => absent(subject),
        UpstreamErrorKind::Denied => refusal(StatusCode::FORBIDDEN, ErrorCode::Denied, &text),
        UpstreamErrorKind::RateLimited { .. } => {
            let status = match has_namespace {
                true => StatusCode::SERVICE_UNAVAILABLE,
                false => StatusCode::TOO_MANY_REQUESTS,
            };
            let wait = error.retry_after().unwrap_or(WAIT_AFTER_LIMIT);
            refusal(status, ErrorCode::TooManyRequests, &text).with_retry_after(wait)
        }
        UpstreamErrorKind::Offline => Failure::Offline.refusal(subject, has_namespace),
        UpstreamErrorKind::Unverifiable => {
            refusal(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid, &text)
        }
        _ => refusal(StatusCode::BAD_GATEWAY, unavailable(), &text),
    }
}

/// The code for a registry that cannot answer now. The specification has no such code; the registry
/// Distribution uses this one.
fn unavailable() -> ErrorCode {
    ErrorCode::from("UNAVAILABLE")
}

fn refusal(status: StatusCode, code: ErrorCode, text: &str) -> Refusal {
    Refusal::new(status, ErrorBody::one(code, text))
}
