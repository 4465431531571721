//! The log file of a run, and the commands whose output goes into it.
//!
//! The terminal shows one line per step. Everything that a command prints goes into the log file;
//! if a command fails, its complete output is shown as well.

use std::fs::File;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::checkout::{cannot_start, line};

/// Where the output of one run goes.
pub(crate) struct Log {
    file: File,
    path: PathBuf,
    progress: Progress,
}

/// Which part of a command's output goes into the log and to the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Logged {
    All,
    /// Only the standard error, when this program reads the standard output.
    Errors,
}

/// The stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Err,
    Out,
}

impl Log {
    /// Creates `target/xtask/<name>.log` below the root and replaces the log of an earlier run.
    ///
    /// # Errors
    ///
    /// The file cannot be created.
    pub(crate) fn create(root: &Path, name: &str) -> Result<Self, String> {
        let directory = root.join("target/xtask");
        let path = directory.join(format!("{name}.log"));
        let file = std::fs::create_dir_all(&directory)
            .and_then(|()| File::create(&path))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self {
            file,
            path,
            progress: Progress::new(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Shows that a step starts.
    pub(crate) fn begin(&mut self, step: &str) {
        // The commands of the step report a log that cannot be written.
        let _ = writeln!(self.file, "\n==> {step}");
        self.progress.begin(step);
    }

    /// Shows how the step ended, on the line that `begin` started.
    pub(crate) fn end(&mut self, result: &str) {
        self.progress.end(result);
    }

    /// Runs a command.
    ///
    /// # Errors
    ///
    /// It cannot be started or it failed; the text contains everything that it printed.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<(), String> {
        let mut printed = Printed::default();
        self.stream(command, Logged::All, |_, line| printed.take(line))
            .map_err(|why| printed.after(&why))
    }

    /// Runs a command and passes each line of its standard output to `each`.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run), but the text contains the standard error only.
    pub(crate) fn read(
        &mut self,
        command: &mut Command,
        each: impl FnMut(&str),
    ) -> Result<(), String> {
        self.split(command, Logged::All, each)
    }

    /// Runs a command and returns its standard output, which the log leaves out.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub(crate) fn output(&mut self, command: &mut Command) -> Result<String, String> {
        let mut output = String::new();
        self.split(command, Logged::Errors, |line| {
            output.push_str(line);
            output.push('\n');
        })?;
        Ok(output)
    }

    /// Passes the standard output to `each` and keeps the standard error for a failure.
    fn split(
        &mut self,
        command: &mut Command,
        logged: Logged,
        mut each: impl FnMut(&str),
    ) -> Result<(), String> {
        let mut printed = Printed::default();
        self.stream(command, logged, |source, line| match source {
            Source::Err => printed.take(line),
            Source::Out => each(line),
        })
        .map_err(|why| printed.after(&why))
    }

    /// Runs a command; each line goes to the log, to the terminal while it is new, and to `each`.
    fn stream(
        &mut self,
        command: &mut Command,
        logged: Logged,
        mut each: impl FnMut(Source, &str),
    ) -> Result<(), String> {
        // Colour codes would hide words that this program searches for; `RUST_TEST_NOCAPTURE` would
        // mix the output of tests into the results.
        command
            .env("CARGO_TERM_COLOR", "never")
            .env_remove("RUST_TEST_NOCAPTURE");
        let mut written = writeln!(self.file, "$ {}", line(command));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| cannot_start(command, &error))?;
        lines(&mut child, GRACE, |source, text| {
            if logged == Logged::All || source == Source::Err {
                written = std::mem::replace(&mut written, Ok(()))
                    .and_then(|()| writeln!(self.file, "{text}"));
                self.progress.show(text);
            }
            each(source, text);
        });
        let status = child
            .wait()
            .map_err(|error| cannot_start(command, &error))?;
        written.map_err(|error| format!("{}: {error}", self.path.display()))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{}: {status}", line(command)))
        }
    }
}

/// How long to wait for more output after a command has ended.
const GRACE: Duration = Duration::from_secs(2);

