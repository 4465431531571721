//! `longshore blob get REF` and `longshore blob head REF`

use std::io::{self, Write as _};
use std::path::Path;

use longshore::model::Digest;
use longshore::{BlobReader, CopyError, Repository};
use serde_json::json;
use tempfile::NamedTempFile;

use crate::args::{BlobGet, BlobHead, Connection, Output};
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output;

pub(crate) async fn get(args: BlobGet) -> Result<(), Failure> {
    let (repository, digest) = open(&args.reference, &args.connection).await?;
    let reader = repository.blob(&digest, None)?;
    match &args.file {
        Some(path) => {
            let size = to_file(reader, path).await?;
            report(&args, &digest, path, size)
        }
        None => to_stdout(reader).await,
    }
}

fn report(args: &BlobGet, digest: &Digest, path: &Path, size: u64) -> Result<(), Failure> {
    match args.connection.output {
        Output::Json => output::json(&json!({
            "digest": digest.to_string(),
            "size": size,
            "file": path.to_string_lossy(),
        })),
        Output::Text => Ok(()),
    }
}

pub(crate) async fn head(args: BlobHead) -> Result<(), Failure> {
    let (repository, digest) = open(&args.reference, &args.connection).await?;
    let Some(head) = repository.blob_head(&digest).await? else {
        let what = format!("{} does not have blob {digest}", repository.name());
        let hint = "check the digest, and that the blob is in this repository";
        return Err(Failure::new(Exit::NotFound, &what).hint(hint));
    };
    match (args.connection.output, head.size) {
        (Output::Json, size) => {
            output::json(&json!({ "digest": digest.to_string(), "size": size }))
        }
        (Output::Text, Some(size)) => output::text(&size.to_string()),
        (Output::Text, None) => Err(Failure::new(
            Exit::Protocol,
            "the registry does not say how large the blob is",
        )),
    }
}

async fn open(text: &str, connection: &Connection) -> Result<(Repository, Digest), Failure> {
    let reference = connect::reference(text)?;
    let Some(digest) = reference.digest() else {
        let hint = "name the blob as [REGISTRY/]NAME@DIGEST";
        return Err(Failure::new(Exit::Reference, "the reference has no digest").hint(hint));
    };
    let client = connect::client(connection, reference.registry())?;
    Ok((client.repository(&reference).await?, digest))
}

async fn to_stdout(reader: BlobReader) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let copied = reader.copy_to(&mut stdout).await;
    match copied.and_then(|_| Ok(stdout.flush()?)) {
        Ok(()) => Ok(()),
        // The reader has closed the pipe, which is not a failure.
        Err(CopyError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(CopyError::Write(error)) => Err(Failure::stdout(error)),
        Err(CopyError::Read(error)) => Err(error.into()),
        Err(error) => Err(Failure::new(Exit::Other, &error.to_string())),
    }
}

/// Creates a temporary file in the directory of the final one, readable as the umask allows.
fn temporary(dir: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(dir)
}

/// Writes the blob to a file, which appears only when the blob is complete and verified; returns
/// the length in bytes.
async fn to_file(reader: BlobReader, path: &Path) -> Result<u64, Failure> {
    let failed = |error| Failure::file(path, error);
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut file = temporary(dir).map_err(failed)?;
    let size = match reader.copy_to(file.as_file_mut()).await {
        Ok(size) => size,
        Err(CopyError::Write(error)) => return Err(failed(error)),
        Err(CopyError::Read(error)) => return Err(error.into()),
        Err(error) => return Err(Failure::new(Exit::Other, &error.to_string())),
    };
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(size)
}
