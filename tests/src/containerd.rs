//! containerd and its client `ctr`. Kubernetes pulls with containerd.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::process::{self, Process};
use crate::{layout, program};

/// A running containerd with its storage. Dropping it ends the process and removes the storage.
#[derive(Debug)]
pub struct Containerd {
    process: Process,
    client: PathBuf,
    hosts: Option<PathBuf>,
}

impl Containerd {
    /// Starts containerd without its service for Kubernetes. `None` when it is not installed, or
    /// when the tests do not run as root.
    ///
    /// # Panics
    ///
    /// When it does not start; the message includes its output.
    #[must_use]
    pub fn start() -> Option<Self> {
        let program = program::find_for_root("containerd", "containerd")?;
        let client = program::find_for_root("ctr", "containerd")?;
        let directory = process::directory();
        let config = directory.path().join("config.toml");
        process::write(&config, settings(directory.path()));
        let mut command = Command::new(program);
        command.arg("--config").arg(config);
        command.env("TMPDIR", directory.path());
        let mut process = Process::start(command, directory);
        let ready = process.wait_until(|process| UnixStream::connect(socket(process)).ok());
        assert!(ready.is_some(), "containerd ended:\n{}", process.said());
        Some(Self {
            process,
            client,
            hosts: None,
        })
    }

    /// Pulls as the files `HOST/hosts.toml` in this directory say.
    #[must_use]
    pub fn hosts(mut self, directory: &Path) -> Self {
        self.hosts = Some(directory.to_owned());
        self
    }

    /// The socket on which it serves its clients.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket(&self.process)
    }

    /// Pulls `host/name:tag` or `host/name@digest`, for the platform of this machine, and unpacks
    /// it. Without [`hosts`](Self::hosts), registries are asked over plain HTTP. The storage must
    /// not hold an image with the same layers.
    ///
    /// # Panics
    ///
    /// When that fails; the message includes the output of `ctr`.
    #[must_use]
    #[track_caller]
    pub fn pull(&self, reference: &str) -> ContainerdImage {
        let hosts = self.hosts.as_ref().map(|it| it.display().to_string());
        let hosts = match &hosts {
            Some(directory) => &["--hosts-dir", directory][..],
            None => &["--plain-http"],
        };
        let flags = ["--snapshotter", SNAPSHOTTER];
        self.ctr(&[&["images", "pull"], hosts, &flags, &[reference]].concat());
        let filter = format!("name=={reference}");
        let listed = self.ctr(&["images", "list", &filter]);
        // The reference, the media type, the digest.
        let line = listed.lines().find_map(|it| it.strip_prefix(reference));
        let digest = line.and_then(|line| line.split_whitespace().nth(1));
        ContainerdImage {
            digest: digest.unwrap_or_default().to_owned(),
            files: self.last_snapshot(),
        }
    }

    /// The files of the topmost snapshot, which has the files of all layers: the native snapshotter
    /// copies the layers below.
    #[track_caller]
    fn last_snapshot(&self) -> PathBuf {
        let plugin = format!("root/io.containerd.snapshotter.v1.{SNAPSHOTTER}/snapshots");
        let snapshots = self.process.directory().join(plugin);
        let numbers = layout::names(&snapshots);
        let last = numbers.iter().filter_map(|it| it.parse::<u64>().ok()).max();
        match last {
            Some(last) => snapshots.join(last.to_string()),
            None => panic!("nothing was unpacked:\n{}", self.process.said()),
        }
    }

    /// Runs `ctr`, asserts success, and returns the standard output.
    #[track_caller]
    fn ctr(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.client);
        command.env_clear().env("HOME", self.process.directory());
        command.arg("--address").arg(socket(&self.process));
        match command.args(arguments).output() {
            Ok(Output { status, stdout, .. }) if status.success() => {
                String::from_utf8_lossy(&stdout).into_owned()
            }
            Ok(output) => panic!(
                "ctr fails: {arguments:?}\n{}\n{}",
                String::from_utf8_lossy(&output.stderr),
                self.process.said()
            ),
            Err(error) => panic!("cannot run ctr: {error}"),
        }
    }
}

/// An image in containerd's storage.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ContainerdImage {
    /// The digest that the reference resolves to.
    pub digest: String,
    /// The directory with its files.
    pub files: PathBuf,
}

/// The configuration: all files are below `directory`, and plugins that are not needed are
/// disabled.
fn settings(directory: &Path) -> String {
    let at = |name: &str| directory.join(name).display().to_string();
    format!(
        "version = 2\nroot = {:?}\nstate = {:?}\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
         [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n\
         [plugins.\"io.containerd.internal.v1.opt\"]\npath = {:?}\n",
        at("root"),
        at("state"),
        at(SOCKET),
        at("ttrpc.sock"),
        at("opt"),
    )
}

fn socket(process: &Process) -> PathBuf {
    process.directory().join(SOCKET)
}

const SOCKET: &str = "containerd.sock";

/// A snapshotter that needs no support from the kernel.
const SNAPSHOTTER: &str = "native";
