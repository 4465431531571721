//! `delete` and `blob delete`.

use super::*;

#[test]
fn a_tag_is_deleted_and_its_manifest_stays() {
    let tree = image::single(10);
    let registry = serving(&tree);
    registry.contents().add("a", "2", &tree);
    let name = format!("{}/a", registry.authority());
    let (one, two) = (format!("{name}:1"), format!("{name}:2"));
    let ended = run(&["delete", &one]);
    assert_eq!((ended.succeeded(), &*ended.stderr), (&*one, ""));
    assert_eq!(current(&one), None);
    assert_eq!(current(&two).as_deref(), Some(tree.digest().as_str()));
    // Deleting the manifest deletes its tags too.
    let by_digest = format!("{name}@{}", tree.digest());
    assert_eq!(run(&["rm", &by_digest]).succeeded(), by_digest);
    assert_eq!(current(&two), None);
    let expected = [
        "DELETE /v2/a/manifests/1".to_owned(),
        format!("DELETE /v2/a/manifests/{}", tree.digest()),
    ];
    assert_eq!(changes(&registry), expected);
    run(&["delete", &two]).failed_with_hint(NOT_FOUND, &["a:2", "does not exist"]);
}

#[test]
fn a_tag_with_a_digest_is_deleted_only_if_it_stands_for_it() {
    let (tree, other) = (image::single(11), image::single(12));
    let registry = serving(&tree);
    let tag = format!("{}/a:1", registry.authority());
    let guarded = format!("{tag}@{}", other.digest());
    let words = ["was not deleted", tree.digest().as_str()];
    run(&["delete", &guarded]).failed_with_hint(DIGEST, &words);
    assert_eq!(changes(&registry), [""; 0]);
    let guarded = format!("{tag}@{}", tree.digest());
    let shown = json_of(&["delete", &guarded]);
    let result = json!({
        "reference": guarded, "digest": tree.digest(), "deleted": true, "error": null,
    });
    assert_eq!(shown, json!({ "dry_run": false, "results": [result] }));
    assert_eq!(changes(&registry), ["DELETE /v2/a/manifests/1"]);
}

#[test]
fn a_registry_that_deletes_no_tags_keeps_the_manifest_too() {
    let tree = image::single(13);
    let registry = serving(&tree);
    let name = format!("{}/a", registry.authority());
    let unsupported = Misbehaviour::Status(StatusCode::METHOD_NOT_ALLOWED);
    registry.misbehave(Rule::on(Part::Manifest, unsupported).method(Method::DELETE));
    let words = [
        &registry.authority(),
        "does not delete tags",
        "405",
        &format!("longshore delete {name}@$(longshore digest {name}:1)"),
    ];
    run(&["delete", &format!("{name}:1")]).failed_with_hint(UNSUPPORTED, &words);
    assert_eq!(changes(&registry), ["DELETE /v2/a/manifests/1"]);
    // A manifest that cannot be deleted is another kind of error.
    let by_digest = format!("{name}@{}", tree.digest());
    let words = ["405", "REGISTRY_STORAGE_DELETE_ENABLED"];
    run(&["delete", &by_digest]).failed_with_hint(UNSUPPORTED, &words);
}

// RD3: a deletion that is redirected deletes nothing but what was named.
#[test]
fn rd3_a_tag_is_not_deleted_as_the_digest_that_its_registry_redirects_to() {
    let tree = image::single(19);
    let registry = serving(&tree);
    let to_digest = Misbehaviour::Redirect(format!("/v2/a/manifests/{}", tree.digest()));
    registry.misbehave(
        Rule::on(Part::Manifest, to_digest)
            .method(Method::DELETE)
            .path("/1"),
    );
    let tag = format!("{}/a:1", registry.authority());
    let words = ["redirected to other content", "nothing was deleted"];
    run(&["delete", &tag]).failed_with_hint(PROTOCOL, &words);
    assert_eq!(changes(&registry), ["DELETE /v2/a/manifests/1"]);
}

// RT4: a lost answer leaves open whether the request was carried out.
#[test]
fn rt4_a_tag_that_is_gone_after_a_lost_answer_counts_as_deleted() {
    let registry = serving(&image::single(20));
    let lost = Misbehaviour::Status(StatusCode::BAD_GATEWAY);
    registry.misbehave(
        Rule::on(Part::Manifest, lost)
            .method(Method::DELETE)
            .times(1),
    );
    let absent = format!("{}/a:2", registry.authority());
    let ended = run(&["delete", &absent]);
    assert_eq!(ended.succeeded(), absent);
    let notice = "an earlier attempt, whose answer was lost, may have deleted it";
    assert!(ended.stderr.contains(notice), "{}", ended.stderr);
    run(&["delete", &absent]).failed_with_hint(NOT_FOUND, &["does not exist"]);
}

