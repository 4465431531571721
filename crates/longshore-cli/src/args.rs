//! The arguments of the program.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use longshore::model::{MediaType, Platform};
use longshore::origin::Origin;
use longshore_cache::server::config::{ByteSize, ByteSizeError};
use longshore_copy::EndName;
use longshore_store as store;

use crate::{exit, help};

pub(crate) use self::cache::{CacheCommand, ClientConfig, Serve, Upstreams};
pub(crate) use self::transfer::{Copy, Push, Transfer};
pub(crate) use self::write::{BlobPut, Delete, ManifestPut, Tag};

mod cache;
mod transfer;
mod write;

/// Moves container images and artifacts between registries, disks and clusters.
#[derive(Debug, Parser)]
#[command(name = "longshore", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read and write single blobs: layers, configs, the content of artifacts
    #[command(subcommand, after_long_help = exit::TABLE)]
    Blob(BlobCommand),
    /// Configure the clients of the read-through cache
    #[command(subcommand, after_long_help = exit::TABLE)]
    Cache(CacheCommand),
    /// Print the config of an image, byte for byte
    ///
    /// The config says what the image runs, on which platform, and how it was made. If REF names an
    /// index, which is an image for several platforms, the config for one platform is printed. The
    /// config is verified before it is printed.
    #[command(
        after_long_help = help::end(help::CONFIG),
        mut_arg("reference", |arg| arg.help("Whose config: [REGISTRY/]NAME[:TAG][@DIGEST]")),
        mut_arg("platform", |arg| arg.help(
            "Print the config for this platform instead of this machine's (on macOS and Windows, \
             Linux's)"
        )),
    )]
    Config(Target),
    /// Copy an image or artifact between registries and image layouts
    ///
    /// The program makes a plan first. Content that a destination has is not moved. A blob that
    /// another repository of the same registry has is mounted. Every other blob is read once, even
    /// for several destinations. Digests do not change, unless --new-index makes a smaller index.
    /// All platforms are copied, unless --platform selects some.
    ///
    /// If a copy is interrupted, run it again to continue. If a destination fails, the copy to the
    /// others continues; the exit code is the highest one. Prints the digest.
    ///
    /// A layout may also be written as ocidir://DIR[:TAG] or oci-layout://DIR[:TAG].
    #[command(visible_alias = "cp", after_long_help = help::end(help::COPY))]
    Copy(Copy),
    /// Delete tags or manifests
    ///
    /// NAME:TAG deletes the tag and keeps the manifest. NAME@DIGEST deletes the manifest with all
    /// of its tags. NAME:TAG@DIGEST deletes the tag, but only if it stands for DIGEST. If the
    /// registry does not delete tags, the command fails; it never deletes the manifest instead.
    ///
    /// Each REF is tried even if another fails; the exit code is the highest one. Prints each REF
    /// that was deleted.
    #[command(
        visible_alias = "rm",
        after_long_help = help::end(help::DELETE),
        mut_arg("references", |arg| arg.help(
            "What to delete: [REGISTRY/]NAME:TAG, NAME@DIGEST or NAME:TAG@DIGEST"
        )),
    )]
    Delete(Delete),
    /// Print the digest that a tag stands for
    ///
    /// Asks with HEAD where that is enough: Docker Hub does not count it as a pull.
    #[command(
        visible_alias = "resolve",
        after_long_help = help::end(help::DIGEST),
        mut_arg("reference", |arg| arg.help("What to resolve: [REGISTRY/]NAME[:TAG][@DIGEST]")),
        mut_arg("platform", |arg| arg.help("Resolve an index to the manifest of this platform")),
    )]
    Digest(Target),
    /// Summarise an image or artifact: platforms, layers, sizes, config, signatures
    ///
    /// An index, which is an image for several platforms, is shown as a table of these platforms;
    /// with --platform, the layers and config of one image are shown, as for any other image. The
    /// attached artifacts come last: signatures, attestations and other artifacts that refer to
    /// this digest, and what cosign keeps under tags made from the digest. A signature that is
    /// listed may be invalid.
    ///
    /// For the sizes in the table, the manifests of up to 64 platforms are read; Docker Hub counts
    /// each as a pull.
    ///
    /// A note on standard error names each part that could not be read. The command fails only if
    /// the registry could not answer, refused your credentials, or sent the wrong content.
    #[command(
        after_long_help = help::end(help::INSPECT),
        mut_arg("reference", |arg| arg.help("What to look at: [REGISTRY/]NAME[:TAG][@DIGEST]")),
        mut_arg("platform", |arg| arg.help(
            "Look at the image of this platform where REF is an index"
        )),
    )]
    Inspect(Target),
    /// Read and write manifests
    #[command(subcommand, after_long_help = exit::TABLE)]
    Manifest(ManifestCommand),
    /// Check that a registry answers and grants access
    ///
    /// With credentials, this also checks that the registry accepts them.
    #[command(after_long_help = help::end(help::PING))]
    Ping(Ping),
    /// Pull an image or artifact into an OCI image layout directory
    ///
    /// Only missing content is moved: blobs that DEST has already are kept, and a large blob is
    /// resumed where an earlier run stopped. DEST has the form DIR[:TAG]: a directory, created if
    /// necessary, and the name that the image gets in it. Without TAG, the name is the tag of REF.
    /// Content is visible there only when it is complete and verified.
    ///
    /// DEST may also be oci:DIR[:TAG], ocidir://DIR[:TAG] or oci-layout://DIR[:TAG], and REF may
    /// begin with docker://.
    #[command(
        after_long_help = help::end(help::PULL),
        mut_arg("reference", |arg| arg.help("What to pull: [REGISTRY/]NAME[:TAG][@DIGEST]")),
        mut_arg("platform", |arg| arg.help(
            "Pull the image of this platform instead of this machine's (on macOS and Windows, \
             Linux's)"
        )),
    )]
    Pull(Pull),
    /// Push an image or artifact from an image layout to a registry
    ///
    /// Works like `longshore copy` from a layout: sends only what the registry lacks, hashes each
    /// blob while it is sent, and writes the tag last. If an upload is interrupted, run the command
    /// again to continue. Prints the digest.
    #[command(after_long_help = help::end(help::PUSH))]
    Push(Push),
    /// Print what refers to a manifest: signatures, attestations, attached files
    ///
    /// Prints one line for each: digest, artifact type, size. If the registry has no referrers API,
    /// the tag that replaces it is read.
    #[command(visible_alias = "discover", after_long_help = help::end(help::REFERRERS))]
    Referrers(Referrers),
    /// Print the names of a registry's repositories
    ///
    /// Many public registries do not offer this, and others only to some users. Malformed names go
    /// to standard error, and the exit code is then 8.
    #[command(visible_alias = "catalog", after_long_help = help::end(help::REPOS))]
    Repos(Repos),
    /// Run a read-through cache in front of registries
    ///
    /// When a client first pulls an image, the cache downloads it; other clients read it while it
    /// arrives and afterwards. Only verified content is stored. Cached images can be pulled while
    /// their registry is slow, limits requests, or is down.
    ///
    /// Without options, the cache serves docker.io, ghcr.io, quay.io, gcr.io, registry.k8s.io,
    /// public.ecr.aws, mcr.microsoft.com, nvcr.io and registry.gitlab.com on 127.0.0.1:5000.
    /// `longshore cache client-config` prints the configuration that makes clients use it.
    ///
    /// Options have precedence over environment variables (LONGSHORE_SERVE_…), variables over the
    /// file of --config, and the file over the defaults. The configuration contains no secrets: it
    /// names files, environment variables or credential helpers that have them.
    #[command(after_long_help = help::end(help::SERVE))]
    Serve(Serve),
    /// Give an image or artifact further tags in its repository
    ///
    /// Reads the manifest once and puts it under each TAG unchanged, so the digest stays the same;
    /// no blob is moved. An existing tag is moved. Prints the digest.
    #[command(after_long_help = help::end(help::TAG))]
    Tag(Tag),
    /// Print the tags of a repository
    ///
    /// Malformed tags go to standard error, and the exit code is then 8.
    #[command(visible_aliases = ["ls", "list-tags"], after_long_help = help::end(help::TAGS))]
    Tags(Tags),
    /// Verify an OCI image layout on disk: hash everything it refers to
    ///
    /// Prints a line for each blob that is absent, damaged or unreferenced. If a blob is damaged,
    /// the exit code is 5. An absent or unreferenced blob is not damage: a layout may hold only
    /// some of the images that its indexes list.
    #[command(visible_alias = "validate", after_long_help = help::end(help::VERIFY))]
    Verify(Verify),
}

