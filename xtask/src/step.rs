//! Named, timed steps: the first failure stops the run, and the last line has the totals.

use std::fmt;
use std::time::Instant;

use crate::checkout::Checkout;
use crate::log::{Log, STEP_COLUMNS};

/// One named check.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// What the step checks, for the help text.
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Checkout, &mut Log) -> Report,
}

/// What a step found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Checks that succeeded: the tests of a test step, one for any other step.
    pub(crate) passed: u64,
    /// Checks that failed.
    pub(crate) failed: u64,
    /// Checks that could not run here.
    pub(crate) skipped: Vec<Skip>,
    /// Why the step failed, with the complete output of what failed.
    pub(crate) error: Option<String>,
}

/// One check that could not run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    /// The name of the test or of the check.
    pub(crate) what: String,
    /// The reason.
    pub(crate) why: String,
}

impl Report {
    /// The report of a step that is a single check.
    pub(crate) fn of(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self {
                passed: 1,
                ..Self::default()
            },
            Err(why) => Self {
                failed: 1,
                error: Some(why),
                ..Self::default()
            },
        }
    }

    /// The report of a check that cannot run here.
    pub(crate) fn skipped(what: &str, why: &str) -> Self {
        Self {
            skipped: vec![Skip {
                what: what.to_owned(),
                why: why.to_owned(),
            }],
            ..Self::default()
        }
    }

    /// This report and that of another part of the same step, which runs only if this part passed.
    #[must_use]
    pub(crate) fn and_then(self, more: impl FnOnce() -> Self) -> Self {
        if self.error.is_some() {
            return self;
        }
        let more = more();
        Self {
            passed: self.passed + more.passed,
            failed: self.failed + more.failed,
            skipped: [self.skipped, more.skipped].concat(),
            error: more.error,
        }
    }

    /// What the step's line says behind its name.
    fn line(&self, seconds: f64) -> String {
        let word = match (&self.error, self.passed) {
            (Some(_), _) => "FAILED",
            (None, 0) => "skipped",
            (None, _) => "ok",
        };
        let counts = [
            (self.passed, "passed"),
            (self.failed, "failed"),
            (self.skipped.len() as u64, "skipped"),
        ];
        let counts: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        format!("{word:<8} {seconds:>7.1} s   {}", counts.join(", "))
    }
}

/// Chooses the named steps, or all, in the order of `steps`.
///
/// # Errors
///
/// A name that none of the steps has.
pub(crate) fn choose(steps: &[Step], names: &[&str]) -> Result<Vec<Step>, String> {
    let known: Vec<&str> = steps.iter().map(|step| step.name).collect();
    match names.iter().find(|name| !known.contains(name)) {
        Some(unknown) => Err(format!(
            "there is no step {unknown}; the steps are: {}",
            known.join(" ")
        )),
        None => Ok(steps
            .iter()
            .filter(|step| names.is_empty() || names.contains(&step.name))
            .copied()
            .collect()),
    }
}

/// Runs the steps in their order, up to the first that fails, and prints one line for each.
///
/// Returns whether all passed. The last line on standard output has the numbers.
pub(crate) fn run(checkout: &Checkout, steps: &[Step], log: &mut Log) -> bool {
    println!("log: {}\n", log.path().display());
    let mut summary = Summary::default();
    for step in steps {
        if summary.error.is_some() {
            println!("{:<STEP_COLUMNS$}not run", step.name);
            continue;
        }
        log.begin(step.name);
        let start = Instant::now();
        let report = (step.run)(checkout, log);
        log.end(&report.line(start.elapsed().as_secs_f64()));
        summary.add(step.name, report);
    }
    println!("{summary}");
    summary.error.is_none()
}

/// What follows the lines of the steps.
#[derive(Debug, Default)]
struct Summary {
    passed: u64,
    failed: u64,
    skipped: Vec<String>,
    error: Option<String>,
}

