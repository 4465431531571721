//! Every way to ask for what cannot be had: one paragraph with what, where, why and what to do,
//! an exit code of its own, nothing on standard output, nothing half written on disk.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::fs;
use std::path::Path;

use longshore_testkit::certificate::Authority;
use longshore_testkit::image::{self, Image, Tree};
use longshore_testkit::registry::{Part, Registry};
use longshore_testkit::token::TokenServer;
use longshore_testkit::{Listen, recorder::Recorder};
use longshore_tests::disk::SmallDisk;
use longshore_tests::layout;
use longshore_tests::longshore::Longshore;
use longshore_tests::registry::{DockerRegistry, PASSWORD, USER};
use tempfile::tempdir;

const DESTINATION: i32 = 11;
const DISK: i32 = 13;

/// Pulls what cannot be pulled, and demands that nothing was made at the destination.
#[track_caller]
fn check(pull: impl FnOnce(&Path) -> Longshore, code: i32, words: &[&str]) {
    let place = tempdir().unwrap();
    let destination = place.path().join("layout");
    pull(&destination).run().failed_with_hint(code, words);
    assert_eq!(layout::names(place.path()), [""; 0]);
}

fn serving(tree: &Tree) -> Registry {
    Registry::builder().image("a", "1", tree).start().unwrap()
}

fn reference(registry: &Registry) -> String {
    format!("{}/a:1", registry.authority())
}

#[test]
fn a_host_that_is_not_there() {
    // One attempt: that names are asked for again is the business of other tests.
    let pull =
        |to: &Path| Longshore::pull("nosuch.invalid/x:1", to).args(["--retry-attempts", "1"]);
    let words = [
        "nosuch.invalid",
        "manifest 1 of x",
        "could not be resolved",
        "spelling",
    ];
    check(pull, 6, &words);
}

#[test]
fn a_port_where_nobody_listens() {
    let pull = |to: &Path| Longshore::pull("127.0.0.1:1/a:1", to).args(["--retry-attempts", "2"]);
    check(
        pull,
        6,
        &["127.0.0.1:1", "after 2 attempts", "refused", "port"],
    );
}

#[test]
fn a_malformed_reference() {
    for (reference, words) in [
        (
            "UPPER/Case",
            &["name", "upper-case letter", "at byte 6"][..],
        ),
        ("a.example/b:", &["tag"]),
        ("a.example/../b:1", &["name"]),
        ("a.example/b@sha256:12", &["digest"]),
        ("", &["empty"]),
        ("a.example/b:1\u{1b}[31m", &["tag"]),
    ] {
        let place = tempdir().unwrap();
        let ended = Longshore::pull(reference, place.path().join("d")).run();
        let said =
            ended.failed_with_hint(10, &[words, &["[REGISTRY/]NAME[:TAG][@DIGEST]"]].concat());
        // OU1
        assert!(!said.contains('\u{1b}'), "{said:?}");
        assert_eq!(layout::names(place.path()), [""; 0]);
    }
}

#[test]
fn a_tag_that_is_not_there() {
    let Some(registry) = DockerRegistry::builder().start() else {
        return;
    };
    let Some(there) = registry.push(&image::single(2), "some/app:1.0") else {
        return;
    };
    let name = registry.authority();
    let absent = there.replace(":1.0", ":nosuch");
    let words = [
        &name,
        "some/app",
        "nosuch",
        "404",
        "manifest unknown",
        "check the name",
    ];
    check(|to| Longshore::pull(&absent, to), 3, &words);
    let elsewhere = format!("{name}/nosuch/app:1.0");
    check(
        |to| Longshore::pull(&elsewhere, to),
        3,
        &[&name, "nosuch/app"],
    );
    for command in [&["digest"][..], &["manifest", "get"]] {
        let ended = Longshore::new(command).args([&absent]).run();
        ended.failed_with_hint(3, &[&name, "some/app", "nosuch"]);
    }
}

// The password ends with its line, so the program does not wait for the end of its input.
#[test]
fn a_password_ends_with_its_line() {
    let registry = serving(&image::single(12));
    let ping = Longshore::new([
        "ping",
        &registry.authority(),
        "-u",
        "me",
        "--password-stdin",
    ]);
    let held = r#"cd "$HOME" && mkfifo line && exec 0<>line && echo secret >&0 && exec "$@""#;
    let ended = ping.under(held).run();
    assert!(ended.status.success(), "{}", ended.stderr);
}

