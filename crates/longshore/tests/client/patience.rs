//! How long is waited for whom (RT).

use std::time::Duration;

use bytes::Bytes;
use longshore::model::Digest;
use longshore::transport::{Clock as _, Phase, TestClock, TransportErrorKind, from_fn};
use longshore::{Cause, Client, Error, ErrorKind, IDLE_LIMIT};

use crate::auth::CHALLENGE;
use crate::support::{
    AUTH, MANIFEST, Net, Piece, Pieces, Punctual, app, blob, poll_once, poll_times, reply, timed,
};

const LONG: usize = 40_000;

fn content() -> Bytes {
    vec![7; LONG].into()
}

/// A blob that comes in these pieces first, and whole when it is resumed.
fn net(clock: &TestClock, pieces: fn(&Bytes) -> Vec<Piece>) -> Net {
    let (clock, content) = (clock.clone(), content());
    Net::serving(move |seen| match seen.header("range") {
        None => reply(200, &[], Pieces::body(&clock, pieces(&content))),
        Some(_) => blob(seen, &content),
    })
}

async fn read(client: Client) -> Result<Bytes, Error> {
    let app = app(client).await;
    let reader = app
        .blob(&Digest::sha256(&content()), Some(LONG as u64))
        .unwrap();
    reader.bytes(LONG as u64).await
}

#[tokio::test]
async fn rt_a_body_that_stalls_is_given_up_and_resumed() {
    let clock = TestClock::default();
    let net = net(&clock, |content| {
        vec![Piece::Bytes(content.slice(..30_000)), Piece::Stalls]
    });
    clock.ring(true);
    assert_eq!(
        read(timed(&net, &clock).build().unwrap()).await.unwrap(),
        content()
    );
    assert!(
        net.lines()[1].ends_with(" bytes=30000-"),
        "{:?}",
        net.lines()
    );
    assert_eq!(clock.now(), IDLE_LIMIT);
}

// 29 s are nothing to worry about, 31 s are.
#[tokio::test]
async fn rt_a_body_may_pause_for_thirty_seconds() {
    for (pause, requests) in [(29, 1), (31, 2)] {
        let clock = TestClock::default();
        let (time, bytes) = (clock.clone(), content());
        let net = Net::serving(move |seen| match seen.header("range") {
            Some(_) => blob(seen, &bytes),
            None => {
                let pieces = [
                    Piece::Bytes(bytes.slice(..30_000)),
                    Piece::Late(Duration::from_secs(pause)),
                    Piece::Bytes(bytes.slice(30_000..)),
                ];
                reply(200, &[], Pieces::body(&time, pieces))
            }
        });
        let client = timed(&net, &clock).clock(Punctual(clock.clone()));
        assert_eq!(read(client.build().unwrap()).await.unwrap(), content());
        assert_eq!(net.lines().len(), requests, "{pause} s");
    }
}

// Less than 1 KiB/s over 60 s, and never idle for 30 s.
#[tokio::test]
async fn rt_a_body_that_trickles_is_given_up() {
    let clock = TestClock::default();
    let net = net(&clock, |content| {
        let beginning = Piece::Bytes(content.slice(..30_000));
        let trickle = (30_000..LONG).flat_map(|at| {
            [
                Piece::Late(Duration::from_secs(20)),
                Piece::Bytes(content.slice(at..=at)),
            ]
        });
        [beginning].into_iter().chain(trickle).collect()
    });
    let client = timed(&net, &clock).clock(Punctual(clock.clone()));
    assert_eq!(read(client.build().unwrap()).await.unwrap(), content());
    assert_eq!(net.lines().len(), 2);
    assert!(clock.now() <= Duration::from_secs(80), "{:?}", clock.now());
}

// The time a consumer takes is not the body's.
#[tokio::test]
async fn rt_a_slow_consumer_is_no_stalled_body() {
    let clock = TestClock::default();
    let net = net(&clock, |content| {
        content
            .chunks(4_000)
            .map(|piece| Piece::Bytes(content.slice_ref(piece)))
            .collect()
    });
    let client = timed(&net, &clock)
        .clock(Punctual(clock.clone()))
        .build()
        .unwrap();
    let app = app(client).await;
    let mut reader = app
        .blob(&Digest::sha256(&content()), Some(LONG as u64))
        .unwrap();
    while let Some(bytes) = reader.next().await {
        bytes.unwrap();
        clock.advance(Duration::from_secs(600));
    }
    assert_eq!(net.lines().len(), 1);
}

