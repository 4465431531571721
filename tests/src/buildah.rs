//! buildah, a builder that pulls and unpacks images with the libraries of podman.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::{process, program};

/// buildah with its own storage. Dropping the value removes the storage.
#[derive(Debug)]
pub struct Buildah {
    program: PathBuf,
    registries: PathBuf,
    directory: TempDir,
}

impl Buildah {
    /// A buildah without images that reads this `registries.conf`. `None` when it is not installed,
    /// or when the tests do not run as root.
    #[must_use]
    pub fn find(registries: &Path) -> Option<Self> {
        let program = program::find_for_root("buildah", "buildah")?;
        let buildah = Self {
            program,
            registries: registries.to_owned(),
            directory: process::directory(),
        };
        let policy = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;
        process::write(&buildah.at(POLICY), policy);
        process::write(&buildah.at(NOTHING), "");
        Some(buildah)
    }

    /// Pulls an image for the platform of this machine and unpacks it. Returns the digest of the
    /// image manifest.
    ///
    /// # Panics
    ///
    /// When buildah fails; the message includes its output.
    #[must_use]
    #[track_caller]
    pub fn pull(&self, reference: &str) -> String {
        let policy = self.at(POLICY);
        let mut pull = self.command(["pull", "--quiet"]);
        pull.arg("--signature-policy").arg(policy).arg(reference);
        succeeded(&mut pull);
        let format = ["inspect", "--type", "image", "--format"];
        let mut inspect = self.command(format);
        inspect.arg("{{.FromImageDigest}}").arg(reference);
        succeeded(&mut inspect).trim_end().to_owned()
    }

    /// `buildah`, unaffected by the settings of the user who runs the tests.
    fn command<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("TMPDIR", self.directory.path())
            .env("CONTAINERS_CONF", self.at(NOTHING))
            .env("CONTAINERS_STORAGE_CONF", self.at(NOTHING))
            .arg("--registries-conf")
            .arg(&self.registries)
            .arg("--root")
            .arg(self.at("graph"))
            .arg("--runroot")
            .arg(self.at("run"))
            .args(["--storage-driver", "vfs"])
            .args(arguments);
        command
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Asserts success, and returns the standard output.
#[track_caller]
fn succeeded(command: &mut Command) -> String {
    match command.output() {
        Ok(Output { status, stdout, .. }) if status.success() => {
            String::from_utf8_lossy(&stdout).into_owned()
        }
        Ok(output) => panic!(
            "buildah fails: {command:?}\n{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("cannot run buildah: {error}"),
    }
}

const POLICY: &str = "policy.json";

/// An empty file, used instead of the settings of this machine.
const NOTHING: &str = "nothing.conf";
