//! End-to-end tests against real peers and the testkit.
//!
//! This half is the harness: it starts and stops the peers. They are the programs a distribution
//! packages, each in a directory of its own, on a loopback port of its own, ended when dropped.
//! A program that is not installed skips the test and says so; with `CI` set it fails it.
//! The program under test is the real one, run as a user runs it.
//!
//! ```no_run
//! use longshore_testkit::image;
//! use longshore_tests::longshore::Longshore;
//! use longshore_tests::registry::DockerRegistry;
//!
//! let Some(registry) = DockerRegistry::builder().bearer().start() else { return };
//! let tree = image::single(1);
//! let Some(reference) = registry.push(&tree, "library/app:1") else { return };
//! let pulled = Longshore::pull(&reference, "layout").login("user", "password").run();
//! assert_eq!(pulled.succeeded(), tree.digest().as_str());
//! ```

#![expect(
    clippy::print_stderr,
    reason = "a skipped test has to say so where it is read"
)]

mod binary;
pub mod buildah;
pub mod containerd;
pub mod disk;
pub mod dockerd;
pub mod http;
pub mod layout;
pub mod longshore;
pub mod microsocks;
pub mod network;
pub mod nginx;
pub mod peer;
pub mod podman;
pub mod process;
pub mod program;
pub mod random;
pub mod registry;
pub mod serve;
pub mod skopeo;
pub mod tinyproxy;

/// The examples of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[derive(Debug)]
#[non_exhaustive]
pub struct Readme;
