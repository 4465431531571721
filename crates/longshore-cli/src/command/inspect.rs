//! `longshore inspect REF`

use std::collections::BTreeMap;

use longshore::model::{Digest, Document, Manifest, Reference, annotation};
use longshore::origin::Escaped;
use longshore_copy::select_platform;

use self::attached::Attached;
use self::content::Content;
use self::problems::Problems;
use crate::args::{Output, Target};
use crate::connect;
use crate::exit::Failure;
use crate::output;

mod attached;
mod content;
mod json;
mod problems;
mod text;

/// What is shown of an image or artifact.
struct Summary {
    reference: Reference,
    manifest: Manifest,
    /// The index that the manifest was chosen from.
    index: Option<Digest>,
    content: Content,
    attached: Attached,
    problems: Problems,
}

/// Reads the manifest, then concurrently its content and its referrers and signatures. A part that
/// cannot be read does not hide the rest.
pub(crate) async fn run(args: Target) -> Result<(), Failure> {
    let (reference, repository) = connect::repository(&args.reference, &args.connection).await?;
    let first = repository.manifest(&reference.target()).await?.manifest;
    let (manifest, index) = match (&args.platform, first.document()) {
        (Some(wanted), Document::Index(_)) => {
            let index = first.digest().clone();
            let chosen = select_platform(&repository, first, wanted).await?;
            (chosen, Some(index))
        }
        _ => (first, None),
    };
    // The platform of an image from an index is known already.
    let wanted = args.platform.as_ref().filter(|_| index.is_none());
    let (content, (attached, more_problems)) = tokio::join!(
        Content::read(&repository, manifest.document(), wanted),
        Attached::read(&repository, manifest.digest()),
    );
    let (content, mut problems) = content?;
    problems.extend(more_problems);
    let summary = Summary {
        reference,
        manifest,
        index,
        content,
        attached,
        problems,
    };
    match args.connection.output {
        Output::Json => output::json(&summary.json())?,
        Output::Text => {
            output::text(&summary.text())?;
            for problem in summary.problems.notes() {
                output::note(&format!("note: {}", Escaped::text(problem)));
            }
        }
    }
    summary.problems.into_result()
}

impl Summary {
    /// Returns when the image was created, by its config or by its annotation.
    fn created(&self) -> Option<&str> {
        let config = self.content.config();
        let annotation = annotations(self.manifest.document()).get(annotation::CREATED);
        config
            .and_then(|config| config.created.as_deref())
            .or_else(|| annotation.map(String::as_str))
    }
}

/// Returns the annotations of a document.
fn annotations(document: &Document) -> &BTreeMap<String, String> {
    match document {
        Document::Image(image) => &image.annotations,
        Document::Index(index) => &index.annotations,
        _ => const { &BTreeMap::new() },
    }
}
