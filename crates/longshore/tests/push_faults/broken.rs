//! Bodies that do not arrive or arrive only in part, and registries that ask the client to slow
//! down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use longshore::model::Digest;
use longshore::transport::{Clock, TestClock, Timer};
use longshore::{ErrorKind, IDLE_LIMIT, PushObserver, PushOptions, UploadOutcome};
use longshore_testkit::fault::{Fault, FaultProxy, Script};
use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};
use longshore_testkit::{Gate, ScriptedResponse};
use tokio::sync::watch;

use crate::support::{
    BLOB, app, chunked, lines, push, registry, repository, stored, stream, timed, whole,
};

fn misbehaving(what: Misbehaviour, method: Method) -> Registry {
    let registry = registry(|_| {});
    registry.misbehave(Rule::on(Part::Upload, what).method(method).times(1));
    registry
}

// RT4 (a PATCH is repeated only after the session was asked for its offset)
#[tokio::test]
async fn rt4_a_chunk_that_broke_off_continues_at_the_byte() {
    let registry = misbehaving(Misbehaviour::CutRequestAfter(3), Method::PATCH);
    push(&registry, chunked()).await.unwrap();
    assert_eq!(
        lines(&registry),
        [
            "POST uploads/ 202",
            "PATCH uploads/session-1 0-9 [3] 0",
            "GET uploads/session-1 204",
            "PATCH uploads/session-1 3-12 [10] 202",
            "PATCH uploads/session-1 13-22 [10] 202",
            "PATCH uploads/session-1 23-25 [3] 202",
            "PUT uploads/session-1?digest=D 201",
        ]
    );
    assert_eq!(stored(&registry).unwrap(), BLOB);
}

// RT4 (a PATCH is repeated only after the session was asked for its offset)
#[tokio::test]
async fn rt4_a_chunk_whose_answer_is_lost_is_not_sent_again() {
    let unclear = Misbehaviour::Status(StatusCode::BAD_GATEWAY);
    for (what, status) in [(Misbehaviour::HangUp, 0), (unclear, 502)] {
        let registry = misbehaving(what, Method::PATCH);
        push(&registry, chunked()).await.unwrap();
        let first = format!("PATCH uploads/session-1 0-9 [10] {status}");
        assert_eq!(
            lines(&registry),
            [
                "POST uploads/ 202",
                &first,
                "GET uploads/session-1 204",
                "PATCH uploads/session-1 10-19 [10] 202",
                "PATCH uploads/session-1 20-25 [6] 202",
                "PUT uploads/session-1?digest=D 201",
            ]
        );
        assert_eq!(stored(&registry).unwrap(), BLOB);
    }
}

#[tokio::test]
async fn a_session_that_is_gone_is_replaced() {
    let registry = misbehaving(Misbehaviour::ForgetUploads, Method::PATCH);
    push(&registry, chunked()).await.unwrap();
    assert_eq!(
        lines(&registry),
        [
            "POST uploads/ 202",
            "PATCH uploads/session-1 0-9 [10] 202",
            "PATCH uploads/session-1 10-19 [10] 404",
            "POST uploads/ 202",
            "PATCH uploads/session-2 0-9 [10] 202",
            "PATCH uploads/session-2 10-19 [10] 202",
            "PATCH uploads/session-2 20-25 [6] 202",
            "PUT uploads/session-2?digest=D 201",
        ]
    );
    assert_eq!(stored(&registry).unwrap(), BLOB);
}

#[tokio::test]
async fn a_broken_chunk_without_a_state_to_ask_for_starts_again() {
    for ends in [false, true] {
        let registry = registry(|quirks| {
            quirks.no_status = true;
            quirks.broken_chunk_ends_session = ends;
        });
        let cut = Rule::on(Part::Upload, Misbehaviour::CutRequestAfter(3));
        registry.misbehave(cut.method(Method::PATCH).times(1));
        push(&registry, chunked()).await.unwrap();
        let seen = lines(&registry);
        assert_eq!(
            seen[2..4],
            ["GET uploads/session-1 404", "POST uploads/ 202"]
        );
        assert_eq!(seen[4], "PATCH uploads/session-2 0-9 [10] 202");
        assert_eq!(stored(&registry).unwrap(), BLOB);
    }
}

