//! The steps of `cargo xtask ci`, in the order they run.

use crate::checkout::Checkout;
use crate::libtest::Reading;
use crate::log::Log;
use crate::step::{Report, Step};
use crate::tidy;

/// The checks that a change must pass.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        about: "formatting of all Rust files",
        run: fmt,
    },
    Step {
        name: "clippy",
        about: "lints of all targets; warnings are errors",
        run: clippy,
    },
    Step {
        name: "doc",
        about: "documentation of the libraries builds; warnings are errors",
        run: doc,
    },
    Step {
        name: "test",
        about: "unit tests, properties, and end-to-end tests against real peers",
        run: test,
    },
    Step {
        name: "doctest",
        about: "examples in the documentation and in README.md",
        run: doctest,
    },
    Step {
        name: "fuzz-replay",
        about: "every seed through its fuzz target's body; with a nightly toolchain\n\
                also that the fuzz targets compile",
        run: fuzz_replay,
    },
    Step {
        name: "tidy",
        about: "the project's own rules: dependencies between crates, purity, rule ids,\n\
                versions, text",
        run: tidy::step,
    },
];

/// The fuzz bodies, as functions that stable can call.
const FUZZ_BODIES: &str = "longshore-fuzz-bodies";
/// The command line program, which has no library.
pub(crate) const PROGRAM: &str = "longshore-cli";

const FUZZ_MANIFEST: &str = "fuzz/Cargo.toml";

fn fmt(checkout: &Checkout, log: &mut Log) -> Report {
    let fuzz = ["fmt", "--manifest-path", FUZZ_MANIFEST, "--check"];
    let result = log
        .run(&mut checkout.cargo(["fmt", "--all", "--check"]))
        .and_then(|()| log.run(&mut checkout.cargo(fuzz)));
    Report::of(result)
}

/// Lints everything, and then the facade again with the features that a user with their own
/// transport enables.
fn clippy(checkout: &Checkout, log: &mut Log) -> Report {
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
    let result = log
        .run(&mut checkout.cargo(all))
        .and_then(|()| log.run(&mut checkout.cargo(trait_only)));
    Report::of(result)
}

/// Documents everything except the program: its comments are help texts for a terminal, and it
/// has the same name as the client.
fn doc(checkout: &Checkout, log: &mut Log) -> Report {
    let words = [
        "doc",
        "--workspace",
        "--exclude",
        PROGRAM,
        "--no-deps",
        "--locked",
    ];
    let mut command = checkout.cargo(words);
    Report::of(log.run(command.env("RUSTDOCFLAGS", "-Dwarnings")))
}

/// Tests everything. The conversions of the model are tested separately, so that the other tests
/// run without the crate that they convert to.
fn test(checkout: &Checkout, log: &mut Log) -> Report {
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
        "convert::",
    ];
    read_tests(checkout, log, &all).and_then(|| read_tests(checkout, log, &conversions))
}

fn doctest(checkout: &Checkout, log: &mut Log) -> Report {
    read_tests(checkout, log, &["--workspace", "--doc"])
}

/// Replays every seed on stable; compiles the fuzz targets where a nightly toolchain is installed.
fn fuzz_replay(checkout: &Checkout, log: &mut Log) -> Report {
    let build = ["check", "--manifest-path", FUZZ_MANIFEST, "--locked"];
    read_tests(checkout, log, &["-p", FUZZ_BODIES, "--lib", "--tests"]).and_then(|| match checkout
        .cargo_of("nightly", build)
    {
        None => Report::skipped("compiling the fuzz targets", NIGHTLY),
        Some(mut command) => Report::of(log.run(&mut command)),
    })
}

pub(crate) const NIGHTLY: &str = "no nightly toolchain: rustup toolchain install nightly";

/// Runs `cargo test` and counts the tests.
pub(crate) fn read_tests(checkout: &Checkout, log: &mut Log, what: &[&str]) -> Report {
    let words = ["test", "--locked", "--no-fail-fast"];
    let harness = ["--", "--show-output"];
    let mut command = checkout.cargo(words.iter().chain(what).chain(&harness).copied());
    let mut reading = Reading::default();
    let result = log.read(&mut command, |line| reading.line(line));
    reading.finish(result)
}
