//! What registries say beside their answers.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};

use http::HeaderMap;
use longshore_origin::{Escaped, Hop, Origin};
use longshore_proto::{RateLimit, warning};

/// Something a registry says that changes nothing, but that its users may want to know.
///
/// `Display` is one line, with everything a terminal could obey made harmless (OU1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// How much may be asked, and how much of it is left (RT8); with each answer that says so.
    RateLimit {
        /// Who says it: the registry or a mirror of it.
        origin: Origin,
        /// The numbers.
        limit: RateLimit,
    },
    /// A warning for the user (distribution-spec v1.1.1 "Warnings"); each is told once by a
    /// client, as long as there are no more than a thousand.
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
            Self::RateLimit { origin, limit } => write!(f, "{origin}: {limit}"),
            Self::Warning { origin, text } => {
                write!(f, "{origin} warns: {}", Escaped::text(text))
            }
        }
    }
}

/// Tells notices to whoever wants them, and to the log.
#[derive(Default)]
pub(crate) struct Notices {
    pub(crate) listener: Option<Listener>,
    /// Hashes of the warnings that were told.
    told: Mutex<HashSet<u64>>,
}

pub(crate) type Listener = Box<dyn Fn(&Notice) + Send + Sync>;

/// So many warnings are remembered, so as to be told once; then no more are told (LI).
const WARNINGS_TOLD: usize = 1000;

impl Notices {
    /// Looks for notices in an answer to this hop. What a foreign origin says is not told: the
    /// user does not know it.
    pub(crate) fn read(&self, hop: &Hop, headers: &HeaderMap) {
        if !hop.is_home() {
            return;
        }
        let origin = || hop.origin().clone();
        for text in warning::read(headers) {
            let notice = Notice::Warning {
                origin: origin(),
                text,
            };
            if self.is_new(&notice) {
                tracing::warn!(target: "longshore::notice", "{notice}");
                self.tell(&notice);
            }
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

    fn is_new(&self, notice: &Notice) -> bool {
        let mut hasher = DefaultHasher::new();
        notice.to_string().hash(&mut hasher);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < WARNINGS_TOLD && told.insert(hasher.finish())
    }

    fn tell(&self, notice: &Notice) {
        if let Some(listener) = &self.listener {
            listener(notice);
        }
    }
}
