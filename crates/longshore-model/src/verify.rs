//! Checking content that arrives in pieces against the digest and size it should have.

use std::io::{self, Read};

use crate::digest::{Digest, Hasher, UnsupportedAlgorithm};

/// Checks a stream of bytes against a digest and, where it is known, a size.
///
/// The last holder of the bytes passes them in once, and may use them as verified only after
/// [`finish`](Self::finish) (DG3). Too much content fails at the piece that goes beyond the
/// size, before that piece is hashed (LI3).
///
/// Source: image-spec v1.1.1 "Verification".
#[derive(Clone, Debug)]
pub struct Verifier {
    expected: Digest,
    size: Option<u64>,
    position: u64,
    hasher: Hasher,
}

impl Verifier {
    /// Starts a verification against `expected` and, where it is known, `size` in bytes.
    ///
    /// # Errors
    ///
    /// [`UnsupportedAlgorithm`] when the digest cannot be computed: such content is refused,
    /// never taken unverified (DG1).
    pub fn new(expected: &Digest, size: Option<u64>) -> Result<Self, UnsupportedAlgorithm> {
        let hasher = Hasher::new(&expected.algorithm())?;
        Ok(Self {
            expected: expected.clone(),
            size,
            position: 0,
            hasher,
        })
    }

    /// Takes the next bytes of the content.
    ///
    /// # Errors
    ///
    /// [`VerifyError::TooLong`] when they go beyond the size. The verification has then failed
    /// for good: every later call says the same.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        // usize is at most 64 bits wide wherever this builds, and 2^64 bytes never arrive.
        self.position = self.position.saturating_add(bytes.len() as u64);
        self.check_length()?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Returns how many bytes were given so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Returns the digest the content should have.
    #[must_use]
    pub fn expected(&self) -> &Digest {
        &self.expected
    }

    /// Ends the content.
    ///
    /// # Errors
    ///
    /// The first of [`VerifyError::TooLong`], [`VerifyError::TooShort`] and
    /// [`VerifyError::Digest`] that holds.
    pub fn finish(self) -> Result<(), VerifyError> {
        self.check_length()?;
        if let Some(expected) = self.size
            && self.position < expected
        {
            return Err(VerifyError::TooShort {
                expected,
                actual: self.position,
            });
        }
        let actual = self.hasher.finish();
        if actual != self.expected {
            return Err(VerifyError::Digest {
                expected: self.expected,
                actual,
            });
        }
        Ok(())
    }

    fn check_length(&self) -> Result<(), VerifyError> {
        match self.size {
            Some(expected) if self.position > expected => Err(VerifyError::TooLong { expected }),
            _ => Ok(()),
        }
    }
}

/// A reader that hands bytes on and reports the end of the data only once they are verified.
///
/// Bytes that were handed out are not yet verified: only the clean end says that all were good.
/// Content that is too long or not what it should be is an error of kind
/// [`InvalidData`](io::ErrorKind::InvalidData) around a [`VerifyError`], and stays one.
#[derive(Debug)]
pub struct VerifyReader<R> {
    inner: R,
    verifier: Verifier,
    outcome: Option<Result<(), VerifyError>>,
}

impl<R> VerifyReader<R> {
    /// Verifies what `inner` reads with a verifier that was given nothing yet.
    pub fn new(inner: R, verifier: Verifier) -> Self {
        Self {
            inner,
            verifier,
            outcome: None,
        }
    }
}

impl<R: Read> Read for VerifyReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // An empty buffer reads nothing, which is not the end.
        if self.outcome.is_none() && !buffer.is_empty() {
            let count = self.inner.read(buffer)?;
            match buffer.get(..count) {
                Some([]) | None => self.outcome = Some(self.verifier.clone().finish()),
                Some(bytes) => match self.verifier.update(bytes) {
                    Ok(()) => return Ok(count),
                    Err(error) => self.outcome = Some(Err(error)),
                },
            }
        }
        match &self.outcome {
            Some(Err(error)) => Err(io::Error::new(io::ErrorKind::InvalidData, error.clone())),
            Some(Ok(())) | None => Ok(0),
        }
    }
}

