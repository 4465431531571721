//! How many requests a registry gets at once, and when it gets none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use longshore::model::{Digest, MediaType, Tag};
use longshore::transport::{Body, TestClock, from_fn};
use longshore::{
    ClientBuilder, Error, ErrorKind, Notice, PushOptions, QUOTA_WAIT_LIMIT, Repository,
};
use tokio::task::JoinSet;

use crate::support::{MANIFEST, Net, app, builder, collecting, reply, timed};

const SECONDARY: &str =
    r#"{"errors":[{"code":"DENIED","message":"You have exceeded a secondary rate limit"}]}"#;

/// Deletes this many tags concurrently, and returns how many requests were in flight at most while
/// the registry was in good order. Its first answers are these refusals.
async fn most_in_flight(
    refusals: usize,
    status: u16,
    body: &'static str,
    requests: usize,
) -> (usize, usize) {
    let (arrived, in_flight) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let most = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let state = Arc::new((arrived, in_flight, most));
    let shared = Arc::clone(&state);
    let net = Net::over(from_fn(move |_| {
        let state = Arc::clone(&shared);
        async move {
            let (arrived, in_flight, most) = &*state;
            let number = arrived.fetch_add(1, Ordering::SeqCst);
            let now = in_flight.fetch_add(1, Ordering::SeqCst) + 1;
            let is_refused = number < refusals;
            most[usize::from(!is_refused)].fetch_max(now, Ordering::SeqCst);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            in_flight.fetch_sub(1, Ordering::SeqCst);
            Ok(match is_refused {
                true => reply(status, &[], body),
                false => reply(202, &[], ""),
            })
        }
    }));
    let app = app(builder(&net).build().unwrap()).await;
    let mut tasks = JoinSet::new();
    for number in 0..requests {
        let app = app.clone();
        let tag: Tag = format!("v{number}").parse().unwrap();
        tasks.spawn(async move { app.delete_tag(&tag).await.unwrap() });
    }
    assert!(tasks.join_all().await.iter().all(|deleted| *deleted));
    let (_, _, [refused, good]) = &*state;
    (refused.load(Ordering::SeqCst), good.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_registry_that_asks_to_slow_down_gets_half_as_many_requests() {
    for (status, body) in [(429, ""), (503, ""), (403, SECONDARY)] {
        // Every request of the first round is refused, which halves the limit once.
        assert_eq!(
            most_in_flight(32, status, body, 32).await,
            (32, 16),
            "{status}"
        );
    }
    // Any other refusal is an answer, and a failure of the server says nothing of the pace.
    assert_eq!(most_in_flight(32, 500, "", 32).await, (32, 32));
    assert_eq!(most_in_flight(0, 500, "", 64).await, (0, 32));
}

#[tokio::test]
async fn the_pace_recovers() {
    let (_, good) = most_in_flight(32, 429, "", 1000).await;
    assert_eq!(good, 32);
}

async fn delete(app: &Repository) -> Result<bool, ErrorKind> {
    let deleted = app.delete_blob(&Digest::sha256(b"")).await;
    deleted.map_err(|error| error.kind())
}

// RT3 (Retry-After replaces the wait up to 60 s; a longer one fails at once)
#[tokio::test]
async fn rt3_other_requests_wait_as_long_as_one_was_asked_to() {
    for (asked, waits) in [("7", &[7][..]), ("61", &[]), ("soon", &[])] {
        let clock = TestClock::default();
        let answers = AtomicUsize::new(0);
        let net = Net::serving(move |_| match answers.fetch_add(1, Ordering::SeqCst) {
            0 => reply(429, &[("retry-after", asked)], ""),
            _ => reply(202, &[], ""),
        });
        let app = app(timed(&net, &clock).attempts(1).build().unwrap()).await;
        assert_eq!(delete(&app).await, Err(ErrorKind::RateLimited));
        assert_eq!(clock.slept(), []);
        assert_eq!(delete(&app).await, Ok(true));
        assert_eq!(delete(&app).await, Ok(true));
        let waits: Vec<_> = waits
            .iter()
            .map(|wait| Duration::from_secs(*wait))
            .collect();
        assert_eq!(clock.slept(), waits, "{asked}");
    }
}

/// Puts a manifest and then pushes a blob in one chunk.
async fn write(app: &Repository) -> [Result<(), Error>; 2] {
    let (target, media_type) = ("v1".parse().unwrap(), MediaType::OCI_MANIFEST);
    let bytes = Bytes::from_static(MANIFEST.as_bytes());
    let manifest = app.put_manifest(&target, &media_type, bytes).await;
    let content = Bytes::from_static(b"blob");
    let blob = app.put_blob(&content, PushOptions::default()).await;
    [manifest.map(drop), blob.map(drop)]
}

/// A registry that answers the first `PUT` and the first `PATCH` like this.
fn limited(fields: &'static [(&'static str, &'static str)], times: usize) -> Net {
    let refused = [AtomicUsize::new(0), AtomicUsize::new(0)];
    Net::over(from_fn(move |request: http::Request<Body>| {
        let is_refused = match request.method().as_str() {
            "PUT" => refused[0].fetch_add(1, Ordering::SeqCst) < times,
            "PATCH" => refused[1].fetch_add(1, Ordering::SeqCst) < times,
            _ => false,
        };
        let answer: Response<Body> = match request.method().as_str() {
            _ if is_refused => reply(429, fields, ""),
            "PUT" => reply(201, &[], ""),
            "GET" => reply(204, &[("range", "0-0")], ""),
            _ => reply(202, &[("location", "/s")], ""),
        };
        async move { Ok(answer) }
    }))
}

const HOUR: u64 = 3600;

fn quota(net: &Net, clock: &TestClock, hours: u64) -> ClientBuilder {
    let client = timed(net, clock).transport(collecting(net));
    client.wait_for_quota(Duration::from_secs(hours * HOUR))
}

// RT3 (a longer Retry-After fails at once and is reported)
#[tokio::test]
async fn rt3_a_write_fails_at_once_and_says_when_to_come_back() {
    for fields in [
        &[("retry-after", "3600")][..],
        &[("ratelimit-remaining", "0;w=3600")],
        &[("ratelimit-remaining", "0"), ("ratelimit-reset", "3600")],
    ] {
        let clock = TestClock::default();
        let net = limited(fields, 1);
        // A client that waits, but not for this long, fails too.
        let plain = timed(&net, &clock).transport(collecting(&net));
        for client in [plain, quota(&limited(fields, 1), &clock, 0)] {
            let app = app(client.build().unwrap()).await;
            for written in write(&app).await {
                let error = written.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::RateLimited);
                assert_eq!(error.retry_after(), Some(Duration::from_secs(HOUR)));
            }
            assert_eq!(clock.slept(), []);
        }
    }
}

// RT3
#[tokio::test]
async fn rt3_a_client_that_may_waits_until_the_limit_is_reset() {
    let clock = TestClock::default();
    let told = Arc::new(Mutex::new(Vec::new()));
    let notices = Arc::clone(&told);
    let net = limited(&[("retry-after", "3600")], 2);
    let client = quota(&net, &clock, 24).attempts(1);
    let client = client.on_notice(move |notice: &Notice| {
        notices.lock().unwrap().push(notice.to_string());
    });
    let app = app(client.build().unwrap()).await;
    for written in write(&app).await {
        written.unwrap();
    }
    let text = "https://r.example.com allows no more requests for now: waiting 3600 s until its \
                rate limit is reset";
    assert_eq!(*told.lock().unwrap(), [text; 4]);
    let hours = clock
        .slept()
        .into_iter()
        .filter(|wait| wait.as_secs() == HOUR);
    assert_eq!(hours.count(), 4);
}

// RT3: at most 24 h for one request.
#[tokio::test]
async fn rt3_the_waits_for_a_quota_have_a_limit() {
    let clock = TestClock::default();
    let net = Net::serving(|_| reply(429, &[("retry-after", "36000")], ""));
    let client = timed(&net, &clock).wait_for_quota(QUOTA_WAIT_LIMIT * 2);
    let app = app(client.build().unwrap()).await;
    assert_eq!(delete(&app).await, Err(ErrorKind::RateLimited));
    assert_eq!(clock.slept(), [Duration::from_secs(10 * HOUR); 2]);
    // A registry that cannot answer has no quota.
    let net = Net::serving(|_| reply(503, &[("retry-after", "3600")], ""));
    let app = crate::support::app(quota(&net, &clock, 24).build().unwrap()).await;
    assert_eq!(delete(&app).await, Err(ErrorKind::Unavailable));
    assert_eq!(net.lines().len(), 1);
}

// RT2 (a 403 that says it is a rate limit is retried)
#[tokio::test]
async fn rt2_an_upload_continues_after_a_403_that_is_a_rate_limit() {
    let refused = AtomicUsize::new(0);
    let net = Net::over(from_fn(move |request: http::Request<Body>| {
        let answer = match request.method().as_str() {
            "PATCH" if refused.fetch_add(1, Ordering::SeqCst) == 0 => reply(403, &[], SECONDARY),
            "PUT" => reply(201, &[], ""),
            "GET" => reply(204, &[("range", "0-0")], ""),
            _ => reply(202, &[("location", "/s")], ""),
        };
        async move { Ok(answer) }
    }));
    let client = builder(&net).transport(collecting(&net)).build().unwrap();
    let content = Bytes::from_static(b"blob");
    let app = app(client).await;
    let pushed = app.put_blob(&content, PushOptions::default());
    assert_eq!(pushed.await.unwrap().digest, Digest::sha256(b"blob"));
    let methods: Vec<_> = net.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, ["POST", "PATCH", "GET", "PATCH", "PUT"]);
}
