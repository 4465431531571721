//! Docker's configuration, TLS and plain http.

use super::*;

/// `auths` of a Docker configuration with the user of the registries here.
fn auths(registry: &str) -> String {
    // base64 of `longshore:correct horse`
    let auth = "bG9uZ3Nob3JlOmNvcnJlY3QgaG9yc2U=";
    json!({"auths": {registry: {"auth": auth}}}).to_string()
}

// CR2
#[test]
fn docker_configuration_holds_the_credentials() {
    let tree = image::single(17);
    for builder in [
        DockerRegistry::builder().basic(),
        DockerRegistry::builder().bearer(),
    ] {
        let Some(scene) = Scene::set(builder, &tree) else {
            return;
        };
        let name = scene.registry.authority();
        let pull = || {
            let pull = Longshore::pull(&scene.reference, scene.layout());
            scene.registry.introduce(pull)
        };
        // The entry of another registry is no entry, even one that begins alike.
        let others = [
            auths("127.0.0.1"),
            auths(&format!("{name}0")),
            "{}".to_owned(),
        ];
        for config in others {
            let ended = pull().docker_config(&config).run();
            ended.failed_with_hint(4, &[&name, "without credentials", "--username"]);
        }
        let ended = pull().docker_config(&auths(&name)).run();
        assert_eq!(ended.succeeded(), tree.digest().as_str());
        // What is said on the command line comes first.
        let wrong = pull().docker_config(&auths(&name)).login(USER, "wrong");
        wrong
            .run()
            .failed_with_hint(4, &["check the user name and the password"]);
    }
}

// CR11
#[test]
fn a_credential_helper_is_named_and_never_passed_over() {
    let tokens = TokenServer::builder()
        .user(USER, PASSWORD)
        .anonymous()
        .start()
        .unwrap();
    let tree = image::single(18);
    let registry = Registry::builder()
        .image("a", "1", &tree)
        .bearer(&tokens)
        .start()
        .unwrap();
    let name = registry.authority();
    let reference = format!("{name}/a:1");
    let place = tempdir().unwrap();
    let layout = place.path().join("layout");
    for (config, setting, helper) in [
        (json!({"credsStore": "desktop"}), "credsStore", "desktop"),
        (
            json!({"credHelpers": {&name: "ecr-login"}}),
            "credHelpers",
            "ecr-login",
        ),
    ] {
        let pull = Longshore::pull(&reference, &layout).docker_config(&config.to_string());
        pull.run()
            .failed_with_hint(1, &[&name, setting, helper, "\"auths\""]);
    }
    assert!(tokens.requests().is_empty(), "{:?}", tokens.requests());
    assert!(!layout.exists());
    // The helper of another registry is no matter.
    let config = json!({"credHelpers": {"registry.example": "ecr-login"}});
    let pull = Longshore::pull(&reference, &layout).docker_config(&config.to_string());
    assert_eq!(pull.run().succeeded(), tree.digest().as_str());
}

// On loopback TLS is tried first, unless the user sets `--plain-http`.
#[test]
fn plain_http_is_found_out_or_said() {
    let registry = Registry::builder().start().unwrap();
    let name = registry.authority();
    let said = Longshore::new(["ping", &name, "--plain-http"]).run();
    assert!(said.status.success(), "{}", said.stderr);
    assert_eq!(registry.connections(), 1);
    let found = Longshore::new(["ping", &name]).run();
    assert!(found.status.success(), "{}", found.stderr);
    assert_eq!(registry.connections(), 3);
}

#[test]
fn small_blobs_share_an_http2_connection_and_large_ones_do_not() {
    let authority = Authority::new();
    let place = tempdir().unwrap();
    let ca = place.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let small = image::many_layers(20, 60);
    let large = Image::new(21).layers(1, 2 << 20).build();
    let registry = Registry::builder()
        .listen(Listen::loopback().tls(authority.server(&["localhost"])))
        .image("small", "1", &small)
        .image("large", "1", &large)
        .start()
        .unwrap();
    let name = format!("localhost:{}", registry.address().port());
    for (repository, tree) in [("small", &small), ("large", &large)] {
        registry.requests().clear();
        let layout = place.path().join(repository);
        let pull = Longshore::pull(&format!("{name}/{repository}:1"), &layout);
        let ended = pull.args([Path::new("--ca-file"), &ca]).run();
        assert_eq!(ended.succeeded(), tree.digest().as_str());
        layout::assert_holds(&layout, tree);
        let version = |wanted: Version| registry.requests().count(|it| it.version == wanted);
        let large = tree
            .blobs()
            .iter()
            .filter(|it| it.descriptor.size > 1 << 20);
        assert_eq!(version(Version::HTTP_11), large.count());
        let connections: BTreeSet<_> = registry
            .requests()
            .matching(|it| it.version == Version::HTTP_2)
            .iter()
            .map(|it| it.connection)
            .collect();
        assert_eq!(connections.len(), 1, "{connections:?}");
    }
}

#[test]
fn a_certificate_nobody_vouches_for_is_refused_unless_told_otherwise() {
    let authority = Authority::new();
    let other = Authority::new();
    let tree = image::single(19);
    let place = tempdir().unwrap();
    let file = place.path().join("ca.pem");
    std::fs::write(&file, authority.pem() + &other.pem()).unwrap();
    let wrong = place.path().join("wrong.pem");
    std::fs::write(&wrong, other.pem()).unwrap();
    let registry = Registry::builder()
        .listen(Listen::loopback().tls(authority.server(&["127.0.0.1"])))
        .image("a", "1", &tree)
        .start()
        .unwrap();
    let reference = format!("{}/a:1", registry.authority());
    let pull = |to: &str| Longshore::pull(&reference, place.path().join(to));
    for ended in [
        pull("none").run(),
        pull("wrong").args([Path::new("--ca-file"), &wrong]).run(),
    ] {
        ended.failed_with_hint(6, &[&registry.authority(), "certificate", "--ca-file"]);
    }
    assert!(registry.requests().is_empty());
    let trusting = pull("trusting").args([Path::new("--ca-file"), &file]).run();
    assert_eq!(trusting.succeeded(), tree.digest().as_str());
    assert_pulled(&place.path().join("trusting"), "1", &tree);
    let careless = pull("careless").args(["--insecure-skip-verify"]).run();
    assert_eq!(careless.succeeded(), tree.digest().as_str());
    assert!(!place.path().join("none").exists());
    assert!(!place.path().join("wrong").exists());
}
