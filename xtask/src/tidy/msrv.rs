//! Our crates and their dependencies compile with the oldest compiler that we promise.
//!
//! Dependencies declare the compiler that they need. In our own code clippy checks the use of the
//! standard library (`incompatible_msrv`), and this module checks syntax that clippy does not
//! check.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, source};
use crate::metadata::Resolved;
use crate::rust_version::RustVersion;

const PATH: &str = "Cargo.lock";

/// Finds packages below the published crates that declare a higher `rust-version` than `ours`.
///
/// `graph` has the resolved packages by their ids, with the edges that are not for development.
pub(crate) fn check(ours: RustVersion, graph: &BTreeMap<String, Resolved>) -> Vec<Finding> {
    let mut findings = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let published = graph.iter().filter(|(_, package)| package.published);
    let mut waiting: Vec<&String> = published.map(|(id, _)| id).collect();
    while let Some(id) = waiting.pop() {
        let Some(package) = graph.get(id).filter(|_| seen.insert(id)) else {
            continue;
        };
        waiting.extend(&package.dependencies);
        for dependency in package.dependencies.iter().filter_map(|id| graph.get(id)) {
            let Some(text) = &dependency.rust_version else {
                continue;
            };
            if RustVersion::parse(text).is_none_or(|theirs| theirs > ours) {
                let (name, version) = (&dependency.name, &dependency.version);
                let what = format!(
                    "{name} {version} needs Rust {text}, and we promise {ours}; {} uses it",
                    package.name
                );
                findings.entry((name, version)).or_insert(what);
            }
        }
    }
    let findings = findings.into_values();
    findings.map(|what| Finding::whole(PATH, what)).collect()
}

/// Finds syntax that is newer than what we promise.
pub(crate) fn check_syntax(path: &str, text: &str) -> Vec<Finding> {
    let code = source::code(text);
    let mut findings = Vec::new();
    for (line, text) in (1..).zip(code.lines()) {
        for (what, version, is_in) in NEWER {
            if is_in(text) {
                let what = format!("{what} needs Rust {version}");
                findings.push(Finding::at(path, line, what));
            }
        }
    }
    findings
}

/// A kind of syntax, the version that has it, and whether a line of code uses it.
type Newer = (&'static str, &'static str, fn(&str) -> bool);

const NEWER: [Newer; 3] = [
    (
        "a variable with the result of `format_args!`",
        "1.89",
        |line| line.contains(" = format_args!("),
    ),
    ("`cfg_select!`", "1.95", |line| {
        line.contains("cfg_select! ")
    }),
    ("`if let` in the guard of a match arm", "1.95", |line| {
        let guard = line.split_once(" if let ").map(|(_, guard)| guard);
        let arm = guard.and_then(|guard| guard.split_once(" => "));
        arm.is_some_and(|(guard, _)| !guard.contains('{'))
    }),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn package(
        name: &str,
        rust_version: Option<&str>,
        dependencies: &[&str],
    ) -> (String, Resolved) {
        let package = Resolved {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            rust_version: rust_version.map(str::to_owned),
            published: name.starts_with("longshore"),
            dependencies: dependencies.iter().map(|id| (*id).to_owned()).collect(),
        };
        (name.to_owned(), package)
    }

    fn found(graph: &[(String, Resolved)]) -> Vec<String> {
        let graph = graph.iter().cloned().collect();
        let ours = RustVersion::parse("1.88").unwrap();
        let findings = check(ours, &graph);
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn the_same_an_older_or_no_version_is_fine() {
        let graph = [
            package("longshore", Some("1.88"), &["a", "b", "c"]),
            package("a", Some("1.88.0"), &[]),
            package("b", Some("1.56"), &["a"]),
            package("c", None, &[]),
        ];
        assert_eq!(found(&graph), [""; 0]);
    }

    #[test]
    fn a_newer_version_anywhere_below_a_published_crate_is_found_once() {
        let graph = [
            package("longshore", Some("1.88"), &["a", "b"]),
            package("a", None, &["b"]),
            package("b", Some("1.89"), &[]),
            package("xtask", Some("1.88"), &["tool"]),
            package("tool", Some("1.95"), &[]),
        ];
        let [found] = &found(&graph)[..] else {
            panic!("not one finding")
        };
        assert!(
            found.starts_with("Cargo.lock: b 1.0.0 needs Rust 1.89, and we promise 1.88.0; "),
            "{found}"
        );
    }

    #[test]
    fn newer_syntax_is_found() {
        for (line, expected) in [
            (
                "let what = format_args!(\"{x}\");",
                &["a.rs:1: a variable with the result of `format_args!` needs Rust 1.89"][..],
            ),
            ("cfg_select! {", &["a.rs:1: `cfg_select!` needs Rust 1.95"]),
            (
                "Some(x) if let Ok(y) = f(x) => y,",
                &["a.rs:1: `if let` in the guard of a match arm needs Rust 1.95"],
            ),
            ("f(format_args!(\"{x}\"));", &[]),
            ("Some(x) => if let Ok(y) = f(x) { y } else { 0 },", &[]),
            ("} else if let Some(x) = y { match x { a => b } }", &[]),
            ("// let what = format_args!(x)", &[]),
        ] {
            let found: Vec<_> = check_syntax("a.rs", line)
                .iter()
                .map(Finding::to_string)
                .collect();
            assert_eq!(found, expected, "{line}");
        }
    }
}
