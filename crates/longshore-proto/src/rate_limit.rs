//! The rate limit that a registry announces.
//!
//! Docker Hub's fields, which others send as well (RT8); no specification rules them, so they are
//! read leniently and never acted upon:
//!
//! ```text
//! ratelimit-limit:     100;w=21600
//! ratelimit-remaining: 76;w=21600
//! ```

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::range::number;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");

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
}

impl RateLimit {
    /// A limit with this many requests left, of this many in each window of this length.
    #[must_use]
    pub const fn new(remaining: u64, limit: u64, window: Duration) -> Self {
        Self {
            limit: Some(limit),
            remaining: Some(remaining),
            window: Some(window),
        }
    }

    /// Reads the fields of an answer; `None` where neither says a number.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let (limit, window) = field(headers, &LIMIT).unzip();
        let (remaining, other) = field(headers, &REMAINING).unzip();
        (limit.is_some() || remaining.is_some()).then(|| Self {
            limit,
            remaining,
            window: window.flatten().or_else(|| other.flatten()),
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
        match self.window {
            Some(window) => write!(f, " in {} s", window.as_secs()),
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
