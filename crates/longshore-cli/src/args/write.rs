//! The arguments of the commands that write to registries.

use std::path::PathBuf;

use longshore::model::{Digest, MediaType};

use super::{Connection, size, without_docker};

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    #[arg(value_name = "REF", required = true, value_parser = without_docker)]
    pub(crate) references: Vec<String>,
    /// Delete nothing; print what exists and would be deleted
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Tag {
    /// What to tag: [REGISTRY/]NAME[:TAG][@DIGEST]
    #[arg(value_name = "REF", value_parser = without_docker)]
    pub(crate) reference: String,
    /// The new tags; a TAG may also be a whole reference to the same repository
    #[arg(value_name = "TAG", required = true, value_parser = without_docker)]
    pub(crate) tags: Vec<String>,
    /// Change nothing; print what each TAG stands for now
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BlobPut {
    /// The repository: [REGISTRY/]NAME, or NAME@DIGEST in place of --digest
    #[arg(value_name = "REPO", value_parser = without_docker)]
    pub(crate) repository: String,
    /// The content; - reads standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Fail unless the content has this digest
    #[arg(long, value_name = "DIGEST")]
    pub(crate) digest: Option<Digest>,
    /// Send chunks of this size: bytes, or a number with KiB, MiB, GiB or TiB
    #[arg(long, value_name = "BYTES", value_parser = chunk)]
    pub(crate) chunk_size: Option<u64>,
    /// Send nothing; print the digest, and whether the registry has the blob
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManifestPut {
    /// Where to put it: [REGISTRY/]NAME[:TAG][@DIGEST]
    #[arg(value_name = "REF", value_parser = without_docker)]
    pub(crate) reference: String,
    /// The manifest; - reads standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The media type of a document that does not state it
    #[arg(long, value_name = "TYPE")]
    pub(crate) media_type: Option<MediaType>,
    /// Put nothing; check the manifest and print its digest
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Minimum size of a chunk, in bytes. Each is a request of its own, so smaller ones make an upload
/// slower and serve no registry.
const CHUNK_FLOOR_BYTES: u64 = 64 << 10;

/// Parses the size of a chunk.
pub(super) fn chunk(text: &str) -> Result<u64, String> {
    match size(text).map_err(|error| error.to_string())? {
        bytes if bytes < CHUNK_FLOOR_BYTES => Err("a chunk has at least 64KiB".to_owned()),
        bytes => Ok(bytes),
    }
}
