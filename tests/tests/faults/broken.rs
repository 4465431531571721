//! Connections that break and registries that ask to wait: what is resumed and repeated.

use http::header::ETAG;

use super::*;

#[test]
fn rt6_a_blob_goes_on_where_it_broke_off() {
    for size in [200_000, 3_000_000] {
        let scene = Scene::set(one_layer(size));
        let cut = scene.on_layer(Misbehaviour::CutAfter(50_000)).times(1);
        scene.registry.misbehave(cut);
        scene.arrives(scene.pull());
        let asked = scene.asked_for_layer();
        assert_eq!(ranges(&asked), [None, Some("bytes=50000-")]);
        assert_eq!(asked[1].status, Some(StatusCode::PARTIAL_CONTENT));
    }
}

#[test]
fn rt6_http2_streams_go_on_too() {
    let authority = Authority::new();
    let tls = Listen::loopback().tls(authority.server(&["127.0.0.1"]));
    let scene = Scene::behind(Registry::builder().listen(tls), one_layer(200_000));
    let cut = scene.on_layer(Misbehaviour::CutAfter(50_000)).times(2);
    scene.registry.misbehave(cut);
    scene.arrives(scene.trusting(&authority));
    let asked = scene.asked_for_layer();
    assert!(asked.iter().all(|it| it.version == Version::HTTP_2));
    // Two cuts; what was in flight on a connection that breaks may be lost to its streams.
    assert_eq!(asked.len(), 3, "{asked:?}");
}

#[test]
fn rt6_one_cut_after_the_other() {
    let scene = Scene::set(one_layer(200_000));
    let rule = scene.on_layer(Misbehaviour::CutAfter(60_000)).times(3);
    scene.registry.misbehave(rule);
    scene.arrives(scene.pull());
    assert_eq!(
        ranges(&scene.asked_for_layer()),
        [
            None,
            Some("bytes=60000-"),
            Some("bytes=120000-"),
            Some("bytes=180000-")
        ]
    );
}

#[test]
fn rt6_a_resume_names_the_entity_tag_where_there_is_one() {
    for has_etag in [true, false] {
        let scene = Scene::set(one_layer(200_000));
        if !has_etag {
            let bare = scene.on_layer(Misbehaviour::NoHeader(ETAG));
            scene.registry.misbehave(bare);
        }
        let cut = scene.on_layer(Misbehaviour::CutAfter(60_000)).times(1);
        scene.registry.misbehave(cut);
        scene.arrives(scene.pull());
        let asked = scene.asked_for_layer();
        assert_eq!(ranges(&asked), [None, Some("bytes=60000-")]);
        assert_eq!(asked[0].header("if-range"), None);
        assert_eq!(asked[1].header("if-range").is_some(), has_etag);
        let statuses = asked.iter().map(|it| it.status.unwrap().as_u16());
        assert_eq!(statuses.collect::<Vec<_>>(), [200, 206]);
    }
}

#[test]
fn rt6_a_range_that_is_ignored_or_wrong_costs_one_restart() {
    for (wrong, statuses) in [
        (Misbehaviour::IgnoreRange, &[200, 200][..]),
        (
            Misbehaviour::ContentRange("bytes 1-2/3".to_owned()),
            &[200, 206, 200],
        ),
        (Misbehaviour::Status(status(416)), &[200, 416, 200]),
    ] {
        let scene = Scene::set(one_layer(200_000));
        let cut = scene.on_layer(Misbehaviour::CutAfter(100_000)).times(1);
        let wrong = scene.on_layer(wrong).after(1).times(1);
        scene.registry.misbehave(cut);
        scene.registry.misbehave(wrong);
        scene.arrives(scene.pull());
        let asked = scene.asked_for_layer();
        let found: Vec<_> = asked.iter().map(|it| it.status.unwrap().as_u16()).collect();
        assert_eq!(found, statuses);
    }
}

#[test]
fn a_network_that_cuts_every_connection_is_outlasted() {
    for fault in [Fault::CutAfter(400_000), Fault::ResetAfter(400_000)] {
        let scene = Scene::set(one_layer(2_000_000));
        let proxy = FaultProxy::start(scene.registry.address(), Script::every(fault)).unwrap();
        // The first bytes of every connection are a head: what is left is at least so much.
        let pull = scene.pull_from(&proxy.address().to_string());
        scene.arrives(pull.args(["--plain-http"]));
        assert!(proxy.connections() >= 6, "{}", proxy.connections());
        let asked = scene.asked_for_layer();
        assert!(asked.len() >= 5, "{asked:?}");
        let resumed = asked.iter().filter(|it| it.header("range").is_some());
        assert_eq!(resumed.count(), asked.len() - 1);
    }
}

#[test]
fn rt1_connections_that_are_not_made_are_tried_again() {
    for fault in [Fault::Refuse, Fault::Reset] {
        let scene = Scene::set(one_layer(1000));
        let script = Script::new().first(2, &fault);
        let proxy = FaultProxy::start(scene.registry.address(), script).unwrap();
        let pull = scene.pull_from(&proxy.address().to_string());
        scene.arrives(pull.args(["--plain-http"]));
    }
}

#[test]
fn rt4_what_gets_no_answer_is_asked_again() {
    for (part, what) in [
        (Part::Manifest, Misbehaviour::HangUp),
        (Part::Manifest, Misbehaviour::CutAfter(10)),
        (Part::Blob, Misbehaviour::HangUp),
    ] {
        let scene = Scene::set(one_layer(1000));
        scene.registry.misbehave(Rule::on(part, what).times(1));
        scene.arrives(scene.pull());
    }
}

// RT1, RT2
#[test]
fn rt3_what_is_asked_to_wait_is_asked_again() {
    for code in [503, 429] {
        for part in [Part::Manifest, Part::Blob] {
            let scene = Scene::set(one_layer(1000));
            let rule = Rule::on(part, later(code, "0")).times(2);
            scene.registry.misbehave(rule);
            scene.arrives(scene.pull());
            let all = scene.registry.requests();
            assert_eq!(all.count(|it| it.status == Some(status(code))), 2);
        }
    }
}

#[test]
fn rt1_five_attempts_are_enough() {
    for (attempts, words) in [("5", "after 5 attempts"), ("1", "503")] {
        let scene = Scene::set(one_layer(1000));
        scene.registry.misbehave(Rule::always(later(503, "0")));
        let pull = scene.pull().args(["--retry-attempts", attempts]);
        scene.fails(pull, UNAVAILABLE, &[&scene.name(), "503", words]);
        assert_eq!(scene.registry.requests().len().to_string(), attempts);
        assert!(!scene.layout().exists());
    }
}

#[test]
fn rt3_a_long_wait_is_told_at_once() {
    for (code, exit) in [(429, RATE_LIMITED), (503, UNAVAILABLE)] {
        let scene = Scene::set(one_layer(1000));
        scene.registry.misbehave(Rule::always(later(code, "7200")));
        let ended = scene.pull().run();
        ended.failed_with_hint(exit, &[&scene.name(), "2 hours"]);
        assert_eq!(scene.registry.requests().len(), 1);
    }
}

// RT2
#[test]
fn rt2_other_refusals_are_final() {
    for (code, exit) in [(400, PROTOCOL), (403, AUTH), (404, 3), (405, 9), (501, 9)] {
        let scene = Scene::set(one_layer(1000));
        scene
            .registry
            .misbehave(Rule::always(Misbehaviour::Status(status(code))));
        scene.fails(scene.pull(), exit, &[&scene.name(), &code.to_string()]);
        assert_eq!(scene.registry.requests().len(), 1, "{code}");
    }
}