#[derive(Debug, Subcommand)]
pub(crate) enum BlobCommand {
    /// Print a blob, or write it to a file
    ///
    /// Bytes are printed as they arrive. Only exit code 0 means that they match DIGEST; a file
    /// appears only then. JSON describes the file that was written.
    #[command(visible_alias = "fetch", after_long_help = help::end(help::BLOB_GET))]
    Get(BlobGet),
    /// Print the size of a blob, in bytes
    #[command(after_long_help = help::end(help::BLOB_HEAD))]
    Head(BlobHead),
    /// Put a file or standard input into a repository as a blob
    ///
    /// The content is hashed while it is sent. An upload that breaks off is resumed, unless the
    /// content comes from a pipe, which cannot be read again. Prints the digest.
    #[command(visible_alias = "push", after_long_help = help::end(help::BLOB_PUT))]
    Put(BlobPut),
    /// Delete blobs
    ///
    /// Manifests that refer to a deleted blob can no longer be pulled. Many registries do not
    /// delete blobs on request; they later remove blobs that no manifest refers to.
    ///
    /// Each REF is tried even if another fails; the exit code is the highest one. Prints each REF
    /// that was deleted.
    #[command(
        visible_alias = "rm",
        after_long_help = help::end(help::BLOB_DELETE),
        mut_arg("references", |arg| arg.help("The blob: [REGISTRY/]NAME@DIGEST")),
    )]
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
pub(crate) struct BlobGet {
    /// The blob: [REGISTRY/]NAME@DIGEST
    #[arg(value_name = "REF", value_parser = without_docker)]
    pub(crate) reference: String,
    /// Write to this file; a regular file is replaced only after the whole blob was verified
    #[arg(long, short, value_name = "PATH", required_if_eq("output", "json"))]
    pub(crate) file: Option<PathBuf>,
    /// Fail if the blob is larger: bytes, or a number with KiB, MiB, GiB or TiB [default: 32GiB
    /// if the registry does not announce the size]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) max_size: Option<u64>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BlobHead {
    /// The blob: [REGISTRY/]NAME@DIGEST
    #[arg(value_name = "REF", value_parser = without_docker)]
    pub(crate) reference: String,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Referrers {
    /// The manifest they refer to: [REGISTRY/]NAME[:TAG][@DIGEST]
    #[arg(value_name = "REF", value_parser = without_docker)]
    pub(crate) reference: String,
    /// Only those of this artifact type, for example application/spdx+json
    #[arg(long, value_name = "TYPE")]
    pub(crate) artifact_type: Option<MediaType>,
    /// Also print what refers to these, and so on: signatures of attestations
    #[arg(long)]
    pub(crate) tree: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Repos {
    /// The registry: a host name, with a port unless it is the default
    #[arg(value_name = "REGISTRY", value_parser = without_docker)]
    pub(crate) registry: String,
    #[command(flatten)]
    pub(crate) page: Page,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Tags {
    /// The repository: [REGISTRY/]NAME; without REGISTRY it is on Docker Hub
    #[arg(value_name = "REPOSITORY", value_parser = without_docker)]
    pub(crate) repository: String,
    #[command(flatten)]
    pub(crate) page: Page,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The directory of the image layout, as `pull` writes it
    #[arg(value_name = "DIR")]
    pub(crate) layout: PathBuf,
    /// Also fail if a blob is absent; by default a layout may hold only some of its images
    #[arg(long)]
    pub(crate) complete: bool,
    /// Print the result as text or as one JSON object
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Output,
}

/// Which part of a list to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Page {
    /// Print at most N names
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<NonZeroUsize>,
    /// Start after this name, in the order of the registry
    #[arg(long, value_name = "NAME")]
    pub(crate) last: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// Print a manifest or index, byte for byte
    ///
    /// The manifest is verified before it is printed. On a terminal, characters that would control
    /// it are shown escaped.
    #[command(
        visible_alias = "fetch",
        after_long_help = help::end(help::MANIFEST_GET),
        mut_arg("reference", |arg| arg.help("What to print: [REGISTRY/]NAME[:TAG][@DIGEST]")),
        mut_arg("platform", |arg| arg.help(
            "Print the manifest of this platform where REF is an index"
        )),
    )]
    Get(Target),
    /// Put a manifest or index into a repository, byte for byte
    ///
    /// The registry must have everything that the manifest refers to. The media type is that of the
    /// document, or else --media-type. NAME alone gives the manifest no tag; a digest in REF must
    /// be the digest of the manifest. Prints the digest.
    #[command(visible_alias = "push", after_long_help = help::end(help::MANIFEST_PUT))]
    Put(ManifestPut),
}

