//! The arguments of the commands about the read-through cache: `serve` and `cache client-config`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use longshore::origin::{Origin, OriginError};
use longshore_cache::server::client_config;

use super::Output;
use crate::help;

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Listen for clients on this address; can be given several times [default: 127.0.0.1:5000]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Vec<String>,
    /// Keep the cache in this directory [default: longshore/serve in the user's cache directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<String>,
    /// Maximum size of the stored content: bytes, or a number with KiB, MiB, GiB or TiB [default:
    /// 20GiB, or half of the free space if that is less]
    #[arg(long, value_name = "SIZE")]
    pub(crate) size: Option<String>,
    /// How long a tag is fresh before its registry is asked again, or `never` if tags do not change
    /// [default: 5m]
    #[arg(long, value_name = "DURATION")]
    pub(crate) tag_ttl: Option<String>,
    /// How long to remember that a registry does not have a tag, manifest or blob [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub(crate) negative_ttl: Option<String>,
    /// Serve health and metrics on this address, without authentication [default: none]
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin_listen: Option<String>,
    /// Check the configuration and whether the registries answer, and exit
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) upstreams: Upstreams,
}

/// Which registries the cache serves.
#[derive(Debug, clap::Args)]
pub(crate) struct Upstreams {
    /// Cache this registry; can be given several times. The names of its images in the cache begin
    /// with PREFIX; a registry without PREFIX is the default for all other names. This option
    /// replaces the registries of the file and the built-in ones
    #[arg(long, value_name = "[PREFIX=]URL")]
    pub(crate) upstream: Vec<String>,
    /// Read settings from this TOML file; by default no file is read. Options and environment
    /// variables (LONGSHORE_SERVE_…) have precedence
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Print the configuration that makes a client use the cache
    ///
    /// Prints each file after a line with its path. Notes on standard error explain how to apply
    /// the files, and the limits of the client. The registries and the address are those of
    /// `longshore serve` with the same --config, --upstream and environment.
    ///
    /// With --install, the files are written. If a file exists with other content, the command
    /// refuses to replace it; --force replaces it and keeps a backup as FILE.bak-1, FILE.bak-2 and
    /// so on. Other settings in Docker's daemon.json are kept.
    #[command(after_long_help = help::end(help::CACHE_CLIENT_CONFIG))]
    ClientConfig(ClientConfig),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ClientConfig {
    /// The client
    #[arg(value_name = "CLIENT", value_enum)]
    pub(crate) client: Client,
    /// The URL of the cache as the client reaches it [default: the address on which `longshore
    /// serve` would listen]
    #[arg(long, value_name = "URL", value_parser = server)]
    pub(crate) server: Option<Origin>,
    /// Write the files instead of printing them
    #[arg(long)]
    pub(crate) install: bool,
    /// Replace existing files, and keep backups
    #[arg(long, requires = "install")]
    pub(crate) force: bool,
    /// Write the files below this directory, such as the root of a mounted image
    #[arg(long, value_name = "DIR", requires = "install", default_value = "/")]
    pub(crate) root: PathBuf,
    #[command(flatten)]
    pub(crate) upstreams: Upstreams,
    /// Print the result as text or as one JSON object
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Output,
}

/// A program that pulls images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// dockerd, which mirrors only Docker Hub
    Docker,
    /// containerd, also as the runtime of Kubernetes
    #[value(aliases = ["ctr", "nerdctl"])]
    Containerd,
    /// podman, buildah, skopeo and CRI-O
    #[value(aliases = ["buildah", "cri-o", "crio", "skopeo"])]
    Podman,
    /// BuildKit
    #[value(aliases = ["buildkitd", "buildx"])]
    Buildkit,
    /// k3s and RKE2
    #[value(alias = "rke2")]
    K3s,
    /// kaniko, which is configured by options
    #[value(alias = "executor")]
    Kaniko,
}

/// Parses the address of the cache. It is not repeated, as it may hold a password by mistake.
fn server(text: &str) -> Result<Origin, String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    match text.split_once("://") {
        Some((_, rest)) if rest.contains(['/', '?', '#']) => {
            Err("a path is not allowed here: give http://HOST[:PORT] or https://HOST[:PORT]".into())
        }
        _ => text.parse().map_err(|error: OriginError| error.to_string()),
    }
}

impl From<Client> for client_config::Client {
    fn from(client: Client) -> Self {
        match client {
            Client::Docker => Self::Docker,
            Client::Containerd => Self::Containerd,
            Client::Podman => Self::Podman,
            Client::Buildkit => Self::Buildkit,
            Client::K3s => Self::K3s,
            Client::Kaniko => Self::Kaniko,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Args, Command};
    use super::*;

    fn parsed(client: &str, options: &[&str]) -> Result<ClientConfig, clap::Error> {
        let words = ["longshore", "cache", "client-config", client];
        let parsed = Args::try_parse_from(words.iter().chain(options))?;
        match parsed.command {
            Command::Cache(CacheCommand::ClientConfig(args)) => Ok(args),
            _ => panic!("not client-config"),
        }
    }

    #[test]
    fn clients_have_the_names_of_the_programs_that_use_their_files() {
        for (names, client) in [
            (&["docker"][..], Client::Docker),
            (&["containerd", "ctr", "nerdctl"], Client::Containerd),
            (
                &["podman", "crio", "cri-o", "skopeo", "buildah"],
                Client::Podman,
            ),
            (&["buildkit", "buildx", "buildkitd"], Client::Buildkit),
            (&["k3s", "rke2"], Client::K3s),
            (&["kaniko", "executor"], Client::Kaniko),
        ] {
            for name in names {
                assert_eq!(parsed(name, &[]).unwrap().client, client, "{name}");
            }
        }
    }

    #[test]
    fn the_address_of_the_cache_has_no_path() {
        let server = |text| parsed("podman", &["--server", text]).map(|it| it.server.unwrap());
        for text in ["http://h.example:1", "http://h.example:1/"] {
            assert_eq!(server(text).unwrap().to_string(), "http://h.example:1");
        }
        let error = server("http://h:1/foo").unwrap_err().to_string();
        assert!(error.contains("a path is not allowed here"), "{error}");
        let error = server("h:1").unwrap_err().to_string();
        assert!(error.contains("the scheme is missing"), "{error}");
    }
}
