//! `copy` and `push`: their output, and the arguments that they refuse.

use longshore_testkit::Gate;
use longshore_testkit::registry::{MissingContent, Quirks};
use longshore_testkit::token::TokenServer;

use super::*;

/// An empty writable registry.
fn empty() -> Registry {
    Registry::builder().writable().start().unwrap()
}

/// A layout with this image under the name `v1`; returns its path.
fn layout_of(tree: &Tree, place: &Path) -> String {
    let path = place.join("images");
    image::write_layout(&path, &[("v1", tree)]).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The total size of the blobs of an image in bytes.
fn bytes(tree: &Tree) -> u64 {
    let blobs = tree.all_blobs();
    blobs.iter().map(|it| it.descriptor.size).sum()
}

// DG7: what is stored has the expected digest.
#[test]
fn dg7_an_image_is_not_sent_to_the_digest_of_another() {
    let tree = image::single(64);
    let registry = serving(&image::single(65));
    let place = tempdir().unwrap();
    let layout = layout_of(&tree, place.path());
    let other = Digest::sha256(b"other");
    let to = format!("{}/b@{other}", registry.authority());
    let also = format!("{}/b:1", registry.authority());
    let words = [other.as_str(), tree.digest().as_str(), "nothing was sent"];
    run(&["push", &layout, &also, &to]).failed_with_hint(DIGEST, &words);
    run(&["push", "--dry-run", &layout, &to]).failed_with_hint(DIGEST, &words);
    assert_eq!(changes(&registry), [""; 0]);
    let to = format!("{}/b@{}", registry.authority(), tree.digest());
    assert_eq!(
        run(&["push", &layout, &to]).succeeded(),
        tree.digest().as_str()
    );
}

#[test]
fn a_push_prints_what_it_moved_and_uses_the_tag_of_the_layout() {
    let tree = image::single(50);
    let registry = empty();
    let place = tempdir().unwrap();
    let source = format!("{}:v1", layout_of(&tree, place.path()));
    let name = format!("{}/some/app", registry.authority());
    let ended = run(&["push", &source, &name]);
    assert_eq!(ended.succeeded(), tree.digest().as_str());
    let begin = format!("copied oci:{source} to {name}:v1: 5 manifests and blobs, ");
    assert!(ended.stderr.starts_with(&begin), "{}", ended.stderr);
    assert!(
        ended.stderr.ends_with(" moved, 0 there already\n"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        current(&format!("{name}:v1")).as_deref(),
        Some(tree.digest().as_str())
    );
    // Blobs that another repository of the registry has are mounted.
    let from = format!("{name}:v1");
    let ended = run(&["cp", &from, &format!("{}/other", registry.authority())]);
    let end = format!(
        "to {}/other:v1: 1 manifest or blob, {} B moved, 0 there already, 4 mounted\n",
        registry.authority(),
        tree.document().len()
    );
    assert!(ended.stderr.ends_with(&end), "{}", ended.stderr);
}

#[test]
fn a_plan_shows_what_each_destination_lacks() {
    let tree = image::single(51);
    let limit = |name: &'static str, value: &'static str| {
        let name = name.parse().unwrap();
        Misbehaviour::Header(name, value.parse().unwrap())
    };
    let source = serving(&tree);
    source.misbehave(Rule::on(
        Part::Manifest,
        limit("ratelimit-limit", "100;w=21600"),
    ));
    source.misbehave(Rule::on(
        Part::Manifest,
        limit("ratelimit-remaining", "84;w=21600"),
    ));
    let (destination, place) = (empty(), tempdir().unwrap());
    let from = format!("{}/a:1", source.authority());
    let mounted = format!("{}/b", source.authority());
    let moved = format!("{}/c:2", destination.authority());
    let layout = format!("oci:{}", place.path().join("new").display());
    let command = ["copy", "--dry-run", &from, &mounted, &moved, &layout];
    let size = longshore_size(bytes(&tree));
    let expected = format!(
        "Source:       {from}\n\
         Digest:       {}\n\
         Content:      1 manifest, 4 blobs, {size}\n\
         Reads:        at least 4 requests for blobs\n\
         Rate limit:   84 of 100 requests left in 21600 s at http://{}\n\
         \n\
         {mounted}:1\n  \
           Existing:   0 blobs\n  \
           Mounted:    4 blobs\n  \
           Moved:      0 blobs, 0 B\n  \
           Written:    1 manifest\n  \
           Writes:     at least 5 requests\n\
         \n\
         {moved}\n  \
           Existing:   0 blobs\n  \
           Mounted:    0 blobs\n  \
           Moved:      4 blobs, {size}\n  \
           Written:    1 manifest\n  \
           Writes:     at least 9 requests\n\
         \n\
         {layout}:1\n  \
           Existing:   0 blobs\n  \
           Mounted:    0 blobs\n  \
           Moved:      4 blobs, {size}\n  \
           Written:    1 manifest",
        tree.digest(),
        source.authority(),
    );
    let ended = run(&command);
    assert_eq!(ended.succeeded(), expected);
    assert_eq!(ended.stderr, "nothing was written, because of --dry-run\n");
    assert_eq!(changes(&source), [""; 0]);
    assert_eq!(changes(&destination), [""; 0]);
    let shown = json_of(&command);
    let limit = json!([{
        "registry": format!("http://{}", source.authority()),
        "limit": 100, "remaining": 84, "window_seconds": 21600,
    }]);
    assert_eq!(shown["rate_limits"], limit);
    let expected = json!({
        "destination": moved, "named": false, "result": null, "error": null,
        "plan": {
            "manifests": 1, "existing": 0, "mounted": 0, "moved": 4, "bytes": bytes(&tree),
            "requests": 9,
        },
    });
    assert_eq!(shown["destinations"][1], expected);
    assert_eq!(
        (&shown["dry_run"], &shown["source_requests"]),
        (&json!(true), &json!(4))
    );
    // The copy does what the plan said.
    let shown = json_of(&["copy", &from, &mounted, &moved, &layout]);
    let results: Vec<_> = (0..3)
        .map(|it| shown["destinations"][it]["result"].clone())
        .collect();
    let all = bytes(&tree) + tree.document().len() as u64;
    let whole = json!({ "moved": 5, "bytes": all, "present": 0, "mounted": 0, "replaced": 0 });
    let own = json!({
        "moved": 1, "bytes": tree.document().len(), "present": 0, "mounted": 4, "replaced": 0,
    });
    assert_eq!(results, [own, whole.clone(), whole]);
    let reads = source.requests_to(Part::Blob);
    let gets = reads.iter().filter(|it| it.method == Method::GET).count();
    assert_eq!(gets, 4);
    assert_eq!(changes(&destination).len(), 9);
}

/// Formats a number of bytes below 1 MiB as the program does.
fn longshore_size(bytes: u64) -> String {
    format!("{:.1} KiB", bytes as f64 / 1024.0)
}

#[test]
fn a_destination_that_fails_is_named_and_the_others_are_reported() {
    let tree = image::single(52);
    let (good, bad) = (empty(), empty());
    bad.misbehave(Rule::on(
        Part::Upload,
        Misbehaviour::Status(StatusCode::FORBIDDEN),
    ));
    let place = tempdir().unwrap();
    let source = format!("{}:v1", layout_of(&tree, place.path()));
    let (to_bad, to_good) = (
        format!("{}/a:1", bad.authority()),
        format!("{}/a:1", good.authority()),
    );
    let ended = run(&["push", &source, &to_bad, &to_good]);
    assert_eq!(ended.status.code(), Some(AUTH), "{}", ended.stderr);
    assert_eq!(ended.stdout, format!("{}\n", tree.digest()));
    let words = format!("error: cannot copy to {to_bad}\n  caused by: cannot push");
    assert!(ended.stderr.contains(&words), "{}", ended.stderr);
    assert_eq!(current(&to_bad), None);
    assert_eq!(current(&to_good).as_deref(), Some(tree.digest().as_str()));
    let ended = run(&["push", &source, &to_bad, &to_good, "--output", "json"]);
    assert_eq!(ended.status.code(), Some(AUTH));
    let shown: Value = serde_json::from_str(&ended.stdout).unwrap();
    let error = shown["destinations"][0]["error"].as_str().unwrap();
    assert!(error.contains("cannot push"), "{error}");
    assert_eq!(shown["destinations"][1]["error"], Value::Null);
}

// Properties that registries are known to refuse are printed before the copy, and again when a
// registry refuses one.
#[test]
fn a_refused_index_is_foreseen() {
    let platforms = ["linux/amd64", "linux/arm64", "linux/s390x"];
    let tree = image::index(53, &platforms.map(|it| it.parse().unwrap()));
    let mut quirks = Quirks::default();
    quirks.sparse_index = MissingContent::Refused;
    let registry = Registry::builder()
        .writable()
        .quirks(quirks)
        .start()
        .unwrap();
    let place = tempdir().unwrap();
    let source = format!("{}:v1", layout_of(&tree, place.path()));
    let to = format!("{}/a:1", registry.authority());
    let push = [
        "push",
        &source,
        &to,
        "--platform",
        platforms[0],
        "--platform",
        platforms[1],
    ];
    run(&push).failed_with_hint(USAGE, &["--sparse", "--new-index"]);
    let sparse = [&push[..], &["--sparse"]].concat();
    let plan = run(&[&sparse[..], &["--dry-run"]].concat());
    let concern = "manifests that the index lists are absent from the destination (1)";
    assert!(
        plan.succeeded()
            .contains(&format!("Concern:      {concern}")),
        "{}",
        plan.stdout
    );
    let ended = run(&sparse);
    let words = [
        "push manifest 1 of a",
        &format!("foreseen: {concern}"),
        "--new-index",
    ];
    assert_eq!(ended.status.code(), Some(NOT_FOUND), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{}", ended.stderr);
    }
    let ended = run(&[&push[..], &["--new-index"]].concat());
    assert_ne!(ended.succeeded(), tree.digest().as_str());
    assert!(
        ended
            .stderr
            .contains("its digest is not that of the source"),
        "{}",
        ended.stderr
    );
}

#[test]
fn ends_that_cannot_be_copied() {
    let place = tempdir().unwrap();
    let layout = layout_of(&image::single(54), place.path());
    let named = format!("{layout}:v1");
    let oci = format!("oci:{named}");
    let absent = format!("oci:{layout}:absent");
    for (command, code, words) in [
        (
            &["copy", "./images", "r.example/a"][..],
            USAGE,
            &["is a path", "oci:./images"][..],
        ),
        (
            &["copy", "r.example/A:1", "oci:x"],
            REFERENCE,
            &["upper-case"],
        ),
        (
            &["copy", "docker-archive:x.tar", "oci:x"],
            USAGE,
            &["`docker load`"],
        ),
        (
            &["copy", &oci, "r.example/a", "r.example/a:v1"],
            USAGE,
            &["a:v1 is given twice"],
        ),
        (
            &["copy", &oci, "r.example/a:1@sha256:00"],
            REFERENCE,
            &["digest"],
        ),
        (
            &["copy", &absent, "r.example/a"],
            NOT_FOUND,
            &["no image is named `absent`"],
        ),
        // The program does not assume a tag.
        (
            &["push", &layout, "r.example/a"],
            USAGE,
            &["has no tag", "r.example/a:TAG"],
        ),
        (
            &["push", &named, "oci:x"],
            USAGE,
            &["`push` is to a registry", "longshore copy"],
        ),
        (
            &["push", "r.example/a:1", "r.example/b"],
            USAGE,
            &["in a registry"],
        ),
        (
            &["push", "nosuch", "r.example/b:1"],
            11,
            &["nosuch", "as `pull` makes it"],
        ),
    ] {
        run(command).failed_with_hint(code, words);
    }
    let digest = Digest::sha256(b"x");
    let both = format!("r.example/a:1@{digest}");
    run(&["push", &named, &both]).failed_with_hint(USAGE, &["a tag and a digest"]);
    for refused in [
        &["--sparse"][..],
        &["--platform", "linux/amd64", "--sparse", "--new-index"],
        &["--all", "--platform", "linux/amd64"],
        &["--chunk-size", "0"],
    ] {
        let ended = run(&[&["push", &named, "r.example/a"], refused].concat());
        assert_eq!(ended.status.code(), Some(USAGE), "{}", ended.stderr);
    }
    // A misspelled verb or flag gets a suggestion.
    for (wrong, right) in [
        (&["copi"][..], "copy"),
        (&["push", "--verify-aftre"], "--verify-after"),
    ] {
        let ended = run(wrong);
        assert_eq!(ended.status.code(), Some(USAGE));
        assert!(ended.stderr.contains(right), "{}", ended.stderr);
    }
}

// DG7: nothing is stored under a digest that is not that of the content.
#[test]
fn dg7_a_source_that_is_damaged_or_incomplete_is_named() {
    let tree = image::single(57);
    let registry = empty();
    let place = tempdir().unwrap();
    let layout = layout_of(&tree, place.path());
    let to = format!("{}/a", registry.authority());
    let push = || run(&["push", &format!("{layout}:v1"), &to]);
    let digest = &tree.blobs()[1].descriptor.digest;
    let blob = layout::blob(Path::new(&layout), digest);
    let mut content = fs::read(&blob).unwrap();
    content[0] ^= 1;
    fs::write(&blob, &content).unwrap();
    let source = format!("cannot read oci:{layout}:v1");
    push().failed_with_hint(DIGEST, &[&source, digest.as_str(), "longshore verify"]);
    fs::remove_file(&blob).unwrap();
    push().failed_with_hint(NOT_FOUND, &[&source, digest.as_str(), "--all-platforms"]);
    let manifest = layout::blob(Path::new(&layout), tree.digest());
    fs::remove_file(&manifest).unwrap();
    let digest = tree.digest().as_str();
    push().failed_with_hint(NOT_FOUND, &[&source, digest, "--all-platforms"]);
    assert_eq!(current(&format!("{to}:v1")), None);
}

// CR1: a secret belongs to one origin.
#[test]
fn cr1_each_registry_of_a_copy_gets_its_own_credentials() {
    let tree = image::single(55);
    let tokens = TokenServer::builder()
        .user("reader", "read secret")
        .start()
        .unwrap();
    let source = Registry::builder()
        .image("a", "1", &tree)
        .bearer(&tokens)
        .start()
        .unwrap();
    let destination = Registry::builder()
        .writable()
        .basic("writer", "write secret");
    let destination = destination.start().unwrap();
    let entry = |registry: &Registry, auth: &str| (registry.authority(), json!({ "auth": auth }));
    // In base64: reader:read secret, writer:write secret.
    let entries = [
        entry(&source, "cmVhZGVyOnJlYWQgc2VjcmV0"),
        entry(&destination, "d3JpdGVyOndyaXRlIHNlY3JldA=="),
    ];
    let config = json!({ "auths": serde_json::Map::from_iter(entries) });
    let (from, to) = (
        format!("{}/a:1", source.authority()),
        format!("{}/b", destination.authority()),
    );
    let realm = format!("http://{}", tokens.address());
    let copy = Longshore::new(["copy", &from, &to, "--allow-realm", &realm]);
    let ended = copy.docker_config(&config.to_string()).run();
    assert_eq!(ended.succeeded(), tree.digest().as_str());
    let leaked = source.requests().matching(|it| it.holds("write secret"));
    assert_eq!(leaked.len(), 0);
    let leaked = destination
        .requests()
        .matching(|it| it.holds("read secret"));
    assert_eq!(leaked.len(), 0);
    // A user name on the command line would apply to both.
    let copy = Longshore::new(["copy", &from, &to]).login("writer", "write secret");
    copy.run()
        .failed_with_hint(USAGE, &["--username is for one registry"]);
    // With only one registry, it is clear which one the user name is for.
    let place = tempdir().unwrap();
    let named = format!("{}:v1", layout_of(&tree, place.path()));
    let push = Longshore::new(["push", &named, &to]).login("writer", "write secret");
    assert_eq!(push.run().succeeded(), tree.digest().as_str());
}

#[test]
fn a_push_without_a_state_directory_works_and_warns() {
    let tree = image::single(58);
    let registry = empty();
    let place = tempdir().unwrap();
    let named = format!("{}:v1", layout_of(&tree, place.path()));
    let file = place.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let push = Longshore::new(["push", &named, &format!("{}/a", registry.authority())]);
    let ended = push.env("XDG_STATE_HOME", &file).run();
    assert_eq!(ended.succeeded(), tree.digest().as_str());
    let warning = "warning: an upload that is interrupted now starts again in the next run: ";
    assert!(ended.stderr.starts_with(warning), "{}", ended.stderr);
}

// RT11
#[test]
fn rt11_a_push_is_stopped_and_continues_when_it_is_repeated() {
    let tree = Image::new(56).layers(3, 200_000).build();
    let registry = empty();
    let place = tempdir().unwrap();
    let named = format!("{}:v1", layout_of(&tree, place.path()));
    let to = format!("{}/a", registry.authority());
    let gate = Gate::new();
    let held = Misbehaviour::Hold(gate.clone());
    registry.misbehave(Rule::on(Part::Upload, held).method(Method::PUT).after(1));
    let mut push = Longshore::new(["push", &named, &to]).start();
    push.wait_until(|| (!registry.requests_to(Part::Upload).is_empty()).then_some(()));
    push.signal("INT");
    let ended = push.end();
    gate.open();
    ended.failed(130, &["stopped", "the next run goes on from there"]);
    assert_eq!(current(&format!("{to}:v1")), None);
    registry.behave();
    assert_eq!(
        run(&["push", &named, &to]).succeeded(),
        tree.digest().as_str()
    );
}

// DG7: nothing is stored under a digest that is not that of the content. The source changes while
// the first blob is on its way.
#[test]
fn dg7_a_source_that_changes_between_plan_and_run_is_named() {
    let tree = Image::new(60).layers(2, 1 << 20).build();
    let last = tree.blobs().last().unwrap().descriptor.digest.clone();
    let changes = [
        |path: &Path| fs::write(path, b"shorter").unwrap(),
        |path: &Path| {
            let length = fs::metadata(path).unwrap().len();
            fs::write(path, vec![7; usize::try_from(length).unwrap()]).unwrap();
        },
        |path: &Path| fs::remove_file(path).unwrap(),
    ];
    for (change, code, advice) in [
        (changes[0], DIGEST, "longshore verify"),
        (changes[1], DIGEST, "longshore verify"),
        (changes[2], NOT_FOUND, "--all-platforms"),
    ] {
        let gate = Gate::new();
        let held = Misbehaviour::Hold(gate.clone());
        let registry = empty();
        registry.misbehave(Rule::on(Part::Upload, held).method(Method::POST));
        let place = tempdir().unwrap();
        let layout = layout_of(&tree, place.path());
        let to = format!("{}/a", registry.authority());
        let push = ["push", &format!("{layout}:v1"), &to, "--jobs", "1"];
        let mut push = Longshore::new(push).start();
        push.wait_until(|| gate.is_reached().then_some(()));
        change(&layout::blob(Path::new(&layout), &last));
        gate.open();
        let ended = push.end();
        let source = format!("cannot read oci:{layout}:v1");
        ended.failed_with_hint(code, &[&source, last.as_str(), advice]);
        assert_eq!(current(&format!("{to}:v1")), None);
    }
}

// OU1: text of a peer cannot control a terminal, and a path of the user's cannot either.
#[test]
fn ou1_a_path_with_control_characters_is_escaped() {
    let tree = image::single(66);
    let registry = serving(&tree);
    let from = format!("{}/a:1", registry.authority());
    let place = tempdir().unwrap();
    let layout = format!("oci:{}/x\u{1b}[31m:1", place.path().display());
    for command in [
        &["copy", &from, &layout][..],
        &["copy", "--dry-run", &from, &layout],
        &["copy", &layout, &format!("{}/b", registry.authority())],
        &["copy", &layout, &layout],
        &["pull", &from, layout.trim_end_matches(":1")],
    ] {
        let ended = run(command);
        let shown = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        assert!(shown.contains(r"x\u{1b}[31m"), "{shown}");
    }
}

// A directory with an image layout was more likely meant than an image of Docker Hub.
#[test]
fn the_name_of_an_image_layout_is_not_asked_of_a_registry() {
    let tree = image::single(70);
    let place = tempdir().unwrap();
    layout_of(&tree, place.path());
    let script = format!("cd '{}' && exec \"$@\"", place.path().display());
    let registry = serving(&tree);
    let from = format!("{}/a:1", registry.authority());
    for (command, hint) in [
        (["copy", "images:1.0", &from], "write oci:images:1.0 for"),
        (["copy", &from, "images"], "write oci:images for"),
    ] {
        let ended = Longshore::new(command).under(&script).run();
        ended.failed_with_hint(
            USAGE,
            &["may be the image layout images", hint, "docker://"],
        );
    }
    for command in [
        &["inspect", "oci:images:1.0"][..],
        &["digest", "oci:images:1.0"],
        &["tags", "oci:images"],
        &["pull", "oci:images:1.0", "new"],
    ] {
        let words = [
            "names an image layout",
            "longshore verify images",
            "longshore copy oci:",
        ];
        run(command).failed_with_hint(USAGE, &words);
    }
    assert_eq!(registry.requests().all().len(), 0);
}

// Without the name of the destination, its failure reads as one of the source.
#[test]
fn the_only_destination_is_named_when_it_refuses() {
    let tree = image::single(71);
    let registry = empty();
    registry.misbehave(Rule::on(
        Part::Manifest,
        Misbehaviour::Status(StatusCode::FORBIDDEN),
    ));
    let place = tempdir().unwrap();
    let source = format!("{}:v1", layout_of(&tree, place.path()));
    let to = format!("{}/app:1.0", registry.authority());
    let ended = run(&["push", &source, &to]);
    ended.failed_with_hint(AUTH, &[&format!("error: cannot copy to {to}\n")]);
}

#[test]
fn a_sparse_index_is_a_warning_before_it_is_sent() {
    let platforms = ["linux/amd64", "linux/arm64"].map(|it| it.parse().unwrap());
    let tree = image::index(72, &platforms);
    let registry = empty();
    let place = tempdir().unwrap();
    let source = format!("{}:v1", layout_of(&tree, place.path()));
    let to = format!("{}/a:1", registry.authority());
    let push = [
        "push",
        &source,
        &to,
        "--platform",
        "linux/amd64",
        "--sparse",
    ];
    let ended = run(&push);
    let begin = "warning: manifests that the index lists are absent from the destination (1)";
    assert!(ended.stderr.starts_with(begin), "{}", ended.stderr);
}
