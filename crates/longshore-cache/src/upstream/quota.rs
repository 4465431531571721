//! The two rate limits of an upstream: its quota, and its limit against abuse.

use std::time::Duration;

use longshore_proto::error_code::ErrorCode;
use longshore_proto::{RateLimit, Refusal};

/// Pause of all requests to an upstream when it applies its limit against abuse, unless the
/// upstream states a wait.
pub const ABUSE_PAUSE: Duration = Duration::from_secs(60);

/// Maximum pause of all requests to an upstream when it applies its limit against abuse.
pub const ABUSE_PAUSE_LIMIT: Duration = Duration::from_secs(60 * 60);

/// Revalidation slows down when less than one quarter of the quota is left.
const SLOW_BELOW: u64 = 4;

/// A stated rate limit, and when it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    pub(super) limit: RateLimit,
    /// By the clock of the upstream.
    pub(super) seen: Duration,
}

/// How long to wait before the next request that only revalidates content, so that a quota is not
/// used up before its window ends.
///
/// Zero while at least a quarter of the quota is left. With less, the remaining requests are spread
/// evenly over the rest of the window; when none is left, the wait is the rest of the window. All
/// numbers come from the registry (RT8); if it states no window, there is no wait.
///
/// `age` is the time since `limit` was received, and `since_last` the time since the last request.
#[must_use]
pub fn revalidation_wait(
    limit: &RateLimit,
    age: Duration,
    since_last: Option<Duration>,
) -> Duration {
    let (Some(remaining), Some(window)) = (limit.remaining, limit.reset.or(limit.window)) else {
        return Duration::ZERO;
    };
    let rest = window.saturating_sub(age);
    if remaining == 0 {
        return rest;
    }
    let is_low = |total: u64| remaining < total.div_ceil(SLOW_BELOW);
    if !limit.limit.is_some_and(is_low) {
        return Duration::ZERO;
    }
    let each = rest / u32::try_from(remaining).unwrap_or(u32::MAX);
    since_last.map_or(Duration::ZERO, |since| each.saturating_sub(since))
}

/// Whether a refusal comes from a limit against abuse, which counts every request of an address,
/// and not from a quota.
///
/// A quota is recognized by the code `TOOMANYREQUESTS`, by its text, or by header fields that state
/// that the quota is used up (`states_quota`). The limit against abuse of Docker Hub has a body
/// without a code and no such fields; the secondary limit of GHCR is a 403 with another code.
pub(super) fn is_abuse(refusal: &Refusal, states_quota: bool) -> bool {
    let body = &refusal.body;
    let is_quota = states_quota
        || body.names(&ErrorCode::TooManyRequests)
        || body.to_string().to_lowercase().contains("pull rate limit");
    !is_quota
}

#[cfg(test)]
mod tests {
    use http::{Response, StatusCode};

    use super::*;

    const HOURS: Duration = Duration::from_secs(21600);

    #[track_caller]
    fn check(limit: RateLimit, age: u64, since_last: Option<u64>, expected: u64) {
        let since_last = since_last.map(Duration::from_secs);
        let wait = revalidation_wait(&limit, Duration::from_secs(age), since_last);
        assert_eq!(
            wait,
            Duration::from_secs(expected),
            "{limit} {age} {since_last:?}"
        );
    }

    #[test]
    fn rt8_revalidation_slows_down_before_the_quota_is_used_up() {
        let left = |remaining| RateLimit::new(remaining, 100, HOURS);
        check(left(100), 0, Some(0), 0);
        check(left(25), 0, Some(0), 0);
        // 24 requests in six hours are one every 900 s.
        check(left(24), 0, Some(0), 900);
        check(left(24), 0, Some(600), 300);
        check(left(24), 0, Some(901), 0);
        check(left(24), 0, None, 0);
        // An hour later, five hours are left.
        check(left(24), 3600, Some(0), 750);
        check(left(1), 0, Some(0), 21600);
        check(left(0), 600, None, 21000);
        check(left(0), 21600, Some(0), 0);
        check(left(1), 30000, Some(0), 0);
    }

    #[test]
    fn rt8_the_numbers_of_a_quota_are_those_of_the_registry() {
        check(
            RateLimit::new(10, 5000, Duration::from_secs(60)),
            0,
            Some(0),
            6,
        );
        let mut reset = RateLimit::new(10, 100, HOURS);
        reset.reset = Some(Duration::from_secs(100));
        check(reset, 0, Some(0), 10);
        let mut unbounded = RateLimit::new(1, 100, HOURS);
        unbounded.limit = None;
        check(unbounded, 0, Some(0), 0);
        let mut endless = RateLimit::new(0, 100, HOURS);
        endless.window = None;
        check(endless, 0, Some(0), 0);
        check(RateLimit::default(), 0, Some(0), 0);
    }

    #[track_caller]
    fn abuse(status: u16, body: &str, states_quota: bool, expected: bool) {
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = StatusCode::from_u16(status).unwrap();
        let refusal = Refusal::read(&head, body.as_bytes(), false);
        assert_eq!(
            is_abuse(&refusal, states_quota),
            expected,
            "{status} {body}"
        );
    }

    #[test]
    fn rt8_a_quota_and_a_limit_against_abuse_are_told_apart() {
        // Docker Hub's pull limit, as in the corpus of error bodies.
        let pulls = concat!(
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate "#,
            r#"limit. You may increase the limit by authenticating and upgrading: "#,
            r#"https://www.docker.com/increase-rate-limit"}]}"#,
        );
        abuse(429, pulls, true, false);
        abuse(429, pulls, false, false);
        // The answer to HEAD has no body.
        abuse(429, "", true, false);
        abuse(429, "", false, true);
        abuse(
            429,
            "toomanyrequests: You have reached your pull rate limit.",
            false,
            false,
        );
        // Docker Hub's limit against abuse.
        abuse(429, "Too Many Requests", false, true);
        let page = "<html><head><title>429 Too Many Requests</title></head></html>";
        abuse(429, page, false, true);
        // Amazon's limit per second, and GHCR's secondary limit.
        let second = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"Rate exceeded"}]}"#;
        abuse(429, second, false, false);
        let secondary = concat!(
            r#"{"errors":[{"code":"DENIED","message":"You have exceeded a secondary rate limit. "#,
            r#"Please wait a few minutes before you try again."}]}"#,
        );
        abuse(403, secondary, false, true);
    }
}
