//! podman: an engine that unpacks what it pulls.

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::{process, program};

/// podman with storage of its own, which is gone when it is dropped.
#[derive(Debug)]
pub struct Podman {
    program: PathBuf,
    directory: TempDir,
}

impl Podman {
    /// A podman that knows no registry, no credentials and no image; `None` when it is not
    /// installed, or root does not run the tests.
    #[must_use]
    pub fn find() -> Option<Self> {
        let program = program::find_for_root("podman", "podman")?;
        let podman = Self {
            program,
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

    /// Pulls `host/name:tag` or `host/name@digest` over plain HTTP, for the platform of this
    /// machine, and unpacks it.
    ///
    /// # Panics
    ///
    /// When podman fails, with what it said.
    #[must_use]
    #[track_caller]
    pub fn pull(&self, reference: &str) -> PodmanImage {
        let policy = self.at(POLICY);
        let mut pull = self.command(["pull", "--quiet", "--tls-verify=false"]);
        pull.arg("--signature-policy").arg(policy).arg(reference);
        succeeded(&mut pull);
        let format = "{{range .RepoDigests}}{{println .}}{{end}}";
        let inspected = succeeded(&mut self.command(["image", "inspect", "-f", format, reference]));
        let digests = inspected
            .lines()
            .filter_map(|line| Some(line.split_once('@')?.1.to_owned()));
        // With vfs a mount is the directory itself: nothing has to be unmounted.
        let files = succeeded(&mut self.command(["image", "mount", reference]));
        PodmanImage {
            digests: digests.collect(),
            files: PathBuf::from(files.trim_end()),
        }
    }

    /// `podman`, untouched by the settings of whoever runs the tests.
    fn command<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("TMPDIR", self.directory.path())
            .env("CONTAINERS_STORAGE_CONF", self.at(STORAGE));
        for variable in ["CONTAINERS_CONF", "CONTAINERS_REGISTRIES_CONF"] {
            command.env(variable, self.at(NOTHING));
        }
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
    /// The digests podman knows it by: that of the image manifest, and that of the index it was
    /// chosen from.
    pub digests: Vec<String>,
    /// Where its files are.
    pub files: PathBuf,
}

/// Demands success and gives the standard output.
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

/// An empty file, in place of the settings of this machine.
const NOTHING: &str = "nothing.conf";
