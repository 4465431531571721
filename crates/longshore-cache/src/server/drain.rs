//! Shutdown: answers that have started may finish, for a limited time (CA12).

use std::sync::Arc;

use tokio::sync::watch;

/// The phase of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Running,
    /// No new connections or requests; answers that have started may finish.
    Draining,
    /// All connections are closed immediately.
    Stopped,
}

/// The sender of the phase of a server.
#[derive(Clone, Debug)]
pub(super) struct PhaseControl(Arc<watch::Sender<Phase>>);

/// A receiver of the phase of a server.
#[derive(Clone, Debug)]
pub(super) struct PhaseWatch(watch::Receiver<Phase>);

impl PhaseControl {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Running)))
    }

    /// Enters a phase. An earlier phase is ignored.
    pub(super) fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let later = *current < phase;
            *current = phase.max(*current);
            later
        });
    }

    pub(super) fn current(&self) -> Phase {
        *self.0.borrow()
    }

    pub(super) fn watch(&self) -> PhaseWatch {
        PhaseWatch(self.0.subscribe())
    }
}

impl PhaseWatch {
    /// Whether the phase is different from the initial one. Takes no lock.
    pub(super) fn has_changed(&self) -> bool {
        self.0.has_changed().unwrap_or(true)
    }

    /// Waits until the phase is at least this one, and returns it.
    pub(super) async fn reached(&mut self, phase: Phase) -> Phase {
        match self.0.wait_for(|current| *current >= phase).await {
            Ok(current) => *current,
            // The sender is gone, so no later phase can follow.
            Err(_) => Phase::Stopped,
        }
    }
}

/// Stops a [`Server`](super::Server), or makes it reload. Clones control the
/// same server.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    phase: PhaseControl,
    reload: Arc<tokio::sync::Notify>,
}

impl ServerHandle {
    pub(super) fn new() -> Self {
        Self {
            phase: PhaseControl::new(),
            reload: Arc::new(tokio::sync::Notify::new()),
        }
    }

    /// Stops accepting connections and requests, and lets answers that have started finish within
    /// [`Limits::with_drain_time`](super::Limits::with_drain_time). From now on, `/readyz` answers
    /// 503.
    pub fn drain(&self) {
        self.phase.enter(Phase::Draining);
    }

    /// Stops immediately: open connections are cut.
    pub fn stop(&self) {
        self.phase.enter(Phase::Stopped);
    }

    /// Whether [`drain`](Self::drain) or [`stop`](Self::stop) was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.phase.current() > Phase::Running
    }

    /// Reads the certificates of TLS listeners again, even if their files seem unchanged, and runs
    /// the [actions for a reload](super::ServerBuilder::on_reload).
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    pub(super) fn phase(&self) -> &PhaseControl {
        &self.phase
    }

    /// Waits for [`reload`](Self::reload).
    pub(super) async fn reload_requested(&self) {
        self.reload.notified().await;
    }

    /// Handles the signals of the process: the first SIGTERM or SIGINT drains, the second stops,
    /// and SIGHUP [reloads](Self::reload). On systems without these signals, Ctrl-C drains and
    /// stops.
    ///
    /// Returns after the second signal; drop the future to stop handling signals. Run it
    /// concurrently with [`Server::run`](super::Server::run).
    ///
    /// # Errors
    ///
    /// The system does not let the process handle these signals.
    pub async fn obey_signals(&self) -> std::io::Result<()> {
        let mut signals = Signals::new()?;
        loop {
            match signals.next().await {
                Signal::Reload => self.reload(),
                Signal::End if self.is_draining() => {
                    self.stop();
                    return Ok(());
                }
                Signal::End => {
                    tracing::info!("waiting for open answers; a second signal stops immediately");
                    self.drain();
                }
            }
        }
    }
}

enum Signal {
    End,
    #[cfg_attr(not(unix), expect(dead_code, reason = "there is no such signal"))]
    Reload,
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        // By default this signal ends the process. With a handler, a file that would become larger
        // than the limit of the process is a write error (CA9). The handler stays when the
        // listener is dropped.
        let file_size = rustix::process::Signal::XFSZ.as_raw();
        drop(signal(SignalKind::from_raw(file_size))?);
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::End,
            _ = self.interrupt.recv() => Signal::End,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            // No signal can arrive any more.
            std::future::pending::<()>().await;
        }
        Signal::End
    }
}
