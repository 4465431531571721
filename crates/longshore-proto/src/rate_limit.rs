//! The rate limit that a registry announces.
//!
//! Docker Hub's fields, which others send as well (RT8); no specification rules them, so they are
//! read leniently:
//!
//! ```text
//! ratelimit-limit:     100;w=21600
//! ratelimit-remaining: 76;w=21600
//! ratelimit-reset:     3600
//! ```
//!
//! They affect requests only in a 429 without a `Retry-After`, where they say how long to wait
//! (RT3).

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::field::put;
use crate::range::number;
use crate::retry::from_now;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
/// Seconds, or a Unix time, as for `Retry-After`.
pub(crate) const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// A registry's rate limit, and what is left of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RateLimit {
    /// Number of requests allowed in each window.
    pub limit: Option<u64>,
    /// Number of requests left in this window.
    pub remaining: Option<u64>,
    /// The length of the window.
    pub window: Option<Duration>,
    /// Time until the window ends.
    pub reset: Option<Duration>,
}

impl RateLimit {
    /// A limit with this many requests left, of this many in each window of this length.
    #[must_use]
    pub const fn new(remaining: u64, limit: u64, window: Duration) -> Self {
        Self {
            limit: Some(limit),
            remaining: Some(remaining),
            window: Some(window),
            reset: None,
        }
    }

    /// How long to wait when no requests are left: until the window ends, or for the length of a
    /// window if its end is not known. `None` when requests are left.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        match self.remaining {
            Some(0) => self.reset.or(self.window),
            None => self.reset,
            Some(_) => None,
        }
    }

    /// Reads the fields of an answer; `None` if none of them holds a number.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let (limit, window) = field(headers, &LIMIT).unzip();
        let (remaining, other) = field(headers, &REMAINING).unzip();
        let (reset, _) = field(headers, &RESET).unzip();
        let reset = reset.and_then(|reset| from_now(Duration::from_secs(reset), headers));
        let says_something = limit.is_some() || remaining.is_some() || reset.is_some();
        says_something.then(|| Self {
            limit,
            remaining,
            window: window.flatten().or_else(|| other.flatten()),
            reset,
        })
    }

    /// Writes the fields of an answer.
    pub fn write(&self, headers: &mut HeaderMap) {
        let window = self.window.map(|window| format!(";w={}", window.as_secs()));
        let window = window.unwrap_or_default();
        for (name, value) in [(LIMIT, self.limit), (REMAINING, self.remaining)] {
            let value = value.map(|value| HeaderValue::from_str(&format!("{value}{window}")));
            // Digits and letters always make a header value.
            if let Some(Ok(value)) = value {
                headers.insert(name, value);
            }
        }
        let reset = self.reset.map(|reset| reset.as_secs());
        put(headers, RESET, reset.as_ref());
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.remaining, self.limit) {
            (Some(remaining), Some(limit)) => write!(f, "{remaining} of {limit} requests left")?,
            (Some(remaining), None) => write!(f, "{remaining} requests left")?,
            (None, Some(limit)) => write!(f, "{limit} requests")?,
            (None, None) => f.write_str("a rate limit")?,
        }
        if let Some(window) = self.window {
            write!(f, " in {} s", window.as_secs())?;
        }
        match self.reset {
            Some(reset) => write!(f, ", reset in {} s", reset.as_secs()),
            None => Ok(()),
        }
    }
}

/// The number at the front of a field, and the window among its parameters.
fn field(headers: &HeaderMap, name: &HeaderName) -> Option<(u64, Option<Duration>)> {
    let value = headers.get(name)?.as_bytes();
    // A list names several windows; the first is the one that counts now.
    let mut parts = value
        .split(|&byte| byte == b',')
        .next()?
        .split(|&byte| byte == b';')
        .map(<[u8]>::trim_ascii);
    let count = number(parts.next()?)?;
    let window = parts.find_map(|part| number(part.strip_prefix(b"w=")?));
    Some((count, window.map(Duration::from_secs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(limit: &str, remaining: &str, expected: Option<(Option<u64>, Option<u64>, u64)>) {
        let mut headers = HeaderMap::new();
        for (name, value) in [(LIMIT, limit), (REMAINING, remaining)] {
            if !value.is_empty() {
                headers.insert(name, value.parse().unwrap());
            }
        }
        let expected = expected.map(|(limit, remaining, window)| RateLimit {
            limit,
            remaining,
            window: Some(Duration::from_secs(window)).filter(|window| !window.is_zero()),
            reset: None,
        });
        assert_eq!(RateLimit::read(&headers), expected, "{limit} {remaining}");
    }

    #[test]
    fn rt8_rate_limits_are_read_leniently() {
        check(
            "100;w=21600",
            "76;w=21600",
            Some((Some(100), Some(76), 21600)),
        );
        check("100", "76", Some((Some(100), Some(76), 0)));
        check(" 100 ; w=5 ", "", Some((Some(100), None, 5)));
        check("", "0;w=60", Some((None, Some(0), 60)));
        check("10, 10;w=1, 1000;w=3600", "9", Some((Some(10), Some(9), 0)));
        check("100;w=soon;x", "-1", Some((Some(100), None, 0)));
        check("", "", None);
        check("many", "99999999999999999999", None);
    }

    // RT3: on a 429 this is the wait.
    #[test]
    fn rt3_an_exhausted_limit_says_how_long_to_wait() {
        for (fields, expected) in [
            (&[("ratelimit-remaining", "0;w=60")][..], Some(60)),
            (&[("ratelimit-remaining", "1;w=60")], None),
            (&[("ratelimit-limit", "10;w=60")], None),
            (
                &[("ratelimit-remaining", "0"), ("ratelimit-reset", "7")],
                Some(7),
            ),
            (
                &[("ratelimit-remaining", "0;w=60"), ("ratelimit-reset", "7")],
                Some(7),
            ),
            (
                &[("ratelimit-remaining", "3"), ("ratelimit-reset", "7")],
                None,
            ),
            (&[("ratelimit-reset", "7")], Some(7)),
            (
                &[("ratelimit-reset", "784111787"), ("date", DATE)],
                Some(784_111_787),
            ),
            // Above 1,000,000,000 it is a Unix time: January 2027, seen from 1994.
            (
                &[("ratelimit-reset", "1800000000"), ("date", DATE)],
                Some(1_800_000_000 - 784_111_777),
            ),
            (&[("ratelimit-reset", "1800000000")], None),
            (&[("ratelimit-reset", "soon")], None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, value.parse().unwrap());
            }
            let wait = RateLimit::read(&headers).and_then(|limit| limit.wait());
            assert_eq!(wait, expected.map(Duration::from_secs), "{fields:?}");
        }
    }

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    #[test]
    fn a_rate_limit_is_told_in_words() {
        let hour = Duration::from_secs(3600);
        for (limit, told) in [
            (
                RateLimit::new(7, 100, hour),
                "7 of 100 requests left in 3600 s",
            ),
            (
                RateLimit {
                    reset: Some(hour / 2),
                    ..RateLimit::new(0, 100, hour)
                },
                "0 of 100 requests left in 3600 s, reset in 1800 s",
            ),
            (
                RateLimit {
                    remaining: Some(7),
                    ..RateLimit::default()
                },
                "7 requests left",
            ),
            (
                RateLimit {
                    limit: Some(9),
                    ..RateLimit::default()
                },
                "9 requests",
            ),
        ] {
            assert_eq!(limit.to_string(), told);
        }
    }
}
