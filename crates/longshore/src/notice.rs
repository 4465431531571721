//! Warnings and rate limits that registries send along with their answers.

use std::collections::HashSet;
use std::error::Error as _;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};

use http::HeaderMap;
use longshore_origin::{Escaped, Hop, Origin};
use longshore_proto::endpoint::ignored_digest;
use longshore_proto::{RateLimit, warning};

use crate::credentials::CredentialError;

/// A warning or a rate limit of a registry, or a warning about credentials. It changes nothing, but
/// users may want to see it.
///
/// `Display` is one line, in which control characters are escaped (OU1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The source of credentials does not work, so requests that read from this registry carry none
    /// (CR11). Reported once; a request that writes fails with the same reason.
    NoCredentials {
        /// The name of the registry.
        registry: String,
        /// What is wrong with the source.
        reason: String,
    },
    /// How many requests are allowed, and how many are left (RT8). Reported for each answer that
    /// states a rate limit.
    RateLimit {
        /// Who says it: the registry or a mirror of it.
        origin: Origin,
        /// The numbers.
        limit: RateLimit,
    },
    /// A header field is ignored, because its value is malformed or cannot be used. Content is
    /// verified without it (DG2). A client reports each field of an origin once.
    IgnoredHeader {
        /// Who sends it: the registry or a mirror of it.
        origin: Origin,
        /// The name of the field, in lower case.
        header: &'static str,
        /// The first value that was ignored, as sent.
        value: String,
    },
    /// A warning for the user (distribution-spec v1.1.1 "Warnings"). A client reports each warning
    /// once, and at most a thousand different ones.
    Warning {
        /// Who says it: the registry or a mirror of it.
        origin: Origin,
        /// What it says, as sent.
        text: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredentials { registry, reason } => {
                write!(
                    f,
                    "no credentials are sent to {registry}: {}",
                    Escaped::text(reason)
                )
            }
            Self::RateLimit { origin, limit } => write!(f, "{origin}: {limit}"),
            Self::IgnoredHeader {
                origin,
                header,
                value,
            } => write!(
                f,
                "{origin} sends a {header} that cannot be used, which is ignored: \"{}\"",
                Escaped::text(value)
            ),
            Self::Warning { origin, text } => {
                write!(f, "{origin} warns: {}", Escaped::text(text))
            }
        }
    }
}

/// The field that names the digest of the content.
const DIGEST_HEADER: &str = "docker-content-digest";

/// Passes notices to the listener and to the log.
#[derive(Default)]
pub(crate) struct Notices {
    pub(crate) listener: Option<Listener>,
    /// Hashes of the warnings that were already reported.
    told: Mutex<HashSet<u64>>,
}

pub(crate) type Listener = Box<dyn Fn(&Notice) + Send + Sync>;

/// Maximum number of different warnings that one client reports (LI).
const WARNINGS_TOLD: usize = 1000;

impl Notices {
    /// Looks for notices in an answer to this hop. Those of a foreign origin are not reported: the
    /// user did not name it.
    pub(crate) fn read(&self, hop: &Hop, headers: &HeaderMap) {
        if !hop.is_home() {
            return;
        }
        let origin = || hop.origin().clone();
        for text in warning::read(headers) {
            self.warn(&Notice::Warning {
                origin: origin(),
                text,
            });
        }
        if let Some(value) = ignored_digest(headers)
            && self.is_new(&format!("{DIGEST_HEADER} of {}", hop.origin()))
        {
            let notice = Notice::IgnoredHeader {
                origin: origin(),
                header: DIGEST_HEADER,
                value: String::from_utf8_lossy(value).into_owned(),
            };
            tracing::warn!(target: "longshore::notice", "{notice}");
            self.tell(&notice);
        }
        if let Some(limit) = RateLimit::read(headers) {
            let notice = Notice::RateLimit {
                origin: origin(),
                limit,
            };
            tracing::debug!(target: "longshore::notice", "{notice}");
            self.tell(&notice);
        }
    }

    /// Reports that the source of credentials does not work.
    pub(crate) fn no_credentials(&self, registry: &str, error: &CredentialError) {
        let reason = error.source().map_or_else(String::new, ToString::to_string);
        let registry = registry.to_owned();
        self.warn(&Notice::NoCredentials { registry, reason });
    }

    /// Reports a warning, unless it was reported before.
    fn warn(&self, notice: &Notice) {
        if self.is_new(&notice.to_string()) {
            tracing::warn!(target: "longshore::notice", "{notice}");
            self.tell(notice);
        }
    }

    fn is_new(&self, subject: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        subject.hash(&mut hasher);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < WARNINGS_TOLD && told.insert(hasher.finish())
    }

    fn tell(&self, notice: &Notice) {
        if let Some(listener) = &self.listener {
            listener(notice);
        }
    }
}