// CR7
#[test]
fn a_wrong_password() {
    for builder in [
        DockerRegistry::builder().basic(),
        DockerRegistry::builder().bearer().tls(),
    ] {
        let Some(registry) = builder.start() else {
            return;
        };
        let reference = format!("{}/some/app:1.0", registry.authority());
        let words = [
            &registry.authority(),
            "some/app",
            "does not accept the credentials",
            "check the user name and the password",
        ];
        let nobody = |to: &Path| registry.introduce(Longshore::pull(&reference, to));
        let wrong = |to: &Path| nobody(to).login(USER, "wr0ng-p4ssw0rd");
        check(wrong, 4, &words);
        if let Some(tokens) = registry.tokens() {
            assert_eq!(tokens.requests().len(), 1, "{:?}", tokens.requests());
        }
        // Missing credentials are distinguished from wrong credentials.
        check(nobody, 4, &[&registry.authority(), "requires credentials"]);
    }
}

// RE4
#[test]
fn a_realm_on_another_domain() {
    let authority = Authority::new();
    let place = tempdir().unwrap();
    let ca = place.path().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    let elsewhere = Listen::loopback().address([127, 0, 0, 2].into());
    let tokens = TokenServer::builder()
        .listen(elsewhere.tls(authority.server(&["127.0.0.2"])))
        .user(USER, PASSWORD)
        .start()
        .unwrap();
    let tree = image::single(3);
    let registry = Registry::builder()
        .listen(Listen::loopback().tls(authority.server(&["127.0.0.1"])))
        .image("a", "1", &tree)
        .bearer(&tokens)
        .start()
        .unwrap();
    let pull = |to: &Path| {
        let pull = Longshore::pull(&reference(&registry), to).login(USER, PASSWORD);
        pull.args([Path::new("--ca-file"), &ca])
    };
    let realm = format!("https://{}", tokens.address());
    let option = format!("--allow-realm {realm}");
    check(pull, 14, &[&registry.authority(), &realm, &option]);
    assert!(tokens.requests().is_empty());
    // The option is the one that helps.
    let layout = place.path().join("layout");
    let allowed = pull(&layout).args(option.split(' ')).run();
    assert_eq!(allowed.succeeded(), tree.digest().as_str());
    assert!(tokens.requests().hold(PASSWORD));
    assert!(!registry.requests().hold(PASSWORD));
}

#[test]
fn a_platform_that_is_not_there() {
    let tree = image::twenty_platforms(4);
    let registry = serving(&tree);
    let pull =
        |to: &Path| Longshore::pull(&reference(&registry), to).args(["--platform", "plan9/amd64"]);
    let words = ["plan9/amd64", "linux/s390x", "windows/amd64", "--platform"];
    check(pull, 12, &words);
    assert_eq!(registry.requests_to(Part::Blob).len(), 0);
    // An image that stands alone is of the platform in its configuration.
    let alone = serving(&image::single(5));
    let pull =
        |to: &Path| Longshore::pull(&reference(&alone), to).args(["--platform", "linux/arm64"]);
    check(pull, 12, &["linux/arm64", "linux/amd64", "--platform"]);
}

