//! Content embedded in its descriptor.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;

use super::Descriptor;
use crate::digest::UnsupportedAlgorithm;
use crate::media_type::MediaType;
use crate::verify::VerifyError;

impl Descriptor {
    /// The descriptor that stands for "nothing", with its two bytes embedded.
    ///
    /// Source: image-spec v1.1.1 "Guidance for an Empty Descriptor".
    #[must_use]
    pub fn empty() -> Self {
        Self::of(MediaType::OCI_EMPTY, b"{}").with_data(b"{}")
    }

    /// Embeds `content`, which is not compared with digest and size here.
    ///
    /// What is embedded makes every document that holds the descriptor longer: it is meant for
    /// content of a few hundred bytes.
    #[must_use]
    pub fn with_data(mut self, content: &[u8]) -> Self {
        self.data = Some(BASE64_STANDARD.encode(content));
        self
    }

    /// Returns the embedded content, verified against digest and size, where there is any (DG3).
    ///
    /// Content that is not what the descriptor says must not be used, and says nothing about what
    /// the registry holds: it can still be fetched.
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

/// Embedded content that must not be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// It is not base64.
    #[error("the embedded content is not base64")]
    Encoding {
        /// The first byte that is wrong, from 0; `None` when the text ends too early.
        at: Option<usize>,
    },
    /// Its digest cannot be computed (DG1).
    #[error(transparent)]
    UnsupportedAlgorithm(#[from] UnsupportedAlgorithm),
    /// It is not what the descriptor says.
    #[error("the embedded content is not what its descriptor says")]
    Verify(#[from] VerifyError),
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
