//! skopeo: somebody else's reading of the same specifications.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use longshore_testkit::image::{self, Tree};
use longshore_testkit::registry::Registry;

use crate::{process, program};

/// skopeo with the settings for one registry.
#[derive(Clone, Debug)]
pub struct Skopeo {
    program: PathBuf,
    credentials: Option<String>,
    certificates: Option<PathBuf>,
    registries: Option<PathBuf>,
}

impl Skopeo {
    /// An anonymous skopeo that takes registries without TLS; `None` when it is not installed.
    #[must_use]
    pub fn find() -> Option<Self> {
        let program = program::find("skopeo", "skopeo")?;
        Some(Self {
            program,
            credentials: None,
            certificates: None,
            registries: None,
        })
    }

    /// Sends these credentials where a registry asks for some.
    #[must_use]
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        self.credentials = Some(format!("{user}:{password}"));
        self
    }

    /// Demands TLS and trusts the certificates in this directory.
    #[must_use]
    pub fn trust(mut self, directory: &Path) -> Self {
        self.certificates = Some(directory.to_owned());
        self
    }

    /// Reads this `registries.conf`, which decides where images come from and whether registries
    /// use TLS.
    #[must_use]
    pub fn registries(mut self, file: &Path) -> Self {
        self.registries = Some(file.to_owned());
        self
    }

    /// Pushes a whole tree to `host/name:tag`, digests unchanged.
    ///
    /// # Panics
    ///
    /// When skopeo fails; the message includes its output.
    #[track_caller]
    pub fn push(&self, tree: &Tree, reference: &str) {
        if tree.media_type().as_str().contains("docker") {
            return self.push_from_memory(tree, reference);
        }
        let directory = process::directory();
        if let Err(error) = image::write_layout(directory.path(), &[("pushed", tree)]) {
            panic!("cannot write a layout: {error}");
        }
        self.push_layout(directory.path(), "pushed", reference);
    }

    /// Pushes from a registry: skopeo finds nothing in a layout but what OCI defines.
    #[track_caller]
    fn push_from_memory(&self, tree: &Tree, reference: &str) {
        match Registry::builder().image("pushed", "1", tree).start() {
            Ok(source) => {
                let source = format!("docker://{}/pushed:1", source.authority());
                self.copy(Side::Destination, &source, &format!("docker://{reference}"));
            }
            Err(error) => panic!("cannot start a registry: {error}"),
        }
    }

    /// Pushes what stands under `tag` in an OCI layout to `host/name:tag`, digests unchanged.
    ///
    /// # Panics
    ///
    /// When skopeo fails; the message includes its output.
    #[track_caller]
    pub fn push_layout(&self, layout: &Path, tag: &str, reference: &str) {
        let source = format!("oci:{}:{tag}", layout.display());
        self.copy(Side::Destination, &source, &format!("docker://{reference}"));
    }

    /// Pulls `host/name:tag` into an OCI layout under `tag`, digests unchanged.
    ///
    /// # Panics
    ///
    /// When skopeo fails; the message includes its output.
    #[track_caller]
    pub fn pull_layout(&self, reference: &str, layout: &Path, tag: &str) {
        let destination = format!("oci:{}:{tag}", layout.display());
        self.copy(Side::Source, &format!("docker://{reference}"), &destination);
    }

    /// Reads every document and blob under `tag` of an OCI layout, as a judge of layouts.
    ///
    /// # Panics
    ///
    /// When skopeo finds anything amiss; the message includes its output.
    #[track_caller]
    pub fn read_layout(&self, layout: &Path, tag: &str) {
        let directory = process::directory();
        let source = format!("oci:{}:{tag}", layout.display());
        self.copy(
            Side::Neither,
            &source,
            &format!("dir:{}", directory.path().display()),
        );
    }

    /// The bytes of the document at `docker://host/name:tag` or `oci:layout:tag`.
    ///
    /// # Panics
    ///
    /// When skopeo fails; the message includes its output.
    #[must_use]
    #[track_caller]
    pub fn raw_manifest(&self, image: &str) -> Vec<u8> {
        let mut command = self.command("inspect");
        command.arg("--raw");
        if image.starts_with("docker:") {
            command.args(self.flags(""));
        }
        succeeded(command.arg(image), image).stdout
    }

    /// `skopeo VERB`, unaffected by the policy and credentials of the user who runs the tests.
    #[must_use]
    pub fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--insecure-policy");
        if let Some(file) = &self.registries {
            command.arg("--registries-conf").arg(file);
        }
        command.arg(verb);
        command.env("REGISTRY_AUTH_FILE", "/nonexistent/auth.json");
        for proxy in [
            "http_proxy",
            "https_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
        ] {
            command.env_remove(proxy);
        }
        command
    }

    #[track_caller]
    fn copy(&self, registry: Side, from: &str, to: &str) {
        let mut command = self.command("copy");
        command.args(["--quiet", "--all", "--preserve-digests"]);
        match registry {
            Side::Destination => command
                .args(self.flags("dest-"))
                .arg("--src-tls-verify=false"),
            Side::Neither => &mut command,
            Side::Source => command.args(self.flags("src-")),
        };
        succeeded(command.args([from, to]), from);
    }

    /// The options for the side of a command that is a registry.
    fn flags(&self, side: &str) -> Vec<String> {
        let mut flags = Vec::new();
        match (&self.certificates, &self.registries) {
            (Some(directory), _) => {
                flags.push(format!("--{side}cert-dir={}", directory.display()));
            }
            (None, None) => flags.push(format!("--{side}tls-verify=false")),
            (None, Some(_)) => {}
        }
        flags.extend(
            self.credentials
                .as_ref()
                .map(|pair| format!("--{side}creds={pair}")),
        );
        flags
    }
}

enum Side {
    Destination,
    Neither,
    Source,
}

#[track_caller]
fn succeeded(command: &mut Command, what: &str) -> Output {
    match command.output() {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            panic!(
                "skopeo fails on {what}: {}",
                String::from_utf8_lossy(&output.stderr)
            )
        }
        Err(error) => panic!("cannot run skopeo: {error}"),
    }
}