#[test]
fn a_destination_of_another_kind() {
    let registry = serving(&image::single(6));
    let place = tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::write(at("file"), "precious").unwrap();
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("folder/letter"), "precious").unwrap();
    fs::create_dir(at("newer")).unwrap();
    fs::write(at("newer/oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    fs::create_dir(at("broken")).unwrap();
    fs::write(at("broken/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(at("broken/index.json"), "{").unwrap();
    let before = snapshot(place.path());
    for (name, words) in [
        ("file", "not a directory"),
        ("file/below", "file"),
        ("folder", "neither empty nor an image layout"),
        ("newer", "version of image layouts"),
        ("broken", "index.json"),
        ("image.tar", "archive"),
        ("image.tar:1", "archive"),
    ] {
        let to = at(name);
        let ended = Longshore::pull(&reference(&registry), &to).run();
        ended.failed_with_hint(DESTINATION, &[words]);
        assert_eq!(snapshot(place.path()), before, "{name}");
    }
    let ended = Longshore::pull(&reference(&registry), "").run();
    ended.failed_with_hint(DESTINATION, &["empty"]);
    // Looked at before anybody was asked.
    assert_eq!(registry.connections(), 0);
}

/// Every path below a directory, with what is in it.
fn snapshot(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for name in layout::names(directory) {
        let path = directory.join(&name);
        if path.is_dir() {
            found.extend(snapshot(&path));
        }
        let content = fs::read(&path).unwrap_or_default();
        found.push((path.display().to_string(), content));
    }
    found
}

#[test]
fn a_full_disk_then_a_larger_one() {
    let Some(mut disk) = SmallDisk::mount(512) else {
        return;
    };
    let tree = Image::new(7).layers(20, 40_000).build();
    let registry = serving(&tree);
    let layout = disk.path().join("layout");
    let ended = Longshore::pull(&reference(&registry), &layout).run();
    let place = layout.display().to_string();
    ended.failed_with_hint(DISK, &[&place, "No space left", "make room"]);
    let kept = layout::assert_clean(&layout);
    assert_eq!(layout::entries(&layout), []);
    // The next pull, with more room, moves only what is missing.
    disk.resize(4096);
    registry.requests().clear();
    let ended = Longshore::pull(&reference(&registry), &layout).run();
    assert_eq!(ended.succeeded(), tree.digest().as_str());
    layout::assert_holds(&layout, &tree);
    layout::assert_clean(&layout);
    let asked = registry.requests_to(Part::Blob).len();
    let kept_blobs = kept.iter().filter(|digest| *digest != tree.digest());
    assert_eq!(asked, tree.all_blobs().len() - kept_blobs.count());
}

#[test]
fn a_disk_without_room_for_anything() {
    let Some(disk) = SmallDisk::mount(4) else {
        return;
    };
    let registry = serving(&image::single(8));
    let layout = disk.path().join("layout");
    let ended = Longshore::pull(&reference(&registry), &layout).run();
    ended.failed_with_hint(DISK, &["No space left", "make room"]);
}

#[test]
fn a_read_only_disk() {
    let Some(mut disk) = SmallDisk::mount(512) else {
        return;
    };
    let tree = image::single(9);
    let registry = serving(&tree);
    let layout = disk.path().join("layout");
    let pull = || Longshore::pull(&reference(&registry), &layout).run();
    assert_eq!(pull().succeeded(), tree.digest().as_str());
    disk.make_read_only();
    let other = serving(&image::single(10));
    for destination in [layout.clone(), disk.path().join("other")] {
        let ended = Longshore::pull(&reference(&other), destination).run();
        ended.failed_with_hint(DISK, &["Read-only file system", "can be written"]);
    }
    assert_eq!(layout::names(&disk.path()), ["layout"]);
    layout::assert_clean(&layout);
    layout::assert_holds(&layout, &tree);
}

#[test]
fn a_limit_on_the_size_of_files() {
    let registry = serving(&Image::new(11).layers(1, 2 << 20).build());
    let place = tempdir().unwrap();
    let layout = place.path().join("layout");
    // The write fails, whether or not the parent process ignores the signal.
    for trap in ["trap '' XFSZ; ", ""] {
        let limited = Longshore::pull(&reference(&registry), &layout)
            .under(&format!("{trap}ulimit -f 100; exec \"$@\""));
        let ended = limited.run();
        ended.failed_with_hint(DISK, &["File too large"]);
        layout::assert_clean(&layout);
        assert_eq!(layout::entries(&layout), []);
    }
}

#[test]
fn an_output_that_takes_nothing() {
    let registry = serving(&image::single(12));
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        eprintln!("SKIPPED: there is no /dev/full");
        return;
    };
    let ended = Longshore::new(["digest", &reference(&registry)])
        .stdout(full)
        .run();
    ended.failed(DISK, &["standard output", "No space left"]);
}

#[test]
fn a_command_line_that_makes_no_sense() {
    for (arguments, word) in [
        (&["pull"][..], "<REF>"),
        (&["pull", "a", "b", "--platform", "nonsense"], "--platform"),
        (
            &["pull", "a", "b", "--platform", "a/b", "--all-platforms"],
            "--all-platforms",
        ),
        (&["pull", "a", "b", "--jobs", "0"], "--jobs"),
        (&["pull", "a", "b", "--username", "me"], "--password-stdin"),
        (
            &["pull", "a", "b", "--allow-realm", "nonsense"],
            "--allow-realm",
        ),
        (&["pul"], "pull"),
    ] {
        let ended = Longshore::new(arguments).run();
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
        assert!(ended.stderr.contains(word), "{}", ended.stderr);
    }
}

// OU3: an error about an argument does not repeat the password in it.
#[test]
fn ou3_user_information_in_an_argument_is_not_shown() {
    let place = tempdir().unwrap();
    let to = place.path().join("layout");
    let to = to.to_str().unwrap();
    let absent = place.path().join("user:s3cr3t@host");
    let absent = absent.to_str().unwrap();
    let url = "https://user:s3cr3t@registry.invalid/x";
    let bare = "user:s3cr3t@registry.invalid/x";
    let reference = "registry.invalid/x:1";
    let once = ["--retry-attempts", "1", "-vv"];
    for (arguments, code) in [
        (&["pull", url, to][..], 10),
        (&["pull", bare, to], 10),
        (&["pull", "user:s3cr3t@registry.invalid/x:1", to], 10),
        (&["tags", url], 10),
        (&["inspect", bare], 10),
        (&["blob", "get", url], 10),
        (&["pull", reference, to, "--ca-file", "user:s3cr3t@host"], 1),
        (&["pull", reference, to, "--ca-file", absent], 1),
        (&["pull", reference, to, "--platform", bare], 2),
        (&["pull", reference, to, "--jobs", url], 2),
        (&["pull", reference, to, "--allow-realm", url], 2),
        (&["pull", reference, to, "--durability=user:s3cr3t@host"], 2),
        (&["pull", reference, to, url], 2),
        (&["https://user:s3cr3t@host"], 2),
        (&["verify", absent], 11),
    ] {
        let mut command = arguments.to_vec();
        if !["verify"].contains(&arguments[0]) && arguments.len() > 1 {
            command.extend(once);
        }
        let ended = Longshore::new(&command).run();
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(!said.contains("s3cr3t"), "{arguments:?}: {said}");
    }
    // Other tests check how such a registry is reported.
    for command in ["ping", "repos"] {
        for registry in [url, bare, "user:s3cr3t@registry.invalid"] {
            let ended = Longshore::new([command, registry]).args(once).run();
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert!(
                !ended.status.success() && !said.contains("s3cr3t"),
                "{said}"
            );
        }
    }
}

#[test]
fn an_empty_password() {
    let silent = Recorder::silent().unwrap();
    let name = silent.address();
    for password in ["", "\r"] {
        let pull = |to: &Path| Longshore::pull(&format!("{name}/a:1"), to).login("me", password);
        check(pull, 2, &["password", "empty", "standard input"]);
    }
    assert_eq!(silent.connections(), 0);
}

#[test]
fn a_certificate_file_that_is_none() {
    let place = tempdir().unwrap();
    let text = place.path().join("text.pem");
    fs::write(&text, "no certificate").unwrap();
    let absent = place.path().join("absent.pem");
    for file in [&text, &absent] {
        let to = place.path().join("layout");
        let pull = Longshore::pull("registry.example/a:1", to).args([Path::new("--ca-file"), file]);
        pull.run()
            .failed_with_hint(1, &["PEM", &file.display().to_string()]);
    }
    assert_eq!(layout::names(place.path()), ["text.pem"]);
}

#[test]
fn a_docker_configuration_that_is_none() {
    let elsewhere = Recorder::silent().unwrap();
    let name = elsewhere.address();
    for text in ["{", r#"{"auths": 7}"#] {
        let pull = |to: &Path| Longshore::pull(&format!("{name}/a:1"), to).docker_config(text);
        check(pull, 1, &["config.json", "correct the file"]);
    }
    assert_eq!(elsewhere.connections(), 0);
}
