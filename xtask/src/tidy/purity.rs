//! The pure crates stay pure: clippy refuses the calls, and this refuses the words.
//!
//! Clippy's `disallowed-methods` is the first check, since it resolves imports. Words are the
//! second: `.await` is not a method, and a lint can be disabled at an item.

use super::{Finding, source};

/// Clippy's settings, in the root and in every pure crate.
pub(crate) const CLIPPY_TOML: &str = "clippy.toml";

/// Calls that every pure crate's settings disallow.
const DISALLOWED: [&str; 4] = [
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "std::env::var",
    "std::env::var_os",
];

/// Words that pure code must not contain, each with what it would bring in.
///
/// `std::net` as a whole would be too much: addresses are values, sockets are not.
const WORDS: &[(&str, &str)] = &[
    ("async", "a future"),
    ("await", "a future"),
    ("getrandom", "randomness"),
    ("rand", "randomness"),
    ("thread_rng", "randomness"),
    ("Instant", "the clock"),
    ("SystemTime", "the clock"),
    ("TcpListener", "a socket"),
    ("TcpStream", "a socket"),
    ("ToSocketAddrs", "a name lookup"),
    ("UdpSocket", "a socket"),
    ("UnixStream", "a socket"),
    ("tokio", "an async runtime"),
];

/// Modules of the standard library that act.
const MODULES: &[(&str, &str)] = &[
    ("env", "the environment"),
    ("fs", "files"),
    ("process", "processes"),
    ("thread", "threads"),
];

/// A pure crate's own settings replace the root's, so they repeat them and add the refusals.
pub(crate) fn check_lints(path: &str, own: &str, root: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for call in DISALLOWED {
        if !own.contains(&format!("\"{call}\"")) {
            findings.push(Finding::whole(path, format!("does not disallow {call}")));
        }
    }
    for line in root.lines().filter(|line| line.contains(" = ")) {
        if !own.lines().any(|own| own == line) {
            findings.push(Finding::whole(
                path,
                format!("does not repeat the root's `{line}`"),
            ));
        }
    }
    findings
}

/// Looks for impure words in the code of a crate, given as paths and texts, without its tests.
pub(crate) fn check_sources(sources: &[(String, String)]) -> Vec<Finding> {
    source::outside_tests(sources)
        .flat_map(|(path, text)| check_source(path, text))
        .collect()
}

fn check_source(path: &str, text: &str) -> Vec<Finding> {
    let code = source::without_tests(&source::code(text));
    let mut findings = Vec::new();
    for (line, text) in (1..).zip(code.lines()) {
        for (word, brings) in WORDS {
            if words(text).any(|(found, _)| found == *word) {
                findings.push(Finding::at(
                    path,
                    line,
                    format!("`{word}` brings in {brings}"),
                ));
            }
        }
        for (module, brings) in MODULES {
            if words(text).any(|(found, before)| found == *module && in_std(before)) {
                let what = format!("`std::{module}` brings in {brings}");
                findings.push(Finding::at(path, line, what));
            }
        }
    }
    findings
}

/// Whether the text before a word makes it a module of `std`: `std::fs`, `use std::{fmt, fs}`.
fn in_std(before: &str) -> bool {
    let before = before.trim_end();
    before.ends_with("std::") || (before.contains("use std::{") && before.ends_with(['{', ',']))
}

/// The words of a line, each with the text before it.
fn words(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.split(move |c| !is_word(c))
        .filter(|word| !word.is_empty())
        .map(|word| {
            // `word` is a slice of `line`, so its offset is the distance of the two starts.
            let at = word.as_ptr().addr() - line.as_ptr().addr();
            (word, line.get(..at).unwrap_or_default())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_impure_word_is_found() {
        for (source, brings) in [
            ("async fn f() {}", "a future"),
            ("let x = f().await;", "a future"),
            ("let now = Instant::now();", "the clock"),
            ("use std::time::SystemTime;", "the clock"),
            ("use std::net::{IpAddr, TcpStream};", "a socket"),
            ("let bytes = std::fs::read(path);", "files"),
            ("use std::{fmt, fs};", "files"),
            ("use std::env;", "the environment"),
            ("let n = rand::random();", "randomness"),
            ("tokio::spawn(f)", "an async runtime"),
        ] {
            let findings = check_source("a.rs", source);
            assert!(
                findings
                    .iter()
                    .any(|f| f.line == 1 && f.what.ends_with(brings)),
                "{source}: {findings:?}"
            );
        }
    }

    #[test]
    fn addresses_words_in_prose_and_tests_are_fine() {
        for source in [
            "use std::net::{IpAddr, Ipv4Addr};",
            "// the caller may await and read std::fs",
            "let message = \"no clock: Instant\";",
            "let operand = fs;",
            "#[cfg(test)]\nmod tests { use std::fs; }",
            "use std::time::Duration;",
        ] {
            assert_eq!(check_source("a.rs", source), [], "{source}");
        }
    }

    #[test]
    fn modules_for_tests_are_left_out_wherever_they_stand() {
        let source = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        let sources = [
            source("a/src/lib.rs", "#[cfg(test)]\nmod corpus;\nmod name;"),
            source("a/src/corpus.rs", "use std::fs;"),
            source("a/src/corpus/rows.rs", "use std::fs;"),
            source("a/src/name.rs", "use std::env;\n#[cfg(test)]\nmod tests;"),
            source("a/src/name/tests.rs", "use std::fs;"),
            source("a/src/tests.rs", "use std::fs;"),
        ];
        let found: Vec<String> = check_sources(&sources)
            .iter()
            .map(Finding::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "a/src/name.rs:1: `std::env` brings in the environment",
                "a/src/tests.rs:1: `std::fs` brings in files",
            ]
        );
    }

    #[test]
    fn the_settings_repeat_the_root_and_refuse_the_clock() {
        let root = "allow-unwrap-in-tests = true\n";
        let good = "allow-unwrap-in-tests = true\n\
            disallowed-methods = [\n\
            { path = \"std::time::SystemTime::now\" }, { path = \"std::time::Instant::now\" },\n\
            { path = \"std::env::var\" }, { path = \"std::env::var_os\" } ]";
        assert_eq!(check_lints("clippy.toml", good, root), []);
        let found: Vec<String> = check_lints("c", "disallowed-methods = [\"std::env::var\"]", root)
            .into_iter()
            .map(|finding| finding.what)
            .collect();
        assert_eq!(
            found,
            [
                "does not disallow std::time::SystemTime::now",
                "does not disallow std::time::Instant::now",
                "does not disallow std::env::var_os",
                "does not repeat the root's `allow-unwrap-in-tests = true`",
            ]
        );
    }
}
