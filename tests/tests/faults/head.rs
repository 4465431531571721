//! Registries without a usable answer to `HEAD`, malformed headers, refused ranges, web pages, and
//! arguments that are not registries.

use http::Method;
use http::header::CONTENT_LENGTH;

use super::*;

const REFERENCE: i32 = 10;

/// Runs the commands that send `HEAD`, and asserts that their output is correct.
#[track_caller]
fn heads(scene: &Scene, how: impl Fn(Longshore) -> Longshore) {
    let (name, layer) = (scene.name(), scene.layer());
    let digest = Longshore::new(["digest", &format!("{name}/a:1")]);
    let digest = how(digest).run();
    assert_eq!(digest.succeeded(), scene.tree.digest().as_str());
    let size = Longshore::new(["blob", "head", &format!("{name}/a@{layer}")]);
    let size = how(size).run();
    let expected = scene.tree.blobs().last().unwrap().descriptor.size;
    assert_eq!(size.succeeded(), expected.to_string());
    let referrers = Longshore::new(["referrers", &format!("{name}/a:1")]);
    assert_eq!(how(referrers).run().succeeded(), "");
}

#[test]
fn dg2_get_follows_a_refused_head() {
    let scene = Scene::set(one_layer(3000));
    for code in [400, 403, 405, 501] {
        scene.registry.behave();
        let refused = Misbehaviour::Status(status(code));
        let rule = Rule::always(refused).method(Method::HEAD);
        scene.registry.misbehave(rule);
        heads(&scene, |longshore| longshore);
    }
}

#[test]
fn dg2_get_follows_a_head_that_a_store_refused() {
    let scene = Scene::set(one_layer(3000));
    let contents: Vec<_> = scene.tree.documents();
    let contents = contents.into_iter().chain(scene.tree.all_blobs());
    let contents: Vec<_> = contents.cloned().collect();
    let store = Recorder::start(Listen::loopback(), move |request| {
        if request.method == Method::HEAD {
            return ScriptedResponse::status(StatusCode::FORBIDDEN);
        }
        let path = request.path();
        let mut found = contents.iter().filter(|it| {
            path.ends_with("/manifests/1") || path.contains(it.descriptor.digest.encoded())
        });
        match found.next() {
            Some(it) => ScriptedResponse::status(StatusCode::OK).body(it.content.clone()),
            None => ScriptedResponse::status(StatusCode::NOT_FOUND),
        }
    })
    .unwrap();
    let away = || Misbehaviour::Redirect(format!("{}{{path}}?signed=get", store.url()));
    for part in [Part::Manifest, Part::Blob] {
        scene.registry.misbehave(Rule::on(part, away()));
    }
    heads(&scene, |longshore| longshore);
}

#[test]
fn dg2_get_follows_a_head_refused_with_a_valid_token() {
    let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
    let realm = format!("http://{}", tokens.address());
    let scene = Scene::behind(Registry::builder().bearer(&tokens), one_layer(3000));
    let refused = Misbehaviour::Status(StatusCode::UNAUTHORIZED);
    let challenge = HeaderValue::from_str(&format!("Bearer realm=\"{realm}/token\"")).unwrap();
    for what in [refused, Misbehaviour::Header(WWW_AUTHENTICATE, challenge)] {
        scene
            .registry
            .misbehave(Rule::always(what).method(Method::HEAD));
    }
    heads(&scene, |longshore| {
        longshore
            .login(USER, PASSWORD)
            .args(["--allow-realm", &realm])
    });
}

#[test]
fn dg2_get_follows_a_head_without_a_usable_answer() {
    let scene = Scene::set(one_layer(3000));
    for what in [
        Misbehaviour::NoLength,
        Misbehaviour::Header(CONTENT_LENGTH, HeaderValue::from_static("0")),
    ] {
        scene.registry.behave();
        for what in [what, Misbehaviour::NoDigestHeader] {
            scene
                .registry
                .misbehave(Rule::always(what).method(Method::HEAD));
        }
        heads(&scene, |longshore| longshore);
    }
}

