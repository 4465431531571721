//! Platforms, layers, artifacts, names: what is moved, and what is not.

use super::*;

#[test]
fn one_platform_of_twenty_is_chosen() {
    let tree = image::twenty_platforms(2);
    let Some(scene) = Scene::set(DockerRegistry::builder(), &tree) else {
        return;
    };
    for (options, platform, child) in [
        (&[][..], host_platform(), host_platform()),
        (
            &["--platform", "linux/arm/v7"],
            "linux/arm/v7",
            "linux/arm/v7",
        ),
        (
            &["--platform", "linux/arm64"],
            "linux/arm64",
            "linux/arm64/v8",
        ),
    ] {
        let child = tree.child(child).unwrap();
        let told = scene.pull_json(options);
        assert_eq!(told["digest"], child.digest().as_str(), "{options:?}");
        // The variant of the machine is not always said; the one asked for is.
        let shown = told["platform"].as_str().unwrap();
        assert!(platform.starts_with(shown), "{shown} for {platform}");
        assert_eq!(told["media_type"], child.media_type().as_str());
        layout::assert_holds(&scene.layout(), child);
        let entries = layout::entries(&scene.layout());
        assert_eq!(
            entries.iter().find(|(name, _)| name.is_some()),
            Some(&(Some("1.0".to_owned()), child.digest().to_string()))
        );
        scene
            .registry
            .skopeo()
            .unwrap()
            .read_layout(&scene.layout(), "1.0");
    }
}

#[test]
fn only_the_chosen_platform_is_moved() {
    let tree = image::twenty_platforms(3);
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
    let place = tempdir().unwrap();
    let reference = format!("{}/a:1", registry.authority());
    let pull = Longshore::pull(&reference, place.path()).args(["--platform", "linux/s390x"]);
    let child = tree.child("linux/s390x").unwrap();
    assert_eq!(pull.run().succeeded(), child.digest().as_str());
    assert_pulled(place.path(), "1", child);
    assert_eq!(layout::assert_clean(place.path()).len(), parts(child));
    assert_eq!(registry.requests_to(Part::Manifest).len(), 2);
    assert_eq!(registry.requests_to(Part::Blob).len(), child.blobs().len());
}

#[test]
fn indexes_in_indexes_are_followed() {
    let tree = image::nested(4, 3);
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
    let place = tempdir().unwrap();
    let reference = format!("{}/a:1", registry.authority());
    let all = Longshore::pull(&reference, place.path().join("all")).args(["--all-platforms"]);
    assert_eq!(all.run().succeeded(), tree.digest().as_str());
    layout::assert_holds(&place.path().join("all"), &tree);
    layout::assert_clean(&place.path().join("all"));
    let one = Longshore::pull(&reference, place.path().join("one"))
        .args(["--platform", "linux/amd64"])
        .run();
    let found = one.succeeded();
    let image = tree
        .documents()
        .into_iter()
        .find(|stored| stored.descriptor.digest.as_str() == found)
        .unwrap();
    assert!(!image.descriptor.media_type.is_index());
    layout::assert_clean(&place.path().join("one"));
}

#[test]
fn many_small_layers_arrive() {
    let tree = image::many_layers(5, 120);
    let Some(scene) = Scene::set(DockerRegistry::builder().bearer(), &tree) else {
        return;
    };
    assert_eq!(scene.pull(&[]).succeeded(), tree.digest().as_str());
    assert_pulled(&scene.layout(), "1.0", &tree);
    one_token_was_enough(&scene);
}

#[test]
fn each_blob_is_asked_for_once() {
    let tree = image::many_layers(6, 400);
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
    for jobs in ["1", "4", "64"] {
        registry.requests().clear();
        let place = tempdir().unwrap();
        let reference = format!("{}/a:1", registry.authority());
        let pull = Longshore::pull(&reference, place.path()).args(["--jobs", jobs]);
        assert_eq!(pull.run().succeeded(), tree.digest().as_str());
        layout::assert_holds(place.path(), &tree);
        let blobs = registry.requests_to(Part::Blob);
        assert_eq!(blobs.len(), tree.all_blobs().len(), "-j {jobs}");
        // DG6
        assert!(
            blobs
                .iter()
                .all(|request| request.header("accept-encoding") == Some("identity"))
        );
    }
}

#[test]
fn large_layers_arrive() {
    let tree = Image::new(7).layers(3, 3 << 20).build();
    let Some(scene) = Scene::set(DockerRegistry::builder().basic().tls(), &tree) else {
        return;
    };
    let told = scene.pull_json(&["--jobs", "2"]);
    assert_eq!(told["bytes_moved"], tree.total_bytes());
    assert_pulled(&scene.layout(), "1.0", &tree);
}

