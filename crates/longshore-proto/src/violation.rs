//! Answers that break the specification.

use http::{HeaderName, StatusCode, response};
use longshore_origin::Escaped;

/// A registry's answer that the specification does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A header does not hold what it must.
    #[error("the registry breaks distribution-spec \"{section}\": header {header} is \"{found}\"")]
    Header {
        /// The section of the specification.
        section: &'static str,
        /// The header's name.
        header: String,
        /// What it holds, made safe to show.
        found: String,
    },
    /// A status that is none of those the section allows.
    #[error("the registry breaks distribution-spec \"{section}\": status {status}")]
    Status {
        /// The section of the specification.
        section: &'static str,
        /// The status of the answer.
        status: u16,
    },
}

impl Violation {
    pub(crate) fn header(section: &'static str, header: &HeaderName, found: &[u8]) -> Self {
        Self::Header {
            section,
            header: header.as_str().to_owned(),
            found: Escaped::new(found).to_string(),
        }
    }

    pub(crate) fn unless_status(
        head: &response::Parts,
        allowed: &[StatusCode],
        section: &'static str,
    ) -> Result<(), Self> {
        if allowed.contains(&head.status) {
            return Ok(());
        }
        Err(Self::Status {
            section,
            status: head.status.as_u16(),
        })
    }
}
