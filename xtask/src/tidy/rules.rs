//! The rules of security and reliability, as RULES.md lists them.
//!
//! ```text
//! - **CR1** What the rule demands.
//! - **DG7** What the rule demands. (not yet: why it has no test)
//! - **EN5** What the rule demands. (no test: what holds it instead)
//! ```
//!
//! A rule is one line. Its id is an area of two letters and a number. Tables beside the rules name
//! constants and fields of the code, which this module looks up.

use std::collections::BTreeMap;

use super::Finding;

/// Where the rules are written.
pub(crate) const DOCUMENT: &str = "RULES.md";

const ITEM: &str = "- **";
const MARKS: [&str; 2] = ["(not yet: ", "(no test: "];

/// All rules by their ids.
#[derive(Debug, Default)]
pub(crate) struct Rules(BTreeMap<String, Rule>);

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The line in RULES.md.
    pub(crate) line: usize,
    /// Why the rule has no test.
    pub(crate) untested: Option<String>,
}

impl Rules {
    /// Reads the document. Malformed rules and repeated ids are findings.
    pub(crate) fn parse(markdown: &str) -> (Self, Vec<Finding>) {
        let mut rules = Self::default();
        let mut findings = Vec::new();
        for (line, text) in (1..).zip(markdown.lines()) {
            let Some(item) = text.strip_prefix(ITEM) else {
                continue;
            };
            let Some((id, untested)) = parse(item) else {
                let what = "not a rule: `- **CR1** text`, or with `(not yet: reason)` at the end";
                findings.push(Finding::at(DOCUMENT, line, what));
                continue;
            };
            let rule = Rule { line, untested };
            if rules.0.insert(id.to_owned(), rule).is_some() {
                findings.push(Finding::at(DOCUMENT, line, format!("{id} is repeated")));
            }
        }
        if rules.0.is_empty() {
            findings.push(Finding::whole(DOCUMENT, "no rule: `- **CR1** text`"));
        }
        (rules, findings)
    }

    /// Whether a word has the shape of an id in one of the areas, whatever its number.
    pub(crate) fn is_id(&self, word: &str) -> bool {
        let (area, number) = split(word);
        let has_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        has_number && self.0.keys().any(|id| split(id).0 == area)
    }

    /// Whether there is a rule with this id.
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// The rules in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Rule)> {
        self.0.iter().map(|(id, rule)| (id.as_str(), rule))
    }
}

/// The area and the number of an id.
fn split(id: &str) -> (&str, &str) {
    let letters = id.trim_end_matches(|c: char| c.is_ascii_digit());
    id.split_at(letters.len())
}

/// The id of a rule and why it is untested, from what follows `- **`.
fn parse(item: &str) -> Option<(&str, Option<String>)> {
    let (id, text) = item.split_once("** ")?;
    let (area, number) = split(id);
    let is_area = area.len() == 2 && area.bytes().all(|b| b.is_ascii_uppercase());
    let is_number = !number.is_empty() && !number.starts_with('0');
    if !is_area || !is_number || text.trim().is_empty() {
        return None;
    }
    let Some((at, mark)) = MARKS
        .iter()
        .find_map(|mark| Some((text.rfind(mark)?, mark)))
    else {
        return Some((id, None));
    };
    let reason = text.get(at + mark.len()..)?.trim_end().strip_suffix(')')?;
    (!reason.is_empty()).then(|| (id, Some(reason.to_owned())))
}

/// Finds names in the tables of the document that are not in the code.
///
/// `sources` are the paths and texts of all Rust files. A name is a constant, or a public field
/// after its type.
pub(crate) fn check_names(markdown: &str, sources: &[(String, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rows = (1..).zip(markdown.lines());
    for (line, row) in rows.filter(|(_, row)| row.starts_with("| ")) {
        for name in row.split('`').skip(1).step_by(2) {
            let is_in_code = |text: &str| match name.split_once("::") {
                Some((owner, field)) => {
                    text.contains(&format!("struct {owner} "))
                        && text.contains(&format!("pub {field}: "))
                }
                None => text.contains(&format!("const {name}: ")),
            };
            let is_name = name.contains("::") || name.contains('_');
            if is_name && !sources.iter().any(|(_, text)| is_in_code(text)) {
                let what = format!("names {name}, which is not in the code");
                findings.push(Finding::at(DOCUMENT, line, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "\
# Rules

- *Origin*: not a rule.

- **CR1** A secret stays at home.
- **DG7** The digest agrees (if given). (not yet: nothing is uploaded)
- **EN5** A bug gets a test. (no test: review holds it)
";

    #[test]
    fn rules_are_lines_with_an_id() {
        let (rules, findings) = Rules::parse(RULES);
        assert_eq!(findings, []);
        let read: Vec<_> = rules
            .iter()
            .map(|(id, rule)| (id, rule.line, rule.untested.as_deref()))
            .collect();
        assert_eq!(
            read,
            [
                ("CR1", 5, None),
                ("DG7", 6, Some("nothing is uploaded")),
                ("EN5", 7, Some("review holds it")),
            ]
        );
    }

    // Ids that are not in RULES.md are put together, since this file is checked too.
    #[test]
    fn an_id_is_a_word_of_a_known_area_and_a_number() {
        let (rules, _) = Rules::parse(RULES);
        for (word, expected) in [
            ("CR1", true),
            (concat!("C", "R99"), true),
            ("CR", false),
            ("CR1a", false),
            ("XCR1", false),
            ("UTF8", false),
            ("", false),
        ] {
            assert_eq!(rules.is_id(word), expected, "{word}");
        }
        assert!(rules.contains("CR1"));
        assert!(!rules.contains(concat!("C", "R99")));
    }

    #[test]
    fn a_line_that_is_not_a_rule_is_found() {
        for line in [
            "- **CR** text",
            concat!("- **C", "R01** text"),
            "- **cr1** text",
            "- **CR1**",
            "- **CR1** ",
            "- **CR1** text (not yet: )",
            "- **CR1** text (not yet: why",
        ] {
            let (_, findings) = Rules::parse(&format!("- **RD1** text\n{line}\n"));
            let found: Vec<_> = findings.iter().map(Finding::to_string).collect();
            let [found] = found.as_slice() else {
                panic!("{line}: {found:?}")
            };
            assert!(found.starts_with("RULES.md:2: not a rule"), "{found}");
        }
    }

    #[test]
    fn an_id_that_stands_twice_and_a_document_without_rules_are_found() {
        let (_, findings) = Rules::parse("- **RD1** one\n- **RD1** two\n");
        assert_eq!(findings, [Finding::at(DOCUMENT, 2, "RD1 is repeated")]);
        let (_, findings) = Rules::parse("# Rules\n");
        assert_eq!(
            findings,
            [Finding::whole(DOCUMENT, "no rule: `- **CR1** text`")]
        );
    }

    #[test]
    fn a_name_that_the_code_does_not_have_is_found() {
        let source = "const PAGE_LIMIT: u32 = 1;\npub struct Policy {\n    pub waits: u32,\n}\n";
        let sources = [("a.rs".to_owned(), source.to_owned())];
        let table = "\
| limit | name in the code |
| --- | --- |
| `Location`, a page | `PAGE_LIMIT`, `Policy::waits` |
| another | `LOST_LIMIT`, `Policy::lost` |
";
        let found: Vec<_> = check_names(table, &sources)
            .iter()
            .map(Finding::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "RULES.md:4: names LOST_LIMIT, which is not in the code",
                "RULES.md:4: names Policy::lost, which is not in the code",
            ]
        );
    }
}
