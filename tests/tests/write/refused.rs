//! Registries that refuse to be written to, in the words of known ones: each has an exit code, and
//! advice that fits.

use super::*;

/// Puts the manifest of an image under a tag, in a registry that answers so.
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
        ended.failed_with_hint(
            DISK,
            &["push manifest v2 of a", message, "quota is used up"],
        );
    }
}

#[test]
fn a_registry_is_read_only() {
    let message = "The system is in read only mode. Any modification is prohibited.";
    let ended = refused(refusing(StatusCode::FORBIDDEN, "DENIED", message));
    ended.failed_with_hint(
        DISK,
        &["push manifest v2 of a", message, "is read-only now"],
    );
    let ended = refused(Misbehaviour::Status(StatusCode::METHOD_NOT_ALLOWED));
    ended.failed_with_hint(
        UNSUPPORTED,
        &["push manifest v2 of a", "405", "may be read-only"],
    );
}

#[test]
fn a_repository_must_exist_first() {
    let message = "The repository with name 'a' does not exist in the registry with id '1'";
    let ended = refused(refusing(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message));
    ended.failed_with_hint(
        NOT_FOUND,
        &["push manifest v2 of a", message, "create it first"],
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
