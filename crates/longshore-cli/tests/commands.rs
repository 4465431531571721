//! The commands of the program must not use each other.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// The source files of the commands, each with its text.
fn sources(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources.extend(self::sources(&path));
        } else {
            let text = fs::read_to_string(&path).unwrap();
            sources.push((path, text));
        }
    }
    sources
}

#[test]
fn no_command_uses_another() {
    let commands = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/command");
    let sources = sources(&commands);
    assert!(sources.len() >= 10, "{sources:?}");
    for (path, text) in sources {
        assert!(!text.contains("crate::command"), "{}", path.display());
        // A submodule of a command may use the other parts of that command.
        let is_command = path.parent() == Some(&*commands);
        assert!(
            !is_command || !text.contains("super::"),
            "{}",
            path.display()
        );
    }
}
