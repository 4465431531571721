//! The checkout that the program works on, and the commands that it starts there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the checkout, and the cargo that started this program.
pub(crate) struct Checkout {
    root: PathBuf,
    cargo: OsString,
}

impl Checkout {
    /// Finds the checkout from what cargo tells a program it runs, else the working directory.
    pub(crate) fn here() -> Self {
        let root = std::env::var_os("CARGO_MANIFEST_DIR")
            .map(PathBuf::from)
            .and_then(|xtask| xtask.parent().map(Path::to_path_buf))
            .unwrap_or_else(|| PathBuf::from("."));
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        Self { root, cargo }
    }

    /// The directory that holds the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A cargo command at the root.
    pub(crate) fn cargo<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(&self.cargo);
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// A cargo command at the root under another toolchain, or `None` where it is not installed.
    ///
    /// `CARGO` names one toolchain's own binary, which does not understand `+nightly`.
    pub(crate) fn cargo_of<'a>(
        &self,
        toolchain: &str,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Option<Command> {
        let works = Command::new("rustup")
            .args(["run", toolchain, "rustc", "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        works.then(|| {
            let mut command = Command::new("rustup");
            command
                .args(["run", toolchain, "cargo"])
                .args(arguments)
                .env_remove("CARGO")
                .current_dir(&self.root);
            command
        })
    }

    /// Whether `cargo <subcommand>` is installed.
    pub(crate) fn has_subcommand(&self, subcommand: &str) -> bool {
        self.cargo([subcommand, "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Reads a text file by its path from the root.
    pub(crate) fn read(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(self.root.join(path)).map_err(|error| format!("{path}: {error}"))
    }
}

/// Runs a command on the terminal of the user.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    eprintln!("    $ {}", line(command));
    let status = command
        .status()
        .map_err(|error| cannot_start(command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{}: {status}", line(command)))
    }
}

/// Runs a command and returns its standard output; its standard error goes to the terminal.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| cannot_start(command, &error))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{}: {}", line(command), output.status))
    }
}

pub(crate) fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("cannot run {}: {error}", line(command))
}

/// The command as one would type it, without the directory of the program.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or_else(|| command.get_program());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
