//! `longshore digest REF`

use longshore::model::Reference;
use serde_json::json;

use super::choose;
use crate::args::{Digest, Output};
use crate::connect;
use crate::exit::Failure;
use crate::output;

/// Asks with HEAD, which no registry counts against a pull limit, and falls back to GET where
/// the answer has no digest or an index is to be followed.
pub(crate) async fn run(args: Digest) -> Result<(), Failure> {
    let reference = Reference::parse(&args.reference)?;
    let client = connect::client(&args.connection, reference.registry())?;
    let repository = client.repository(&reference).await?;
    let target = reference.target();
    let told = match &args.platform {
        None => repository
            .manifest_head(&target)
            .await?
            .and_then(|head| head.digest),
        Some(_) => None,
    };
    let digest = match (told, &args.platform) {
        (Some(digest), _) => digest,
        (None, platform) => {
            let manifest = repository.manifest(&target).await?.manifest;
            let manifest = match platform {
                Some(platform) => choose(&repository, manifest, platform).await?,
                None => manifest,
            };
            manifest.digest().clone()
        }
    };
    match args.connection.output {
        Output::Json => output::json(&json!({
            "reference": reference.to_string(),
            "digest": digest.to_string(),
        })),
        Output::Text => output::text(digest.as_str()),
    }
}
