//! Bytes that are held, or made again from a seed whenever they are read.

use std::io;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Immutable bytes of known length, readable from any offset.
///
/// Short content is held; long content is a rule (head, pseudo-random middle, zeros) and costs no
/// memory until it is read, so a test can serve gibibytes.
#[derive(Clone, Debug)]
pub struct BlobContent(Vec<Segment>);

#[derive(Clone, Debug)]
enum Segment {
    Held(Bytes),
    Random { seed: u64, length: u64 },
    Repeated { pattern: Bytes, length: u64 },
    Zeros { length: u64 },
}

impl BlobContent {
    /// `length` pseudo-random bytes: the same for the same seed, on every machine.
    #[must_use]
    pub fn random(seed: u64, length: u64) -> Self {
        Self(vec![Segment::Random { seed, length }])
    }

    /// `length` bytes of this pattern over and over; none when the pattern is empty.
    #[must_use]
    pub fn repeated(pattern: impl Into<Bytes>, length: u64) -> Self {
        let pattern = pattern.into();
        let length = if pattern.is_empty() { 0 } else { length };
        Self(vec![Segment::Repeated { pattern, length }])
    }

    /// This pattern over and over, for longer than anybody waits: an exbibyte of it.
    ///
    /// Servers can stream it, with or without a `Content-Length`
    /// ([unannounced](crate::ScriptedResponse::unannounced)); never call [`bytes`](Self::bytes) on
    /// it.
    #[must_use]
    pub fn endless(pattern: impl Into<Bytes>) -> Self {
        Self::repeated(pattern, 1 << 60)
    }

    /// `length` zero bytes.
    pub(crate) fn zeros(length: u64) -> Self {
        Self(vec![Segment::Zeros { length }])
    }

    /// This content and then `next`.
    #[must_use]
    pub fn then(mut self, next: impl Into<Self>) -> Self {
        self.0.extend(next.into().0);
        self
    }

    /// How many bytes there are.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.0.iter().map(Segment::length).sum()
    }

    /// The bytes from `offset`: at most `most`, none at the end, fewer at any other point.
    #[must_use]
    pub fn read_at(&self, mut offset: u64, most: usize) -> Bytes {
        for segment in &self.0 {
            let length = segment.length();
            if offset < length {
                let available = usize::try_from(length - offset).unwrap_or(usize::MAX);
                return segment.read_at(offset, most.min(available));
            }
            offset -= length;
        }
        Bytes::new()
    }

    /// These bytes of it, held in memory; only those that exist.
    pub(crate) fn cut(&self, range: Range<u64>) -> Self {
        let (mut segments, mut offset) = (Vec::new(), range.start);
        while offset < range.end {
            let most = usize::try_from(range.end - offset).unwrap_or(usize::MAX);
            let chunk = self.read_at(offset, most.min(CHUNK_BYTES));
            if chunk.is_empty() {
                break;
            }
            offset += chunk.len() as u64;
            segments.push(Segment::Held(chunk));
        }
        Self(segments)
    }

    /// All of it in memory.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        if let [Segment::Held(bytes)] = self.0.as_slice() {
            return bytes.clone();
        }
        let mut whole = BytesMut::new();
        for chunk in self.chunks() {
            whole.extend_from_slice(&chunk);
        }
        whole.freeze()
    }

    /// All of it in pieces of at most 64 KiB.
    pub fn chunks(&self) -> impl Iterator<Item = Bytes> {
        let mut offset = 0;
        std::iter::from_fn(move || {
            let chunk = self.read_at(offset, CHUNK_BYTES);
            offset += chunk.len() as u64;
            (!chunk.is_empty()).then_some(chunk)
        })
    }

    /// Writes all of it.
    ///
    /// # Errors
    ///
    /// Those of `sink`.
    pub fn write_to(&self, sink: &mut impl io::Write) -> io::Result<()> {
        self.chunks().try_for_each(|chunk| sink.write_all(&chunk))
    }
}

impl<T: Into<Bytes>> From<T> for BlobContent {
    fn from(bytes: T) -> Self {
        Self(vec![Segment::Held(bytes.into())])
    }
}

impl Segment {
    fn length(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Random { length, .. }
            | Self::Repeated { length, .. }
            | Self::Zeros { length } => *length,
        }
    }

    /// `offset + length` lies within the segment.
    fn read_at(&self, offset: u64, length: usize) -> Bytes {
        match self {
            Self::Held(bytes) => bytes
                .slice(usize::try_from(offset).unwrap_or(usize::MAX)..)
                .split_to(length),
            Self::Random { seed, .. } => random_bytes(*seed, offset, length),
            Self::Repeated { pattern, .. } => repeated_bytes(pattern, offset, length),
            Self::Zeros { .. } => Bytes::from(vec![0; length]),
        }
    }
}

/// Bytes `offset..offset + length` of a pattern, which is not empty, without an end.
fn repeated_bytes(pattern: &[u8], offset: u64, length: usize) -> Bytes {
    // The remainder is less than the length it is of.
    let skip = (offset % pattern.len() as u64) as usize;
    let bytes = pattern.iter().cycle().skip(skip).take(length);
    bytes.copied().collect()
}

/// Bytes `offset..offset + length` of the stream that `seed` names.
fn random_bytes(seed: u64, offset: u64, length: usize) -> Bytes {
    let skip = (offset % 8) as usize;
    let mut bytes = BytesMut::with_capacity(length + 16);
    let mut counter = offset / 8;
    while bytes.len() < skip + length {
        bytes.extend_from_slice(&mix(seed, counter).to_le_bytes());
        counter += 1;
    }
    bytes.freeze().slice(skip..skip + length)
}

/// The finalizer of SplitMix64 over a counter: position `n` is known without the ones before it.
pub(crate) fn mix(seed: u64, counter: u64) -> u64 {
    let mut word = seed.wrapping_add(counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Size of the pieces in which [`BlobContent::chunks`] and the servers produce content.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_offset_reads_what_the_whole_has_there() {
        let content = BlobContent::from("head")
            .then(BlobContent::random(7, 1000))
            .then(BlobContent::zeros(33))
            .then(BlobContent::repeated("abcdefg", 50))
            .then("tail");
        let whole = content.bytes();
        assert_eq!(whole.len() as u64, content.length());
        assert_eq!(content.length(), 4 + 1000 + 33 + 50 + 4);
        for offset in 0..=whole.len() {
            let part = content.read_at(offset as u64, 29);
            assert_eq!(
                part,
                whole.slice(offset..offset + part.len()),
                "at {offset}"
            );
            assert_eq!(part.is_empty(), offset == whole.len());
            let cut = content.cut(offset as u64..offset as u64 + 40).bytes();
            assert_eq!(cut, whole.slice(offset..whole.len().min(offset + 40)));
        }
    }

    #[test]
    fn a_pattern_goes_on_wherever_it_is_read() {
        let endless = BlobContent::endless("[1,");
        assert_eq!(endless.read_at(1, 7), "1,[1,[1");
        assert_eq!(endless.read_at((1 << 59) + 1, 3).len(), 3);
        assert_eq!(BlobContent::repeated("ab", 5).bytes(), "ababa");
        assert_eq!(BlobContent::repeated("", 5).length(), 0);
    }

    #[test]
    fn a_seed_names_the_same_bytes_for_ever() {
        // SplitMix64 from state 0: the first output of the published reference code.
        assert_eq!(mix(0, 0), 0xe220_a839_7b1d_cdaf);
        assert_ne!(
            BlobContent::random(1, 64).bytes(),
            BlobContent::random(2, 64).bytes()
        );
    }
}
