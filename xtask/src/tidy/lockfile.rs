//! The lock file: every package comes from the one index, with a checksum.

use super::Finding;

const PATH: &str = "Cargo.lock";
const INDEX: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Finds sources other than the index; a package of our own has none.
pub(crate) fn check(lock: &str) -> Vec<Finding> {
    (1..)
        .zip(lock.lines())
        .filter_map(|(number, line)| {
            let source = line.strip_prefix("source = ")?.trim_matches('"');
            (source != INDEX).then(|| Finding::at(PATH, number, format!("comes from {source}")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_git_source_is_found() {
        let good = "[[package]]\nname = \"a\"\nsource = \
            \"registry+https://github.com/rust-lang/crates.io-index\"\n";
        assert_eq!(check(good), []);
        let found = check("name = \"a\"\nsource = \"git+https://example.com/a\"\n");
        assert_eq!(
            found,
            [Finding::at(PATH, 2, "comes from git+https://example.com/a")]
        );
    }
}
