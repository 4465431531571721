//! `Retry-After`, against a second reader, and the waits between attempts.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use longshore_proto::retry::{self, Jitter, backoff, is_retryable};
use longshore_proto::{RateLimit, warning};

use crate::answer::number;

/// Reads lines: a status, `Retry-After`, `Date`, the number of attempts made, and a random one.
///
/// # Panics
///
/// When the two readers disagree, when any other status asks for a wait, or when a wait between
/// attempts lies outside its bounds.
pub fn retry_after(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let status = StatusCode::from_bytes(line()).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
    let (wanted, date) = (line(), line());
    let mut headers = HeaderMap::new();
    for (name, value) in [(header::RETRY_AFTER, wanted), (header::DATE, date)] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(name, value);
        }
    }
    let read = retry::retry_after(status, &headers);
    if !matches!(status.as_u16(), 429 | 503) {
        assert_eq!(read, None, "RT3");
    } else if headers.len() == 2 {
        agrees(wanted, date, read);
    }
    if read.is_some() {
        assert!(is_retryable(status), "RT2, RT3");
    }
    is_a_wait(number(line()).0, number(line()).0);
    says_what_it_means(wanted);
}

/// RT8: the same bytes as a rate limit and as a warning, each of which reads back when written.
fn says_what_it_means(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert("ratelimit-remaining", value.clone());
    headers.append(header::WARNING, value);
    if let Some(limit) = RateLimit::read(&headers) {
        assert_eq!(limit.limit, None, "RT8");
        assert!(limit.remaining.is_some(), "RT8");
        let mut written = HeaderMap::new();
        limit.write(&mut written);
        assert_eq!(RateLimit::read(&written), Some(limit), "RT8");
    }
    for text in warning::read(&headers) {
        let mut written = HeaderMap::new();
        warning::write(&mut written, &text);
        // What is no UTF-8 grows when it is shown, and may then be too long to be written.
        if text.len() < bytes.len() {
            assert_eq!(warning::read(&written), [text]);
        }
    }
}

/// RT3: seconds, or a point in time: by the calendar, or as a Unix time above 1,000,000,000.
fn agrees(wanted: &[u8], date: &[u8], read: Option<Duration>) {
    let (wanted, date) = (
        String::from_utf8_lossy(wanted),
        String::from_utf8_lossy(date),
    );
    let digits = wanted.trim_matches(|c: char| c.is_ascii_whitespace());
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    let until = if is_number {
        // Far more than a century is as good as garbage.
        match digits.parse::<u64>() {
            Ok(seconds) if seconds <= UNIX_TIME => {
                return assert_eq!(read, Some(Duration::from_secs(seconds)), "RT3: {wanted}");
            }
            Ok(unix) if unix < 1 << 63 => Some(unix),
            _ => return assert_eq!(read, None, "RT3: {wanted}"),
        }
    } else {
        fixdate(&wanted)
    };
    // The other forms of a date (RFC 9110 §5.6.7) are left to the first reader.
    if let (Some(until), Some(now)) = (until, fixdate(&date)) {
        let wait = Duration::from_secs(until.saturating_sub(now));
        assert_eq!(read, Some(wait), "RT3: {wanted} at {date}");
    }
    if !is_number && !wanted.contains(':') {
        assert_eq!(read, None, "RT3: {wanted} is garbage");
    }
}

/// Seconds since 1970 of an `IMF-fixdate` (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn fixdate(text: &str) -> Option<u64> {
    let (day_name, rest) = text.split_once(", ")?;
    let [day, month, year, time, "GMT"] = *rest.split(' ').collect::<Vec<_>>() else {
        return None;
    };
    let [hour, minute, second] = *time.split(':').collect::<Vec<_>>() else {
        return None;
    };
    let number = |text: &str, length| {
        let digits = text.len() == length && text.chars().all(|c| c.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok())?
    };
    let (day, year) = (
        number(day, 2)?,
        number(year, 4).filter(|year| *year >= 1970)?,
    );
    let month = MONTHS.iter().position(|name| *name == month)?;
    let (hour, minute) = (number(hour, 2)?, number(minute, 2)?);
    // A leap second is left out: readers differ.
    let second = number(second, 2)?;
    let lengths = month_lengths(year);
    let fits = day >= 1 && Some(&day) <= lengths.get(month) && hour < 24 && minute < 60;
    if !fits || second >= 60 {
        return None;
    }
    let years: u64 = (1970..year)
        .map(|year| month_lengths(year).iter().sum::<u64>())
        .sum();
    let days = years + lengths.iter().take(month).sum::<u64>() + day - 1;
    // 1 January 1970 was a Thursday.
    let named = DAYS.iter().position(|name| *name == day_name)?;
    let is_so = (days + 3) % 7 == named as u64;
    is_so.then_some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn month_lengths(year: u64) -> [u64; 12] {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = if leap { 29 } else { 28 };
    [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

/// RT1: random in [100 ms, min(10 s, 0.5 s · 2^(n-1))].
fn is_a_wait(made: u64, bits: u64) {
    let made = u32::try_from(made).unwrap_or(u32::MAX).max(1);
    let jitter = Jitter::new(u32::try_from(bits).unwrap_or(u32::MAX));
    let longest = Duration::from_millis(500 << (made - 1).min(8)).min(Duration::from_secs(10));
    let range = Duration::from_millis(100)..=longest;
    let wait = backoff(made, jitter);
    assert!(range.contains(&wait), "RT1: {wait:?} of {range:?}");
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// RT3: above this a number is a Unix time.
const UNIX_TIME: u64 = 1_000_000_000;
