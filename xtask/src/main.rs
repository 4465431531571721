//! Every check and chore of the project, runnable at home.
//!
//! The program uses none of the project's own crates: it starts cargo and other binaries, reads
//! files, and says what is wrong. So it still builds, and can still explain, when a crate does not.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people at a terminal"
)]

mod bench;
mod checkout;
mod ci;
mod demo;
mod full;
mod libtest;
mod metadata;
mod peers;
mod step;
mod tidy;

use std::process::ExitCode;

use checkout::Checkout;

const USAGE: &str = "\
cargo xtask <command>

  test [--install]  every check, with the peers the end-to-end tests talk to. Installs missing
                    ones by apt with --install, or where CI=true and the user is root
  ci [STEP…]        the checks alone, in order; or only the steps named:
                    fmt clippy doc test doctest fuzz-replay tidy
  bench pull        what a pull costs, beside the floor and other programs;
                    bench --help tells of its options
  demo              pulls a generated image from a registry on this machine, step by step
  tidy              walls, purity, spec versions, text rules
  full [STEP…]      what is slow or needs more tools:
                    features doc-hosts minimal-versions msrv deny fuzz
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let checkout = Checkout::here();
    let result = match arguments.as_slice() {
        ["test"] => test(&checkout, false),
        ["test", "--install"] => test(&checkout, true),
        ["ci", names @ ..] => step::run(&checkout, ci::STEPS, names),
        ["bench", "pull", options @ ..] => bench::run(&checkout, options).map(|()| true),
        ["bench", ..] => {
            print!("{}", bench::USAGE);
            Ok(true)
        }
        ["demo"] => demo::run_demo(&checkout).map(|()| true),
        ["tidy"] => step::run(&checkout, ci::STEPS, &["tidy"]),
        ["full", names @ ..] => step::run(&checkout, full::STEPS, names),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(true)
        }
        _ => Err(format!(
            "unknown command: {}\n\n{USAGE}",
            arguments.join(" ")
        )),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

fn test(checkout: &Checkout, install: bool) -> Result<bool, String> {
    peers::prepare(install)?;
    step::run(checkout, ci::STEPS, &[])
}
