//! When a request is sent again, and how long to wait before.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::range::number;
use crate::rate_limit::{self, RateLimit};

/// How often and how patiently a request is repeated (RT1, RT3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Attempts in all on one host; 1 repeats nothing. Default 5.
    pub attempts: u32,
    /// The sum of all waits of one request. Default 120 s.
    pub waits: Duration,
    /// The longest `Retry-After` that is waited for; a longer one ends the request. Default 60 s.
    pub retry_after: Duration,
    /// Maximum total time for which one request waits until rate limit windows end. With `None`,
    /// the default, a request ends if it would wait longer than `retry_after`.
    pub quota: Option<Duration>,
}

/// Maximum time for which a request waits until rate limit windows end (RT3).
pub const QUOTA_WAIT_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            waits: Duration::from_secs(120),
            retry_after: Duration::from_secs(60),
            quota: None,
        }
    }
}

impl RetryPolicy {
    /// The default with another number of attempts; 0 counts as 1.
    #[must_use]
    pub fn with_attempts(attempts: u32) -> Self {
        Self {
            attempts: attempts.max(1),
            ..Self::default()
        }
    }

    /// The longest wait that an answer may ask for.
    #[must_use]
    pub fn longest_wait(&self, is_rate_limit: bool) -> Duration {
        let quota = self.quota.filter(|_| is_rate_limit);
        quota.unwrap_or_default().max(self.retry_after)
    }
}

/// A random number from the caller, so that a machine needs none of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jitter(u32);

impl Jitter {
    /// Any 32 random bits.
    #[must_use]
    pub const fn new(bits: u32) -> Self {
        Self(bits)
    }

    /// The point this far between two durations.
    fn between(self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_nanos() as u64;
        let part = (u128::from(span) * u128::from(self.0)) >> 32;
        low + Duration::from_nanos(u64::try_from(part).unwrap_or(span))
    }
}

const SHORTEST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The wait before attempt `made + 1` (RT1): random in [100 ms, min(10 s, 0.5 s · 2^(made-1))].
#[must_use]
pub fn backoff(made: u32, jitter: Jitter) -> Duration {
    let doublings = made.saturating_sub(1).min(16);
    let longest = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    jitter.between(SHORTEST_WAIT, longest)
}

/// Whether another attempt may help (RT2).
#[must_use]
pub fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// The statuses whose `Retry-After` is read (RT3).
pub(crate) fn allows_retry_after(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 503)
}

/// The largest value of `Retry-After` that counts as seconds; a larger value is a Unix time, which
/// some registries send. A billion seconds are 31 years, or September 2001.
pub(crate) const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(1_000_000_000);

/// How long a 429 or 503 asks to wait (RT3): seconds, an HTTP date, or a Unix time, which some
/// registries send. A date is compared with the `Date` of the same answer, so that the client's
/// clock does not matter; [`date_on_receipt`] adds a missing `Date`. A malformed value is ignored.
///
/// A 429 without a usable `Retry-After` asks to wait for the end of its [rate limit's
/// window](RateLimit::wait), if it says that no request is left.
#[must_use]
pub fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if !allows_retry_after(status) {
        return None;
    }
    let limited = || {
        let limit = RateLimit::read(headers)?;
        limit
            .wait()
            .filter(|_| status == StatusCode::TOO_MANY_REQUESTS)
    };
    asked(headers).or_else(limited)
}

/// The wait of a `Retry-After`.
fn asked(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?;
    match number(value.as_bytes().trim_ascii()) {
        Some(seconds) => from_now(Duration::from_secs(seconds), headers),
        None => {
            let until = date(headers, &header::RETRY_AFTER)?;
            Some(until.saturating_sub(date(headers, &header::DATE)?))
        }
    }
}

/// How far away a time is that a field gives as a number: a wait, or a Unix time if it is large.
pub(crate) fn from_now(number: Duration, headers: &HeaderMap) -> Option<Duration> {
    if number <= RETRY_AFTER_LIMIT {
        return Some(number);
    }
    Some(number.saturating_sub(date(headers, &header::DATE)?))
}

/// Adds the time of receipt as `Date` (RFC 9110 §6.6.1) to an answer that has a `Retry-After` or
/// `ratelimit-reset` but no valid `Date`, so that [`retry_after`] can compute the distance
/// of a date (RT3).
///
/// `received` is the time since 1970, by the clock of the client.
pub fn date_on_receipt(headers: &mut HeaderMap, received: Duration) {
    let needs_date =
        headers.contains_key(header::RETRY_AFTER) || headers.contains_key(rate_limit::RESET);
    if !needs_date || date(headers, &header::DATE).is_some() {
        return;
    }
    let received = UNIX_EPOCH.checked_add(received.min(LAST_DATE));
    let text = received.map(httpdate::fmt_http_date);
    if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(header::DATE, value);
    }
}

