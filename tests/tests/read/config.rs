//! `config`: the exact bytes, verified.

use super::*;

// DG4
#[test]
fn config_prints_the_exact_bytes() {
    let tree = image::twenty_platforms(40);
    let registry = DockerRegistry::builder().bearer().tls().start();
    let Some(registry) = registry else { return };
    let Some(reference) = registry.push(&tree, "some/app:1.0") else {
        return;
    };
    let config = |options: &[&str]| {
        let config = Longshore::new(["config", &reference]).args(options);
        registry.admit(config).run()
    };
    for platform in ["linux/ppc64le", "linux/arm/v6"] {
        let child = tree.child(platform).unwrap();
        let stored = &child.blobs()[0];
        let printed = config(&["--platform", platform]);
        assert_eq!(printed.status.code(), Some(0), "{}", printed.stderr);
        assert_eq!(printed.stdout.as_bytes(), stored.content.bytes());
        assert_eq!(printed.stderr, "");
        let expected: Value = serde_json::from_slice(&stored.content.bytes()).unwrap();
        assert_eq!(
            config(&["--platform", platform, "-o", "json"]).json(),
            json!({
                "reference": reference,
                "digest": stored.descriptor.digest,
                "media_type": "application/vnd.oci.image.config.v1+json",
                "size": stored.descriptor.size,
                "manifest": child.digest(),
                "platform": platform,
                "document": expected,
            })
        );
    }
    // Without a platform it is that of this machine, as with `pull`.
    let here = config(&["--output", "json"]).json();
    assert_eq!(
        here["platform"],
        longshore_tests::longshore::host_platform()
    );
    config(&["--platform", "plan9/amd64"])
        .failed_with_hint(PLATFORM, &["plan9/amd64", "linux/s390x", "--platform"]);
}

#[test]
fn config_of_an_image_that_stands_alone() {
    let tree = Image::new(41).docker().build();
    let registry = serving(&tree);
    let reference = reference(&registry);
    let stored = &tree.blobs()[0];
    for options in [&[][..], &["--platform", "linux/amd64"]] {
        let printed = run(&[&["config", &reference], options].concat());
        assert_eq!(printed.stdout.as_bytes(), stored.content.bytes());
    }
    run(&["config", &reference, "--platform", "linux/s390x"])
        .failed_with_hint(PLATFORM, &["linux/s390x", "linux/amd64"]);
}

#[test]
fn config_of_what_is_no_image() {
    let registry = serving(&image::artifact(42));
    let words = ["artifact", "application/vnd.oci.empty.v1+json", "blob get"];
    run(&["config", &reference(&registry)]).failed_with_hint(OTHER, &words);
    let absent = format!("{}/a:2", registry.authority());
    run(&["config", &absent]).failed_with_hint(NOT_FOUND, &["2", "404"]);
}

// DG3, DG5, LI1
#[test]
fn config_that_is_not_what_it_should_be() {
    let tree = image::single(43);
    let registry = serving(&tree);
    let reference = reference(&registry);
    let config = &tree.blobs()[0].descriptor;
    registry.misbehave(Rule::on(Part::Blob, Misbehaviour::Corrupt(7)));
    run(&["config", &reference]).failed(DIGEST, &[config.digest.as_str()]);
    registry.behave();
    let contents = registry.contents();
    contents.remove("a", &config.digest);
    run(&["config", &reference]).failed_with_hint(NOT_FOUND, &[config.digest.as_str()]);

    let kind = MediaType::OCI_CONFIG;
    let twice = r#"{"os":"linux","os":"plan9","architecture":"amd64","rootfs":{"type":"layers"}}"#;
    let stored = with_config(&registry, "twice", kind.as_str(), twice);
    let reference = format!("{}/a:twice", registry.authority());
    // These are the bytes; what they mean is another matter.
    assert_eq!(run(&["config", &reference]).succeeded(), twice);
    let digest = stored.descriptor.digest.as_str();
    for option in [["--output", "json"], ["--platform", "linux/amd64"]] {
        let ended = run(&[&["config", &reference][..], &option].concat());
        ended.failed(PROTOCOL, &[digest, "not an image config", "is repeated"]);
    }

    let long = format!("\"{}\"", "x".repeat(8 << 20));
    with_config(&registry, "long", kind.as_str(), &long);
    let before = registry.requests_to(Part::Blob).len();
    let reference = format!("{}/a:long", registry.authority());
    run(&["config", &reference]).failed(PROTOCOL, &["larger than 8388608 bytes"]);
    // Its descriptor says so; nobody needs to be asked.
    assert_eq!(registry.requests_to(Part::Blob).len(), before);
}
