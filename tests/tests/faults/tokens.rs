//! Token servers that fail, and realms that are not to be trusted.

use super::*;

// CR7
#[test]
fn a_token_that_is_refused_halfway_is_renewed_once() {
    let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
    let tree = image::many_layers(1, 40);
    let scene = Scene::behind(Registry::builder().bearer(&tokens), tree);
    // Every token is worth nothing from the first manifest on.
    let registry = Arc::new(scene.registry);
    let weak = Arc::downgrade(&registry);
    registry.requests().watch(move |request| {
        if Part::of(request) == Part::Manifest && request.status == Some(StatusCode::OK) {
            weak.upgrade().as_deref().map(Registry::revoke_tokens);
        }
    });
    let to = scene.place.path().join("layout");
    let realm = format!("http://{}", tokens.address());
    let pull = Longshore::pull(&format!("{}/a:1", registry.authority()), &to);
    let ended = pull
        .login(USER, PASSWORD)
        .args(["--allow-realm", &realm])
        .run();
    assert_eq!(ended.succeeded(), scene.tree.digest().as_str());
    layout::assert_holds(&to, &scene.tree);
    assert_eq!(tokens.requests().len(), 2, "{:?}", tokens.requests());
}

// CR7
#[test]
fn cr7_tokens_that_never_do_are_not_asked_for_for_ever() {
    let tokens = TokenServer::builder().start().unwrap();
    let scene = Scene::behind(Registry::builder().bearer(&tokens), one_layer(1000));
    let refused = ScriptedResponse::status(StatusCode::UNAUTHORIZED).header(
        WWW_AUTHENTICATE,
        HeaderValue::from_str(&format!(
            "Bearer realm=\"{}\",service=\"longshore-testkit\",error=\"invalid_token\"",
            tokens.realm()
        ))
        .unwrap(),
    );
    scene
        .registry
        .misbehave(Rule::always(Misbehaviour::Response(Box::new(refused))));
    scene.fails(scene.pull(), AUTH, &[&scene.name()]);
    assert_eq!(tokens.requests().len(), 2, "{:?}", tokens.requests());
    assert!(!scene.layout().exists());
}

#[test]
fn re6_a_token_request_is_not_led_elsewhere() {
    let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
    let scene = Scene::behind(Registry::builder().bearer(&tokens), one_layer(1000));
    let elsewhere = Recorder::silent().unwrap();
    let location = format!("{}/token", elsewhere.url());
    tokens.answer_always(
        ScriptedResponse::status(StatusCode::TEMPORARY_REDIRECT)
            .header(LOCATION, HeaderValue::from_str(&location).unwrap()),
    );
    let realm = format!("http://{}", tokens.address());
    let pull = scene.pull().login(USER, PASSWORD);
    let ended = pull.args(["--allow-realm", &realm]).run();
    assert!(!ended.status.success());
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn re1_a_realm_that_is_none_is_refused() {
    let authority = Authority::new();
    let listener = Recorder::silent().unwrap();
    for realm in [
        format!("http://{}/token", listener.address()),
        format!("https://u:p@{}/token", listener.address()),
        "file:///etc/passwd".to_owned(),
        "token".to_owned(),
        "https://169.254.169.254/token".to_owned(),
    ] {
        let tokens = TokenServer::builder().start().unwrap();
        let challenge = format!("Bearer realm=\"{realm}\",service=\"x\"");
        let builder = Registry::builder()
            .listen(Listen::loopback().tls(authority.server(&["127.0.0.1"])))
            .bearer(&tokens)
            .challenges(&[&challenge]);
        let scene = Scene::behind(builder, one_layer(1000));
        let pull = || scene.trusting(&authority);
        for pull in [pull(), pull().login(USER, PASSWORD)] {
            scene.fails(pull, REALM, &[&scene.name()]);
            assert!(!scene.layout().exists());
        }
    }
    assert_eq!(listener.connections(), 0);
}

// CR7
#[test]
fn cr7_a_refusal_of_the_token_server_is_final() {
    for code in [401, 403] {
        let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
        tokens.answer_always(ScriptedResponse::status(status(code)));
        let scene = Scene::behind(Registry::builder().bearer(&tokens), one_layer(1000));
        let realm = format!("http://{}", tokens.address());
        let pull = scene.pull().login(USER, PASSWORD);
        let pull = pull.args(["--allow-realm", &realm]);
        scene.fails(pull, AUTH, &[&scene.name()]);
        assert_eq!(tokens.requests().len(), 1, "{code}");
    }
}

#[test]
fn a_scheme_nobody_knows_gets_nothing() {
    for challenge in [
        "Negotiate",
        "Digest realm=\"x\", nonce=\"y\"",
        "Bearer service=\"x\"",
    ] {
        let builder = Registry::builder()
            .basic(USER, PASSWORD)
            .challenges(&[challenge]);
        let scene = Scene::behind(builder, one_layer(1000));
        scene.fails(scene.pull().login(USER, PASSWORD), AUTH, &[&scene.name()]);
        assert_innocent(scene.registry.requests());
    }
}
