//! Docker's configuration, TLS and plain http.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use http::StatusCode;
use longshore_testkit::registry::{Misbehaviour, Rule};

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
            ended.failed_with_hint(4, &[&name, "requires credentials", "--username"]);
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

/// A directory with a credential helper of this name.
fn helper(place: &Path, name: &str, script: &str) -> PathBuf {
    let directory = place.join(format!("bin-{name}"));
    fs::create_dir(&directory).unwrap();
    let program = directory.join(format!("docker-credential-{name}"));
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    directory
}

#[test]
fn cr11_a_helper_that_is_absent_or_fails_does_not_stop_a_public_pull() {
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
    let place = tempdir().unwrap();
    let path = helper(
        place.path(),
        "locked",
        "echo 'the keychain is locked' >&2; exit 1",
    );
    for (config, why) in [
        (
            json!({"credsStore": "desktop", "auths": {&name: {"auth": "dTpw"}}}),
            "docker-credential-desktop is not installed",
        ),
        (
            json!({"credHelpers": {&name: "locked"}}),
            "docker-credential-locked failed (exit status: 1): the keychain is locked",
        ),
        (
            json!({"credsStore": "../x"}),
            "\"../x\" is not the name of a credential helper",
        ),
    ] {
        let layout = place.path().join(why.replace([':', '"'], ""));
        let pull = Longshore::pull(&format!("{name}/a:1"), &layout).env("PATH", &path);
        let ended = pull.docker_config(&config.to_string()).run();
        let warnings = ended.stderr.matches("warning: no credentials are sent to");
        assert_eq!(warnings.count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
        assert_eq!(ended.succeeded(), tree.digest().as_str());
    }
    // The helper of another registry is not run.
    let config = json!({"credHelpers": {"registry.example": "locked"}});
    let pull = Longshore::pull(&format!("{name}/a:1"), place.path().join("other"));
    let ended = pull.env("PATH", &path).docker_config(&config.to_string());
    let ended = ended.run();
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    assert_eq!(ended.succeeded(), tree.digest().as_str());
}

#[test]
fn cr11_a_helper_provides_the_credential_and_an_error_names_a_missing_one() {
    let tree = image::single(19);
    let registry = Registry::builder().image("a", "1", &tree);
    let registry = registry.basic(USER, PASSWORD);
    let registry = registry.start().unwrap();
    let name = registry.authority();
    let place = tempdir().unwrap();
    let script = format!(
        r#"read -r name || true
        [ "$1 $name" = "get {name}" ] || {{ echo "asked for $name"; exit 1; }}
        echo '{{"ServerURL":"","Username":"{USER}","Secret":"{PASSWORD}"}}'"#
    );
    let path = helper(place.path(), "vault", &script);
    let config = json!({"credsStore": "vault"}).to_string();
    let pull = |layout: &str, path: &Path| {
        let pull = Longshore::pull(&format!("{name}/a:1"), place.path().join(layout));
        pull.env("PATH", path).docker_config(&config).run()
    };
    assert_eq!(pull("one", &path).succeeded(), tree.digest().as_str());
    let ended = pull("two", place.path());
    assert_eq!(ended.status.code(), Some(4));
    let lines: Vec<_> = ended.stderr.lines().collect();
    let why = "the credential helper docker-credential-vault is not installed: no directory in \
               PATH has it";
    assert_eq!(
        lines,
        [
            format!("error: cannot read manifest 1 of a from {name}: authentication failed"),
            format!("  caused by: the credentials for {name} cannot be read"),
            format!("  caused by: {why}"),
            "  hint: repair the credential helper, or give --username and --password-stdin"
                .to_owned(),
        ]
    );
}

#[test]
fn an_empty_configuration_and_a_byte_order_mark_are_accepted() {
    let tree = image::single(20);
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
    let reference = format!("{}/a:1", registry.authority());
    for config in ["", "\u{feff}{}"] {
        let digest = Longshore::new(["digest", &reference]).docker_config(config);
        assert_eq!(digest.run().succeeded(), tree.digest().as_str());
    }
}

// CR2: a source that is asked earlier wins, and host names have no case.
#[test]
fn the_first_configuration_that_has_an_entry_is_used() {
    let tree = image::single(21);
    let registry = Registry::builder().image("a", "1", &tree);
    let registry = registry.basic(USER, PASSWORD);
    let registry = registry.start().unwrap();
    let name = registry.authority().replace("127.0.0.1", "LOCALHOST");
    let reference = format!("{name}/a:1");
    let place = tempdir().unwrap();
    let file = place.path().join("auth.json");
    let right = auths(&name.to_lowercase());
    let scoped = right.replace(&name.to_lowercase(), &format!("{}/a", name.to_lowercase()));
    let wrong = json!({"auths": {&name: {"auth": "dTpw"}}}).to_string();
    fs::write(&file, &scoped).unwrap();
    let digest = || Longshore::new(["digest", &reference]).docker_config(&wrong);
    digest().run().failed_with_hint(4, &["check the user name"]);
    let ended = digest().env("REGISTRY_AUTH_FILE", &file).run();
    assert_eq!(ended.succeeded(), tree.digest().as_str());
    fs::write(&file, &wrong).unwrap();
    let ended = digest().env("REGISTRY_AUTH_FILE", &file);
    let ended = ended.env("DOCKER_AUTH_CONFIG", &right).run();
    assert_eq!(ended.succeeded(), tree.digest().as_str());
    let ended = digest().env("DOCKER_AUTH_CONFIG", "hunter2").run();
    ended.failed_with_hint(1, &["DOCKER_AUTH_CONFIG", "correct the file"]);
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

#[test]
fn the_hint_for_a_403_without_credentials_does_not_blame_credentials() {
    let tree = image::single(22);
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
    registry.misbehave(Rule::always(Misbehaviour::Status(StatusCode::FORBIDDEN)));
    let digest = || Longshore::new(["digest", &format!("{}/a:1", registry.authority())]);
    // The registry sent no challenge, so the password was not sent.
    for digest in [digest(), digest().login(USER, PASSWORD)] {
        let ended = digest.run();
        let said = ended.failed_with_hint(4, &["denied", "no credentials were sent"]);
        assert!(!said.contains("these credentials"), "{said}");
    }
}

// CR12, OU3: what is not accepted may hold a password.
#[test]
fn ou3_user_information_in_an_argument_is_never_shown() {
    for arguments in [
        &["ping", "me:hunter2@127.0.0.1:1"][..],
        &["ping", "https://me:hunter2@127.0.0.1:1/"],
        &["repos", "hunter2@127.0.0.1:1"],
        &["tags", "me:hunter2@127.0.0.1:1/a"],
        &["digest", "docker://me:hunter2@127.0.0.1:1/a:1"],
        &["inspect", "me:hun/hunter2@127.0.0.1:1/a@sha256:00"],
        &["pull", "me:hunter2@127.0.0.1:1/a:1", "layout"],
    ] {
        let ended = Longshore::new(arguments).run();
        assert!(!ended.status.success());
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
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
    fs::write(&ca, authority.pem()).unwrap();
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
    fs::write(&file, authority.pem() + &other.pem()).unwrap();
    let wrong = place.path().join("wrong.pem");
    fs::write(&wrong, other.pem()).unwrap();
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
