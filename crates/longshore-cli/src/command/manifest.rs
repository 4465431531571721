//! `longshore manifest get REF` and `longshore manifest put REF FILE`

use longshore::model::{Digest, MediaType, Reference};
use longshore_copy::select_platform;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::args::{Output, Target};
use crate::connect;
use crate::exit::Failure;
use crate::output;
use crate::stream;

pub(crate) use self::put::put;

mod put;

/// Prints the exact bytes, or the document together with what is known about it.
pub(crate) async fn get(args: Target) -> Result<(), Failure> {
    let (reference, repository) = connect::repository(&args.reference, &args.connection).await?;
    let mut manifest = repository.manifest(&reference.target()).await?.manifest;
    if let Some(platform) = &args.platform {
        manifest = select_platform(&repository, manifest, platform).await?;
    }
    match args.connection.output {
        Output::Text => output::document(manifest.bytes()),
        Output::Json => output::json(&Shown {
            reference: &reference,
            digest: manifest.digest(),
            media_type: manifest.media_type(),
            size: manifest.bytes().len(),
            document: stream::embedded(manifest.bytes()),
        }),
    }
}

/// The fields of JSON.
#[derive(Serialize)]
struct Shown<'a> {
    reference: &'a Reference,
    digest: &'a Digest,
    media_type: &'a MediaType,
    size: usize,
    document: Box<RawValue>,
}
