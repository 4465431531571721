//! The document in the body of an answer: verified before it is read.

use bytes::Bytes;
use http::response;
use longshore_model::{
    Digest, Manifest, ManifestError, UnsupportedAlgorithm, Verifier, VerifyError,
};

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
    check_claim(claimed, manifest.digest(), manifest.bytes())?;
    Ok((manifest, claims))
}

/// A document whose bytes were verified. It was not parsed, so it may be no manifest.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VerifiedDocument {
    /// The bytes, as received.
    pub bytes: Bytes,
    /// Their digest, with the algorithm of the requested digest, or else of the digest that the
    /// registry claims.
    pub digest: Digest,
    /// What the registry says about the document.
    pub claims: ManifestAnswer,
}

/// Verifies the document of a successful answer and does not parse it, for a caller that passes it
/// on: documents of types that this crate does not know pass as well.
///
/// The digests count as in [`read`]. If neither the request nor the answer has a digest, the
/// document must be a manifest, because nothing else shows that it is no error page.
///
/// # Errors
///
/// [`DocumentError`] when the head breaks the specification or the bytes do not match; without any
/// digest, also when they are not a manifest.
pub fn verify(
    wanted: Option<&Digest>,
    head: &response::Parts,
    bytes: Bytes,
) -> Result<VerifiedDocument, DocumentError> {
    let claims = ManifestAnswer::read(head)?;
    let Some(digest) = wanted.or(claims.digest.as_ref()).cloned() else {
        let (manifest, claims) = read(None, head, bytes)?;
        return Ok(VerifiedDocument {
            bytes: manifest.bytes().clone(),
            digest: manifest.digest().clone(),
            claims,
        });
    };
    let mut verifier = Verifier::new(&digest, None).map_err(DocumentError::Unverifiable)?;
    let verified = verifier.update(&bytes).and_then(|()| verifier.finish());
    verified.map_err(DocumentError::Digest)?;
    check_claim(claims.digest.as_ref(), &digest, &bytes)?;
    Ok(VerifiedDocument {
        bytes,
        digest,
        claims,
    })
}

/// Checks bytes of this digest against the digest that the registry claims, which may be of another
/// algorithm (DG2).
fn check_claim(
    claimed: Option<&Digest>,
    digest: &Digest,
    bytes: &[u8],
) -> Result<(), DocumentError> {
    let Some(expected) = claimed.filter(|claimed| *claimed != digest) else {
        return Ok(());
    };
    let actual = Digest::of(&expected.algorithm(), bytes);
    let actual = actual.map_err(DocumentError::Unverifiable)?;
    if actual == *expected {
        return Ok(());
    }
    let expected = expected.clone();
    Err(DocumentError::Digest(VerifyError::Digest {
        expected,
        actual,
    }))
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn head(digest: Option<&Digest>) -> response::Parts {
        let mut response = Response::builder();
        if let Some(digest) = digest {
            response = response.header("docker-content-digest", digest.as_str());
        }
        response.body(()).unwrap().into_parts().0
    }

    #[test]
    fn dg2_any_document_passes_whose_digest_is_known_and_right() {
        let bytes = Bytes::from_static(b"no manifest");
        let (right, wrong) = (Digest::sha256(&bytes), Digest::sha256(b"other"));
        for (wanted, claimed, passes) in [
            (Some(&right), None, true),
            (None, Some(&right), true),
            (Some(&right), Some(&right), true),
            (Some(&right), Some(&wrong), false),
            (Some(&wrong), Some(&right), false),
            (None, Some(&wrong), false),
            (None, None, false),
        ] {
            let verified = verify(wanted, &head(claimed), bytes.clone());
            let digest = verified.ok().map(|verified| verified.digest);
            assert_eq!(
                digest,
                passes.then(|| right.clone()),
                "{wanted:?} {claimed:?}"
            );
        }
    }
}
