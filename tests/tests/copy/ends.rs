//! Copies between every pair of ends: skopeo writes the sources, and reads the destinations.

use longshore_testkit::RecordedRequest;
use longshore_tests::registry::{Builder, PASSWORD, USER};

use super::*;

#[test]
fn a_copy_goes_between_every_pair_of_ends_and_skopeo_reads_it() {
    let (Some(source), Some(destination)) = (Watched::docker(), Watched::docker()) else {
        return;
    };
    let Some(skopeo) = Skopeo::find() else { return };
    let place = tempdir().unwrap();
    let tree = image::twenty_platforms(41);
    // skopeo pushes the image to the source.
    assert!(source.peer.give(&tree, "some/app", "1"));
    let [first, second] = ["first", "second"].map(|name| place.path().join(name));
    let ends = [
        (source.image("some/app:1"), destination.image("some/app:1")),
        (destination.image("some/app:1"), at(&first)),
        (at(&first), at(&second)),
        (at(&second), destination.image("other/app:2")),
    ];
    for (from, to) in &ends {
        names(&Longshore::copy(from, to).run(), &tree);
        assert_eq!(skopeo.raw_manifest(to), tree.document(), "{to}");
    }
    destination.peer.assert_holds("some/app", "1", &tree);
    destination.peer.assert_holds("other/app", "2", &tree);
    for layout in [&first, &second] {
        layout::assert_holds(layout, &tree);
        layout::assert_clean(layout);
        skopeo.read_layout(layout, "1");
    }
    let reference = destination.peer.name("other/app:2");
    skopeo.pull_layout(&reference, &place.path().join("read"), "2");
}

#[test]
fn artifacts_docker_types_and_nested_indexes_are_copied_as_they_are() {
    let Some(destination) = Watched::docker() else {
        return;
    };
    let source = Watched::kit();
    let docker = image::Image::new(42).gzip().docker().build();
    let trees = [image::artifact(43), image::nested(44, 3), docker];
    for (number, tree) in trees.iter().enumerate() {
        let name = format!("some/app:{number}");
        assert!(source.peer.give(tree, "some/app", &number.to_string()));
        let ended = Longshore::copy(&source.image(&name), &destination.image(&name)).run();
        names(&ended, tree);
        let tag = number.to_string();
        destination.peer.assert_holds("some/app", &tag, tree);
    }
}

/// Docker's `config.json` with the user name and password for these registries.
fn logins(registries: &[&DockerRegistry]) -> String {
    // `longshore:correct horse`.
    assert_eq!((USER, PASSWORD), ("longshore", "correct horse"));
    let auth = "bG9uZ3Nob3JlOmNvcnJlY3QgaG9yc2U=";
    let auths: Vec<_> = registries
        .iter()
        .map(|registry| format!(r#""{}": {{"auth": "{auth}"}}"#, registry.authority()))
        .collect();
    format!(r#"{{"auths": {{{}}}}}"#, auths.join(", "))
}

#[test]
fn a_copy_logs_in_at_both_ends() {
    let pairs: [(Builder, Builder); 2] = [
        (
            DockerRegistry::builder().basic(),
            DockerRegistry::builder().bearer().tls(),
        ),
        (
            DockerRegistry::builder().bearer().tls(),
            DockerRegistry::builder().basic(),
        ),
    ];
    for (from, to) in pairs {
        let (Some(source), Some(destination)) = (from.start(), to.start()) else {
            return;
        };
        let tree = image::single(45);
        let Some(reference) = source.push(&tree, "some/app:1") else {
            return;
        };
        let copied = format!("{}/some/app:1", destination.authority());
        let mut copy = Longshore::copy(&reference, &copied);
        for registry in [&source, &destination] {
            copy = registry.introduce(copy);
        }
        let copy = copy.docker_config(&logins(&[&source, &destination]));
        names(&copy.run(), &tree);
        if let Some(tokens) = destination.tokens() {
            // One token to read, and one to write.
            let asked: Vec<_> = tokens.requests().lines();
            let scopes = [":pull", ":pull,push"].map(|scope| {
                let is = |it: &&RecordedRequest| {
                    it.query()
                        .replace("%2C", ",")
                        .replace("%3A", ":")
                        .ends_with(scope)
                };
                tokens.requests().all().iter().filter(is).count()
            });
            assert!(scopes.into_iter().all(|times| times <= 1), "{asked:?}");
        }
        let Some(skopeo) = destination.skopeo() else {
            return;
        };
        let copied = format!("docker://{copied}");
        assert_eq!(skopeo.raw_manifest(&copied), tree.document());
    }
}
