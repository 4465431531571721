//! The ids of rules, as sources and documents cite them: each is in RULES.md.
//!
//! An id is a word such as RD1, and `rd1_` at the start of a function's name.

use super::Finding;
use super::rules::{DOCUMENT, Rules};

/// Finds the ids in a file that no rule has.
pub(crate) fn check(rules: &Rules, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let function = text.split_once("fn ").map_or("", |(_, name)| name);
        let cited = in_words(rules, text).chain(in_name(rules, function));
        for id in cited.filter(|id| !rules.contains(id)) {
            let what = format!("{id} is not in {DOCUMENT}");
            findings.push(Finding::at(path, line, what));
        }
    }
    findings
}

/// The ids among the words of a text.
pub(crate) fn in_words<'a>(rules: &'a Rules, text: &'a str) -> impl Iterator<Item = String> + 'a {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| rules.is_id(word))
        .map(str::to_owned)
}

/// The ids that a function's name begins with: `rd1_rd2_…`.
pub(crate) fn in_name<'a>(rules: &'a Rules, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let words = name.split('_').map(str::to_ascii_uppercase);
    // The last part is no prefix.
    let prefixes = name.matches('_').count();
    words.take(prefixes).take_while(|word| rules.is_id(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Vec<String> {
        let (rules, _) = Rules::parse("- **RD1** a\n- **RT6** b\n- **RE7** c\n");
        check(&rules, "a.rs", line)
            .iter()
            .map(Finding::to_string)
            .collect()
    }

    #[test]
    fn ids_of_rules_pass() {
        for line in [
            "// RD1",
            "/// (RT6, RE7).",
            "fn rt6_a_resume() {}",
            "fn rt6_rd1_a_resume() {}",
            "fn red9_x() {}",
            "fn rd9() {}",
            "XRD99, UTF8",
        ] {
            assert_eq!(found(line), [""; 0], "{line}");
        }
    }

    // The samples are put together, since this file is checked too.
    #[test]
    fn ids_of_no_rule_are_found() {
        for (line, expected) in [
            (concat!("// R", "D8"), concat!("R", "D8")),
            (concat!("// R", "D01"), concat!("R", "D01")),
            (concat!("fn r", "t7_x() {}"), concat!("R", "T7")),
            (concat!("fn rd1_r", "t7_x() {}"), concat!("R", "T7")),
            (concat!("fn r", "d0_x() {}"), concat!("R", "D0")),
        ] {
            let expected = format!("a.rs:1: {expected} is not in RULES.md");
            assert_eq!(found(line), [expected], "{line}");
        }
    }
}
