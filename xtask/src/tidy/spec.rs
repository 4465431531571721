//! The versions of the specifications: named once, and every citation agrees.
//!
//! `SPEC v1.2.3` in the model's crate documentation is the pin. The same words elsewhere, and
//! links to a specification's repository, are citations.

use super::Finding;

const SPECS: [&str; 2] = ["distribution-spec", "image-spec"];
const LINK: &str = "github.com/opencontainers/";

/// The pinned version of each specification.
pub(crate) type Pins = Vec<(&'static str, String)>;

/// Reads the pins; a specification without one, or with two, is a finding.
pub(crate) fn pins(path: &str, text: &str) -> (Pins, Vec<Finding>) {
    let mut pins = Pins::new();
    let mut findings = Vec::new();
    for spec in SPECS {
        let mut versions: Vec<String> = text
            .lines()
            .flat_map(|line| citations(spec, line))
            .collect();
        versions.sort();
        versions.dedup();
        match versions.as_slice() {
            [version] => pins.push((spec, version.clone())),
            [] => findings.push(Finding::whole(path, format!("names no version of {spec}"))),
            _ => findings.push(Finding::whole(
                path,
                format!("names several versions of {spec}: {}", versions.join(", ")),
            )),
        }
    }
    (pins, findings)
}

/// Finds citations of another version, and links that name none.
pub(crate) fn check(pins: &Pins, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        for (spec, pin) in pins {
            for version in citations(spec, text).filter(|version| version != pin) {
                let what = format!("cites {spec} {version}, and {pin} is the one we follow");
                findings.push(Finding::at(path, line, what));
            }
        }
        let links = text
            .split(LINK)
            .skip(1)
            .filter(|link| link.contains("/blob/"));
        for link in links {
            let follows =
                |(spec, pin): &(&str, String)| link.starts_with(&format!("{spec}/blob/{pin}/"));
            if !pins.iter().any(follows) {
                findings.push(Finding::at(
                    path,
                    line,
                    "links to no pinned version of a spec",
                ));
            }
        }
    }
    findings
}

/// The versions that follow the name of a specification: `image-spec v1.1.1`.
fn citations(spec: &str, line: &str) -> impl Iterator<Item = String> {
    line.split(spec).skip(1).filter_map(|after| {
        let version = after.trim_start_matches([' ', '@', '/', '`']);
        let numbers = version.strip_prefix('v')?;
        let length = numbers
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(numbers.len());
        let numbers = numbers.get(..length)?.trim_end_matches('.');
        numbers.contains('.').then(|| format!("v{numbers}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIN: &str = "//! Follows image-spec v1.1.1 and distribution-spec v1.1.1.\n";

    #[test]
    fn a_citation_of_the_pinned_version_is_fine() {
        let (pins, findings) = pins("lib.rs", PIN);
        assert_eq!(findings, []);
        for line in [
            "image-spec v1.1.1 \"Digests\"",
            "the image-spec says",
            "<https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md>",
            "https://github.com/opencontainers/distribution-spec",
        ] {
            assert_eq!(check(&pins, "a.rs", line), [], "{line}");
        }
    }

    // The samples are put together, since this file is checked too.
    #[test]
    fn another_version_or_a_moving_link_is_found() {
        let (pins, _) = pins("lib.rs", PIN);
        for (line, expected) in [
            (
                concat!("image-spec", " v1.0"),
                concat!("cites image-spec", " v1.0, and v1.1.1 is the one we follow"),
            ),
            (
                concat!("see distribution-spec", " v1.2.0."),
                concat!(
                    "cites distribution-spec",
                    " v1.2.0, and v1.1.1 is the one we follow"
                ),
            ),
            (
                concat!(
                    "https://github.com/",
                    "opencontainers/image-spec/blob/main/layer.md"
                ),
                "links to no pinned version of a spec",
            ),
        ] {
            let found = check(&pins, "a.rs", line);
            assert_eq!(found, [Finding::at("a.rs", 1, expected)], "{line}");
        }
    }

    #[test]
    fn the_pin_is_there_once() {
        let (_, findings) = pins(
            "lib.rs",
            concat!("image-spec v1.1.1, image-spec", " v1.1.0"),
        );
        let found: Vec<String> = findings.into_iter().map(|finding| finding.what).collect();
        assert_eq!(
            found,
            [
                "names no version of distribution-spec",
                "names several versions of image-spec: v1.1.0, v1.1.1",
            ]
        );
    }
}
