//! `longshore config REF`

use bytes::Bytes;
use longshore::Repository;
use longshore::model::{
    CONFIG_LIMIT_BYTES, Descriptor, Document, ImageConfig, ImageManifest, Manifest, Platform,
};
use longshore::origin::Escaped;
use serde_json::json;

use super::{choose, pull, reference};
use crate::args::{Config, Output};
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output;

/// Prints the exact bytes, or what is known about them together with the document.
pub(crate) async fn run(args: Config) -> Result<(), Failure> {
    let reference = reference(&args.reference)?;
    let client = connect::client(&args.connection, reference.registry())?;
    let repository = client.repository(&reference).await?;
    let first = repository.manifest(&reference.target()).await?.manifest;
    let alone = first.document().as_image().is_some();
    let wanted = args.platform.clone().unwrap_or_else(pull::host);
    let manifest = choose(&repository, first, &wanted).await?;
    let image = image_of(&manifest)?;
    let descriptor = &image.config;
    let bytes = fetch(&repository, descriptor).await?;
    if let (Some(wanted), true) = (&args.platform, alone) {
        check_platform(&parse(descriptor, &bytes)?, wanted)?;
    }
    match args.connection.output {
        Output::Text => output::document(&bytes),
        Output::Json => {
            let config = parse(descriptor, &bytes)?;
            let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
            output::json(&json!({
                "reference": reference.to_string(),
                "digest": descriptor.digest.to_string(),
                "media_type": descriptor.media_type.as_str(),
                "size": bytes.len(),
                "manifest": manifest.digest().to_string(),
                "platform": platform(&config).map(|it| it.to_string()),
                "document": document,
            }))
        }
    }
}

/// The manifest, if its config is that of an image.
fn image_of(manifest: &Manifest) -> Result<&ImageManifest, Failure> {
    let Document::Image(image) = manifest.document() else {
        return Err(Failure::nested());
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

/// Fetches a config, verified and at most so large as a document may be (DG3, LI1); one that is
/// embedded in its descriptor need not be asked for.
pub(super) async fn fetch(
    repository: &Repository,
    descriptor: &Descriptor,
) -> Result<Bytes, Failure> {
    // What is embedded and wrong says nothing about what the registry holds.
    if let Ok(Some(bytes)) = descriptor.embedded() {
        return Ok(bytes);
    }
    let reader = repository.blob(&descriptor.digest, Some(descriptor.size))?;
    Ok(reader.bytes(CONFIG_LIMIT_BYTES as u64).await?)
}

/// Reads an image config.
pub(super) fn parse(descriptor: &Descriptor, bytes: &[u8]) -> Result<ImageConfig, Failure> {
    ImageConfig::parse(bytes).map_err(|error| {
        let what = format!("{} is not an image config", descriptor.digest);
        Failure::caused(Exit::Protocol, what, &error)
    })
}

/// What an image runs on; a config that stands for none, as of a signature, says nothing of it.
pub(super) fn platform(config: &ImageConfig) -> Option<Platform> {
    let platform = config.platform();
    let is_empty = platform.os.is_empty() && platform.architecture.is_empty();
    (!is_empty).then_some(platform)
}

/// Of a manifest that stands in no index, only the config tells the platform.
pub(super) fn check_platform(config: &ImageConfig, wanted: &Platform) -> Result<(), Failure> {
    let found = config.platform();
    match wanted.fits(&found) {
        Some(_) => Ok(()),
        None => Err(Failure::platform(wanted, &[found])),
    }
}
