use http::Response;
use longshore_model::MediaType;

use super::*;
use crate::endpoint::{Deletable, DeleteRequest, ManifestPut, UploadRequest};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn manifest(target: &str) -> Endpoint {
    let (name, target) = ("app".parse().unwrap(), target.parse().unwrap());
    Endpoint::ManifestPut(ManifestPut::new(name, target, MediaType::OCI_MANIFEST))
}

fn upload(step: UploadStep) -> Endpoint {
    Endpoint::Upload(UploadRequest::new("app".parse().unwrap(), step))
}

fn start() -> Endpoint {
    upload(UploadStep::Start {
        digest: None,
        algorithm: None,
    })
}

fn finish() -> Endpoint {
    upload(UploadStep::Finish {
        session: None,
        digest: DIGEST.parse().unwrap(),
        range: None,
    })
}

fn delete() -> Endpoint {
    let content = Deletable::Manifest("v1".parse().unwrap());
    Endpoint::Delete(DeleteRequest::new("app".parse().unwrap(), content))
}

fn refusal(status: u16, body: &str) -> Refusal {
    let head = Response::builder().status(status).body(()).unwrap();
    Refusal::read(&head.into_parts().0, body.as_bytes(), false)
}

fn of(endpoint: &Endpoint, status: u16, code: &str, message: &str) -> Option<WriteRefusal> {
    let body = match code {
        "" => message.to_owned(),
        code => format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#),
    };
    WriteRefusal::of(endpoint, &refusal(status, &body))
}

#[test]
fn a_registry_that_takes_a_tag_for_a_digest_deletes_no_tags() {
    // distribution 2.8
    let invalid = |endpoint: &Endpoint| {
        of(
            endpoint,
            400,
            "DIGEST_INVALID",
            "provided digest did not match uploaded content",
        )
    };
    assert_eq!(invalid(&delete()), Some(WriteRefusal::TagsKept));
    let digest = Deletable::Manifest(DIGEST.parse().unwrap());
    let by_digest = DeleteRequest::new("app".parse().unwrap(), digest);
    assert_eq!(invalid(&Endpoint::Delete(by_digest)), None);
    assert_eq!(invalid(&manifest("v1")), None);
}

#[test]
fn an_immutable_tag_is_recognized_in_the_words_of_each_registry() {
    for (status, code, message) in [
        // Amazon ECR
        (
            400,
            "TAG_INVALID",
            "The image tag '1' already exists in the 'app' repository and cannot be overwritten \
             because the repository is immutable.",
        ),
        // Google Artifact Registry
        (
            400,
            "MANIFEST_INVALID",
            "cannot update tag v1. The repository has enabled tag immutability",
        ),
        // Harbor
        (
            412,
            "PRECONDITION",
            "Failed to process request due to 'app:v1' configured as immutable.",
        ),
        // Nexus
        (400, "", "Repository does not allow updating assets: docker"),
        // Artifactory
        (
            403,
            "",
            "Not enough permissions to overwrite artifact 'app/v1'",
        ),
        (405, "UNSUPPORTED", "the tag is immutable"),
        // A conflict can only concern the tag.
        (409, "", ""),
    ] {
        let found = of(&manifest("v1"), status, code, message);
        assert_eq!(found, Some(WriteRefusal::ImmutableTag), "{message}");
    }
    let found = of(
        &delete(),
        412,
        "PRECONDITION",
        "configured as immutable, cannot be deleted",
    );
    assert_eq!(found, Some(WriteRefusal::ImmutableTag));
    // This request sets no tag.
    assert_eq!(of(&manifest(DIGEST), 409, "", "immutable"), None);
    let Endpoint::ManifestPut(put) = manifest(DIGEST) else {
        unreachable!()
    };
    let tagged = Endpoint::ManifestPut(put.with_tags(["v1".parse().unwrap()]));
    assert_eq!(of(&tagged, 409, "", ""), Some(WriteRefusal::ImmutableTag));
}

#[test]
fn a_repository_that_must_exist_first_is_recognized() {
    let message = "The repository with name 'app' does not exist in the registry with id '1'";
    for endpoint in [start(), finish(), manifest("v1")] {
        let found = of(&endpoint, 404, "NAME_UNKNOWN", message);
        assert_eq!(found, Some(WriteRefusal::RepositoryMissing));
    }
    // Harbor
    let found = of(&start(), 404, "NOT_FOUND", "project app not found");
    assert_eq!(found, Some(WriteRefusal::RepositoryMissing));
    // A session or a manifest that does not exist.
    assert_eq!(of(&finish(), 404, "BLOB_UPLOAD_UNKNOWN", ""), None);
    assert_eq!(of(&delete(), 404, "NAME_UNKNOWN", ""), None);
}

