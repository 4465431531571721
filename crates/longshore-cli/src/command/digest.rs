//! `longshore digest REF`

use longshore_copy::{resolve, select_platform};
use serde_json::json;

use crate::args::{Output, Target};
use crate::connect;
use crate::exit::Failure;
use crate::output;

pub(crate) async fn run(args: Target) -> Result<(), Failure> {
    let (reference, repository) = connect::repository(&args.reference, &args.connection).await?;
    let target = reference.target();
    let digest = match &args.platform {
        None => resolve(&repository, &target).await?,
        Some(platform) => {
            let manifest = repository.manifest(&target).await?.manifest;
            let manifest = select_platform(&repository, manifest, platform).await?;
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
