//! Runs a helper without blocking the caller, with limits on its time and output.
//!
//! One thread starts the program and waits for it. Two more threads read its output, so that the
//! program never blocks on a full pipe. They report to the first thread with an [`Event`]. If the
//! caller drops the future, the program is killed at once, and the first thread only reaps it.

use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::{HELPER_OUTPUT_LIMIT_BYTES, HelperReason};

/// What to run.
pub(super) struct Run {
    pub(super) program: PathBuf,
    /// The name of the registry, for standard input.
    pub(super) server: String,
    pub(super) limit: Duration,
}

/// A program that has ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: Zeroizing<Vec<u8>>,
    /// The beginning of standard error.
    pub(super) stderr: Vec<u8>,
}

enum Event {
    /// The caller has dropped the future.
    Abandoned,
    Stderr(Vec<u8>),
    /// `None` if it is too long.
    Stdout(io::Result<Option<Zeroizing<Vec<u8>>>>),
}

/// The program; `None` before it was started.
#[derive(Clone, Default)]
struct Program(Arc<Mutex<Option<Child>>>);

impl Program {
    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kill(&self) {
        if let Some(child) = &mut *self.child() {
            // This fails only if the program has ended.
            let _ = child.kill();
        }
    }

    /// Waits for the end of a program that was killed.
    fn reap(&self) {
        let child = self.child().take();
        if let Some(mut child) = child {
            let _ = child.wait();
        }
    }

    fn status(&self) -> io::Result<Option<ExitStatus>> {
        self.child().as_mut().map_or(Ok(None), Child::try_wait)
    }
}

/// Kills the program when the caller drops the future.
struct Interest {
    program: Program,
    events: Sender<Event>,
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.program.kill();
        // The receiver is gone if the program has ended.
        let _ = self.events.send(Event::Abandoned);
    }
}

/// Runs a helper to its end, and kills it if the future is dropped.
pub(super) async fn run(run: Run) -> Result<Ended, HelperReason> {
    let (events, happened) = channel();
    let (answer, answered) = oneshot::channel();
    let program = Program::default();
    let _interest = Interest {
        program: program.clone(),
        events: events.clone(),
    };
    let thread = thread::Builder::new().name("credential-helper".to_owned());
    let spawned = thread.spawn(move || {
        // The receiver is gone if the caller dropped the future.
        let _ = answer.send(wait(&run, &program, events, &happened));
    });
    spawned.map_err(HelperReason::Io)?;
    let stopped = |_| HelperReason::Io(io::ErrorKind::BrokenPipe.into());
    answered.await.map_err(stopped)?
}

fn wait(
    run: &Run,
    program: &Program,
    events: Sender<Event>,
    happened: &Receiver<Event>,
) -> Result<Ended, HelperReason> {
    let waiting = Waiting {
        happened,
        started: Instant::now(),
        limit: run.limit,
    };
    let mut child = Command::new(&run.program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(HelperReason::Io)?;
    let talking = talk(&mut child, &run.server, events);
    *program.child() = Some(child);
    let ended = talking.and_then(|()| waiting.end(program));
    if ended.is_err() {
        program.kill();
    }
    program.reap();
    ended
}

/// Sends the name of the registry, and starts to read the output.
fn talk(child: &mut Child, server: &str, events: Sender<Event>) -> Result<(), HelperReason> {
    if let Some(mut stdin) = child.stdin.take() {
        // The name fits into the buffer of a pipe, so this does not wait. An error is ignored: a
        // helper need not read the name, and its answer decides.
        let _ = stdin.write_all(server.as_bytes());
    }
    if let Some(stdout) = child.stdout.take() {
        let events = events.clone();
        read(move || {
            let _ = events.send(Event::Stdout(read_all(stdout)));
        })?;
    }
    if let Some(stderr) = child.stderr.take() {
        read(move || {
            let _ = events.send(Event::Stderr(read_beginning(stderr)));
        })?;
    }
    Ok(())
}

fn read(work: impl FnOnce() + Send + 'static) -> Result<(), HelperReason> {
    let thread = thread::Builder::new().name("credential-helper-output".to_owned());
    thread.spawn(work).map_err(HelperReason::Io).map(drop)
}

fn read_all(stdout: impl Read) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    // The capacity covers the longest output, since growing would leave a copy behind (OU3).
    let mut output = Zeroizing::new(Vec::with_capacity(HELPER_OUTPUT_LIMIT_BYTES + 1));
    let limit = HELPER_OUTPUT_LIMIT_BYTES as u64 + 1;
    stdout.take(limit).read_to_end(&mut output)?;
    Ok((output.len() <= HELPER_OUTPUT_LIMIT_BYTES).then_some(output))
}

/// Reads to the end, so that the helper does not block, and keeps the beginning.
fn read_beginning(mut stderr: impl Read) -> Vec<u8> {
    let mut beginning = Vec::new();
    // Errors are ignored: standard error only serves the error message.
    let _ = stderr
        .by_ref()
        .take(STDERR_LIMIT_BYTES)
        .read_to_end(&mut beginning);
    let _ = io::copy(&mut stderr, &mut io::sink());
    beginning
}

struct Waiting<'a> {
    happened: &'a Receiver<Event>,
    started: Instant,
    limit: Duration,
}

impl Waiting<'_> {
    /// Waits until the program has ended and its output was read.
    fn end(&self, program: &Program) -> Result<Ended, HelperReason> {
        let mut stdout = None;
        let mut stderr = None;
        while stdout.is_none() {
            self.next(&mut stdout, &mut stderr, self.limit)?;
        }
        let status = loop {
            if let Some(status) = program.status().map_err(HelperReason::Io)? {
                break status;
            }
            self.next(&mut stdout, &mut stderr, POLL_INTERVAL)?;
        };
        // A program that the helper has left running may keep standard error open.
        if stderr.is_none() {
            self.next(&mut stdout, &mut stderr, STDERR_GRACE)?;
        }
        Ok(Ended {
            status,
            stdout: stdout.unwrap_or_default(),
            stderr: stderr.unwrap_or_default(),
        })
    }

    /// Waits for the next event, at most this long.
    fn next(
        &self,
        stdout: &mut Option<Zeroizing<Vec<u8>>>,
        stderr: &mut Option<Vec<u8>>,
        patience: Duration,
    ) -> Result<(), HelperReason> {
        let timeout = || HelperReason::Timeout { limit: self.limit };
        let left = self.limit.checked_sub(self.started.elapsed());
        let left = left.ok_or_else(timeout)?;
        match self.happened.recv_timeout(left.min(patience)) {
            Ok(Event::Stdout(output)) => {
                let output = output.map_err(HelperReason::Io)?;
                *stdout = Some(output.ok_or(HelperReason::TooLong)?);
            }
            Ok(Event::Stderr(beginning)) => *stderr = Some(beginning),
            Ok(Event::Abandoned) => return Err(timeout()),
            Err(RecvTimeoutError::Timeout) => {}
            // All senders are gone: both outputs were read, and the caller dropped the future.
            Err(RecvTimeoutError::Disconnected) => return Err(timeout()),
        }
        Ok(())
    }
}

/// Length of the part of standard error that is kept, in bytes.
const STDERR_LIMIT_BYTES: u64 = 4 * 1024;

/// How often a program is checked for its end after it has closed its output.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How long the rest of standard error is awaited after the end of the program.
const STDERR_GRACE: Duration = Duration::from_millis(100);
