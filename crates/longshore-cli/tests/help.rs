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
    for command in COMMANDS
        .iter()
        .copied()
        .chain([&[][..], &["blob"], &["cache"], &["manifest"]])
    {
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
fn every_command_has_examples_that_begin_with_its_name() {
    for command in COMMANDS {
        let help = check(&[*command, &["--help"]].concat());
        let (_, examples) = help.split_once("\nExamples:\n").unwrap();
        let (examples, _) = examples.split_once("\n\n").unwrap();
        for line in examples.lines() {
            let name = format!("  longshore {} ", command.join(" "));
            assert!(line.starts_with(&name), "{line}");
        }
    }
}

#[test]
fn the_commands_are_listed_by_what_they_are_for() {
    for help in [check(&["--help"]), check(&["-h"])] {
        let (_, groups) = help.split_once("\n\nMove images:\n").unwrap();
        let (groups, _) = groups.split_once("\n\nOptions:\n").unwrap();
        for command in COMMANDS {
            let begin = format!("  {} ", command.join(" "));
            let lines = groups.lines().filter(|line| line.starts_with(&begin));
            assert_eq!(lines.count(), 1, "{begin}");
        }
        assert!(groups.contains("[alias: resolve]"), "{groups}");
    }
}

#[test]
fn the_version_is_told() {
    let version = format!("longshore {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(check(&["--version"]), version);
}

const COMMANDS: &[&[&str]] = &[
    &["blob", "delete"],
    &["blob", "get"],
    &["blob", "head"],
    &["blob", "put"],
    &["cache", "client-config"],
    &["config"],
    &["copy"],
    &["delete"],
    &["digest"],
    &["inspect"],
    &["manifest", "get"],
    &["manifest", "put"],
    &["ping"],
    &["pull"],
    &["push"],
    &["referrers"],
    &["repos"],
    &["serve"],
    &["tag"],
    &["tags"],
    &["verify"],
];
