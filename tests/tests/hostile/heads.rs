//! Heads: floods of interim responses and header fields, places nobody should go.

use longshore::transport::{Phase, TransportErrorKind};
use longshore_testkit::Listen;
use longshore_testkit::fault::{Fault, FaultProxy, Script};
use longshore_testkit::recorder::Recorder;

use super::*;

#[track_caller]
fn assert_wire(error: &Error, kind: TransportErrorKind) {
    match error.cause() {
        Cause::Call(_, Some(wire)) => assert_eq!((wire.kind(), wire.phase()), (kind, Phase::Head)),
        other => panic!("{other:?}"),
    }
}

// LI: 16 interim responses to a request.
#[tokio::test]
async fn li_a_flood_of_interim_responses_is_refused() {
    let scene = Scene::set().await;
    scene.rule(Rule::always(Misbehaviour::Interim(16)));
    scene.manifest().await.unwrap();
    for count in [17, 10_000] {
        scene.rule(Rule::always(Misbehaviour::Interim(count)));
        let result = scene.manifest().await;
        let error = scene.refused(result, ErrorKind::Protocol, 1, "interim");
        assert_wire(&error, TransportErrorKind::HeaderLimit);
    }
}

// LI: 128 header fields and 64 KiB of them.
#[tokio::test]
async fn li_a_flood_of_header_fields_is_refused() {
    let scene = Scene::set().await;
    for (count, length) in [(100, 500), (1, 60_000)] {
        scene.rule(Rule::always(Misbehaviour::Headers(count, length)));
        scene.manifest().await.unwrap();
    }
    for (count, length) in [(129, 0), (1, 65_536), (120, 600), (2000, 10)] {
        scene.rule(Rule::always(Misbehaviour::Headers(count, length)));
        let result = scene.manifest().await;
        let error = scene.refused(result, ErrorKind::Protocol, 1, "headers");
        assert_wire(&error, TransportErrorKind::HeaderLimit);
    }
}

// RD1: five redirects, each to another place, and no sixth.
#[tokio::test]
async fn rd1_a_chain_of_redirects_has_an_end() {
    let scene = Scene::set().await;
    let chain = || Misbehaviour::Redirect("{path}?hop={n}".to_owned());
    scene.rule(Rule::always(chain()).times(5));
    scene.manifest().await.unwrap();
    assert_eq!(scene.registry.requests().len(), 6);
    scene.rule(Rule::always(chain()));
    let result = scene.manifest().await;
    let error = scene.refused(result, ErrorKind::Protocol, 6, "a chain");
    assert!(matches!(error.cause(), Cause::Call(..)), "{error:?}");
}

// RD3: what reads is sent on to another origin; of what writes there is nothing yet but the form
// that asks for a token, and that goes nowhere (RE6).
#[tokio::test]
async fn rd3_get_and_head_are_followed_to_another_origin() {
    let scene = Scene::set().await;
    let digest = scene.blob("content");
    let elsewhere = Recorder::start(Listen::loopback(), |_| {
        ScriptedResponse::status(status(200)).body("content")
    });
    let elsewhere = elsewhere.unwrap();
    let away = Misbehaviour::Redirect(format!("{}{{path}}", elsewhere.url()));
    scene.rule(Rule::on(Part::Blob, away));
    let reader = scene.repository.blob(&digest, Some(7)).unwrap();
    assert_eq!(reader.bytes(7).await.unwrap(), "content");
    let head = scene.repository.blob_head(&digest).await.unwrap().unwrap();
    assert_eq!(head.size, Some(7));
    let asked = elsewhere.requests().all();
    let methods: Vec<_> = asked.iter().map(|it| it.method.as_str()).collect();
    assert_eq!(methods, ["GET", "HEAD"]);
}

// RD2, RD7, CR12
#[tokio::test]
async fn rd7_what_is_no_place_to_go_is_not_gone_to() {
    let scene = Scene::set().await;
    for location in hostile::LOCATIONS {
        let location = HeaderValue::from_bytes(location.as_bytes()).unwrap();
        let moved =
            ScriptedResponse::status(status(307)).header(http::header::LOCATION, location.clone());
        scene.rule(Rule::always(Misbehaviour::Response(Box::new(moved))));
        let result = scene.manifest().await;
        scene.refused(result, ErrorKind::Protocol, 1, &format!("{location:?}"));
    }
    let (one, other) = (
        HeaderValue::from_static("/v2/"),
        HeaderValue::from_static("/"),
    );
    let both = ScriptedResponse::status(status(307))
        .header(http::header::LOCATION, one)
        .and_header(http::header::LOCATION, other);
    for moved in [ScriptedResponse::status(status(302)), both] {
        scene.rule(Rule::always(Misbehaviour::Response(Box::new(moved))));
        let result = scene.manifest().await;
        scene.refused(result, ErrorKind::Protocol, 1, "none, or two");
    }
    let long = Misbehaviour::Redirect(format!("/{}", "a".repeat(8 * 1024)));
    scene.rule(Rule::always(long));
    let result = scene.manifest().await;
    scene.refused(result, ErrorKind::Protocol, 1, "over 8 KiB");
}

// RT5: at once, and once.
#[tokio::test]
async fn rt5_a_reused_connection_that_is_reset_costs_nothing() {
    let scene = Scene::set().await;
    for (resets, requests) in [(1, 2), (2, 3)] {
        let script = Script::new().first(resets, &Fault::ResetOnRequest(2));
        let proxy = FaultProxy::start(scene.registry.address(), script).unwrap();
        scene.registry.requests().clear();
        let clock = TestClock::default();
        let repository = repository(&proxy.address().to_string(), &clock).await;
        let tag: TagOrDigest = "1".parse().unwrap();
        for _ in 0..requests {
            repository.manifest(&tag).await.unwrap();
        }
        assert_eq!(clock.slept(), [Duration::ZERO; 0]);
        assert_eq!(scene.registry.requests().len(), requests);
        assert_eq!(proxy.connections(), resets + 1);
    }
}
