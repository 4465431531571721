//! The real programs the end-to-end tests talk to.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::checkout;

/// A program the tests start, and the Debian package that brings it.
struct Peer {
    binary: &'static str,
    package: &'static str,
}

const PEERS: &[Peer] = &[
    Peer {
        binary: "docker-registry",
        package: "docker-registry",
    },
    Peer {
        binary: "htpasswd",
        package: "apache2-utils",
    },
    Peer {
        binary: "nginx",
        package: "nginx-light",
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

/// Where daemons are, for users whose `PATH` does not say so.
const DAEMON_DIRECTORIES: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Sees to it that the peers are there: installs what is missing where asked to, or in CI as root.
///
/// At home a missing peer is a loud notice and the tests that need it skip.
///
/// # Errors
///
/// Installing failed, or a peer is missing in CI, where a skipped test would prove nothing.
pub(crate) fn prepare(asked: bool) -> Result<(), String> {
    let in_ci = is_ci(std::env::var("CI").ok().as_deref());
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    if asked || (in_ci && is_root()) {
        install(&missing)?;
    }
    match (self::missing().as_slice(), in_ci) {
        ([], _) => Ok(()),
        (missing, true) => Err(format!(
            "missing in CI, where nothing may skip:\n{}",
            how(missing)
        )),
        (missing, false) => {
            eprintln!(
                "*** The tests that talk to these programs will skip:\n{}",
                how(missing)
            );
            Ok(())
        }
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

fn install(missing: &[&Peer]) -> Result<(), String> {
    if find("apt-get").is_none() {
        return Err(format!(
            "only apt is known here; install by hand:\n{}",
            how(missing)
        ));
    }
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        checkout::run(command.args(words).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update"])?;
    let mut words = vec!["install", "--yes", "--no-install-recommends"];
    words.extend(missing.iter().map(|peer| peer.package));
    apt(&words)
}

/// What is missing and how to get it.
fn how(missing: &[&Peer]) -> String {
    let names: Vec<&str> = missing.iter().map(|peer| peer.binary).collect();
    let packages: Vec<&str> = missing.iter().map(|peer| peer.package).collect();
    format!(
        "***   {}\n*** On Debian: cargo xtask test --install   (as root; it runs\n\
         ***   apt-get install {})",
        names.join(" "),
        packages.join(" ")
    )
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
        let notice = how(&missing);
        assert!(notice.contains("***   nginx\n"), "{notice}");
        assert!(notice.contains("apt-get install nginx-light"), "{notice}");
    }
}
