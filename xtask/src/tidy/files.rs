//! The files of the checkout that are ours to judge.

use std::path::{Path, PathBuf};

use super::Finding;

/// Directories whose files are generated.
const GENERATED: [&str; 5] = [".git", "artifacts", "corpus", "coverage", "target"];

/// Raw inputs of the fuzzer; their text is arbitrary.
const SEEDS: &str = "fuzz/seeds/";

/// Lists the files below a directory, as sorted paths from the root with forward slashes.
pub(crate) fn walk(root: &Path, below: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut waiting = vec![root.join(below)];
    while let Some(directory) = waiting.pop() {
        for path in entries(&directory)? {
            if !path.is_dir() {
                found.push(relative(root, &path));
            } else if !path
                .file_name()
                .is_some_and(|name| GENERATED.iter().any(|g| name == *g))
            {
                waiting.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, String> {
    std::fs::read_dir(directory)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect()
        })
        .map_err(|error| format!("{}: {error}", directory.display()))
}

/// A path as seen from the root.
pub(crate) fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .to_string_lossy()
        .replace('\\', "/")
}

/// Whether a file holds text written by hand.
pub(crate) fn is_text(path: &str) -> bool {
    let extensions = [".rs", ".md", ".toml", ".yml", ".yaml", ".sh", ".dict"];
    let by_name = path == ".ci/run" || path == ".gitignore";
    !path.starts_with(SEEDS) && (by_name || extensions.iter().any(|end| path.ends_with(end)))
}

/// Module files are `foo.rs` beside `foo/`.
pub(crate) fn check_name(path: &str) -> Option<Finding> {
    let named = path == "mod.rs" || path.ends_with("/mod.rs");
    named.then(|| {
        Finding::whole(
            path,
            "a module lives in `foo.rs` beside `foo/`, not in `mod.rs`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mod_rs_is_refused() {
        assert!(check_name("crates/a/src/b/mod.rs").is_some());
        assert_eq!(check_name("crates/a/src/b.rs"), None);
        assert_eq!(check_name("crates/a/src/not_mod.rs"), None);
    }

    #[test]
    fn seeds_are_not_judged_as_text() {
        for (path, expected) in [
            ("README.md", true),
            (".ci/run", true),
            ("crates/a/src/lib.rs", true),
            ("fuzz/seeds/challenge/one.md", false),
            ("LICENSE-MIT", false),
        ] {
            assert_eq!(is_text(path), expected, "{path}");
        }
    }
}
