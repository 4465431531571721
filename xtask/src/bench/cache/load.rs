//! The clients: `wrk` for many short requests, and readers of whole blobs.
//!
//! `wrk` waits for a body after every answer, so `HEAD` has clients of its own.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// Sends the same request over 16 connections for some seconds, and returns the number of answers.
pub(super) fn many(
    wrk: &Path,
    address: SocketAddr,
    path: &str,
    seconds: u32,
) -> Result<u64, String> {
    let output = Command::new(wrk)
        .args(["-t1", "-c16", &format!("-d{seconds}s"), "-H", ACCEPT])
        .arg(format!("http://{address}{path}"))
        .output()
        .map_err(|error| format!("wrk: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    match requests(&said) {
        Some(requests) if output.status.success() => Ok(requests),
        _ => Err(format!("wrk: {}\n{said}", output.status)),
    }
}

/// The number of requests in what `wrk` prints; `None` also when an answer was no success.
fn requests(said: &str) -> Option<u64> {
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        return None;
    }
    let line = said.lines().find(|line| line.contains(" requests in "))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Sends `HEAD` over 16 connections for some seconds, and returns the number of answers.
///
/// # Errors
///
/// An answer is no success.
pub(super) fn heads(address: SocketAddr, path: &str, seconds: u32) -> io::Result<u64> {
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let client = || {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!("HEAD {path} HTTP/1.1\r\nhost: {address}\r\n{ACCEPT}\r\n\r\n");
        let mut reader = BufReader::new(&stream);
        let mut answers = 0_u64;
        while Instant::now() < end {
            (&stream).write_all(request.as_bytes())?;
            read_head(&mut reader, path)?;
            answers += 1;
        }
        Ok(answers)
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..16).map(|_| scope.spawn(client)).collect();
        let answers = clients.into_iter().map(|client| joined(client.join()));
        answers.sum()
    })
}

fn joined<T>(result: thread::Result<io::Result<T>>) -> io::Result<T> {
    result.unwrap_or_else(|_| Err(io::Error::other("a client panicked")))
}

/// When one client had the first byte of the body, and when it had all it wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) first: Instant,
    pub(super) last: Instant,
}

/// Reads at most `most` bytes of one body over a connection of its own.
///
/// # Errors
///
/// The answer is no success, or ends early.
pub(super) fn read(address: SocketAddr, path: &str, most: u64) -> io::Result<Arrival> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    get(&stream, address, path, most)
}

/// Reads the same path with several clients that start together.
///
/// # Errors
///
/// As [`read`], of any client.
pub(super) fn together(
    clients: usize,
    address: SocketAddr,
    path: &str,
    most: u64,
) -> io::Result<(Instant, Vec<Arrival>)> {
    let barrier = Barrier::new(clients + 1);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..clients)
            .map(|_| {
                scope.spawn(|| {
                    let stream = TcpStream::connect(address);
                    barrier.wait();
                    let stream = stream?;
                    stream.set_read_timeout(Some(PATIENCE))?;
                    get(&stream, address, path, most)
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        let arrivals = readers.into_iter().map(|reader| joined(reader.join()));
        Ok((start, arrivals.collect::<io::Result<_>>()?))
    })
}

fn get(mut stream: &TcpStream, host: SocketAddr, path: &str, most: u64) -> io::Result<Arrival> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {host}\r\n{ACCEPT}\r\nconnection: close\r\n\r\n"
    )?;
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, stream);
    let length = read_head(&mut reader, path)?;
    let (wanted, mut received, mut first) = (most.min(length), 0, None);
    while received < wanted {
        let count = reader.fill_buf()?.len();
        if count == 0 {
            let why = format!("{path}: {received} of {wanted} bytes arrived");
            return Err(io::Error::other(why));
        }
        first.get_or_insert_with(Instant::now);
        received += count as u64;
        reader.consume(count);
    }
    let last = Instant::now();
    Ok(Arrival {
        first: first.unwrap_or(last),
        last,
    })
}

/// Reads the head of an answer, and returns the length that it announces.
fn read_head(reader: &mut impl io::BufRead, path: &str) -> io::Result<u64> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if line.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(format!("{path}: {}", line.trim_end())));
    }
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let (name, value) = match line.trim_end() {
            "" => break,
            field => field.split_once(':').unwrap_or((field, "")),
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    Ok(length)
}

const ACCEPT: &str = "accept: application/vnd.oci.image.manifest.v1+json";

const BUFFER_BYTES: usize = 256 * 1024;

/// The longest silence of a server.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_count_if_all_were_answered() {
        let said = "Running 1s test @ http://127.0.0.1:1/v2/\n  36713 requests in 1.10s, 10.1MB \
                    read\nRequests/sec:  33375.49\n";
        assert_eq!(requests(said), Some(36_713));
        for error in [
            "  Non-2xx or 3xx responses: 5",
            "  Socket errors: connect 0, read 1, write 0, timeout 0",
        ] {
            assert_eq!(requests(&format!("{said}{error}\n")), None);
        }
        assert_eq!(requests(""), None);
    }
}
