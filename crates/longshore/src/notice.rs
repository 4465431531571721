//! Warnings and rate limits that registries send along with their answers.

use std::collections::HashSet;
use std::error::Error as _;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use longshore_model::RepositoryName;
use longshore_origin::{Escaped, Hop, Origin};
use longshore_proto::endpoint::{DeleteRequest, ignored_digest};
use longshore_proto::{RateLimit, warning};

use crate::credentials::CredentialError;

/// A warning or a rate limit of a registry, or a warning about credentials. It changes nothing, but
/// users may want to see it.
///
/// `Display` is one line, in which control characters are escaped (OU1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Something that was to be deleted is not there, and an earlier attempt, whose answer was
    /// lost, may have deleted it. It counts as deleted.
    DeletedUnseen {
        /// The registry.
        origin: Origin,
        /// What was to be deleted.
        content: String,
    },
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
    /// The registry allows no more requests until its rate limit is reset, and the client waits for
    /// that ([`ClientBuilder::wait_for_quota`](crate::ClientBuilder::wait_for_quota)).
    WaitingForQuota {
        /// The registry or a mirror of it.
        origin: Origin,
        /// How long the client waits.
        wait: Duration,
    },
    /// The registry refused to mount a blob of another of its repositories, so the blob is sent. A
    /// client reports each pair of repositories once.
    MountRefused {
        /// The registry.
        origin: Origin,
        /// The repository that has the blob.
        from: RepositoryName,
        /// The repository that was to get it.
        to: RepositoryName,
        /// The status of the refusal; `None` when no token for both repositories was issued.
        status: Option<StatusCode>,
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
            Self::DeletedUnseen { origin, content } => write!(
                f,
                "{origin} does not have {content}: an earlier attempt, whose answer was lost, may \
                 have deleted it"
            ),
            Self::NoCredentials { registry, reason } => {
                write!(
                    f,
                    "no credentials are sent to {registry}: {}",
                    Escaped::text(reason)
                )
            }
            Self::RateLimit { origin, limit } => write!(f, "{origin}: {limit}"),
            Self::MountRefused {
                origin,
                from,
                to,
                status,
            } => {
                write!(f, "{origin} refuses to mount blobs of {from} in {to}")?;
                match status {
                    Some(status) => write!(f, " (status {}), so they are sent", status.as_u16()),
                    None => f.write_str(" (no token for both), so they are sent"),
                }
            }
            Self::WaitingForQuota { origin, wait } => write!(
                f,
                "{origin} allows no more requests for now: waiting {} s until its rate limit is \
                 reset",
                wait.as_secs()
            ),
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

    /// Reports that something is not there after an attempt to delete it that got no answer.
    pub(crate) fn deleted_unseen(&self, origin: &Origin, request: &DeleteRequest) {
        let (origin, content) = (origin.clone(), request.to_string());
        let notice = Notice::DeletedUnseen { origin, content };
        tracing::warn!(target: "longshore::notice", "{notice}");
        self.tell(&notice);
    }

    /// Reports that a request waits for the end of a rate limit's window.
    pub(crate) fn waiting_for_quota(&self, origin: &Origin, wait: Duration) {
        let origin = origin.clone();
        let notice = Notice::WaitingForQuota { origin, wait };
        tracing::warn!(target: "longshore::notice", "{notice}");
        self.tell(&notice);
    }

    /// Reports that blobs of one repository are not mounted in another, once for each pair.
    pub(crate) fn mount_refused(
        &self,
        origin: &Origin,
        from: &RepositoryName,
        to: &RepositoryName,
        status: Option<StatusCode>,
    ) {
        if self.is_new(&format!("mount of {from} in {to} of {origin}")) {
            let notice = Notice::MountRefused {
                origin: origin.clone(),
                from: from.clone(),
                to: to.clone(),
                status,
            };
            tracing::warn!(target: "longshore::notice", "{notice}");
            self.tell(&notice);
        }
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
