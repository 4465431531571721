//! Redirects: who is followed, and who never learns a secret.

use super::*;

// CR1
#[test]
fn rd1_a_redirect_to_another_origin_carries_no_secret() {
    let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
    let realm = format!("http://{}", tokens.address());
    for demand in ["Basic", "Bearer"] {
        for listen in [
            Listen::loopback(),
            Listen::loopback().address([127, 0, 0, 2].into()),
        ] {
            let builder = match demand {
                "Basic" => Registry::builder().basic(USER, PASSWORD),
                _ => Registry::builder().bearer(&tokens),
            };
            let scene = Scene::behind(builder, one_layer(3000));
            let elsewhere = elsewhere(listen, &scene.tree);
            let away = Misbehaviour::Redirect(format!("{}{{path}}", elsewhere.url()));
            scene.registry.misbehave(Rule::on(Part::Blob, away));
            let pull = scene.pull().login(USER, PASSWORD);
            scene.arrives(pull.args(["--allow-realm", &realm]));
            let home = scene.registry.requests();
            assert!(
                home.count(|it| it
                    .header("authorization")
                    .is_some_and(|it| it.starts_with(demand)))
                    > 0
            );
            assert_eq!(elsewhere.requests().len(), scene.tree.blobs().len());
            assert_innocent(elsewhere.requests());
        }
    }
}

#[test]
fn rd1_whoever_has_been_abroad_comes_home_a_stranger() {
    let scene = Scene::behind(Registry::builder().basic(USER, PASSWORD), one_layer(3000));
    let home = scene.registry.url();
    let back = Recorder::start(Listen::loopback(), move |request| {
        let location = format!("{home}{}", request.path());
        ScriptedResponse::status(StatusCode::TEMPORARY_REDIRECT)
            .header(LOCATION, HeaderValue::from_str(&location).unwrap())
    })
    .unwrap();
    let away = Misbehaviour::Redirect(format!("{}{{path}}", back.url()));
    scene
        .registry
        .misbehave(Rule::on(Part::Blob, away).times(1));
    let pull = scene.pull().login(USER, PASSWORD);
    scene.fails(pull, AUTH, &[&scene.name()]);
    assert_innocent(back.requests());
    let strangers = scene.registry.requests_to(Part::Blob);
    assert!(
        strangers.iter().any(|it| !it.is_authorized()),
        "{strangers:?}"
    );
}

#[test]
fn cr5_a_challenge_from_another_origin_gets_no_credentials() {
    let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
    let bearer = format!("Bearer realm=\"{}\",service=\"x\"", tokens.realm());
    for challenge in ["Basic realm=\"here\"", &bearer] {
        let scene = Scene::behind(Registry::builder().basic(USER, PASSWORD), one_layer(3000));
        let value = HeaderValue::from_str(challenge).unwrap();
        let greedy = Recorder::start(Listen::loopback(), move |_| {
            ScriptedResponse::status(StatusCode::UNAUTHORIZED)
                .header(WWW_AUTHENTICATE, value.clone())
        })
        .unwrap();
        let away = Misbehaviour::Redirect(format!("{}{{path}}", greedy.url()));
        scene.registry.misbehave(Rule::on(Part::Blob, away));
        let pull = scene.pull().login(USER, PASSWORD);
        let foreign = greedy.address().to_string();
        scene.fails(pull, AUTH, &[&scene.name(), &foreign]);
        assert_innocent(greedy.requests());
        assert!(!tokens.requests().hold(PASSWORD), "{:?}", tokens.requests());
    }
}

#[test]
fn rd2_https_does_not_lead_to_http() {
    let authority = Authority::new();
    let tls = Listen::loopback().tls(authority.server(&["127.0.0.1"]));
    let scene = Scene::behind(Registry::builder().listen(tls), one_layer(3000));
    let elsewhere = elsewhere(Listen::loopback(), &scene.tree);
    let away = Misbehaviour::Redirect(format!("{}{{path}}", elsewhere.url()));
    scene.registry.misbehave(Rule::on(Part::Blob, away));
    scene.fails(
        scene.trusting(&authority),
        PROTOCOL,
        &[&scene.name(), "redirect"],
    );
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn rd2_http_of_our_own_host_is_a_proxy_that_knows_no_better() {
    let authority = Authority::new();
    let tls = Listen::loopback().tls(authority.server(&["127.0.0.1"]));
    let builder = Registry::builder().listen(tls).basic(USER, PASSWORD);
    let scene = Scene::behind(builder, one_layer(3000));
    let home = Misbehaviour::Redirect(format!("http://{}{{path}}", scene.name()));
    scene
        .registry
        .misbehave(Rule::on(Part::Blob, home).times(1));
    scene.arrives(scene.trusting(&authority).login(USER, PASSWORD));
}

#[test]
fn rd2_nobody_is_led_to_where_clouds_keep_secrets() {
    for location in [
        "http://169.254.169.254/latest",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://0.0.0.0/",
        "ftp://127.0.0.1/",
        "http://user:pass@127.0.0.1/",
    ] {
        let scene = Scene::set(one_layer(3000));
        let away = Misbehaviour::Redirect(location.to_owned());
        scene.registry.misbehave(scene.on_layer(away));
        scene.fails(scene.pull(), PROTOCOL, &[&scene.name(), "redirect"]);
        assert_eq!(scene.asked_for_layer().len(), 1, "{location}");
    }
}

#[test]
fn rd1_a_circle_ends() {
    let scene = Scene::set(one_layer(3000));
    let round = Misbehaviour::Redirect(format!("{}{{path}}", scene.registry.url()));
    scene.registry.misbehave(scene.on_layer(round));
    scene.fails(scene.pull(), PROTOCOL, &[&scene.name(), "5 redirects"]);
    assert_eq!(scene.asked_for_layer().len(), 6);
}

// RD6: what a descriptor says of other places is passed over, whether the registry has the blob
// or not.
#[test]
fn rd6_the_urls_of_a_layer_are_not_gone_to() {
    let scene = Scene::set(one_layer(3000));
    let elsewhere = elsewhere(Listen::loopback(), &scene.tree);
    let text = String::from_utf8(scene.tree.document().to_vec()).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let path = format!("/v2/a/blobs/{}", scene.layer());
    manifest["layers"][0]["urls"] = serde_json::json!([format!("{}{path}", elsewhere.url())]);
    let content = BlobContent::from(manifest.to_string());
    let stored = DescribedContent::new(scene.tree.media_type().clone(), content);
    let digest = stored.descriptor.digest.to_string();
    scene.registry.contents().add_document("a", "1", stored);
    assert_eq!(scene.pull().run().succeeded(), digest);
    let other = scene.place.path().join("other");
    scene.registry.contents().remove("a", scene.layer());
    let ended = Longshore::pull(&format!("{}/a:1", scene.name()), &other).run();
    ended.failed(3, &[&scene.name(), scene.layer().as_str()]);
    assert_eq!(layout::entries(&other), []);
    assert_eq!(elsewhere.connections(), 0);
}
