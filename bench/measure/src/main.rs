//! Runs a program and says what it cost, as one line of JSON on standard output.
//!
//! The system keeps the peak memory of the largest child that was waited for, and counts what a
//! child held before it became another program. So this program is small, and has one child.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("bench-measure PROGRAM [ARGUMENT…]");
        return ExitCode::from(2);
    };
    let mut command = Command::new(program);
    // Its words go to standard error: standard output is for the figures.
    command.args(words).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status();
    let wall = start.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN);
    match (status, usage) {
        (Ok(status), Ok(usage)) => {
            println!(
                "{{\"wall_us\":{},\"user_us\":{},\"system_us\":{},\"peak_kib\":{},\
                 \"minor_faults\":{},\"switches\":{},\"blocks_written\":{},\"success\":{}}}",
                wall.as_micros(),
                usage.user_time().num_microseconds(),
                usage.system_time().num_microseconds(),
                usage.max_rss(),
                usage.minor_page_faults(),
                usage.voluntary_context_switches() + usage.involuntary_context_switches(),
                // Of 512 bytes; counted when a page is first written to, not when a disk is.
                usage.block_writes(),
                status.success(),
            );
            ExitCode::SUCCESS
        }
        (Err(error), _) => fail(&error),
        (_, Err(error)) => fail(&error.into()),
    }
}

fn fail(error: &std::io::Error) -> ExitCode {
    eprintln!("bench-measure: {error}");
    ExitCode::FAILURE
}