/// An image or artifact in a registry. Each command sets the help of `reference` and `platform`.
/// That moves them after its own arguments, so the positions are given explicitly.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    #[arg(value_name = "REF", index = 1, value_parser = without_docker)]
    pub(crate) reference: String,
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<Platform>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ping {
    /// The registry: a host name, with a port unless it is the default
    #[arg(value_name = "REGISTRY", value_parser = without_docker)]
    pub(crate) registry: String,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Pull {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Where to write: an OCI image layout, DIR[:TAG]
    #[arg(value_name = "DEST", index = 2)]
    pub(crate) destination: String,
    /// Pull the images of all platforms and the index itself
    #[arg(long, visible_alias = "all", short = 'a', conflicts_with = "platform")]
    pub(crate) all_platforms: bool,
    /// Move up to N large blobs at once, and up to eight times as many small ones
    #[arg(long, short, value_name = "N", default_value = "4")]
    pub(crate) jobs: NonZeroUsize,
    /// Which writes survive a power cut; killing the program never damages the layout
    #[arg(long, value_enum, value_name = "WHEN", default_value = "batch")]
    pub(crate) durability: Durability,
    /// Compare only the sizes of existing blobs in DEST; do not hash them
    #[arg(long)]
    pub(crate) trust_existing: bool,
}

/// When pulled content is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Durability {
    /// Each blob, before it is visible: slow for many small blobs
    Each,
    /// All blobs together, before the image is named: a named image is complete
    Batch,
    /// Left to the system: a power cut soon afterwards may damage the layout
    None,
}

