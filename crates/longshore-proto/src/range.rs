//! Parts of a blob: the `Range` of a request and the `Content-Range` of its answer.
//!
//! RFC 9110 §14.1.2, §14.2 and §14.4, with the one unit registries know:
//!
//! ```text
//! Range         = "bytes=" range-set          range-set = 1#( int-range / suffix-range )
//! int-range     = first-pos "-" [ last-pos ]  suffix-range = "-" suffix-length
//! Content-Range = "bytes" SP ( first-pos "-" last-pos "/" ( complete-length / "*" )
//!                            / "*/" complete-length )
//! ```

use std::fmt;

/// The part of a blob that is asked for.
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

/// What a request's `Range` field asks a server to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a server can answer with 200, 206 or 416"
)]
pub enum RangeField {
    /// Not a range that is served: another unit, several ranges, or malformed. RFC 9110 §14.2 lets
    /// a server ignore it and send everything.
    ///
    /// Several ranges would be a variant of their own, answered with 206 and
    /// `multipart/byteranges` (RFC 9110 §14.6) instead of the whole.
    Ignored,
    /// One range.
    One(ByteRange),
    /// A last position before the first: no content can satisfy it, so 416.
    Unsatisfiable,
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
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(first) => write!(f, "bytes={first}-"),
            Self::Span(first, last) => write!(f, "bytes={first}-{last}"),
            Self::Suffix(count) => write!(f, "bytes=-{count}"),
        }
    }
}

impl RangeField {
    /// Reads the value of a `Range` field.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let Some((unit, set)) = split_at(value, b'=') else {
            return Self::Ignored;
        };
        if !unit.eq_ignore_ascii_case(b"bytes") {
            return Self::Ignored;
        }
        let Some((first, last)) = split_at(set.trim_ascii(), b'-') else {
            return Self::Ignored;
        };
        match (first, number(first), last, number(last)) {
            (b"", _, _, Some(count)) => Self::One(ByteRange::Suffix(count)),
            (_, Some(first), b"", _) => Self::One(ByteRange::From(first)),
            (_, Some(first), _, Some(last)) if first <= last => {
                Self::One(ByteRange::Span(first, last))
            }
            (_, Some(_), _, Some(_)) => Self::Unsatisfiable,
            _ => Self::Ignored,
        }
    }
}

/// The part of a blob that an answer carries, or that there is no such part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "RFC 9110 §14.4 has these two forms"
)]
pub enum ContentRange {
    /// First and last position, and the length of the whole where the server knows it.
    Part {
        /// Position of the first byte of the body in the blob.
        first: u64,
        /// Position of the last byte of the body in the blob; not before `first`.
        last: u64,
        /// Length of the whole blob; above `last`.
        total: Option<u64>,
    },
    /// Nothing of the blob lies in the range asked for (with 416).
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

    #[test]
    fn a_request_range_is_one_range_or_nothing() {
        check("bytes=0-", RangeField::One(ByteRange::From(0)));
        check("Bytes=7-9", RangeField::One(ByteRange::Span(7, 9)));
        check("bytes=-3", RangeField::One(ByteRange::Suffix(3)));
        check("bytes=3-1", RangeField::Unsatisfiable);
        for ignored in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "items=0-1",
            "bytes=0-1,3-4",
            "bytes=a-b",
        ] {
            check(ignored, RangeField::Ignored);
        }
        check("bytes=0-9223372036854775808", RangeField::Ignored);
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
