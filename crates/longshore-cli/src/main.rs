//! The longshore command line: arguments in; progress, text or JSON out.
//!
//! Data goes to stdout and everything else to stderr. Exit codes are by error class and stable:
//! see [`exit::Exit`].

mod args;
mod command;
mod config;
mod connect;
mod exit;
mod help;
mod output;
mod progress;
mod referrer;
mod stop;
mod stream;

use std::process::ExitCode;

use crate::args::{Args, BlobCommand, Command, ManifestCommand};
use crate::exit::Failure;

fn main() -> ExitCode {
    let args = help::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// One thread drives every connection; large blobs get a thread of their own.
fn run(args: Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::runtime)?;
    runtime.block_on(async {
        match args.command {
            Command::Blob(BlobCommand::Get(args)) => {
                stop::keeping_nothing(command::blob::get(args)).await
            }
            Command::Blob(BlobCommand::Head(args)) => {
                stop::keeping_nothing(command::blob::head(args)).await
            }
            Command::Config(args) => stop::keeping_nothing(command::config::run(args)).await,
            Command::Digest(args) => stop::keeping_nothing(command::digest::run(args)).await,
            Command::Inspect(args) => stop::keeping_nothing(command::inspect::run(args)).await,
            Command::Manifest(ManifestCommand::Get(args)) => {
                stop::keeping_nothing(command::manifest::get(args)).await
            }
            Command::Ping(args) => stop::keeping_nothing(command::ping::run(args)).await,
            Command::Pull(args) => command::pull::run(args).await,
            Command::Referrers(args) => stop::keeping_nothing(command::referrers::run(args)).await,
            Command::Repos(args) => stop::keeping_nothing(command::list::repos(args)).await,
            Command::Tags(args) => stop::keeping_nothing(command::list::tags(args)).await,
            // Only reads the disk, so Ctrl-C may end the process.
            Command::Verify(args) => command::verify::run(&args),
        }
    })
}
