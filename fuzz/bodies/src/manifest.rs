//! Manifests: the bytes are the truth, and the view says what they say.

use bytes::Bytes;
use longshore_model::{
    DESCRIPTORS_LIMIT, Descriptor, Digest, Document, Index, JSON_DEPTH_LIMIT, Manifest, Platform,
    SIZE_LIMIT_BYTES,
};
use serde_json::Value;

use crate::json;
use crate::shown::is_plain;

/// Reads what follows the first line as a manifest that came with that line as `Content-Type`.
///
/// # Panics
///
/// When the digest is not that of the bytes, when the bytes read differently a second time, under
/// their own type or after having been written again, when the view differs from what a plain
/// JSON reader finds, when a limit is passed, or when an error is no line to show.
pub fn manifest(data: &[u8]) {
    let newline = data.iter().position(|byte| *byte == b'\n');
    let (content_type, document) = match newline {
        Some(at) => data.split_at(at),
        None => data.split_at(0),
    };
    let document = document.strip_prefix(b"\n").unwrap_or(document);
    let Ok(content_type) = std::str::from_utf8(content_type) else {
        return;
    };
    let bytes = Bytes::copy_from_slice(document);
    match Manifest::parse(bytes.clone(), Some(content_type)) {
        Ok(manifest) => {
            is_the_bytes(&manifest, &bytes);
            reads_again(&manifest, content_type);
            keeps_the_limits(&manifest);
            agrees_with_the_bytes(&manifest);
            if let Document::Index(index) = manifest.document() {
                PLATFORMS.iter().for_each(|wanted| selects(index, wanted));
            }
        }
        Err(error) => is_plain(&error),
    }
}

/// DG4, DG2
fn is_the_bytes(manifest: &Manifest, bytes: &Bytes) {
    let digest = Digest::sha256(bytes);
    assert_eq!(manifest.bytes(), bytes, "DG4");
    assert_eq!(*manifest.digest(), digest, "DG4");
    let descriptor = manifest.descriptor();
    assert_eq!(descriptor.digest, digest);
    assert_eq!(descriptor.size, bytes.len() as u64);
    assert_eq!(descriptor.media_type, *manifest.media_type());
    let other = Digest::sha256(digest.as_str().as_bytes());
    for (expected, is_right) in [(digest, true), (other, false)] {
        let verified = Manifest::parse_verified(bytes.clone(), None, &expected);
        // Without its content type a document may be another, or none.
        if let Ok(verified) = verified {
            assert!(is_right, "DG2: {expected}");
            assert_eq!(*verified.digest(), expected);
        }
    }
}

fn reads_again(manifest: &Manifest, content_type: &str) {
    let bytes = manifest.bytes();
    for content_type in [content_type, manifest.media_type().as_str()] {
        match Manifest::parse(bytes.clone(), Some(content_type)) {
            Ok(again) => {
                assert_eq!(again.document(), manifest.document());
                assert_eq!(again.media_type(), manifest.media_type());
            }
            Err(error) => panic!("not a {content_type} the second time: {error}"),
        }
    }
    // A fraction may lose its last digit; in all else writing and reading are inverse.
    let plain = serde_json::from_slice(bytes).unwrap_or_default();
    if !json::has_fraction(&plain) {
        match Manifest::from_document(manifest.document()) {
            Ok(written) => assert_eq!(written.document(), manifest.document()),
            Err(error) => panic!("what was read cannot be written: {error}"),
        }
    }
}

/// LI, LI3
fn keeps_the_limits(manifest: &Manifest) {
    let document = manifest.document();
    let descriptors = document.children().chain(document.subject());
    let mut count = 0;
    for descriptor in descriptors {
        count += 1;
        assert!(descriptor.size <= SIZE_LIMIT_BYTES, "LI3");
    }
    assert!(count <= DESCRIPTORS_LIMIT, "LI: {count} descriptors");
    let depth = json::depth(manifest.bytes());
    assert!(depth < JSON_DEPTH_LIMIT, "LI: {depth} deep");
}

