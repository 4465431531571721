//! A disk of a few kilobytes, to be full or read-only.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::process;

/// A file system in memory, mounted in a name space of its own: it is gone with this value,
/// however the test ends.
#[derive(Debug)]
pub struct SmallDisk {
    shell: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
    place: TempDir,
}

impl SmallDisk {
    /// Mounts a disk of this many KiB; `None`, with a message, if that is not allowed.
    #[must_use]
    pub fn mount(kib: u32) -> Option<Self> {
        let spawned = Command::new("unshare")
            .args(["--map-root-user", "--mount", "/bin/sh"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mounted = spawned.ok().and_then(|mut shell| {
            let mut disk = Self {
                say: shell.stdin.take()?,
                hear: BufReader::new(shell.stdout.take()?),
                shell,
                place: process::directory(),
            };
            disk.tell(&format!("mount -t tmpfs -o size={kib}k,mode=0755 none"))
                .then_some(disk)
        });
        if mounted.is_none() {
            eprintln!("SKIPPED: no small disk can be mounted (unshare --map-root-user --mount)");
        }
        mounted
    }

    /// Where it is, also for processes that do not see the mount.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.shell.id()));
        let place = self.place.path();
        root.join(place.strip_prefix("/").unwrap_or(place))
    }

    /// Changes its size.
    ///
    /// # Panics
    ///
    /// When that cannot be done.
    pub fn resize(&mut self, kib: u32) {
        assert!(self.tell(&format!("mount -o remount,size={kib}k")));
    }

    /// Lets nobody write to it any more.
    ///
    /// # Panics
    ///
    /// When that cannot be done.
    pub fn make_read_only(&mut self) {
        assert!(self.tell("mount -o remount,ro"));
    }

    /// Runs a command about the mount point in the name space, and says whether it worked.
    fn tell(&mut self, command: &str) -> bool {
        let place = self.place.path().display();
        let mut answer = String::new();
        writeln!(self.say, "{command} '{place}' && echo done || echo failed")
            .and_then(|()| self.say.flush())
            .and_then(|()| self.hear.read_line(&mut answer))
            .is_ok_and(|_| answer == "done\n")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
