//! The commands of the program do not import each other: code that two of them need is outside
//! their modules.

use std::collections::BTreeSet;

use super::{Finding, source};

/// The files of the commands: one for each, and a directory for the parts of a command.
pub(crate) const DIRECTORY: &str = "crates/longshore-cli/src/command/";

/// Finds paths to a sibling in the files of the commands, without their tests.
pub(crate) fn check(sources: &[(String, String)]) -> Vec<Finding> {
    let inside = |path: &'_ String| path.strip_prefix(DIRECTORY).map(str::to_owned);
    let commands: BTreeSet<String> = sources
        .iter()
        .filter_map(|(path, _)| inside(path))
        .filter_map(|path| path.split(['/', '.']).next().map(str::to_owned))
        .collect();
    let mut findings = Vec::new();
    for (path, text) in source::outside_tests(sources) {
        let Some(place) = inside(path) else { continue };
        let own = place.split(['/', '.']).next().unwrap_or_default();
        // The path to a sibling has one `super` in the file of a command, two in a part of it, and
        // so on.
        let parents = place.matches('/').count() + 1;
        let code = source::without_tests(&source::code(text));
        let used = [
            (format!("{}::", vec!["super"; parents].join("::"))),
            "command::".to_owned(),
        ];
        let used = used.iter().flat_map(|module| members(&code, module));
        for (line, name) in used.collect::<BTreeSet<_>>() {
            if name != own && commands.contains(&name) {
                let what = format!("the command {own} uses the command {name}");
                findings.push(Finding::at(path, line, what));
            }
        }
    }
    findings
}

/// The names that follow a module's path, each with its line: `a::x`, and `a::{x, y::z}`.
fn members(code: &str, module: &str) -> Vec<(usize, String)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, _) in code.match_indices(module) {
        let before = code.get(..at).unwrap_or_default();
        let after = code.get(at + module.len()..).unwrap_or_default();
        // A longer path is another module, unless it begins at the root.
        let outer = before.strip_suffix("crate::").unwrap_or(before);
        if outer.ends_with(is_word) || outer.ends_with(':') {
            continue;
        }
        let line = before.matches('\n').count() + 1;
        let names = match after.strip_prefix('{') {
            Some(group) => heads(group),
            None => vec![after],
        };
        found.extend(names.into_iter().filter_map(|name| {
            let name = name.trim_start().split(|c: char| !is_word(c)).next()?;
            Some((line, name.to_owned()))
        }));
    }
    found
}

/// The members of a group of imports, up to its closing brace, each from its first letter.
fn heads(group: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let mut heads = vec![group];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.extend(group.get(at + 1..)),
            _ => {}
        }
    }
    heads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = |path: &str, text: &str| (format!("{DIRECTORY}{path}"), text.to_owned());
        let others = ["pull.rs", "config.rs", "inspect.rs"].map(|other| file(other, ""));
        let others = others
            .into_iter()
            .filter(|(other, _)| !other.ends_with(path));
        let sources: Vec<_> = others.chain([file(path, text)]).collect();
        let findings = check(&sources);
        findings
            .iter()
            .map(|finding| finding.to_string().replace(DIRECTORY, ""))
            .collect()
    }

    #[test]
    fn a_path_to_another_command_is_found() {
        for (path, text) in [
            ("pull.rs", "use super::config;"),
            ("pull.rs", "use super::{\n    choose, config::read,\n};"),
            ("pull.rs", "use crate::command::config::read;"),
            ("pull.rs", "use crate::command::{self, a::{b, c}, config};"),
            (
                "pull.rs",
                "use crate::command;fn f() { command::config::read(); }",
            ),
            ("pull/plan.rs", "use super::super::config;"),
            ("pull/plan.rs", "fn f() { super::super::config::read(); }"),
            ("pull/plan.rs", "use crate::command::config;"),
        ] {
            assert_eq!(
                found(path, text),
                [format!(
                    "{path}:1: the command pull uses the command config"
                )],
                "{path}: {text}"
            );
        }
    }

    #[test]
    fn own_parts_and_what_is_no_command_are_fine() {
        for (path, text) in [
            ("pull.rs", "use super::{choose, reference};"),
            ("pull.rs", "mod config;\nuse self::config::Plan;"),
            ("pull.rs", "use crate::command::pull::Plan;"),
            ("pull.rs", "use crate::config;"),
            ("pull.rs", "use crate::{a::config, choose};"),
            ("pull.rs", "let a = std::process::Command::new(config);"),
            ("pull.rs", "// super::config"),
            ("pull.rs", "#[cfg(test)]\nmod tests { use super::config; }"),
            ("pull/plan.rs", "use super::config;"),
            ("pull/plan.rs", "use super::super::choose;"),
            ("pull/plan/deep.rs", "use super::super::config;"),
        ] {
            assert_eq!(found(path, text), [""; 0], "{path}: {text}");
        }
    }
}
