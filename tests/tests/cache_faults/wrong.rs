//! Upstreams that break off, or send something else than they should.

use longshore_testkit::registry::{Misbehaviour, Rule};
use longshore_testkit::token::TokenServer;

use super::*;

/// Demands that nobody gets all of a wrong blob, that nothing of it is stored, and that the next
/// pull after the upstream has recovered is right.
#[track_caller]
fn assert_refused(what: &str, wrong: Misbehaviour, size: u64) {
    let scene = Scene::set();
    let bad = add_blob(
        scene.registry.contents(),
        APP,
        BlobContent::random(size, size),
    );
    let (digest, path) = (&bad.descriptor.digest, blob(APP, &bad.descriptor.digest));
    scene.registry.misbehave(Rule::on(Part::Blob, wrong));
    for _ in 0..2 {
        if let Some(reading) = begin(scene.address(), "GET", &path) {
            let answer = reading.finish();
            let is_clean = answer.status == 200 && answer.is_complete();
            assert!(
                !is_clean || answer.body == bad.content.bytes(),
                "{what} of {size}"
            );
            assert!(!is_clean, "{what} of {size}: a wrong answer was repaired?");
        }
        assert!(!place::blob(&scene.serve.cache(), digest).exists());
    }
    scene.registry.behave();
    let body = get(scene.address(), &path).whole();
    assert!(body == bad.content.bytes(), "{what} of {size}");
    let file = place::blob(&scene.serve.cache(), digest);
    wait_until("the blob is stored", || file.exists());
    place::assert_whole(&scene.serve.cache());
}

#[test]
fn ca4_one_wrong_byte_reaches_nobody_as_a_complete_body() {
    for size in [1_000, 300_000] {
        for position in [0, size / 2, size - 1] {
            let what = format!("byte {position}");
            assert_refused(&what, Misbehaviour::Corrupt(position), size);
        }
    }
}

#[test]
fn ca4_a_body_of_a_wrong_length_or_coding_reaches_nobody_as_a_complete_body() {
    for size in [1_000, 300_000] {
        assert_refused("shorter", Misbehaviour::Length(size - 1), size);
        assert_refused(
            "longer",
            Misbehaviour::Body(BlobContent::random(size, size + 1)),
            size,
        );
        assert_refused(
            "another",
            Misbehaviour::Body(BlobContent::random(size + 1, size)),
            size,
        );
        assert_refused("gzip", Misbehaviour::Gzip, size);
        assert_refused(
            "empty",
            Misbehaviour::Body(BlobContent::repeated(&b"x"[..], 0)),
            size,
        );
    }
}

#[test]
fn ca4_an_upstream_that_dies_in_a_layer_is_continued_at_that_byte() {
    const SIZE: u64 = 2 << 20;
    const CAME: u64 = 1_300_000;
    let scene = Scene::set();
    let large = add_blob(scene.registry.contents(), APP, BlobContent::random(4, SIZE));
    let digest = &large.descriptor.digest;
    let cut = Rule::on(Part::Blob, Misbehaviour::CutAfter(CAME)).method(http::Method::GET);
    scene.registry.misbehave(cut.times(1));
    let body = get(scene.address(), &blob(APP, digest)).whole();
    assert!(body == large.content.bytes());
    let requests = scene.registry.requests_to(Part::Blob);
    let gets = requests.iter().filter(|it| it.method == "GET");
    let ranges: Vec<_> = gets.map(|it| it.header("range")).collect();
    assert_eq!(ranges, [None, Some(&*format!("bytes={CAME}-"))]);
}

#[test]
fn ca4_a_mirror_that_dies_in_a_layer_is_continued_by_the_next_one() {
    const SIZE: u64 = 2 << 20;
    const CAME: u64 = 1_300_000;
    let mirror = Registry::builder().start().unwrap();
    let registry = Registry::builder().start().unwrap();
    let large = add_blob(registry.contents(), APP, BlobContent::random(4, SIZE));
    add_blob(mirror.contents(), APP, large.content.clone());
    let hang_up = Misbehaviour::HangUp;
    mirror.misbehave(Rule::on(Part::Blob, Misbehaviour::CutAfter(CAME)).times(1));
    mirror.misbehave(Rule::on(Part::Blob, hang_up).after(1));
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("cache.toml");
    let text = format!(
        "[[serve.upstream]]\nprefix = \"docker.io\"\nurl = \"{}\"\nmirrors = [\"{}\"]\n",
        registry.url(),
        mirror.url()
    );
    std::fs::write(&config, text).unwrap();
    let serve = Serve::builder()
        .args(["--config", config.to_str().unwrap()])
        .start();
    let body = get(serve.address(), &blob(APP, &large.descriptor.digest)).whole();
    assert!(body == large.content.bytes());
    let requests = registry.requests_to(Part::Blob);
    let gets = requests.iter().filter(|it| it.method == "GET");
    let ranges: Vec<_> = gets.map(|it| it.header("range")).collect();
    assert_eq!(ranges, [Some(&*format!("bytes={CAME}-"))]);
}

#[test]
fn ca7_a_redirect_of_a_blob_to_another_host_carries_no_credentials() {
    let tokens = TokenServer::builder().anonymous().start().unwrap();
    let cdn = Registry::builder().start().unwrap();
    let scene = Scene::with(|registry| registry.bearer(&tokens), |serve| serve);
    cdn.contents().add(APP, "1", &scene.tree);
    let away = format!("{}{{path}}", cdn.url());
    let redirect = Rule::on(Part::Blob, Misbehaviour::Redirect(away));
    scene.registry.misbehave(redirect.method(http::Method::GET));
    scene.pull();
    let went = cdn.requests_to(Part::Blob);
    assert!(went.len() >= scene.tree.all_blobs().len(), "{went:?}");
    assert!(went.iter().all(|it| !it.is_authorized()), "{went:?}");
    assert!(
        scene
            .registry
            .requests_to(Part::Blob)
            .iter()
            .any(|it| it.is_authorized())
    );
}
