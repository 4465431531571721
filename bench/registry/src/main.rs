//! A registry for measurements: near, but as slow as a registry far away; it stores no blob.
//!
//! It serves the files of a tree, and takes uploads: it reads each blob, counts its bytes and
//! discards it, so that the client does more work than the server does. Manifests are kept. Digests
//! of blobs are not checked, but a manifest is refused while one of its blobs is missing.
//!
//! What a registry far away costs a client is answers waited for one after another. This one waits
//! a fixed number of milliseconds before each answer. With `tokens`, every request without a token
//! for it is refused with a challenge; the token server is the same server.
//!
//! A line for each request goes to standard output: connection, method, target, status, bytes of
//! the answer's body, bytes of the request's body.

mod answer;
mod registry;
mod request;

use std::io::{self, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use registry::Registry;
use request::Request;

const USAGE: &str = "bench-registry ROOT DELAY_MS open|tokens";

/// Bytes read at once. Larger buffers do not lower the cost; smaller ones raise it.
const BUFFER_BYTES: usize = 256 * 1024;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (root, delay, tokens) = match words.as_slice() {
        [root, delay, access] if access == "open" => (root, delay, false),
        [root, delay, access] if access == "tokens" => (root, delay, true),
        _ => return Err(io::Error::other(USAGE)),
    };
    let delay = Duration::from_millis(delay.parse().map_err(io::Error::other)?);
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    println!("{address}");
    let registry = Registry::new(PathBuf::from(root), address, tokens);
    thread::scope(|scope| {
        for number in 1_u64.. {
            let (stream, _) = listener.accept()?;
            let registry = &registry;
            scope.spawn(move || serve(number, &stream, registry, delay));
        }
        Ok(())
    })
}

/// Answers the requests of one connection; a client that goes away ends it.
fn serve(number: u64, stream: &TcpStream, registry: &Registry, delay: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, stream);
    while let Some(request) = Request::read(&mut reader, stream)? {
        thread::sleep(delay);
        let answer = registry.answer(&request);
        let sent = answer.send(stream, request.method == "HEAD")?;
        println!(
            "{number} {} {} {} {sent} {}",
            request.method, request.target, answer.status, request.received
        );
    }
    Ok(())
}
