//! `longshore serve`, as a user runs it.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::binary;
use crate::process::{self, Process};

/// A running cache. It is killed when it is dropped; its directory is removed unless the test gave
/// one.
#[derive(Debug)]
pub struct Serve {
    process: Process,
    address: SocketAddr,
    builder: Builder,
}

/// Settings of a [`Serve`].
#[derive(Clone, Debug, Default)]
pub struct Builder {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    cache: Option<PathBuf>,
    port: Option<u16>,
    limits: Option<String>,
    tls: bool,
}

impl Serve {
    /// Settings without an upstream.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A cache whose default upstream is `docker.io`, at this URL.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn of_hub(url: &str) -> Self {
        Self::builder().upstream("docker.io", url).start()
    }

    /// `127.0.0.1:1234`, as a reference names it.
    #[must_use]
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its origin as a URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything it wrote to standard error and standard output.
    #[must_use]
    pub fn said(&self) -> String {
        self.process.said()
    }

    /// Kills it (SIGKILL) and starts it again with the same directory and address.
    ///
    /// # Panics
    ///
    /// When it does not start again.
    pub fn restart(&mut self) {
        self.process.kill();
        let command = self.builder.command(self.process.directory(), self.address);
        self.process.restart(command);
        let address = self.address;
        let ready = self
            .process
            .wait_until(|_| process::answers(address).then_some(()));
        assert!(ready.is_some(), "it ended:\n{}", self.said());
    }

    /// The running process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The directory of the cache.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.builder.directory(self.process.directory())
    }
}

impl Builder {
    /// Adds an upstream under this prefix.
    #[must_use]
    pub fn upstream(self, prefix: &str, url: &str) -> Self {
        self.args(["--upstream", &format!("{prefix}={url}")])
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let arguments = arguments.into_iter().map(|it| it.as_ref().to_owned());
        self.arguments.extend(arguments);
        self
    }

    /// Sets an environment variable, for example `LONGSHORE_SERVE_TAG_TTL`.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps the cache in this directory, which outlives it.
    #[must_use]
    pub fn cache(mut self, directory: &Path) -> Self {
        self.cache = Some(directory.to_owned());
        self
    }

    /// Serves https with this certificate and key, files in PEM.
    #[must_use]
    pub fn tls(mut self, certificate: &Path, key: &Path) -> Self {
        self.tls = true;
        self.env(
            "LONGSHORE_SERVE_TLS_CERT",
            &certificate.display().to_string(),
        )
        .env("LONGSHORE_SERVE_TLS_KEY", &key.display().to_string())
    }

    /// Listens on this port of 127.0.0.1.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Runs it after this shell command, which sets limits: `ulimit -f 1024`.
    #[must_use]
    pub fn limits(mut self, command: &str) -> Self {
        self.limits = Some(command.to_owned());
        self
    }

    /// Starts it and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn start(self) -> Serve {
        // Somebody else may take a free port before it is used.
        for _ in 0..5 {
            let directory = process::directory();
            let port = self.port.unwrap_or_else(process::free_port);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let command = self.command(directory.path(), address);
            let mut process = Process::start(command, directory);
            let ready = process.wait_until(|_| self.answers(address).then_some(()));
            if ready.is_some() {
                let builder = self;
                return Serve {
                    process,
                    address,
                    builder,
                };
            }
            assert!(
                process.said().contains("in use"),
                "it does not start:\n{}",
                process.said()
            );
        }
        panic!("no port is free")
    }

    /// Runs it to its end, for a start that fails. Returns what it wrote.
    ///
    /// # Panics
    ///
    /// When it starts.
    #[must_use]
    pub fn fails(self) -> String {
        let directory: TempDir = process::directory();
        let port = self.port.unwrap_or_else(process::free_port);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let command = self.command(directory.path(), address);
        let mut process = Process::start(command, directory);
        let ready = process.wait_until(|_| process::answers(address).then_some(()));
        assert!(ready.is_none(), "it started");
        process.said()
    }

    fn answers(&self, address: SocketAddr) -> bool {
        match self.tls {
            // In the clear, there is no answer.
            true => process::listens(address),
            false => process::answers(address),
        }
    }

    fn directory(&self, of_process: &Path) -> PathBuf {
        let own = || of_process.join("cache");
        self.cache.clone().unwrap_or_else(own)
    }

    fn command(&self, directory: &Path, address: SocketAddr) -> Command {
        let mut command = match &self.limits {
            Some(limits) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("{limits}; exec \"$@\""), "sh"]);
                shell.arg(binary::longshore());
                shell
            }
            None => Command::new(binary::longshore()),
        };
        command
            .env_clear()
            .env("HOME", directory)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(directory)
            .args(["serve", "--listen", &address.to_string(), "--dir"])
            .arg(AsRef::<OsStr>::as_ref(&self.directory(directory)))
            .args(&self.arguments);
        command
    }
}
