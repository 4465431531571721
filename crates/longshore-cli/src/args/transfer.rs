//! The arguments of the commands that move images: `copy` and `push`.

use std::num::NonZeroUsize;

use longshore::model::Platform;

use super::{Connection, write};

#[derive(Debug, clap::Args)]
pub(crate) struct Copy {
    /// What to copy: [docker://]REF or oci:DIR[:TAG]
    #[arg(value_name = "SRC")]
    pub(crate) source: String,
    /// Where to: [docker://]REF or oci:DIR[:TAG]; without a tag, the tag of SRC
    #[arg(value_name = "DEST", required = true)]
    pub(crate) destinations: Vec<String>,
    #[command(flatten)]
    pub(crate) transfer: Transfer,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Push {
    /// What to push: an image layout, DIR[:TAG] or oci:DIR[:TAG]
    #[arg(value_name = "SRC")]
    pub(crate) source: String,
    /// Where to: [REGISTRY/]NAME[:TAG]; without a tag, the tag of SRC
    #[arg(value_name = "REF", required = true)]
    pub(crate) destinations: Vec<String>,
    #[command(flatten)]
    pub(crate) transfer: Transfer,
}

/// What is moved, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Transfer {
    /// Copy only the image for this platform; give it several times, with --sparse or --new-index,
    /// for several images [default: all platforms and the index itself]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Vec<Platform>,
    /// Copy all platforms, which is the default
    #[arg(long, visible_alias = "all", short = 'a', conflicts_with = "platform")]
    pub(crate) all_platforms: bool,
    /// With several platforms, keep the index and its digest; it also lists images that are not
    /// copied, which some registries refuse
    #[arg(long, requires = "platform", conflicts_with = "new_index")]
    pub(crate) sparse: bool,
    /// With several platforms, make a smaller index, which has another digest
    #[arg(long, requires = "platform")]
    pub(crate) new_index: bool,
    /// Also copy what refers to the image and to the images in it: signatures, attestations, SBOMs
    #[arg(long, short = 'r', visible_alias = "recursive")]
    pub(crate) referrers: bool,
    /// Also copy foreign layers, which by their media type may not be distributed
    #[arg(long)]
    pub(crate) foreign_layers: bool,
    /// Skip a destination whose tag already has the digest; the content below it is not checked
    #[arg(long)]
    pub(crate) skip_existing: bool,
    /// Write nothing; print the plan: what exists, is mounted or moved, and the number of requests
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Ask registries whether each blob can be read and has its size; send lost ones again
    #[arg(long)]
    pub(crate) verify_after: bool,
    /// Compare only the sizes of blobs in image layouts; do not hash them
    #[arg(long)]
    pub(crate) trust_existing: bool,
    /// Upload in chunks of this size: bytes, or a number with KiB, MiB, GiB or TiB
    #[arg(long, value_name = "BYTES", value_parser = write::chunk)]
    pub(crate) chunk_size: Option<u64>,
    /// Move up to N large blobs at once, and up to eight times as many small ones
    #[arg(long, short, value_name = "N", default_value = "4")]
    pub(crate) jobs: NonZeroUsize,
    #[command(flatten)]
    pub(crate) connection: Connection,
}
