//! Another program reads what is written here, and the other way round.

use super::*;

#[test]
fn skopeo_reads_a_layout_and_writes_one_that_is_read_here() {
    if !has_skopeo() {
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let from = parent.path().join("from");
    let layout = Layout::create_or_open(&from).unwrap();
    let one = runnable(&layout, "linux");
    let other = runnable(&layout, "freebsd");
    layout.tag("v1", one.clone()).unwrap();
    layout.tag("1.0", one.clone()).unwrap();
    layout.tag("other", other.clone()).unwrap();

    let inspected = skopeo(&["inspect", &oci(&from, "1.0")]);
    let inspected: serde_json::Value = serde_json::from_slice(&inspected).unwrap();
    assert_eq!(inspected["Digest"], one.digest.as_str());
    assert_eq!(inspected["Os"], "linux");
    let raw = skopeo(&["inspect", "--raw", &oci(&from, "other")]);
    assert_eq!(Digest::sha256(&raw), other.digest);

    let to = parent.path().join("to");
    skopeo(&[
        "copy",
        "--preserve-digests",
        &oci(&from, "v1"),
        &oci(&to, "copied"),
    ]);
    check_copy(&to, "copied", &one);

    // Into a layout made here, with an image in it; and a name that is taken.
    skopeo(&[
        "copy",
        "--preserve-digests",
        &oci(&to, "copied"),
        &oci(&from, "back"),
    ]);
    skopeo(&[
        "copy",
        "--preserve-digests",
        &oci(&from, "other"),
        &oci(&to, "copied"),
    ]);
    check_copy(&from, "back", &one);
    check_copy(&from, "other", &other);
    check_copy(&to, "copied", &other);

    // And on from there: what skopeo wrote is changed here, and read by it again.
    let copied = Layout::create_or_open(&to).unwrap();
    copied.tag("again", one.clone()).unwrap();
    let raw = skopeo(&["inspect", "--raw", &oci(&to, "again")]);
    assert_eq!(Digest::sha256(&raw), one.digest);
}

/// Writes an image of one empty layer.
fn runnable(layout: &Layout, os: &str) -> Descriptor {
    let layer = put(layout, MediaType::OCI_LAYER, &[0; 1024]);
    let config = format!(
        r#"{{"architecture":"amd64","os":"{os}","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        layer.digest
    );
    let config = put(layout, MediaType::OCI_CONFIG, config.as_bytes());
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
        MediaType::OCI_MANIFEST,
        serde_json::to_string(&config).unwrap(),
        serde_json::to_string(&layer).unwrap(),
    );
    put(layout, MediaType::OCI_MANIFEST, manifest.as_bytes())
}

fn put(layout: &Layout, media_type: MediaType, content: &[u8]) -> Descriptor {
    let descriptor = Descriptor::of(media_type, content);
    layout.store().put(&descriptor.digest, content).unwrap();
    descriptor
}

fn check_copy(path: &Path, name: &str, expected: &Descriptor) {
    let layout = Layout::open(path).unwrap();
    let found = layout.resolve(name).unwrap();
    assert_eq!(found.digest, expected.digest);
    let manifest = layout.manifest(&found).unwrap();
    for blob in manifest.document().children() {
        assert_eq!(layout.store().size(&blob.digest).unwrap(), Some(blob.size));
    }
}

fn oci(path: &Path, name: &str) -> String {
    format!("oci:{}:{name}", path.display())
}

fn skopeo(arguments: &[&str]) -> Vec<u8> {
    // The policy is about signatures, which nothing here has.
    let output = Command::new("skopeo")
        .arg("--insecure-policy")
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "skopeo {arguments:?}: {said}");
    output.stdout
}

/// Whether skopeo is there; under CI it has to be.
fn has_skopeo() -> bool {
    let found = Command::new("skopeo").arg("--version").output().is_ok();
    assert!(
        found || std::env::var_os("CI").is_none(),
        "no skopeo under CI"
    );
    if !found {
        eprintln!("SKIPPED: skopeo is not installed, so no other program read the layout");
    }
    found
}