#[test]
fn docker_media_types_and_artifacts_arrive_unchanged() {
    for tree in [Image::new(8).gzip().docker().build(), image::artifact(9)] {
        let Some(scene) = Scene::set(DockerRegistry::builder(), &tree) else {
            return;
        };
        let told = scene.pull_json(&[]);
        assert_eq!(told["media_type"], tree.media_type().as_str());
        assert_eq!(told["platform"], Value::Null);
        layout::assert_holds(&scene.layout(), &tree);
        layout::assert_clean(&scene.layout());
        // skopeo finds nothing in a layout but what OCI defines.
        if !tree.media_type().as_str().contains("docker") {
            assert_pulled(&scene.layout(), "1.0", &tree);
        }
    }
}

#[test]
fn a_second_pull_moves_nothing() {
    let tree = image::twenty_platforms(10);
    let Some(mut scene) = Scene::set(DockerRegistry::builder().bearer(), &tree) else {
        return;
    };
    let first = scene.pull_json(&["--all-platforms"]);
    assert_eq!(first["blobs_moved"], parts(&tree));
    let before = scene.registry.requests();
    let mark = scene.asked(&before).len();
    let before = scene.registry.requests();
    let second = scene.pull_json(&["--all-platforms"]);
    assert_eq!(second["blobs_moved"], 0);
    assert_eq!(second["bytes_moved"], 0);
    assert_eq!(second["blobs_present"], parts(&tree));
    assert_eq!(second["digest"], first["digest"]);
    let asked = scene.asked(&before);
    assert!(
        asked
            .iter()
            .all(|request| !request.target.contains("/blobs/")),
        "after {mark}: {asked:?}"
    );
    assert_pulled(&scene.layout(), "1.0", &tree);
}

#[test]
fn several_names_share_a_layout() {
    let (one, other) = (image::single(11), image::single(12));
    let registry = Registry::builder()
        .image("a", "1", &one)
        .image("b", "2", &other)
        .start()
        .unwrap();
    let place = tempdir().unwrap();
    let layout = place.path().join("deep/down/layout");
    let pull = |reference: &str, name: &str| {
        let reference = format!("{}/{reference}", registry.authority());
        let destination = format!("{}{name}", layout.display());
        let pull = Longshore::pull(&reference, destination).args(["--output", "json"]);
        pull.run().json()
    };
    assert_eq!(pull("a:1", "")["name"], "1");
    assert_eq!(pull("b:2", ":other")["name"], "other");
    let told = pull("a:1", ":same");
    assert_eq!(
        (&told["name"], &told["blobs_moved"]),
        (&json!("same"), &json!(0))
    );
    let entry = |name: &str, tree: &Tree| (Some(name.to_owned()), tree.digest().to_string());
    let mut entries = layout::entries(&layout);
    entries.sort();
    assert_eq!(
        entries,
        [
            entry("1", &one),
            entry("other", &other),
            entry("same", &one)
        ]
    );
    for (name, tree) in [("1", &one), ("other", &other), ("same", &one)] {
        assert_pulled(&layout, name, tree);
    }
    // A name that stands for something else from now on.
    assert_eq!(pull("b:2", ":same")["digest"], other.digest().as_str());
    assert!(layout::entries(&layout).contains(&entry("same", &other)));
    assert_pulled(&layout, "1", &one);
}

#[test]
fn a_digest_is_what_is_asked_for() {
    let tree = image::single(13);
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
    for (reference, name, entry) in [
        (format!("a@{}", tree.digest()), Value::Null, None),
        (
            format!("a:nosuch@{}", tree.digest()),
            json!("nosuch"),
            Some("nosuch"),
        ),
    ] {
        let place = tempdir().unwrap();
        let reference = format!("{}/{reference}", registry.authority());
        let pull = Longshore::pull(&reference, place.path()).args(["--output", "json"]);
        let told = pull.run().json();
        assert_eq!(told["digest"], tree.digest().as_str());
        assert_eq!(told["reference"], reference);
        assert_eq!(told["name"], name);
        layout::assert_holds(place.path(), &tree);
        let entry = (entry.map(str::to_owned), tree.digest().to_string());
        assert_eq!(layout::entries(place.path()), [entry]);
    }
}

#[test]
fn text_for_people_goes_to_stderr_and_the_digest_to_stdout() {
    let tree = image::single(14);
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
    let place = tempdir().unwrap();
    let reference = format!("{}/a:1", registry.authority());
    let ended = Longshore::pull(&reference, place.path()).run();
    assert_eq!(ended.stdout, format!("{}\n", tree.digest()));
    // No bar where nobody looks.
    assert_eq!(
        ended.stderr,
        format!(
            "pulled {reference} into {}:1: 5 manifests and blobs, {} moved, 0 there already\n",
            place.path().display(),
            kib(tree.total_bytes()),
        )
    );
}

fn kib(bytes: u64) -> String {
    format!("{:.1} KiB", bytes as f64 / 1024.0)
}
