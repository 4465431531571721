//! Programs of other people, which may not be installed.

use std::env;
use std::ffi::OsStr;
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
        let message = format!("{name} is not installed (apt-get install {package})");
        assert!(!is_set("CI"), "{message}");
        eprintln!("SKIPPED: {message}");
    }
    found
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

fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| value != OsStr::new(""))
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
