//! `longshore pull REF DEST`
//!
//! In order: the destination is looked at, the manifest is fetched and its platform chosen, and
//! only then anything is made on disk. Blobs come before the manifests that name them, and the
//! name in `index.json` last, so that a pull which dies leaves a valid layout at every moment.

use longshore::Repository;
use longshore::model::{Descriptor, Document, Manifest, Platform, Reference};
use longshore_layout::Layout;
use longshore_store::Durability;
use serde_json::json;

use self::destination::Destination;
use self::plan::Plan;
use self::transfer::{Moving, Summary};
use crate::args::{self, Output, Pull};
use crate::command::{choose, reference};
use crate::connect;
use crate::exit::Failure;
use crate::output;
use crate::stop;

mod destination;
mod plan;
mod transfer;

/// What a pull brought.
struct Pulled {
    top: Descriptor,
    platform: Option<Platform>,
    name: Option<String>,
    summary: Summary,
}

pub(crate) async fn run(args: Pull) -> Result<(), Failure> {
    let reference = reference(&args.reference)?;
    let destination = Destination::parse(&args.destination)?;
    destination.check()?;
    let client = connect::client(&args.connection, reference.registry())?;
    let moving = Moving::new(args.jobs.get());
    let pulling = async {
        let repository = client.repository(&reference).await?;
        pull(&args, &reference, &destination, &repository, &moving).await
    };
    let pulled = stop::unless_stopped(pulling).await;
    moving.stop().await;
    report(&args, &reference, &destination, &pulled?)
}

async fn pull(
    args: &Pull,
    reference: &Reference,
    destination: &Destination,
    repository: &Repository,
    moving: &Moving,
) -> Result<Pulled, Failure> {
    let first = repository.manifest(&reference.target()).await?.manifest;
    let (manifest, platform) = if args.all_platforms {
        (first, None)
    } else {
        choose_platform(args, repository, first).await?
    };
    let durability = match args.durability {
        args::Durability::Each => Durability::Each,
        args::Durability::Batch => Durability::Batch,
        args::Durability::None => Durability::None,
    };
    let layout = Layout::create_or_open_with(&destination.path, durability)?;
    let top = manifest.descriptor();
    let plan = Plan::make(repository, layout.store(), manifest).await?;
    let what = reference.familiar().to_owned();
    let summary = moving.fetch(repository, layout.store(), plan, what).await?;
    let name = destination
        .name
        .clone()
        .or_else(|| reference.tag_str().map(str::to_owned));
    let (indexed, named) = (top.clone(), name.clone());
    // Making the blobs durable may take a while, and blocks.
    let written = tokio::task::spawn_blocking(move || match named {
        Some(name) => layout.tag(&name, indexed),
        None => layout.add(indexed),
    });
    written.await.map_err(Failure::task)??;
    Ok(Pulled {
        top,
        platform,
        name,
        summary,
    })
}

/// The manifest of the platform that is wanted. One that stands alone is taken whatever its
/// platform is, unless a platform was asked for.
async fn choose_platform(
    args: &Pull,
    repository: &Repository,
    first: Manifest,
) -> Result<(Manifest, Option<Platform>), Failure> {
    match (first.document(), &args.platform) {
        (Document::Index(_), wanted) => {
            let wanted = wanted.clone().unwrap_or_else(host);
            Ok((choose(repository, first, &wanted).await?, Some(wanted)))
        }
        (Document::Image(image), Some(wanted)) => {
            plan::check_platform(repository, image, wanted).await?;
            Ok((first, Some(wanted.clone())))
        }
        _ => Ok((first, None)),
    }
}

/// The platform of this machine, by the names images use; containers elsewhere run in Linux.
pub(super) fn host() -> Platform {
    use std::env::consts::{ARCH, OS};

    let os = match OS {
        "macos" | "windows" => "linux",
        other => other,
    };
    let (architecture, variant) = match ARCH {
        "aarch64" => ("arm64", None),
        "arm" => ("arm", Some("v7")),
        "loongarch64" => ("loong64", None),
        "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", None),
        "x86" => ("386", None),
        "x86_64" => ("amd64", None),
        other => (other, None),
    };
    let mut platform = Platform::new(os, architecture);
    platform.variant = variant.map(str::to_owned);
    platform
}

fn report(
    args: &Pull,
    reference: &Reference,
    destination: &Destination,
    pulled: &Pulled,
) -> Result<(), Failure> {
    let Pulled {
        top,
        platform,
        name,
        summary,
    } = pulled;
    let path = destination.path.to_string_lossy();
    match args.connection.output {
        Output::Json => output::json(&json!({
            "reference": reference.to_string(),
            "digest": top.digest.to_string(),
            "media_type": top.media_type.as_str(),
            "size": top.size,
            "platform": platform.as_ref().map(ToString::to_string),
            "destination": path,
            "name": name,
            "blobs_moved": summary.moved,
            "blobs_present": summary.present,
            "bytes_moved": summary.bytes,
        })),
        Output::Text => {
            let name = name
                .as_ref()
                .map_or_else(String::new, |name| format!(":{name}"));
            let size = output::size(summary.bytes);
            output::note(&format!(
                "pulled {reference} into {path}{name}: {} blobs, {size} moved, {} there already",
                summary.moved, summary.present
            ));
            output::text(top.digest.as_str())
        }
    }
}
