//! `longshore referrers REF`

use longshore::model::{Digest, MediaType, Reference};
use longshore::origin::Escaped;
use longshore_copy::{REFERRERS_DEPTH_LIMIT, Referrer, ReferrersSource, resolve};
use serde::Serialize;

use crate::args::{Output, Referrers};
use crate::connect;
use crate::exit::Failure;
use crate::output;
use crate::referrer;
use crate::stream::Stream;

pub(crate) async fn run(args: Referrers) -> Result<(), Failure> {
    let (reference, repository) = connect::repository(&args.reference, &args.connection).await?;
    let subject = resolve(&repository, &reference.target()).await?;
    let levels = if args.tree { REFERRERS_DEPTH_LIMIT } else { 1 };
    let wanted = args.artifact_type.as_ref();
    let found = longshore_copy::Referrers::read(&repository, &subject, wanted, levels).await?;
    if found.source == ReferrersSource::Nothing {
        output::note(referrer::NOTHING);
    }
    let referrers = &found.referrers;
    match args.connection.output {
        Output::Json => output::json(&Shown {
            reference: &reference,
            digest: &subject,
            referrers_from: referrer::source_name(found.source),
            referrers: referrer::Shown::all(referrers, args.tree),
        }),
        Output::Text => {
            let mut stream = Stream::default();
            if args.tree {
                stream.text(&format!("{subject}\n"))?;
            }
            for referrer in referrers {
                print(referrer, usize::from(args.tree), &mut stream)?;
            }
            stream.flush_all()
        }
    }
}

/// The fields of JSON.
#[derive(Serialize)]
struct Shown<'a> {
    reference: &'a Reference,
    digest: &'a Digest,
    referrers_from: Option<&'static str>,
    referrers: Vec<referrer::Shown<'a>>,
}

/// Prints the line of a referrer and those of its own referrers.
fn print(found: &Referrer, level: usize, stream: &mut Stream) -> Result<(), Failure> {
    let descriptor = &found.descriptor;
    let artifact_type = descriptor.artifact_type.as_ref();
    let artifact_type = artifact_type.unwrap_or(&descriptor.media_type);
    stream.text(&format!(
        "{:indent$}{} {} {}\n",
        "",
        descriptor.digest,
        Escaped::text(MediaType::as_str(artifact_type)),
        output::size(descriptor.size),
        indent = level * INDENT
    ))?;
    let mut below = found.referrers.iter();
    below.try_for_each(|below| print(below, level + 1, stream))
}

/// How many spaces each level of a tree is indented by.
const INDENT: usize = 2;
