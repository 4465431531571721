//! Reads a credentials file as a whole, and only if it is a regular file.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::{DOCKER_CONFIG_LIMIT_BYTES, DockerConfigError};

/// Reads a file; `None` if it does not exist.
///
/// Only a regular file is opened, because opening a pipe waits for a writer, and a device may have
/// no end.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, DockerConfigError> {
    let io = |source| DockerConfigError::Io {
        path: path.to_owned(),
        source,
    };
    let is_absent = |kind| matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory);
    match fs::metadata(path) {
        Err(error) if is_absent(error.kind()) => return Ok(None),
        Err(error) => return Err(io(error)),
        Ok(metadata) if !metadata.is_file() => {
            return Err(DockerConfigError::NotAFile {
                path: path.to_owned(),
            });
        }
        Ok(_) => {}
    }
    let file = File::open(path).map_err(io)?;
    // The capacity covers the whole file, since growing would leave a copy behind (OU3).
    let room = DOCKER_CONFIG_LIMIT_BYTES as usize + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(DOCKER_CONFIG_LIMIT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    if bytes.len() as u64 > DOCKER_CONFIG_LIMIT_BYTES {
        return Err(DockerConfigError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(Some(bytes))
}
