//! The programs: the floor, ours and the rivals. Builds and finds them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::options::Options;
use crate::checkout::{self, Checkout};
use crate::peers;

/// A program that moves images, in one way of using it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// An earlier build of longshore, if one was given.
    Before,
    /// Sockets, hashes and files, over a fixed number of connections.
    Floor,
    /// Ours without durable files, like the rivals. The comparison uses this one.
    Longshore,
    /// Ours with durable files: everything is on the disk before it ends.
    LongshoreBatch,
    /// Ours, told not to hash again what a layout holds.
    LongshoreTrusting,
    OciClient,
    Skopeo,
}

impl Program {
    pub(super) const ALL: [Self; 7] = [
        Self::Floor,
        Self::Longshore,
        Self::Before,
        Self::LongshoreBatch,
        Self::LongshoreTrusting,
        Self::Skopeo,
        Self::OciClient,
    ];

    /// The programs that ours should be faster than.
    pub(super) const RIVALS: [Self; 2] = [Self::Skopeo, Self::OciClient];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Floor => "floor",
            Self::Longshore => "longshore",
            Self::LongshoreBatch => "longshore, batch",
            Self::LongshoreTrusting => "longshore, trusting",
            Self::OciClient => "oci-client",
            Self::Skopeo => "skopeo",
        }
    }
}

/// Where the programs are, and what versions they have.
#[derive(Default)]
pub(super) struct Programs {
    paths: BTreeMap<&'static str, PathBuf>,
    /// Whether ours has the option `--durability`.
    pub(super) durability: bool,
    pub(super) versions: BTreeMap<&'static str, String>,
    /// The programs that are missing, with the reasons.
    pub(super) absent: Vec<String>,
}

impl Programs {
    /// Builds our programs and looks for the others.
    ///
    /// # Errors
    ///
    /// The program that measures, the floor, or longshore cannot be built.
    pub(super) fn gather(checkout: &Checkout, options: &Options) -> Result<Self, String> {
        let mut programs = Self::default();
        if let Some(path) = &options.before {
            programs.paths.insert("before", path.clone());
        }
        let is_measured = options.measures(&["longshore", "batch", "trusting"]);
        programs.take_or_build(checkout, options.longshore.as_deref(), is_measured)?;
        programs.build(checkout, &[BENCH_MANIFEST])?;
        let rival = ["--manifest-path=bench/rival-oci-client/Cargo.toml"];
        if options.measures(&["oci-client"])
            && let Err(why) = programs.build(checkout, &rival)
        {
            programs.absent.push(format!("rival-oci-client: {why}"));
        }
        programs.find(&[
            ("docker-registry", "docker-registry"),
            ("nginx", "nginx-light"),
            ("openssl", "openssl"),
            ("skopeo", "skopeo"),
            ("strace", "strace"),
        ]);
        let longshore = programs.paths.get("longshore");
        let help = longshore.map(|path| said(Command::new(path).args(["pull", "--help"])));
        programs.durability = help.is_some_and(|help| help.contains("--durability"));
        if programs.paths.contains_key("longshore") && !programs.durability {
            let why = "longshore pull has no --durability: it is measured as it is";
            programs.absent.push(why.to_owned());
        }
        programs.ask_versions(checkout);
        Ok(programs)
    }

    /// Builds and finds what the benchmark of caches needs; `longshore` is not built if it is given
    /// or not measured.
    ///
    /// # Errors
    ///
    /// The floor or longshore cannot be built.
    pub(super) fn of_caches(
        checkout: &Checkout,
        longshore: Option<&Path>,
        is_measured: bool,
    ) -> Result<Self, String> {
        let mut programs = Self::default();
        programs.take_or_build(checkout, longshore, is_measured)?;
        programs.build(checkout, &[BENCH_MANIFEST, "--package=bench-serve"])?;
        programs.find(&[
            ("docker-registry", "docker-registry"),
            ("nginx", "nginx-light"),
            ("wrk", "wrk"),
        ]);
        programs.ask_versions(checkout);
        Ok(programs)
    }

