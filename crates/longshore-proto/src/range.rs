//! Parts of a blob: the `Range` of a request and the `Content-Range` of its answer.
//!
//! RFC 9110 §14.1.1, §14.1.2, §14.2 and §14.4, with the only unit that registries support:
//!
//! ```text
//! Range         = "bytes=" range-set          range-set = 1#( int-range / suffix-range )
//! int-range     = first-pos "-" [ last-pos ]  suffix-range = "-" suffix-length
//! Content-Range = "bytes" SP ( first-pos "-" last-pos "/" ( complete-length / "*" )
//!                            / "*/" complete-length )
//! ```

use std::fmt;
use std::ops::Range;

/// Maximum number of ranges in one request (LI).
///
/// It bounds the work and the memory that a request of a few kilobytes costs a server (RFC 9110
/// §17.15). Clients that read blobs in parts, such as podman, send at most this many at once.
pub const RANGES_LIMIT: usize = 1024;

/// A requested part of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "RFC 9110 §14.1.2 has these three forms"
)]
pub enum ByteRange {
    /// Everything from this position on: `bytes=N-`.
    From(u64),
    /// First and last position, both included: `bytes=N-M`; first is never after last.
    Span(u64, u64),
    /// The last N bytes: `bytes=-N`.
    Suffix(u64),
}

/// The requested parts of a blob: at least one and at most [`RANGES_LIMIT`], in the order of the
/// request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RangeSet(Vec<ByteRange>);

/// How a server handles the `Range` field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a server can answer with 200, 206, 400 or 416"
)]
pub enum RangeField {
    /// Another unit, or malformed. RFC 9110 §14.2 lets a server ignore the field and send the whole
    /// content.
    Ignored,
    /// These ranges.
    Set(RangeSet),
    /// More than [`RANGES_LIMIT`] ranges: 400.
    TooMany,
    /// A last position before the first: no content can satisfy it, so 416.
    Unsatisfiable,
}

/// Why the ranges of a request are refused with 400 (RFC 9110 §14.2 and §17.15: they would cost the
/// server more than the whole content).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangesError {
    /// Two of them have bytes in common.
    #[error("the requested ranges overlap; request every byte at most once")]
    Overlapping,
    /// There are more than [`RANGES_LIMIT`].
    #[error("more than {RANGES_LIMIT} ranges are requested; send several requests")]
    TooMany,
}

impl ByteRange {
    /// The first and last position within content of this length, or `None` when there is no
    /// such part and the answer is 416.
    #[must_use]
    pub fn within(self, length: u64) -> Option<(u64, u64)> {
        let end = length.checked_sub(1)?;
        match self {
            Self::From(first) if first <= end => Some((first, end)),
            Self::Span(first, last) if first <= end => Some((first, last.min(end))),
            Self::Suffix(count) if count > 0 => Some((length.saturating_sub(count), end)),
            _ => None,
        }
    }

    /// Writes the range in the form of an element of a set.
    fn write(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(first) => write!(f, "{first}-"),
            Self::Span(first, last) => write!(f, "{first}-{last}"),
            Self::Suffix(count) => write!(f, "-{count}"),
        }
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes=")?;
        self.write(f)
    }
}

impl RangeSet {
    /// A set of these ranges; `None` for no range, and for more than [`RANGES_LIMIT`].
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = ByteRange>) -> Option<Self> {
        let ranges: Vec<_> = ranges.into_iter().take(RANGES_LIMIT + 1).collect();
        (1..=RANGES_LIMIT)
            .contains(&ranges.len())
            .then_some(Self(ranges))
    }

    /// The ranges, in the order of the request.
    #[must_use]
    pub fn ranges(&self) -> &[ByteRange] {
        &self.0
    }

    /// The parts within content of this length in bytes, in the order of the request; none of them
    /// is empty. Ranges beyond the content are omitted; if no part is left, the answer is 416.
    ///
    /// ```
    /// use longshore_proto::range::{RangeField, RangesError};
    ///
    /// let RangeField::Set(set) = RangeField::parse(b"bytes=6-7, 0-2, 90-, -2") else {
    ///     unreachable!("these are four ranges")
    /// };
    /// assert_eq!(set.within(10), Ok(vec![6..8, 0..3, 8..10]));
    /// assert_eq!(set.within(9), Err(RangesError::Overlapping));
    /// assert_eq!(set.to_string(), "bytes=6-7,0-2,90-,-2");
    /// ```
    ///
    /// # Errors
    ///
    /// [`RangesError::Overlapping`] when two parts have bytes in common.
    pub fn within(&self, length: u64) -> Result<Vec<Range<u64>>, RangesError> {
        let parts = self.0.iter().filter_map(|range| range.within(length));
        let parts: Vec<_> = parts.map(|(first, last)| first..last + 1).collect();
        let mut sorted: Vec<_> = parts.iter().collect();
        sorted.sort_by_key(|part| part.start);
        let mut pairs = sorted.iter().zip(sorted.iter().skip(1));
        if pairs.any(|(part, next)| next.start < part.end) {
            return Err(RangesError::Overlapping);
        }
        Ok(parts)
    }
}

