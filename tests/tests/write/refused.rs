//! Registries that refuse writes, with the messages of known registries: each case has an exit code
//! and fitting advice.

use super::*;

/// Puts the manifest of an image under a tag in a registry that sends this answer.
fn refused(answer: Misbehaviour) -> Ended {
    let tree = image::single(40);
    let registry = serving(&tree);
    registry.misbehave(Rule::on(Part::Manifest, answer).method(Method::PUT));
    run(&["tag", &format!("{}/a:1", registry.authority()), "v2"])
}

#[test]
fn an_immutable_tag_is_named() {
    for (status, code, message) in [
        (
            StatusCode::BAD_REQUEST,
            "TAG_INVALID",
            "The image tag 'v2' already exists in the 'a' repository and cannot be overwritten \
             because the repository is immutable.",
        ),
        (
            StatusCode::PRECONDITION_FAILED,
            "PRECONDITION",
            "Failed to process request due to 'a:v2' configured as immutable.",
        ),
    ] {
        let ended = refused(refusing(status, code, message));
        let words = ["push manifest v2 of a", message, "the tag v2 is immutable"];
        ended.failed_with_hint(AUTH, &words);
    }
}

#[test]
fn a_quota_is_used_up() {
    for (status, message) in [
        (
            StatusCode::FORBIDDEN,
            "adding 10.0 MiB of storage resource, which when updated to current usage of 1.0 MiB \
             will exceed the configured upper limit of 5.0 MiB.",
        ),
        (StatusCode::INSUFFICIENT_STORAGE, "no room"),
        (
            StatusCode::BAD_REQUEST,
            "Quota has been exceeded on namespace",
        ),
    ] {
        let ended = refused(refusing(status, "DENIED", message));
        ended.failed_with_hint(DISK, &["push manifest v2 of a", message, "is used up"]);
    }
}

#[test]
fn a_registry_is_read_only() {
    let message = "The system is in read only mode. Any modification is prohibited.";
    let ended = refused(refusing(StatusCode::FORBIDDEN, "DENIED", message));
    ended.failed_with_hint(
        DISK,
        &["push manifest v2 of a", message, "is read-only for now"],
    );
    let ended = refused(Misbehaviour::Status(StatusCode::METHOD_NOT_ALLOWED));
    ended.failed_with_hint(
        UNSUPPORTED,
        &["push manifest v2 of a", "405", "is read-only for now"],
    );
}

#[test]
fn a_repository_must_exist_first() {
    let message = "The repository with name 'a' does not exist in the registry with id '1'";
    let ended = refused(refusing(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message));
    ended.failed_with_hint(
        NOT_FOUND,
        &[
            "push manifest v2 of a",
            message,
            "create the repository first",
        ],
    );
}

