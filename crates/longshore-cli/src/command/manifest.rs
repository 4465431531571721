//! `longshore manifest get REF`

use serde_json::json;

use super::{choose, reference};
use crate::args::{ManifestGet, Output};
use crate::connect;
use crate::exit::Failure;
use crate::output;

/// Prints the exact bytes, or what is known about them together with the document.
pub(crate) async fn get(args: ManifestGet) -> Result<(), Failure> {
    let reference = reference(&args.reference)?;
    let client = connect::client(&args.connection, reference.registry())?;
    let repository = client.repository(&reference).await?;
    let mut manifest = repository.manifest(&reference.target()).await?.manifest;
    if let Some(platform) = &args.platform {
        manifest = choose(&repository, manifest, platform).await?;
    }
    match args.connection.output {
        Output::Text => output::document(manifest.bytes()),
        Output::Json => {
            let document: serde_json::Value =
                serde_json::from_slice(manifest.bytes()).unwrap_or_default();
            output::json(&json!({
                "reference": reference.to_string(),
                "digest": manifest.digest().to_string(),
                "media_type": manifest.media_type().as_str(),
                "size": manifest.bytes().len(),
                "document": document,
            }))
        }
    }
}
