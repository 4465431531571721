//! The steps of `cargo xtask full`: slow, or in need of tools not everyone has.
//!
//! A tool that is not installed is reported at the end with the command that brings it.

use crate::checkout::{self, Checkout};
use crate::ci;
use crate::metadata::{self, Package};
use crate::step::{Report, Step};
use crate::tidy::files;

/// What CI does not do on every change.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "features",
        run: features,
    },
    Step {
        name: "doc-hosts",
        run: doc_hosts,
    },
    Step {
        name: "minimal-versions",
        run: minimal_versions,
    },
    Step {
        name: "msrv",
        run: msrv,
    },
    Step {
        name: "deny",
        run: deny,
    },
    Step {
        name: "fuzz",
        run: fuzz,
    },
];

const NIGHTLY: &str = "no nightly toolchain: rustup toolchain install nightly";

/// Sets of features are tried one by one up to this many features; above, singly and all at once.
const POWERSET_LIMIT: usize = 4;

const FUZZ_TARGETS: [&str; 15] = [
    "authenticator",
    "call",
    "challenge",
    "config",
    "content_range",
    "digest",
    "docker_config",
    "download",
    "link",
    "listing",
    "manifest",
    "reference",
    "retry_after",
    "route",
    "token_response",
];
const FUZZ_SECONDS: u32 = 60;

/// Each crate alone, under each set of its features, without a warning.
fn features(checkout: &Checkout) -> Report {
    let check_all = |packages: Vec<Package>| {
        for package in packages
            .iter()
            .filter(|package| !package.features.is_empty())
        {
            for set in feature_sets(&package.features) {
                let mut command = checkout.cargo(["clippy", "--locked", "--no-default-features"]);
                command.args(["-p", &package.name, "--features", &set.join(",")]);
                command.args(["--", "-Dwarnings"]);
                checkout::run(&mut command)?;
            }
        }
        Ok(())
    };
    Report::of(metadata::load(checkout).and_then(check_all))
}

fn feature_sets(features: &[String]) -> Vec<Vec<&str>> {
    let names: Vec<&str> = features.iter().map(String::as_str).collect();
    if names.len() > POWERSET_LIMIT {
        let singles = names.iter().map(|name| vec![*name]);
        return std::iter::once(Vec::new())
            .chain(singles)
            .chain([names.clone()])
            .collect();
    }
    names.iter().fold(vec![Vec::new()], |sets, name| {
        let with = sets
            .iter()
            .map(|set| set.iter().copied().chain([*name]).collect());
        sets.iter().cloned().chain(with).collect()
    })
}

/// The documentation as a host builds it: nightly, every feature, no warning.
fn doc_hosts(checkout: &Checkout) -> Report {
    let words = [
        "doc",
        "--workspace",
        "--exclude",
        ci::PROGRAM,
        "--no-deps",
        "--all-features",
        "--locked",
    ];
    match checkout.cargo_of("nightly", words) {
        None => Report::skipped(NIGHTLY),
        Some(mut command) => Report::of(checkout::run(
            command.env("RUSTDOCFLAGS", "--cfg docsrs -Dwarnings"),
        )),
    }
}

/// The versions the manifests promise to be enough, resolved in a copy so the lock file stays.
fn minimal_versions(checkout: &Checkout) -> Report {
    let copy = checkout.root().join("target/xtask/minimal-versions");
    let update = ["update", "-Zdirect-minimal-versions"];
    let check = ["check", "--workspace", "--all-features"];
    let (Some(mut update), Some(mut check)) = (
        checkout.cargo_of("nightly", update),
        checkout.cargo_of("nightly", check),
    ) else {
        return Report::skipped(NIGHTLY);
    };
    Report::of(
        copy_to(checkout, &copy)
            .and_then(|()| checkout::run(update.current_dir(&copy)))
            .and_then(|()| checkout::run(check.current_dir(&copy))),
    )
}

fn copy_to(checkout: &Checkout, copy: &std::path::Path) -> Result<(), String> {
    let copy_all = || -> std::io::Result<()> {
        if copy.exists() {
            std::fs::remove_dir_all(copy)?;
        }
        for path in files::walk(checkout.root(), "").map_err(std::io::Error::other)? {
            let to = copy.join(&path);
            if let Some(directory) = to.parent() {
                std::fs::create_dir_all(directory)?;
            }
            std::fs::copy(checkout.root().join(&path), to)?;
        }
        Ok(())
    };
    copy_all().map_err(|error| format!("copying the checkout: {error}"))
}

/// The oldest compiler the manifests promise.
fn msrv(checkout: &Checkout) -> Report {
    let packages = match metadata::load(checkout) {
        Ok(packages) => packages,
        Err(why) => return Report::of(Err(why)),
    };
    let Some(version) = packages
        .iter()
        .find_map(|package| package.rust_version.as_deref())
    else {
        return Report::of(Err("no package names its rust-version".to_owned()));
    };
    let toolchain = format!("{version}.0");
    match checkout.cargo_of(&toolchain, ["check", "--workspace", "--locked"]) {
        None => Report::skipped(&format!(
            "no compiler: rustup toolchain install {toolchain}"
        )),
        Some(mut command) => Report::of(checkout::run(&mut command)),
    }
}

/// Licences, sources and duplicates, and advisories where their database can be had.
fn deny(checkout: &Checkout) -> Report {
    if !checkout.has_subcommand("deny") {
        return Report::skipped("no cargo-deny: cargo install cargo-deny --locked");
    }
    let deny = |what: &[&str]| {
        let words = ["deny", "--workspace"].iter().chain(what);
        checkout::run(&mut checkout.cargo(words.copied()))
    };
    match deny(&["check", "bans", "licenses", "sources"]) {
        Ok(()) if deny(&["fetch", "db"]).is_err() => {
            Report::of(Ok(())).but_skipped("advisories: their database cannot be fetched")
        }
        Ok(()) => Report::of(deny(&["check", "advisories"])),
        Err(why) => Report::of(Err(why)),
    }
}

/// Each fuzz target for a minute, from its seeds and what was found before.
///
/// Without a sanitizer, which there is no unsafe code for, so that stable will do.
fn fuzz(checkout: &Checkout) -> Report {
    if !checkout.has_subcommand("fuzz") {
        return Report::skipped("no cargo-fuzz: cargo install cargo-fuzz --locked");
    }
    let run = |target: &str| {
        let corpus = format!("fuzz/corpus/{target}");
        std::fs::create_dir_all(checkout.root().join(&corpus))
            .map_err(|error| format!("{corpus}: {error}"))?;
        let mut command = checkout.cargo(["fuzz", "run", "--sanitizer", "none", target, &corpus]);
        checkout::run(command.args([
            &format!("fuzz/seeds/{target}"),
            "--",
            &format!("-max_total_time={FUZZ_SECONDS}"),
            &format!("-dict=fuzz/dictionaries/{target}.dict"),
        ]))
    };
    Report::of(FUZZ_TARGETS.into_iter().try_for_each(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(features: &[&str]) -> Vec<String> {
        let features: Vec<String> = features.iter().map(|name| (*name).to_owned()).collect();
        feature_sets(&features)
            .into_iter()
            .map(|set| set.join("+"))
            .collect()
    }

    #[test]
    fn few_features_give_every_set() {
        assert_eq!(sets(&["a", "b"]), ["", "a", "b", "a+b"]);
    }

    #[test]
    fn many_features_give_none_each_and_all() {
        assert_eq!(
            sets(&["a", "b", "c", "d", "e"]),
            ["", "a", "b", "c", "d", "e", "a+b+c+d+e"]
        );
    }
}
