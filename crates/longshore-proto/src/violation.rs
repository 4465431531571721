//! Answers that break the specification.

use http::{HeaderName, StatusCode, header, response};
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
    /// What is wrong with a body that is coded although it was asked for as it is stored (DG6);
    /// `None` where it is not coded.
    ///
    /// A body whose bytes match the digest it was asked for by may be used all the same.
    #[must_use]
    pub fn coding(head: &response::Parts, section: &'static str) -> Option<Self> {
        let mut codings = head.headers.get_all(header::CONTENT_ENCODING).iter();
        let coding = codings.find(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))?;
        Some(Self::header(
            section,
            &header::CONTENT_ENCODING,
            coding.as_bytes(),
        ))
    }

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