#[test]
fn dg2_a_malformed_digest_header_is_ignored_with_a_warning() {
    let scene = Scene::set(one_layer(3000));
    let name = http::HeaderName::from_static("docker-content-digest");
    let hex = scene.tree.digest().encoded().to_owned();
    for value in [hex.as_str(), "\"quoted\"", "SHA256:ABC", "md5:abc"] {
        scene.registry.behave();
        let value = HeaderValue::from_str(value).unwrap();
        let header = Misbehaviour::Header(name.clone(), value);
        scene.registry.misbehave(Rule::always(header));
        let digest = Longshore::new(["digest", &format!("{}/a:1", scene.name())]).run();
        assert_eq!(digest.succeeded(), scene.tree.digest().as_str());
        let warnings = digest
            .stderr
            .matches("sends a docker-content-digest")
            .count();
        assert_eq!(warnings, 1, "{}", digest.stderr);
        let place = tempdir().unwrap();
        let to = place.path().join("layout");
        let pull = Longshore::pull(&format!("{}/a:1", scene.name()), &to).run();
        assert_eq!(pull.succeeded(), scene.tree.digest().as_str());
        layout::assert_holds(&to, &scene.tree);
    }
}

#[test]
fn rt6_a_range_that_is_refused_costs_one_restart() {
    for code in [400, 403, 404, 501] {
        let scene = Scene::set(one_layer(1_500_000));
        let cut = scene.on_layer(Misbehaviour::CutAfter(700_000)).times(1);
        scene.registry.misbehave(cut);
        let refused = scene.on_layer(Misbehaviour::Status(status(code)));
        scene.registry.misbehave(refused.after(1).times(1));
        scene.arrives(scene.pull());
        let asked = scene.asked_for_layer();
        let ranges = ranges(&asked);
        assert_eq!(ranges.len(), 3, "{ranges:?}");
        assert!(ranges[1].is_some(), "{ranges:?}");
        assert_eq!((ranges[0], ranges[2]), (None, None));
    }
}

#[test]
fn the_error_says_that_the_answer_is_a_web_page() {
    let scene = Scene::set(one_layer(3000));
    let page = ScriptedResponse::status(StatusCode::OK)
        .header(CONTENT_TYPE, HeaderValue::from_static("text/html"))
        .body(&b"<!DOCTYPE html><title>Welcome to the hotel</title>"[..]);
    scene
        .registry
        .misbehave(Rule::always(Misbehaviour::Response(Box::new(page))));
    let name = scene.name();
    let words = ["web page", "captive portal"];
    for arguments in [
        &["ping", &name][..],
        &["manifest", "get", &format!("{name}/a:1")],
        &["digest", &format!("{name}/a:1")],
        &["tags", &format!("{name}/a")],
    ] {
        Longshore::new(arguments).run().failed(PROTOCOL, &words);
    }
}

#[test]
fn the_error_for_a_403_without_credentials_does_not_blame_credentials() {
    let scene = Scene::set(one_layer(3000));
    let refused = Misbehaviour::Status(StatusCode::FORBIDDEN);
    scene.registry.misbehave(Rule::on(Part::Manifest, refused));
    let reference = format!("{}/a:1", scene.name());
    let said = Longshore::new(["manifest", "get", &reference]).run();
    said.failed_with_hint(AUTH, &["no credentials were sent"]);
    assert!(
        !said.stderr.contains("these credentials"),
        "{}",
        said.stderr
    );
    let said = Longshore::new(["manifest", "get", &reference]).docker_config(&format!(
        r#"{{"auths":{{"{}":{{"auth":"{PAIR}="}}}}}}"#,
        scene.name()
    ));
    said.run().failed_with_hint(AUTH, &["denied"]);
}

// CR12
#[test]
fn an_argument_that_is_not_a_registry_is_a_malformed_reference() {
    for command in ["ping", "repos"] {
        for text in [
            "r.example/",
            "https://r.example",
            "r.example:port",
            "",
            "a b",
        ] {
            let ended = Longshore::new([command, text]).run();
            ended.failed_with_hint(REFERENCE, &["is not a registry", "HOST[:PORT]"]);
        }
        let ended = Longshore::new([command, "ahab:hunter2@r.example"]).run();
        ended.failed_with_hint(REFERENCE, &["user information"]);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
}
