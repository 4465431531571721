//! Everybody, users with a password, and users with a token, in the clear and over TLS.

use super::*;

/// Pulls all of an index of twenty platforms, and looks at every field that is told of it.
#[track_caller]
fn pulls_everything(builder: Builder) -> Option<Scene> {
    let tree = image::twenty_platforms(1);
    let mut scene = Scene::set(builder, &tree)?;
    let before = scene.registry.requests();
    let told = scene.pull_json(&["--all-platforms"]);
    assert_eq!(
        told,
        json!({
            "reference": scene.reference,
            "digest": tree.digest().as_str(),
            "media_type": "application/vnd.oci.image.index.v1+json",
            "size": tree.document().len(),
            "platform": null,
            "destination": scene.layout(),
            "name": "1.0",
            "blobs_moved": parts(&tree),
            "blobs_present": 0,
            "blobs_replaced": 0,
            "bytes_moved": tree.total_bytes(),
        })
    );
    assert_pulled(&scene.layout(), "1.0", &tree);
    let asked = scene.asked(&before);
    // Only one challenge is sent, however many blobs wait for the token.
    let refused = asked.iter().filter(|it| it.status == 401).count();
    let granted = asked.iter().filter(|it| it.status == 200).count();
    let locked = scene.registry.tokens().is_some() || refused > 0;
    assert_eq!((refused, granted), (usize::from(locked), parts(&tree)));
    Some(scene)
}

#[test]
fn an_anonymous_pull_is_read_by_skopeo() {
    let Some(scene) = pulls_everything(DockerRegistry::builder()) else {
        return;
    };
    let requests = scene.registry.requests();
    assert!(requests.iter().all(|request| request.status != 401));
}

// CR3
#[test]
fn a_pull_with_a_password_is_read_by_skopeo() {
    let Some(scene) = pulls_everything(DockerRegistry::builder().basic()) else {
        return;
    };
    let requests = scene.registry.requests();
    assert!(requests.iter().any(|request| request.status == 401));
}

#[test]
fn a_pull_with_a_token_is_read_by_skopeo() {
    let Some(scene) = pulls_everything(DockerRegistry::builder().bearer()) else {
        return;
    };
    one_token_was_enough(&scene);
}

#[test]
fn a_pull_with_a_token_over_tls_is_read_by_skopeo() {
    let Some(scene) = pulls_everything(DockerRegistry::builder().bearer().tls()) else {
        return;
    };
    one_token_was_enough(&scene);
}
