//! Ctrl-C and `kill`.

use std::pin::pin;
#[cfg(unix)]
use std::task::Poll;
use std::thread;
use std::time::Duration;

use longshore_copy::Cancellation;

use crate::exit::{Exit, Failure};

/// How long a command may take to end after it was stopped: long enough to remove a file.
const GRACE: Duration = Duration::from_secs(1);

/// Runs a command that keeps nothing. The command is dropped when the user stops the program.
pub(crate) async fn keeping_nothing(
    command: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    // If the thread cannot be started, a command that is blocked while it prints cannot be stopped.
    let _ = thread::Builder::new().spawn(end_what_is_stuck);
    tokio::select! {
        result = command => result,
        exit = requested() => Err(stopped(exit)),
    }
}

/// Ends the program if the user stops it and it does not end by itself. Printing blocks the thread
/// that drives the command while nobody reads, and a blocked thread does not notice the signal.
fn end_what_is_stuck() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return };
    let exit = runtime.block_on(requested());
    thread::sleep(GRACE);
    stopped(exit).report();
    std::process::exit(exit as i32);
}

fn stopped(exit: Exit) -> Failure {
    Failure::new(exit, "stopped")
}

/// Drives a step of a command that has kept nothing yet. The step is dropped when the user stops
/// the program.
pub(crate) async fn unless_stopped<T, E>(
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure>
where
    Failure: From<E>,
{
    tokio::select! {
        result = step => Ok(result?),
        exit = requested() => Err(Failure::stopped(exit)),
    }
}

/// Drives a transfer that keeps the bytes that arrived. The transfer is cancelled when the user
/// stops the program, and has ended when this function returns.
pub(crate) async fn cancelling<T, E>(
    cancellation: &Cancellation,
    transfer: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure>
where
    Failure: From<E>,
{
    let mut transfer = pin!(transfer);
    let exit = tokio::select! {
        result = &mut transfer => return Ok(result?),
        exit = requested() => exit,
    };
    cancellation.cancel();
    // Its error says only that it was cancelled.
    let _ = transfer.await;
    Err(Failure::stopped(exit))
}

/// Waits until the user stops the program; returns the exit code.
pub(crate) async fn requested() -> Exit {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            return std::future::pending().await;
        };
        std::future::poll_fn(|cx| {
            if interrupt.poll_recv(cx).is_ready() {
                return Poll::Ready(Exit::Interrupted);
            }
            terminate.poll_recv(cx).map(|_| Exit::Terminated)
        })
        .await
    }
    #[cfg(not(unix))]
    {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Exit::Interrupted,
            Err(_) => std::future::pending().await,
        }
    }
}
