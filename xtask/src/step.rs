//! Named, timed steps: the first failure stops, and the last line counts.

use std::time::Instant;

use crate::checkout::Checkout;

/// One named check.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Checkout) -> Report,
}

/// What a step found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Checks that held: the tests of a test step, one for any other.
    pub(crate) passed: u64,
    /// Checks that did not.
    pub(crate) failed: u64,
    /// What the step could not look at, and why.
    pub(crate) skipped: Vec<String>,
    /// Why the step failed.
    pub(crate) error: Option<String>,
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

    /// The report of a step that cannot run here.
    pub(crate) fn skipped(why: &str) -> Self {
        Self {
            skipped: vec![why.to_owned()],
            ..Self::default()
        }
    }

    /// Notes something the step did not look at.
    #[must_use]
    pub(crate) fn but_skipped(mut self, why: &str) -> Self {
        self.skipped.push(why.to_owned());
        self
    }
}

/// Runs the steps named, or all of them, in their order, up to the first that fails.
///
/// Returns whether all passed, which the last line on standard output says in numbers.
///
/// # Errors
///
/// A name that is none of theirs; nothing was run.
pub(crate) fn run(checkout: &Checkout, steps: &[Step], names: &[&str]) -> Result<bool, String> {
    let known: Vec<&str> = steps.iter().map(|step| step.name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        return Err(format!(
            "no step is called {unknown}; there are: {}",
            known.join(" ")
        ));
    }
    let wanted = steps
        .iter()
        .filter(|step| names.is_empty() || names.contains(&step.name));

    let mut summary = Summary::default();
    for step in wanted {
        if summary.error.is_some() {
            summary.not_run(step.name);
            continue;
        }
        eprintln!("\n==> {}", step.name);
        let start = Instant::now();
        let report = (step.run)(checkout);
        summary.add(step.name, start.elapsed().as_secs_f64(), report);
    }
    println!("{}", summary.text());
    Ok(summary.error.is_none())
}

/// The closing table.
#[derive(Debug, Default)]
struct Summary {
    lines: Vec<String>,
    skipped: Vec<String>,
    passed: u64,
    failed: u64,
    error: Option<String>,
}

impl Summary {
    fn add(&mut self, name: &str, seconds: f64, report: Report) {
        let word = match (&report.error, report.passed) {
            (Some(_), _) => "FAILED",
            (None, 0) => "skipped",
            (None, _) => "ok",
        };
        self.lines
            .push(format!("{name:<16} {word:<8} {seconds:>7.1} s"));
        self.skipped.extend(
            report
                .skipped
                .iter()
                .map(|what| format!("SKIPPED ({name}) {what}")),
        );
        self.passed += report.passed;
        self.failed += report.failed;
        self.error = report.error.map(|why| format!("step {name} failed: {why}"));
    }

    fn not_run(&mut self, name: &str) {
        self.lines.push(format!("{name:<16} not run"));
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for line in self.lines.iter().chain(&self.skipped).chain(&self.error) {
            text.push('\n');
            text.push_str(line);
        }
        text.push_str(&format!(
            "\n\n{} passed, {} failed",
            self.passed, self.failed
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_step_runs_nothing() {
        let steps = [Step {
            name: "boom",
            run: |_| panic!("must not run"),
        }];
        let error = run(&Checkout::here(), &steps, &["bang"]).unwrap_err();
        assert_eq!(error, "no step is called bang; there are: boom");
    }

    #[test]
    fn the_first_failure_stops_the_rest() {
        let steps = [
            Step {
                name: "good",
                run: |_| Report::of(Ok(())),
            },
            Step {
                name: "bad",
                run: |_| Report::of(Err("it broke".to_owned())),
            },
            Step {
                name: "never",
                run: |_| panic!("must not run"),
            },
        ];
        assert_eq!(run(&Checkout::here(), &steps, &[]), Ok(false));
        assert_eq!(run(&Checkout::here(), &steps, &["good"]), Ok(true));
    }

    #[test]
    fn the_closing_line_counts_tests_not_steps() {
        let mut summary = Summary::default();
        summary.add("fmt", 0.5, Report::of(Ok(())));
        summary.add(
            "test",
            61.25,
            Report {
                passed: 40,
                failed: 2,
                ..Report::default()
            },
        );
        summary.add("deny", 0.0, Report::skipped("cargo-deny is not installed"));
        assert_eq!(
            summary.text(),
            "\nfmt              ok           0.5 s\
             \ntest             ok          61.2 s\
             \ndeny             skipped      0.0 s\
             \nSKIPPED (deny) cargo-deny is not installed\
             \n\n41 passed, 2 failed"
        );
    }

    #[test]
    fn the_reason_stands_above_the_closing_line() {
        let mut summary = Summary::default();
        summary.add("fmt", 0.5, Report::of(Err("exit status: 1".to_owned())));
        summary.not_run("clippy");
        assert_eq!(
            summary.text(),
            "\nfmt              FAILED       0.5 s\
             \nclippy           not run\
             \nstep fmt failed: exit status: 1\
             \n\n0 passed, 1 failed"
        );
    }
}
