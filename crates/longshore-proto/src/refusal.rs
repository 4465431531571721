//! Refusals of a registry.

use std::fmt;
use std::time::Duration;

use http::{StatusCode, header, response};

use crate::error_code::{ErrorBody, ErrorCode};
use crate::retry::retry_after;

/// An error answer: the status, and what the registry says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// What the body says.
    pub body: ErrorBody,
    /// How long the registry asks to wait (RT3).
    pub retry_after: Option<Duration>,
    /// Whether the status means, on this host, that the thing asked for is not there.
    pub absent: bool,
    /// Whether it is a 401 that says nothing of what it wants, against RFC 9110 §15.5.2: how old
    /// versions of Harbor answer at paths they do not know.
    pub silent: bool,
}

impl Refusal {
    /// Reads an error answer, with the beginning of its body.
    #[must_use]
    pub fn read(head: &response::Parts, body: &[u8], absent: bool) -> Self {
        Self {
            status: head.status,
            body: ErrorBody::parse(body),
            retry_after: retry_after(head.status, &head.headers),
            absent,
            silent: head.status == StatusCode::UNAUTHORIZED
                && !head.headers.contains_key(header::WWW_AUTHENTICATE),
        }
    }

    /// What the registry means, status first: codes are too often wrong (quirks of Harbor and
    /// registry.redhat.io).
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        match self.status.as_u16() {
            _ if self.absent => RefusalKind::Absent,
            401 => RefusalKind::Unauthorized,
            403 => RefusalKind::Denied,
            404 => RefusalKind::Absent,
            429 => RefusalKind::RateLimited,
            405 | 501 => RefusalKind::Unsupported,
            400 if self.body.names(&ErrorCode::Unsupported) => RefusalKind::Unsupported,
            500..=599 | 408 => RefusalKind::Unavailable,
            _ => RefusalKind::Other,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status.as_u16())?;
        let body = self.body.to_string();
        if body.is_empty() {
            Ok(())
        } else {
            write!(f, ", {body}")
        }
    }
}

/// The kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The thing asked for does not exist.
    Absent,
    /// Access is denied.
    Denied,
    /// Something else.
    Other,
    /// Too many requests.
    RateLimited,
    /// Credentials are required.
    Unauthorized,
    /// The registry cannot answer now.
    Unavailable,
    /// The registry does not support this.
    Unsupported,
}
