//! What is said of secrets: nothing, in no log, error or answer.

use super::*;

/// Demands that nothing of a secret is said; the tokens are those the registry was shown.
#[track_caller]
fn assert_discreet(ended: &Ended, requests: &Requests) {
    let shown = |request: &RecordedRequest| {
        let value = request.header("authorization")?;
        Some(value.split_once(' ')?.1.to_owned())
    };
    let mut secrets: Vec<_> = requests.all().iter().filter_map(shown).collect();
    secrets.extend([PASSWORD, "correct+horse", "correct%20horse", PAIR].map(str::to_owned));
    for secret in secrets {
        assert!(
            !ended.stderr.contains(&secret),
            "{secret}:\n{}",
            ended.stderr
        );
        assert!(!ended.stdout.contains(&secret), "{secret}");
    }
}

// OU3, OU4
#[test]
fn ou3_no_secret_is_said_however_much_is() {
    let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
    let realm = format!("http://{}", tokens.address());
    for demand in ["Basic", "Bearer"] {
        let builder = match demand {
            "Basic" => Registry::builder().basic(USER, PASSWORD),
            _ => Registry::builder().bearer(&tokens),
        };
        let scene = Scene::behind(builder, one_layer(100_000));
        let elsewhere = elsewhere(Listen::loopback(), &scene.tree);
        let signed = "{path}?X-Amz-Signature=s1gn4tur3&digest=d";
        let away = Misbehaviour::Redirect(format!("{}{signed}", elsewhere.url()));
        scene.registry.misbehave(scene.on_layer(away));
        let cut = Misbehaviour::CutAfter(50_000);
        scene.registry.misbehave(Rule::on(Part::Blob, cut).times(1));
        for verbose in ["-v", "-vv", "-vvv"] {
            let pull = |to: &str| {
                let to = scene.place.path().join(format!("{to}{verbose}"));
                let pull = Longshore::pull(&format!("{}/a:1", scene.name()), to);
                pull.args([verbose, "--allow-realm", &realm])
            };
            let ended = pull("right").login(USER, PASSWORD).run();
            assert_eq!(ended.succeeded(), scene.tree.digest().as_str());
            assert_discreet(&ended, scene.registry.requests());
            for said in [
                "GET ",
                "/v2/a/manifests/1 401",
                "/v2/a/manifests/1 200",
                "digest=d",
            ] {
                assert!(ended.stderr.contains(said), "{said}:\n{}", ended.stderr);
            }
            assert!(!ended.stderr.contains("s1gn4tur3"), "{}", ended.stderr);
            let wrong = pull("wrong").login(USER, "0ther-p4ss").run();
            assert_eq!(wrong.status.code(), Some(AUTH), "{}", wrong.stderr);
            assert!(!wrong.stderr.contains("0ther-p4ss"), "{}", wrong.stderr);
            assert_discreet(&wrong, scene.registry.requests());
        }
        assert_innocent(elsewhere.requests());
    }
}

#[test]
fn ou3_no_secret_stands_in_an_error() {
    let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
    let realm = format!("http://{}", tokens.address());
    let scene = Scene::behind(Registry::builder().bearer(&tokens), one_layer(1000));
    for (what, code) in [
        (Misbehaviour::Status(status(403)), AUTH),
        (Misbehaviour::Status(status(404)), 3),
        (
            Misbehaviour::Redirect("http://169.254.169.254/?t=s3cr3t".to_owned()),
            PROTOCOL,
        ),
        (later(429, "7200"), RATE_LIMITED),
    ] {
        scene.registry.behave();
        scene.registry.misbehave(Rule::always(what));
        let pull = scene.pull().login(USER, PASSWORD);
        let ended = pull.args(["--allow-realm", &realm]).run();
        ended.failed(code, &[&scene.name()]);
        assert_discreet(&ended, scene.registry.requests());
        assert!(!ended.stderr.contains("s3cr3t"), "{}", ended.stderr);
    }
    // What the token server says is the registry's business, not the terminal's.
    let leak = ScriptedResponse::json(
        &serde_json::json!({"token": "bad token s3cr3t", "details": PASSWORD}),
    );
    tokens.answer_always(leak);
    let pull = scene.pull().login(USER, PASSWORD);
    let ended = pull.args(["-vvv", "--allow-realm", &realm]).run();
    assert!(!ended.status.success());
    assert_discreet(&ended, scene.registry.requests());
    assert!(!ended.stderr.contains("s3cr3t"), "{}", ended.stderr);
}

// OU3
#[test]
fn ou3_a_malformed_docker_entry_is_not_repeated() {
    let scene = Scene::behind(Registry::builder().basic(USER, PASSWORD), one_layer(1000));
    let auths = serde_json::json!({"auths": {scene.name(): {"auth": "s3cr3t not base64"}}});
    let pull = scene.pull().docker_config(&auths.to_string());
    let ended = scene.fails(pull, AUTH, &[&scene.name(), "\"auths\""]);
    assert!(!ended.stderr.contains("s3cr3t"), "{}", ended.stderr);
}

// CR9
#[test]
fn cr9_a_password_with_a_line_in_it_is_refused_unsaid() {
    let scene = Scene::behind(Registry::builder().basic(USER, PASSWORD), one_layer(1000));
    for password in ["s3cr3t\nx", "s3cr3t\u{0}", ""] {
        let pull = scene.pull().login(USER, password);
        let ended = pull.run();
        assert!(!ended.status.success(), "{password:?}");
        assert!(!ended.stderr.contains("s3cr3t"), "{}", ended.stderr);
        assert!(!scene.registry.requests().hold("s3cr3t\nx"));
    }
}
