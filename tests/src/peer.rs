//! A registry of either kind, written to by what is on trial and read without it.

use std::net::SocketAddr;

use longshore_model::Digest;
use longshore_testkit::image::Tree;
use longshore_testkit::registry::{Quirks, Registry};

use crate::http;
use crate::process::PROBE;
use crate::registry::{DockerRegistry, Logged};

/// A registry that demands nothing, in the clear: Debian's, or that of the testkit.
#[derive(Debug)]
#[non_exhaustive]
pub enum Peer {
    /// Debian's.
    Docker(DockerRegistry),
    /// That of the testkit.
    Kit(Registry),
}

impl Peer {
    /// An empty registry of the testkit that takes writes.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn kit() -> Self {
        Self::kit_with(Quirks::default())
    }

    /// An empty registry of the testkit that takes writes, and differs from the specification.
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
    /// When it does not start, with what it said.
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

    /// `127.0.0.1:1234/name`, as a reference begins.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.address())
    }

    /// Gives it an image under `name:tag`; `false` when a program for that is not installed.
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

    /// Every request that it has answered by now, but those of the harness.
    ///
    /// # Panics
    ///
    /// When it has ended.
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

    /// How many requests it is known to have answered; there may be more.
    #[must_use]
    pub fn requests_so_far(&self) -> usize {
        match self {
            Self::Docker(registry) => registry.requests().len(),
            Self::Kit(registry) => registry.requests().len(),
        }
    }

    /// A blob, if it has it.
    #[must_use]
    pub fn blob(&self, name: &str, digest: &Digest) -> Option<Vec<u8>> {
        self.get(&format!("/v2/{name}/blobs/{digest}"))
    }

    /// A manifest by tag or digest, if it has it.
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

    /// Demands that it has all of `tree` under `name:tag`, byte for byte.
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
