//! Ctrl-C and `kill`.

#[cfg(unix)]
use std::task::Poll;

use crate::exit::{Exit, Failure};

/// Runs a command that keeps nothing until it is done or the user wants it to stop; then it is
/// dropped.
pub(crate) async fn keeping_nothing(
    command: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    tokio::select! {
        result = command => result,
        exit = requested() => Err(Failure::new(exit, "stopped")),
    }
}

/// Runs a command that keeps what it has until it is done or the user wants it to stop; then it
/// is dropped.
pub(crate) async fn unless_stopped<T>(
    command: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        result = command => result,
        exit = requested() => Err(Failure::stopped(exit)),
    }
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
