//! Rules about lines of text: width, unfinished work, paths of one machine.

use super::Finding;

const WIDTH_COLUMNS: usize = 100;

/// Marks of work left for later. Written in halves, so that this file does not find itself.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    TODO_MACRO,
    UNIMPLEMENTED,
];
const TODO_MACRO: &str = concat!("to", "do!");
const UNIMPLEMENTED: &str = concat!("unimple", "mented!");

/// Directories that exist on one machine only.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
    concat!("C:", "\\Users"),
];

/// Checks one file line by line.
pub(crate) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let width = line.chars().count();
        if path.ends_with(".rs") && width > WIDTH_COLUMNS {
            let what = format!("{width} columns, and {WIDTH_COLUMNS} are the limit");
            findings.push(Finding::at(path, number, what));
        }
        for mark in UNFINISHED {
            if has_word(line, mark) {
                findings.push(Finding::at(path, number, format!("unfinished: {mark}")));
            }
        }
        for machine in MACHINE_PATHS {
            if line.contains(machine) {
                findings.push(Finding::at(
                    path,
                    number,
                    format!("a machine's path: {machine}"),
                ));
            }
        }
    }
    findings
}

/// Whether a line holds a mark that is not part of a longer word.
fn has_word(line: &str, mark: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(mark).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line
            .get(at + mark.len()..)
            .and_then(|text| text.chars().next());
        !before.is_some_and(is_word) && (mark.ends_with('!') || !after.is_some_and(is_word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(path, text)
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn a_line_of_rust_has_a_limit_in_columns_not_bytes() {
        assert_eq!(found("a.rs", &"ü".repeat(100)), [""; 0]);
        assert_eq!(
            found("a.rs", &format!("ok\n{}", "x".repeat(101))),
            ["a.rs:2: 101 columns, and 100 are the limit"]
        );
        assert_eq!(found("a.md", &"x".repeat(101)), [""; 0]);
    }

    #[test]
    fn unfinished_work_is_found_as_a_word() {
        for mark in UNFINISHED {
            let line = format!("// {mark} later");
            assert_eq!(
                found("a.rs", &line),
                [format!("a.rs:1: unfinished: {mark}")]
            );
            assert_eq!(found("a.rs", &format!("a{mark}")), [""; 0]);
        }
        assert_eq!(found("a.rs", concat!("TO", "DOS are fine")), [""; 0]);
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        for machine in MACHINE_PATHS {
            let expected = [format!("a.toml:1: a machine's path: {machine}")];
            assert_eq!(
                found("a.toml", &format!("path = \"{machine}me\"")),
                expected
            );
        }
    }
}
