//! Reading what `cargo test -- --show-output` prints: counts, skipped tests, and failures.
//!
//! A test that cannot run here prints `SKIPPED: reason` and returns, so the test harness counts it
//! as passed and hides what it printed. With `--show-output` the harness prints the output of the
//! tests that passed after the results; this reader finds those lines there and counts these tests
//! as skipped. Ignored tests count as skipped too, unless another test runs them: `run by NAME`.

use std::collections::{BTreeMap, BTreeSet};

use crate::step::{Report, Skip};

/// What a skipped test prints before the reason.
const SKIPPED: &str = "SKIPPED: ";

/// The reading of the output of all test binaries that one command runs.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    report: Report,
    /// The output of the tests that failed.
    failures: String,
    binary: Binary,
}

/// The reading of the test binary that runs now.
#[derive(Debug, Default)]
struct Binary {
    section: Section,
    /// The test whose output is being read.
    test: String,
    /// The first reason of each skipped test.
    skipped: BTreeMap<String, String>,
    /// Tests that the harness itself counts as ignored.
    ignored: Vec<Skip>,
    /// The tests that ran, without their modules.
    ran: BTreeSet<String>,
    /// All lines so far, for a binary that ends before it prints its result.
    lines: String,
    failures: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Section {
    /// Not within a test binary.
    #[default]
    Between,
    Failures,
    Results,
    Successes,
}

impl Reading {
    /// Takes one line of standard output.
    pub(crate) fn line(&mut self, line: &str) {
        // In the other sections the line is something that a test printed.
        let between = matches!(self.binary.section, Section::Between | Section::Results);
        if between && is_start(line) {
            self.close();
            self.binary.section = Section::Results;
        }
        if self.binary.section == Section::Between {
            return;
        }
        self.binary.line(line);
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.finish_binary(counts);
        }
    }

    /// Counts the binary that printed `test result: …`.
    fn finish_binary(&mut self, counts: &str) {
        let binary = std::mem::take(&mut self.binary);
        let skipped = u64::try_from(binary.skipped.len()).unwrap_or(u64::MAX);
        self.report.passed += count(counts, " passed").saturating_sub(skipped);
        self.report.failed += count(counts, " failed");
        let skips = binary.skipped.into_iter();
        self.report
            .skipped
            .extend(skips.map(|(what, why)| Skip { what, why }));
        let runner_ran = |skip: &Skip| skip.runner().is_some_and(|test| binary.ran.contains(test));
        let ignored = binary.ignored.iter().filter(|skip| !runner_ran(skip));
        self.report.skipped.extend(ignored.cloned());
        self.failures.push_str(&binary.failures);
    }

    /// Keeps everything from a binary that ended without a result: a signal or an abort.
    fn close(&mut self) {
        let binary = std::mem::take(&mut self.binary);
        self.failures.push_str(&binary.lines);
    }

    /// The report, given how the command ended.
    pub(crate) fn finish(mut self, result: Result<(), String>) -> Report {
        self.close();
        if let Err(why) = result {
            self.report.failed = self.report.failed.max(1);
            let text = format!("{}\n{why}", self.failures);
            self.report.error = Some(text.trim().to_owned());
        }
        self.report
    }
}

impl Binary {
    fn line(&mut self, line: &str) {
        self.lines.push_str(line);
        self.lines.push('\n');
        match line {
            "successes:" => self.section = Section::Successes,
            "failures:" => self.section = Section::Failures,
            _ => {}
        }
        match self.section {
            Section::Between => {}
            Section::Failures => {
                self.failures.push_str(line);
                self.failures.push('\n');
            }
            Section::Results => {
                self.ignored.extend(ignored(line));
                self.ran.extend(ran(line));
            }
            Section::Successes => {
                if let Some(name) = heading(line) {
                    name.clone_into(&mut self.test);
                } else if let Some(why) = line.strip_prefix(SKIPPED) {
                    let reason = self.skipped.entry(self.test.clone());
                    reason.or_insert_with(|| why.to_owned());
                }
            }
        }
    }
}

/// `running 3 tests`
fn is_start(line: &str) -> bool {
    line.strip_prefix("running ")
        .and_then(|rest| rest.split_once(" test"))
        .is_some_and(|(number, rest)| number.parse::<u64>().is_ok() && matches!(rest, "" | "s"))
}

