//! `longshore blob put REPO FILE`

use longshore::model::{Algorithm, Digest, Reference};
use longshore::{PushOptions, Repository, UploadOutcome};
use serde::Serialize;

use crate::args::{BlobPut, Output};
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::input::Input;
use crate::output;

pub(crate) async fn put(args: BlobPut) -> Result<(), Failure> {
    let (reference, expected) = destination(&args)?;
    let input = Input::new(&args.file, &args.connection)?;
    let client = connect::client(&args.connection, &[reference.registry()])?;
    let repository = client.repository(&reference).await?;
    let pushed = match args.dry_run {
        true => look(&repository, &input, expected).await?,
        false => send(&repository, &input, expected, args.chunk_size).await?,
    };
    let name = format!("{}/{}", reference.registry(), repository.name());
    match args.connection.output {
        Output::Json => output::json(&Shown {
            repository: name,
            digest: pushed.digest,
            size: pushed.size,
            outcome: pushed.outcome,
            dry_run: args.dry_run,
        }),
        Output::Text => {
            match pushed.outcome {
                Outcome::Absent => output::note(&format!("{name} does not have this blob yet")),
                Outcome::Existing => output::note(&format!("{name} has this blob already")),
                Outcome::Sent => {}
            }
            output::text(pushed.digest.as_str())
        }
    }
}

/// Parses the repository and the digest that the content must have.
fn destination(args: &BlobPut) -> Result<(Reference, Option<Digest>), Failure> {
    let text = &args.repository;
    let (reference, tag) = connect::reference_and_tag(text)?;
    if tag.is_some() {
        let what = format!("\"{text}\" has a tag, but a blob has no tag");
        return Err(Failure::new(Exit::Reference, &what).hint("give [REGISTRY/]NAME"));
    }
    match (reference.digest(), args.digest.clone()) {
        (Some(one), Some(other)) if one != other => {
            let what = format!("\"{text}\" has another digest than --digest {other}");
            Err(Failure::new(Exit::Usage, &what).hint("give one of the two"))
        }
        (one, other) => Ok((reference, one.or(other))),
    }
}

/// A blob that was pushed, or would be pushed without --dry-run.
struct Pushed {
    digest: Digest,
    size: u64,
    outcome: Outcome,
}

/// Hashes the content, and asks the registry whether it has the blob.
async fn look(
    repository: &Repository,
    input: &Input,
    expected: Option<Digest>,
) -> Result<Pushed, Failure> {
    let algorithm = expected.as_ref().map(Digest::algorithm);
    let (digest, size) = input.hash(algorithm.unwrap_or(Algorithm::Sha256)).await?;
    if let Some(expected) = expected.filter(|expected| *expected != digest) {
        let what = format!("{} has the digest {digest}, not {expected}", input.name());
        return Err(Failure::new(Exit::Digest, &what).hint("check the file and the digest"));
    }
    let outcome = match repository.blob_head(&digest).await? {
        Some(head) if head.may_have(size) => Outcome::Existing,
        _ => Outcome::Absent,
    };
    Ok(Pushed {
        digest,
        size,
        outcome,
    })
}

async fn send(
    repository: &Repository,
    input: &Input,
    expected: Option<Digest>,
    chunk: Option<u64>,
) -> Result<Pushed, Failure> {
    let opened = input.open().await?;
    let mut options = PushOptions::default();
    // The registry can be asked for the blob only if the digest is known.
    options.check = expected.is_some();
    options.digest = expected;
    options.chunk = chunk;
    let pushed = repository.put_blob(&*opened.content, options).await?;
    Ok(Pushed {
        digest: pushed.digest,
        size: opened.size(),
        outcome: match pushed.outcome {
            UploadOutcome::Sent => Outcome::Sent,
            _ => Outcome::Existing,
        },
    })
}

/// The fields of JSON.
#[derive(Serialize)]
struct Shown {
    repository: String,
    digest: Digest,
    size: u64,
    outcome: Outcome,
    dry_run: bool,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// The registry does not have the blob: only in a dry run.
    Absent,
    /// The registry had the blob.
    Existing,
    Sent,
}