// RT4 (a request whose body cannot be produced again is never retried)
#[tokio::test]
async fn rt4_a_stream_that_broke_off_is_an_error() {
    let registry = misbehaving(Misbehaviour::CutRequestAfter(3), Method::PATCH);
    let repository = repository(&registry).await;
    let content = stream();
    let pushed = repository.put_blob(&content, PushOptions::default());
    let failed = pushed.await.unwrap_err();
    assert!(format!("{failed:?}").contains("3 bytes"), "{failed:?}");
    assert_eq!(stored(&registry), None);
    assert_eq!(
        lines(&registry),
        [
            "POST uploads/ 202",
            "PATCH uploads/session-1 [3] 0",
            "GET uploads/session-1 204",
            "DELETE uploads/session-1 204",
        ]
    );
}

// RT6 (5 resumes in a row with less than 16 KiB progress end the transfer)
#[tokio::test]
async fn rt6_an_upload_that_gets_nowhere_ends() {
    let registry = registry(|_| {});
    let cut = Rule::on(Part::Upload, Misbehaviour::CutRequestAfter(0));
    registry.misbehave(cut.method(Method::PATCH));
    let failed = push(&registry, chunked()).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unavailable, "{failed:?}");
    let seen = lines(&registry);
    let count = |beginning: &str| {
        seen.iter()
            .filter(|line| line.starts_with(beginning))
            .count()
    };
    assert_eq!(count("PATCH"), 6, "{seen:?}");
    assert_eq!(count("GET"), 5);
    assert_eq!(seen.last().unwrap(), "DELETE uploads/session-1 204");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_sent_in_chunks() {
    let content = Bytes::from(vec![7; 3 * 1024 * 1024]);
    let registry = registry(|quirks| quirks.body_max_bytes = Some(1024 * 1024));
    let repository = repository(&registry).await;
    let mut options = PushOptions::default();
    let digest = Digest::sha256(&content);
    options.digest = Some(digest.clone());
    let pushed = repository.put_blob(&content, options).await.unwrap();
    assert_eq!(pushed.outcome, UploadOutcome::Sent);
    let statuses = registry.requests().all();
    let statuses: Vec<_> = statuses.iter().map(|seen| seen.status.unwrap()).collect();
    assert_eq!(statuses, [202, 413, 202, 202, 202, 202, 201]);
    let stored = registry.contents().blob("app", &digest).unwrap();
    assert_eq!(stored.bytes(), content);
}

// RT2, RT3 (a 429 is retried after the time that it names)
#[tokio::test]
async fn rt3_a_rate_limit_in_the_middle_of_a_push_is_waited_for() {
    let clock = TestClock::default();
    let registry = registry(|_| {});
    let limit = Misbehaviour::RetryAfter(StatusCode::TOO_MANY_REQUESTS, "7".to_owned());
    registry.misbehave(Rule::on_writes(limit).times(1));
    let client = timed(&registry, clock.clone()).build().unwrap();
    let repository = app(&registry, &client).await;
    let content = Bytes::from_static(BLOB);
    repository.put_blob(&content, chunked()).await.unwrap();
    assert_eq!(
        lines(&registry)[..2],
        ["POST uploads/ 429", "POST uploads/ 202"]
    );
    assert_eq!(clock.slept(), [Duration::from_secs(7)]);
}