    /// Takes the given program, or builds it if it is measured.
    fn take_or_build(
        &mut self,
        checkout: &Checkout,
        given: Option<&Path>,
        is_measured: bool,
    ) -> Result<(), String> {
        match given {
            Some(path) => {
                self.paths.insert("longshore", path.to_path_buf());
                let which = format!("longshore was not built, but is {}", path.display());
                self.absent.push(which);
                Ok(())
            }
            None if is_measured => {
                self.build(checkout, &["--package=longshore-cli", "--bin=longshore"])
            }
            None => Ok(()),
        }
    }

    /// Looks for installed programs, each with the Debian package that brings it.
    fn find(&mut self, names: &[(&'static str, &str)]) {
        for (name, package) in names {
            match peers::find(name) {
                Some(path) => {
                    self.paths.insert(name, path);
                }
                None => {
                    let how = format!("{name} is not installed: apt-get install {package}");
                    self.absent.push(how);
                }
            }
        }
    }

    /// The path of a program by its file name.
    pub(super) fn path(&self, name: &str) -> Result<&Path, String> {
        let path = self.paths.get(name).map(PathBuf::as_path);
        path.ok_or_else(|| format!("no {name}"))
    }

    /// Builds with optimisation and remembers where the programs are.
    fn build(&mut self, checkout: &Checkout, what: &[&str]) -> Result<(), String> {
        let words = ["build", "--release", "--locked", MESSAGES];
        let mut command = checkout.cargo(words.iter().chain(what).copied());
        let messages = checkout::output(&mut command)?;
        for line in messages.lines() {
            let Ok(message) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let name = message.pointer("/target/name").and_then(Value::as_str);
            let path = message.get("executable").and_then(Value::as_str);
            if let (Some(name), Some(path)) = (name, path)
                && let Some(known) = BUILT.iter().find(|known| **known == name)
            {
                self.paths.insert(known, PathBuf::from(path));
            }
        }
        Ok(())
    }

    fn ask_versions(&mut self, checkout: &Checkout) {
        for (name, option) in [
            ("docker-registry", "--version"),
            ("longshore", "--version"),
            ("nginx", "-v"),
            ("openssl", "version"),
            ("skopeo", "--version"),
            ("strace", "-V"),
            ("wrk", "-v"),
        ] {
            if let Some(path) = self.paths.get(name) {
                let said = said(Command::new(path).arg(option));
                let first = said.lines().next().unwrap_or_default().to_owned();
                self.versions.insert(name, first);
            }
        }
        let git =
            |words: &[&str]| said(Command::new("git").args(words).current_dir(checkout.root()));
        let changed = !git(&["status", "--porcelain"]).trim().is_empty();
        let commit = git(&["rev-parse", "--short", "HEAD"]);
        let commit = format!(
            "{}{}",
            commit.trim(),
            if changed { ", changed" } else { "" }
        );
        self.versions.insert("commit", commit);
        let rustc = said(Command::new("rustc").arg("--version"));
        self.versions.insert("rustc", rustc.trim().to_owned());
        if self.paths.contains_key("rival-oci-client")
            && let Ok(lock) = checkout.read("bench/rival-oci-client/Cargo.lock")
        {
            let version = locked_version(&lock, "oci-client").unwrap_or("unknown");
            self.versions.insert("oci-client", version.to_owned());
        }
    }
}

/// What a program prints on both outputs; nothing when it does not start.
fn said(command: &mut Command) -> String {
    let output = command.output().map_or_else(
        |_| Vec::new(),
        |output| [output.stdout, output.stderr].concat(),
    );
    String::from_utf8_lossy(&output).into_owned()
}

/// The version a lock file has of a package.
fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    let version = lines.nth(1)?.strip_prefix("version = ")?;
    Some(version.trim_matches('"'))
}

/// What cargo builds for a run.
const BUILT: [&str; 6] = [
    "bench-floor",
    "bench-measure",
    "bench-registry",
    "bench-serve",
    "longshore",
    "rival-oci-client",
];

const BENCH_MANIFEST: &str = "--manifest-path=bench/Cargo.toml";

const MESSAGES: &str = "--message-format=json-render-diagnostics";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_a_lock_file() {
        let lock = "[[package]]\nname = \"a-b\"\nversion = \"1.0.0\"\n\n\
                    [[package]]\nname = \"a\"\nversion = \"2.0.0\"\n";
        assert_eq!(locked_version(lock, "a"), Some("2.0.0"));
        assert_eq!(locked_version(lock, "b"), None);
    }
}
