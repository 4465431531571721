//! What the whole dependency tree of a crate contains.

use super::Finding;
use crate::checkout::Checkout;
use crate::log::Log;

/// Crates that do I/O, run futures, or make random numbers: none below a pure crate.
pub(crate) const IMPURE: &[&str] = &[
    "async-executor",
    "async-io",
    "async-std",
    "curl",
    "futures-executor",
    "getrandom",
    "h2",
    "hyper",
    "hyper-util",
    "isahc",
    "mio",
    "native-tls",
    "rand",
    "rand_core",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "surf",
    "tempfile",
    "tokio",
    "ureq",
];

/// Crates that only the default transport needs: none below the facade without its features.
pub(crate) const HYPER: &[&str] = &[
    "h2",
    "hyper",
    "hyper-util",
    "longshore-hyper",
    "mio",
    "rustls",
    "rustls-platform-verifier",
    "socket2",
    "tokio-rustls",
];

/// Asks cargo for the tree of a package as users build it, on every platform.
pub(crate) fn list(checkout: &Checkout, log: &mut Log, package: &[&str]) -> Result<String, String> {
    let words = ["tree", "--locked", "--edges", "normal", "--target", "all"];
    let format = ["--prefix", "none", "--format", "{p}"];
    log.output(&mut checkout.cargo(words.iter().chain(package).chain(&format).copied()))
}

/// Finds the refused crates in a tree of one `name vX.Y.Z` a line.
pub(crate) fn check(whose: &str, tree: &str, refused: &[&str]) -> Vec<Finding> {
    let mut found: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| refused.contains(name))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
        .into_iter()
        .map(|name| Finding::whole(whose, format!("its dependency tree holds {name}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "longshore-model v0.1.0 (somewhere)\nbytes v1.11.1\ntokio v1.48.0\n\
        bytes v1.11.1\ntokio v1.48.0 (*)\ntokio-macros v2.6.0 (proc-macro)\n";

    #[test]
    fn a_runtime_below_a_pure_crate_is_found_once() {
        let found: Vec<String> = check("longshore-model", TREE, IMPURE)
            .iter()
            .map(Finding::to_string)
            .collect();
        assert_eq!(found, ["longshore-model: its dependency tree holds tokio"]);
    }

    #[test]
    fn names_are_compared_whole() {
        assert_eq!(check("x", "hyperlink v1.0.0\nrandom v1.0.0\n", IMPURE), []);
        assert_eq!(check("x", TREE, HYPER), []);
        assert_eq!(check("x", "rustls v0.23.40\n", HYPER).len(), 1);
    }
}
