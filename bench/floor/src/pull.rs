//! The least a pull can cost: socket, hash, file.
//!
//! Plain HTTP/1.1 GETs over kept connections, one blocking thread for each. It leaves half a file
//! when it fails.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sha2::{Digest as _, Sha256};

use crate::{BUFFER_BYTES, digests, verify};

/// Heads are shorter in everything this program is pointed at.
const HEAD_BYTES: usize = 4 * 1024;

pub(crate) fn run(
    server: &str,
    repository: &str,
    tag: &str,
    directory: &Path,
    connections: usize,
) -> io::Result<()> {
    fs::create_dir_all(directory)?;

    let mut first = Connection::open(server, repository)?;
    let manifest = first.manifest(tag)?;
    fs::write(directory.join("manifest.json"), &manifest)?;
    let digests = digests(&manifest)?;
    let next = AtomicUsize::new(0);
    let work = |mut connection: Connection| -> io::Result<()> {
        while let Some(digest) = digests.get(next.fetch_add(1, Ordering::Relaxed)) {
            connection.blob(digest, directory)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let more: Vec<_> = (1..connections.min(digests.len()))
            .map(|_| scope.spawn(|| Connection::open(server, repository).and_then(work)))
            .collect();
        work(first)?;
        more.into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| io::Error::other("a panic"))?)
    })
}

struct Connection {
    stream: TcpStream,
    prefix: String,
    host: String,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(server: &str, repository: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            prefix: format!("/v2/{repository}"),
            host: server.to_owned(),
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    fn manifest(&mut self, tag: &str) -> io::Result<Vec<u8>> {
        let mut manifest = Vec::new();
        self.get(&format!("manifests/{tag}"), |piece| {
            manifest.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(manifest)
    }

    fn blob(&mut self, digest: &str, directory: &Path) -> io::Result<()> {
        let mut file = File::create(directory.join(digest))?;
        let mut hasher = Sha256::new();
        self.get(&format!("blobs/sha256:{digest}"), |piece| {
            hasher.update(piece);
            file.write_all(piece)
        })?;
        verify(hasher, digest)
    }

    /// Sends a GET and hands each piece of the body to `sink`.
    fn get(&mut self, path: &str, mut sink: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let (prefix, host) = (&self.prefix, &self.host);
        let request = format!(
            "GET {prefix}/{path} HTTP/1.1\r\nHost: {host}\r\n\
             Accept: application/vnd.oci.image.manifest.v1+json\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes())?;
        let (head, filled) = self.head()?;
        let mut left = length(&self.buffer[..head])?;
        let early = &self.buffer[head..filled];
        sink(early)?;
        left -= early.len() as u64;
        while left > 0 {
            let most = left.min(BUFFER_BYTES as u64) as usize;
            match self.stream.read(&mut self.buffer[..most])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => {
                    sink(&self.buffer[..count])?;
                    left -= count as u64;
                }
            }
        }
        Ok(())
    }

    /// Reads the head, and what came with it of the body; gives where each ends.
    fn head(&mut self) -> io::Result<(usize, usize)> {
        let mut filled = 0;
        loop {
            let count = self.stream.read(&mut self.buffer[filled..HEAD_BYTES])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += count;
            let seen = &self.buffer[..filled];
            if let Some(at) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok((at + 4, filled));
            }
        }
    }
}

/// The length of the body, by the head of a good answer.
fn length(head: &[u8]) -> io::Result<u64> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200 ") {
        let line = head.lines().next().unwrap_or_default();
        return Err(io::Error::other(line.to_owned()));
    }
    let mut lines = head.lines();
    let value = lines.find_map(|line| line.strip_prefix("content-length:"));
    let value = value.ok_or_else(|| io::Error::other("no content-length"))?;
    value.trim().parse().map_err(io::Error::other)
}
