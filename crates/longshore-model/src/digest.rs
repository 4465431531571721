//! Digests: the name content has because of what it is.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

use crate::text::{split_once, text_traits};

pub use reader::DigestReadError;

mod reader;

/// The longest digest text accepted, in bytes; longer text is refused.
///
/// The grammar sets no bound. The longest registered form takes 135 bytes, and a digest becomes
/// part of URLs and file names.
pub const DIGEST_LIMIT_BYTES: usize = 512;

/// A well-formed content digest, `algorithm:encoded`.
///
/// Holding one means that the text follows the image-spec grammar and, for an algorithm known
/// here, that the encoded part has exactly its length in lower-case hexadecimal. It does *not*
/// mean that the algorithm can be computed: see [`Hasher::new`].
///
/// Equality, order and hash are those of the text.
///
/// Source: image-spec v1.1.1 "Digests".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Box<str>);

impl Digest {
    /// Computes the SHA-256 digest of `content`.
    #[must_use]
    pub fn sha256(content: &[u8]) -> Self {
        Self::from_hash("sha256", &sha2::Sha256::digest(content))
    }

    /// Computes the digest of `content` under `algorithm`.
    ///
    /// # Errors
    ///
    /// [`UnsupportedAlgorithm`] when there is no implementation of `algorithm`.
    pub fn of(algorithm: &Algorithm, content: &[u8]) -> Result<Self, UnsupportedAlgorithm> {
        let mut hasher = Hasher::new(algorithm)?;
        hasher.update(content);
        Ok(hasher.finish())
    }

    /// Returns the whole text, `sha256:…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the algorithm this digest names.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        Algorithm::known_or_other(self.parts().0)
    }

    /// Returns the part after the colon; hexadecimal for every algorithm known here.
    #[must_use]
    pub fn encoded(&self) -> &str {
        self.parts().1
    }

    /// Returns the first twelve characters of the encoded part, for people to look at.
    #[must_use]
    pub fn short(&self) -> &str {
        let encoded = self.encoded();
        encoded.get(..SHORT_LENGTH).unwrap_or(encoded)
    }

    /// Returns where an image layout keeps this content, `blobs/<algorithm>/<encoded>`.
    ///
    /// The grammar allows neither a slash nor two dots in a row, so the path cannot leave its
    /// root. Source: image-spec v1.1.1 "Image Layout", "Blobs".
    #[must_use]
    pub fn blob_path(&self) -> String {
        let (algorithm, encoded) = self.parts();
        format!("blobs/{algorithm}/{encoded}")
    }

    /// Makes a digest of text that [`check_digest`] let pass.
    pub(crate) fn from_checked(text: &str) -> Self {
        Self(text.into())
    }

    fn parts(&self) -> (&str, &str) {
        // Every constructor put the colon there.
        split_once(&self.0, b':').unwrap_or_default()
    }

    fn from_hash(algorithm: &str, hash: &[u8]) -> Self {
        let mut text = String::with_capacity(algorithm.len() + 1 + 2 * hash.len());
        text.push_str(algorithm);
        text.push(':');
        for byte in hash {
            for nibble in [byte >> 4, byte & 0xf] {
                text.push(char::from_digit(nibble.into(), 16).unwrap_or_default());
            }
        }
        Self(text.into())
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        check_digest(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.as_str())
    }
}

text_traits!(Digest, "a digest, `algorithm:encoded`");

/// A digest algorithm, by its identifier.
///
/// Source: image-spec v1.1.1 "Registered algorithms". SHA-384 is not registered there, but
/// registries and clients in use accept it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Algorithm {
    /// `sha256`, 64 hexadecimal digits.
    Sha256,
    /// `sha384`, 96 hexadecimal digits.
    Sha384,
    /// `sha512`, 128 hexadecimal digits.
    Sha512,
    /// A well-formed identifier of an algorithm that cannot be computed here.
    Other(Box<str>),
}

impl Algorithm {
    /// Returns the identifier, `sha256` for example.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Other(name) => name,
        }
    }

    /// Makes an algorithm of an identifier that follows the grammar.
    pub(crate) fn known_or_other(name: &str) -> Self {
        match name {
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            other => Self::Other(other.into()),
        }
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        if text.len() > DIGEST_LIMIT_BYTES {
            return Err(DigestError::TooLong { length: text.len() });
        }
        check_algorithm(text)?;
        Ok(Self::known_or_other(text))
    }
}

text_traits!(Algorithm, "a digest algorithm");

/// Computes a digest over content that arrives in pieces.
#[derive(Clone)]
pub struct Hasher(State);

// One of these exists per transfer; boxing the larger states would buy nothing.
#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// Starts a digest under `algorithm`.
    ///
    /// # Errors
    ///
    /// [`UnsupportedAlgorithm`] for [`Algorithm::Other`].
    pub fn new(algorithm: &Algorithm) -> Result<Self, UnsupportedAlgorithm> {
        match algorithm {
            Algorithm::Sha256 => Ok(Self(State::Sha256(sha2::Sha256::new()))),
            Algorithm::Sha384 => Ok(Self(State::Sha384(sha2::Sha384::new()))),
            Algorithm::Sha512 => Ok(Self(State::Sha512(sha2::Sha512::new()))),
            Algorithm::Other(name) => Err(UnsupportedAlgorithm {
                algorithm: name.clone(),
            }),
        }
    }

    /// Takes the next bytes of the content.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha384(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// Returns the digest of everything taken so far.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => Digest::from_hash("sha256", &state.finalize()),
            State::Sha384(state) => Digest::from_hash("sha384", &state.finalize()),
            State::Sha512(state) => Digest::from_hash("sha512", &state.finalize()),
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = match self.0 {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha384(_) => Algorithm::Sha384,
            State::Sha512(_) => Algorithm::Sha512,
        };
        f.debug_tuple("Hasher").field(&algorithm).finish()
    }
}

