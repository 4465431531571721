//! `longshore manifest get REF`

use longshore_copy::select_platform;
use serde_json::json;

use crate::args::{Output, Target};
use crate::connect;
use crate::exit::Failure;
use crate::output;

/// Prints the exact bytes, or the document together with what is known about it.
pub(crate) async fn get(args: Target) -> Result<(), Failure> {
    let (reference, repository) = connect::repository(&args.reference, &args.connection).await?;
    let mut manifest = repository.manifest(&reference.target()).await?.manifest;
    if let Some(platform) = &args.platform {
        manifest = select_platform(&repository, manifest, platform).await?;
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
