//! The ids of the security and reliability rules, as tests and comments cite them.
//!
//! A rule is an area and a number: `RD1`, and `rd1_` at the start of a test's name. The rules
//! themselves live outside the checkout; what can be proved here is that an id could be one.

use super::Finding;

/// The areas, and the highest number each has.
pub(super) const AREAS: [(&str, u32); 9] = [
    ("CA", 12),
    ("CR", 12),
    ("DG", 9),
    ("EN", 5),
    ("LI", 3),
    ("OU", 5),
    ("RD", 7),
    ("RE", 7),
    ("RT", 9),
];

/// Checks the ids in a file.
pub(crate) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let upper = text
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter_map(in_comment);
        for wrong in upper.chain(in_test_name(text)).filter(|id| !id.exists()) {
            let what = format!("{}{} is no rule", wrong.area, wrong.number);
            findings.push(Finding::at(path, line, what));
        }
    }
    findings
}

/// An area with digits behind it.
struct Id<'a> {
    area: &'static str,
    number: &'a str,
}

impl Id<'_> {
    fn exists(&self) -> bool {
        let highest = AREAS
            .iter()
            .find(|(area, _)| *area == self.area)
            .map(|(_, highest)| *highest);
        let canonical = !self.number.starts_with('0');
        canonical
            && self
                .number
                .parse()
                .is_ok_and(|number: u32| highest >= Some(number))
    }
}

/// `RD1`, a word of its own.
fn in_comment(word: &str) -> Option<Id<'_>> {
    AREAS.iter().find_map(|(area, _)| {
        let number = word.strip_prefix(area)?;
        (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
            .then_some(Id { area, number })
    })
}

/// `fn rd1_…`: the name of a test.
fn in_test_name(line: &str) -> Option<Id<'_>> {
    let (_, name) = line.split_once("fn ")?;
    let (first, _) = name.split_once('_')?;
    AREAS.iter().find_map(|(area, _)| {
        let number = first.strip_prefix(area.to_ascii_lowercase().as_str())?;
        (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
            .then_some(Id { area, number })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_be_rules_pass() {
        for line in [
            "// RD1",
            "/// CR12, RE7.",
            "fn rt6_a_resume() {}",
            "fn red1_x() {}",
            "XRD99",
        ] {
            assert_eq!(check("a.rs", line), [], "{line}");
        }
    }

    // The samples are put together, since this file is checked too.
    #[test]
    fn ids_that_cannot_be_are_found() {
        for (line, expected) in [
            (concat!("// R", "D8"), concat!("R", "D8 is no rule")),
            (concat!("// R", "D01"), concat!("R", "D01 is no rule")),
            (concat!("fn o", "u6_x() {}"), concat!("O", "U6 is no rule")),
            (concat!("fn r", "d0_x() {}"), concat!("R", "D0 is no rule")),
        ] {
            assert_eq!(
                check("a.rs", line),
                [Finding::at("a.rs", 1, expected)],
                "{line}"
            );
        }
    }
}
