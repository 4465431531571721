//! Programs of other people, which may not be installed.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// The path of a program, or `None` after saying that the test is skipped.
///
/// # Panics
///
/// When it is not installed and the environment variable `CI` is set: there nothing is skipped.
#[must_use]
pub fn find(name: &str, package: &str) -> Option<PathBuf> {
    let found = search(name);
    if found.is_none() {
        skip(&format!(
            "{name} is not installed (apt-get install {package})"
        ));
    }
    found
}

/// The path of a program that requires root; `None`, with a message that the test is skipped, if
/// the test cannot use it.
///
/// # Panics
///
/// When the program is not installed, or the test does not run as root, and the environment
/// variable `CI` is set: in CI no test is skipped.
#[must_use]
pub fn find_for_root(name: &str, package: &str) -> Option<PathBuf> {
    let found = find(name, package)?;
    // The owner of this directory is the effective user of the process.
    if fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0) {
        return Some(found);
    }
    skip(&format!("only root runs {name}"));
    None
}

/// Prints that a test is skipped, and why; in CI, fails the test.
#[track_caller]
pub(crate) fn skip(message: &str) {
    assert!(!in_ci(), "{message}");
    eprintln!("SKIPPED: {message}");
}

fn search(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers where the PATH of a user does not lead.
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// As `cargo xtask test` reads it: set, and not to a word for no.
fn in_ci() -> bool {
    let value = env::var("CI").unwrap_or_default();
    !matches!(value.as_str(), "" | "0" | "false")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_system_has_is_found() {
        assert!(search("sh").is_some());
        assert_eq!(search("no-such-program-anywhere"), None);
    }
}
