//! `longshore pull REF DEST`

use std::sync::Arc;

use longshore::model::Reference;
use longshore_copy::layout::Layout;
use longshore_copy::{
    Cancellation, LayoutEntry, LayoutName, Platforms, PullOptions, Report, RunOptions,
};
use serde_json::json;

use crate::args::{Output, Pull};
use crate::connect;
use crate::exit::Failure;
use crate::output;
use crate::progress::TransferProgress;
use crate::stop;

mod destination;

/// Pulls an image. The destination is checked before anything is requested.
pub(crate) async fn run(args: Pull) -> Result<(), Failure> {
    let reference = connect::reference(&args.target.reference)?;
    let destination = destination::parse(&args.destination)?;
    Layout::check_destination(&destination.path)?;
    let client = connect::client(&args.target.connection, &[reference.registry()])?;
    let repository = stop::unless_stopped(client.repository(&reference)).await?;
    let name = destination
        .name
        .clone()
        .or_else(|| reference.tag_str().map(str::to_owned));
    let mut entry = LayoutEntry::new(&destination.path).with_durability(args.durability.into());
    if let Some(name) = &name {
        entry = entry.named(name);
    }
    let progress = Arc::new(TransferProgress::default());
    let cancellation = Cancellation::new();
    let options = options(&args, &progress, &cancellation);
    let target = reference.target();
    let pulling = longshore_copy::pull(&repository, &target, entry, &options);
    let drawing = progress.draw(reference.familiar(), pulling);
    let pulled = stop::cancelling(&cancellation, drawing).await;
    for digest in progress.damaged() {
        output::note(&format!(
            "{digest} in {} did not match its digest; fetching it again",
            destination.path.display()
        ));
    }
    let pulled = pulled?;
    report(&args, &reference, &destination, name.as_deref(), &pulled)
}

fn options(
    args: &Pull,
    progress: &Arc<TransferProgress>,
    cancellation: &Cancellation,
) -> PullOptions {
    let mut options = PullOptions::default();
    options.platforms = match &args.target.platform {
        _ if args.all_platforms => Platforms::All,
        Some(platform) => Platforms::One(platform.clone()),
        None => Platforms::Host,
    };
    let RunOptions {
        jobs,
        observer,
        cancellation: stop,
        trust_existing,
        ..
    } = &mut options.run;
    *jobs = args.jobs;
    *trust_existing = args.trust_existing;
    *observer = Some(Arc::<TransferProgress>::clone(progress));
    stop.clone_from(cancellation);
    options
}

fn report(
    args: &Pull,
    reference: &Reference,
    destination: &LayoutName,
    name: Option<&str>,
    pulled: &Report,
) -> Result<(), Failure> {
    let Report {
        manifest,
        platform,
        tally,
        ..
    } = pulled;
    let path = destination.path.to_string_lossy();
    match args.target.connection.output {
        Output::Json => output::json(&json!({
            "reference": reference.to_string(),
            "digest": manifest.digest().to_string(),
            "media_type": manifest.media_type().as_str(),
            "size": manifest.bytes().len(),
            "platform": platform.as_ref().map(ToString::to_string),
            "destination": path,
            "name": name,
            "blobs_moved": tally.moved,
            "blobs_present": tally.present,
            "blobs_replaced": tally.replaced,
            "bytes_moved": tally.bytes,
        })),
        Output::Text => {
            let name = name.map_or_else(String::new, |name| format!(":{name}"));
            let size = output::size(tally.bytes);
            output::note(&format!(
                "pulled {reference} into {path}{name}: {}, {size} moved, {} there already",
                output::items(tally.moved),
                tally.present
            ));
            output::text(manifest.digest().as_str())
        }
    }
}
