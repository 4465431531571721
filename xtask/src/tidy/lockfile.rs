//! The lock file: every package comes from one index, and none has a known security bug.

use super::Finding;

const PATH: &str = "Cargo.lock";
const INDEX: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// EN4: packages that had security bugs have a lowest version.
const FLOORS: [(&str, &str); 8] = [
    ("bytes", "1.11.1"),
    ("h2", "0.4.16"),
    ("rustls", "0.23.18"),
    ("rustls-webpki", "0.103.13"),
    ("tar", "0.4.45"),
    ("time", "0.3.47"),
    ("tracing-subscriber", "0.3.20"),
    ("url", "2.5.4"),
];

/// Unmaintained packages, each with its replacement (EN4).
const REFUSED: [(&str, &str); 1] = [("rustls-pemfile", "rustls-pki-types reads PEM")];

/// Finds packages from elsewhere, below their floor, or refused.
pub(crate) fn check(lock: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut name = "";
    for (number, line) in (1..).zip(lock.lines()) {
        let Some((key, value)) = line.split_once(" = ") else {
            continue;
        };
        let value = value.trim_matches('"');
        let what = match key {
            "name" => {
                name = value;
                let refused = REFUSED.iter().find(|(refused, _)| *refused == name);
                refused.map(|(_, instead)| format!("{name} is not to be used: {instead}"))
            }
            "version" => FLOORS
                .iter()
                .find(|(package, floor)| *package == name && numbers(value) < numbers(floor))
                .map(|(_, floor)| format!("{name} {value} is below {floor}")),
            "source" if value != INDEX => Some(format!("{name} comes from {value}")),
            _ => None,
        };
        findings.extend(what.map(|what| Finding::at(PATH, number, what)));
    }
    findings
}

/// The numbers of a version, without a pre-release or build suffix.
fn numbers(version: &str) -> Vec<u64> {
    version
        .split(['-', '+'])
        .take(1)
        .flat_map(|v| v.split('.'))
        .flat_map(str::parse)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, version: &str, source: &str) -> Vec<String> {
        let lock = format!(
            "version = 4\n\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n\
             source = \"{source}\"\nchecksum = \"00\"\n"
        );
        check(&lock)
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn the_index_and_the_floor_itself_are_fine() {
        assert_eq!(found("bytes", "1.11.1", INDEX), [""; 0]);
        assert_eq!(found("h2", "0.10.0", INDEX), [""; 0]);
    }

    #[test]
    fn a_git_source_is_found() {
        assert_eq!(
            found("a", "1.0.0", "git+https://example.com/a"),
            ["Cargo.lock:6: a comes from git+https://example.com/a"]
        );
    }

    #[test]
    fn en4_a_version_below_its_floor_is_found() {
        assert_eq!(
            found("rustls", "0.23.9", INDEX),
            ["Cargo.lock:5: rustls 0.23.9 is below 0.23.18"]
        );
    }

    #[test]
    fn en4_a_refused_package_is_found() {
        assert_eq!(
            found("rustls-pemfile", "2.2.0", INDEX),
            ["Cargo.lock:4: rustls-pemfile is not to be used: rustls-pki-types reads PEM"]
        );
    }
}
