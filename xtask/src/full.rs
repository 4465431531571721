//! The steps of `cargo xtask full`: they are slow or need tools that not everyone has.
//!
//! A step whose tool is not installed is skipped, and the reason names the command that installs
//! the tool.

use crate::checkout::Checkout;
use crate::ci::{self, NIGHTLY};
use crate::log::Log;
use crate::metadata::{self, Package};
use crate::rust_version::RustVersion;
use crate::step::{Report, Step};
use crate::tidy::files;

/// The checks that `cargo xtask test` leaves out.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "features",
        about: "lints of each crate under each set of its features",
        run: features,
    },
    Step {
        name: "axum-example",
        about: "build and tests of examples/axum, which is a workspace of its own",
        run: axum_example,
    },
    Step {
        name: "reqwest-example",
        about: "build and tests of examples/reqwest, which is a workspace of its own",
        run: reqwest_example,
    },
    Step {
        name: "doc-hosts",
        about: "documentation as documentation hosts build it (needs nightly)",
        run: doc_hosts,
    },
    Step {
        name: "minimal-versions",
        about: "build with the lowest versions that the manifests allow (needs nightly)",
        run: minimal_versions,
    },
    Step {
        name: "msrv",
        about: "build with the oldest compiler that the manifests promise (needs it installed)",
        run: msrv,
    },
    Step {
        name: "deny",
        about: "licences, sources and advisories of dependencies (needs cargo-deny)",
        run: deny,
    },
    Step {
        name: "fuzz",
        about: "each target of fuzz/targets for a minute (needs cargo-fuzz)",
        run: fuzz,
    },
];

/// Up to this number of features every set is checked; above it each alone, none, and all.
const POWERSET_LIMIT: usize = 4;

const FUZZ_TARGETS: &str = "fuzz/targets";
const FUZZ_SECONDS: u32 = 60;

/// Each crate alone, under each set of its features, without a warning.
fn features(checkout: &Checkout, log: &mut Log) -> Report {
    let check_all = |packages: Vec<Package>, log: &mut Log| {
        for package in packages
            .iter()
            .filter(|package| !package.features.is_empty())
        {
            for set in feature_sets(&package.features) {
                let mut command = checkout.cargo(["clippy", "--locked", "--no-default-features"]);
                command.args(["-p", &package.name, "--features", &set.join(",")]);
                command.args(["--", "-Dwarnings"]);
                log.run(&mut command)?;
            }
        }
        Ok(())
    };
    let packages = metadata::load(checkout, log);
    Report::of(packages.and_then(|packages| check_all(packages, log)))
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

/// The cache within another server: its workspace keeps that server out of ours.
fn axum_example(checkout: &Checkout, log: &mut Log) -> Report {
    let what = ["--manifest-path", "examples/axum/Cargo.toml"];
    ci::read_tests(checkout, log, &what)
}

/// A transport over another client: its workspace keeps that client out of ours.
fn reqwest_example(checkout: &Checkout, log: &mut Log) -> Report {
    let what = ["--manifest-path", "examples/reqwest/Cargo.toml"];
    ci::read_tests(checkout, log, &what)
}

/// The documentation as a host builds it: nightly, every feature, no warning.
fn doc_hosts(checkout: &Checkout, log: &mut Log) -> Report {
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
        None => Report::skipped("documentation of hosts", NIGHTLY),
        Some(mut command) => {
            Report::of(log.run(command.env("RUSTDOCFLAGS", "--cfg docsrs -Dwarnings")))
        }
    }
}

