//! Every check and chore of the project, runnable at home.
//!
//! The program uses none of the project's own crates: it starts cargo and other programs, reads
//! files, and reports what is wrong. So it still builds, and can still explain, when one of the
//! crates does not build.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people at a terminal"
)]

mod bench;
mod checkout;
mod ci;
mod command;
mod demo;
mod full;
mod libtest;
mod log;
mod metadata;
mod peers;
mod rust_version;
mod step;
mod tidy;

use std::process::ExitCode;

use checkout::Checkout;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match command::run(&Checkout::here(), &words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