/// DG5: no other reader can take the document for something else.
fn agrees_with_the_bytes(manifest: &Manifest) {
    let Some(plain) = json::strict(manifest.bytes()) else {
        panic!("DG5: not JSON, or a key is there twice")
    };
    let has = |key: &str| plain.get(key).is_some();
    assert_eq!(plain.get("schemaVersion").and_then(Value::as_u64), Some(2));
    assert!(
        !(has("manifests") && (has("config") || has("layers"))),
        "DG5"
    );
    let media_type = manifest.media_type();
    assert!(!media_type.is_generic(), "DG5: {media_type}");
    match manifest.document() {
        Document::Image(image) => {
            assert!(media_type.is_manifest() && !media_type.is_index(), "DG5");
            same_all(plain.get("layers"), &image.layers);
            same(plain.get("config"), &image.config);
        }
        Document::Index(index) => {
            assert!(media_type.is_index() && !media_type.is_manifest(), "DG5");
            same_all(plain.get("manifests"), &index.manifests);
        }
        other => panic!("a third kind of document: {other:?}"),
    }
    let subject = plain.get("subject").filter(|subject| !subject.is_null());
    assert_eq!(subject.is_some(), manifest.document().subject().is_some());
    if let Some(read) = manifest.document().subject() {
        same(subject, read);
    }
}

fn same_all(plain: Option<&Value>, read: &[Descriptor]) {
    let none = Vec::new();
    let plain = plain.and_then(Value::as_array).unwrap_or(&none);
    assert_eq!(plain.len(), read.len());
    for (plain, read) in plain.iter().zip(read) {
        same(Some(plain), read);
    }
}

fn same(plain: Option<&Value>, read: &Descriptor) {
    let plain = plain.unwrap_or(&Value::Null);
    let text = |key: &str| plain.get(key).and_then(Value::as_str);
    assert_eq!(text("digest"), Some(read.digest.as_str()));
    assert_eq!(text("mediaType"), Some(read.media_type.as_str()));
    assert_eq!(text("data"), read.data.as_deref());
    assert_eq!(plain.get("size").and_then(Value::as_u64), Some(read.size));
    let platform = plain.get("platform").filter(|plain| !plain.is_null());
    assert_eq!(platform.is_some(), read.platform.is_some());
}

/// Checks that the selected entry is in the index, is an image, and fits the wanted platform.
fn selects(index: &Index, (os, architecture, variant): &(&str, &str, Option<&str>)) {
    let mut wanted = Platform::new(*os, *architecture);
    wanted.variant = variant.map(str::to_owned);
    let selected = match index.select(&wanted) {
        Ok(selected) => selected,
        Err(error) => {
            assert_eq!(*error.wanted, wanted);
            return is_plain(&error);
        }
    };
    let at = index.manifests.iter().position(|entry| entry == selected);
    assert!(at.is_some(), "{selected:?} is not in the index");
    assert!(selected.media_type.is_manifest() || selected.media_type.is_index());
    if let Some(platform) = &selected.platform {
        assert!(!platform.is_unknown(), "an attestation is no image");
        let best = wanted.fits(platform);
        assert!(best.is_some(), "{platform} on {wanted}");
        let fits = |entry: &Descriptor| wanted.fits(entry.platform.as_ref()?);
        let is_image = |entry: &&Descriptor| {
            (entry.media_type.is_manifest() || entry.media_type.is_index())
                && !entry.platform.as_deref().is_some_and(Platform::is_unknown)
        };
        let all = index.manifests.iter().filter(is_image).filter_map(fits);
        assert_eq!(all.min(), best, "a better one is there for {wanted}");
    }
}

/// Operating system, architecture and variant that are selected from each index.
const PLATFORMS: [(&str, &str, Option<&str>); 4] = [
    ("linux", "amd64", None),
    ("linux", "arm", Some("v7")),
    ("linux", "arm64", Some("v8")),
    ("windows", "amd64", None),
];