impl Summary {
    fn add(&mut self, step: &str, report: Report) {
        self.passed += report.passed;
        self.failed += report.failed;
        let skipped = report.skipped.iter();
        self.skipped
            .extend(skipped.map(|skip| format!("skipped ({step}): {}: {}", skip.what, skip.why)));
        self.error = report.error.map(|why| format!("{step} failed: {why}"));
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.skipped.is_empty() {
            writeln!(f)?;
        }
        for skipped in &self.skipped {
            writeln!(f, "{skipped}")?;
        }
        if let Some(error) = &self.error {
            writeln!(f, "\n{error}")?;
        }
        write!(
            f,
            "\n{} passed, {} failed, {} skipped",
            self.passed,
            self.failed,
            self.skipped.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &'static str, run: fn(&Checkout, &mut Log) -> Report) -> Step {
        Step {
            name,
            about: "",
            run,
        }
    }

    #[test]
    fn steps_are_chosen_by_name_in_their_own_order() {
        let steps = ["a", "b", "c"].map(|name| step(name, |_, _| Report::default()));
        let chosen = |names: &[&str]| {
            let steps = choose(&steps, names)?;
            Ok::<_, String>(steps.iter().map(|step| step.name).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&[]).unwrap(), ["a", "b", "c"]);
        assert_eq!(chosen(&["c", "a"]).unwrap(), ["a", "c"]);
        assert_eq!(
            chosen(&["a", "d"]).unwrap_err(),
            "there is no step d; the steps are: a b c"
        );
    }

    #[test]
    fn the_first_failure_stops_the_rest() {
        let good = step("good", |_, _| Report::of(Ok(())));
        let bad = step("bad", |_, _| Report::of(Err("it broke".to_owned())));
        let never = step("never", |_, _| panic!("must not run"));
        let checkout = Checkout::here();
        let mut log = Log::create(checkout.root(), "test-of-steps").unwrap();
        assert!(!run(&checkout, &[good, bad, never], &mut log));
        assert!(run(&checkout, &[good], &mut log));
    }

    #[test]
    fn a_second_part_runs_after_a_success_only() {
        let good = || Report::of(Ok(()));
        let both = good().and_then(|| Report::skipped("deny", "not installed"));
        assert_eq!((both.passed, both.skipped.len()), (1, 1));
        let bad = Report::of(Err("it broke".to_owned()));
        let first = bad.and_then(|| panic!("must not run"));
        assert_eq!(first.error.as_deref(), Some("it broke"));
    }

    #[test]
    fn a_line_has_the_result_the_time_and_the_counts() {
        let tests = Report {
            passed: 40,
            failed: 2,
            error: Some("exit status: 101".to_owned()),
            ..Report::skipped("a::b", "no nginx")
        };
        assert_eq!(
            tests.line(61.25),
            "FAILED      61.2 s   40 passed, 2 failed, 1 skipped"
        );
        assert_eq!(
            Report::of(Ok(())).line(0.5),
            "ok           0.5 s   1 passed"
        );
        assert_eq!(
            Report::skipped("deny", "not installed").line(0.0),
            "skipped      0.0 s   1 skipped"
        );
    }

    #[test]
    fn the_closing_line_counts_all_steps_and_each_skipped_test_is_named() {
        let mut summary = Summary::default();
        summary.add("fmt", Report::of(Ok(())));
        let tests = Report {
            passed: 40,
            ..Report::skipped("a::b", "no nginx")
        };
        summary.add("test", tests);
        summary.add(
            "deny",
            Report::skipped("all", "cargo-deny is not installed"),
        );
        assert_eq!(
            summary.to_string(),
            "\nskipped (test): a::b: no nginx\
             \nskipped (deny): all: cargo-deny is not installed\
             \n\
             \n41 passed, 0 failed, 2 skipped"
        );
    }

    #[test]
    fn a_failure_stands_whole_above_the_closing_line() {
        let mut summary = Summary::default();
        let error = "cargo fmt: exit status: 1\nDiff in a.rs:\n-a\n+b";
        summary.add("fmt", Report::of(Err(error.to_owned())));
        assert_eq!(
            summary.to_string(),
            "\nfmt failed: cargo fmt: exit status: 1\
             \nDiff in a.rs:\
             \n-a\
             \n+b\
             \n\
             \n0 passed, 1 failed, 0 skipped"
        );
    }
}
