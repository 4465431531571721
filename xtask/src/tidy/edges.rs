//! The table of allowed edges in ARCHITECTURE.md, compared with what the manifests say.
//!
//! ```text
//! <!-- edges -->
//! | crate | ours | besides | ours, in tests |
//! | --- | --- | --- | --- |
//! | `longshore-proto` | `model`, `origin` | `bytes`, `http` | — |
//! <!-- /edges -->
//! ```
//!
//! Our crates stand without their prefix, `longshore` itself in full; `*` stands for all of ours.
//! Other people's crates may be used freely in tests, so no column lists those.

use super::Finding;
use crate::metadata::Package;

/// Where the table stands.
pub(crate) const DOCUMENT: &str = "ARCHITECTURE.md";

const BEGIN: &str = "<!-- edges -->";
const END: &str = "<!-- /edges -->";
const PREFIX: &str = "longshore-";

/// The allowed edges.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

/// What one crate may use.
#[derive(Debug)]
struct Row {
    name: String,
    ours: Vec<String>,
    besides: Vec<String>,
    in_tests: Vec<String>,
}

impl Table {
    /// Reads the table between its two marks.
    ///
    /// # Errors
    ///
    /// A finding that says which part of the table cannot be read.
    pub(crate) fn parse(markdown: &str) -> Result<Self, Finding> {
        let body = markdown
            .split_once(BEGIN)
            .and_then(|(_, after)| after.split_once(END))
            .map(|(body, _)| body)
            .ok_or_else(|| Finding::whole(DOCUMENT, format!("no {BEGIN} … {END}")))?;
        let rows = body
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| {
                Row::parse(line).ok_or_else(|| {
                    Finding::whole(DOCUMENT, format!("not a row of four cells: {line}"))
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { rows })
    }
}

impl Row {
    fn parse(line: &str) -> Option<Self> {
        let cells: Vec<Vec<String>> = line
            .trim()
            .trim_matches('|')
            .split('|')
            .map(names)
            .collect();
        let [name, ours, besides, in_tests] = cells.as_slice() else {
            return None;
        };
        Some(Self {
            name: name.first()?.clone(),
            ours: ours.iter().map(full_name).collect(),
            besides: besides.clone(),
            in_tests: in_tests.iter().map(full_name).collect(),
        })
    }
}

/// The names in backticks of one cell; a dash has none.
fn names(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn full_name(short: &String) -> String {
    match short.as_str() {
        "longshore" | "*" => short.clone(),
        _ => format!("{PREFIX}{short}"),
    }
}

/// Every edge in the manifests is in the table, and every row is a crate.
pub(crate) fn check(table: &Table, packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_ours = |name: &str| packages.iter().any(|package| package.name == name);
    for row in table.rows.iter().filter(|row| !is_ours(&row.name)) {
        findings.push(Finding::whole(
            DOCUMENT,
            format!("the table names {}: no crate", row.name),
        ));
    }
    for package in packages {
        let Some(row) = table.rows.iter().find(|row| row.name == package.name) else {
            findings.push(Finding::whole(
                DOCUMENT,
                format!("no row for {}", package.name),
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let has = |list: &[String]| list.iter().any(|n| *n == dependency.name || n == "*");
            let allowed = match (is_ours(&dependency.name), dependency.dev) {
                (true, false) => has(&row.ours),
                (true, true) => has(&row.ours) || has(&row.in_tests),
                (false, false) => row.besides.contains(&dependency.name),
                (false, true) => true,
            };
            if !allowed {
                let where_ = if dependency.dev { "its tests" } else { "it" };
                findings.push(Finding::whole(
                    &format!("{}/Cargo.toml", package.name),
                    format!("{DOCUMENT} does not let {where_} use {}", dependency.name),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    const TABLE: &str = "words\n<!-- edges -->\n\
        | crate | ours | besides | ours, in tests |\n\
        | --- | --- | --- | --- |\n\
        | `longshore-model` | — | `bytes`, `serde` | — |\n\
        | `longshore-proto` | `model` | — | `testkit` |\n\
        | `longshore-testkit` | `*` | — | — |\n\
        <!-- /edges -->\n";

    fn package(name: &str, dependencies: &[(&str, bool)]) -> Package {
        Package {
            name: name.to_owned(),
            directory: name.into(),
            rust_version: None,
            features: Vec::new(),
            dependencies: dependencies
                .iter()
                .map(|(name, dev)| Dependency {
                    name: (*name).to_owned(),
                    dev: *dev,
                })
                .collect(),
        }
    }

    fn found(packages: &[Package]) -> Vec<String> {
        let table = Table::parse(TABLE).unwrap();
        check(&table, packages)
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn edges_in_the_table_are_allowed() {
        let packages = [
            package("longshore-model", &[("bytes", false), ("proptest", true)]),
            package(
                "longshore-proto",
                &[("longshore-model", false), ("longshore-testkit", true)],
            ),
            package("longshore-testkit", &[("longshore-proto", false)]),
        ];
        assert_eq!(found(&packages), [""; 0]);
    }

    #[test]
    fn every_other_edge_is_refused() {
        let packages = [
            package(
                "longshore-model",
                &[("longshore-proto", false), ("hyper", false)],
            ),
            package("longshore-proto", &[("longshore-testkit", false)]),
            package("longshore-testkit", &[]),
        ];
        assert_eq!(
            found(&packages),
            [
                "longshore-model/Cargo.toml: ARCHITECTURE.md does not let it use longshore-proto",
                "longshore-model/Cargo.toml: ARCHITECTURE.md does not let it use hyper",
                "longshore-proto/Cargo.toml: ARCHITECTURE.md does not let it use longshore-testkit",
            ]
        );
    }

    #[test]
    fn a_test_only_edge_to_ours_is_named_too() {
        let packages = [
            package("longshore-model", &[("longshore-testkit", true)]),
            package("longshore-proto", &[]),
            package("longshore-testkit", &[]),
        ];
        assert_eq!(
            found(&packages),
            [
                "longshore-model/Cargo.toml: ARCHITECTURE.md does not let its tests use \
              longshore-testkit"
            ]
        );
    }

    #[test]
    fn rows_and_crates_are_the_same_set() {
        let packages = [
            package("longshore-model", &[]),
            package("longshore-new", &[]),
        ];
        assert_eq!(
            found(&packages),
            [
                "ARCHITECTURE.md: the table names longshore-proto: no crate",
                "ARCHITECTURE.md: the table names longshore-testkit: no crate",
                "ARCHITECTURE.md: no row for longshore-new",
            ]
        );
    }

    #[test]
    fn a_table_that_cannot_be_read_is_a_finding() {
        assert_eq!(
            Table::parse("nothing").unwrap_err().what,
            "no <!-- edges --> … <!-- /edges -->"
        );
        let short = "<!-- edges -->\n| `longshore-model` | — |\n<!-- /edges -->";
        assert_eq!(
            Table::parse(short).unwrap_err().what,
            "not a row of four cells: | `longshore-model` | — |"
        );
    }
}
