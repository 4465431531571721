//! `longshore tag REF TAG…`

use std::collections::HashSet;

use longshore::Repository;
use longshore::model::{Digest, Manifest, Reference, Tag as TagName, TagOrDigest};
use serde::Serialize;

use crate::args::{Output, Tag};
use crate::connect;
use crate::current;
use crate::exit::{Exit, Failure};
use crate::output;

/// Puts the manifest under each tag. It is read once; each tag is tried even if another fails.
pub(crate) async fn run(args: Tag) -> Result<(), Failure> {
    let reference = connect::reference(&args.reference)?;
    let tags: Vec<_> = args.tags.iter().map(|text| tag(text, &reference)).collect();
    let mut tags = tags.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut seen = HashSet::new();
    tags.retain(|tag| seen.insert(tag.clone()));
    let client = connect::client(&args.connection, &[reference.registry()])?;
    let repository = client.repository(&reference).await?;
    let manifest = repository.manifest(&reference.target()).await?.manifest;
    let (mut shown, mut failures) = (Vec::new(), Vec::new());
    for tag in tags {
        let result = match args.dry_run {
            true => current::digest(&repository, &tag.clone().into()).await,
            false => put(&repository, &manifest, &tag).await.map(|()| None),
        };
        shown.push(Shown::new(tag, &result));
        failures.extend(result.err());
    }
    report(&args, &reference, &manifest, &shown)?;
    Failure::all(failures)
}

/// Parses a new tag. It may be a whole reference, which must be of the same repository.
fn tag(text: &str, source: &Reference) -> Result<TagName, Failure> {
    if let Ok(tag) = text.parse() {
        return Ok(tag);
    }
    let (reference, tag) = connect::reference_and_tag(text)?;
    let is_same = reference.registry().eq_ignore_ascii_case(source.registry())
        && reference.repository_str() == source.repository_str();
    if !is_same {
        let what = format!("\"{text}\" is not a tag of {}", name(source));
        let hint = format!(
            "a tag is added in the repository of the image; `longshore copy {source} {text}` \
             copies to another one"
        );
        return Err(Failure::new(Exit::Usage, &what).hint(&hint));
    }
    match (tag, reference.digest_str()) {
        (Some(tag), None) => Ok(tag),
        _ => {
            let what = format!("\"{text}\" does not name a new tag");
            Err(Failure::new(Exit::Usage, &what).hint("give TAG, or NAME:TAG without a digest"))
        }
    }
}

fn name(reference: &Reference) -> String {
    format!("{}/{}", reference.registry(), reference.repository_str())
}

async fn put(repository: &Repository, manifest: &Manifest, tag: &TagName) -> Result<(), Failure> {
    let target = TagOrDigest::Tag(tag.clone());
    let bytes = manifest.bytes().clone();
    repository
        .put_manifest(&target, manifest.media_type(), bytes)
        .await?;
    Ok(())
}

fn report(
    args: &Tag,
    reference: &Reference,
    manifest: &Manifest,
    tags: &[Shown],
) -> Result<(), Failure> {
    if args.connection.output == Output::Json {
        return output::json(&Report {
            reference: reference.as_str(),
            digest: manifest.digest(),
            media_type: manifest.media_type().as_str(),
            size: manifest.bytes().len(),
            dry_run: args.dry_run,
            tags,
        });
    }
    for tag in tags.iter().filter(|tag| tag.error.is_none()) {
        let tagged = reference.with_tag(&tag.tag);
        output::note(&match args.dry_run {
            true => current::change(&tagged, manifest.digest(), tag.previous.as_ref()),
            false => format!("tagged {tagged}"),
        });
    }
    match tags.iter().any(|tag| tag.error.is_none()) {
        true => output::text(manifest.digest().as_str()),
        false => Ok(()),
    }
}

/// The fields of JSON.
#[derive(Serialize)]
struct Report<'a> {
    reference: &'a str,
    digest: &'a Digest,
    media_type: &'a str,
    size: usize,
    dry_run: bool,
    tags: &'a [Shown],
}

#[derive(Serialize)]
struct Shown {
    tag: TagName,
    /// The digest that the tag stands for now; only in a dry run.
    previous: Option<Digest>,
    error: Option<String>,
}

impl Shown {
    fn new(tag: TagName, result: &Result<Option<Digest>, Failure>) -> Self {
        let (previous, error) = match result {
            Ok(previous) => (previous.clone(), None),
            Err(failure) => (None, Some(failure.summary())),
        };
        Self {
            tag,
            previous,
            error,
        }
    }
}
