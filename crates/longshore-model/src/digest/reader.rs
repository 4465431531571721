//! The digest of everything a reader yields.

use std::io::{self, Read};

use super::{Algorithm, Digest, Hasher, UnsupportedAlgorithm};

impl Digest {
    /// Reads to the end and returns the digest of the content and its length in bytes.
    ///
    /// The content passes through one buffer of 64 KiB, however long it is. A read that was
    /// interrupted is repeated ([`io::ErrorKind::Interrupted`]).
    ///
    /// ```
    /// use longshore_model::{Algorithm, Digest};
    ///
    /// let content = b"hello";
    /// let (digest, length) = Digest::of_reader(&Algorithm::Sha256, content.as_slice())?;
    /// assert_eq!((digest, length), (Digest::sha256(content), 5));
    /// # Ok::<_, longshore_model::DigestReadError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DigestReadError::UnsupportedAlgorithm`] when there is no implementation of `algorithm`;
    /// nothing was read then. [`DigestReadError::Read`] when the reader fails.
    pub fn of_reader(
        algorithm: &Algorithm,
        mut reader: impl Read,
    ) -> Result<(Self, u64), DigestReadError> {
        let mut hasher = Hasher::new(algorithm)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut length = 0_u64;
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok((hasher.finish(), length)),
                Ok(count) => {
                    hasher.update(buffer.get(..count).unwrap_or(&buffer));
                    length = length.saturating_add(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(DigestReadError::Read { at: length, source }),
            }
        }
    }
}

/// Content whose digest could not be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DigestReadError {
    /// The reader failed.
    #[error("cannot read the content from byte {at} on")]
    Read {
        /// Number of bytes that were read before.
        at: u64,
        /// What the reader reported.
        source: io::Error,
    },
    /// There is no implementation of the algorithm.
    #[error(transparent)]
    UnsupportedAlgorithm(#[from] UnsupportedAlgorithm),
}

const BUFFER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    /// Yields its pieces one by one; an empty piece is an interruption.
    struct Pieces<'a>(Vec<&'a [u8]>);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.pop() {
                None => Ok(0),
                Some([]) => Err(io::ErrorKind::Interrupted.into()),
                Some(piece) => {
                    buffer[..piece.len()].copy_from_slice(piece);
                    Ok(piece.len())
                }
            }
        }
    }

    #[test]
    fn the_digest_is_that_of_the_whole_content() {
        let content: Vec<u8> = (0..=255).cycle().take(3 * BUFFER_BYTES + 7).collect();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
            let expected = Digest::of(&algorithm, &content).unwrap();
            let found = Digest::of_reader(&algorithm, content.as_slice()).unwrap();
            assert_eq!(found, (expected, content.len() as u64));
        }
        let (digest, length) = Digest::of_reader(&Algorithm::Sha256, io::empty()).unwrap();
        assert_eq!((digest, length), (Digest::sha256(b""), 0));
    }

    #[test]
    fn an_interrupted_read_is_repeated() {
        let pieces = Pieces(vec![b"lo", b"", b"", b"hel"]);
        let (digest, length) = Digest::of_reader(&Algorithm::Sha256, pieces).unwrap();
        assert_eq!((digest, length), (Digest::sha256(b"hello"), 5));
    }

    #[test]
    fn a_reader_that_fails_is_an_error_that_says_where() {
        struct Failing;

        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("pulled out"))
            }
        }

        let error = Digest::of_reader(&Algorithm::Sha256, b"hello".chain(Failing)).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the content from byte 5 on");
        assert_eq!(error.source().unwrap().to_string(), "pulled out");
    }

    // DG1: no digest is made up for an algorithm that cannot be computed.
    #[test]
    fn dg1_an_unsupported_algorithm_is_refused_before_anything_is_read() {
        let blake3: Algorithm = "blake3".parse().unwrap();
        let mut rest = b"hello".as_slice();
        let error = Digest::of_reader(&blake3, &mut rest).unwrap_err();
        assert!(matches!(
            error,
            DigestReadError::UnsupportedAlgorithm(UnsupportedAlgorithm { algorithm })
                if &*algorithm == "blake3"
        ));
        assert_eq!(rest, b"hello");
    }
}