impl From<ByteRange> for RangeSet {
    fn from(range: ByteRange) -> Self {
        Self(vec![range])
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "bytes=" } else { "," })?;
            range.write(f)?;
        }
        Ok(())
    }
}

impl RangeField {
    /// Reads the value of a `Range` field. Empty elements of the set are skipped (RFC 9110
    /// §5.6.1.2). If no content can satisfy one of the ranges, the whole set is
    /// [`Unsatisfiable`](Self::Unsatisfiable).
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let Some((unit, set)) = split_at(value, b'=') else {
            return Self::Ignored;
        };
        if !unit.eq_ignore_ascii_case(b"bytes") {
            return Self::Ignored;
        }
        let (mut ranges, mut is_over, mut is_backwards) = (Vec::new(), false, false);
        let elements = set.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        for element in elements.filter(|element| !element.is_empty()) {
            match Element::parse(element) {
                None => return Self::Ignored,
                Some(Element::Backwards) => is_backwards = true,
                Some(Element::Range(range)) if ranges.len() < RANGES_LIMIT => ranges.push(range),
                Some(Element::Range(_)) => is_over = true,
            }
        }
        match (is_over, is_backwards) {
            (true, _) => Self::TooMany,
            (_, true) => Self::Unsatisfiable,
            _ => RangeSet::new(ranges).map_or(Self::Ignored, Self::Set),
        }
    }
}

/// One element of the set in a `Range` field.
enum Element {
    /// The last position is before the first.
    Backwards,
    Range(ByteRange),
}

impl Element {
    /// `None` when it is malformed.
    fn parse(element: &[u8]) -> Option<Self> {
        let (first, last) = split_at(element, b'-')?;
        let range = match (first, last) {
            (b"", last) => ByteRange::Suffix(number(last)?),
            (first, b"") => ByteRange::From(number(first)?),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return Some(Self::Backwards);
                }
                ByteRange::Span(first, last)
            }
        };
        Some(Self::Range(range))
    }
}

/// The part of a blob in an answer, or the statement that no such part exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "RFC 9110 §14.4 has these two forms"
)]
pub enum ContentRange {
    /// First and last position, and the length of the whole blob if the server knows it.
    Part {
        /// Position of the first byte of the body in the blob.
        first: u64,
        /// Position of the last byte of the body in the blob; not before `first`.
        last: u64,
        /// Length of the whole blob; above `last`.
        total: Option<u64>,
    },
    /// The blob has no bytes in the requested range (with 416).
    Unsatisfied {
        /// Length of the whole blob.
        total: u64,
    },
}

impl ContentRange {
    /// Reads the value of a `Content-Range` field; `None` when it is malformed or contradicts
    /// itself.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (unit, rest) = split_at(value, b' ')?;
        if !unit.eq_ignore_ascii_case(b"bytes") {
            return None;
        }
        let (range, total) = split_at(rest, b'/')?;
        if range == b"*" {
            return number(total).map(|total| Self::Unsatisfied { total });
        }
        let (first, last) = split_at(range, b'-')?;
        let (first, last) = (number(first)?, number(last)?);
        let total = match total {
            b"*" => None,
            digits => Some(number(digits)?),
        };
        (first <= last && total.is_none_or(|total| last < total)).then_some(Self::Part {
            first,
            last,
            total,
        })
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part {
                first,
                last,
                total: Some(total),
            } => {
                write!(f, "bytes {first}-{last}/{total}")
            }
            Self::Part {
                first,
                last,
                total: None,
            } => write!(f, "bytes {first}-{last}/*"),
            Self::Unsatisfied { total } => write!(f, "bytes */{total}"),
        }
    }
}

