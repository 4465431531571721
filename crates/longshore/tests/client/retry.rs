//! What is sent again, how often, and after which wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use longshore::ErrorKind;
use longshore::model::Digest;
use longshore::transport::{
    Exchange, Phase, ScriptedTransport, TestClock, TransportError, TransportErrorKind, from_fn,
};

use crate::support::{HOME, Net, app, blob_uri, builder, closed, reply, timed};

// RT1
#[tokio::test]
async fn rt1_a_registry_that_cannot_answer_is_asked_five_times() {
    for attempts in [1, 5] {
        let clock = TestClock::default();
        let net = Net::serving(|_| reply(503, &[], "later"));
        let client = timed(&net, &clock);
        let client = if attempts == 1 {
            client.attempts(1)
        } else {
            client
        };
        let app = app(client.build().unwrap()).await;
        let reader = app.blob(&Digest::sha256(b"hello"), None).unwrap();
        let error = reader.bytes(9).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::Unavailable, attempts)
        );
        assert_eq!(net.lines().len() as u32, attempts);
        assert_eq!(
            clock.slept(),
            vec![Duration::from_millis(100); attempts as usize - 1]
        );
    }
}

// RT2
#[tokio::test]
async fn rt2_what_another_attempt_cannot_help_is_not_attempted() {
    for (kind, expected) in [
        (TransportErrorKind::AddressRefused, ErrorKind::Protocol),
        (TransportErrorKind::HeaderLimit, ErrorKind::Protocol),
        (TransportErrorKind::Tls, ErrorKind::Unavailable),
        (TransportErrorKind::NotTls, ErrorKind::Unavailable),
        (TransportErrorKind::Proxy, ErrorKind::Unavailable),
    ] {
        let net = Net::over(from_fn(move |_| async move {
            Err(TransportError::new(kind, Phase::Connect))
        }));
        let app = app(builder(&net).build().unwrap()).await;
        let error = app.blob_head(&Digest::sha256(b"")).await.unwrap_err();
        assert_eq!((error.kind(), net.lines().len()), (expected, 1), "{kind:?}");
    }
}

// RT3
#[tokio::test]
async fn rt3_retry_after_is_kept_to_up_to_a_minute() {
    let digest = Digest::sha256(b"hello");
    let asked = AtomicBool::new(false);
    let net = Net::serving(move |_| match asked.swap(true, Ordering::SeqCst) {
        false => reply(429, &[("retry-after", "60")], ""),
        true => reply(200, &[], "hello"),
    });
    let clock = TestClock::default();
    let app_ = app(timed(&net, &clock).build().unwrap()).await;
    app_.blob(&digest, None).unwrap().bytes(5).await.unwrap();
    assert_eq!(clock.slept(), [Duration::from_secs(60)]);

    let net = Net::serving(|_| reply(429, &[("retry-after", "61")], ""));
    let clock = TestClock::default();
    let app = app(timed(&net, &clock).build().unwrap()).await;
    let error = app.blob(&digest, None).unwrap().bytes(5).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(61)));
    assert_eq!((clock.slept(), net.lines().len()), (vec![], 1));
}

// RT5
#[tokio::test]
async fn rt5_a_connection_that_was_closed_meanwhile_costs_no_attempt() {
    let uri = blob_uri(HOME, b"hello");
    let net = Net::over(ScriptedTransport::new([
        Exchange::failing("GET", &uri, closed(Phase::Head).on_reused(true)),
        Exchange::new("GET", &uri, 200).body("hello"),
    ]));
    let clock = TestClock::default();
    let app = app(timed(&net, &clock).attempts(1).build().unwrap()).await;
    let reader = app.blob(&Digest::sha256(b"hello"), None).unwrap();
    assert_eq!(reader.bytes(5).await.unwrap(), "hello");
    assert_eq!(clock.slept(), []);
    // Another idle connection may be closed as well.
    let fresh: Vec<_> = net.seen().iter().map(|seen| seen.fresh).collect();
    assert_eq!(fresh, [false, true]);
}

// RT1: 120 s of waiting are enough.
#[tokio::test]
async fn rt_waits_come_to_two_minutes_at_most() {
    let clock = TestClock::default();
    let net = Net::over(from_fn(|_| async {
        Ok(reply(503, &[("retry-after", "50")], ""))
    }));
    let app = app(timed(&net, &clock).build().unwrap()).await;
    let error = app.manifest(&"v1".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(clock.slept(), [Duration::from_secs(50); 2]);
}

// RT3: the wall clock of the test is in 1994. The dates are a few seconds and 18 years later.
#[tokio::test]
async fn rt3_a_point_in_time_without_a_date_is_near_or_far_by_the_clock_of_the_client() {
    for (until, slept, left) in [
        ("Sun, 06 Nov 1994 08:49:57 GMT", 20, None),
        (
            "Tue, 06 Nov 2012 08:49:37 GMT",
            0,
            Some(6575 * 24 * 60 * 60),
        ),
    ] {
        let clock = TestClock::default();
        let net = Net::serving(move |_| reply(429, &[("retry-after", until)], ""));
        let client = timed(&net, &clock).attempts(2).build().unwrap();
        let reader = app(client).await.blob(&Digest::sha256(b"x"), None).unwrap();
        let error = reader.bytes(9).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        let waited: Duration = clock.slept().iter().sum();
        assert_eq!(waited, Duration::from_secs(slept), "{until}");
        if let Some(left) = left {
            assert_eq!(error.retry_after(), Some(Duration::from_secs(left)));
            assert_eq!(net.lines().len(), 1);
        }
    }
}
