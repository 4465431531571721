//! How many requests a registry gets at once, and when it gets none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use longshore::model::{Digest, Tag};
use longshore::transport::{TestClock, from_fn};
use longshore::{ErrorKind, Repository};
use tokio::task::JoinSet;

use crate::support::{Net, app, builder, reply, timed};

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
    const SECONDARY: &str =
        r#"{"errors":[{"code":"DENIED","message":"You have exceeded a secondary rate limit"}]}"#;
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