impl From<Durability> for store::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Each => Self::Each,
            Durability::Batch => Self::Batch,
            Durability::None => Self::None,
        }
    }
}

/// How to connect to registries, and what to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Connection {
    /// Log in as this user; without it, credentials come from DOCKER_AUTH_CONFIG, the file in
    /// REGISTRY_AUTH_FILE, or Docker's config.json and the credential helpers that it names
    #[arg(long, short, requires = "password_stdin", help_heading = "Credentials")]
    pub(crate) username: Option<String>,
    /// Read the password from the first line of standard input
    #[arg(long, requires = "username", help_heading = "Credentials")]
    pub(crate) password_stdin: bool,
    /// Send the credentials to this token server too, wherever it is (https://HOST[:PORT])
    #[arg(long, value_name = "URL", help_heading = "Credentials")]
    pub(crate) allow_realm: Vec<Origin>,
    /// Use plain http for the registry: anyone on the network path can read everything
    #[arg(long, help_heading = "Connection")]
    pub(crate) plain_http: bool,
    /// Trust the certificate authorities in this PEM file too
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Accept any certificate from the registry: anyone on the network path can impersonate it
    #[arg(long, help_heading = "Connection")]
    pub(crate) insecure_skip_verify: bool,
    /// Send a request up to N times before giving up; 1 disables retries
    #[arg(
        long,
        value_name = "N",
        default_value = "5",
        help_heading = "Connection"
    )]
    pub(crate) retry_attempts: u32,
    /// If the registry allows no more requests for now, wait until it does; by default the command
    /// fails, and says when to try again
    #[arg(long, help_heading = "Connection")]
    pub(crate) wait_for_quota: bool,
    /// Print the result as text or as one JSON object
    #[arg(
        long,
        short,
        value_enum,
        value_name = "FORMAT",
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
    /// For people
    Text,
    /// For programs: one object with documented fields
    Json,
}

/// Removes `docker://`, the prefix of references in skopeo.
fn without_docker(text: &str) -> Result<String, Infallible> {
    Ok(EndName::registry_text(text).to_owned())
}

/// Parses a number of bytes: `512`, `10MiB`.
fn size(text: &str) -> Result<u64, ByteSizeError> {
    text.parse().map(ByteSize::bytes)
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
    fn a_chunk_has_at_least_64_kib() {
        for (text, accepted) in [
            ("1", false),
            ("65535", false),
            ("64KiB", true),
            ("65536", true),
        ] {
            let words = [
                "longshore",
                "push",
                "images",
                "r.example/a:1",
                "--chunk-size",
                text,
            ];
            let parsed = Args::try_parse_from(words);
            let error = parsed.map_err(|error| error.to_string());
            let named = |error: &String| error.contains("a chunk has at least 64KiB");
            assert!(error.as_ref().err().is_none_or(named), "{text}");
            assert_eq!(error.is_ok(), accepted, "{text}");
        }
    }

    #[test]
    fn a_size_has_a_unit_or_is_in_bytes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("10KiB", Some(10 << 10)),
            ("3 MiB", Some(3 << 20)),
            ("32GiB", Some(32 << 30)),
            ("1TiB", Some(1 << 40)),
            ("16777216TiB", None),
            ("", None),
            ("GiB", None),
            ("-1", None),
            ("1GB", Some(1_000_000_000)),
            ("1.5GiB", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_spellings_of_other_programs_are_accepted() {
        for line in [
            "cp docker://a.example/b:1 docker://a.example/c:1",
            "copy --all docker://a.example/b:1 oci:images:1",
            "cp -r a.example/b:1 a.example/c:1",
            "push images a.example/b:1",
            "tag a.example/b:1 a.example/b:2",
            "rm docker://a.example/b:1",
            "delete docker://a.example/b:1",
            "blob push a.example/b layer",
            "blob rm a.example/b@sha256:12",
            "manifest push a.example/b:1 manifest.json",
        ] {
            let words = std::iter::once("longshore").chain(line.split(' '));
            assert!(Args::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn ou3_a_password_has_no_place_in_argv() {
        let arguments = ["longshore", "pull", "a", "b", "-u", "me", "--password", "x"];
        assert!(Args::try_parse_from(arguments).is_err());
        let alone = ["longshore", "pull", "a", "b", "-u", "me"];
        assert!(Args::try_parse_from(alone).is_err());
    }
}