fn split_at(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// A run of decimal digits below 2^63 (LI3), and nothing else.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (value <= i64::MAX as u64).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: RangeField) {
        assert_eq!(RangeField::parse(value.as_bytes()), expected, "{value}");
    }

    #[track_caller]
    fn set<const N: usize>(ranges: [ByteRange; N]) -> RangeField {
        RangeField::Set(RangeSet::new(ranges).unwrap())
    }

    #[test]
    fn a_request_range_is_a_set_of_ranges_or_nothing() {
        let (from, span, suffix) = (ByteRange::From, ByteRange::Span, ByteRange::Suffix);
        check("bytes=0-", set([from(0)]));
        check("Bytes=7-9", set([span(7, 9)]));
        check("bytes=-3", set([suffix(3)]));
        check("bytes=4-6,0-1", set([span(4, 6), span(0, 1)]));
        check(
            "bytes= 0-1 ,\t-2,, 5- ,",
            set([span(0, 1), suffix(2), from(5)]),
        );
        check("bytes=0-0,0-0", set([span(0, 0), span(0, 0)]));
        for backwards in ["bytes=3-1", "bytes=0-1,3-1", "bytes=3-1,0-1"] {
            check(backwards, RangeField::Unsatisfiable);
        }
        for ignored in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "items=0-1",
            "bytes=0-1,-",
            "bytes=0-1;3-4",
            "bytes=0 - 1",
            "bytes=a-b",
            "bytes=0-1,bytes=3-4",
            "bytes=3-1,x",
            "bytes=0-9223372036854775808",
            "bytes=0-1,5-9223372036854775808",
        ] {
            check(ignored, RangeField::Ignored);
        }
    }

    #[test]
    fn li_a_request_has_at_most_1024_ranges() {
        let ranges = |count: u64| (0..count).map(|at| ByteRange::Span(at * 2, at * 2));
        let most = RangeSet::new(ranges(1024)).unwrap();
        check(&most.to_string(), RangeField::Set(most.clone()));
        check(&format!("{most},,"), RangeField::Set(most.clone()));
        assert_eq!(RangeSet::new(ranges(1025)), None);
        assert_eq!(RangeSet::new([]), None);
        check(&format!("{most},-1"), RangeField::TooMany);
        check(&format!("{most},5-1"), RangeField::Unsatisfiable);
        check(&format!("{most},-1,5-1"), RangeField::TooMany);
        check(&format!("{most},-1,x"), RangeField::Ignored);
    }

    #[test]
    fn parts_keep_the_order_of_the_request_and_do_not_overlap() {
        let ranges = |text: &str| match RangeField::parse(text.as_bytes()) {
            RangeField::Set(set) => set,
            other => panic!("{other:?}"),
        };
        for (text, expected) in [
            ("bytes=4-5,0-1", Ok(vec![4..6, 0..2])),
            ("bytes=2-3,0-1,4-", Ok(vec![2..4, 0..2, 4..10])),
            ("bytes=0-1,10-,12-14,-0,6-6", Ok(vec![0..2, 6..7])),
            ("bytes=10-,11-", Ok(vec![])),
            ("bytes=10-,-0,20-30,10-", Ok(vec![])),
            ("bytes=0-4,4-5", Err(RangesError::Overlapping)),
            ("bytes=5-,0-1,-1", Err(RangesError::Overlapping)),
            ("bytes=0-0,0-0", Err(RangesError::Overlapping)),
            ("bytes=8-,-3", Err(RangesError::Overlapping)),
            ("bytes=0-9,3-4,6-7", Err(RangesError::Overlapping)),
        ] {
            assert_eq!(ranges(text).within(10), expected, "{text}");
        }
    }

    #[test]
    fn a_range_is_cut_to_the_content() {
        for (range, length, expected) in [
            (ByteRange::From(0), 4, Some((0, 3))),
            (ByteRange::From(4), 4, None),
            (ByteRange::From(0), 0, None),
            (ByteRange::Span(1, 99), 4, Some((1, 3))),
            (ByteRange::Suffix(2), 4, Some((2, 3))),
            (ByteRange::Suffix(9), 4, Some((0, 3))),
            (ByteRange::Suffix(0), 4, None),
        ] {
            assert_eq!(range.within(length), expected, "{range} of {length}");
        }
    }

    #[test]
    fn a_content_range_that_contradicts_itself_is_refused() {
        let part = |first, last, total| Some(ContentRange::Part { first, last, total });
        for (value, expected) in [
            ("bytes 0-0/1", part(0, 0, Some(1))),
            ("bytes 2-5/*", part(2, 5, None)),
            ("bytes */7", Some(ContentRange::Unsatisfied { total: 7 })),
            ("bytes 0-10/10", None),
            ("bytes 5-4/10", None),
            ("bytes 0-1", None),
            ("bytes */*", None),
            ("bytes=0-1/2", None),
            ("bytes 0-1/2, bytes 3-4/5", None),
        ] {
            assert_eq!(ContentRange::parse(value.as_bytes()), expected, "{value}");
        }
    }
}
