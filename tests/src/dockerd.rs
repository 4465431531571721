//! dockerd, Docker's engine, and its client.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::containerd::Containerd;
use crate::process::{self, Process};
use crate::program;

/// A running dockerd with its storage. Dropping it ends the process and removes the storage.
#[derive(Debug)]
pub struct Dockerd {
    process: Process,
    client: PathBuf,
    _containerd: Containerd,
}

impl Dockerd {
    /// Starts dockerd with this `daemon.json`, without a network for containers. `None` when it is
    /// not installed, or when the tests do not run as root.
    ///
    /// # Panics
    ///
    /// When it does not start; the message includes its output.
    #[must_use]
    pub fn start(settings: &Path) -> Option<Self> {
        let program = program::find_for_root("dockerd", "docker.io")?;
        let client = program::find_for_root("docker", "docker.io")?;
        let unshare = program::find_for_root("unshare", "util-linux")?;
        // One of its own would outlive a dockerd that is killed.
        let containerd = Containerd::start()?;
        let directory = process::directory();
        let at = |name: &str| directory.path().join(name);
        // It mounts its storage over itself, and leaves that behind when it is killed.
        let mut command = Command::new(unshare);
        command
            .arg("--mount")
            .arg(program)
            .args(["--iptables=false", "--bridge=none", "--storage-driver=vfs"])
            .arg("--config-file")
            .arg(settings)
            .arg("--containerd")
            .arg(containerd.socket())
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .arg("--host")
            .arg(format!("unix://{}", at(SOCKET).display()))
            .env("HOME", directory.path())
            .env("TMPDIR", directory.path());
        for proxy in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            command.env_remove(proxy);
        }
        let mut process = Process::start(command, directory);
        let ready = process.wait_until(|process| {
            // It listens before it is ready.
            let initialized = process.said().contains("API listen on");
            initialized.then(|| UnixStream::connect(socket(process)).ok())?
        });
        assert!(ready.is_some(), "dockerd ended:\n{}", process.said());
        Some(Self {
            process,
            client,
            _containerd: containerd,
        })
    }

    /// Pulls an image for the platform of this machine and unpacks it. Returns the digest that the
    /// reference resolves to.
    ///
    /// # Panics
    ///
    /// When that fails; the message includes the output of dockerd.
    #[must_use]
    #[track_caller]
    pub fn pull(&self, reference: &str) -> String {
        let said = self.docker(&["pull", reference]);
        let digest = said.lines().find_map(|it| it.strip_prefix("Digest: "));
        digest.unwrap_or_default().to_owned()
    }

    /// Removes an image and the layers that no other image has.
    ///
    /// # Panics
    ///
    /// When that fails; the message includes the output of dockerd.
    #[track_caller]
    pub fn remove(&self, reference: &str) {
        let _ = self.docker(&["image", "rm", reference]);
    }

    /// Runs `docker`, asserts success, and returns the standard output.
    #[track_caller]
    fn docker(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.client);
        command.env_clear().env("HOME", self.process.directory());
        command.arg("--host");
        command.arg(format!("unix://{}", socket(&self.process).display()));
        match command.args(arguments).output() {
            Ok(Output { status, stdout, .. }) if status.success() => {
                String::from_utf8_lossy(&stdout).into_owned()
            }
            Ok(output) => panic!(
                "docker fails: {arguments:?}\n{}\n{}",
                String::from_utf8_lossy(&output.stderr),
                self.process.said()
            ),
            Err(error) => panic!("cannot run docker: {error}"),
        }
    }
}

fn socket(process: &Process) -> PathBuf {
    process.directory().join(SOCKET)
}

const SOCKET: &str = "docker.sock";
