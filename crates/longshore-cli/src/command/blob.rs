//! `longshore blob get REF`, `longshore blob head REF` and `longshore blob put REPO FILE`

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use longshore::model::Digest;
use longshore::{BlobReader, ErrorKind, Repository};
use serde_json::json;

use crate::args::{BlobGet, BlobHead, Connection, Output};
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::file::OutputFile;
use crate::output;

pub(crate) use self::put::put;

mod put;

/// How much of a blob is still read after the reader closed the output, in bytes and in time.
const REST_LIMIT_BYTES: u64 = 64 << 20;
const REST_LIMIT: Duration = Duration::from_secs(5);

pub(crate) async fn get(args: BlobGet) -> Result<(), Failure> {
    let (repository, digest) = open(&args.reference, &args.connection).await?;
    let mut reader = repository.blob(&digest, None)?;
    if let Some(limit) = args.max_size {
        reader = reader.with_limit(limit);
    }
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
    let (reference, digest) = connect::blob_reference(text)?;
    let client = connect::client(connection, &[reference.registry()])?;
    Ok((client.repository(&reference).await?, digest))
}

/// The destination of the bytes of a blob.
struct Sink<'a, W> {
    writer: W,
    /// Makes the failure of a write.
    failed: &'a dyn Fn(io::Error) -> Failure,
}

/// Prints the blob as it arrives.
async fn to_stdout(reader: BlobReader) -> Result<(), Failure> {
    let mut sink = Sink {
        writer: output::stdout(),
        failed: &Failure::stdout,
    };
    copy(reader, &mut sink).await.map(drop)
}

/// Writes the blob to a file, which appears only when the blob is complete and verified; returns
/// the length in bytes. A device or FIFO gets the bytes as they arrive.
async fn to_file(reader: BlobReader, path: &Path) -> Result<u64, Failure> {
    let failed = |error| Failure::file(path, error);
    let target = path.to_owned();
    // Opening a FIFO waits for its reader.
    let opening = tokio::task::spawn_blocking(move || OutputFile::open(&target));
    let mut sink = Sink {
        writer: opening.await.map_err(Failure::task)?.map_err(failed)?,
        failed: &failed,
    };
    let size = copy(reader, &mut sink).await?;
    sink.writer.commit().map_err(failed)?;
    Ok(size)
}

/// Copies all of the blob to `sink`; returns its length in bytes. DG11: success means that all of
/// it was verified and written.
async fn copy<W: Write>(mut reader: BlobReader, sink: &mut Sink<'_, W>) -> Result<u64, Failure> {
    let mut count = 0;
    let written = loop {
        let Some(bytes) = reader.next().await else {
            break sink.writer.flush();
        };
        let bytes = bytes.map_err(unreadable)?;
        count += bytes.len() as u64;
        if let Err(error) = sink.writer.write_all(&bytes) {
            break Err(error);
        }
    };
    match written {
        Ok(()) => Ok(count),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(after_reader_left(reader, count).await)
        }
        Err(error) => Err((sink.failed)(error)),
    }
}

fn unreadable(error: longshore::Error) -> Failure {
    let is_large = longshore::Error::kind(&error) == ErrorKind::TooLarge;
    let failure = Failure::from(error);
    if is_large {
        failure.hint("allow a larger one with --max-size")
    } else {
        failure
    }
}

/// Continues to read for a moment after the reader closed the output, to find out whether the
/// content is wrong: the reader may have used what it got.
async fn after_reader_left(mut reader: BlobReader, count: u64) -> Failure {
    let rest = reader.size().map(|size| size.saturating_sub(count));
    if rest.is_some_and(|rest| rest > REST_LIMIT_BYTES) {
        return Failure::reader_left();
    }
    let verifying = async {
        let mut read = 0;
        while let Some(bytes) = reader.next().await {
            read += bytes?.len() as u64;
            if read > REST_LIMIT_BYTES {
                break;
            }
        }
        Ok(())
    };
    match tokio::time::timeout(REST_LIMIT, verifying).await {
        Ok(Err(error)) if longshore::Error::kind(&error) == ErrorKind::Digest => error.into(),
        _ => Failure::reader_left(),
    }
}
