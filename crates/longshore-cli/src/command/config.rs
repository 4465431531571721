//! `longshore config REF`

use longshore::model::{
    Descriptor, Digest, Document, ImageConfig, ImageManifest, Manifest, MediaType, Reference,
};
use longshore::origin::Escaped;
use longshore_copy::{check_config_platform, fetch_config, host_platform, select_platform};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::args::{Output, Target};
use crate::config;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::stream;

/// Prints the exact bytes, or the document together with what is known about it.
pub(crate) async fn run(args: Target) -> Result<(), Failure> {
    let (reference, repository) = connect::repository(&args.reference, &args.connection).await?;
    let first = repository.manifest(&reference.target()).await?.manifest;
    let is_in_no_index = first.document().as_image().is_some();
    let wanted = args.platform.clone().unwrap_or_else(host_platform);
    let manifest = select_platform(&repository, first, &wanted).await?;
    let descriptor = &image_of(&manifest)?.config;
    let bytes = fetch_config(&repository, descriptor).await?;
    if let (Some(wanted), true) = (&args.platform, is_in_no_index) {
        check_config_platform(&parse(descriptor, &bytes)?, wanted)?;
    }
    match args.connection.output {
        Output::Text => output::document(&bytes),
        Output::Json => {
            let config = parse(descriptor, &bytes)?;
            let platform = config::platform(&config).map(|it| it.to_string());
            // The parsed config is freed before the document is printed: both can be large (LI2).
            drop(config);
            output::json(&Shown {
                reference: &reference,
                digest: &descriptor.digest,
                media_type: &descriptor.media_type,
                size: bytes.len(),
                manifest: manifest.digest(),
                platform: platform.as_deref(),
                document: stream::embedded(&bytes),
            })
        }
    }
}

/// The fields of JSON.
#[derive(Serialize)]
struct Shown<'a> {
    reference: &'a Reference,
    digest: &'a Digest,
    media_type: &'a MediaType,
    size: usize,
    manifest: &'a Digest,
    platform: Option<&'a str>,
    document: Box<RawValue>,
}

/// Returns the manifest if its config is an image config.
fn image_of(manifest: &Manifest) -> Result<&ImageManifest, Failure> {
    let Document::Image(image) = manifest.document() else {
        return Err(Failure::new(
            Exit::Protocol,
            "this is not an image manifest",
        ));
    };
    let Descriptor {
        media_type, digest, ..
    } = &image.config;
    if media_type.is_config() {
        return Ok(image);
    }
    let kind = Escaped::text(media_type.as_str());
    let what = format!("this is an artifact: its config is {kind}, not an image config");
    let hint = format!("`longshore blob get NAME@{digest}` prints it whatever it is");
    Err(Failure::new(Exit::Other, &what).hint(&hint))
}

fn parse(descriptor: &Descriptor, bytes: &[u8]) -> Result<ImageConfig, Failure> {
    ImageConfig::parse(bytes).map_err(|error| {
        let what = format!("{} is not an image config", descriptor.digest);
        Failure::caused(Exit::Protocol, what, &error)
    })
}
