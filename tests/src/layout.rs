//! An image layout on disk, looked at without any code that made it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use longshore_model::Digest;
use longshore_testkit::image::Tree;
use serde_json::Value;

/// Demands that every document and blob of `tree` is there, byte for byte.
///
/// # Panics
///
/// When one is missing or different.
#[track_caller]
pub fn assert_holds(layout: &Path, tree: &Tree) {
    for stored in tree.documents().into_iter().chain(tree.all_blobs()) {
        let digest = &stored.descriptor.digest;
        let found = read(&blob(layout, digest));
        assert!(
            found == stored.content.bytes(),
            "{digest} is not what it was"
        );
    }
}

/// Demands that the directory is a layout and nothing else: no file beside what OCI defines, but
/// for partial blobs and the record of verified blobs, and every blob matches its name. Returns the
/// digests of the blobs.
///
/// # Panics
///
/// When any of that is not so.
#[track_caller]
pub fn assert_clean(layout: &Path) -> BTreeSet<Digest> {
    let mut found = names(layout);
    if found.first().is_some_and(|name| name == PRIVATE) {
        found.remove(0);
        let private = layout.join(PRIVATE);
        let kept = names(&private.join("partial"));
        let mut others = names(&private);
        let remembers = others.iter().any(|name| name == "verified");
        assert!(remembers || !kept.is_empty(), "nothing is kept");
        others.retain(|name| !["partial", "lock", "verified"].contains(&name.as_str()));
        assert_eq!(others, [""; 0], "left behind");
    }
    assert_eq!(found, ["blobs", "index.json", "oci-layout"]);
    assert_whole(layout)
}

/// Demands that no blob is other than its name says. Gives the digests of the blobs.
///
/// # Panics
///
/// When one is.
#[track_caller]
pub fn assert_whole(layout: &Path) -> BTreeSet<Digest> {
    let folder = layout.join("blobs");
    let mut found = BTreeSet::new();
    for algorithm in names(&folder) {
        for name in names(&folder.join(&algorithm)) {
            let content = read(&folder.join(&algorithm).join(&name));
            let digest = Digest::sha256(&content);
            assert_eq!(format!("{algorithm}:{name}"), digest.as_str());
            found.insert(digest);
        }
    }
    found
}

/// What `index.json` names, in its order: the name of each entry, if it has one, and its digest.
///
/// # Panics
///
/// When there is no such document.
#[must_use]
#[track_caller]
pub fn entries(layout: &Path) -> Vec<(Option<String>, String)> {
    let index: Value = match serde_json::from_slice(&read(&layout.join("index.json"))) {
        Ok(index) => index,
        Err(error) => panic!("index.json is no JSON: {error}"),
    };
    let text = |value: Option<&Value>| value?.as_str().map(str::to_owned);
    let entries = index.get("manifests").and_then(Value::as_array);
    entries
        .into_iter()
        .flatten()
        .map(|entry| {
            let annotations = entry.get("annotations");
            let name = annotations.and_then(|it| it.get(REF_NAME));
            (text(name), text(entry.get("digest")).unwrap_or_default())
        })
        .collect()
}

/// The files that are being written, as far as they have come; none when nobody writes.
#[must_use]
pub fn unfinished(layout: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for session in paths(&layout.join(PRIVATE)) {
        for file in paths(&session) {
            let length = fs::metadata(&file).map_or(0, |metadata| metadata.len());
            found.push((file, length));
        }
    }
    found
}

/// Where a blob is.
#[must_use]
pub fn blob(layout: &Path, digest: &Digest) -> PathBuf {
    layout.join(digest.blob_path())
}

/// The names in a directory, sorted; none when it is not there.
#[must_use]
pub fn names(directory: &Path) -> Vec<String> {
    let name = |path: &PathBuf| Some(path.file_name()?.to_string_lossy().into_owned());
    let mut names: Vec<_> = paths(directory).iter().filter_map(name).collect();
    names.sort();
    names
}

fn paths(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[track_caller]
fn read(file: &Path) -> Vec<u8> {
    match fs::read(file) {
        Ok(content) => content,
        Err(error) => panic!("cannot read {}: {error}", file.display()),
    }
}

/// Where the program keeps what is not for others to read.
const PRIVATE: &str = ".longshore";

/// image-spec v1.1.1 "Pre-Defined Annotation Keys".
const REF_NAME: &str = "org.opencontainers.image.ref.name";
