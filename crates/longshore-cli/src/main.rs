//! The longshore command line: arguments in; progress, text or JSON out.
//!
//! Data goes to stdout and everything else to stderr. Exit codes are by error class and stable:
//! see [`exit::Exit`].

mod args;
mod command;
mod config;
mod connect;
mod current;
mod exit;
mod file;
mod help;
mod input;
mod local;
mod log_writer;
mod output;
mod progress;
mod rate_limits;
mod redact;
mod referrer;
mod settings;
mod stop;
mod stream;

use std::process::ExitCode;
use std::thread;

use crate::args::{Args, BlobCommand, CacheCommand, Command, ManifestCommand};
use crate::exit::Failure;

fn main() -> ExitCode {
    let args = help::parse();
    let result = match args.command {
        // A server drains at the first signal, and obeys signals by itself.
        Command::Serve(args) => run_server(args),
        _ => stop::watch(match args.command {
            Command::Copy(_) | Command::Pull(_) | Command::Push(_) => Failure::stopped,
            _ => stop::nothing_kept,
        })
        .and_then(|()| run(args)),
    };
    stop::begin_end();
    progress::end();
    connect::warn_of_credentials(result.as_ref().err());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => local::explain(failure).report(),
    }
}

/// Each processor has a thread that drives connections; a fill of a large blob has one of its own.
fn run_server(args: args::Serve) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::runtime)?;
    let result = runtime.block_on(command::serve::run(args));
    runtime.shutdown_timeout(stop::GRACE);
    result
}

/// One thread drives every connection; large blobs get a thread of their own.
fn run(args: Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::runtime)?;
    // A runtime that cannot start its first thread panics, so this one is started before.
    let spawned = thread::Builder::new().spawn(|| ());
    drop(spawned.map_err(Failure::runtime)?);
    let result = runtime.block_on(dispatch(args.command));
    // Blocking work that was abandoned removes its temporary files. It may also take long, as a
    // hash does, so it is not waited for without a limit.
    runtime.shutdown_timeout(stop::GRACE);
    result
}

async fn dispatch(command: Command) -> Result<(), Failure> {
    use command::{
        blob, cache, config, copy, delete, digest, inspect, list, manifest, ping, pull, referrers,
        serve, tag, verify,
    };
    use stop::keeping_nothing;
    match command {
        Command::Blob(BlobCommand::Get(args)) => keeping_nothing(blob::get(args)).await,
        Command::Blob(BlobCommand::Head(args)) => keeping_nothing(blob::head(args)).await,
        Command::Blob(BlobCommand::Put(args)) => keeping_nothing(blob::put(args)).await,
        Command::Blob(BlobCommand::Delete(args)) => keeping_nothing(delete::blobs(args)).await,
        Command::Cache(CacheCommand::ClientConfig(args)) => cache::client(&args),
        Command::Config(args) => keeping_nothing(config::run(args)).await,
        Command::Copy(args) => copy::copy(args).await,
        Command::Delete(args) => keeping_nothing(delete::run(args)).await,
        Command::Digest(args) => keeping_nothing(digest::run(args)).await,
        Command::Inspect(args) => keeping_nothing(inspect::run(args)).await,
        Command::Manifest(ManifestCommand::Get(args)) => keeping_nothing(manifest::get(args)).await,
        Command::Manifest(ManifestCommand::Put(args)) => keeping_nothing(manifest::put(args)).await,
        Command::Ping(args) => keeping_nothing(ping::run(args)).await,
        Command::Pull(args) => pull::run(args).await,
        Command::Push(args) => copy::push(args).await,
        Command::Referrers(args) => keeping_nothing(referrers::run(args)).await,
        Command::Repos(args) => keeping_nothing(list::repos(args)).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Tag(args) => keeping_nothing(tag::run(args)).await,
        Command::Tags(args) => keeping_nothing(list::tags(args)).await,
        Command::Verify(args) => keeping_nothing(verify::run(args)).await,
    }
}
