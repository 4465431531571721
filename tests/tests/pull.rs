//! The main job: an image from a real registry, verified, onto disk, where skopeo reads it.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::path::Path;

use http::Method;
use longshore_testkit::Listen;
use longshore_testkit::certificate::Authority;
use longshore_testkit::image::{self, Image, Tree};
use longshore_testkit::registry::{Part, Registry};
use longshore_testkit::token::TokenServer;
use longshore_tests::layout;
use longshore_tests::longshore::{Ended, Longshore, host_platform};
use longshore_tests::registry::{Builder, DockerRegistry, Logged, PASSWORD, USER};
use longshore_tests::skopeo::Skopeo;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

/// A registry with one image pushed by skopeo, and a layout to pull it into.
struct Scene {
    registry: DockerRegistry,
    reference: String,
    place: TempDir,
}

impl Scene {
    fn set(builder: Builder, tree: &Tree) -> Option<Self> {
        let registry = builder.start()?;
        let reference = registry.push(tree, "some/app:1.0")?;
        Some(Self {
            registry,
            reference,
            place: tempdir().unwrap(),
        })
    }

    fn layout(&self) -> std::path::PathBuf {
        self.place.path().join("layout")
    }

    #[track_caller]
    fn pull(&self, options: &[&str]) -> Ended {
        let pull = Longshore::pull(&self.reference, self.layout()).args(options);
        self.registry.admit(pull).run()
    }

    #[track_caller]
    fn pull_json(&self, options: &[&str]) -> Value {
        self.pull(&[options, &["--output", "json"]].concat()).json()
    }

    /// What longshore has asked the registry since it had answered `before` requests, but for
    /// what it asks to find out whether that speaks TLS.
    ///
    /// The log is written behind the answers, so a last request marks where to stop reading.
    fn asked(&mut self, before: &[Logged]) -> Vec<Logged> {
        let mark = format!("{}/no/such:mark", self.registry.authority());
        let marked = self.registry.admit(Longshore::new(["digest", &mark])).run();
        marked.failed(3, &["not found"]);
        for count in before.len() + 1.. {
            let requests = self.registry.wait_for_requests(count);
            let since = &requests[before.len()..];
            let is_mark = |request: &Logged| request.target.contains("no/such");
            if let Some(end) = since.iter().position(is_mark) {
                let asked = since[..end].iter();
                return asked.filter(|it| it.target != "/v2/").cloned().collect();
            }
        }
        unreachable!("the log has no end")
    }
}

/// Demands that the layout holds `tree` under `name`, and that skopeo agrees.
#[track_caller]
fn assert_pulled(layout: &Path, name: &str, tree: &Tree) {
    layout::assert_holds(layout, tree);
    layout::assert_clean(layout);
    let Some(skopeo) = Skopeo::find() else { return };
    let source = format!("oci:{}:{name}", layout.display());
    assert_eq!(skopeo.raw_manifest(&source), tree.document());
    skopeo.read_layout(layout, name);
}

/// How many documents and blobs a copy of `tree` holds.
fn parts(tree: &Tree) -> usize {
    tree.documents().len() + tree.all_blobs().len()
}

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
            "bytes_moved": tree.total_bytes(),
        })
    );
    assert_pulled(&scene.layout(), "1.0", &tree);
    let asked = scene.asked(&before);
    // F22: however many blobs wait for it, one challenge is met once.
    let refused = asked.iter().filter(|it| it.status == 401).count();
    let granted = asked.iter().filter(|it| it.status == 200).count();
    let locked = scene.registry.tokens().is_some() || refused > 0;
    assert_eq!((refused, granted), (usize::from(locked), parts(&tree)));
    Some(scene)
}

// F27
#[test]
fn an_anonymous_pull_is_read_by_skopeo() {
    let Some(scene) = pulls_everything(DockerRegistry::builder()) else {
        return;
    };
    let requests = scene.registry.requests();
    assert!(requests.iter().all(|request| request.status != 401));
}

// F17, CR3
#[test]
fn a_pull_with_a_password_is_read_by_skopeo() {
    let Some(scene) = pulls_everything(DockerRegistry::builder().basic()) else {
        return;
    };
    let requests = scene.registry.requests();
    assert!(requests.iter().any(|request| request.status == 401));
}

// F15, F22
#[test]
fn a_pull_with_a_token_is_read_by_skopeo() {
    let Some(scene) = pulls_everything(DockerRegistry::builder().bearer()) else {
        return;
    };
    one_token_was_enough(&scene);
}