// RT2 (a 403 that says it is a rate limit is retried)
#[tokio::test]
async fn rt2_a_secondary_rate_limit_is_not_a_denial() {
    let registry = registry(|_| {});
    registry.misbehave(Rule::on_writes(Misbehaviour::SecondaryRateLimit).times(1));
    push(&registry, whole()).await.unwrap();
    assert_eq!(
        lines(&registry)[..2],
        ["POST uploads/ 403", "POST uploads/ 202"]
    );
    assert_eq!(stored(&registry).unwrap(), BLOB);
}

// RT2, RT4 (a rate limit in the middle of an upload does not end it)
#[tokio::test]
async fn rt2_a_rate_limit_on_a_chunk_is_waited_for() {
    let limit = Misbehaviour::RetryAfter(StatusCode::TOO_MANY_REQUESTS, "7".to_owned());
    for what in [limit, Misbehaviour::SecondaryRateLimit] {
        let refusal = match &what {
            Misbehaviour::SecondaryRateLimit => StatusCode::FORBIDDEN,
            _ => StatusCode::TOO_MANY_REQUESTS,
        };
        let registry = misbehaving(what, Method::PATCH);
        push(&registry, chunked()).await.unwrap();
        let first = format!("PATCH uploads/session-1 0-9 [10] {}", refusal.as_u16());
        assert_eq!(
            lines(&registry)[1..4],
            [
                first.as_str(),
                "GET uploads/session-1 204",
                "PATCH uploads/session-1 10-19 [10] 202",
            ]
        );
        assert_eq!(stored(&registry).unwrap(), BLOB);
    }
}

// RT3 (a `Retry-After` of more than 60 s fails at once and is reported)
#[tokio::test]
async fn rt3_a_long_wait_ends_the_push_at_once() {
    let limit = Misbehaviour::RetryAfter(StatusCode::TOO_MANY_REQUESTS, "3600".to_owned());
    for method in [Method::POST, Method::PATCH, Method::PUT] {
        let clock = TestClock::default();
        let registry = misbehaving(limit.clone(), method.clone());
        let client = timed(&registry, clock.clone()).build().unwrap();
        let repository = app(&registry, &client).await;
        let content = Bytes::from_static(BLOB);
        let pushed = repository.put_blob(&content, chunked()).await;
        let failed = pushed.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::RateLimited, "{method}");
        assert_eq!(failed.retry_after(), Some(Duration::from_secs(3600)));
        assert!(clock.slept().is_empty(), "{method}: {:?}", clock.slept());
    }
}

#[tokio::test]
async fn an_early_refusal_of_a_large_body_is_read() {
    let content = Bytes::from(vec![7; 16 * 1024 * 1024]);
    let refusal = ScriptedResponse::status(StatusCode::FORBIDDEN);
    let early = Misbehaviour::AnswerEarly(Box::new(refusal));
    let registry = misbehaving(early, Method::PUT);
    let repository = repository(&registry).await;
    let mut options = PushOptions::default();
    options.digest = Some(Digest::sha256(&content));
    let failed = repository.put_blob(&content, options).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Denied, "{failed:?}");
    let statuses = registry.requests().all();
    let statuses: Vec<_> = statuses.iter().map(|seen| seen.status.unwrap()).collect();
    assert_eq!(statuses, [202, 403, 204]);
}

// RT5 (a reused connection that ends before the first byte of the answer allows one more attempt)
#[tokio::test]
async fn rt5_a_connection_that_is_closed_between_requests_is_replaced() {
    let registry = registry(|_| {});
    let reset = Script::new().connection(0, Fault::ResetOnRequest(2));
    let proxy = FaultProxy::start(registry.address(), reset).unwrap();
    let clock = TestClock::default();
    let mut settings = longshore::HostSettings::default();
    settings.plain_http = true;
    let authority = proxy.address().to_string();
    let client = longshore::Client::builder()
        .clock(clock)
        .host(&authority, settings)
        .build()
        .unwrap();
    let reference = format!("{authority}/app").parse().unwrap();
    let repository = client.repository(&reference).await.unwrap();
    let content = Bytes::from_static(BLOB);
    repository.put_blob(&content, chunked()).await.unwrap();
    assert_eq!(stored(&registry).unwrap(), BLOB);
}

