//! `cargo xtask tidy`: the walls between the crates, and rules that the compiler does not know.
//!
//! Each rule is a function from text to findings, and its tests contain a sample that breaks it;
//! this file passes them the checkout. A finding is fixed, or the rule is changed here: there is
//! no list of exceptions.

mod commands;
mod edges;
pub(crate) mod files;
mod ids;
mod length;
mod lockfile;
mod msrv;
mod numbers;
mod promises;
mod proofs;
mod purity;
mod rules;
mod source;
mod spec;
mod text;
mod tree;
mod wire;

use std::fmt;

use crate::checkout::Checkout;
use crate::log::Log;
use crate::metadata::{self, Package};
use crate::rust_version::RustVersion;
use crate::step::Report;

/// The crates that decide and never act: no await, socket, file, clock, environment or randomness.
const PURE: [&str; 4] = [
    "longshore-auth",
    "longshore-model",
    "longshore-origin",
    "longshore-proto",
];

/// The crate whose `src/lib.rs` names the versions of the specifications.
const SPEC_PIN: &str = "crates/longshore-model/src/lib.rs";

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    /// From 1; 0 where the whole file is meant.
    line: usize,
    what: String,
}

impl Finding {
    fn at(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
        }
    }

    fn whole(path: &str, what: impl Into<String>) -> Self {
        Self::at(path, 0, what)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// The step: every rule over the checkout.
pub(crate) fn step(checkout: &Checkout, log: &mut Log) -> Report {
    let result = check(checkout, log).and_then(|findings| {
        let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
        match lines.len() {
            0 => Ok(()),
            count => Err(format!("findings: {count}\n{}", lines.join("\n"))),
        }
    });
    Report::of(result)
}

fn check(checkout: &Checkout, log: &mut Log) -> Result<Vec<Finding>, String> {
    let packages = metadata::load(checkout, log)?;
    let mut findings = walls(checkout, log, &packages)?;
    findings.extend(purity(checkout, &packages)?);
    findings.extend(texts(checkout)?);
    findings.extend(lockfile::check(&checkout.read("Cargo.lock")?));
    match RustVersion::of(&packages) {
        Ok(ours) => findings.extend(msrv::check(ours, &metadata::resolve(checkout, log)?)),
        Err(why) => findings.push(Finding::whole("Cargo.toml", why)),
    }
    Ok(findings)
}

/// Which crate may use which: the table, and what the dependency trees contain.
fn walls(checkout: &Checkout, log: &mut Log, packages: &[Package]) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    match edges::Table::parse(&checkout.read(edges::DOCUMENT)?) {
        Ok(table) => findings.extend(edges::check(&table, packages)),
        Err(finding) => findings.push(finding),
    }
    for name in PURE {
        let tree = tree::list(checkout, log, &["-p", name, "--all-features"])?;
        findings.extend(tree::check(name, &tree, tree::IMPURE));
    }
    let tree = tree::list(checkout, log, &["-p", "longshore", "--no-default-features"])?;
    findings.extend(tree::check(
        "longshore --no-default-features",
        &tree,
        tree::HYPER,
    ));
    Ok(findings)
}

fn purity(checkout: &Checkout, packages: &[Package]) -> Result<Vec<Finding>, String> {
    let root_lints = checkout.read(purity::CLIPPY_TOML)?;
    let mut findings = Vec::new();
    for package in packages
        .iter()
        .filter(|package| PURE.contains(&package.name.as_str()))
    {
        let directory = files::relative(checkout.root(), &package.directory);
        let path = format!("{directory}/{}", purity::CLIPPY_TOML);
        match checkout.read(&path) {
            Ok(lints) => findings.extend(purity::check_lints(&path, &lints, &root_lints)),
            Err(_) => findings.push(Finding::whole(&path, "a pure crate carries its own lints")),
        }
        let mut sources = Vec::new();
        for path in files::walk(checkout.root(), &format!("{directory}/src"))? {
            let text = checkout.read(&path)?;
            sources.push((path, text));
        }
        findings.extend(purity::check_sources(&sources));
    }
    Ok(findings)
}

fn texts(checkout: &Checkout) -> Result<Vec<Finding>, String> {
    let pin = checkout.read(SPEC_PIN)?;
    let (pins, mut findings) = spec::pins(SPEC_PIN, &pin);
    let document = checkout.read(rules::DOCUMENT)?;
    let (rules, wrong) = rules::Rules::parse(&document);
    findings.extend(wrong);
    let mut sources = Vec::new();
    for path in files::walk(checkout.root(), "")? {
        findings.extend(files::check_name(&path));
        if !files::is_text(&path) {
            continue;
        }
        let text = checkout.read(&path)?;
        findings.extend(text::check(&path, &text));
        findings.extend(spec::check(&pins, &path, &text));
        if path.ends_with(".rs") || path.ends_with(".md") {
            findings.extend(ids::check(&rules, &path, &text));
        }
        if path.ends_with(".rs") {
            findings.extend(msrv::check_syntax(&path, &text));
            findings.extend(numbers::check(&path, &text));
            sources.push((path, text));
        }
    }
    let promises = checkout.read(promises::DOCUMENT)?;
    findings.extend(promises::check(&promises, &sources));
    findings.extend(proofs::check(&rules, &sources));
    findings.extend(rules::check_names(&document, &sources));
    findings.extend(wire::check(&those(&sources, wire::is_checked)));
    let facade = |path: &str| path.starts_with(length::DIRECTORY);
    findings.extend(length::check(&those(&sources, facade)));
    let commands = |path: &str| path.starts_with(commands::DIRECTORY);
    findings.extend(commands::check(&those(&sources, commands)));
    Ok(findings)
}

/// The sources whose paths are wanted.
fn those(sources: &[(String, String)], wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let wanted = sources.iter().filter(|(path, _)| wanted(path));
    wanted.cloned().collect()
}
