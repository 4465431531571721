//! `blob get` and `blob head`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

#[test]
fn a_blob_is_printed_or_written() {
    let tree = Image::new(60).layers(2, 300_000).gzip().build();
    let Some(registry) = DockerRegistry::builder().bearer().tls().start() else {
        return;
    };
    let Some(_) = registry.push(&tree, "some/app:1") else {
        return;
    };
    let place = tempdir().unwrap();
    let blob = |verb: &str, digest: &Digest, options: &[&str]| {
        let name = format!("{}/some/app@{digest}", registry.authority());
        let blob = Longshore::new(["blob", verb, &name]).args(options);
        registry.admit(blob)
    };
    for stored in tree.blobs() {
        let digest = &stored.descriptor.digest;
        let size = stored.descriptor.size;
        let file = place.path().join(digest.encoded());
        let path = file.to_str().unwrap();
        let ended = blob("get", digest, &["-f", path]).run();
        assert_eq!((ended.succeeded(), &*ended.stderr), ("", ""));
        assert_eq!(fs::read(&file).unwrap(), stored.content.bytes());
        let ended = blob("get", digest, &["-f", path, "-o", "json"]).run();
        let expected = json!({ "digest": digest, "size": size, "file": path });
        assert_eq!(ended.json(), expected);
        let printed = place.path().join("printed");
        let get = blob("get", digest, &[]).stdout(fs::File::create(&printed).unwrap());
        assert_eq!(get.run().status.code(), Some(0));
        assert_eq!(fs::read(&printed).unwrap(), stored.content.bytes());
        // For whoever may read a file of ours.
        let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode(&file), mode(&printed));
        let head = blob("head", digest, &[]).run();
        assert_eq!(head.succeeded(), size.to_string());
        let head = blob("head", digest, &["--output", "json"]).run();
        assert_eq!(head.json(), json!({ "digest": digest, "size": size }));
    }
    let absent = Digest::sha256(b"absent");
    for verb in ["get", "head"] {
        let ended = blob(verb, &absent, &[]).run();
        ended.failed_with_hint(NOT_FOUND, &["some/app", absent.as_str()]);
    }
}

#[test]
fn a_blob_is_named_by_digest() {
    for verb in ["get", "head"] {
        let ended = run(&["blob", verb, "registry.example/app:1"]);
        ended.failed_with_hint(REFERENCE, &["no digest", "NAME@DIGEST"]);
    }
    // The bytes and an object cannot both go to standard output.
    let ended = run(&["blob", "get", "registry.example/app:1", "-o", "json"]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stderr.contains("--file <PATH>"), "{}", ended.stderr);
}

// DG3
#[test]
fn dg3_a_file_appears_whole_and_verified_or_not_at_all() {
    let tree = image::single(61);
    let registry = serving(&tree);
    let digest = &tree.blobs()[1].descriptor.digest;
    let name = format!("{}/a@{digest}", registry.authority());
    registry.misbehave(Rule::on(Part::Blob, Misbehaviour::Corrupt(100)));
    let place = tempdir().unwrap();
    let file = place.path().join("layer");
    let ended = run(&["blob", "get", &name, "--file", file.to_str().unwrap()]);
    ended.failed_with_hint(DIGEST, &[digest.as_str()]);
    assert_eq!(layout::names(place.path()), [""; 0]);
    // What went to a pipe cannot be taken back; the exit code says what it is worth.
    assert_eq!(run(&["blob", "get", &name]).status.code(), Some(DIGEST));
    let missing = place.path().join("no/layer");
    registry.behave();
    let ended = run(&["blob", "get", &name, "-f", missing.to_str().unwrap()]);
    ended.failed_with_hint(13, &["no/layer", "No such file"]);
}
