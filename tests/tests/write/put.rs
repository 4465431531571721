//! `blob put` and `manifest put`.

use super::*;

/// skopeo reads an image that was put piece by piece.
#[test]
fn an_image_is_put_into_docker_registry_piece_by_piece() {
    let Some(registry) = DockerRegistry::builder().bearer().start() else {
        return;
    };
    let Some(skopeo) = registry.skopeo() else {
        return;
    };
    let tree = Image::new(20).layers(2, 300_000).gzip().build();
    let place = tempdir().unwrap();
    let name = format!("{}/some/app", registry.authority());
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    for (number, blob) in tree.all_blobs().iter().enumerate() {
        let file = path(&number.to_string());
        fs::write(&file, blob.content.bytes()).unwrap();
        let digest = blob.descriptor.digest.as_str();
        let put = Longshore::new(["blob", "put", &name, &file]);
        // Once with a digest, once in chunks, and otherwise with neither.
        let put = match number {
            0 => put,
            1 => put.args(["--digest", digest]),
            _ => put.args(["--chunk-size", "100KiB"]),
        };
        assert_eq!(registry.admit(put).run().succeeded(), digest);
    }
    let file = path("manifest.json");
    fs::write(&file, tree.document()).unwrap();
    let reference = format!("{name}:1");
    let put = Longshore::new(["manifest", "put", &reference, &file]);
    assert_eq!(
        registry.admit(put).run().succeeded(),
        tree.digest().as_str()
    );
    let layout = place.path().join("layout");
    skopeo.pull_layout(&reference, &layout, "1");
    let source = format!("oci:{}:1", layout.display());
    assert_eq!(skopeo.raw_manifest(&source), tree.document());
}

