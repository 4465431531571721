//! The command lines: how each program is told to move an image.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::case::{Case, Route};
use super::image::{TAG, Trees};
use super::program::{Program, Programs};
use super::server::{Kind, Server};
use super::tls::Certificates;

/// The job that every program gets, each by its own command line.
pub(super) struct Job<'a> {
    pub(super) case: Case,
    pub(super) trees: &'a Trees,
    /// The servers of the case's route, in its order.
    pub(super) servers: &'a [Server],
    pub(super) certificates: Option<&'a Certificates>,
    /// The directory that a pull writes to.
    pub(super) directory: &'a Path,
    /// The repository to write to. It does not exist, except in the case that copies again.
    pub(super) repository: String,
    /// An empty directory for configuration and credentials, used instead of the user's own.
    pub(super) configuration: &'a Path,
    /// An empty home directory, used instead of the user's own.
    pub(super) home: &'a Path,
}

/// An empty file of credentials, for programs that require one.
pub(super) const CREDENTIALS: &str = "auth.json";

impl Job<'_> {
    /// The image that is read from a server.
    fn source(&self) -> Option<String> {
        let server = self.servers.first()?;
        let repository = self.case.image.repository();
        Some(format!("{}/{repository}:{TAG}", server.authority()))
    }

    /// The servers that are written to.
    pub(super) fn destinations(&self) -> &[Server] {
        let first = self.case.route.sources();
        self.servers.get(first..).unwrap_or_default()
    }

    /// The images that are written.
    fn targets(&self) -> impl Iterator<Item = String> {
        let repository = &self.repository;
        let servers = self.destinations().iter();
        servers.map(move |server| format!("{}/{repository}:{TAG}", server.authority()))
    }

    /// The layout that is pushed, with its tag.
    fn layout(&self) -> String {
        format!("{}:{TAG}", self.layout_directory().display())
    }

    fn layout_directory(&self) -> PathBuf {
        self.trees.layout(self.case.image)
    }

    fn secure(&self) -> Option<&Certificates> {
        let kinds = self.case.route.kinds();
        self.certificates
            .filter(|_| kinds.contains(&Kind::NginxTls))
    }
}

impl Programs {
    /// The command line of a job; `None` where the program cannot do it or is not measured.
    pub(super) fn command(&self, program: Program, job: &Job<'_>) -> Option<Command> {
        let mut command = match program {
            Program::Floor => self.floor(job)?,
            Program::Skopeo => self.skopeo(job)?,
            Program::OciClient => self.oci_client(job)?,
            Program::Before
            | Program::Longshore
            | Program::LongshoreBatch
            | Program::LongshoreTrusting => self.longshore(program, job)?,
        };
        command.env("DOCKER_CONFIG", job.configuration);
        command.env("REGISTRY_AUTH_FILE", job.configuration.join(CREDENTIALS));
        command.envs(HOMES.map(|name| (name, job.home)));
        // Without this variable, skopeo run by root remembers blobs in a system directory.
        command.env("_CONTAINERS_ROOTLESS_UID", "1");
        command.envs(PROXIES.map(|name| (name, "")));
        Some(command)
    }

    fn longshore(&self, program: Program, job: &Job<'_>) -> Option<Command> {
        let name = match program {
            Program::Before => "before",
            _ => "longshore",
        };
        let mut command = Command::new(self.path(name).ok()?);
        match job.case.route {
            Route::Pull(_) => {
                command.arg("pull").arg(job.source()?).arg(job.directory);
                let durability = match program {
                    Program::LongshoreBatch => "batch",
                    _ => "none",
                };
                match (program, self.durability) {
                    (_, true) => command.arg(format!("--durability={durability}")),
                    (Program::LongshoreBatch, false) => return None,
                    (_, false) => &mut command,
                };
            }
            Route::Push(_) => {
                command.arg("push").arg(job.layout()).args(job.targets());
            }
            Route::Copy(..) | Route::Within(_) | Route::Again(_) => {
                command.arg("copy").arg(job.source()?).args(job.targets());
            }
        }
        if program == Program::LongshoreTrusting {
            command.arg("--trust-existing");
        }
        match job.secure() {
            Some(tls) => command.arg("--ca-file").arg(&tls.authority),
            None => command.arg("--plain-http"),
        };
        Some(command)
    }

    fn floor(&self, job: &Job<'_>) -> Option<Command> {
        let image = job.case.image.repository();
        let [first, second] = [0, 1].map(|at| job.servers.get(at).map(Server::authority));
        let mut command = Command::new(self.path("bench-floor").ok()?);
        match job.case.route {
            Route::Pull(Kind::DockerRegistry | Kind::Nginx) => {
                command.args(["pull", &first?, &image, TAG]);
                command.arg(job.directory);
            }
            Route::Push(Kind::DockerRegistry | Kind::Sink) => {
                command.arg("push").arg(job.layout_directory());
                command.args([&first?, &job.repository, TAG]);
            }
            Route::Copy(_, [_]) => {
                command.args(["copy", &first?, &image, TAG, &second?, &job.repository]);
            }
            _ => return None,
        }
        command.arg(FLOOR_CONNECTIONS);
        Some(command)
    }

    fn skopeo(&self, job: &Job<'_>) -> Option<Command> {
        let mut command = Command::new(self.path("skopeo").ok()?);
        // No policy file is needed, and no layer is compressed again.
        command.args(["--insecure-policy", "copy", "--quiet", "--preserve-digests"]);
        match job.secure() {
            Some(tls) => command.arg("--src-cert-dir").arg(&tls.directory),
            None => command.arg("--src-tls-verify=false"),
        };
        let from = match job.case.route {
            Route::Push(_) => format!("oci:{}", job.layout()),
            _ => format!("docker://{}", job.source()?),
        };
        let to = match job.case.route {
            Route::Pull(_) => format!("oci:{}:{TAG}", job.directory.display()),
            _ => {
                command.arg("--dest-tls-verify=false");
                format!("docker://{}", job.targets().next()?)
            }
        };
        command.args([from, to]);
        (job.destinations().len() < 2).then_some(command)
    }

    fn oci_client(&self, job: &Job<'_>) -> Option<Command> {
        let mut command = Command::new(self.path("rival-oci-client").ok()?);
        if let Some(tls) = job.secure() {
            command.arg("--ca-file").arg(&tls.authority);
        }
        match job.case.route {
            Route::Pull(_) => command.arg("pull").arg(job.source()?).arg(job.directory),
            Route::Push(_) => command
                .arg("push")
                .arg(job.layout_directory())
                .args(job.targets()),
            _ => command.arg("copy").arg(job.source()?).args(job.targets()),
        };
        Some(command)
    }
}

/// Variables that name places where a program remembers things.
const HOMES: [&str; 5] = [
    "HOME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
];

/// Variables that would send a program to a proxy.
const PROXIES: [&str; 6] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
];

/// The number of connections, equal to the number of large blobs that longshore moves concurrently.
const FLOOR_CONNECTIONS: &str = "4";
