//! A registry of either kind: the code under test writes to it, and other code reads from it.

use std::net::SocketAddr;

use longshore_model::Digest;
use longshore_testkit::image::Tree;
use longshore_testkit::registry::{Quirks, Registry};

use crate::http;
use crate::process::PROBE;
use crate::registry::{DockerRegistry, Logged};

/// A registry over plain HTTP that requires no credentials: Debian's, or that of the testkit.
#[derive(Debug)]
#[non_exhaustive]
pub enum Peer {
    /// Debian's docker-registry.
    Docker(DockerRegistry),
    /// The registry of the testkit.
    Kit(Registry),
}

impl Peer {
    /// An empty, writable registry of the testkit.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn kit() -> Self {
        Self::kit_with(Quirks::default())
    }

    /// An empty, writable registry of the testkit that differs from the specification.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn kit_with(quirks: Quirks) -> Self {
        match Registry::builder().writable().quirks(quirks).start() {
            Ok(registry) => Self::Kit(registry),
            Err(error) => panic!("cannot start a registry: {error}"),
        }
    }

    /// An empty docker-registry; `None` when it is not installed.
    ///
    /// # Panics
    ///
    /// When it does not start; the message includes its output.
    #[must_use]
    pub fn docker() -> Option<Self> {
        DockerRegistry::builder().start().map(Self::Docker)
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Docker(registry) => registry.address(),
            Self::Kit(registry) => registry.address(),
        }
    }

    /// The beginning of a reference: `127.0.0.1:1234/name`.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.address())
    }

    /// Adds an image under `name:tag`. `false` when a program that this needs is not installed.
    ///
    /// # Panics
    ///
    /// When that fails.
    #[track_caller]
    #[must_use]
    pub fn give(&self, tree: &Tree, name: &str, tag: &str) -> bool {
        match self {
            Self::Docker(registry) => registry.push(tree, &format!("{name}:{tag}")).is_some(),
            Self::Kit(registry) => {
                registry.contents().add(name, tag, tree);
                true
            }
        }
    }

    /// Every request that the registry has answered so far, except those of the harness.
    ///
    /// # Panics
    ///
    /// When the registry has ended.
    #[track_caller]
    pub fn requests(&mut self) -> Vec<Logged> {
        match self {
            Self::Docker(registry) => registry.settled_requests(),
            Self::Kit(registry) => {
                let theirs = registry
                    .requests()
                    .matching(|it| it.header("user-agent") != Some(PROBE));
                theirs.iter().map(Logged::of).collect()
            }
        }
    }

    /// Waits until the requests of all clients are known. The clients must be gone.
    ///
    /// # Panics
    ///
    /// When it has ended, or a client is not gone.
    #[track_caller]
    pub fn wait_for_clients(&mut self) {
        if let Self::Docker(registry) = self {
            registry.wait_for_clients();
        }
    }

    /// Number of requests that the registry is known to have answered; there may be more.
    #[must_use]
    pub fn requests_so_far(&self) -> usize {
        match self {
            Self::Docker(registry) => registry.requests().len(),
            Self::Kit(registry) => registry.requests().len(),
        }
    }

    /// Reads a blob; `None` if the registry does not have it.
    #[must_use]
    pub fn blob(&self, name: &str, digest: &Digest) -> Option<Vec<u8>> {
        self.get(&format!("/v2/{name}/blobs/{digest}"))
    }

    /// Reads a manifest by tag or digest; `None` if the registry does not have it.
    #[must_use]
    pub fn manifest(&self, name: &str, target: &str) -> Option<Vec<u8>> {
        self.get(&format!("/v2/{name}/manifests/{target}"))
    }

    fn get(&self, path: &str) -> Option<Vec<u8>> {
        let reply = http::get(self.address(), path);
        assert!(
            [200, 404].contains(&reply.status),
            "{path}: {}",
            reply.status
        );
        (reply.status == 200).then_some(reply.body)
    }

    /// Asserts that the registry has all of `tree` under `name:tag`, byte for byte.
    ///
    /// # Panics
    ///
    /// When something is missing or different.
    #[track_caller]
    pub fn assert_holds(&self, name: &str, tag: &str, tree: &Tree) {
        let named = self.manifest(name, tag);
        assert!(
            named.as_deref() == Some(&tree.document()[..]),
            "{name}:{tag}"
        );
        for document in tree.documents() {
            let digest = &document.descriptor.digest;
            let found = self.manifest(name, digest.as_str());
            assert!(
                found.as_deref() == Some(&document.content.bytes()[..]),
                "{digest}"
            );
        }
        for blob in tree.all_blobs() {
            let digest = &blob.descriptor.digest;
            let found = self.blob(name, digest);
            assert!(
                found.as_deref() == Some(&blob.content.bytes()[..]),
                "{digest}"
            );
        }
    }
}