#[test]
fn a_blob_comes_from_a_file_or_standard_input() {
    let registry = serving(&image::single(21));
    let name = format!("{}/a", registry.authority());
    let place = tempdir().unwrap();
    let file = place.path().join("content");
    fs::write(&file, "content").unwrap();
    let digest = Digest::sha256(b"content");
    for script in [
        r#"printf content | "$@""#.to_owned(),
        format!(r#"exec "$@" < {}"#, file.display()),
        // Input that was read before is not part of the content.
        format!("(read -r line; exec \"$@\") < {}", with_line(place.path())),
    ] {
        let put = Longshore::new(["blob", "put", &name, "-", "-o", "json"]);
        let shown = put.under(&script).run().json();
        let expected = json!({
            "repository": name, "digest": digest, "size": 7, "outcome": "sent", "dry_run": false,
        });
        assert_eq!(shown, expected, "{script}");
    }
    let ended = run(&["blob", "get", &format!("{name}@{digest}")]);
    assert_eq!(ended.succeeded(), "content");
}

/// A file whose first line is not part of the content.
fn with_line(place: &Path) -> String {
    let file = place.join("with line");
    // `read` reads single bytes if it cannot seek, and otherwise seeks back.
    fs::write(&file, "line\ncontent").unwrap();
    format!("'{}'", file.display())
}

#[test]
fn a_blob_that_the_registry_has_is_not_sent_again() {
    let tree = image::single(22);
    let registry = serving(&tree);
    let name = format!("{}/a", registry.authority());
    let place = tempdir().unwrap();
    let blob = &tree.blobs()[0];
    let (file, digest) = (place.path().join("blob"), &blob.descriptor.digest);
    fs::write(&file, blob.content.bytes()).unwrap();
    let file = file.to_str().unwrap();
    let by_digest = format!("{name}@{digest}");
    let shown = json_of(&["blob", "push", &by_digest, file]);
    let expected = json!({
        "repository": name, "digest": digest, "size": blob.descriptor.size,
        "outcome": "existing", "dry_run": false,
    });
    assert_eq!(shown, expected);
    let ended = run(&["blob", "put", &name, file, "--dry-run"]);
    assert_eq!(ended.succeeded(), digest.as_str());
    assert_eq!(ended.stderr, format!("{name} has this blob already\n"));
    let other = place.path().join("other");
    fs::write(&other, "other").unwrap();
    let shown = json_of(&["blob", "put", &name, other.to_str().unwrap(), "--dry-run"]);
    assert_eq!(
        (&shown["outcome"], &shown["size"]),
        (&json!("absent"), &json!(5))
    );
    assert_eq!(changes(&registry), [""; 0]);
}

// DG7: nothing is stored under a digest that is not that of the content.
#[test]
fn dg7_content_of_another_digest_is_refused() {
    let registry = serving(&image::single(23));
    let name = format!("{}/a", registry.authority());
    let place = tempdir().unwrap();
    let file = place.path().join("content");
    fs::write(&file, "content").unwrap();
    let file = file.to_str().unwrap();
    let other = Digest::sha256(b"other");
    let put = ["blob", "put", &name, file, "--digest", other.as_str()];
    let found = Digest::sha256(b"content");
    run(&put).failed_with_hint(
        DIGEST,
        &[other.as_str(), found.as_str(), "nothing was stored"],
    );
    let dry = [&put[..], &["--dry-run"]].concat();
    run(&dry).failed_with_hint(DIGEST, &[other.as_str(), found.as_str()]);
    let head = run(&["blob", "head", &format!("{name}@{other}")]);
    assert_eq!(head.status.code(), Some(NOT_FOUND));
    let reference = format!("{name}:2@{other}");
    let put = ["manifest", "put", &reference, file];
    run(&put).failed_with_hint(DIGEST, &[other.as_str(), found.as_str()]);
    assert_eq!(current(&format!("{name}:2")), None);
}

#[test]
fn a_file_that_cannot_be_sent() {
    let registry = serving(&image::single(24));
    let name = format!("{}/a", registry.authority());
    let place = tempdir().unwrap();
    let directory = place.path().to_str().unwrap();
    let absent = place.path().join("absent");
    for command in ["blob", "manifest"] {
        let put = |file: &str| Longshore::new([command, "put", &name, file]);
        let ended = put(absent.to_str().unwrap()).run();
        ended.failed_with_hint(NOT_FOUND, &["cannot read", "absent", "No such file"]);
        put(directory)
            .run()
            .failed_with_hint(DISK, &[directory, "directory"]);
        // Standard input contains the password.
        let ended = put("-").login("me", "secret").run();
        ended.failed_with_hint(USAGE, &["both the password and the content"]);
    }
    let ended = run(&["blob", "put", &format!("{name}:1"), "-"]);
    ended.failed_with_hint(REFERENCE, &["has a tag"]);
    assert_eq!(
        run(&["blob", "put", &name, "-", "--chunk-size", "0"])
            .status
            .code(),
        Some(USAGE)
    );
    assert_eq!(changes(&registry), [""; 0]);
}

#[test]
fn a_pipe_whose_upload_breaks_off_is_not_read_again() {
    let registry = serving(&image::single(25));
    let name = format!("{}/a", registry.authority());
    let hang_up = |method| Rule::on(Part::Upload, Misbehaviour::HangUp).method(method);
    registry.misbehave(hang_up(Method::PATCH));
    registry.misbehave(hang_up(Method::PUT));
    // The registry says that it has received nothing.
    let nothing = ScriptedResponse::status(StatusCode::NO_CONTENT)
        .header(http::header::RANGE, "0-0".parse().unwrap())
        .header(
            http::header::LOCATION,
            "/v2/a/blobs/uploads/x".parse().unwrap(),
        );
    let nothing = Misbehaviour::Response(Box::new(nothing));
    registry.misbehave(Rule::on(Part::Upload, nothing).method(Method::GET));
    let put = Longshore::new(["blob", "put", &name, "-", "--retry-attempts", "2"]);
    let ended = put.under(r#"printf content | "$@""#).run();
    ended.failed_with_hint(
        UNAVAILABLE,
        &["of a", "cannot be read again", "to a file first"],
    );
}

#[test]
fn a_manifest_without_a_tag_is_put_by_its_digest() {
    let tree = image::single(26);
    let registry = serving(&tree);
    let name = format!("{}/a", registry.authority());
    let place = tempdir().unwrap();
    let file = place.path().join("manifest");
    fs::write(&file, tree.document()).unwrap();
    let file = file.to_str().unwrap();
    let digest = tree.digest();
    let shown = json_of(&["manifest", "put", &name, file]);
    let expected = json!({
        "reference": format!("{name}@{digest}"), "digest": digest,
        "media_type": MediaType::OCI_MANIFEST.as_str(), "size": tree.document().len(),
        "subject": null, "subject_listed": null, "previous": null, "dry_run": false,
    });
    assert_eq!(shown, expected);
    assert_eq!(
        changes(&registry),
        [format!("PUT /v2/a/manifests/{digest}")]
    );
    let sent = registry.requests_to(Part::Manifest).pop().unwrap();
    assert_eq!(
        sent.header("content-type"),
        Some(MediaType::OCI_MANIFEST.as_str())
    );
    assert_eq!(sent.body, tree.document());
    let ended = run(&["manifest", "put", &format!("{name}:1"), file, "--dry-run"]);
    let already = format!("{name}:1 stands for this digest already\n");
    assert_eq!(
        (ended.succeeded(), &*ended.stderr),
        (digest.as_str(), &*already)
    );
    assert_eq!(changes(&registry).len(), 1);
}

#[test]
fn the_subject_of_a_manifest_is_noted() {
    let tree = image::single(27);
    let registry = serving(&tree);
    let name = format!("{}/a", registry.authority());
    let signature = image::attached(28, &tree);
    for blob in signature.all_blobs() {
        let content = blob.content.clone();
        registry
            .contents()
            .set_blob("a", &blob.descriptor.digest, content);
    }
    let place = tempdir().unwrap();
    let file = place.path().join("signature");
    fs::write(&file, signature.document()).unwrap();
    let put = ["manifest", "put", &name, file.to_str().unwrap()];
    let shown = json_of(&put);
    assert_eq!(shown["subject"], tree.digest().as_str());
    assert_eq!(shown["subject_listed"], true);
    // A registry that does not support subjects sends no `OCI-Subject`.
    let silent = Misbehaviour::NoHeader("oci-subject".parse().unwrap());
    registry.misbehave(Rule::on(Part::Manifest, silent));
    assert_eq!(json_of(&put)["subject_listed"], false);
    let ended = run(&put);
    assert_eq!(ended.succeeded(), signature.digest().as_str());
    let words = format!("a referrer of {}", tree.digest());
    assert!(ended.stderr.contains(&words), "{}", ended.stderr);
}

#[test]
fn a_document_is_checked_before_it_is_sent() {
    let registry = serving(&image::single(29));
    let name = format!("{}/a:new", registry.authority());
    let place = tempdir().unwrap();
    let file = place.path().join("manifest");
    let put = |text: &str, options: &[&str]| {
        fs::write(&file, text).unwrap();
        let put = Longshore::new(["manifest", "put", &name, file.to_str().unwrap()]);
        put.args(options).run()
    };
    let image = MediaType::OCI_MANIFEST.as_str();
    let index = MediaType::OCI_INDEX.as_str();
    let stated = format!(r#"{{"schemaVersion":2,"mediaType":"{index}","manifests":[]}}"#);
    for (text, options, code, words) in [
        ("not JSON", &[][..], 1, &["is not a manifest", "line 1"][..]),
        ("[]", &[], 1, &["is not a manifest"]),
        ("{}", &[], 1, &["is not a manifest", "neither"]),
        (
            &*stated,
            &["--media-type", image],
            USAGE,
            &["states the media type", index, image],
        ),
        (
            &*format!("{{\"a\":\"{}\"}}", "x".repeat(8 << 20)),
            &[],
            DISK,
            &["larger than 8388608"],
        ),
    ] {
        put(text, options).failed_with_hint(code, words);
    }
    assert_eq!(
        put(&stated, &["--media-type", "not a type"]).status.code(),
        Some(USAGE)
    );
    assert_eq!(changes(&registry), [""; 0]);
    // A document of an unknown type must be JSON; the registry decides whether to accept it.
    let other = ["--media-type", "application/vnd.example.list.v1+json"];
    let ended = put("{}", &other);
    assert_eq!(changes(&registry), ["PUT /v2/a/manifests/new"]);
    assert_ne!(ended.status.code(), Some(0));
    // `--media-type` gives the type if the document lacks it.
    let untyped = r#"{"schemaVersion":2,"manifests":[]}"#;
    let digest = put(untyped, &["--media-type", index]);
    assert_eq!(
        digest.succeeded(),
        Digest::sha256(untyped.as_bytes()).as_str()
    );
}

#[test]
fn an_empty_blob_is_put_from_a_file_a_device_or_a_pipe() {
    let place = tempdir().unwrap();
    let file = place.path().join("empty");
    fs::write(&file, "").unwrap();
    let digest = Digest::sha256(b"");
    let file = file.to_str().unwrap();
    for (input, script) in [
        (file, r#"exec "$@""#),
        ("/dev/null", r#"exec "$@""#),
        ("-", r#"true | "$@""#),
        ("-", r#"exec "$@" < /dev/null"#),
    ] {
        let registry = serving(&image::single(21));
        let name = format!("{}/a", registry.authority());
        let put = Longshore::new(["blob", "put", &name, input, "-o", "json"]);
        let shown = put.under(script).run().json();
        let expected = json!({
            "repository": name, "digest": digest, "size": 0, "outcome": "sent", "dry_run": false,
        });
        assert_eq!(shown, expected, "{input} {script}");
        let seen = registry.requests().all();
        let mut seen: Vec<_> = seen.iter().map(|seen| seen.method.as_str()).collect();
        seen.retain(|method| *method != "GET");
        assert_eq!(seen, ["POST", "PUT"], "{input} {script}");
        let other = Digest::sha256(b"other");
        let put = Longshore::new(["blob", "put", &name, input, "--digest", other.as_str()]);
        let ended = put.under(script).run();
        ended.failed_with_hint(DIGEST, &[other.as_str(), digest.as_str()]);
    }
}

// DG7: what the registry has under the digest is not the blob if its size is another.
#[test]
fn dg7_a_blob_that_is_stored_short_is_sent_again() {
    let registry = serving(&image::single(21));
    let name = format!("{}/a", registry.authority());
    let place = tempdir().unwrap();
    let file = place.path().join("content");
    fs::write(&file, "content").unwrap();
    let digest = Digest::sha256(b"content");
    registry.contents().set_blob("a", &digest, "cont");
    let file = file.to_str().unwrap();
    let put = [
        "blob",
        "put",
        &name,
        file,
        "--digest",
        digest.as_str(),
        "-o",
        "json",
    ];
    for (dry, expected) in [(true, "absent"), (false, "sent"), (true, "existing")] {
        let put = [&put[..], if dry { &["--dry-run"] } else { &[] }].concat();
        assert_eq!(run(&put).json()["outcome"], expected, "{dry}");
    }
}
