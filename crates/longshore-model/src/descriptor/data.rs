//! Content embedded in its descriptor.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;

use super::Descriptor;
use crate::digest::UnsupportedAlgorithm;
use crate::media_type::MediaType;
use crate::verify::VerifyError;

impl Descriptor {
    /// The empty descriptor, `{}`, with its two bytes embedded.
    ///
    /// Source: image-spec v1.1.1 "Guidance for an Empty Descriptor".
    #[must_use]
    pub fn empty() -> Self {
        Self::of(MediaType::OCI_EMPTY, b"{}").with_data(b"{}")
    }

    /// Embeds `content`, which is not compared with digest and size here.
    ///
    /// Embedded content makes every document with the descriptor longer. It is meant for content of
    /// a few hundred bytes.
    #[must_use]
    pub fn with_data(mut self, content: &[u8]) -> Self {
        self.data = Some(BASE64_STANDARD.encode(content));
        self
    }

    /// Returns the embedded content, verified against digest and size, where there is any (DG3).
    ///
    /// Content that does not match must not be used. The registry may still have the right content,
    /// so it can be fetched instead.
    ///
    /// Source: image-spec v1.1.1 "Embedded Content"; RFC 4648 §4, with padding and nothing else
    /// between.
    ///
    /// # Errors
    ///
    /// [`DataError`] when it is not base64, not the content described, or under an algorithm that
    /// cannot be computed (DG1).
    pub fn embedded(&self) -> Result<Option<Bytes>, DataError> {
        let Some(data) = &self.data else {
            return Ok(None);
        };
        let content = BASE64_STANDARD.decode(data).map_err(DataError::encoding)?;
        let mut verifier = self.verifier()?;
        verifier.update(&content)?;
        verifier.finish()?;
        Ok(Some(content.into()))
    }
}

/// Why embedded content must not be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// It is not base64.
    #[error("the embedded content is not base64: {}", unexpected(*.at))]
    Encoding {
        /// The first unexpected byte, from 0; `None` when the text ends too early.
        at: Option<usize>,
    },
    /// There is no implementation of its digest algorithm (DG1).
    #[error(transparent)]
    UnsupportedAlgorithm(#[from] UnsupportedAlgorithm),
    /// It does not have the digest or the size of the descriptor.
    #[error("the embedded content does not match its descriptor: {0}")]
    Verify(VerifyError),
}

impl From<VerifyError> for DataError {
    fn from(error: VerifyError) -> Self {
        Self::Verify(error)
    }
}

fn unexpected(at: Option<usize>) -> String {
    at.map_or_else(
        || "it ends too early".to_owned(),
        |at| format!("unexpected character at byte {at}"),
    )
}

impl DataError {
    fn encoding(error: base64::DecodeError) -> Self {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _) => Some(at),
            base64::DecodeError::InvalidLastSymbol { offset, .. } => Some(offset),
            _ => None,
        };
        Self::Encoding { at }
    }
}
