//! `longshore digest REF`

use serde_json::json;

use super::{choose, reference, resolve};
use crate::args::{Digest, Output};
use crate::connect;
use crate::exit::Failure;
use crate::output;

pub(crate) async fn run(args: Digest) -> Result<(), Failure> {
    let reference = reference(&args.reference)?;
    let client = connect::client(&args.connection, reference.registry())?;
    let repository = client.repository(&reference).await?;
    let target = reference.target();
    let digest = match &args.platform {
        None => resolve(&repository, &target).await?,
        Some(platform) => {
            let manifest = repository.manifest(&target).await?.manifest;
            choose(&repository, manifest, platform)
                .await?
                .digest()
                .clone()
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
