//! The platform that this program was compiled for.

use super::Platform;

impl Platform {
    /// Returns the platform whose images run on this machine, by the names that images use.
    ///
    /// The answer is decided when the program is compiled. On macOS and Windows the operating
    /// system is `linux`, because containers run in a virtual machine there. The variant is not
    /// given: it depends on the CPU the program runs on, and [`Platform::fits`] assumes the usual
    /// one. An operating system or architecture without a name in images is `unknown`, and no image
    /// fits it.
    #[must_use]
    pub fn host() -> Self {
        Self::new(first(OPERATING_SYSTEMS), first(ARCHITECTURES))
    }
}

/// Returns the name whose condition holds.
fn first(names: &[(bool, &'static str)]) -> &'static str {
    names
        .iter()
        .find(|(holds, _)| *holds)
        .map_or("unknown", |(_, name)| name)
}

/// The `GOOS` names of operating systems that run containers.
const OPERATING_SYSTEMS: &[(bool, &str)] = &[
    (
        cfg!(any(
            target_os = "linux",
            target_os = "macos",
            target_os = "windows"
        )),
        "linux",
    ),
    (cfg!(target_os = "aix"), "aix"),
    (cfg!(target_os = "android"), "android"),
    (cfg!(target_os = "dragonfly"), "dragonfly"),
    (cfg!(target_os = "freebsd"), "freebsd"),
    (cfg!(target_os = "illumos"), "illumos"),
    (cfg!(target_os = "netbsd"), "netbsd"),
    (cfg!(target_os = "openbsd"), "openbsd"),
    (cfg!(target_os = "solaris"), "solaris"),
];

/// Whether this machine stores the low byte of a number first.
const LITTLE: bool = cfg!(target_endian = "little");

/// The `GOARCH` names of CPU architectures.
const ARCHITECTURES: &[(bool, &str)] = &[
    (cfg!(target_arch = "x86_64"), "amd64"),
    (cfg!(target_arch = "aarch64"), "arm64"),
    (cfg!(target_arch = "arm"), "arm"),
    (cfg!(target_arch = "x86"), "386"),
    (cfg!(target_arch = "riscv64"), "riscv64"),
    (cfg!(target_arch = "s390x"), "s390x"),
    (cfg!(target_arch = "powerpc64") && LITTLE, "ppc64le"),
    (cfg!(target_arch = "powerpc64"), "ppc64"),
    (cfg!(target_arch = "loongarch64"), "loong64"),
    (cfg!(target_arch = "mips64") && LITTLE, "mips64le"),
    (cfg!(target_arch = "mips64"), "mips64"),
    (cfg!(target_arch = "mips") && LITTLE, "mipsle"),
    (cfg!(target_arch = "mips"), "mips"),
    (cfg!(target_arch = "sparc64"), "sparc64"),
];

#[cfg(test)]
mod tests {
    use std::env::consts::{ARCH, OS};

    use super::*;

    #[test]
    fn the_host_has_the_names_of_images() {
        let expected = match ARCH {
            "aarch64" => "arm64",
            "loongarch64" => "loong64",
            "powerpc64" if LITTLE => "ppc64le",
            "x86" => "386",
            "x86_64" => "amd64",
            other => other,
        };
        let host = Platform::host();
        assert_eq!(host.architecture, expected);
        let expected = match OS {
            "macos" | "windows" => "linux",
            other => other,
        };
        assert_eq!(host.os, expected);
        assert_eq!(host.variant, None);
    }

    #[test]
    fn a_machine_without_a_name_runs_nothing() {
        assert_eq!(first(&[(false, "linux")]), "unknown");
        let unknown = Platform::new(first(&[]), first(&[]));
        assert_eq!(unknown.fits(&Platform::new("linux", "amd64")), None);
    }
}