// distribution 2.8 answers 400 where it does not delete tags.
#[test]
fn docker_registry_deletes_manifests_and_no_tags() {
    let Some(registry) = DockerRegistry::builder().basic().start() else {
        return;
    };
    let tree = image::single(14);
    let Some(reference) = registry.push(&tree, "some/app:1") else {
        return;
    };
    let delete = |reference: &str| {
        let delete = Longshore::new(["delete", reference]);
        registry.admit(delete).run()
    };
    delete(&reference).failed_with_hint(UNSUPPORTED, &["does not delete tags", "longshore digest"]);
    let digest = registry.admit(Longshore::new(["digest", &reference])).run();
    assert_eq!(digest.succeeded(), tree.digest().as_str());
    let by_digest = format!("{}@{}", reference.trim_end_matches(":1"), tree.digest());
    assert_eq!(delete(&by_digest).succeeded(), by_digest);
    delete(&by_digest).failed_with_hint(NOT_FOUND, &["does not exist"]);
    let blob = &tree.blobs()[0].descriptor.digest;
    let blob = format!("{}@{blob}", reference.trim_end_matches(":1"));
    let delete_blob = Longshore::new(["blob", "delete", &blob]);
    assert_eq!(registry.admit(delete_blob).run().succeeded(), blob);
    let head = Longshore::new(["blob", "head", &blob]);
    assert_eq!(registry.admit(head).run().status.code(), Some(NOT_FOUND));
}

#[test]
fn each_reference_is_tried_and_the_highest_exit_code_counts() {
    let tree = image::single(15);
    let registry = serving(&tree);
    let name = format!("{}/a", registry.authority());
    let denied = Misbehaviour::Status(StatusCode::FORBIDDEN);
    registry.misbehave(Rule::on(Part::Manifest, denied).path("/denied"));
    let absent = format!("{name}:absent");
    let (denied, there) = (format!("{name}:denied"), format!("{name}:1"));
    let ended = run(&["delete", &denied, &absent, &there]);
    assert_eq!(ended.status.code(), Some(AUTH), "{}", ended.stderr);
    assert_eq!(ended.stdout, format!("{there}\n"));
    let begins = |line: &&str| line.starts_with("error: ");
    assert_eq!(
        ended.stderr.lines().filter(begins).count(),
        2,
        "{}",
        ended.stderr
    );
    let ended = run(&["delete", &denied, &absent, "--output", "json"]);
    assert_eq!(ended.status.code(), Some(AUTH));
    let shown: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(shown["results"][1]["deleted"], false);
    assert_eq!(
        shown["results"][1]["error"],
        format!("{absent} does not exist")
    );
}

#[test]
fn a_dry_run_deletes_nothing() {
    let tree = image::single(16);
    let registry = serving(&tree);
    let name = format!("{}/a", registry.authority());
    let (tag, by_digest) = (format!("{name}:1"), format!("{name}@{}", tree.digest()));
    let ended = run(&["delete", "--dry-run", &tag, &by_digest]);
    assert_eq!(ended.succeeded(), format!("{tag}\n{by_digest}"));
    assert_eq!(ended.stderr, "nothing was deleted, because of --dry-run\n");
    let shown = json_of(&["delete", "--dry-run", &tag]);
    let result = json!({
        "reference": tag, "digest": tree.digest(), "deleted": false, "error": null,
    });
    assert_eq!(shown, json!({ "dry_run": true, "results": [result] }));
    let absent = format!("{name}:2");
    run(&["delete", "--dry-run", &absent]);
    let blob = format!("{name}@{}", tree.blobs()[0].descriptor.digest);
    assert_eq!(run(&["blob", "rm", "--dry-run", &blob]).succeeded(), blob);
    let absent = format!("{name}@{}", Digest::sha256(b"absent"));
    for command in [&["delete"][..], &["blob", "delete"]] {
        let ended = run(&[command, &["--dry-run", &absent]].concat());
        assert_eq!(ended.status.code(), Some(NOT_FOUND), "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
    assert_eq!(changes(&registry), [""; 0]);
}

#[test]
fn nothing_is_deleted_that_was_not_named() {
    let registry = serving(&image::single(17));
    let there = format!("{}/a:1", registry.authority());
    for (command, reference, code, words) in [
        // The tag `latest` is not assumed.
        (
            &["delete"][..],
            "registry.example/a",
            USAGE,
            &["which tag or digest"][..],
        ),
        (
            &["delete"],
            "registry.example/A:1",
            REFERENCE,
            &["upper-case"],
        ),
        (
            &["blob", "delete"],
            "registry.example/a:1",
            REFERENCE,
            &["no digest"],
        ),
    ] {
        // Nothing is sent if one of them is malformed.
        let named = if command.len() == 1 {
            &there
        } else {
            reference
        };
        let ended = run(&[command, &[named, reference]].concat());
        ended.failed_with_hint(code, words);
    }
    assert_eq!(changes(&registry), [""; 0]);
}

// CR1: a secret belongs to one origin.
#[test]
fn cr1_a_user_name_is_for_one_registry() {
    let registry = serving(&image::single(18));
    let references = [
        format!("{}/a:1", registry.authority()),
        "b.example/a:1".to_owned(),
    ];
    let delete = Longshore::new(["delete"])
        .args(references)
        .login("me", "secret");
    let said = delete.run();
    said.failed_with_hint(USAGE, &["--username is for one registry", "config.json"]);
    assert_eq!(registry.requests().all().len(), 0);
}
