use longshore_model::{Digest, MediaType};

use crate::image;
use crate::registry::{Part, Registry};
use crate::testing::{Reply, get, request, send};

fn registry() -> Registry {
    Registry::builder().writable().start().unwrap()
}

/// Opens a session; returns its URL.
fn open(registry: &Registry, query: &str) -> String {
    let url = format!("{}/v2/app/blobs/uploads/{query}", registry.url());
    let reply = request("POST", &url, &[]);
    assert_eq!(reply.status, 202);
    assert_eq!(reply.header("range"), Some("0-0"));
    session(registry, &reply)
}

fn session(registry: &Registry, reply: &Reply) -> String {
    format!("{}{}", registry.url(), reply.header("location").unwrap())
}

fn blob(registry: &Registry, content: &str) -> String {
    let digest = Digest::sha256(content.as_bytes());
    let reply = get(&format!("{}/v2/app/blobs/{digest}", registry.url()));
    format!("{} {}", reply.status, reply.body)
}

#[test]
fn a_blob_arrives_in_one_request_or_in_parts() {
    let registry = registry();
    let digest = Digest::sha256(b"whole");
    let url = format!("{}/v2/app/blobs/uploads/?digest={digest}", registry.url());
    let reply = send("POST", &url, &[], "whole");
    assert_eq!(reply.status, 201);
    assert_eq!(reply.header("docker-content-digest"), Some(digest.as_str()));
    assert_eq!(blob(&registry, "whole"), "200 whole");

    let at = open(&registry, "");
    let first = send("PATCH", &at, &[("content-range", "0-2")], "abc");
    assert_eq!((first.status, first.header("range")), (202, Some("0-2")));
    let gap = send("PATCH", &at, &[("content-range", "4-5")], "ef");
    assert_eq!((gap.status, gap.header("range")), (416, Some("0-2")));
    let state = get(&at);
    assert_eq!((state.status, state.header("range")), (204, Some("0-2")));
    let last = Digest::sha256(b"abcd");
    let done = send("PUT", &format!("{at}?digest={last}"), &[], "d");
    assert_eq!(done.status, 201);
    assert_eq!(blob(&registry, "abcd"), "200 abcd");
    assert_eq!(get(&at).status, 404);
    assert_eq!(registry.requests_to(Part::Upload).len(), 7);
}

#[test]
fn a_blob_with_another_digest_is_refused() {
    let registry = registry();
    let at = open(&registry, "");
    let digest = Digest::sha256(b"right");
    let reply = send("PUT", &format!("{at}?digest={digest}"), &[], "wrong");
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["errors"][0]["code"], "DIGEST_INVALID");
    assert!(blob(&registry, "right").starts_with("404"));
}

#[test]
fn a_session_ends_when_it_is_cancelled_or_forgotten() {
    let registry = registry();
    let at = open(&registry, "");
    assert_eq!(request("DELETE", &at, &[]).status, 204);
    assert_eq!(get(&at).status, 404);
    let at = open(&registry, "");
    registry.forget_uploads();
    assert_eq!(send("PATCH", &at, &[], "x").status, 404);
}

#[test]
fn a_mount_takes_what_another_repository_has() {
    let registry = registry();
    let digest = Digest::sha256(b"shared");
    registry.contents().set_blob("base", &digest, "shared");
    let mount = format!("?mount={digest}&from=base");
    let url = format!("{}/v2/app/blobs/uploads/{mount}", registry.url());
    assert_eq!(request("POST", &url, &[]).status, 201);
    assert_eq!(blob(&registry, "shared"), "200 shared");
    open(&registry, &format!("?mount={digest}&from=other"));
}

#[test]
fn a_manifest_is_stored_once_its_blobs_are_there() {
    let tree = image::single(1);
    let registry = registry();
    let put = |target: &str| {
        let url = format!("{}/v2/app/manifests/{target}", registry.url());
        let headers = [("content-type", MediaType::OCI_MANIFEST.as_str())];
        let document = String::from_utf8(tree.document().to_vec()).unwrap();
        send("PUT", &url, &headers, &document)
    };
    let early = put("1");
    assert_eq!(early.status, 404);
    assert_eq!(early.json()["errors"][0]["code"], "MANIFEST_BLOB_UNKNOWN");
    for blob in tree.blobs() {
        let digest = &blob.descriptor.digest;
        registry
            .contents()
            .set_blob("app", digest, blob.content.clone());
    }
    let stored = put("1");
    assert_eq!(stored.status, 201);
    let digest = tree.digest().as_str();
    assert_eq!(stored.header("docker-content-digest"), Some(digest));
    let by_tag = get(&format!("{}/v2/app/manifests/1", registry.url()));
    assert_eq!(by_tag.body.as_bytes(), tree.document());
    let other = Digest::sha256(b"other");
    assert_eq!(put(other.as_str()).status, 400);
}

#[test]
fn a_tag_is_deleted_without_its_manifest() {
    let tree = image::single(1);
    let registry = Registry::builder()
        .image("app", "1", &tree)
        .image("app", "2", &tree)
        .writable()
        .start()
        .unwrap();
    let url = |target: &str| format!("{}/v2/app/manifests/{target}", registry.url());
    let digest = tree.digest().as_str();
    assert_eq!(request("DELETE", &url("1"), &[]).status, 202);
    assert_eq!(request("DELETE", &url("1"), &[]).status, 404);
    assert_eq!(get(&url("2")).status, 200);
    assert_eq!(request("DELETE", &url(digest), &[]).status, 202);
    assert_eq!(get(&url("2")).status, 404);
    let layer = &tree.blobs()[1].descriptor.digest;
    let url = format!("{}/v2/app/blobs/{layer}", registry.url());
    assert_eq!(request("DELETE", &url, &[]).status, 202);
    assert_eq!(get(&url).status, 404);
}

#[test]
fn a_registry_is_read_only_unless_it_is_said_to_be_writable() {
    let registry = Registry::builder().start().unwrap();
    let url = format!("{}/v2/app/blobs/uploads/", registry.url());
    assert_eq!(request("POST", &url, &[]).status, 405);
}