/// The name in `---- a::b stdout ----`.
fn heading(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

/// `test a::b ... ignored` and `test a::b ... ignored, reason`.
fn ignored(line: &str) -> Option<Skip> {
    let (what, rest) = line.strip_prefix("test ")?.split_once(" ... ignored")?;
    let why = match rest.strip_prefix(", ") {
        Some(reason) => format!("ignored: {reason}"),
        None => "ignored".to_owned(),
    };
    Some(Skip {
        what: what.to_owned(),
        why,
    })
}

/// The name without its modules in `test a::b ... ok` and `test a::b ... FAILED`.
fn ran(line: &str) -> Option<String> {
    let (name, result) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let name = name.rsplit("::").next()?;
    matches!(result, "ok" | "FAILED").then(|| name.to_owned())
}

impl Skip {
    /// The other test in `ignored: run by other_test, …`, which runs this one as a process.
    fn runner(&self) -> Option<&str> {
        let rest = self.why.strip_prefix("ignored: run by ")?;
        rest.split([',', ' ']).next()
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
running 5 tests
test a ... ok
test b::c ... ok
test d ... FAILED
test e ... ignored
test f ... ignored, takes an hour

successes:

---- a stdout ----
some words
running 1 test
the word SKIPPED: is not at the start

---- b::c stdout ----
SKIPPED: no docker-registry
SKIPPED: no skopeo

successes:
    a
    b::c

failures:

---- d stdout ----
SKIPPED: a failure is not skipped

failures:
    d

test result: FAILED. 2 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out

running 5 tests
test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out
";

    fn read(output: &str) -> Reading {
        let mut reading = Reading::default();
        output.lines().for_each(|line| reading.line(line));
        reading
    }

    fn skip(what: &str, why: &str) -> Skip {
        Skip {
            what: what.to_owned(),
            why: why.to_owned(),
        }
    }

    #[test]
    fn a_skipped_test_is_counted_once_and_not_as_passed() {
        let report = read(OUTPUT).finish(Err("exit status: 101".to_owned()));
        assert_eq!((report.passed, report.failed), (6, 1));
        assert_eq!(
            report.skipped,
            [
                skip("b::c", "no docker-registry"),
                skip("e", "ignored"),
                skip("f", "ignored: takes an hour"),
            ]
        );
    }

    #[test]
    fn a_test_that_another_one_runs_is_not_skipped() {
        let output = "running 3 tests\n\
                      test m::child ... ignored, run by parent, in a process\n\
                      test m::orphan ... ignored, run by nobody\n\
                      test m::parent ... ok\n\
                      test result: ok. 1 passed; 0 failed; 2 ignored";
        let report = read(output).finish(Ok(()));
        assert_eq!(report.passed, 1);
        assert_eq!(
            report.skipped,
            [skip("m::orphan", "ignored: run by nobody")]
        );
    }

    #[test]
    fn the_output_of_a_failure_is_kept_whole_and_that_of_a_success_is_not() {
        let report = read(OUTPUT).finish(Err("exit status: 101".to_owned()));
        assert_eq!(
            report.error.unwrap(),
            "failures:\n\n---- d stdout ----\nSKIPPED: a failure is not skipped\n\n\
             failures:\n    d\n\n\
             test result: FAILED. 2 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out\n\n\
             exit status: 101"
        );
    }

    #[test]
    fn a_binary_that_ends_without_a_result_is_kept_whole() {
        let output = "running 2 tests\ntest a ... ok\nrunning 1 test\ntest b ... ok\n\
                      test result: ok. 1 passed; 0 failed";
        let report = read(output).finish(Err("signal: 6".to_owned()));
        assert_eq!((report.passed, report.failed), (1, 1));
        assert_eq!(
            report.error.unwrap(),
            "running 2 tests\ntest a ... ok\n\nsignal: 6"
        );
    }

    #[test]
    fn a_build_that_fails_counts_as_one_failure() {
        let report = Reading::default().finish(Err("exit status: 101".to_owned()));
        assert_eq!((report.passed, report.failed), (0, 1));
        assert_eq!(report.error.as_deref(), Some("exit status: 101"));
    }

    #[test]
    fn a_run_that_succeeds_has_no_error() {
        let report = read("running 1 test\ntest result: ok. 1 passed; 0 failed").finish(Ok(()));
        assert_eq!((report.passed, report.failed), (1, 0));
        assert_eq!(report.error, None);
    }
}
