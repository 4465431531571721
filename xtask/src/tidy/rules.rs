//! Every rule has a test that carries its id, in its name or in the comment above it.
//!
//! The rules themselves live outside the checkout, their ids in [`AREAS`]. What belongs to parts
//! that do not exist yet stands in [`DEFERRED`], and comes off that list with its first test.

use std::collections::BTreeSet;

use super::Finding;
use super::ids::AREAS;

/// Where the rules are proved.
const TESTS: &str = "tests";

/// Areas that are not about what a client reads: the cache, and how the work is done, which other
/// checks of this file's neighbours look after.
const ELSEWHERE: [&str; 2] = ["CA", "EN"];

/// Rules without a test, and why.
const DEFERRED: [(&str, u32, &str); 1] = [("DG", 7, "nothing is uploaded yet")];

/// Finds rules that no test carries, and deferred ones that one does.
///
/// `sources` are the paths and texts of all Rust files.
pub(crate) fn check(sources: &[(String, String)]) -> Vec<Finding> {
    let tested: BTreeSet<_> = sources.iter().flat_map(|(_, text)| tested(text)).collect();
    let all = AREAS
        .iter()
        .filter(|(area, _)| !ELSEWHERE.contains(area))
        .flat_map(|(area, highest)| (1..=*highest).map(move |number| (*area, number)));
    all.filter_map(|(area, number)| {
        let is_tested = tested.contains(&(area, number));
        let deferred = DEFERRED
            .iter()
            .find(|(other, n, _)| (*other, *n) == (area, number));
        let what = match (is_tested, deferred) {
            (false, None) => format!("no test carries the id of {area}{number}"),
            (true, Some((_, _, why))) => {
                format!("{area}{number} has a test, and is not deferred because {why}")
            }
            _ => return None,
        };
        Some(Finding::whole(TESTS, what))
    })
    .collect()
}

/// The ids that the tests in a file carry.
fn tested(text: &str) -> BTreeSet<(&'static str, u32)> {
    let lines: Vec<_> = text.lines().map(str::trim_start).collect();
    let mut ids = BTreeSet::new();
    for (at, _) in (0..).zip(&lines).filter(|(_, line)| is_test(line)) {
        let above = lines.iter().take(at).rev();
        let comments = above.take_while(|line| line.starts_with("//") || line.starts_with("#["));
        ids.extend(comments.flat_map(|line| in_words(line)));
        // Attributes and comments may stand between as well.
        let below = lines.iter().skip(at);
        if let Some(name) = below.take(ATTRIBUTES).find_map(|line| name(line)) {
            ids.extend(in_name(name));
        }
    }
    ids
}

/// At most so many lines stand between `#[test]` and the name.
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

/// `RD1` and the like, words of their own.
fn in_words(line: &str) -> impl Iterator<Item = (&'static str, u32)> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter_map(|word| id(word, str::to_owned))
}

/// `rd1_rd2_…`: the words a name begins with.
fn in_name(name: &str) -> impl Iterator<Item = (&'static str, u32)> {
    name.split('_')
        .map_while(|word| id(word, str::to_ascii_lowercase))
}

fn id(word: &str, spelt: impl Fn(&str) -> String) -> Option<(&'static str, u32)> {
    AREAS.iter().find_map(|(area, _)| {
        let number = word.strip_prefix(&spelt(area))?;
        Some((*area, number.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_carries_ids_in_its_name_and_above_it() {
        for (text, expected) in [
            ("#[test]\nfn rd1_a_thing() {}", &[("RD", 1)][..]),
            ("#[test]\nfn rd1_rd2_things() {}", &[("RD", 1), ("RD", 2)]),
            (
                "// CR1, F28\n#[tokio::test(start_paused = true)]\nasync fn a() {}",
                &[("CR", 1)],
            ),
            (
                "  // OU1: text.\n  // And more, RT9.\n  #[cfg(unix)]\n  #[test]\n  fn a() {}",
                &[("OU", 1), ("RT", 9)],
            ),
            ("#[test]\n#[expect(x)]\nfn li1_a() {}", &[("LI", 1)]),
            ("// CR1\n\n#[test]\nfn a() {}", &[]),
            ("// CR1\nfn no_test() {}\n#[test]\nfn a_rd1() {}", &[]),
            ("fn rd1_no_test() {}", &[]),
        ] {
            let found: Vec<_> = tested(text).into_iter().collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_rule_without_a_test_is_found() {
        let rules = AREAS.iter().flat_map(|(area, highest)| {
            (1..=*highest).map(move |number| format!("{}{number}", area.to_ascii_lowercase()))
        });
        let source = |without: &[&str]| {
            let all = rules
                .clone()
                .filter(|rule| !without.contains(&rule.as_str()));
            let tests = all.map(|rule| format!("#[test]\nfn {rule}_holds() {{}}\n"));
            [("tests/all.rs".to_owned(), tests.collect::<String>())]
        };
        assert_eq!(check(&source(&["dg7"])), []);
        let missing = check(&source(&["dg7", "rd3"]));
        assert_eq!(
            missing,
            [Finding::whole(TESTS, "no test carries the id of RD3")]
        );
        let found: Vec<_> = check(&source(&[])).iter().map(Finding::to_string).collect();
        assert_eq!(
            found,
            ["tests: DG7 has a test, and is not deferred because nothing is uploaded yet"]
        );
    }
}
