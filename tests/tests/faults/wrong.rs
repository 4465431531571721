//! Content that is not what it should be: what is fetched again, and what is refused.

use super::*;

// DG3, RT2
#[test]
fn dg3_a_blob_that_was_damaged_once_is_fetched_again() {
    for size in [1000, 3_000_000] {
        let scene = Scene::set(one_layer(size));
        let rule = scene.on_layer(Misbehaviour::Corrupt(700)).times(1);
        scene.registry.misbehave(rule);
        scene.arrives(scene.pull());
        assert_eq!(ranges(&scene.asked_for_layer()), [None, None]);
    }
}

#[test]
fn dg3_a_blob_that_is_always_damaged_is_never_seen() {
    for size in [1000, 3_000_000] {
        let scene = Scene::set(one_layer(size));
        scene
            .registry
            .misbehave(scene.on_layer(Misbehaviour::Corrupt(700)));
        let layer = scene.layer().to_string();
        scene.fails(scene.pull(), DIGEST, &[&layer, "hint: "]);
        assert_eq!(scene.asked_for_layer().len(), 2);
        assert!(!layout::blob(&scene.layout(), scene.layer()).exists());
        // What comes right later is taken.
        scene.registry.behave();
        scene.arrives(scene.pull());
    }
}

// What cannot succeed any more is not gone on with, on whatever thread it is.
#[test]
fn one_blob_that_fails_ends_the_others() {
    let tree = Image::new(5).layers(4, 2_000_000).build();
    let scene = Scene::set(tree);
    let gate = Gate::new();
    let first = scene.tree.blobs()[1].descriptor.digest.clone();
    let held = Misbehaviour::HoldAfter(100_000, gate.clone());
    scene
        .registry
        .misbehave(Rule::on(Part::Blob, held).path(first.encoded()));
    scene
        .registry
        .misbehave(scene.on_layer(Misbehaviour::Corrupt(1_500_000)));
    let layer = scene.layer().to_string();
    scene.fails(scene.pull(), DIGEST, &[&layer]);
    assert!(!layout::blob(&scene.layout(), &first).exists());
    gate.open();
    scene.registry.behave();
    scene.arrives(scene.pull());
}

// LI3
#[test]
fn dg3_a_blob_of_another_length_is_refused() {
    let scene = Scene::set(one_layer(50_000));
    for length in [10, 49_000, 60_000] {
        let other = BlobContent::random(7, length);
        scene
            .registry
            .contents()
            .set_blob("a", scene.layer(), other);
        let words = ["bytes", "hint: "];
        scene.fails(scene.pull(), DIGEST, &words);
        assert!(!layout::blob(&scene.layout(), scene.layer()).exists());
    }
}

#[test]
fn dg2_a_manifest_that_is_not_what_its_header_says_is_refused() {
    let scene = Scene::set(one_layer(1000));
    let lie = Misbehaviour::DigestHeader(Digest::sha256(b"something else"));
    scene.registry.misbehave(Rule::on(Part::Manifest, lie));
    let words = [&scene.name(), "manifest 1 of a", "hint: "];
    scene.fails(scene.pull(), DIGEST, &words);
    assert!(!scene.layout().exists());
    let get = ["manifest", "get", &format!("{}/a:1", scene.name())];
    Longshore::new(get).run().failed(DIGEST, &words);
}

#[test]
fn dg2_a_manifest_that_is_not_what_was_asked_for_is_refused() {
    let scene = Scene::set(image::index(3, &image::platforms()[..3]));
    let child = &scene.tree.children()[1];
    let corrupt = Misbehaviour::Corrupt(9);
    scene
        .registry
        .misbehave(Rule::on(Part::Manifest, corrupt).path(child.digest().encoded()));
    let all = scene.pull().args(["--all-platforms"]);
    scene.fails(all, DIGEST, &[child.digest().as_str()]);
}

