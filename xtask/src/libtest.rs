//! Reading what `cargo test -- --show-output` prints: counts, and the tests that skipped loudly.
//!
//! The test harness swallows the output of a test that passes, so a test that skips because a
//! peer or a corpus is not there would pass in silence. With `--show-output` its words come after
//! the results; this reader keeps the lines that begin with `skip` and drops the rest.

use crate::step::Report;

/// A running reading of the output.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Whether the lines are those of tests that passed.
    in_successes: bool,
    test: String,
    report: Report,
}

impl Reading {
    /// Takes one line; returns whether it is worth showing.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.in_successes = false;
            self.report.passed += count(counts, " passed");
            self.report.failed += count(counts, " failed");
            return true;
        }
        match line {
            "successes:" => self.in_successes = true,
            "failures:" => self.in_successes = false,
            _ => {}
        }
        if !self.in_successes {
            return true;
        }
        if let Some(name) = line
            .strip_prefix("---- ")
            .and_then(|l| l.strip_suffix(" stdout ----"))
        {
            name.clone_into(&mut self.test);
        } else if line
            .get(..4)
            .is_some_and(|word| word.eq_ignore_ascii_case("skip"))
        {
            self.report.skipped.push(format!("{}: {line}", self.test));
        }
        false
    }

    /// The report, given how the command ended.
    pub(crate) fn finish(mut self, result: Result<(), String>) -> Report {
        if let Err(why) = result {
            self.report.failed = self.report.failed.max(1);
            self.report.error = Some(why);
        }
        self.report
    }
}

/// The number before `word` in `ok. 3 passed; 0 failed; …`.
fn count(counts: &str, word: &str) -> u64 {
    counts
        .split_once(word)
        .and_then(|(before, _)| before.rsplit(' ').next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 3 tests
test a ... ok
test b::c ... ok
test d ... FAILED

successes:

---- a stdout ----
some words

---- b::c stdout ----
SKIPPED: no docker-registry

successes:
    a
    b::c

failures:

---- d stdout ----
skipping is no excuse

failures:
    d

test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out
test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";

    #[test]
    fn counts_add_up_over_binaries_and_skips_are_named() {
        let mut reading = Reading::default();
        let shown: Vec<&str> = OUTPUT.lines().filter(|line| reading.line(line)).collect();
        assert!(
            shown.contains(&"skipping is no excuse"),
            "the output of a failure is shown"
        );
        assert!(
            !shown.contains(&"some words"),
            "the output of a success is not"
        );
        let report = reading.finish(Err("exit status: 101".to_owned()));
        assert_eq!((report.passed, report.failed), (7, 1));
        assert_eq!(report.skipped, ["b::c: SKIPPED: no docker-registry"]);
    }

    #[test]
    fn a_build_that_fails_counts_as_one_failure() {
        let report = Reading::default().finish(Err("exit status: 101".to_owned()));
        assert_eq!((report.passed, report.failed), (0, 1));
        assert_eq!(report.error.as_deref(), Some("exit status: 101"));
    }
}
