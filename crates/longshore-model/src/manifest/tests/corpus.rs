use serde_json::{Value, json};

use super::super::ManifestError as E;
use super::super::*;
use crate::config::ImageConfig;
use crate::corpus;

/// Text by which documents are told that the corpus describes without judging them, and that
/// are refused here.
const REFUSED: &[(&str, &str)] = &[
    ("\"%s\"", "a template that nobody filled in"),
    ("\"config\":{}", "a descriptor without its required fields"),
    ("\"digest\": \"\"", "no digest"),
    ("\"sha256:123\"", "a digest cut short"),
    ("\"sha256:44136fa3...\"", "a digest cut short"),
    ("\"sha256:abc\"", "a digest cut short"),
    ("\"sha256:badf00d..\"", "a digest cut short"),
    ("\"sha256:bbbb\"", "a digest cut short"),
    ("\"sha256:facefeed\"", "a digest cut short"),
    ("\"size\": -1", "a size below zero (LI3)"),
    (
        "\"x-completely-unknown\"",
        "a media type without subtype; image-spec asks for RFC 6838",
    ),
];

#[test]
fn every_row_of_the_corpus_behaves_as_expected() {
    corpus::for_each_row("manifests.jsonl", 322, |number, input, expect| {
        let bytes = Bytes::copy_from_slice(input.as_bytes());
        assert_eq!(
            Digest::sha256(&bytes).as_str(),
            expect["sha256"],
            "row {number}"
        );
        assert_eq!(bytes.len(), expect["size"], "row {number}");
        match expect["field"].as_str() {
            Some("descriptor") => check_descriptor(number, input, expect),
            Some("config") => {
                let config = ImageConfig::parse(&bytes);
                assert_eq!(config.is_ok(), expect["valid"], "row {number}: {config:?}");
                // A configuration is no manifest, whether it is a good one or not.
                assert!(Manifest::parse(bytes, None).is_err(), "row {number}");
            }
            _ => check_manifest(number, bytes, expect),
        }
    });
}

fn check_descriptor(number: usize, input: &str, expect: &Value) {
    let read = serde_json::from_str::<Descriptor>(input);
    // `urls` are kept as they were sent: a bad one is found when it is to be fetched (RD6).
    let bad_url = read
        .as_ref()
        .is_ok_and(|descriptor| descriptor.urls == ["value"]);
    let valid = expect["valid"].as_bool().unwrap() || bad_url;
    assert_eq!(read.is_ok(), valid, "row {number}: {read:?}");
}

fn check_manifest(number: usize, bytes: Bytes, expect: &Value) {
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let parsed = Manifest::parse(bytes, None);
    if parsed.as_ref().is_ok_and(has_malformed_platform) {
        // The rest of the index is read all the same.
        assert_eq!(expect["valid"], false, "row {number}");
        return;
    }
    let found = parsed.as_ref().map(view);
    let found = found.map_err(std::mem::discriminant);
    let malformed = E::Malformed {
        reason: "".into(),
        line: 0,
        column: 0,
    };
    let unsupported = E::UnsupportedType {
        media_type: MediaType::JSON,
    };
    let both = expect.get("layers").is_some() && expect.get("manifests").is_some();
    let refused = REFUSED.iter().any(|(part, _)| text.contains(part));
    let expected = match expect["kind"].as_str().unwrap() {
        // Docker's first schema: its digest is over less than its bytes, and registries have
        // stopped serving it. The corpus describes it; nobody asks for it.
        "docker-manifest-v1" | "docker-manifest-v1-signed" => Err(E::SchemaVersion { found: None }),
        "not-json" => Err(malformed),
        // Drafts had it; image-spec v1.1.1 has no such document.
        "oci-artifact-manifest" => Err(unsupported),
        // DG5: one reader would take it for an image, another for an index.
        _ if both => Err(E::Ambiguous),
        _ if refused || expect["valid"] == false => Err(malformed),
        _ => Ok(described(expect)),
    };
    let expected = expected.map_err(|error| std::mem::discriminant(&error));
    assert_eq!(found, expected, "row {number}: {parsed:?}");
}

fn has_malformed_platform(manifest: &Manifest) -> bool {
    let mut children = manifest.document().children();
    children.any(|entry| entry.platform == Some(Box::default()))
}

/// What the corpus says of a document.
fn described(expect: &Value) -> Value {
    let keys = [
        "config",
        "layers",
        "manifests",
        "subject",
        "artifact_type",
        "media_type",
    ];
    keys.iter().map(|key| (*key, expect[key].clone())).collect()
}

/// What the view says of a document, in the same form.
fn view(manifest: &Manifest) -> Value {
    let document = manifest.document();
    let (image, index) = (document.as_image(), document.as_index());
    let layer = |layer: &Descriptor| json!([layer.media_type, layer.digest, layer.size]);
    // The corpus leaves an empty list of layers out.
    let layers = image
        .map(|image| &image.layers)
        .filter(|layers| !layers.is_empty());
    let entry = |entry: &Descriptor| {
        let platform = entry
            .platform
            .as_ref()
            .map(|platform| match &platform.os_version {
                Some(version) => format!("{platform} ({version})"),
                None => platform.to_string(),
            });
        json!([entry.media_type, entry.digest, platform])
    };
    let media_type = match document {
        Document::Image(image) => &image.media_type,
        Document::Index(index) => &index.media_type,
    };
    json!({
        "config": image.map(|ImageManifest { config, .. }| {
            json!({"mediaType": config.media_type, "digest": config.digest, "size": config.size})
        }),
        "layers": layers.map(|layers| layers.iter().map(layer).collect::<Vec<_>>()),
        "manifests": index.map(|index| index.manifests.iter().map(entry).collect::<Vec<_>>()),
        "subject": document.subject().map(|subject| &subject.digest),
        "artifact_type": document.artifact_type(),
        "media_type": media_type,
    })
}