/// Content that does not have the expected digest or size.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bytes have another digest.
    #[error("content has digest {actual}, expected {expected}")]
    Digest {
        /// The expected digest.
        expected: Digest,
        /// The digest of the bytes that arrived.
        actual: Digest,
    },
    /// There are more bytes than expected.
    #[error("content is longer than the expected {expected} bytes")]
    TooLong {
        /// Bytes expected.
        expected: u64,
    },
    /// There are fewer bytes than expected.
    #[error("content ended after {actual} of {expected} bytes")]
    TooShort {
        /// Bytes expected.
        expected: u64,
        /// Bytes that arrived.
        actual: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(size: Option<u64>, pieces: &[&[u8]]) -> Result<(), VerifyError> {
        let mut verifier = Verifier::new(&Digest::sha256(b"hello"), size).unwrap();
        for piece in pieces {
            verifier.update(piece)?;
        }
        verifier.finish()
    }

    #[test]
    fn dg3_length_and_digest_must_both_match() {
        for size in [None, Some(5)] {
            assert_eq!(run(size, &[b"hello"]), Ok(()));
            assert_eq!(run(size, &[b"h", b"", b"ello"]), Ok(()));
            let mismatch = VerifyError::Digest {
                expected: Digest::sha256(b"hello"),
                actual: Digest::sha256(b"jello"),
            };
            assert_eq!(run(size, &[b"jello"]), Err(mismatch));
        }
        let short = VerifyError::TooShort {
            expected: 6,
            actual: 5,
        };
        assert_eq!(run(Some(6), &[b"hello"]), Err(short));
        assert_eq!(
            run(Some(4), &[b"hello"]),
            Err(VerifyError::TooLong { expected: 4 })
        );
        assert_eq!(
            run(Some(5), &[]),
            Err(VerifyError::TooShort {
                expected: 5,
                actual: 0
            })
        );
    }

    #[test]
    fn li3_too_much_content_fails_at_the_byte_beyond_its_size_and_for_good() {
        let mut verifier = Verifier::new(&Digest::sha256(b"hello"), Some(5)).unwrap();
        assert_eq!(verifier.update(b"hello"), Ok(()));
        assert_eq!(verifier.position(), 5);
        let too_long = VerifyError::TooLong { expected: 5 };
        assert_eq!(verifier.update(b"!"), Err(too_long.clone()));
        assert_eq!(verifier.update(b""), Err(too_long.clone()));
        assert_eq!(verifier.finish(), Err(too_long));
    }

    /// Reads to the end with a small buffer and tells what came out, and whether it was clean.
    fn read(size: Option<u64>, content: &[u8]) -> (Vec<u8>, Option<VerifyError>) {
        let verifier = Verifier::new(&Digest::sha256(b"hello"), size).unwrap();
        let mut reader = VerifyReader::new(content, verifier);
        let (mut buffer, mut out) = ([0; 2], Vec::new());
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => {
                    assert_eq!(reader.read(&mut buffer).unwrap(), 0);
                    return (out, None);
                }
                Ok(count) => out.extend_from_slice(&buffer[..count]),
                Err(error) => {
                    let again = reader.read(&mut buffer).unwrap_err();
                    assert_eq!(again.to_string(), error.to_string());
                    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                    return (out, error.downcast().ok());
                }
            }
        }
    }

    #[test]
    fn a_reader_fails_before_it_reports_the_end() {
        assert_eq!(read(Some(5), b"hello"), (b"hello".to_vec(), None));
        assert_eq!(read(None, b"hello"), (b"hello".to_vec(), None));
        let too_long = VerifyError::TooLong { expected: 5 };
        assert_eq!(read(Some(5), b"hello!"), (b"hell".to_vec(), Some(too_long)));
        let too_short = VerifyError::TooShort {
            expected: 5,
            actual: 4,
        };
        assert_eq!(read(Some(5), b"hell"), (b"hell".to_vec(), Some(too_short)));
        let digest = |content| {
            let (expected, actual) = (Digest::sha256(b"hello"), Digest::sha256(content));
            Some(VerifyError::Digest { expected, actual })
        };
        assert_eq!(
            read(Some(5), b"jello"),
            (b"jello".to_vec(), digest(b"jello"))
        );
        assert_eq!(read(None, b""), (Vec::new(), digest(b"")));
    }

    #[test]
    fn dg1_content_under_another_algorithm_is_refused_before_it_comes() {
        let digest: Digest = "sha1:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
            .parse()
            .unwrap();
        let refused = Verifier::new(&digest, None).unwrap_err();
        assert_eq!(&*refused.algorithm, "sha1");
    }
}
