//! A version of Rust, as manifests declare it.

use std::fmt;

use crate::metadata::Package;

/// The parts of a version; a part that a manifest leaves out is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RustVersion([u64; 3]);

impl RustVersion {
    /// Reads `1.88` or `1.88.0`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = [0; 3];
        let mut words = text.split('.');
        for (part, word) in parts.iter_mut().zip(words.by_ref()) {
            *part = word.parse().ok()?;
        }
        words.next().is_none().then_some(Self(parts))
    }

    /// The one version that all packages of the workspace declare.
    ///
    /// # Errors
    ///
    /// A package that declares none, or another one than the first.
    pub(crate) fn of(packages: &[Package]) -> Result<Self, String> {
        let mut first = None;
        for package in packages {
            let text = package.rust_version.as_deref();
            let version = text
                .and_then(Self::parse)
                .ok_or_else(|| format!("{} declares no rust-version", package.name))?;
            if *first.get_or_insert(version) != version {
                return Err(format!("{} declares another rust-version", package.name));
            }
        }
        first.ok_or_else(|| "there is no package".to_owned())
    }
}

impl fmt::Display for RustVersion {
    /// All three parts, as toolchains are named.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([major, minor, patch]) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, rust_version: Option<&str>) -> Package {
        Package {
            name: name.to_owned(),
            directory: name.into(),
            rust_version: rust_version.map(str::to_owned),
            features: Vec::new(),
            dependencies: Vec::new(),
        }
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let version = |text: &str| RustVersion::parse(text).unwrap();
        assert_eq!(version("1.88"), version("1.88.0"));
        assert!(version("1.88") < version("1.88.1"));
        assert!(version("1.9") < version("1.88"));
        assert_eq!(version("1.88").to_string(), "1.88.0");
        for text in ["", "one", "1.88.0.0", "1.88-beta"] {
            assert_eq!(RustVersion::parse(text), None, "{text}");
        }
    }

    #[test]
    fn all_packages_declare_the_same_version() {
        let of = |packages: &[Package]| RustVersion::of(packages).map(|it| it.to_string());
        let (a, b) = (package("a", Some("1.88")), package("b", Some("1.88.0")));
        assert_eq!(of(&[a, b]), Ok("1.88.0".to_owned()));
        let (a, b) = (package("a", Some("1.88")), package("b", Some("1.89")));
        assert_eq!(
            of(&[a, b]),
            Err("b declares another rust-version".to_owned())
        );
        let (a, b) = (package("a", Some("1.88")), package("b", None));
        assert_eq!(of(&[a, b]), Err("b declares no rust-version".to_owned()));
    }
}
