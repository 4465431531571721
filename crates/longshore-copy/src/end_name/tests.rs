use proptest::prelude::*;

use super::*;

fn layout(path: &str, name: Option<&str>) -> LayoutName {
    LayoutName {
        path: PathBuf::from(path),
        name: name.map(str::to_owned),
    }
}

#[track_caller]
fn is_layout(text: &str, path: &str, name: Option<&str>) {
    assert_eq!(
        EndName::parse_layout(text),
        Ok(layout(path, name)),
        "{text}"
    );
}

#[track_caller]
fn is_registry(text: &str, canonical: &str) {
    let reference = canonical.parse().unwrap();
    assert_eq!(
        EndName::parse(text),
        Ok(EndName::Registry(reference)),
        "{text}"
    );
}

#[test]
fn a_bare_reference_and_the_docker_form_are_a_registry() {
    is_registry("alpine", "docker.io/library/alpine:latest");
    is_registry("docker://alpine:3.20", "docker.io/library/alpine:3.20");
    is_registry("images:v1", "docker.io/library/images:v1");
    is_registry("localhost:5000/a/b", "localhost:5000/a/b:latest");
    is_registry("docker:cli", "docker.io/library/docker:cli");
    is_registry("oci", "docker.io/library/oci:latest");
}

#[test]
fn a_tag_of_a_plain_layout_follows_the_last_colon() {
    is_layout("images", "images", None);
    is_layout("images:v1", "images", Some("v1"));
    is_layout("./a:b/c", "./a:b/c", None);
    is_layout("a:b/", "a:b/", None);
    is_layout("a:b:c", "a:b", Some("c"));
    is_layout("./oci:v1", "./oci", Some("v1"));
    is_layout("./dir:v1", "./dir", Some("v1"));
    is_layout("dir", "dir", None);
    is_layout(r"C:\images", r"C:\images", None);
    is_layout(r"C:\images:v1", r"C:\images", Some("v1"));
}

#[test]
fn the_layout_forms_of_other_programs_are_layouts_in_both_contexts() {
    let name = "registry.example:5000/app:v1";
    for (text, path, name) in [
        ("oci:img", "img", None),
        ("oci:img:v1", "img", Some("v1")),
        ("oci:/a/b:v1", "/a/b", Some("v1")),
        ("oci:image.tar", "image.tar", None),
        ("oci:img:registry.example:5000/app:v1", "img", Some(name)),
        ("ocidir://img:v1", "img", Some("v1")),
        ("ocidir:///a/b", "/a/b", None),
        ("oci-layout://img:v1", "img", Some("v1")),
    ] {
        is_layout(text, path, name);
        let end = EndName::Layout(layout(path, name));
        assert_eq!(text.parse(), Ok(end), "{text}");
    }
}

#[test]
fn a_text_that_begins_as_a_path_is_always_a_path_of_a_layout() {
    is_layout(
        "./registry.example/app:v1",
        "./registry.example/app",
        Some("v1"),
    );
    is_layout("../localhost/app:v1", "../localhost/app", Some("v1"));
    is_layout("/registry.example/app", "/registry.example/app", None);
    is_layout("./https://x", "./https://x", None);
}

#[test]
fn a_registry_is_refused_where_a_layout_is_expected() {
    for text in [
        "docker://alpine",
        "ghcr.io/owner/app:v1",
        "ghcr.io/owner/app",
        "localhost/app:v1",
        "localhost:5000/app",
        "127.0.0.1/app:v1",
        "[::1]:5000/app",
    ] {
        let found = EndName::parse_layout(text);
        assert_eq!(found, Err(EndNameError::Registry), "{text}");
    }
}

#[test]
fn a_relative_directory_is_not_taken_for_a_registry() {
    is_layout("build-1.2/images:v1", "build-1.2/images", Some("v1"));
    is_layout("conf.d/images", "conf.d/images", None);
    is_layout("Downloads/images:v1", "Downloads/images", Some("v1"));
    is_layout("images.d:v1", "images.d", Some("v1"));
}

#[test]
fn a_path_without_a_prefix_is_not_a_reference_and_the_hint_says_the_prefix() {
    for text in ["./x", "/x:v1", "../x", ".", "..", "~/x", r"a\b"] {
        let error = EndName::parse(text).unwrap_err();
        let text = text.to_owned();
        let hint = format!("write oci:{text} for an image layout");
        assert_eq!(error.hint(), Some(hint));
        assert_eq!(error, EndNameError::Path { text });
    }
}

