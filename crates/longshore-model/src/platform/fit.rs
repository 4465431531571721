//! Which platforms run what.

use std::fmt;

use super::Platform;

/// How well one platform runs what is made for another; the smallest is the best.
///
/// Ordered by the distance between CPU variants, then by that between Windows versions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fit {
    variant: u32,
    version: u64,
}

impl Platform {
    /// Says how well this platform runs what is made for `other`, if it does.
    ///
    /// * Other names count as the usual ones: `macos`, `x86_64`, `aarch64`, `i386`, `armhf`
    ///   (variant `v7`), `armel` (`v6`).
    /// * `arm` without variant is `v7`, `arm64` is `v8`, `amd64` is `v1`. A higher variant runs
    ///   what is made for a lower one. Other architectures want the very same variant.
    /// * On Windows, if both give an `os.version`, its major, minor and build number decide:
    ///   until build 20348 they must be equal, from there on a newer build runs an older one.
    ///   The newest is the best; content without version comes last.
    /// * An architecture never stands in for another: 32-bit content on a 64-bit CPU has to be
    ///   asked for.
    /// * Features are not compared.
    #[must_use]
    pub fn fits(&self, other: &Self) -> Option<Fit> {
        let (wanted, offered) = (Normal::of(self), Normal::of(other));
        if wanted.os != offered.os || wanted.architecture != offered.architecture {
            return None;
        }
        let version = if wanted.os == "windows" {
            windows_distance(self, other)?
        } else {
            0
        };
        Some(Fit {
            variant: variant_distance(&wanted, &offered)?,
            version,
        })
    }
}

/// A platform under its usual names.
#[derive(PartialEq, Eq)]
struct Normal {
    os: String,
    architecture: String,
    variant: String,
}

impl Normal {
    fn of(platform: &Platform) -> Self {
        let lower = |text: &str| text.to_ascii_lowercase();
        let mut os = lower(&platform.os);
        if os == "macos" {
            "darwin".clone_into(&mut os);
        }
        let variant = lower(platform.variant.as_deref().unwrap_or_default());
        let architecture = lower(&platform.architecture);
        let (architecture, implied) = match &*architecture {
            "x86_64" | "x86-64" => ("amd64", ""),
            "aarch64" => ("arm64", ""),
            "i386" => ("386", ""),
            "armhf" => ("arm", "v7"),
            "armel" => ("arm", "v6"),
            usual => (usual, ""),
        };
        let variant = match (architecture, &*variant) {
            (_, "") if !implied.is_empty() => implied,
            ("arm", "") => "v7",
            ("arm64", "") => "v8",
            ("amd64", "") => "v1",
            (_, given) => given,
        };
        Self {
            os,
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
        }
    }
}

/// Says how many steps the offered variant is below the wanted one, if that one runs it.
fn variant_distance(wanted: &Normal, offered: &Normal) -> Option<u32> {
    let ("arm" | "arm64" | "amd64", Some(a), Some(b)) =
        (&*wanted.architecture, level(wanted), level(offered))
    else {
        return (wanted.variant == offered.variant).then_some(0);
    };
    let across_versions = wanted.architecture == "arm64" && a.0 != b.0;
    if across_versions && !armv9_contains(a, b) {
        return None;
    }
    let steps = |level: (u32, u32)| level.0 * 256 + level.1;
    steps(a).checked_sub(steps(b))
}

/// Armv9.n contains Armv8.(n+5), and no more of version 8.
///
/// Source: Arm Architecture Reference Manual for A-profile, "Armv9-A architecture extensions".
fn armv9_contains(wanted: (u32, u32), offered: (u32, u32)) -> bool {
    wanted.0 == 9 && offered.0 == 8 && offered.1 <= wanted.1 + 5
}

/// Reads `v8`, `8` or `v8.2` as a number with a minor number.
fn level(platform: &Normal) -> Option<(u32, u32)> {
    let text = &*platform.variant;
    let text = text.strip_prefix('v').unwrap_or(text);
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    let number = |text: &str| text.parse::<u8>().ok().map(u32::from);
    Some((number(major)?, number(minor)?))
}