/// Passes the lines of both streams of a child to `each`.
///
/// Returns when both streams end, or when the child has ended and no line came for `grace`: a
/// process that the child left behind may keep its streams open.
fn lines(child: &mut Child, grace: Duration, mut each: impl FnMut(Source, &str)) {
    let (sender, receiver) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        send_lines(stdout, Source::Out, sender.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        send_lines(stderr, Source::Err, sender);
    }
    let mut ended = false;
    loop {
        match receiver.recv_timeout(grace) {
            Ok((source, text)) => each(source, &text),
            Err(RecvTimeoutError::Timeout) if ended => return,
            Err(RecvTimeoutError::Timeout) => ended = !matches!(child.try_wait(), Ok(None)),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn send_lines(stream: impl Read + Send + 'static, source: Source, lines: Sender<(Source, String)>) {
    thread::spawn(move || {
        let pieces = BufReader::new(stream).split(b'\n').map_while(Result::ok);
        for piece in pieces {
            let text = String::from_utf8_lossy(&piece);
            let text = text.strip_suffix('\r').unwrap_or(&text).to_owned();
            if lines.send((source, text)).is_err() {
                return;
            }
        }
    });
}

/// The output of a command, without the lines in which cargo only reports its progress.
#[derive(Default)]
struct Printed(String);

impl Printed {
    fn take(&mut self, line: &str) {
        if !is_status(line) {
            self.0.push_str(line);
            self.0.push('\n');
        }
    }

    fn after(&self, why: &str) -> String {
        format!("{why}\n{}", self.0).trim_end().to_owned()
    }
}

/// `   Compiling a v1.0.0`: one of cargo's verbs, which ends in the twelfth column.
fn is_status(line: &str) -> bool {
    line.split_at_checked(STATUS_COLUMNS)
        .is_some_and(|(verb, rest)| rest.starts_with(' ') && VERBS.contains(&verb.trim_start()))
}

const STATUS_COLUMNS: usize = 12;
const VERBS: [&str; 14] = [
    "Adding",
    "Blocking",
    "Checking",
    "Compiling",
    "Doc-tests",
    "Documenting",
    "Downloaded",
    "Downloading",
    "Finished",
    "Fresh",
    "Generated",
    "Locking",
    "Running",
    "Updating",
];

/// The line of the running step.
struct Progress {
    /// Whether standard output is a terminal, where a line can be written again.
    terminal: bool,
    step: String,
    start: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    fn new() -> Self {
        Self {
            terminal: std::io::stdout().is_terminal(),
            step: String::new(),
            start: Instant::now(),
            drawn: None,
        }
    }

    fn begin(&mut self, step: &str) {
        step.clone_into(&mut self.step);
        self.start = Instant::now();
        self.drawn = None;
        print(&format!("{step:<STEP_COLUMNS$}"));
    }

    /// Shows the newest line of output behind the step's name, a few times a second.
    fn show(&mut self, line: &str) {
        if !self.terminal || self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        let running = format!("{:>5} s  ", self.start.elapsed().as_secs());
        let room = TERMINAL_COLUMNS - STEP_COLUMNS - running.len();
        let line: String = line
            .trim_start()
            .chars()
            .filter(|c| !c.is_control())
            .take(room)
            .collect();
        print(&format!("{}{running}{line}", self.again()));
    }

    fn end(&mut self, result: &str) {
        let again = match self.terminal {
            true => self.again(),
            false => String::new(),
        };
        print(&format!("{again}{result}\n"));
    }

    /// Clears the terminal's line and writes the step's name on it.
    fn again(&self) -> String {
        format!("\r\x1b[K{:<STEP_COLUMNS$}", self.step)
    }
}

/// The width of the column of names.
pub(crate) const STEP_COLUMNS: usize = 17;

/// The usual width of a terminal, less one.
const TERMINAL_COLUMNS: usize = 79;
const REDRAW: Duration = Duration::from_millis(100);

/// Prints without an end of line, and flushes.
fn print(text: &str) {
    print!("{text}");
    // The next print reports an output that is closed.
    let _ = std::io::stdout().flush();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkout::Checkout;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn log(name: &str) -> Log {
        Log::create(Checkout::here().root(), name).unwrap()
    }

    #[test]
    fn a_failed_command_reports_all_it_printed_but_not_what_cargo_was_doing() {
        let mut log = log("test-of-run");
        let script = "echo '   Compiling a v1.0.0'; echo error: it broke; exit 3";
        let error = log.run(&mut shell(script)).unwrap_err();
        assert_eq!(
            error,
            format!("sh -c {script}: exit status: 3\nerror: it broke")
        );
        let written = std::fs::read_to_string(log.path()).unwrap();
        assert_eq!(
            written,
            format!("$ sh -c {script}\n   Compiling a v1.0.0\nerror: it broke\n")
        );
    }

    #[test]
    fn standard_output_and_standard_error_are_kept_apart() {
        let mut log = log("test-of-output");
        let both = "echo one; echo two >&2; echo three";
        assert_eq!(log.output(&mut shell(both)).unwrap(), "one\nthree\n");
        let written = std::fs::read_to_string(log.path()).unwrap();
        assert_eq!(written, format!("$ sh -c {both}\ntwo\n"));
        let mut read = Vec::new();
        let error = log
            .read(&mut shell("echo one; echo two >&2; exit 1"), |line| {
                read.push(line.to_owned());
            })
            .unwrap_err();
        assert_eq!(read, ["one"]);
        assert!(error.ends_with(": exit status: 1\ntwo"), "{error}");
    }

    #[test]
    fn a_process_that_is_left_behind_does_not_hold_the_run() {
        // `cat` keeps all streams of the shell open until its input ends, after the test.
        let mut child = shell("cat <&0 & exit 0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut printed = Vec::new();
        lines(&mut child, Duration::from_millis(10), |source, line| {
            printed.push((source, line.to_owned()));
        });
        assert!(child.wait().unwrap().success());
        assert_eq!(printed, []);
        drop(input);
    }

    #[test]
    fn a_status_line_of_cargo_is_recognised_by_its_column() {
        for (line, expected) in [
            ("   Compiling longshore v0.1.0", true),
            ("    Finished `dev` profile", true),
            ("   Doc-tests longshore", true),
            ("  Downloaded bytes v1.11.1", true),
            ("error: could not compile", false),
            ("warning: unused", false),
            ("        Some text of a diff", false),
            ("test a::b ... ok", false),
            ("", false),
        ] {
            assert_eq!(is_status(line), expected, "{line}");
        }
    }
}
