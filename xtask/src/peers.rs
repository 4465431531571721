//! The real programs the end-to-end tests talk to.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::checkout::Checkout;
use crate::log::Log;
use crate::step::{Report, Step};

/// A program the tests start, and the Debian package that brings it.
struct Peer {
    binary: &'static str,
    package: &'static str,
}

const PEERS: &[Peer] = &[
    Peer {
        binary: "buildah",
        package: "buildah",
    },
    Peer {
        binary: "containerd",
        package: "containerd",
    },
    Peer {
        binary: "curl",
        package: "curl",
    },
    Peer {
        binary: "docker-registry",
        package: "docker-registry",
    },
    Peer {
        binary: "dockerd",
        package: "docker.io",
    },
    Peer {
        binary: "htpasswd",
        package: "apache2-utils",
    },
    Peer {
        binary: "microsocks",
        package: "microsocks",
    },
    Peer {
        binary: "nginx",
        package: "nginx-light",
    },
    Peer {
        binary: "podman",
        package: "podman",
    },
    Peer {
        binary: "skopeo",
        package: "skopeo",
    },
    Peer {
        binary: "tinyproxy",
        package: "tinyproxy",
    },
];

/// Where daemons are, for users whose `PATH` does not contain these directories.
const DAEMON_DIRECTORIES: [&str; 2] = ["/usr/sbin", "/sbin"];

/// What `cargo xtask test` does before its other steps.
pub(crate) enum Plan {
    /// Every peer is installed.
    Complete,
    /// Install the missing peers.
    Install(Step),
    /// Run without them; the text says which tests will be skipped.
    Skip(String),
}

/// Missing peers are installed on request and in CI; elsewhere the tests that need them are
/// skipped.
pub(crate) fn plan(asked: bool) -> Plan {
    let missing = missing();
    if missing.is_empty() {
        Plan::Complete
    } else if asked || in_ci() {
        Plan::Install(Step {
            name: "peers",
            about: "installs the programs that the end-to-end tests talk to",
            run: install,
        })
    } else {
        Plan::Skip(notice(&missing))
    }
}

fn missing() -> Vec<&'static Peer> {
    PEERS
        .iter()
        .filter(|peer| find(peer.binary).is_none())
        .collect()
}

/// Looks a program up in `PATH` and where daemons are.
pub(crate) fn find(binary: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(DAEMON_DIRECTORIES.map(PathBuf::from))
        .map(|directory| directory.join(binary))
        .find(|candidate| candidate.is_file())
}

/// Fails when a peer is still missing afterwards: in CI a skipped test would prove nothing.
fn install(_: &Checkout, log: &mut Log) -> Report {
    let missing = missing();
    if in_ci() && !is_root() {
        let why = "in CI no test may be skipped, and only root can install";
        return Report::of(Err(format!("{why}: {}", packages(&missing))));
    }
    if find("apt-get").is_none() {
        let why = "there is no apt-get; install these programs another way";
        return Report::of(Err(format!("{why}: {}", binaries(&missing))));
    }
    let mut apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        log.run(command.args(words).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    let mut words = vec!["install", "--yes", "--no-install-recommends"];
    words.extend(missing.iter().map(|peer| peer.package));
    let result = apt(&["update"]).and_then(|()| apt(&words));
    Report::of(result.and_then(|()| match self::missing().as_slice() {
        [] => Ok(()),
        missing => Err(format!("still not installed: {}", binaries(missing))),
    }))
}

/// What is missing and how to install it.
fn notice(missing: &[&Peer]) -> String {
    format!(
        "These programs are not installed, so the tests that need them are skipped:\n  {}\n\
         On Debian, `cargo xtask test --install` installs them. As root it runs:\n  \
         apt-get install {}",
        binaries(missing),
        packages(missing)
    )
}

fn binaries(peers: &[&Peer]) -> String {
    let names: Vec<&str> = peers.iter().map(|peer| peer.binary).collect();
    names.join(" ")
}

fn packages(peers: &[&Peer]) -> String {
    let names: Vec<&str> = peers.iter().map(|peer| peer.package).collect();
    names.join(" ")
}

/// The same reading of `CI` as in the tests, which fail there instead of being skipped.
fn in_ci() -> bool {
    is_ci(std::env::var("CI").ok().as_deref())
}

fn is_ci(value: Option<&str>) -> bool {
    !matches!(value, None | Some("" | "0" | "false"))
}

fn is_root() -> bool {
    Path::new("/usr/bin/id").exists()
        && Command::new("/usr/bin/id")
            .arg("-u")
            .output()
            .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ci_is_any_value_that_does_not_say_no() {
        for (value, expected) in [
            (None, false),
            (Some(""), false),
            (Some("0"), false),
            (Some("false"), false),
            (Some("true"), true),
            (Some("1"), true),
        ] {
            assert_eq!(is_ci(value), expected, "{value:?}");
        }
    }

    #[test]
    fn the_notice_names_programs_and_packages() {
        let missing: Vec<&Peer> = PEERS.iter().filter(|peer| peer.binary == "nginx").collect();
        let notice = notice(&missing);
        assert!(notice.contains("are skipped:\n  nginx\n"), "{notice}");
        assert!(notice.ends_with("apt-get install nginx-light"), "{notice}");
    }
}