#[test]
fn a_manifest_is_refused() {
    let answer = refusing(
        StatusCode::BAD_REQUEST,
        "MANIFEST_INVALID",
        "manifest invalid",
    );
    let words = [
        "push manifest v2 of a",
        "MANIFEST_INVALID",
        "this kind of manifest",
    ];
    refused(answer).failed_with_hint(UNSUPPORTED, &words);
    for status in [StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST] {
        let answer = refusing(status, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry");
        let words = [
            "push manifest v2 of a",
            "MANIFEST_BLOB_UNKNOWN",
            "longshore copy",
        ];
        refused(answer).failed_with_hint(NOT_FOUND, &words);
    }
}

#[test]
fn a_rate_limit_says_when_to_try_again() {
    let limited = Misbehaviour::RetryAfter(StatusCode::TOO_MANY_REQUESTS, "3600".to_owned());
    let words = [
        "push manifest v2 of a",
        "too many requests",
        "try again in 60 minutes",
        "--wait-for-quota",
    ];
    refused(limited).failed_with_hint(RATE_LIMITED, &words);
    // RT3: for years nobody waits.
    let registry = serving(&image::single(61));
    let limited = Misbehaviour::RetryAfter(StatusCode::TOO_MANY_REQUESTS, "630000000".to_owned());
    registry.misbehave(Rule::on(Part::Manifest, limited));
    let tag = format!("{}/a:1", registry.authority());
    let words = ["try again in 7292 days", "waits at most 24 hours"];
    run(&["delete", &tag, "--wait-for-quota"]).failed_with_hint(RATE_LIMITED, &words);
}

#[test]
fn a_mount_that_is_refused_is_noted_and_the_blob_is_sent() {
    let tree = image::single(41);
    let registry = serving(&tree);
    let answer = refusing(StatusCode::BAD_REQUEST, "UNSUPPORTED", "no mounts here");
    registry.misbehave(Rule::on(Part::Upload, answer).path("/v2/b/").times(1));
    let (from, to) = (
        format!("{}/a:1", registry.authority()),
        format!("{}/b", registry.authority()),
    );
    let ended = run(&["copy", &from, &to, "--jobs", "1"]);
    assert_eq!(ended.succeeded(), tree.digest().as_str());
    let words = "refuses to mount blobs of a in b (status 400), so they are sent";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
}

#[test]
fn a_request_that_is_too_large_and_a_session_that_moved_say_what_to_do() {
    let place = tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "content").unwrap();
    let file = file.to_str().unwrap();
    let (large, moved) = (
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::RANGE_NOT_SATISFIABLE,
    );
    for (status, command, words) in [
        (large, "blob", ["413", "--chunk-size"]),
        (
            large,
            "manifest",
            ["413", "have its operator raise that limit"],
        ),
        (moved, "blob", ["416", "may have used the same upload"]),
    ] {
        let registry = serving(&image::single(62));
        registry.misbehave(Rule::always(Misbehaviour::Status(status)).method(Method::PUT));
        let name = format!("{}/a", registry.authority());
        let mut put = vec![command, "put", &name, file];
        let manifest = place.path().join("manifest");
        fs::write(&manifest, image::single(62).document()).unwrap();
        if command == "manifest" {
            put[3] = manifest.to_str().unwrap();
        }
        run(&put).failed_with_hint(PROTOCOL, &words);
    }
}

// DG2: a registry that answers for other content than it was asked for is not believed.
#[test]
fn dg2_a_head_that_names_another_digest_says_what_was_asked_and_what_was_named() {
    let tree = image::single(63);
    let registry = serving(&tree);
    let other = Digest::sha256(b"other");
    registry.misbehave(Rule::on(
        Part::Blob,
        Misbehaviour::DigestHeader(other.clone()),
    ));
    let digest = &tree.blobs()[0].descriptor.digest;
    let blob = format!("{}/a@{digest}", registry.authority());
    let words = [
        &*format!("asked for {digest}, the registry names {other}"),
        "nothing was read",
    ];
    run(&["blob", "head", &blob]).failed_with_hint(DIGEST, &words);
}

// CR11: a failing credential helper is an error for writes, the same for each command.
#[test]
fn cr11_a_failing_helper_is_named_once_by_each_command_that_writes() {
    let tree = image::single(60);
    let registry = Registry::builder().image("a", "1", &tree).writable();
    let registry = registry.basic("me", "secret").start().unwrap();
    let place = tempdir().unwrap();
    image::write_layout(&place.path().join("layout"), &[("1", &tree)]).unwrap();
    let source = format!("{}:1", place.path().join("layout").display());
    let file = place.path().join("manifest.json");
    fs::write(&file, tree.document()).unwrap();
    let (tag, file) = (
        format!("{}/a:1", registry.authority()),
        file.to_str().unwrap(),
    );
    let name = tag.trim_end_matches(":1");
    let blob = format!("{name}@{}", tree.blobs()[0].descriptor.digest);
    let config = json!({ "credsStore": "absent" }).to_string();
    let why = "docker-credential-absent is not installed";
    for arguments in [
        &["blob", "put", name, file][..],
        &["blob", "delete", &blob],
        &["delete", &tag],
        &["manifest", "put", &tag, file],
        &["push", &source, &tag],
        &["copy", &tag, &format!("{name}:2")],
        &["tag", &tag, "2"],
    ] {
        let ended = Longshore::new(arguments).docker_config(&config).run();
        ended.failed_with_hint(AUTH, &[why, "repair the credential helper"]);
        assert_eq!(ended.stderr.matches(why).count(), 1, "{}", ended.stderr);
    }
}