/// The time since 1970 in a field that is an HTTP date.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Duration> {
    let text = headers.get(name)?.to_str().ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    time.duration_since(UNIX_EPOCH).ok()
}

/// The last second of the year 9999, the latest time that an HTTP date can express.
const LAST_DATE: Duration = Duration::from_secs(253_402_300_799);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rt1_waits_grow_to_ten_seconds_and_never_vanish() {
        for (made, longest) in [
            (1, 500),
            (2, 1000),
            (3, 2000),
            (4, 4000),
            (9, 10_000),
            (99, 10_000),
        ] {
            assert_eq!(backoff(made, Jitter::new(0)), Duration::from_millis(100));
            let top = backoff(made, Jitter::new(u32::MAX));
            assert!(top <= Duration::from_millis(longest), "{made}: {top:?}");
            assert!(top > Duration::from_millis(longest - 1), "{made}: {top:?}");
        }
    }

    #[track_caller]
    fn check(status: u16, value: &str, expected: Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, value.parse().unwrap());
        headers.insert(
            header::DATE,
            "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap(),
        );
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(
            retry_after(status, &headers),
            expected.map(Duration::from_secs),
            "{value}"
        );
    }

    #[test]
    fn rt3_retry_after_in_all_its_forms() {
        check(429, "7", Some(7));
        check(503, " 0 ", Some(0));
        check(429, "Sun, 06 Nov 1994 08:49:57 GMT", Some(20));
        check(429, "Sun, 06 Nov 1994 08:49:07 GMT", Some(0));
        check(429, "Sunday, 06-Nov-94 08:50:37 GMT", Some(60));
        check(429, "1000000000", Some(1_000_000_000));
        // 1,800,000,000 is January 2027; the answer's date is in 1994, 784,111,777 s after 1970.
        check(429, "1800000000", Some(1_800_000_000 - 784_111_777));
        for garbage in ["", "soon", "-1", "1.5", "99999999999999999999"] {
            check(429, garbage, None);
        }
        check(500, "7", None);
    }

    #[test]
    fn rt3_a_point_in_time_is_read_against_the_receipt_where_there_is_no_date() {
        let far = "Sat, 06 Nov 2094 08:49:37 GMT";
        // 1994-11-06 08:49:37, and a hundred years with 25 leap days.
        let received = Duration::from_secs(784_111_777);
        let century = 36_525 * 24 * 60 * 60;
        for (value, date, expected) in [
            (far, None, Some(century)),
            (far, Some("yesterday"), Some(century)),
            ("Sun, 06 Nov 1994 08:49:57 GMT", None, Some(20)),
            ("1800000000", None, Some(1_800_000_000 - 784_111_777)),
            ("7", None, Some(7)),
            ("soon", None, None),
            // The `Date` of the server has precedence.
            (far, Some("Sat, 06 Nov 2094 08:49:07 GMT"), Some(30)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            if let Some(date) = date {
                headers.insert(header::DATE, date.parse().unwrap());
            }
            date_on_receipt(&mut headers, received);
            let wait = retry_after(StatusCode::TOO_MANY_REQUESTS, &headers);
            assert_eq!(wait, expected.map(Duration::from_secs), "{value} {date:?}");
        }
        // A `Date` is added only if it is needed, and a time of any size is accepted.
        let mut headers = HeaderMap::new();
        date_on_receipt(&mut headers, received);
        assert!(headers.is_empty());
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        date_on_receipt(&mut headers, Duration::MAX);
        assert_eq!(headers[header::DATE], "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn rt3_the_window_of_an_exhausted_limit_counts_where_there_is_no_retry_after() {
        let window = ("ratelimit-remaining", "0;w=21600");
        for (status, fields, expected) in [
            (429, &[window][..], Some(21600)),
            (429, &[window, ("retry-after", "7")], Some(7)),
            (429, &[window, ("retry-after", "soon")], Some(21600)),
            (503, &[window], None),
            (200, &[window], None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, value.parse().unwrap());
            }
            let wait = retry_after(StatusCode::from_u16(status).unwrap(), &headers);
            assert_eq!(
                wait,
                expected.map(Duration::from_secs),
                "{status} {fields:?}"
            );
        }
    }

    #[test]
    fn rt2_only_these_statuses_are_repeated() {
        let repeated: Vec<_> = (100..600)
            .filter(|&code| is_retryable(StatusCode::from_u16(code).unwrap()))
            .collect();
        assert_eq!(repeated, [408, 429, 500, 502, 503, 504]);
    }
}