/// A clock that a test moves, and whose alarms ring when it is moved beyond them.
#[derive(Clone)]
struct MovedClock {
    time: TestClock,
    moved: Arc<watch::Sender<()>>,
}

impl MovedClock {
    fn new() -> Self {
        Self {
            time: TestClock::default(),
            moved: Arc::new(watch::Sender::new(())),
        }
    }

    fn advance(&self, by: Duration) {
        self.time.advance(by);
        self.moved.send_replace(());
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Duration {
        self.time.now()
    }

    fn sleep(&self, duration: Duration) -> Timer {
        self.time.sleep(duration)
    }

    fn alarm(&self, duration: Duration) -> Timer {
        let clock = self.clone();
        let end = clock.now() + duration;
        Box::pin(async move {
            let mut moved = clock.moved.subscribe();
            while clock.now() < end {
                moved.changed().await.unwrap();
            }
        })
    }
}

/// How much of a body the transport took, and whether the upload was resumed.
#[derive(Debug, Default)]
struct Taken {
    bytes: AtomicU64,
    is_resumed: AtomicBool,
}

impl PushObserver for Taken {
    fn sent(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    fn resumed(&self, _: u64) {
        self.is_resumed.store(true, Ordering::SeqCst);
    }
}

/// Lets 30 seconds pass each time that the body of the first request has come to a halt.
async fn pass_time(clock: &MovedClock, taken: &Taken) {
    let mut halted_at = None;
    loop {
        let before = taken.bytes.load(Ordering::SeqCst);
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let bytes = taken.bytes.load(Ordering::SeqCst);
        let is_over = taken.is_resumed.load(Ordering::SeqCst);
        if bytes > 0 && bytes == before && halted_at != Some(bytes) && !is_over {
            halted_at = Some(bytes);
            clock.advance(IDLE_LIMIT);
        }
    }
}

// RT10 (an upload body without progress for 30 s is aborted and resumed)
#[tokio::test]
async fn rt10_a_body_that_the_registry_stops_reading_is_resumed() {
    // More than the buffers of both ends of a connection hold.
    let content = Bytes::from(vec![7; 48 * 1024 * 1024]);
    let digest = Digest::sha256(&content);
    let whole = &["POST", "HEAD", "GET", "PATCH", "PUT"][..];
    let nothing = &["POST", "HEAD", "GET", "PUT"];
    let chunked = &["POST", "GET", "PATCH", "PATCH", "PUT"];
    for (method, read, expected) in [
        (Method::PUT, 1024 * 1024, whole),
        (Method::PUT, 0, nothing),
        (Method::PATCH, 0, chunked),
    ] {
        let gate = Gate::new();
        let stall = Misbehaviour::StallRequestAfter(read, gate.clone());
        let registry = misbehaving(stall, method.clone());
        let clock = MovedClock::new();
        let client = timed(&registry, clock.clone()).build().unwrap();
        let repository = app(&registry, &client).await;
        let taken = Arc::new(Taken::default());
        let mut options = PushOptions::default();
        options.digest = Some(digest.clone());
        options.chunk = (method == Method::PATCH).then_some(40 * 1024 * 1024);
        options.observer = Some(taken.clone());
        let pushed = tokio::select! {
            pushed = repository.put_blob(&content, options) => pushed.unwrap(),
            () = pass_time(&clock, &taken) => unreachable!("the time goes on"),
        };
        assert_eq!(pushed.outcome, UploadOutcome::Sent);
        let stored = registry.contents().blob("app", &digest).unwrap();
        assert_eq!(stored.bytes(), content);
        // The request that stalls is not recorded.
        let seen = registry.requests().all();
        let seen: Vec<_> = seen.iter().map(|seen| seen.method.as_str()).collect();
        assert_eq!(seen, expected, "{method} {read}");
        gate.open();
    }
}
