//! References and destinations in the forms of other programs.

use longshore_testkit::image;
use longshore_testkit::registry::Registry;
use longshore_tests::layout;
use longshore_tests::longshore::Longshore;
use tempfile::tempdir;

#[test]
fn the_layout_forms_of_other_programs_are_accepted() {
    let tree = image::single(80);
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
    let reference = format!("docker://{}/a:1", registry.authority());
    let place = tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    for (form, name) in [
        (format!("oci:{}:v1", at("skopeo")), "v1"),
        (
            format!("oci:{}:host:5/b/c:v2", at("skopeo")),
            "host:5/b/c:v2",
        ),
        (format!("oci:{}", at("skopeo")), "1"),
        (format!("ocidir://{}:v1", at("regctl")), "v1"),
        (format!("oci-layout://{}:v1", at("buildx")), "v1"),
    ] {
        let ended = Longshore::pull(&reference, &form).run();
        assert_eq!(ended.succeeded(), tree.digest().as_str(), "{form}");
        let directory = form.split("://").last().unwrap().trim_start_matches("oci:");
        let directory = directory.split(':').next().unwrap();
        let named = |(it, _): &(Option<String>, String)| it.as_deref() == Some(name);
        assert!(
            layout::entries(directory.as_ref()).iter().any(named),
            "{form}"
        );
    }
    assert_eq!(layout::names(place.path()), ["buildx", "regctl", "skopeo"]);
}

#[test]
fn a_destination_that_is_not_a_layout_is_refused_and_nothing_is_created() {
    let registry = Registry::builder().start().unwrap();
    let reference = format!("{}/a:1", registry.authority());
    for form in [
        "containers-storage:a:1",
        "dir:image",
        "docker-archive:image.tar",
        "docker-daemon:a:1",
        "docker://registry.example/a:1",
        "https://registry.example/a:1",
        "oci-archive:image.tar",
        "oci::v1",
    ] {
        let place = tempdir().unwrap();
        let script = format!("cd '{}' && exec \"$@\"", place.path().display());
        let ended = Longshore::pull(&reference, form).under(&script).run();
        ended.failed_with_hint(2, &[form, "oci:DIR[:TAG]"]);
        assert_eq!(layout::names(place.path()), [""; 0]);
    }
    assert_eq!(registry.connections(), 0);
}

#[test]
fn the_prefix_of_a_registry_is_understood_wherever_a_reference_is() {
    let tree = image::single(81);
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
    let name = registry.authority();
    let config = &tree.blobs()[0].descriptor.digest;
    for (command, target) in [
        (&["blob", "get"][..], format!("{name}/a@{config}")),
        (&["blob", "head"], format!("{name}/a@{config}")),
        (&["config"], format!("{name}/a:1")),
        (&["digest"], format!("{name}/a:1")),
        (&["inspect"], format!("{name}/a:1")),
        (&["manifest", "get"], format!("{name}/a:1")),
        (&["referrers"], format!("{name}/a:1")),
        (&["tags"], format!("{name}/a")),
        (&["repos"], name.clone()),
        (&["ping"], name.clone()),
    ] {
        let run = |target: &str| Longshore::new(command).args([target]).run();
        let expected = run(&target);
        let found = run(&format!("docker://{target}"));
        assert_eq!(found.succeeded(), expected.succeeded(), "{command:?}");
        assert_eq!(found.stderr, expected.stderr, "{command:?}");
    }
    // A tag is refused with and without the prefix.
    let ended = Longshore::new(["tags", &format!("docker://{name}/a:1")]).run();
    ended.failed_with_hint(10, &["names one image"]);
}
