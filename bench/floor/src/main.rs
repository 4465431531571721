//! The least that moving an image can cost: sockets, SHA-256, files, and nothing else.
//!
//! It believes whatever the server says, knows nothing of tokens, redirects, retries or TLS, asks
//! for nothing first, and finds the blobs by looking for `"digest":"` in the manifest. What remains
//! is what every program must do that moves verified bytes.

mod pull;
mod send;

use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

const USAGE: &str = "\
bench-floor pull HOST:PORT REPOSITORY TAG DIR CONNECTIONS
bench-floor push DIR HOST:PORT REPOSITORY TAG CONNECTIONS
bench-floor copy HOST:PORT REPOSITORY TAG HOST:PORT REPOSITORY CONNECTIONS";

/// Bytes read at once. Larger buffers do not lower the cost; smaller ones raise it.
const BUFFER_BYTES: usize = 256 * 1024;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse::<usize>().map_err(io::Error::other);
    match words.as_slice() {
        ["pull", server, repository, tag, directory, connections] => pull::run(
            server,
            repository,
            tag,
            Path::new(directory),
            number(connections)?,
        ),
        ["push", directory, server, repository, tag, connections] => send::push(
            Path::new(directory),
            send::Place::new(server, repository),
            tag,
            number(connections)?,
        ),
        ["copy", from, source, tag, to, repository, connections] => send::copy(
            send::Place::new(from, source),
            send::Place::new(to, repository),
            tag,
            number(connections)?,
        ),
        _ => Err(io::Error::other(USAGE)),
    }
}

/// The hexadecimal digests a manifest or an index names, in its order.
fn digests(manifest: &[u8]) -> io::Result<Vec<&str>> {
    let text = str::from_utf8(manifest).map_err(io::Error::other)?;
    let quoted = text.split("\"digest\":\"sha256:").skip(1);
    Ok(quoted.filter_map(|rest| rest.get(..64)).collect())
}

/// Compares the hash of a blob with the hexadecimal digest that names it.
fn verify(hasher: Sha256, digest: &str) -> io::Result<()> {
    let hash = hasher.finalize();
    let found: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    match found == digest {
        true => Ok(()),
        false => Err(io::Error::other(format!("{digest} hashes to {found}"))),
    }
}
