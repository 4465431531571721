//! Ctrl-C and `kill`: one mechanism for every command.
//!
//! A thread waits for the signals of the process. The first signal cancels the command. If the
//! command has not ended after a short time, or when a second signal arrives, that thread ends the
//! process. This also works while the thread that drives the command is blocked: by a lock of
//! another process, by a disk, or by a pipe that nobody reads. The state on disk is valid at every
//! moment, so the process can end at any time.
//!
//! The signals count even if they were ignored when the program started. SIGHUP is left alone, so
//! `nohup` works.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use longshore_copy::Cancellation;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::exit::{Exit, Failure};
use crate::progress;

/// How long a command may take to end after the first signal: long enough to remove its temporary
/// files. The rest of the 2 s that RT11 allows is a margin for a busy machine.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// How long the process waits until its last message is printed. It is limited because nobody may
/// be reading the pipe.
const REPORT_LIMIT: Duration = Duration::from_millis(100);

/// The exit code for the signal that arrived.
static REQUESTED: LazyLock<watch::Sender<Option<Exit>>> =
    LazyLock::new(|| watch::Sender::new(None));

/// Whether a thread has begun to end the process.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Installs the signal handlers, and starts the thread that waits for signals. `failure` builds the
/// error of a command that does not end by itself.
pub(crate) fn watch(failure: fn(Exit) -> Failure) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::runtime)?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::listen().map_err(Failure::runtime)?
    };
    let wait = move || {
        let exit = runtime.block_on(overdue(&REQUESTED, async || signals.next().await));
        if !ENDING.swap(true, Ordering::AcqRel) {
            report_briefly(failure(exit));
        }
        std::process::exit(exit as i32);
    };
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(wait).map_err(Failure::runtime)?;
    Ok(())
}

/// Announces the first signal, and returns its exit code at the second signal or after [`GRACE`].
async fn overdue(
    requested: &watch::Sender<Option<Exit>>,
    mut signal: impl AsyncFnMut() -> Exit,
) -> Exit {
    let exit = signal().await;
    requested.send_replace(Some(exit));
    // Either way the command has to end now.
    let _ = timeout(GRACE, signal()).await;
    exit
}

/// Prints a failure from a thread of its own, and does not wait long for it.
fn report_briefly(failure: Failure) {
    let (done, printed) = mpsc::channel();
    let spawned = thread::Builder::new().spawn(move || {
        progress::end();
        failure.report();
        // The receiver is gone only if it has waited long enough.
        let _ = done.send(());
    });
    if spawned.is_ok() {
        let _ = printed.recv_timeout(REPORT_LIMIT);
    }
}

/// Reserves the right to end the process for the calling thread. Does not return if the signal
/// thread is already ending the process.
pub(crate) fn begin_end() {
    if ENDING.swap(true, Ordering::AcqRel) {
        loop {
            thread::park();
        }
    }
}

/// Makes the failure of a command that keeps nothing.
pub(crate) fn nothing_kept(exit: Exit) -> Failure {
    Failure::new(exit, "stopped")
}

/// Runs a command that keeps nothing. The command is dropped when the user stops the program.
pub(crate) async fn keeping_nothing(
    command: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    tokio::select! {
        biased;
        exit = requested() => Err(nothing_kept(exit)),
        result = command => result,
    }
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
        biased;
        exit = requested() => Err(Failure::stopped(exit)),
        result = step => Ok(result?),
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
        biased;
        exit = requested() => exit,
        result = &mut transfer => return Ok(result?),
    };
    cancellation.cancel();
    // Its error says only that it was cancelled.
    let _ = transfer.await;
    Err(Failure::stopped(exit))
}

/// Waits until the user stops the program; returns the exit code.
pub(crate) async fn requested() -> Exit {
    let mut requested = REQUESTED.subscribe();
    let exit = requested.wait_for(Option::is_some).await;
    let exit = exit.ok().and_then(|exit| *exit);
    match exit {
        Some(exit) => exit,
        // The sender is never dropped, and the value was waited for.
        None => std::future::pending().await,
    }
}

/// The signals that stop a command.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// With a listener, a write beyond the limit of the file size fails, and does not end the
    /// process (setrlimit(2), `RLIMIT_FSIZE`).
    _file_size: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use rustix::process::Signal;
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            _file_size: signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?,
        })
    }

    async fn next(&mut self) -> Exit {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
    }
}

/// The signals that stop a command.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Exit {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Exit::Interrupted,
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    /// Lets signals arrive at these times after the start, in milliseconds; returns the exit code
    /// and the time at which the process would be ended, in milliseconds.
    async fn ended(signals: &[(u64, Exit)]) -> (Exit, u128) {
        let requested = watch::Sender::new(None);
        let start = Instant::now();
        let mut signals = signals.iter();
        let exit = overdue(&requested, async || match signals.next() {
            Some((after, exit)) => {
                tokio::time::sleep_until(start + Duration::from_millis(*after)).await;
                *exit
            }
            None => pending().await,
        });
        let exit = exit.await;
        assert_eq!(*requested.borrow(), Some(exit));
        (exit, start.elapsed().as_millis())
    }

    // RT11: within 2 s of the first signal, at once on the second.
    #[tokio::test(start_paused = true)]
    async fn rt11_a_command_that_does_not_end_is_ended() {
        use Exit::{Interrupted, Terminated};
        for (signals, expected) in [
            (&[(0, Interrupted)][..], (Interrupted, 1_000)),
            (&[(10, Terminated)], (Terminated, 1_010)),
            (&[(0, Interrupted), (0, Interrupted)], (Interrupted, 0)),
            (&[(0, Interrupted), (300, Terminated)], (Interrupted, 300)),
            (&[(0, Terminated), (1_100, Terminated)], (Terminated, 1_000)),
        ] {
            assert_eq!(ended(signals).await, expected, "{signals:?}");
        }
    }
}
