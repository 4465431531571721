//! `longshore referrers REF`

use longshore::model::MediaType;
use longshore::origin::Escaped;
use longshore_copy::{REFERRERS_DEPTH_LIMIT, Referrer, ReferrersSource, resolve};
use serde_json::{Value, json};

use crate::args::{Output, Referrers};
use crate::connect;
use crate::exit::Failure;
use crate::output;
use crate::referrer;

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
        Output::Json => output::json(&json!({
            "reference": reference.to_string(),
            "digest": subject.to_string(),
            "referrers_from": referrer::source_name(found.source),
            "referrers": referrers.iter().map(|it| json(it, args.tree)).collect::<Vec<_>>(),
        })),
        Output::Text => {
            let mut lines = Vec::new();
            if args.tree {
                lines.push(subject.to_string());
            }
            for referrer in referrers {
                add_lines(referrer, usize::from(args.tree), &mut lines);
            }
            if lines.is_empty() {
                Ok(())
            } else {
                output::text(&lines.join("\n"))
            }
        }
    }
}

/// Returns the fields of a referrer, with its own referrers if a tree is shown.
fn json(found: &Referrer, tree: bool) -> Value {
    let mut value = referrer::json(&found.descriptor);
    if let (true, Some(object)) = (tree, value.as_object_mut()) {
        let below = found.referrers.iter().map(|below| json(below, tree));
        object.insert("referrers".to_owned(), below.collect());
    }
    value
}

/// Adds the line of a referrer and those of its own referrers.
fn add_lines(found: &Referrer, level: usize, lines: &mut Vec<String>) {
    let descriptor = &found.descriptor;
    let artifact_type = descriptor.artifact_type.as_ref();
    let artifact_type = artifact_type.unwrap_or(&descriptor.media_type);
    lines.push(format!(
        "{:indent$}{} {} {}",
        "",
        descriptor.digest,
        Escaped::text(MediaType::as_str(artifact_type)),
        output::size(descriptor.size),
        indent = level * INDENT
    ));
    for below in &found.referrers {
        add_lines(below, level + 1, lines);
    }
}

/// How many spaces each level of a tree is indented by.
const INDENT: usize = 2;