// DG6
#[test]
fn dg6_a_coded_body_is_refused() {
    for part in [Part::Manifest, Part::Blob] {
        let scene = Scene::set(one_layer(1000));
        scene.registry.misbehave(Rule::on(part, Misbehaviour::Gzip));
        let ended = scene.pull().run();
        assert!(
            matches!(ended.status.code(), Some(DIGEST | PROTOCOL)),
            "{}",
            ended.stderr
        );
        assert!(!layout::blob(&scene.layout(), scene.layer()).exists());
    }
}

#[test]
fn li1_a_manifest_beyond_every_limit_is_refused_at_once() {
    for announced in [true, false] {
        let scene = Scene::set(one_layer(1000));
        let mut large = ScriptedResponse::status(StatusCode::OK)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(BlobContent::random(1, 9 << 20));
        if !announced {
            large = large.unannounced();
        }
        scene
            .registry
            .misbehave(Rule::always(Misbehaviour::Response(Box::new(large))));
        scene.fails(scene.pull(), PROTOCOL, &[&scene.name(), "8388608 bytes"]);
    }
}

#[test]
fn what_is_no_manifest_is_refused() {
    for body in [
        "",
        "{",
        "[]",
        "<html>Sign in</html>",
        r#"{"schemaVersion":2}"#,
    ] {
        let scene = Scene::set(one_layer(1000));
        let page = ScriptedResponse::status(StatusCode::OK)
            .header(CONTENT_TYPE, HeaderValue::from_static("text/html"))
            .body(body);
        scene
            .registry
            .misbehave(Rule::always(Misbehaviour::Response(Box::new(page))));
        scene.fails(scene.pull(), PROTOCOL, &[&scene.name(), "manifest"]);
        assert!(!scene.layout().exists());
    }
}

// OU1
#[test]
fn ou1_what_a_registry_says_cannot_reach_the_terminal_raw() {
    let scene = Scene::set(one_layer(1000));
    let message = "no\u{1b}]0;owned\u{7}\r\nerror: \u{202e}nothing\u{9b}31m";
    let body = serde_json::json!({"errors": [{"code": "DENIED", "message": message}]});
    let denied = ScriptedResponse::json(&body).with_status(StatusCode::FORBIDDEN);
    scene
        .registry
        .misbehave(Rule::always(Misbehaviour::Response(Box::new(denied))));
    let ended = scene.fails(scene.pull(), AUTH, &["DENIED", r"\u{1b}]0;owned"]);
    let raw =
        |character: char| character.is_control() && character != '\n' || character == '\u{202e}';
    assert!(!ended.stderr.contains(raw), "{:?}", ended.stderr);
    assert_eq!(
        ended
            .stderr
            .lines()
            .filter(|it| it.starts_with("error"))
            .count(),
        1
    );
}

// DG3: what lies in a layout already is not believed for its name.
#[test]
fn dg3_a_manifest_that_others_put_there_is_compared() {
    let scene = Scene::set(one_layer(1000));
    scene.arrives(scene.pull());
    let path = layout::blob(&scene.layout(), scene.tree.digest());
    let mut other = std::fs::read(&path).unwrap();
    let last = other.len() - 1;
    other[last] = b' ';
    std::fs::write(&path, other).unwrap();
    scene.arrives(scene.pull());
}

// DG3: one of the two sizes is a lie, so the image is not what it says it is.
#[test]
fn dg3_one_digest_of_two_sizes_is_refused() {
    let scene = Scene::set(one_layer(1000));
    let layer = scene.layer().to_string();
    let text = String::from_utf8(scene.tree.document().to_vec()).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut again = manifest["layers"][0].clone();
    again["size"] = serde_json::json!(7);
    manifest["layers"].as_array_mut().unwrap().push(again);
    let content = BlobContent::from(manifest.to_string());
    let stored = DescribedContent::new(scene.tree.media_type().clone(), content);
    scene.registry.contents().add_document("a", "1", stored);
    scene.fails(scene.pull(), DIGEST, &[&layer, "7 bytes"]);
}
