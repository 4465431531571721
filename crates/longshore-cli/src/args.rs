//! What can be said on the command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use longshore::model::{MediaType, Platform};
use longshore::origin::Origin;

use crate::exit;

/// Moves container images and artifacts between registries, disks and clusters.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, after_long_help = exit::TABLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Work with blobs
    #[command(subcommand)]
    Blob(BlobCommand),
    /// Print the digest of a manifest
    #[command(visible_alias = "resolve", after_long_help = exit::TABLE)]
    Digest(Digest),
    /// Work with manifests
    #[command(subcommand)]
    Manifest(ManifestCommand),
    /// Ask whether a registry is there and may be used
    #[command(after_long_help = exit::TABLE)]
    Ping(Ping),
    /// Pull an image or artifact into an OCI image layout directory
    ///
    /// Only what is missing is moved: blobs that DEST has already are kept, and a large blob goes
    /// on where an earlier run broke off. DEST is a directory, made if need be, with the name the
    /// image gets in it: DIR[:TAG]. Without TAG it is the tag of REF. Nothing is visible there
    /// before it is whole and verified.
    #[command(after_long_help = exit::TABLE)]
    Pull(Pull),
    /// Print what refers to a manifest: signatures, attestations, attached files
    #[command(visible_alias = "discover", after_long_help = exit::TABLE)]
    Referrers(Referrers),
    /// Print the names of a registry's repositories
    #[command(visible_alias = "catalog", after_long_help = exit::TABLE)]
    Repos(Repos),
    /// Print the tags of a repository
    #[command(visible_aliases = ["ls", "list-tags"], after_long_help = exit::TABLE)]
    Tags(Tags),
    /// Verify an OCI image layout: hash everything it leads to
    ///
    /// Prints what is missing, damaged, or referred to by nothing; only the last is no damage.
    #[command(visible_alias = "validate", after_long_help = exit::TABLE)]
    Verify(Verify),
}

#[derive(Debug, Subcommand)]
pub(crate) enum BlobCommand {
    /// Print a blob, or write it to a file
    ///
    /// Bytes are printed as they arrive. Only exit code 0 says that they are what DIGEST says.
    #[command(visible_alias = "fetch", after_long_help = exit::TABLE)]
    Get(BlobGet),
    /// Print the size of a blob
    #[command(after_long_help = exit::TABLE)]
    Head(BlobHead),
}

#[derive(Debug, clap::Args)]
pub(crate) struct BlobGet {
    /// Which: [REGISTRY/]NAME@DIGEST
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Write to this file, which appears whole and verified or not at all
    #[arg(long, short, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BlobHead {
    /// Which: [REGISTRY/]NAME@DIGEST
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Referrers {
    /// What they refer to: [REGISTRY/]NAME[:TAG][@DIGEST]
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Only those of this artifact type
    #[arg(long, value_name = "TYPE")]
    pub(crate) artifact_type: Option<MediaType>,
    /// Also what refers to these, and so on
    #[arg(long)]
    pub(crate) tree: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Repos {
    /// The registry: a host name, with a port where it is not the usual one
    #[arg(value_name = "REGISTRY")]
    pub(crate) registry: String,
    #[command(flatten)]
    pub(crate) page: Page,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Tags {
    /// The repository: [REGISTRY/]NAME
    #[arg(value_name = "REPOSITORY")]
    pub(crate) repository: String,
    #[command(flatten)]
    pub(crate) page: Page,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The directory of the image layout
    #[arg(value_name = "DIR")]
    pub(crate) layout: PathBuf,
    /// Print the result as text or as one JSON object
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

/// Which part of a list.
#[derive(Debug, clap::Args)]
pub(crate) struct Page {
    /// Print no more than so many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<NonZeroUsize>,
    /// Begin after this one
    #[arg(long, value_name = "NAME")]
    pub(crate) last: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// Print a manifest or index, byte for byte
    #[command(visible_alias = "fetch", after_long_help = exit::TABLE)]
    Get(ManifestGet),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Digest {
    /// What to resolve: [REGISTRY/]NAME[:TAG][@DIGEST]
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Resolve an index to the manifest of this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<Platform>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManifestGet {
    /// What to print: [REGISTRY/]NAME[:TAG][@DIGEST]
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Print the manifest of this platform where REF is an index
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<Platform>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ping {
    /// The registry: a host name, with a port where it is not the usual one
    #[arg(value_name = "REGISTRY")]
    pub(crate) registry: String,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Pull {
    /// What to pull: [REGISTRY/]NAME[:TAG][@DIGEST]
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Where to: an OCI image layout, DIR[:TAG]
    #[arg(value_name = "DEST")]
    pub(crate) destination: String,
    /// Pull the image of this platform; the default is this machine's, of Linux on other systems
    #[arg(
        long,
        value_name = "OS/ARCH[/VARIANT]",
        conflicts_with = "all_platforms"
    )]
    pub(crate) platform: Option<Platform>,
    /// Pull the images of all platforms and the index itself
    #[arg(long, visible_alias = "all", short = 'a')]
    pub(crate) all_platforms: bool,
    /// Move so many large blobs at once, and eight times as many small ones
    #[arg(long, short, value_name = "N", default_value = "4")]
    pub(crate) jobs: NonZeroUsize,
    /// What a power cut may take: a killed program never harms the layout
    #[arg(long, value_enum, value_name = "WHEN", default_value = "batch")]
    pub(crate) durability: Durability,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// When what was pulled is made to outlive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Durability {
    /// Each blob before it is visible: slow for many small ones.
    Each,
    /// All blobs together, before the image is named: what is named is whole.
    Batch,
    /// Whenever the system gets to it: a power cut soon after may leave the layout damaged.
    None,
}

/// How to speak to registries, and how to speak of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Connection {
    /// Log in as this user, with the password of --password-stdin
    #[arg(long, short, requires = "password_stdin", help_heading = "Credentials")]
    pub(crate) username: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username", help_heading = "Credentials")]
    pub(crate) password_stdin: bool,
    /// Let this token server have the credentials, wherever it is (https://HOST[:PORT])
    #[arg(long, value_name = "URL", help_heading = "Credentials")]
    pub(crate) allow_realm: Vec<Origin>,
    /// Speak plain http to the registry: everything can be read on the way
    #[arg(long, help_heading = "Connection")]
    pub(crate) plain_http: bool,
    /// Trust the certificate authorities in this PEM file too
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Accept any certificate: anybody on the way can pose as the registry
    #[arg(long, help_heading = "Connection")]
    pub(crate) insecure_skip_verify: bool,
    /// Send a request at most so often; 1 repeats nothing
    #[arg(
        long,
        value_name = "N",
        default_value = "5",
        help_heading = "Connection"
    )]
    pub(crate) retry_attempts: u32,
    /// Print the result as text or as one JSON object
    #[arg(
        long,
        short,
        value_enum,
        default_value = "text",
        help_heading = "Output"
    )]
    pub(crate) output: Output,
    /// Show each request on stderr, without secrets; twice for more
    #[arg(long, short, action = clap::ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs: one object.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn ou3_a_password_has_no_place_in_argv() {
        let arguments = ["longshore", "pull", "a", "b", "-u", "me", "--password", "x"];
        assert!(Args::try_parse_from(arguments).is_err());
        let alone = ["longshore", "pull", "a", "b", "-u", "me"];
        assert!(Args::try_parse_from(alone).is_err());
    }
}
