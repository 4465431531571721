//! Every rule has a test that carries its id, in its name or in the comment above it.
//!
//! A rule that RULES.md marks as untested must have no test: remove the mark when the first test is
//! added.

use std::collections::BTreeSet;

use super::Finding;
use super::ids;
use super::rules::{DOCUMENT, Rules};

/// Finds rules that no test carries, and rules marked as untested that a test carries.
///
/// `sources` are the paths and texts of all Rust files.
pub(crate) fn check(rules: &Rules, sources: &[(String, String)]) -> Vec<Finding> {
    let tested: BTreeSet<_> = sources
        .iter()
        .flat_map(|(_, text)| tested(rules, text))
        .collect();
    let mut findings = Vec::new();
    for (id, rule) in rules.iter() {
        let what = match (tested.contains(id), &rule.untested) {
            (false, None) => format!("no test carries the id {id}"),
            (true, Some(why)) => format!("{id} has a test now: remove the mark \"{why}\""),
            _ => continue,
        };
        findings.push(Finding::at(DOCUMENT, rule.line, what));
    }
    findings
}

/// The ids that the tests in a file carry.
fn tested(rules: &Rules, text: &str) -> BTreeSet<String> {
    let lines: Vec<_> = text.lines().map(str::trim_start).collect();
    let mut found = BTreeSet::new();
    for (at, _) in (0..).zip(&lines).filter(|(_, line)| is_test(line)) {
        let above = lines.iter().take(at).rev();
        let comments = above.take_while(|line| line.starts_with("//") || line.starts_with("#["));
        found.extend(comments.flat_map(|line| ids::in_words(rules, line)));
        // Attributes and comments may stand between as well.
        let below = lines.iter().skip(at);
        if let Some(name) = below.take(ATTRIBUTES).find_map(|line| name(line)) {
            found.extend(ids::in_name(rules, name));
        }
    }
    found
}

/// Maximum number of lines from `#[test]` to the name.
const ATTRIBUTES: usize = 8;

/// `#[test]`, `#[tokio::test]`, `#[tokio::test(…)]`.
fn is_test(line: &str) -> bool {
    line == "#[test]" || line.starts_with("#[tokio::test")
}

fn name(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?
        .split_once('(')
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules::parse(
            "- **CR1** a\n- **DG7** b (not yet: nothing is uploaded)\n- **LI1** c\n- **OU1** d\n\
             - **RD1** e\n- **RD2** f\n- **RT9** g\n",
        )
        .0
    }

    #[test]
    fn a_test_carries_ids_in_its_name_and_above_it() {
        for (text, expected) in [
            ("#[test]\nfn rd1_a_thing() {}", &["RD1"][..]),
            ("#[test]\nfn rd1_rd2_things() {}", &["RD1", "RD2"]),
            (
                "// CR1: words.\n#[tokio::test(start_paused = true)]\nasync fn a() {}",
                &["CR1"],
            ),
            (
                "  // OU1: text.\n  // And more, RT9.\n  #[cfg(unix)]\n  #[test]\n  fn a() {}",
                &["OU1", "RT9"],
            ),
            ("#[test]\n#[expect(x)]\nfn li1_a() {}", &["LI1"]),
            ("// CR1\n\n#[test]\nfn a() {}", &[]),
            ("// CR1\nfn no_test() {}\n#[test]\nfn a_rd1() {}", &[]),
            ("fn rd1_no_test() {}", &[]),
        ] {
            let found: Vec<_> = tested(&rules(), text).into_iter().collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_rule_without_a_test_and_a_mark_that_is_outdated_are_found() {
        let found = |tested: &[&str]| {
            let tests = tested.iter();
            let text: String = tests
                .map(|id| format!("#[test]\nfn {id}_holds() {{}}\n"))
                .collect();
            let sources = [("tests/all.rs".to_owned(), text)];
            let findings = check(&rules(), &sources);
            findings
                .iter()
                .map(Finding::to_string)
                .collect::<Vec<String>>()
        };
        let all = ["cr1", "li1", "ou1", "rd1", "rd2", "rt9"];
        assert_eq!(found(&all), [""; 0]);
        assert_eq!(found(&all[1..]), ["RULES.md:1: no test carries the id CR1"]);
        assert_eq!(
            found(&[&all[..], &["dg7"]].concat()),
            ["RULES.md:2: DG7 has a test now: remove the mark \"nothing is uploaded\""]
        );
    }
}
