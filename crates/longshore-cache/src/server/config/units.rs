//! Sizes and durations as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes, written as a number with an optional unit: `512`, `64KiB`, `200 GiB`,
/// `500MB`.
///
/// `KB`, `MB`, `GB` and `TB` are powers of 1,000; `KiB`, `MiB`, `GiB` and `TiB` are powers of
/// 1,024. A space may precede the unit. Fractions and signs are not allowed.
///
/// ```
/// use longshore_cache::server::config::ByteSize;
///
/// assert_eq!("200 GiB".parse(), Ok(ByteSize::new(200 << 30)));
/// assert_eq!("500MB".parse(), Ok(ByteSize::new(500_000_000)));
/// assert_eq!(ByteSize::new(64 << 10).to_string(), "64 KiB");
/// assert!("1.5 GiB".parse::<ByteSize>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// Why a text is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ByteSizeError {
    /// It is not a number, or has an unknown unit.
    #[error(
        "expected a number of bytes, or a number with one of KB, MB, GB, TB, KiB, MiB, GiB and TiB"
    )]
    Malformed,
    /// It exceeds 2⁶⁴ − 1 bytes.
    #[error("the size is larger than 16777215 TiB")]
    TooLarge,
}

impl ByteSize {
    /// Makes a size from a number of bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// The units of sizes with the number of bytes in each. If several units divide a size, the last
/// one is shown.
const BYTE_UNITS: [(&str, u64); 8] = [
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let (number, unit) = split(text).ok_or(ByteSizeError::Malformed)?;
        let bytes = match unit {
            "" => 1,
            _ => find(&BYTE_UNITS, unit).ok_or(ByteSizeError::Malformed)?,
        };
        let number = number?;
        number
            .checked_mul(bytes)
            .map(Self)
            .ok_or(ByteSizeError::TooLarge)
    }
}

impl fmt::Display for ByteSize {
    /// Writes the size with a unit of powers of 1,024 if that is exact, otherwise of 1,000.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, bytes): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*bytes);
        match BYTE_UNITS.iter().rev().find(exact) {
            Some((unit, bytes)) => write!(f, "{} {unit}", self.0 / bytes),
            None => self.0.fmt(f),
        }
    }
}

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// It is not a whole number with a unit.
    #[error("expected a whole number with one of the units ms, s, m, h and d, such as 5m")]
    Malformed,
    /// It exceeds 36,500 days.
    #[error("the duration is longer than 36500d")]
    TooLong,
}

/// The units of durations, in milliseconds.
const TIME_UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Longest duration, in milliseconds: 36,500 days. A clock can add it without overflow.
const LONGEST_MS: u64 = 36_500 * 86_400_000;

/// Parses a duration: a whole number with a unit, such as `250ms`, `2s`, `5m`, `24h` or `7d`. A
/// space may precede the unit.
///
/// # Errors
///
/// [`DurationError`] if the text does not have this form, or the duration exceeds 36,500 days.
///
/// ```
/// use std::time::Duration;
/// use longshore_cache::server::config::parse_duration;
///
/// assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
/// assert!(parse_duration("5").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let (number, unit) = split(text).ok_or(DurationError::Malformed)?;
    let unit = find(&TIME_UNITS, unit).ok_or(DurationError::Malformed)?;
    let number = number.map_err(|_| DurationError::TooLong)?;
    match number.checked_mul(unit) {
        Some(time) if time <= LONGEST_MS => Ok(Duration::from_millis(time)),
        _ => Err(DurationError::TooLong),
    }
}

/// Formats a duration as [`parse_duration`] reads it, with the largest unit that is exact.
/// Fractions of a millisecond are dropped.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let time = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let exact = |(_, unit): &&(&str, u64)| time != 0 && time.is_multiple_of(*unit);
    match TIME_UNITS.iter().rev().find(exact) {
        // Durations of less than two days are shown in hours.
        Some(("d", _)) if time < 2 * 86_400_000 => format!("{}h", time / 3_600_000),
        Some((name, unit)) => format!("{}{name}", time / unit),
        None => "0s".to_owned(),
    }
}

/// Splits a text into a number and a unit. `None`: it does not begin with a digit.
fn split(text: &str) -> Option<(Result<u64, ByteSizeError>, &str)> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    if number.is_empty() {
        return None;
    }
    // All characters are digits, so only the size can be wrong.
    let number = number.parse().map_err(|_| ByteSizeError::TooLarge);
    Some((number, unit.trim_start()))
}

fn find(units: &[(&str, u64)], name: &str) -> Option<u64> {
    let unit = units.iter().find(|(unit, _)| *unit == name)?;
    Some(unit.1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_size_is_a_number_with_an_optional_unit() {
        for (text, expected) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("64KiB", Some(64 << 10)),
            ("200 GiB", Some(200 << 30)),
            (" 3 MiB ", Some(3 << 20)),
            ("1TiB", Some(1 << 40)),
            ("500MB", Some(500_000_000)),
            ("1 KB", Some(1_000)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("16777216TiB", None),
            ("", None),
            ("GiB", None),
            ("-1", None),
            ("+1", None),
            ("1.5 GiB", None),
            ("1 gib", None),
            ("1 G", None),
            ("1 GiB 1", None),
            ("0x10", None),
        ] {
            assert_eq!(text.parse().ok(), expected.map(ByteSize), "{text:?}");
        }
    }

    #[test]
    fn a_duration_needs_a_unit() {
        let millis = Duration::from_millis;
        for (text, expected) in [
            ("0s", Ok(millis(0))),
            ("250ms", Ok(millis(250))),
            ("2s", Ok(millis(2_000))),
            ("5 m", Ok(millis(300_000))),
            ("24h", Ok(millis(86_400_000))),
            ("7d", Ok(millis(604_800_000))),
            ("36500d", Ok(millis(LONGEST_MS))),
            ("36501d", Err(DurationError::TooLong)),
            ("99999999999999999999s", Err(DurationError::TooLong)),
            ("5", Err(DurationError::Malformed)),
            ("m", Err(DurationError::Malformed)),
            ("1h30m", Err(DurationError::Malformed)),
            ("-1s", Err(DurationError::Malformed)),
            ("never", Err(DurationError::Malformed)),
        ] {
            assert_eq!(parse_duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn values_are_shown_with_the_largest_exact_unit() {
        for (bytes, expected) in [
            (0, "0"),
            (1023, "1023"),
            (20 << 30, "20 GiB"),
            (5_000, "5 KB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), expected);
        }
        for (millis, expected) in [
            (0, "0s"),
            (1_500, "1500ms"),
            (90_000, "90s"),
            (300_000, "5m"),
            (86_400_000, "24h"),
            (604_800_000, "7d"),
        ] {
            assert_eq!(format_duration(Duration::from_millis(millis)), expected);
        }
    }

    proptest! {
        #[test]
        fn a_shown_size_is_read_back(bytes in any::<u64>()) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }

        #[test]
        fn a_shown_duration_is_read_back(millis in 0..=LONGEST_MS) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn other_text_is_refused_without_a_panic(text in "\\PC*") {
            let _ = text.parse::<ByteSize>();
            let _ = parse_duration(&text);
        }
    }
}
