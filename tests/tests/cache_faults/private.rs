//! What one repository shows of another one.

use http::StatusCode;
use longshore_testkit::registry::{Misbehaviour, Rule};

use super::*;

const OTHER: &str = "library/other";

/// Everything of the image that can be named, through another repository.
fn paths(scene: &Scene) -> Vec<String> {
    let mut paths = vec![manifest(OTHER, "1"), manifest(OTHER, scene.tree.digest())];
    for stored in scene.tree.all_blobs() {
        paths.push(blob(OTHER, &stored.descriptor.digest));
    }
    paths.push(format!("/v2/{OTHER}/tags/list"));
    paths.push(format!("/v2/{OTHER}/referrers/{}", scene.tree.digest()));
    paths
}

#[test]
fn ca6_what_another_repository_warmed_is_denied_where_the_upstream_denies() {
    for (status, expected) in [
        (StatusCode::UNAUTHORIZED, &[401, 403, 404][..]),
        (StatusCode::FORBIDDEN, &[403, 404]),
        (StatusCode::NOT_FOUND, &[404]),
    ] {
        let scene = Scene::set();
        scene.pull();
        scene.wait_stored();
        let denied = Rule::always(Misbehaviour::Status(status)).path(OTHER);
        scene.registry.misbehave(denied);
        for path in paths(&scene) {
            let is_list = path.ends_with("/list") || path.contains("/referrers/");
            let methods = if is_list {
                &["GET"][..]
            } else {
                &["GET", "HEAD"]
            };
            for method in methods {
                let answer = ask(scene.address(), method, &path);
                let is_referrers = path.contains("/referrers/");
                if is_referrers && status == StatusCode::NOT_FOUND {
                    // An upstream without referrers has none.
                    assert!([200, 404].contains(&answer.status), "{path}");
                } else {
                    let found = answer.status;
                    assert!(
                        expected.contains(&found),
                        "{status}: {method} {path}: {found}"
                    );
                }
                assert!(answer.header("www-authenticate").is_none());
            }
        }
        // And the first repository is as it was.
        scene.pull();
    }
}

// A fill that runs is no permission either.
#[test]
fn ca6_a_denied_repository_does_not_join_the_fill_of_another() {
    let scene = Scene::set();
    let gate = longshore_testkit::Gate::new();
    let large = add_blob(
        scene.registry.contents(),
        APP,
        BlobContent::random(7, 1 << 20),
    );
    let digest = &large.descriptor.digest;
    let hold = Misbehaviour::HoldAfter(1 << 19, gate.clone());
    scene
        .registry
        .misbehave(Rule::on(Part::Blob, hold).path(APP));
    let denied = Misbehaviour::Status(StatusCode::FORBIDDEN);
    scene.registry.misbehave(Rule::always(denied).path(OTHER));
    let running = begin(scene.address(), "GET", &blob(APP, digest)).unwrap();
    assert_eq!(running.answer.status, 200);
    let answer = get(scene.address(), &blob(OTHER, digest));
    assert!([403, 404].contains(&answer.status), "{}", answer.status);
    gate.open();
    assert!(running.finish().whole() == large.content.bytes());
}
