//! The programs that serve the same files.

use std::net::SocketAddr;
use std::path::Path;

use super::work::Work;
use crate::bench::image::Trees;
use crate::bench::program::Programs;
use crate::bench::server::Server;

/// A program that serves the files of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// `docker-registry` in proxy mode.
    DockerRegistry,
    /// A bare HTTP server.
    Floor,
    /// `longshore serve`, which logs warnings only.
    Longshore,
    /// `longshore serve` with its default log, which has a line for each request.
    LongshoreLogging,
    /// nginx with sendfile.
    Nginx,
}

impl Program {
    pub(super) const ALL: [Self; 5] = [
        Self::Floor,
        Self::Nginx,
        Self::Longshore,
        Self::LongshoreLogging,
        Self::DockerRegistry,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DockerRegistry => "docker-registry",
            Self::Floor => "floor",
            Self::Longshore => "longshore",
            Self::LongshoreLogging => "longshore-logging",
            Self::Nginx => "nginx",
        }
    }

    /// Whether it is a cache, and does not have the files from the start.
    pub(super) fn is_cache(self) -> bool {
        matches!(
            self,
            Self::DockerRegistry | Self::Longshore | Self::LongshoreLogging
        )
    }

    /// Whether the work means anything for it. nginx takes part in the work of cold clients, where
    /// its clients are not cold, because a target is relative to it.
    pub(super) fn does(self, work: Work) -> bool {
        match self {
            Self::Floor => work != Work::Cold,
            Self::LongshoreLogging => work.is_short(),
            _ => true,
        }
    }

    /// Starts it in an empty directory.
    pub(super) fn start(
        self,
        programs: &Programs,
        directory: &Path,
        trees: &Trees,
        upstream: SocketAddr,
    ) -> Result<Server, String> {
        match self {
            Self::DockerRegistry => {
                let program = programs.path("docker-registry")?;
                Server::docker_registry_proxy(program, directory, upstream)
            }
            Self::Floor => Server::floor(programs.path("bench-serve")?, directory, trees),
            Self::Longshore | Self::LongshoreLogging => {
                let program = programs.path("longshore")?;
                let log_level = match self {
                    Self::LongshoreLogging => "info",
                    _ => "warn",
                };
                Server::longshore(program, directory, upstream, CACHE_BYTES, log_level)
            }
            Self::Nginx => Server::nginx(programs.path("nginx")?, directory, trees, None),
        }
    }
}

/// The size of the cache: enough for all files.
const CACHE_BYTES: u64 = 4 * 1024 * 1024 * 1024;
