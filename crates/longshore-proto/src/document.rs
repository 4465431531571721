//! The document in the body of an answer: verified before it is read.

use bytes::Bytes;
use http::response;
use longshore_model::{Digest, Manifest, ManifestError, UnsupportedAlgorithm, VerifyError};

use crate::endpoint::ManifestAnswer;
use crate::violation::Violation;

/// Why the body of an answer is not the document that was asked for.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "callers tell the faults of content, registry and client apart"
)]
pub enum DocumentError {
    /// The bytes do not match the requested digest, or the digest that the registry claims (DG2).
    #[error(transparent)]
    Digest(VerifyError),
    /// The bytes are not a manifest.
    #[error(transparent)]
    Manifest(ManifestError),
    /// No verifier exists for the algorithm of the digest (DG1).
    #[error(transparent)]
    Unverifiable(UnsupportedAlgorithm),
    /// The answer breaks the specification.
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// Reads a manifest from a successful answer (distribution-spec v1.1.1 "Pulling manifests").
///
/// `wanted` is the requested digest, if any. The bytes are hashed before they are parsed: they must
/// match that digest, and also the digest that the registry claims; a claim that is malformed, or
/// of an algorithm that cannot be verified, is ignored (DG2).
///
/// # Errors
///
/// [`DocumentError`] when the head breaks the specification, the bytes do not match, or they are
/// not a manifest.
pub fn read(
    wanted: Option<&Digest>,
    head: &response::Parts,
    bytes: Bytes,
) -> Result<(Manifest, ManifestAnswer), DocumentError> {
    let claims = ManifestAnswer::read(head)?;
    let claimed = claims.digest.as_ref();
    let content_type = claims.content_type.as_deref();
    let manifest = match wanted.or(claimed) {
        Some(digest) => Manifest::parse_verified(bytes, content_type, digest),
        None => match Violation::coding(head, "Pulling manifests") {
            // No digest can show that these bytes are the right ones (DG6).
            Some(violation) => return Err(violation.into()),
            None => Manifest::parse(bytes, content_type),
        },
    };
    let manifest = manifest.map_err(|error| match error {
        ManifestError::Verify(error) => DocumentError::Digest(error),
        ManifestError::UnsupportedAlgorithm(error) => DocumentError::Unverifiable(error),
        error => DocumentError::Manifest(error),
    })?;
    if let Some(claimed) = claimed.filter(|claimed| *claimed != manifest.digest()) {
        // The manifest was verified against the requested digest, perhaps under another algorithm.
        let actual = Digest::of(&claimed.algorithm(), manifest.bytes());
        let actual = actual.map_err(DocumentError::Unverifiable)?;
        if actual != *claimed {
            let expected = claimed.clone();
            return Err(DocumentError::Digest(VerifyError::Digest {
                expected,
                actual,
            }));
        }
    }
    Ok((manifest, claims))
}
