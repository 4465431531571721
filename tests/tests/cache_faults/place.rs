//! The directory of a cache, looked at without any code that wrote it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use longshore_model::Digest;

/// Where a blob is.
pub(crate) fn blob(cache: &Path, digest: &Digest) -> PathBuf {
    let encoded = digest.encoded();
    let algorithm = digest.algorithm().to_string();
    let folder = cache.join("cache/blobs").join(algorithm);
    folder.join(&encoded[..2]).join(encoded)
}

/// All files below a directory, with their lengths. A file that vanishes meanwhile is left out.
pub(crate) fn files(directory: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => found.append(&mut files(&entry.path())),
            Ok(metadata) => {
                found.insert(entry.path(), metadata.len());
            }
            Err(_) => {}
        }
    }
    found
}

/// Demands that every visible blob is what its name says; returns the names.
#[track_caller]
pub(crate) fn assert_whole(cache: &Path) -> Vec<String> {
    let blobs = files(&cache.join("cache/blobs"));
    let mut names = Vec::new();
    for path in blobs.keys() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let content = fs::read(path).unwrap();
        assert_eq!(Digest::sha256(&content).encoded(), name);
        names.push(name.to_owned());
    }
    names
}

/// The bytes of blobs, whole or partial. While files are written, renamed and removed, one may be
/// seen under both of its names: each digest counts once.
pub(crate) fn content_bytes(cache: &Path) -> u64 {
    let mut of_name: BTreeMap<String, u64> = BTreeMap::new();
    for folder in ["blobs", ".longshore"] {
        for (path, length) in files(&cache.join("cache").join(folder)) {
            let name = path.file_name().unwrap().to_string_lossy();
            let encoded = name.rsplit('-').next().unwrap().to_owned();
            let most = of_name.entry(encoded).or_default();
            *most = length.max(*most);
        }
    }
    of_name.values().sum()
}
