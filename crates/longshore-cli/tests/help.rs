//! What the program says of itself.
//!
//! Cargo builds a program for the tests of its own package; so these are also why the end-to-end
//! tests of the workspace find it built.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::process::Command;

/// Runs the program; gives what it printed.
#[track_caller]
fn check(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
    let output = command.args(arguments).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    assert_eq!(stderr, "", "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_help_ends_with_the_exit_codes() {
    for command in [
        &[][..],
        &["digest"],
        &["manifest", "get"],
        &["ping"],
        &["pull"],
    ] {
        let help = check(&[command, &["--help"]].concat());
        let (_, table) = help.split_once("Exit codes:\n").unwrap();
        assert!(table.contains("0  done"), "{help}");
        assert!(table.trim_end().ends_with("143 terminated)"), "{help}");
        for line in help.lines() {
            assert!(line.chars().count() <= 120, "{line}");
        }
    }
}

#[test]
fn the_version_is_told() {
    let version = format!("longshore {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(check(&["--version"]), version);
}
