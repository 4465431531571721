//! One run of one program, measured.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::server::Traffic;

/// What one run cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// Seconds from the start of the program to its end.
    pub(super) wall: f64,
    /// Seconds of processor time in the program and in the system for it.
    pub(super) user: f64,
    pub(super) system: f64,
    pub(super) peak_mib: f64,
    /// What it wrote to file systems on disks.
    pub(super) written_mib: f64,
    pub(super) minor_faults: f64,
    pub(super) switches: f64,
    pub(super) traffic: Traffic,
}

/// How often a program called the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calls {
    pub(super) all: u64,
    /// Calls that wait for a disk.
    pub(super) syncs: u64,
    /// Files it created, even those that it removed later.
    pub(super) files: u64,
}

impl Sample {
    /// Runs a command through the program that measures.
    ///
    /// # Errors
    ///
    /// It cannot be started or fails; the text contains what it printed.
    pub(super) fn take(measure: &Path, command: &Command) -> Result<Self, String> {
        let mut wrapped = Command::new(measure);
        let said = run(wrap(&mut wrapped, command))?;
        let figures: Value =
            serde_json::from_str(&said.stdout).map_err(|error| format!("{error}: {said:?}"))?;
        if figures.get("success").and_then(Value::as_bool) != Some(true) {
            return Err(format!("it failed: {}", said.stderr.trim()));
        }
        let figure = |name: &str| {
            figures
                .get(name)
                .and_then(Value::as_f64)
                .unwrap_or(f64::NAN)
        };
        Ok(Self {
            wall: figure("wall_us") / 1e6,
            user: figure("user_us") / 1e6,
            system: figure("system_us") / 1e6,
            peak_mib: figure("peak_kib") / 1024.0,
            written_mib: figure("blocks_written") / 2048.0,
            minor_faults: figure("minor_faults"),
            switches: figure("switches"),
            traffic: Traffic::default(),
        })
    }

    /// All processor time, in seconds.
    pub(super) fn cpu(&self) -> f64 {
        self.user + self.system
    }

    pub(super) fn to_json(self) -> Value {
        let Traffic {
            requests,
            connections,
            refused,
            tokens,
            pings,
            blobs,
            uploads,
            stored,
            served,
            received,
        } = self.traffic;
        json!({
            "wall_seconds": self.wall,
            "user_seconds": self.user,
            "system_seconds": self.system,
            "peak_mib": self.peak_mib,
            "written_mib": self.written_mib,
            "minor_faults": self.minor_faults,
            "context_switches": self.switches,
            "requests": requests,
            "connections": connections,
            "refused_requests": refused,
            "token_requests": tokens,
            "pings": pings,
            "blob_requests": blobs,
            "uploads": uploads,
            "stored_manifests": stored,
            "bytes_read": served,
            "bytes_sent": received,
        })
    }
}

impl Calls {
    /// Runs a command under `strace`.
    ///
    /// # Errors
    ///
    /// It cannot be started or fails; with what it said.
    pub(super) fn count(strace: &Path, command: &Command, table: &Path) -> Result<Self, String> {
        let mut wrapped = Command::new(strace);
        wrapped.args(["-f", "-C", "-s", "0", "-o"]).arg(table);
        run(wrap(&mut wrapped, command))?;
        let table = std::fs::read_to_string(table).map_err(|error| format!("strace: {error}"))?;
        Self::parse(&table).ok_or_else(|| format!("strace says something else:\n{table}"))
    }

    /// Reads what `strace -C` writes: a line for each call, then a table of share, seconds, each,
    /// calls, errors or nothing, name.
    fn parse(text: &str) -> Option<Self> {
        let (calls, table) = text.split_once("\n% time")?;
        let is_new = |line: &&str| line.contains("O_CREAT") || line.contains("O_TMPFILE");
        let is_made = |line: &&str| is_new(line) && !line.contains(") = -1 ");
        let files = calls.lines().filter(is_made).count() as u64;
        let mut syncs = 0;
        for line in table.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (Some(name), Some(Ok(calls))) =
                (words.last(), words.get(3).map(|word| word.parse::<u64>()))
            else {
                continue;
            };
            match *name {
                "fsync" | "fdatasync" | "sync_file_range" | "syncfs" => syncs += calls,
                "total" => {
                    return Some(Self {
                        all: calls,
                        syncs,
                        files,
                    });
                }
                _ => {}
            }
        }
        None
    }

    pub(super) fn to_json(self) -> Value {
        json!({"all": self.all, "syncs": self.syncs, "files": self.files})
    }
}

/// Has one program start another, in the environment that is meant for it.
fn wrap<'a>(outer: &'a mut Command, inner: &Command) -> &'a mut Command {
    outer.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

#[derive(Debug)]
struct Said {
    stdout: String,
    stderr: String,
}

fn run(command: &mut Command) -> Result<Said, String> {
    let output = command
        .output()
        .map_err(|error| format!("it does not start: {error}"))?;
    let said = Said {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    match output.status.success() {
        true => Ok(said),
        false => Err(format!("{}: {}", output.status, said.stderr.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_from_the_table_of_strace() {
        let table = "\
7 openat(AT_FDCWD, \"\"..., O_WRONLY|O_CREAT|O_CLOEXEC, 0666) = 3
7 openat(AT_FDCWD, \"\"..., O_WRONLY|O_CREAT|O_EXCL, 0666) = -1 EEXIST (File exists)
8 openat(AT_FDCWD, \"\"..., O_RDONLY) = 4
7 +++ exited with 0 +++
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 80.00    0.000400           4       100        12 read
 20.00    0.000100          10         3           fsync
------ ----------- ----------- --------- --------- ----------------
100.00    0.000500           4       103        12 total
";
        let expected = Calls {
            all: 103,
            syncs: 3,
            files: 1,
        };
        assert_eq!(Calls::parse(table), Some(expected));
        assert_eq!(Calls::parse(""), None);
    }
}
