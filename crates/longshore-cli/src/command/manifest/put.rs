//! `longshore manifest put REF FILE`

use longshore::PushedManifest;
use longshore::model::{
    Algorithm, Digest, MANIFEST_LIMIT_BYTES, Manifest, MediaType, Reference, TagOrDigest,
};
use serde::{Deserialize, Serialize};

use crate::args::{ManifestPut, Output};
use crate::connect;
use crate::current;
use crate::exit::{Exit, Failure};
use crate::input::Input;
use crate::output;

/// Checks the manifest, and puts it into the repository. Nothing is sent if the check fails.
pub(crate) async fn put(args: ManifestPut) -> Result<(), Failure> {
    let (reference, tag) = connect::reference_and_tag(&args.reference)?;
    let input = Input::new(&args.file, &args.connection)?;
    let bytes = input.read(MANIFEST_LIMIT_BYTES).await?;
    let digest = digest(&bytes, &reference, &input)?;
    let checked = Checked::new(&bytes, args.media_type.as_ref(), &input)?;
    let target = tag.map_or_else(|| digest.clone().into(), TagOrDigest::Tag);
    let client = connect::client(&args.connection, &[reference.registry()])?;
    let repository = client.repository(&reference).await?;
    let mut shown = Shown {
        reference: match &target {
            TagOrDigest::Tag(tag) => reference.with_tag(tag),
            TagOrDigest::Digest(digest) => digest_only(&reference, digest)?,
        },
        digest,
        media_type: checked.media_type,
        size: bytes.len(),
        subject: checked.subject,
        subject_listed: None,
        previous: None,
        dry_run: args.dry_run,
    };
    if args.dry_run {
        shown.previous = current::digest(&repository, &target).await?;
    } else {
        let pushed = repository
            .put_manifest(&target, &shown.media_type, bytes.into())
            .await?;
        shown.subject_listed = shown.is_listed(&pushed);
    }
    report(&shown, args.connection.output)
}

/// Returns the digest of the manifest, which must be the one in the reference.
fn digest(bytes: &[u8], reference: &Reference, input: &Input) -> Result<Digest, Failure> {
    let expected = reference.digest();
    let algorithm = expected.as_ref().map(Digest::algorithm);
    let algorithm = algorithm.unwrap_or(Algorithm::Sha256);
    let found = Digest::of(&algorithm, bytes).map_err(|error| {
        let what = format!("the digest of {} cannot be computed", input.name());
        Failure::caused(Exit::Unsupported, what, &error)
    })?;
    match expected {
        Some(expected) if expected != found => {
            let what = format!("{} has the digest {found}, not {expected}", input.name());
            Err(Failure::new(Exit::Digest, &what).hint("check the file and the digest"))
        }
        _ => Ok(found),
    }
}

/// Returns the reference of a manifest without a tag.
fn digest_only(reference: &Reference, digest: &Digest) -> Result<Reference, Failure> {
    let (registry, name) = (reference.registry(), reference.repository_str());
    connect::reference(&format!("{registry}/{name}@{digest}"))
}

/// What was found out about a manifest.
struct Checked {
    media_type: MediaType,
    subject: Option<Digest>,
}

/// The fields that documents of unknown types may have in common with manifests.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Common {
    media_type: Option<MediaType>,
}

impl Checked {
    /// Checks the document. A document of an unknown type must be a JSON object.
    fn new(bytes: &[u8], given: Option<&MediaType>, input: &Input) -> Result<Self, Failure> {
        let malformed = |error: &dyn std::error::Error| {
            let what = format!("{} is not a manifest", input.name());
            let hint = "nothing was sent; correct the document";
            Failure::caused(Exit::Other, what, error).hint(hint)
        };
        let common: Common = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
        let stated = common.media_type;
        if let (Some(given), Some(stated)) = (given, &stated)
            && given != stated
        {
            let what = format!(
                "{} states the media type {stated}, not {given}",
                input.name()
            );
            return Err(Failure::new(Exit::Usage, &what).hint("omit --media-type"));
        }
        match given.or(stated.as_ref()) {
            Some(other) if !other.is_manifest() => Ok(Self {
                media_type: other.clone(),
                subject: None,
            }),
            _ => {
                let given = given.map(MediaType::as_str);
                let manifest = Manifest::parse(bytes.to_vec().into(), given);
                let manifest = manifest.map_err(|error| malformed(&error))?;
                let subject = manifest.document().subject();
                Ok(Self {
                    media_type: manifest.media_type().clone(),
                    subject: subject.map(|subject| subject.digest.clone()),
                })
            }
        }
    }
}

fn report(shown: &Shown, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return output::json(shown);
    }
    let Shown { reference, .. } = shown;
    if shown.dry_run {
        let previous = shown.previous.as_ref();
        output::note(&current::change(reference, &shown.digest, previous));
    }
    if let (Some(subject), Some(false)) = (&shown.subject, shown.subject_listed) {
        output::note(&format!(
            "warning: {} did not say that it lists this manifest as a referrer of {subject}; other \
             programs may not find it",
            reference.registry()
        ));
    }
    output::text(shown.digest.as_str())
}

/// The fields of JSON.
#[derive(Serialize)]
struct Shown {
    reference: Reference,
    digest: Digest,
    media_type: MediaType,
    size: usize,
    subject: Option<Digest>,
    /// Whether the registry lists the manifest as a referrer of its subject.
    subject_listed: Option<bool>,
    /// The digest that the reference stands for now; only in a dry run.
    previous: Option<Digest>,
    dry_run: bool,
}

impl Shown {
    fn is_listed(&self, pushed: &PushedManifest) -> Option<bool> {
        let subject = self.subject.as_ref()?;
        Some(pushed.subject.as_ref() == Some(subject))
    }
}