// OU1: the hint repeats the text, so it escapes it.
#[test]
fn ou1_a_hint_escapes_the_text() {
    let hint = EndName::parse("./\u{1b}[2J").unwrap_err().hint();
    let expected = r"write oci:./\u{1b}[2J for an image layout";
    assert_eq!(hint.as_deref(), Some(expected));
}

#[test]
fn an_empty_or_malformed_name_is_an_error() {
    let parse = |text| EndName::parse_layout(text).unwrap_err();
    assert_eq!(parse(""), EndNameError::Empty);
    for text in [":v1", ":", "oci:", "oci::v1", "oci::", "ocidir://:v1"] {
        assert_eq!(parse(text), EndNameError::NoDirectory, "{text}");
    }
    for (text, at, reason) in [
        ("oci:img:", 0, NameReason::Empty),
        ("oci:img:a b", 1, NameReason::Character),
    ] {
        assert_eq!(parse(text), EndNameError::Name { at, reason });
    }
    assert_eq!(parse("images:"), EndNameError::Tag(NameError::Empty));
    let reason = NameError::Unexpected { at: 1 };
    assert_eq!(parse("images:v 1"), EndNameError::Tag(reason));
    assert_eq!(
        EndName::parse(""),
        Err(EndNameError::Reference(ReferenceError::Empty))
    );
    let length = END_NAME_LIMIT_BYTES + 1;
    let text = "a".repeat(length);
    assert_eq!(parse(&text), EndNameError::TooLong { length });
    assert_eq!(EndName::parse(&text), Err(EndNameError::TooLong { length }));
}

#[test]
fn a_digest_does_not_become_a_part_of_a_path() {
    let digest = Digest::sha256(b"");
    for text in [
        format!("images@{digest}"),
        format!("./images:v1@{digest}"),
        format!("oci:images@{digest}"),
    ] {
        let found = EndName::parse_layout(&text);
        assert_eq!(found, Err(EndNameError::Digest), "{text}");
    }
    let name = format!("registry.example/app@{digest}");
    is_layout(&format!("oci:images:{name}"), "images", Some(&name));
}

#[test]
fn the_forms_of_other_programs_are_errors_that_say_what_they_are() {
    for (text, words) in [
        ("docker-archive:image.tar", "`docker load`"),
        ("docker-archive:image.tar:a:1", "`docker load`"),
        ("oci-archive:image.tar", "an archive of an image layout"),
        ("dir:somewhere", "skopeo"),
        ("docker-daemon:a:1", "a Docker daemon"),
        ("containers-storage:a:1", "Podman"),
        (
            "oci://registry.example/a:1",
            "a registry in the form of Helm",
        ),
        ("https://registry.example/a", "a URL"),
        ("docker-image://a", "a URL"),
    ] {
        for error in [
            EndName::parse(text).unwrap_err(),
            EndName::parse_layout(text).unwrap_err(),
        ] {
            let shown = error.to_string();
            assert!(shown.contains(words), "{text}: {shown}");
        }
    }
}

#[test]
fn an_archive_is_refused_with_a_hint() {
    for text in ["image.tar", "image.tar:v1", "ocidir://image.tar"] {
        let error = EndName::parse_layout(text).unwrap_err();
        assert_eq!(error, EndNameError::Archive);
        let hint = error.hint().unwrap();
        assert!(hint.contains("tar -cf"), "{hint}");
    }
}

const PREFIX: &str = "|docker://|oci:|ocidir://|oci-layout://|\\./|/|//|oci:/|\\./a:b/";
const MIDDLE: &str = "[a-zA-Z0-9._/@:-]{0,24}|[a-z]{1,8}(/[a-z]{1,8}){0,2}(:[a-z0-9]{1,4}){0,3}";

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same_end(prefix in PREFIX, middle in MIDDLE) {
        let text = format!("{prefix}{middle}");
        if let Ok(end) = EndName::parse(&text) {
            prop_assert_eq!(EndName::parse(&end.to_string()), Ok(end));
        }
        if let Ok(layout) = EndName::parse_layout(&text) {
            prop_assert_eq!(EndName::parse_layout(&layout.to_string()), Ok(layout.clone()));
            let end = EndName::parse(&layout.to_string());
            prop_assert_eq!(end, Ok(EndName::Layout(layout)));
        }
    }

    #[test]
    fn any_text_parses_or_is_an_error_of_one_line(text in "\\PC{0,40}|(?s).{0,40}") {
        for error in [EndName::parse(&text).err(), EndName::parse_layout(&text).err()] {
            let shown = error.map(|error| error.to_string()).unwrap_or_default();
            prop_assert!(!shown.contains(char::is_control), "{:?}", shown);
        }
    }
}