// F33
#[test]
fn a_pull_with_a_token_over_tls_is_read_by_skopeo() {
    let Some(scene) = pulls_everything(DockerRegistry::builder().bearer().tls()) else {
        return;
    };
    one_token_was_enough(&scene);
}

#[track_caller]
fn one_token_was_enough(scene: &Scene) {
    let tokens = scene.registry.tokens().unwrap();
    // CR8: to read one repository, which is less than skopeo asked for when it pushed.
    let scope = "&scope=repository%3Asome%2Fapp%3Apull";
    let asked = tokens
        .requests()
        .matching(|request| request.query().ends_with(scope));
    assert_eq!(asked.len(), 1, "{:?}", tokens.requests());
    assert!(asked[0].holds(PASSWORD));
}

// F11
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

// F56
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
        // F34, DG6
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

// F7, F55
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

// F57
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

// F59
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

// F4
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
            "pulled {reference} into {}:1: 5 blobs, {} moved, 0 there already\n",
            place.path().display(),
            kib(tree.total_bytes()),
        )
    );
}

fn kib(bytes: u64) -> String {
    format!("{:.1} KiB", bytes as f64 / 1024.0)
}

// F35, RT8
#[test]
fn digest_asks_without_pulling() {
    let tree = image::twenty_platforms(15);
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
    let reference = format!("{}/a:1", registry.authority());
    let plain = Longshore::new(["digest", &reference]).run();
    assert_eq!(plain.succeeded(), tree.digest().as_str());
    let asked = registry.requests_to(Part::Manifest);
    assert!(asked.iter().all(|request| request.method == Method::HEAD));
    let told = Longshore::new(["digest", &reference, "--output", "json"]).run();
    let digest = tree.digest().as_str();
    assert_eq!(
        told.json(),
        json!({"reference": reference, "digest": digest})
    );
    let platform = ["digest", &reference, "--platform", "linux/riscv64"];
    let child = tree.child("linux/riscv64").unwrap();
    assert_eq!(
        Longshore::new(platform).run().succeeded(),
        child.digest().as_str()
    );
}

// F9, F36, DG4
#[test]
fn manifest_get_prints_the_exact_bytes() {
    let tree = image::twenty_platforms(16);
    let Some(scene) = Scene::set(DockerRegistry::builder().bearer().tls(), &tree) else {
        return;
    };
    let get = |options: &[&str]| {
        let get = Longshore::new(["manifest", "get", &scene.reference]).args(options);
        scene.registry.admit(get).run()
    };
    assert_eq!(get(&[]).stdout.as_bytes(), tree.document());
    let child = tree.child("linux/ppc64le").unwrap();
    let platform = get(&["--platform", "linux/ppc64le"]);
    assert_eq!(platform.stdout.as_bytes(), child.document());
    let told = get(&["--output", "json"]).json();
    assert_eq!(told["digest"], tree.digest().as_str());
    assert_eq!(told["media_type"], tree.media_type().as_str());
    assert_eq!(told["size"], tree.document().len());
    assert_eq!(told["reference"], scene.reference);
    assert_eq!(told["document"]["manifests"].as_array().unwrap().len(), 20);
}

#[test]
fn ping_says_whether_a_registry_may_be_used() {
    for builder in [
        DockerRegistry::builder(),
        DockerRegistry::builder().basic(),
        DockerRegistry::builder().bearer().tls(),
    ] {
        let Some(registry) = builder.start() else {
            return;
        };
        let name = registry.authority();
        let ping = registry.admit(Longshore::new(["ping", &name])).run();
        assert_eq!(
            ping.succeeded(),
            format!("{name} is a registry and may be used")
        );
        let json = Longshore::new(["ping", &name, "--output", "json"]);
        let told = registry.admit(json).run().json();
        assert_eq!(told, json!({"registry": name, "named": true}));
    }
}

/// `auths` of a Docker configuration with the user of the registries here.
fn auths(registry: &str) -> String {
    // base64 of `longshore:correct horse`
    let auth = "bG9uZ3Nob3JlOmNvcnJlY3QgaG9yc2U=";
    json!({"auths": {registry: {"auth": auth}}}).to_string()
}

// F25, CR2
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

// F25, CR11
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

// F33: TLS is tried first on loopback, unless the user knows better.
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