#[test]
fn a_quota_is_recognized() {
    for (status, code, message) in [
        (
            403,
            "DENIED",
            "adding 1.0 MiB of storage resource, which when updated to current usage of 9.0 MiB \
             will exceed the configured upper limit of 9.0 MiB.",
        ),
        (403, "DENIED", "Quota has been exceeded on namespace"),
        (
            403,
            "DENIED",
            "Your action has been rejected because the namespace storage limit has been reached.",
        ),
        (412, "", "quota exceeded"),
        (
            500,
            "UNKNOWN",
            "write /var/lib/registry/x: no space left on device",
        ),
        (507, "", ""),
    ] {
        for endpoint in [start(), finish(), manifest("v1")] {
            let found = of(&endpoint, status, code, message);
            assert_eq!(found, Some(WriteRefusal::Quota), "{message}");
        }
    }
}

#[test]
fn a_read_only_registry_is_recognized() {
    for (status, code, message) in [
        (
            403,
            "DENIED",
            "The system is in read only mode. Any modification is prohibited.",
        ),
        (
            503,
            "",
            "System is currently read-only. Pulls will succeed but all write operations are \
             currently suspended.",
        ),
        (
            405,
            "METHOD NOT ALLOWED",
            "Pushes to the registry are currently disabled.",
        ),
        (405, "UNSUPPORTED", "The operation is unsupported."),
        (501, "", ""),
    ] {
        for endpoint in [start(), finish(), manifest("v1")] {
            let found = of(&endpoint, status, code, message);
            assert_eq!(found, Some(WriteRefusal::ReadOnly), "{message}");
        }
    }
    // A registry that does not delete may still accept pushes.
    assert_eq!(of(&delete(), 405, "UNSUPPORTED", ""), None);
}

#[test]
fn a_refused_manifest_has_the_detail_and_the_digests_of_the_answer() {
    let empty = DIGEST.parse().unwrap();
    let other = Digest::sha256(b"other");
    let read = |status, body: &str| {
        let refusal = refusal(status, body);
        WriteRefusal::of(&manifest("v1"), &refusal)
    };
    let detail = format!(r#"{{"digest":"{DIGEST}"}}"#);
    let unknown = format!(
        r#"{{"errors":[
            {{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown","detail":{detail}}},
            {{"code":"MANIFEST_BLOB_UNKNOWN","message":"unknown blob {other}","detail":"{DIGEST}"}}
        ]}}"#
    );
    for status in [400, 404] {
        let digests = vec![Digest::clone(&empty), other.clone()];
        let expected = WriteRefusal::BlobUnknown { digests };
        assert_eq!(read(status, &unknown).as_ref(), Some(&expected));
        let text = format!(
            "the repository does not have all content that the manifest names: {DIGEST}, {other}"
        );
        assert_eq!(expected.to_string(), text);
    }
    for (detail, kept, shown) in [
        (
            r#""bad \u001b[2J""#,
            Some(r#""bad \u001b[2J""#),
            r#": "bad \u001b[2J""#,
        ),
        ("{}", None, ""),
        ("null", None, ""),
    ] {
        let body = format!(r#"{{"errors":[{{"code":"MANIFEST_INVALID","detail":{detail}}}]}}"#);
        let found = read(400, &body).unwrap();
        let detail = kept.map(str::to_owned);
        assert_eq!(found, WriteRefusal::ManifestInvalid { detail });
        let text = format!("the registry does not accept the manifest{shown}");
        assert_eq!(found.to_string(), text);
    }
}

#[test]
fn other_refusals_give_no_reason() {
    for (status, code, message) in [
        (401, "DENIED", "quota exceeded"),
        (403, "DENIED", "requested access to the resource is denied"),
        (
            403,
            "DENIED",
            "you have exceeded a secondary rate limit, this is not a quota",
        ),
        (429, "TOOMANYREQUESTS", "quota exceeded"),
        (500, "", "read error"),
        (400, "DIGEST_INVALID", ""),
        (307, "", "read-only"),
    ] {
        assert_eq!(
            of(&manifest("v1"), status, code, message),
            None,
            "{message}"
        );
    }
    assert_eq!(of(&Endpoint::Ping, 405, "", "read-only"), None);
    let cancel = upload(UploadStep::Cancel { session: None });
    assert_eq!(of(&cancel, 405, "", "read-only"), None);
}
