//! The steps of `cargo xtask ci`, in the order they run.

use crate::checkout::{self, Checkout};
use crate::libtest::Reading;
use crate::step::{Report, Step};
use crate::tidy;

/// Every check that decides whether a change is good.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        run: fmt,
    },
    Step {
        name: "clippy",
        run: clippy,
    },
    Step {
        name: "doc",
        run: doc,
    },
    Step {
        name: "test",
        run: test,
    },
    Step {
        name: "doctest",
        run: doctest,
    },
    Step {
        name: "fuzz-replay",
        run: fuzz_replay,
    },
    Step {
        name: "tidy",
        run: tidy::step,
    },
];

/// The fuzz bodies, as functions that stable can call.
const FUZZ_BODIES: &str = "longshore-fuzz-bodies";
/// The command line, a program and no library.
pub(crate) const PROGRAM: &str = "longshore-cli";

const FUZZ_MANIFEST: &str = "fuzz/Cargo.toml";

fn fmt(checkout: &Checkout) -> Report {
    let ours = checkout::run(&mut checkout.cargo(["fmt", "--all", "--check"]));
    Report::of(ours.and_then(|()| {
        checkout::run(&mut checkout.cargo(["fmt", "--manifest-path", FUZZ_MANIFEST, "--check"]))
    }))
}

/// Lints everything, and the facade once more as someone with their own transport builds it.
fn clippy(checkout: &Checkout) -> Report {
    let all = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-Dwarnings",
    ];
    let trait_only = [
        "clippy",
        "-p",
        "longshore",
        "--no-default-features",
        "--locked",
        "--",
        "-Dwarnings",
    ];
    Report::of(
        checkout::run(&mut checkout.cargo(all))
            .and_then(|()| checkout::run(&mut checkout.cargo(trait_only))),
    )
}

/// Documents all but the program: its comments are help texts, written for a terminal, and its
/// name is also that of the client.
fn doc(checkout: &Checkout) -> Report {
    let words = [
        "doc",
        "--workspace",
        "--exclude",
        PROGRAM,
        "--no-deps",
        "--locked",
    ];
    let mut command = checkout.cargo(words);
    Report::of(checkout::run(command.env("RUSTDOCFLAGS", "-Dwarnings")))
}

/// Tests everything, and apart the one feature of the model: what takes the model alone does not
/// take the crate that it converts to.
fn test(checkout: &Checkout) -> Report {
    let all = [
        "--workspace",
        "--exclude",
        FUZZ_BODIES,
        "--lib",
        "--bins",
        "--tests",
        "--examples",
    ];
    let conversions = [
        "--package",
        "longshore-model",
        "--features",
        "oci-spec",
        "--lib",
    ];
    let report = read_tests(checkout, &all);
    if report.error.is_some() {
        return report;
    }
    let more = read_tests(checkout, &conversions);
    Report {
        passed: report.passed + more.passed,
        failed: report.failed + more.failed,
        skipped: [report.skipped, more.skipped].concat(),
        error: more.error,
    }
}

fn doctest(checkout: &Checkout) -> Report {
    read_tests(checkout, &["--workspace", "--doc"])
}

/// Replays every seed on stable; compiles the fuzz targets themselves where nightly can.
fn fuzz_replay(checkout: &Checkout) -> Report {
    let report = read_tests(checkout, &["-p", FUZZ_BODIES, "--lib", "--tests"]);
    if report.error.is_some() {
        return report;
    }
    let build = ["check", "--manifest-path", FUZZ_MANIFEST, "--locked"];
    match checkout.cargo_of("nightly", build) {
        None => report.but_skipped("the fuzz targets were not built: no nightly toolchain here"),
        Some(mut command) => match checkout::run(&mut command) {
            Ok(()) => Report {
                passed: report.passed + 1,
                ..report
            },
            Err(why) => Report {
                failed: 1,
                error: Some(why),
                ..report
            },
        },
    }
}

fn read_tests(checkout: &Checkout, what: &[&str]) -> Report {
    let words = ["test", "--locked", "--no-fail-fast"];
    let harness = ["--", "--show-output"];
    let mut command = checkout.cargo(words.iter().chain(what).chain(&harness).copied());
    let mut reading = Reading::default();
    let result = checkout::run_lines(&mut command, |line| {
        if reading.line(line) {
            println!("{line}");
        }
    });
    reading.finish(result)
}
