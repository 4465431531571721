//! `longshore delete REF…` and `longshore blob delete REF…`

use longshore::model::{Digest, Reference, Tag};
use longshore::{Client, Error, ErrorKind, Repository};
use serde::Serialize;

use crate::args::{Connection, Delete, Output};
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output;

/// Deletes tags and manifests.
pub(crate) async fn run(args: Delete) -> Result<(), Failure> {
    delete(args, Target::named).await
}

/// Deletes blobs.
pub(crate) async fn blobs(args: Delete) -> Result<(), Failure> {
    delete(args, Target::blob).await
}

/// Tries each reference even if another fails. Nothing is sent if one of them is malformed.
async fn delete(args: Delete, parse: fn(&str) -> Result<Target, Failure>) -> Result<(), Failure> {
    let targets: Result<Vec<_>, _> = args.references.iter().map(|text| parse(text)).collect();
    let targets = targets?;
    let registries: Vec<_> = targets.iter().map(Target::registry).collect();
    let client = connect::client(&args.connection, &registries)?;
    let (mut results, mut failures) = (Vec::new(), Vec::new());
    for target in targets {
        let result = target.delete(&client, args.dry_run).await;
        if result.is_ok() {
            shown(&args.connection, &target)?;
        }
        results.push(Shown::new(target, &result, args.dry_run));
        failures.extend(result.err());
    }
    match args.connection.output {
        Output::Json => output::json(&Report {
            dry_run: args.dry_run,
            results,
        })?,
        Output::Text if args.dry_run => output::note("nothing was deleted, because of --dry-run"),
        Output::Text => {}
    }
    Failure::all(failures)
}

fn shown(connection: &Connection, target: &Target) -> Result<(), Failure> {
    match connection.output {
        Output::Json => Ok(()),
        Output::Text => output::text(target.reference.as_str()),
    }
}

/// Something to delete.
struct Target {
    reference: Reference,
    content: Content,
}

enum Content {
    Blob(Digest),
    Manifest(Digest),
    /// A tag, and the digest that it must stand for, if one was given.
    Tag(Tag, Option<Digest>),
}

impl Target {
    /// Parses the name of a tag or manifest. A tag must be written: none is assumed.
    fn named(text: &str) -> Result<Self, Failure> {
        let (reference, tag) = connect::reference_and_tag(text)?;
        let content = match (tag, reference.digest()) {
            (Some(tag), digest) => Content::Tag(tag, digest),
            (None, Some(digest)) => Content::Manifest(digest),
            (None, None) => {
                let what = format!("\"{text}\" does not say which tag or digest to delete");
                let hint = format!("give {text}:TAG or {text}@DIGEST");
                return Err(Failure::new(Exit::Usage, &what).hint(&hint));
            }
        };
        Ok(Self { reference, content })
    }

    fn blob(text: &str) -> Result<Self, Failure> {
        let (reference, digest) = connect::blob_reference(text)?;
        let content = Content::Blob(digest);
        Ok(Self { reference, content })
    }

    fn registry(&self) -> &str {
        self.reference.registry()
    }

    /// Deletes the target, unless this is a dry run; fails if it does not exist. Returns the digest
    /// if the registry was asked for it.
    async fn delete(&self, client: &Client, dry_run: bool) -> Result<Option<Digest>, Failure> {
        let repository = client.repository(&self.reference).await?;
        let found = self.check(&repository, dry_run).await?;
        if dry_run {
            return Ok(found);
        }
        let deleted = match &self.content {
            Content::Blob(digest) => repository.delete_blob(digest).await,
            Content::Manifest(digest) => repository.delete_manifest(digest).await,
            Content::Tag(tag, _) => repository.delete_tag(tag).await,
        };
        match deleted {
            Ok(true) => Ok(found),
            Ok(false) => Err(self.absent()),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Checks whether the target exists, if this must be known. A tag with a digest must stand for
    /// it.
    async fn check(
        &self,
        repository: &Repository,
        dry_run: bool,
    ) -> Result<Option<Digest>, Failure> {
        let (target, expected) = match &self.content {
            Content::Tag(tag, Some(digest)) => (tag.clone().into(), Some(digest)),
            Content::Blob(digest) if dry_run => {
                let head = repository.blob_head(digest).await?;
                return head.map(|_| None).ok_or_else(|| self.absent());
            }
            Content::Manifest(digest) if dry_run => (digest.clone().into(), None),
            Content::Tag(tag, None) if dry_run => (tag.clone().into(), None),
            _ => return Ok(None),
        };
        let head = repository.manifest_head(&target).await?;
        let found = head.ok_or_else(|| self.absent())?.digest;
        match (expected, found) {
            (Some(expected), found) if found.as_ref() != Some(expected) => {
                Err(self.moved(found.as_ref()))
            }
            (_, found) => Ok(found),
        }
    }

    fn absent(&self) -> Failure {
        let what = format!("{} does not exist", self.reference);
        Failure::new(Exit::NotFound, &what).hint("check the name, the tag and the registry")
    }

    /// Makes the failure for a tag that stands for another digest than required.
    fn moved(&self, found: Option<&Digest>) -> Failure {
        let found = found.map_or("no digest that can be verified", Digest::as_str);
        let what = format!(
            "{} was not deleted: the tag stands for {found}",
            self.reference
        );
        Failure::new(Exit::Digest, &what).hint("the tag was moved; check what it stands for now")
    }

    fn refused(&self, error: Error) -> Failure {
        let is_unsupported = error.kind() == ErrorKind::Unsupported;
        match &self.content {
            Content::Tag(tag, _) if is_unsupported => {
                let what = format!("{} does not delete tags", self.registry());
                let tagged = self.reference.with_tag(tag);
                let name = tagged.familiar();
                let repository = name.strip_suffix(&format!(":{tag}")).unwrap_or(name);
                let hint = format!(
                    "`longshore delete {repository}@$(longshore digest {name})` deletes the \
                     manifest with all of its tags"
                );
                Failure::caused(Exit::Unsupported, what, &error).hint(&hint)
            }
            _ if is_unsupported => Failure::from(error).hint(
                "its operator may have disabled deletion; docker-registry deletes only with \
                 REGISTRY_STORAGE_DELETE_ENABLED=true",
            ),
            _ => error.into(),
        }
    }
}

/// The fields of JSON.
#[derive(Serialize)]
struct Report {
    dry_run: bool,
    results: Vec<Shown>,
}

#[derive(Serialize)]
struct Shown {
    reference: Reference,
    digest: Option<Digest>,
    deleted: bool,
    error: Option<String>,
}

impl Shown {
    fn new(target: Target, result: &Result<Option<Digest>, Failure>, dry_run: bool) -> Self {
        let digest = match (&target.content, result) {
            (Content::Blob(digest) | Content::Manifest(digest), _) => Some(digest.clone()),
            (Content::Tag(..), Ok(digest)) => digest.clone(),
            (Content::Tag(..), Err(_)) => None,
        };
        Self {
            reference: target.reference,
            digest,
            deleted: result.is_ok() && !dry_run,
            error: result.as_ref().err().map(Failure::summary),
        }
    }
}
