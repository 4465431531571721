//! A server process: started, waited for, read, and killed when dropped.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running program with its directory; both are gone when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    directory: TempDir,
    what: String,
}

impl Process {
    /// Starts `command` with its output in files of `directory`.
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    #[must_use]
    pub fn start(mut command: Command, directory: TempDir) -> Self {
        let child = spawn(&mut command, directory.path());
        let what = command.get_program().to_string_lossy().into_owned();
        Self {
            child,
            directory,
            what,
        }
    }

    /// Kills the process and starts another one in the same directory. Its output is appended to
    /// that of the first one.
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    pub fn restart(&mut self, mut command: Command) {
        self.kill();
        self.child = spawn(&mut command, self.directory.path());
    }

    /// Kills the process, if it runs (SIGKILL).
    pub fn kill(&mut self) {
        // The process may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The number of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name without `SIG`: `HUP`, `TERM`.
    ///
    /// # Panics
    ///
    /// When the process has ended.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let sent = Command::new("/bin/sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name])
            .arg(self.child.id().to_string())
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "SIG{name} cannot be sent:\n{}",
            self.said()
        );
    }

    /// Waits until the process has ended.
    ///
    /// # Panics
    ///
    /// When it does not end for a long time; the message includes its output.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status;
            }
            // As above.
            std::thread::sleep(STEP);
        }
        panic!("{} does not end:\n{}", self.what, self.said())
    }

    /// Where the process keeps its files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The file its standard output goes to.
    #[must_use]
    pub fn stdout(&self) -> PathBuf {
        self.directory.path().join(STDOUT)
    }

    /// The file its standard error goes to.
    #[must_use]
    pub fn stderr(&self) -> PathBuf {
        self.directory.path().join(STDERR)
    }

    /// Asks `ready` until it gives a value; `None` when the process ends before that.
    ///
    /// # Panics
    ///
    /// When neither happens for a long time, with what the process said.
    pub fn wait_until<T>(&mut self, mut ready: impl FnMut(&Self) -> Option<T>) -> Option<T> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(value) = ready(self) {
                return Some(value);
            }
            if !matches!(self.child.try_wait(), Ok(None)) {
                return None;
            }
            // Another process cannot be waited for any other way.
            std::thread::sleep(STEP);
        }
        panic!(
            "{} is not ready after {PATIENCE:?}:\n{}",
            self.what,
            self.said()
        )
    }

    /// Everything the process wrote to either output.
    #[must_use]
    pub fn said(&self) -> String {
        read(&self.stderr()) + &read(&self.stdout())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts `command` and appends its output to files in `directory`.
fn spawn(command: &mut Command, directory: &Path) -> Child {
    let output = |name| {
        let mut options = File::options();
        options.create(true).append(true).open(directory.join(name))
    };
    let (Ok(stdout), Ok(stderr)) = (output(STDOUT), output(STDERR)) else {
        panic!("cannot write to {}", directory.display())
    };
    let command = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    match command.spawn() {
        Ok(child) => child,
        Err(error) => panic!(
            "cannot start {}: {error}",
            command.get_program().to_string_lossy()
        ),
    }
}

/// A loopback port nobody listens on; somebody may before it is used, so try again then.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr());
    match address {
        Ok(address) => address.port(),
        Err(error) => panic!("no free port on loopback: {error}"),
    }
}

/// Whether an HTTP server answers at `address`, even if only with an error that demands TLS.
#[must_use]
pub fn answers(address: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET /v2/ HTTP/1.0\r\nhost: {address}\r\nuser-agent: {PROBE}\r\n\r\n"
        )?;
        let mut start = [0; 5];
        stream.read_exact(&mut start)?;
        std::io::Result::Ok(start == *b"HTTP/")
    };
    ask().unwrap_or(false)
}

/// Whether a server accepts connections at `address`.
#[must_use]
pub fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// Whether the process that listens on this port of the IPv4 loopback has a connection that it has
/// not closed (`proc_net_tcp(5)`; elsewhere than on Linux the answer is no).
pub(crate) fn has_connections(port: u16) -> bool {
    const ESTABLISHED: &str = "01";
    const CLOSE_WAIT: &str = "08";
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let port = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let (local, state) = (columns.next(), columns.nth(1));
        local.is_some_and(|it| it.ends_with(&port))
            && matches!(state, Some(ESTABLISHED | CLOSE_WAIT))
    })
}

/// The text of a file, empty when there is none yet.
pub(crate) fn read(file: &Path) -> String {
    fs::read(file).map_or_else(
        |_| String::new(),
        |text| String::from_utf8_lossy(&text).into_owned(),
    )
}

/// A directory for one process.
///
/// # Panics
///
/// When it cannot be made.
pub(crate) fn directory() -> TempDir {
    match tempfile::Builder::new().prefix("longshore-").tempdir() {
        Ok(directory) => directory,
        Err(error) => panic!("cannot make a directory: {error}"),
    }
}

/// Writes a file of one of those directories.
///
/// # Panics
///
/// When it cannot be written.
#[track_caller]
pub(crate) fn write(file: &Path, text: impl AsRef<[u8]>) {
    if let Err(error) = fs::write(file, text) {
        panic!("cannot write {}: {error}", file.display());
    }
}

/// How the harness names itself, so that its own requests are not counted.
pub(crate) const PROBE: &str = "longshore-tests";

const STDOUT: &str = "stdout.log";
const STDERR: &str = "stderr.log";

/// How long a process may take to start, or to end, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often a process is looked at.
pub(crate) const STEP: Duration = Duration::from_millis(10);
