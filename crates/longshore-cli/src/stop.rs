//! Ctrl-C and `kill`.

use std::pin::pin;
#[cfg(unix)]
use std::task::Poll;
use std::thread;
use std::time::Duration;

use longshore_copy::Cancellation;

use crate::exit::{Exit, Failure};

/// So long a command that is to stop may take to do so by itself: long enough to remove a file.
const GRACE: Duration = Duration::from_secs(1);

/// Runs a command that keeps nothing until it is done or the user wants it to stop; then it is
/// dropped.
pub(crate) async fn keeping_nothing(
    command: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    // Without such a thread it can be stopped whenever it does not print.
    let _ = thread::Builder::new().spawn(end_what_is_stuck);
    tokio::select! {
        result = command => result,
        exit = requested() => Err(stopped(exit)),
    }
}

/// Ends the program when the user wants it to stop and it does not: printing blocks the one thread
/// that drives the command, for as long as nobody reads, and that thread would have to hear of it.
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

/// Drives a step of a command that has kept nothing yet. It is dropped when the user stops the
/// program.
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

/// Drives a transfer that keeps what it has. It is cancelled when the user stops the program, and
/// has ended when this returns.
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

/// Ends when the user wants the program to stop, and says with which exit code.
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
