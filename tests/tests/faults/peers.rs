//! Everything a hostile peer says, to the program: how it ends, what it says of it, and that
//! nothing is stored.

use super::*;

// DG5, LI1
#[test]
fn dg5_what_is_no_manifest_is_not_stored() {
    let scene = Scene::set(one_layer(1000));
    for document in hostile::documents() {
        scene.registry.behave();
        scene.registry.requests().clear();
        for what in [
            Misbehaviour::NoDigestHeader,
            Misbehaviour::Body(document.body),
        ] {
            scene.registry.misbehave(Rule::on(Part::Manifest, what));
        }
        scene.fails(scene.pull(), PROTOCOL, &[&scene.name(), "manifest"]);
        assert_eq!(scene.registry.requests().len(), 1, "{}", document.name);
        assert!(!scene.layout().exists(), "{}", document.name);
    }
}

// DG3, LI1, LI3, RD2
#[test]
fn dg3_nothing_is_stored_of_what_is_no_blob() {
    let scene = Scene::set(one_layer(50_000));
    let length = scene.tree.blobs().last().unwrap().descriptor.size;
    let endless = || Misbehaviour::Body(BlobContent::endless("x"));
    let coding = http::header::CONTENT_ENCODING;
    let gzip = HeaderValue::from_static("gzip");
    for (what, code, requests) in [
        (vec![endless()], DIGEST, 1),
        (vec![endless(), Misbehaviour::NoLength], DIGEST, 1),
        (vec![Misbehaviour::Length(length + 1)], DIGEST, 1),
        (vec![Misbehaviour::Length(length - 1)], DIGEST, 1),
        (vec![Misbehaviour::Length(u64::MAX >> 1)], DIGEST, 1),
        (
            vec![Misbehaviour::Body(BlobContent::random(1, length))],
            DIGEST,
            2,
        ),
        (
            vec![
                Misbehaviour::Body(BlobContent::random(1, length)),
                Misbehaviour::Header(coding, gzip),
            ],
            DIGEST,
            2,
        ),
        (vec![Misbehaviour::Interim(17)], PROTOCOL, 1),
        (vec![Misbehaviour::Headers(129, 1)], PROTOCOL, 1),
        (vec![Misbehaviour::Headers(1, 65_536)], PROTOCOL, 1),
        (vec![Misbehaviour::Status(status(206))], PROTOCOL, 1),
        (vec![Misbehaviour::Status(status(204))], PROTOCOL, 1),
    ] {
        scene.registry.behave();
        scene.registry.requests().clear();
        let shown = format!("{what:?}");
        for what in what {
            scene.registry.misbehave(scene.on_layer(what));
        }
        let ended = scene.pull().run();
        assert_eq!(ended.status.code(), Some(code), "{shown}: {}", ended.stderr);
        assert_eq!(scene.asked_for_layer().len(), requests, "{shown}");
        assert!(!layout::blob(&scene.layout(), scene.layer()).exists());
        assert_eq!(layout::entries(&scene.layout()), []);
        layout::assert_clean(&scene.layout());
    }
    scene.registry.behave();
    scene.arrives(scene.pull());
}

// LI: eight indexes deep, and no nest of them is followed further.
#[test]
fn li_indexes_in_indexes_are_followed_to_a_depth() {
    let scene = Scene::set(image::nested(1, 8));
    scene.arrives(scene.pull().args(["--all-platforms"]));
    let scene = Scene::set(image::nested(1, 9));
    let pull = scene.pull().args(["--all-platforms"]);
    scene.fails(pull, PROTOCOL, &["8 deep"]);
    assert_eq!(scene.registry.requests_to(Part::Blob).len(), 0);
}

// CR9
#[test]
fn cr9_nothing_is_stored_for_what_is_no_token() {
    for sample in hostile::token_bodies() {
        let tokens = TokenServer::builder().start().unwrap();
        tokens.answer_always(ScriptedResponse::status(status(200)).body(sample.body));
        let scene = Scene::behind(Registry::builder().bearer(&tokens), one_layer(1000));
        scene.fails(scene.pull(), PROTOCOL, &[&scene.name()]);
        assert_eq!(scene.registry.requests().len(), 1, "{}", sample.name);
        assert!(!scene.layout().exists(), "{}", sample.name);
    }
}

// OU1, RE7: in errors, in logs of any verbosity, from any mouth.
#[test]
fn ou1_no_text_reaches_the_terminal_as_it_is() {
    let is_raw = |character: char| {
        character.is_control() && character != '\n'
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            || matches!(character, '\u{2028}' | '\u{2029}')
    };
    for text in hostile::TEXTS {
        let json = serde_json::json!({"errors": [{"code": text, "message": text, "detail": text}]});
        let denied = |body: String| ScriptedResponse::status(status(403)).body(body);
        let mut answers = vec![denied(json.to_string()), denied(text.to_owned())];
        // Bytes that a header field can carry: all but line ends and NUL.
        if let Ok(value) = HeaderValue::from_bytes(text.replace(['\r', '\n'], "").as_bytes()) {
            let moved = ScriptedResponse::status(status(307)).header(LOCATION, value.clone());
            let strange = ScriptedResponse::status(status(200)).header(CONTENT_TYPE, value.clone());
            let challenge = ScriptedResponse::status(status(401)).header(WWW_AUTHENTICATE, value);
            answers.extend([moved, strange.body("{}"), challenge]);
        }
        for answer in answers {
            let scene = Scene::set(one_layer(1000));
            let answer = Misbehaviour::Response(Box::new(answer));
            scene.registry.misbehave(Rule::always(answer));
            let ended = scene.pull().args(["-vvv"]).run();
            assert!(!ended.status.success());
            assert!(!ended.stderr.contains(is_raw), "{:?}", ended.stderr);
            let errors = ended.stderr.lines().filter(|it| it.starts_with("error"));
            assert_eq!(errors.count(), 1, "{}", ended.stderr);
            assert!(!scene.layout().exists());
        }
    }
}

// OU1: once, however often the registry says it, and no terminal obeys it.
#[test]
fn ou1_a_warning_is_passed_on() {
    let scene = Scene::set(one_layer(1000));
    // A field may hold C1 controls and bidi marks, as UTF-8.
    let text = HeaderValue::from_bytes("299 - \"gone \u{9b}2J\u{202e}soon\"".as_bytes()).unwrap();
    let warning = http::HeaderName::from_static("warning");
    let what = Misbehaviour::Header(warning, text);
    scene.registry.misbehave(Rule::always(what));
    let shown = r"warns: gone \u{9b}2J\u{202e}soon";
    let expected = format!("warning: http://{} {shown}\n", scene.name());
    for arguments in [&[][..], &["-v"]] {
        let ended = scene.pull().args(arguments).run();
        assert_eq!(ended.succeeded(), scene.tree.digest().as_str());
        assert_eq!(ended.stderr.matches(shown).count(), 1, "{}", ended.stderr);
        assert!(!ended.stderr.contains(['\u{9b}', '\u{202e}']));
        if arguments.is_empty() {
            assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
        }
    }
}
