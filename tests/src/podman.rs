//! podman, an engine that unpacks the images that it pulls.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::{process, program};

/// podman with its own storage. Dropping the value removes the storage.
#[derive(Debug)]
pub struct Podman {
    program: PathBuf,
    registries: Option<PathBuf>,
    directory: TempDir,
}

impl Podman {
    /// A podman without registries, credentials or images. `None` when it is not installed, or when
    /// the tests do not run as root.
    #[must_use]
    pub fn find() -> Option<Self> {
        let program = program::find_for_root("podman", "podman")?;
        let podman = Self {
            program,
            registries: None,
            directory: process::directory(),
        };
        let root = podman.directory.path().display();
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{root}/graph\"\nrunroot = \"{root}/run\"\n"
        );
        podman.write(STORAGE, &storage);
        podman.write(NOTHING, "");
        podman.write(
            POLICY,
            r#"{"default": [{"type": "insecureAcceptAnything"}]}"#,
        );
        Some(podman)
    }

    /// Reads this `registries.conf`, which decides where images come from and whether registries
    /// use TLS.
    #[must_use]
    pub fn registries(mut self, file: &Path) -> Self {
        self.registries = Some(file.to_owned());
        self
    }

    /// Pulls `host/name:tag` or `host/name@digest`, for the platform of this machine, and unpacks
    /// it. Without [`registries`](Self::registries), registries are asked over plain HTTP.
    ///
    /// # Panics
    ///
    /// When podman fails; the message includes its output.
    #[must_use]
    #[track_caller]
    pub fn pull(&self, reference: &str) -> PodmanImage {
        let policy = self.at(POLICY);
        let mut pull = self.command(["pull", "--quiet"]);
        if self.registries.is_none() {
            pull.arg("--tls-verify=false");
        }
        pull.arg("--signature-policy").arg(policy).arg(reference);
        succeeded(&mut pull);
        let format = "{{range .RepoDigests}}{{println .}}{{end}}";
        let inspected = succeeded(&mut self.command(["image", "inspect", "-f", format, reference]));
        let digests = inspected
            .lines()
            .filter_map(|line| Some(line.split_once('@')?.1.to_owned()));
        // With vfs, a mount is the directory itself, so nothing has to be unmounted.
        let files = succeeded(&mut self.command(["image", "mount", reference]));
        PodmanImage {
            digests: digests.collect(),
            files: PathBuf::from(files.trim_end()),
        }
    }

    /// `podman`, unaffected by the settings of the user who runs the tests.
    fn command<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("TMPDIR", self.directory.path())
            .env("CONTAINERS_STORAGE_CONF", self.at(STORAGE));
        let nothing = self.at(NOTHING);
        let registries = self.registries.as_ref().unwrap_or(&nothing);
        command.env("CONTAINERS_REGISTRIES_CONF", registries);
        command.env("CONTAINERS_CONF", &nothing);
        command
            .arg("--tmpdir")
            .arg(self.at("state"))
            .args(arguments);
        command
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    #[track_caller]
    fn write(&self, name: &str, text: &str) {
        process::write(&self.at(name), text);
    }
}

/// An image in podman's storage.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PodmanImage {
    /// The digests in podman's storage: that of the image manifest, and that of the index that it
    /// was chosen from.
    pub digests: Vec<String>,
    /// The directory with its files.
    pub files: PathBuf,
}

/// Asserts success, and returns the standard output.
#[track_caller]
fn succeeded(command: &mut Command) -> String {
    match command.output() {
        Ok(Output { status, stdout, .. }) if status.success() => {
            String::from_utf8_lossy(&stdout).into_owned()
        }
        Ok(output) => panic!(
            "podman fails: {command:?}\n{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("cannot run podman: {error}"),
    }
}

const STORAGE: &str = "storage.conf";
const POLICY: &str = "policy.json";

/// An empty file, used instead of the settings of this machine.
const NOTHING: &str = "nothing.conf";
