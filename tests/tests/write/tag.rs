//! `tag`.

use super::*;

#[test]
fn further_tags_cost_one_read_and_one_write_each() {
    let tree = image::twenty_platforms(1);
    let registry = serving(&tree);
    let name = format!("{}/a", registry.authority());
    let reference = format!("{name}:1");
    let digest = tree.digest().as_str();
    let ended = run(&["tag", &reference, "2", &format!("{name}:3")]);
    assert_eq!(ended.succeeded(), digest);
    let expected = format!("tagged {name}:2\ntagged {name}:3\n");
    assert_eq!(ended.stderr, expected);
    let sent = registry.requests_to(Part::Manifest);
    let lines: Vec<_> = sent
        .iter()
        .map(|it| format!("{} {}", it.method, it.path()))
        .collect();
    let expected = [
        "GET /v2/a/manifests/1",
        "PUT /v2/a/manifests/2",
        "PUT /v2/a/manifests/3",
    ];
    assert_eq!(lines, expected);
    // DG4: the digest is over the exact bytes.
    assert_eq!(sent[1].body, tree.document());
    for tag in ["2", "3"] {
        assert_eq!(current(&format!("{name}:{tag}")).as_deref(), Some(digest));
    }
}

#[test]
fn docker_registry_has_the_image_under_each_tag() {
    let Some(registry) = DockerRegistry::builder().bearer().tls().start() else {
        return;
    };
    let tree = image::single(2);
    let Some(reference) = registry.push(&tree, "some/app:1.0") else {
        return;
    };
    let name = reference.trim_end_matches(":1.0");
    let by_digest = format!("{name}@{}", tree.digest());
    let tagging = Longshore::new(["tag", &by_digest, "1", "latest", "--output", "json"]);
    let shown = registry.admit(tagging).run().json();
    assert_eq!(shown["digest"], tree.digest().as_str());
    assert_eq!(shown["size"], tree.document().len());
    for tag in ["1", "latest"] {
        let digest = Longshore::new(["digest", &format!("{name}:{tag}")]);
        assert_eq!(
            registry.admit(digest).run().succeeded(),
            tree.digest().as_str()
        );
    }
}

#[test]
fn a_dry_run_says_which_tags_would_move() {
    let (tree, other) = (image::single(3), image::single(4));
    let registry = serving(&tree);
    registry.contents().add("a", "old", &other);
    let name = format!("{}/a", registry.authority());
    let ended = run(&["tag", "--dry-run", &format!("{name}:1"), "1", "old", "new"]);
    assert_eq!(ended.succeeded(), tree.digest().as_str());
    let expected = format!(
        "{name}:1 stands for this digest already\n\
         would move {name}:old, which stands for {}\n\
         would add {name}:new\n",
        other.digest()
    );
    assert_eq!(ended.stderr, expected);
    assert_eq!(changes(&registry), [""; 0]);
}

#[test]
fn each_tag_is_tried_even_if_another_is_refused() {
    let tree = image::single(5);
    let registry = serving(&tree);
    let name = format!("{}/a", registry.authority());
    let denied = Misbehaviour::Status(StatusCode::FORBIDDEN);
    registry.misbehave(Rule::on(Part::Manifest, denied).path("/2"));
    let command = ["tag", &format!("{name}:1"), "2", "3", "--output", "json"];
    let ended = run(&command);
    assert_eq!(ended.status.code(), Some(AUTH));
    let shown: Value = serde_json::from_str(&ended.stdout).unwrap();
    let error = shown["tags"][0]["error"].as_str().unwrap();
    assert!(error.contains("push manifest 2 of a"), "{error}");
    assert_eq!(
        shown["tags"][1],
        json!({ "tag": "3", "previous": null, "error": null })
    );
    assert_eq!(
        current(&format!("{name}:3")).as_deref(),
        Some(tree.digest().as_str())
    );
    // The text output shows the same.
    let ended = run(&["tag", &format!("{name}:1"), "2", "4"]);
    assert_eq!(ended.status.code(), Some(AUTH));
    assert_eq!(ended.stdout, format!("{}\n", tree.digest()));
    assert!(
        ended.stderr.contains("error: cannot push manifest 2"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_tag_belongs_to_the_repository_of_the_image() {
    for (tag, code, words) in [
        (
            "registry.example/b:2",
            USAGE,
            &["not a tag of registry.example/a", "longshore copy"][..],
        ),
        (
            "other.example/a:2",
            USAGE,
            &["not a tag of registry.example/a", "longshore copy"],
        ),
        ("registry.example/a", USAGE, &["does not name a new tag"]),
        ("registry.example/a@sha256:12", REFERENCE, &["digest"]),
        ("-x", USAGE, &["-x"]),
    ] {
        let ended = run(&["tag", "registry.example/a:1", tag]);
        assert_eq!(ended.status.code(), Some(code), "{}", ended.stderr);
        for word in words {
            assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
        }
    }
}

#[test]
fn a_tag_that_is_given_twice_is_set_once() {
    let tree = image::single(67);
    let registry = serving(&tree);
    let name = format!("{}/a", registry.authority());
    let (one, two) = (format!("{name}:1"), format!("docker://{name}:2"));
    assert_eq!(
        run(&["tag", &one, "2", "2", &two]).succeeded(),
        tree.digest().as_str()
    );
    assert_eq!(changes(&registry), ["PUT /v2/a/manifests/2"]);
}
