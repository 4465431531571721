//! Time: registries that ask to wait, in any form, and bodies that stall or drip.

use longshore::{IDLE_LIMIT, SLOW_WINDOW};
use longshore_testkit::{Gate, Valve};

use super::*;

/// A Unix time, and the same as an HTTP date and seven seconds later.
const THEN: u64 = 1_700_000_000;
const DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
const LATER: &str = "Tue, 14 Nov 2023 22:13:27 GMT";

/// An answer that asks to wait, dated [`THEN`].
fn wait(code: u16, after: Option<&str>) -> Misbehaviour {
    let answer = ScriptedResponse::status(status(code))
        .header(http::header::DATE, HeaderValue::from_static(DATE));
    let answer = match after {
        Some(after) => {
            let after = HeaderValue::from_str(after).unwrap();
            answer.header(http::header::RETRY_AFTER, after)
        }
        None => answer,
    };
    Misbehaviour::Response(Box::new(answer))
}

// RT3: what it says in any form, up to 60 s.
#[tokio::test]
async fn rt3_a_wait_is_as_long_as_was_asked_for() {
    let scene = Scene::set().await;
    // Without jitter a wait of our own choosing is the shortest there is.
    let own = Duration::from_millis(100);
    let unix = (THEN + 7).to_string();
    let mut table = vec![
        (Some("7"), Duration::from_secs(7)),
        (Some("0"), Duration::ZERO),
        (Some("60"), Duration::from_secs(60)),
        (Some(LATER), Duration::from_secs(7)),
        (Some(&unix), Duration::from_secs(7)),
        (Some(DATE), Duration::ZERO),
        (None, own),
    ];
    table.extend(hostile::RETRY_AFTERS.map(|garbage| (Some(garbage), own)));
    for code in [429, 503] {
        for (after, expected) in &table {
            let before = scene.clock.slept().len();
            scene.rule(Rule::always(wait(code, *after)).times(1));
            scene.manifest().await.unwrap();
            assert_eq!(scene.registry.requests().len(), 2, "{code} {after:?}");
            let slept = scene.clock.slept().split_off(before);
            assert_eq!(slept, [*expected], "{code} {after:?}");
        }
    }
}

// RT3: longer than that fails now, and tells when.
#[tokio::test]
async fn rt3_a_wait_that_is_too_long_is_not_begun() {
    let scene = Scene::set().await;
    let unix = (THEN + 61).to_string();
    for (after, told) in [
        ("61", 61),
        ("1000000000", 1_000_000_000),
        ("Tue, 14 Nov 2023 22:14:21 GMT", 61),
        (&unix, 61),
    ] {
        for (code, kind) in [(429, ErrorKind::RateLimited), (503, ErrorKind::Unavailable)] {
            scene.rule(Rule::always(wait(code, Some(after))));
            let result = scene.manifest().await;
            let error = scene.refused(result, kind, 1, after);
            assert_eq!(
                error.retry_after(),
                Some(Duration::from_secs(told)),
                "{after}"
            );
        }
    }
    assert_eq!(scene.clock.slept(), [Duration::ZERO; 0]);
}

// RT1, RT3: five attempts, 120 s of waits in all; never taken for success or absence.
#[tokio::test]
async fn rt3_a_registry_that_always_asks_to_wait_is_left() {
    for (after, requests) in [(Some("0"), 5), (None, 5), (Some("50"), 3)] {
        let scene = Scene::set().await;
        scene.rule(Rule::always(wait(429, after)));
        let result = scene.manifest().await;
        scene.refused(result, ErrorKind::RateLimited, requests, "429");
        let waited: Duration = scene.clock.slept().iter().sum();
        assert!(waited <= Duration::from_secs(120), "{waited:?}");
    }
}

const LENGTH: u64 = 100_000;

// RT: idle for 30 s.
#[tokio::test]
async fn rt_a_body_that_stalls_is_given_up_and_asked_for_again() {
    let scene = Scene::set().await;
    let digest = scene.blob(BlobContent::random(1, LENGTH));
    let gate = Gate::new();
    let held = Misbehaviour::HoldAfter(30_000, gate.clone());
    scene.rule(Rule::on(Part::Blob, held).times(1));
    let mut reader = scene.repository.blob(&digest, Some(LENGTH)).unwrap();
    let mut came = 0;
    while came < 30_000 {
        came += reader.next().await.unwrap().unwrap().len();
    }
    let resumed = meanwhile(reader.next(), || scene.clock.advance(IDLE_LIMIT)).await;
    came += resumed.unwrap().unwrap().len();
    while let Some(bytes) = reader.next().await {
        came += bytes.unwrap().len();
    }
    assert_eq!(came as u64, LENGTH);
    assert_eq!(scene.ranges(), [None, Some("bytes=30000-".to_owned())]);
    gate.open();
}

// RT: less than 1 KiB/s over 60 s, and never idle for 30.
#[tokio::test]
async fn rt_a_body_that_drips_is_given_up_and_asked_for_again() {
    let scene = Scene::set().await;
    let digest = scene.blob(BlobContent::random(1, LENGTH));
    let valve = Valve::new();
    let pace = Misbehaviour::Pace(valve.clone());
    scene.rule(Rule::on(Part::Blob, pace).times(1));
    let mut reader = scene.repository.blob(&digest, Some(LENGTH)).unwrap();
    let mut came = 0;
    while scene.ranges().len() < 2 {
        let drop = || {
            scene.clock.advance(Duration::from_secs(20));
            valve.let_pass(10);
        };
        came += meanwhile(reader.next(), drop).await.unwrap().unwrap().len();
        // The head may take the first of these times, and a resume begins with a short wait.
        assert!(scene.clock.now() < SLOW_WINDOW + Duration::from_secs(21));
    }
    while let Some(bytes) = reader.next().await {
        came += bytes.unwrap().len();
    }
    assert_eq!(came as u64, LENGTH);
    assert_eq!(scene.ranges().len(), 2, "{:?}", scene.ranges());
    valve.open();
}

// RT: a document has no more time than a blob.
#[tokio::test]
async fn rt_a_manifest_that_stalls_is_given_up() {
    let scene = Scene::set().await;
    let gate = Gate::new();
    scene.rule(Rule::always(Misbehaviour::HoldAfter(10, gate.clone())).times(1));
    let tag: TagOrDigest = "1".parse().unwrap();
    let mut asked = pin!(scene.repository.manifest(&tag));
    // Time goes by from when the body is held to the wait before the next attempt.
    let pulled = poll_fn(|cx| {
        if gate.is_reached() && scene.clock.slept().is_empty() {
            scene.clock.advance(Duration::from_secs(1));
        }
        cx.waker().wake_by_ref();
        asked.as_mut().poll(cx)
    });
    assert_eq!(pulled.await.unwrap().digest(), scene.tree.digest());
    assert_eq!(scene.registry.requests().len(), 2);
    gate.open();
}