/// Says how far the offered version of Windows is below the wanted one, if that one runs it.
///
/// Source: Microsoft "Windows container version compatibility": containers share the kernel, and
/// its interface became stable with build 20348.
fn windows_distance(wanted: &Platform, offered: &Platform) -> Option<u64> {
    let Some(wanted) = wanted.os_version.as_deref() else {
        return Some(0);
    };
    let Some(offered) = offered.os_version.as_deref() else {
        return Some(u64::MAX);
    };
    let (Some(a), Some(b)) = (windows_version(wanted), windows_version(offered)) else {
        return (wanted == offered).then_some(0);
    };
    let [major, minor, build, revision] = a;
    let runs =
        major == b[0] && minor == b[1] && (build == b[2] || (STABLE_BUILD..build).contains(&b[2]));
    // The newest build first; within it the wanted revision, then the newest.
    let below_revision = if revision == b[3] {
        0
    } else {
        u64::from(u32::MAX - b[3])
    };
    runs.then(|| (u64::from(build - b[2]) << 32) + below_revision)
}

/// Reads `10.0.20348.707`; numbers that are missing count as zero.
fn windows_version(text: &str) -> Option<[u32; 4]> {
    let mut numbers = [0; 4];
    let mut parts = text.split('.');
    for (number, part) in numbers.iter_mut().zip(&mut parts) {
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

const STABLE_BUILD: u32 = 20348;

/// No entry of an index fits the wanted platform.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no image for {}{}", Precise(.wanted), Available(self))]
#[non_exhaustive]
pub struct NoSuchPlatform {
    /// What was wanted.
    pub wanted: Box<Platform>,
    /// What there is, each once, in the order of the index.
    pub available: Vec<Platform>,
    /// How many entries the index has, of any kind.
    pub entries: usize,
}

impl NoSuchPlatform {
    pub(crate) fn new(
        wanted: Platform,
        entries: usize,
        found: impl Iterator<Item = Platform>,
    ) -> Self {
        let mut available = Vec::new();
        for platform in found {
            // Bounds the work on an index of ten thousand different platforms.
            if available.len() == AVAILABLE_LIMIT {
                break;
            }
            if !available.contains(&platform) {
                available.push(platform);
            }
        }
        Self {
            wanted: Box::new(wanted),
            available,
            entries,
        }
    }
}

/// Prints a platform with its version, which `Display` leaves out, as far as one reads (OU1).
struct Precise<'a>(&'a Platform);

impl fmt::Display for Precise<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        if let Some(version) = &self.0.os_version {
            text.push_str(&format!(" ({})", version.escape_default()));
        }
        write!(f, "{text:.PLATFORM_LIMIT$}")
    }
}

/// Prints the available platforms, or why no entry can be chosen.
struct Available<'a>(&'a NoSuchPlatform);

impl fmt::Display for Available<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoSuchPlatform {
            available, entries, ..
        } = self.0;
        match (&available[..], entries) {
            ([], 0) => f.write_str(": the index has no entries"),
            ([], 1) => f.write_str(": the only entry of the index names no platform"),
            ([], many) => write!(
                f,
                ": none of the {many} entries of the index names a platform"
            ),
            (some, _) => write!(f, ", there is {}", List(some)),
        }
    }
}

/// Prints platforms, as many as one reads (OU1).
struct List<'a>(&'a [Platform]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = 0;
        for (at, platform) in self.0.iter().enumerate() {
            if at == SHOWN_LIMIT || shown >= SHOWN_LIMIT_CHARACTERS {
                return write!(f, " and {} more", self.0.len() - at);
            }
            let text = Precise(platform).to_string();
            let separator = if at == 0 { "" } else { ", " };
            shown += separator.len() + text.len();
            write!(f, "{separator}{text}")?;
        }
        Ok(())
    }
}

const AVAILABLE_LIMIT: usize = 256;
const SHOWN_LIMIT: usize = 32;
const SHOWN_LIMIT_CHARACTERS: usize = 400;
const PLATFORM_LIMIT: usize = 64;
