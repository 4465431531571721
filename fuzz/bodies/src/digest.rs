//! Digests, against a second reader, and content against them.

use longshore_model::{
    Algorithm, DIGEST_LIMIT_BYTES, Digest, Hasher, TagOrDigest, Verifier, VerifyError,
};

use crate::shown::is_plain;

/// Reads the bytes as one digest, and takes the digests of the bytes.
///
/// # Panics
///
/// When the two readers disagree, when the parts of a digest do not lead back to it, when its path
/// leaves the directory of blobs, or when content is verified that is not what it should be.
pub fn digest(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        match text.parse::<Digest>() {
            Ok(digest) => {
                assert!(follows_the_grammar(text), "{digest} is no digest");
                is_made_of_its_parts(&digest, text);
                stays_below_its_directory(&digest);
            }
            Err(error) => {
                assert!(!follows_the_grammar(text), "{text:?}: {error}");
                is_plain(&error);
            }
        }
    }
    for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
        verifies(&algorithm, data);
    }
}

/// image-spec v1.1.1 "Digests", and the lengths of "Registered algorithms".
fn follows_the_grammar(text: &str) -> bool {
    let Some((algorithm, encoded)) = text.split_once(':') else {
        return false;
    };
    let hex = |length: usize| {
        let digits = encoded.bytes().all(|b| b"0123456789abcdef".contains(&b));
        digits && encoded.chars().count() == length
    };
    let fits = match algorithm {
        "sha256" | "blake3" => hex(64),
        "sha384" => hex(96),
        "sha512" => hex(128),
        _ => {
            let component = |part: &str| {
                !part.is_empty() && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9'))
            };
            let letter = |c: char| c.is_ascii_alphanumeric() || "=_-".contains(c);
            algorithm.split(['+', '.', '_', '-']).all(component)
                && !encoded.is_empty()
                && encoded.chars().all(letter)
        }
    };
    fits && text.len() <= DIGEST_LIMIT_BYTES
}

fn is_made_of_its_parts(digest: &Digest, text: &str) {
    let algorithm = digest.algorithm();
    assert_eq!(digest.to_string(), text);
    assert_eq!(format!("{algorithm}:{}", digest.encoded()), text);
    assert_eq!(algorithm.as_str().parse().as_ref(), Ok(&algorithm));
    assert!(digest.encoded().starts_with(digest.short()) && !digest.short().is_empty());
    let target = text.parse::<TagOrDigest>();
    assert_eq!(target, Ok(TagOrDigest::Digest(digest.clone())));
    // DG1: no content is verified under an algorithm that cannot be computed.
    let known = matches!(
        algorithm,
        Algorithm::Sha256 | Algorithm::Sha384 | Algorithm::Sha512
    );
    assert_eq!(Verifier::new(digest, None).is_ok(), known, "DG1");
    assert_eq!(Digest::of(&algorithm, b"").is_ok(), known, "DG1");
}

/// DG1: a path is `blobs`, the algorithm and the rest, and nothing that leads elsewhere.
fn stays_below_its_directory(digest: &Digest) {
    let path = digest.blob_path();
    let parts: Vec<&str> = path.split('/').collect();
    let algorithm = digest.algorithm();
    assert_eq!(parts, ["blobs", algorithm.as_str(), digest.encoded()]);
    let leads_on = |part: &&str| !part.is_empty() && !part.starts_with('.') && !part.contains('\\');
    assert!(parts.iter().all(leads_on), "DG1: {path}");
}

/// DG3: length and digest both have to match, however the content is cut.
fn verifies(algorithm: &Algorithm, content: &[u8]) {
    let unsupported = |error| -> Digest { panic!("{error}") };
    let expected = Digest::of(algorithm, content).unwrap_or_else(unsupported);
    assert!(follows_the_grammar(expected.as_str()), "{expected}");
    let cut = content.first().map_or(0, |byte| usize::from(*byte));
    let (head, tail) = content.split_at(cut.min(content.len()));
    let mut hasher = Hasher::new(algorithm).unwrap_or_else(|error| panic!("{error}"));
    [head, tail]
        .into_iter()
        .for_each(|part| hasher.update(part));
    assert_eq!(hasher.finish(), expected);

    let length = content.len() as u64;
    assert_eq!(verify(&expected, Some(length), [head, tail]), Ok(()));
    assert_eq!(verify(&expected, None, [head, tail]), Ok(()));
    let short = verify(&expected, Some(length + 1), [head, tail]);
    let too_short = VerifyError::TooShort {
        expected: length + 1,
        actual: length,
    };
    assert_eq!(short, Err(too_short), "DG3");
    if let Some(less) = length.checked_sub(1) {
        let long = verify(&expected, Some(less), [head, tail]);
        assert_eq!(long, Err(VerifyError::TooLong { expected: less }), "LI3");
    }
    let other = verify(&expected, None, [content, b"\0"]);
    assert!(matches!(other, Err(VerifyError::Digest { .. })), "DG3");
}

fn verify(expected: &Digest, size: Option<u64>, parts: [&[u8]; 2]) -> Result<(), VerifyError> {
    let mut verifier = Verifier::new(expected, size).unwrap_or_else(|error| panic!("{error}"));
    for part in parts {
        verifier.update(part)?;
    }
    verifier.finish()
}