/// Text that is not a digest. Positions are in bytes from 0; a text that ends too early is reported
/// at its length.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// The algorithm does not follow the grammar.
    #[error(
        "malformed digest algorithm: unexpected character or end at byte {at}; it is lower-case \
         letters and digits, with single `+`, `.`, `_` or `-` between them"
    )]
    Algorithm {
        /// Where the text leaves the grammar.
        at: usize,
    },
    /// The encoded part is empty, or has a character that its algorithm does not allow.
    #[error(
        "malformed encoded part of the digest: unexpected character or end at byte {at}; sha256, \
         sha384, sha512 and blake3 have lower-case hexadecimal digits"
    )]
    Encoded {
        /// Where the text leaves the grammar.
        at: usize,
    },
    /// The encoded part does not have the length of its algorithm.
    #[error(
        "the encoded part of the digest has {found} characters, and its algorithm requires \
         {expected} hexadecimal digits"
    )]
    Length {
        /// Characters that the algorithm requires.
        expected: usize,
        /// Characters found.
        found: usize,
    },
    /// There is no colon between algorithm and encoded part.
    #[error("there is no colon, and a digest is `algorithm:encoded`")]
    MissingColon,
    /// The text is longer than [`DIGEST_LIMIT_BYTES`].
    #[error("the digest has {length} bytes, and at most {DIGEST_LIMIT_BYTES} are allowed")]
    TooLong {
        /// Bytes found.
        length: usize,
    },
}

impl DigestError {
    /// The same error with its position counted from `by` bytes before.
    pub(crate) fn shifted(self, by: usize) -> Self {
        match self {
            Self::Algorithm { at } => Self::Algorithm { at: by + at },
            Self::Encoded { at } => Self::Encoded { at: by + at },
            Self::Length { .. } | Self::MissingColon | Self::TooLong { .. } => self,
        }
    }
}

/// A well-formed digest algorithm without an implementation here.
///
/// Content under such a digest is refused, never accepted unverified (DG1).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the digest algorithm {algorithm} is not supported, so the content cannot be verified")]
#[non_exhaustive]
pub struct UnsupportedAlgorithm {
    /// The identifier; lower-case letters, digits and `+._-` only.
    pub algorithm: Box<str>,
}

/// Checks a digest and returns its algorithm.
//
// digest                ::= algorithm ":" encoded
// algorithm             ::= algorithm-component (algorithm-separator algorithm-component)*
// algorithm-component   ::= [a-z0-9]+
// algorithm-separator   ::= [+._-]
// encoded               ::= [a-zA-Z0-9=_-]+
pub(crate) fn check_digest(text: &str) -> Result<&str, DigestError> {
    // Nearly every digest is this one, and need not be searched for its colon.
    if let Some(encoded) = text.strip_prefix("sha256:") {
        check_hex("sha256:".len(), encoded, 64)?;
        return Ok("sha256");
    }
    if text.len() > DIGEST_LIMIT_BYTES {
        return Err(DigestError::TooLong { length: text.len() });
    }
    let (algorithm, encoded) = split_once(text, b':').ok_or(DigestError::MissingColon)?;
    match hex_length(algorithm) {
        Some(expected) => check_hex(algorithm.len() + 1, encoded, expected)?,
        None => check_other(algorithm, encoded)?,
    }
    Ok(algorithm)
}

/// Digits of the registered algorithms, and of SHA-384.
fn hex_length(algorithm: &str) -> Option<usize> {
    match algorithm {
        "blake3" | "sha256" => Some(64),
        "sha384" => Some(96),
        "sha512" => Some(128),
        _ => None,
    }
}

fn check_hex(start: usize, encoded: &str, expected: usize) -> Result<(), DigestError> {
    if encoded.len() != expected {
        return Err(DigestError::Length {
            expected,
            found: encoded.len(),
        });
    }
    let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    // No early exit: the compiler turns this into a few vector instructions.
    if encoded
        .as_bytes()
        .iter()
        .fold(true, |good, byte| good & digit(byte))
    {
        return Ok(());
    }
    let at = encoded
        .bytes()
        .position(|byte| !digit(&byte))
        .unwrap_or_default();
    Err(DigestError::Encoded { at: start + at })
}

fn check_other(algorithm: &str, encoded: &str) -> Result<(), DigestError> {
    check_algorithm(algorithm)?;
    let start = algorithm.len() + 1;
    if encoded.is_empty() {
        return Err(DigestError::Encoded { at: start });
    }
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'_' | b'-');
    match encoded.bytes().position(|byte| !good(byte)) {
        Some(at) => Err(DigestError::Encoded { at: start + at }),
        None => Ok(()),
    }
}

fn check_algorithm(algorithm: &str) -> Result<(), DigestError> {
    let mut inside = false;
    for (at, byte) in algorithm.bytes().enumerate() {
        inside = match byte {
            b'a'..=b'z' | b'0'..=b'9' => true,
            b'+' | b'.' | b'_' | b'-' if inside => false,
            _ => return Err(DigestError::Algorithm { at }),
        };
    }
    if inside {
        Ok(())
    } else {
        Err(DigestError::Algorithm {
            at: algorithm.len(),
        })
    }
}

const SHORT_LENGTH: usize = 12;

#[cfg(test)]
mod tests;