// Nor is the time between two calls, the first of which was dropped while it waited.
#[tokio::test]
async fn rt_time_in_which_nobody_asks_does_not_count() {
    let clock = TestClock::default();
    let net = net(&clock, |content| {
        let pieces = content.chunks(4_000).flat_map(|piece| {
            [
                Piece::Late(Duration::from_secs(1)),
                Piece::Bytes(content.slice_ref(piece)),
            ]
        });
        pieces.collect()
    });
    let client = timed(&net, &clock)
        .clock(Punctual(clock.clone()))
        .build()
        .unwrap();
    let app = app(client).await;
    let mut reader = app
        .blob(&Digest::sha256(&content()), Some(LONG as u64))
        .unwrap();
    for _ in 0..10 {
        assert!(poll_once(reader.next()).is_pending());
        clock.advance(Duration::from_secs(600));
        assert_eq!(reader.next().await.unwrap().unwrap().len(), 4_000);
    }
    assert!(reader.next().await.is_none());
    assert_eq!(net.lines().len(), 1);
}

// But it does add up, however often the asking is interrupted.
#[tokio::test]
async fn rt_a_stalled_body_is_given_up_whoever_asks_and_how_often() {
    let clock = TestClock::default();
    let net = net(&clock, |content| {
        let mut pieces = vec![Piece::Bytes(content.slice(..30_000))];
        pieces.extend((0..4).map(|_| Piece::Late(Duration::from_secs(9))));
        pieces.push(Piece::Stalls);
        pieces
    });
    let client = timed(&net, &clock)
        .clock(Punctual(clock.clone()))
        .build()
        .unwrap();
    let app = app(client).await;
    let mut reader = app
        .blob(&Digest::sha256(&content()), Some(LONG as u64))
        .unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap().len(), 30_000);
    for _ in 0..3 {
        assert!(poll_times(2, reader.next()).is_pending());
    }
    assert_eq!(reader.next().await.unwrap().unwrap().len(), 10_000);
    assert!(reader.next().await.is_none());
    assert_eq!(net.lines().len(), 2);
}

// A document is read with no more patience than a blob.
#[tokio::test]
async fn rt_a_manifest_that_trickles_is_given_up() {
    let clock = TestClock::default();
    let time = clock.clone();
    let net = Net::serving(move |_| {
        let pieces = MANIFEST.as_bytes().chunks(1).flat_map(|byte| {
            [
                Piece::Late(Duration::from_secs(20)),
                Piece::Bytes(byte.into()),
            ]
        });
        reply(200, &[], Pieces::body(&time, pieces))
    });
    let client = timed(&net, &clock).clock(Punctual(clock.clone()));
    let app = app(client.attempts(2).build().unwrap()).await;
    let error = app.manifest(&"v1".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!((net.lines().len(), error.attempts()), (2, 2));
    assert!(clock.now() <= Duration::from_secs(161), "{:?}", clock.now());
}

// What was said of an error until then is worth more than the rest of it.
#[tokio::test]
async fn rt_an_error_body_that_stalls_is_shown_as_far_as_it_came() {
    let clock = TestClock::default();
    let time = clock.clone();
    let net = Net::serving(move |_| {
        let pieces = [Piece::Bytes("no such thing".into()), Piece::Stalls];
        reply(404, &[], Pieces::body(&time, pieces))
    });
    clock.ring(true);
    let app = app(timed(&net, &clock).build().unwrap()).await;
    let error = app.manifest(&"v1".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("no such thing"), "{error}");
}

#[tokio::test]
async fn rt_a_head_that_does_not_come_is_waited_for_thirty_seconds_or_three_hundred() {
    let clock = TestClock::default();
    let net = Net::over(from_fn(|_| std::future::pending()));
    clock.ring(true);
    let app = app(timed(&net, &clock).attempts(1).build().unwrap()).await;
    let digest = Digest::sha256(b"");
    let error = app.blob_head(&digest).await.unwrap_err();
    assert_eq!(clock.now(), Duration::from_secs(30));
    match error.cause() {
        Cause::Call(_, Some(error)) => {
            assert_eq!(
                (error.kind(), error.phase()),
                (TransportErrorKind::Timeout, Phase::Head)
            );
        }
        other => panic!("{other:?}"),
    }
    app.blob(&digest, None).unwrap().bytes(0).await.unwrap_err();
    assert_eq!(clock.now(), Duration::from_secs(330));
}

// RT: 30 s in all, from the first request to the last byte of the token.
#[tokio::test]
async fn rt_a_token_service_has_thirty_seconds_in_all() {
    let clock = TestClock::default();
    let time = clock.clone();
    let net = Net::serving(move |seen| {
        if !seen.uri.starts_with(AUTH) {
            return reply(401, &[("www-authenticate", CHALLENGE)], "");
        }
        let trickle = (0..1_000).flat_map(|_| {
            [
                Piece::Late(Duration::from_secs(9)),
                Piece::Bytes(" ".into()),
            ]
        });
        reply(200, &[], Pieces::body(&time, trickle))
    });
    let client = timed(&net, &clock).clock(Punctual(clock.clone()));
    let app = app(client.build().unwrap()).await;
    let error = app.manifest(&"v1".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(net.count(AUTH), 1);
    assert!(clock.now() <= Duration::from_secs(36), "{:?}", clock.now());
}
