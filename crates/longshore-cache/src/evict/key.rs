//! A compact form of digests.

use longshore_model::{Algorithm, Digest};

/// A compact digest: 40 bytes for SHA-256, without an allocation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// The 32 bytes that a `sha256` digest encodes.
    Sha256([u8; 32]),
    /// Any other digest, as text.
    Other(Digest),
}

impl Key {
    /// Returns the key of a digest.
    pub(crate) fn of(digest: &Digest) -> Self {
        match (digest.algorithm(), decoded(digest.encoded())) {
            (Algorithm::Sha256, Some(bytes)) => Self::Sha256(bytes),
            _ => Self::Other(digest.clone()),
        }
    }

    /// Returns the digest of this key. It is always `Some`: the text of a key that [`Key::of`] made
    /// is that of a digest.
    pub(crate) fn digest(&self) -> Option<Digest> {
        match self {
            Self::Sha256(bytes) => {
                let mut text = String::with_capacity(71);
                text.push_str("sha256:");
                for nibble in bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]) {
                    text.push(char::from_digit(nibble.into(), 16)?);
                }
                text.parse().ok()
            }
            Self::Other(digest) => Some(digest.clone()),
        }
    }

    /// Returns 64 bits of the digest, which are equal after a restart too.
    ///
    /// Two digests with equal bits can be found with 2^32 attempts. The only effect is that a blob
    /// enters the main queue.
    pub(crate) fn fingerprint(&self) -> u64 {
        let bytes = match self {
            Self::Sha256(bytes) => bytes.first_chunk(),
            Self::Other(digest) => digest.encoded().as_bytes().last_chunk(),
        };
        bytes.copied().map_or(0, u64::from_be_bytes)
    }
}

/// Decodes 64 hexadecimal digits.
fn decoded(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

/// Decodes a hexadecimal digit as digests have it, in lower case.
const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_the_digest_it_was_made_of() {
        let sha256 = Digest::sha256(b"content");
        let sha512 = Digest::of(&Algorithm::Sha512, b"content").unwrap();
        let other: Digest = "other:0011".parse().unwrap();
        for digest in [&sha256, &sha512, &other] {
            assert_eq!(Key::of(digest).digest().as_ref(), Some(digest));
        }
        assert!(matches!(Key::of(&sha256), Key::Sha256(_)));
        assert_eq!(Key::of(&other), Key::Other(other));
        let first = u64::from_str_radix(&sha256.encoded()[..16], 16).unwrap();
        assert_eq!(Key::of(&sha256).fingerprint(), first);
        assert_eq!(size_of::<Key>(), 40);
    }
}
