//! The program under test, as a user runs it: arguments, environment, output, exit code.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::binary;
use crate::process::{self, PATIENCE, STEP};

/// One command line of `longshore`, in an environment with nothing in it.
#[derive(Debug)]
pub struct Longshore {
    command: Command,
    stdin: String,
    stdout: Option<File>,
    home: TempDir,
}

impl Longshore {
    /// `longshore` with these arguments.
    ///
    /// It finds no configuration, no proxy and no credentials but what is given it here.
    #[must_use]
    pub fn new(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let home = process::directory();
        let mut command = Command::new(binary::longshore());
        command
            .env_clear()
            .env("HOME", home.path())
            .current_dir(home.path())
            .args(arguments);
        Self {
            command,
            stdin: String::new(),
            stdout: None,
            home,
        }
    }

    /// `longshore pull REFERENCE DESTINATION`.
    #[must_use]
    pub fn pull(reference: &str, destination: impl AsRef<OsStr>) -> Self {
        Self::new([OsStr::new("pull"), reference.as_ref(), destination.as_ref()])
    }

    /// `longshore copy SOURCE DESTINATION`.
    #[must_use]
    pub fn copy(source: &str, destination: &str) -> Self {
        Self::new(["copy", source, destination])
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Logs in as this user, the password on standard input.
    #[must_use]
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.stdin = format!("{password}\n");
        self.args(["--username", user, "--password-stdin"])
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Finds this text as Docker's `config.json`, by `DOCKER_CONFIG`.
    #[must_use]
    pub fn docker_config(self, text: &str) -> Self {
        let directory = self.home.path().join("docker");
        // Written over by a second call.
        let _ = fs::create_dir(&directory);
        process::write(&directory.join("config.json"), text);
        self.env("DOCKER_CONFIG", directory)
    }

    /// Sends standard output to this file.
    #[must_use]
    pub fn stdout(mut self, file: File) -> Self {
        self.stdout = Some(file);
        self
    }

    /// Runs it under a shell command line that ends in `exec "$@"`.
    #[must_use]
    pub fn under(mut self, script: &str) -> Self {
        let program = self.command.get_program().to_owned();
        let arguments: Vec<OsString> = self.command.get_args().map(OsStr::to_owned).collect();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, "sh"]).arg(program);
        command.env_clear().args(arguments);
        for (name, value) in self.command.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        self.command = command;
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started, or does not end.
    #[must_use]
    pub fn run(self) -> Ended {
        self.start().end()
    }

    /// Starts it.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start(mut self) -> Running {
        let output = |name| File::create(self.home.path().join(name));
        let (Ok(stdout), Ok(stderr)) = (output(STDOUT), output(STDERR)) else {
            panic!("cannot write to {}", self.home.path().display())
        };
        let spawned = self
            .command
            .stdin(Stdio::piped())
            .stdout(self.stdout.unwrap_or(stdout))
            .stderr(stderr)
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => panic!("cannot start longshore: {error}"),
        };
        if let Some(mut stdin) = child.stdin.take() {
            // Who does not read it needs no password.
            let _ = stdin.write_all(self.stdin.as_bytes());
        }
        Running {
            child,
            home: self.home,
        }
    }
}

/// A `longshore` that runs; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    home: TempDir,
}

impl Running {
    /// The id of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name without `SIG`: `INT`, `TERM`, `KILL`.
    ///
    /// # Panics
    ///
    /// When there is no such process any more.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("/bin/sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name])
            .arg(self.child.id().to_string())
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "SIG{name} cannot be sent:\n{}",
            self.stderr()
        );
    }

    /// Kills it, without a chance to do anything more, and waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end.
    #[must_use]
    pub fn kill(mut self) -> Ended {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.end()
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until `seen` gives a value, of what the program does to the world.
    ///
    /// # Panics
    ///
    /// When it ends before that, or nothing happens for a long time.
    pub fn wait_until<T>(&mut self, mut seen: impl FnMut() -> Option<T>) -> T {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(value) = seen() {
                return value;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("longshore has ended, {status}:\n{}", self.stderr());
            }
            // Another process cannot be waited for any other way.
            std::thread::sleep(STEP);
        }
        panic!("nothing happens for {PATIENCE:?}:\n{}", self.stderr())
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end for a long time.
    #[must_use]
    pub fn end(mut self) -> Ended {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Ended {
                    status,
                    stdout: process::read(&self.home.path().join(STDOUT)),
                    stderr: self.stderr(),
                };
            }
            // As above.
            std::thread::sleep(STEP);
        }
        panic!("longshore does not end:\n{}", self.stderr())
    }

    fn stderr(&self) -> String {
        process::read(&self.home.path().join(STDERR))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `longshore` that has run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed, as text.
    pub stdout: String,
    /// What it said besides.
    pub stderr: String,
}

impl Ended {
    /// Demands success and gives what was printed, without the last line end.
    ///
    /// # Panics
    ///
    /// When it failed; the message includes its output.
    #[must_use]
    #[track_caller]
    pub fn succeeded(&self) -> &str {
        assert!(self.status.success(), "{}: {}", self.status, self.stderr);
        self.stdout.strip_suffix('\n').unwrap_or(&self.stdout)
    }

    /// Demands success and one JSON object.
    ///
    /// # Panics
    ///
    /// When it failed, or printed anything else.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        let text = self.succeeded();
        match serde_json::from_str(text) {
            Ok(value @ Value::Object(_)) => value,
            _ => panic!("not one JSON object: {text}"),
        }
    }

    /// Demands a failure with this exit code, nothing printed, and one paragraph that says all of
    /// `words`; gives the paragraph.
    ///
    /// # Panics
    ///
    /// When any of that is not so.
    #[track_caller]
    pub fn failed(&self, code: i32, words: &[&str]) -> &str {
        assert_eq!(self.status.code(), Some(code), "{}", self.stderr);
        assert_eq!(self.stdout, "", "{}", self.stderr);
        let lines: Vec<_> = self.stderr.lines().collect();
        let first = lines
            .first()
            .is_some_and(|line| line.starts_with("error: "));
        let rest = lines
            .iter()
            .skip(1)
            .all(|line| line.starts_with("  caused by: ") || line.starts_with("  hint: "));
        assert!(first && rest, "not one paragraph:\n{}", self.stderr);
        for word in words {
            assert!(
                self.stderr.contains(word),
                "nothing of {word:?}:\n{}",
                self.stderr
            );
        }
        &self.stderr
    }

    /// Demands a failure as [`failed`](Self::failed) does, and that it ends with what to do.
    ///
    /// # Panics
    ///
    /// When any of that is not so.
    #[track_caller]
    pub fn failed_with_hint(&self, code: i32, words: &[&str]) -> &str {
        let said = self.failed(code, words);
        let hint = said.lines().last().unwrap_or_default();
        assert!(hint.starts_with("  hint: "), "no hint:\n{said}");
        said
    }

    /// The signal that ended it, if one did.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }
}

/// The platform of this machine, as images name it.
#[must_use]
pub fn host_platform() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "linux/arm64/v8",
        "arm" => "linux/arm/v7",
        "loongarch64" => "linux/loong64",
        "powerpc64" => "linux/ppc64le",
        "riscv64" => "linux/riscv64",
        "s390x" => "linux/s390x",
        "x86" => "linux/386",
        _ => "linux/amd64",
    }
}

const STDOUT: &str = "stdout";
const STDERR: &str = "stderr";