/// The lowest versions the manifests allow, resolved in a copy so that the lock file stays.
fn minimal_versions(checkout: &Checkout, log: &mut Log) -> Report {
    let copy = checkout.root().join("target/xtask/minimal-versions");
    let update = ["update", "-Zdirect-minimal-versions"];
    let check = ["check", "--workspace", "--all-features"];
    let (Some(mut update), Some(mut check)) = (
        checkout.cargo_of("nightly", update),
        checkout.cargo_of("nightly", check),
    ) else {
        return Report::skipped("build with minimal versions", NIGHTLY);
    };
    Report::of(
        copy_to(checkout, &copy)
            .and_then(|()| log.run(update.current_dir(&copy)))
            .and_then(|()| log.run(check.current_dir(&copy))),
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
fn msrv(checkout: &Checkout, log: &mut Log) -> Report {
    let packages = match metadata::load(checkout, log) {
        Ok(packages) => packages,
        Err(why) => return Report::of(Err(why)),
    };
    let toolchain = match RustVersion::of(&packages) {
        Ok(version) => version.to_string(),
        Err(why) => return Report::of(Err(why)),
    };
    match checkout.cargo_of(&toolchain, ["check", "--workspace", "--locked"]) {
        None => Report::skipped(
            &format!("build with Rust {toolchain}"),
            &format!("no such toolchain: rustup toolchain install {toolchain}"),
        ),
        Some(mut command) => Report::of(log.run(&mut command)),
    }
}

/// Licences, sources and duplicates, and advisories where their database can be fetched.
fn deny(checkout: &Checkout, log: &mut Log) -> Report {
    if !checkout.has_subcommand("deny") {
        let how = "no cargo-deny: cargo install cargo-deny --locked";
        return Report::skipped("licences, sources and advisories", how);
    }
    let mut deny = |what: &[&str]| {
        let words = ["deny", "--workspace"].iter().chain(what);
        log.run(&mut checkout.cargo(words.copied()))
    };
    let policy = deny(&["check", "bans", "licenses", "sources"]);
    Report::of(policy).and_then(|| match deny(&["fetch", "db"]) {
        Err(_) => Report::skipped("advisories", "their database cannot be fetched"),
        Ok(()) => Report::of(deny(&["check", "advisories"])),
    })
}

/// Each fuzz target for a minute, from its seeds and from what earlier runs found.
///
/// No sanitizer is used, since there is no unsafe code; so a stable toolchain is enough.
fn fuzz(checkout: &Checkout, log: &mut Log) -> Report {
    let targets = match files::walk(checkout.root(), FUZZ_TARGETS) {
        Ok(paths) => fuzz_targets(&paths),
        Err(why) => return Report::of(Err(why)),
    };
    if !checkout.has_subcommand("fuzz") {
        let how = "no cargo-fuzz: cargo install cargo-fuzz --locked";
        return Report::skipped(&format!("{} fuzz targets", targets.len()), how);
    }
    let run = |target: &String| {
        let corpus = format!("fuzz/corpus/{target}");
        std::fs::create_dir_all(checkout.root().join(&corpus))
            .map_err(|error| format!("{corpus}: {error}"))?;
        let mut command = checkout.cargo(["fuzz", "run", "--sanitizer", "none", target, &corpus]);
        log.run(command.args([
            &format!("fuzz/seeds/{target}"),
            "--",
            &format!("-max_total_time={FUZZ_SECONDS}"),
            &format!("-dict=fuzz/dictionaries/{target}.dict"),
        ]))
    };
    Report::of(targets.iter().try_for_each(run))
}

/// The targets, by the names of their files.
fn fuzz_targets(paths: &[String]) -> Vec<String> {
    let name = |path: &String| {
        let name = path.strip_prefix(FUZZ_TARGETS)?.strip_prefix('/')?;
        Some(name.strip_suffix(".rs")?.to_owned())
    };
    paths.iter().filter_map(name).collect()
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

    #[test]
    fn a_fuzz_target_is_named_as_its_file() {
        let paths = ["fuzz/targets/call.rs", "fuzz/targets/config.rs"].map(str::to_owned);
        assert_eq!(fuzz_targets(&paths), ["call", "config"]);
    }

    #[test]
    fn en2_each_parser_and_each_machine_has_a_fuzz_target() {
        let checkout = Checkout::here();
        let targets = fuzz_targets(&files::walk(checkout.root(), FUZZ_TARGETS).unwrap());
        for target in [
            "authenticator",
            "cache_route",
            "call",
            "challenge",
            "config",
            "content_range",
            "digest",
            "docker_config",
            "download",
            "end_name",
            "link",
            "listing",
            "manifest",
            "multi_range",
            "reference",
            "retry_after",
            "route",
            "token_response",
            "upload",
        ] {
            assert!(targets.iter().any(|known| known == target), "{target}");
        }
        let manifest = checkout.read("fuzz/Cargo.toml").unwrap();
        assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
    }
}
