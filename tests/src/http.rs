//! One request over plain HTTP and its answer, without the code under test.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::process::{PATIENCE, PROBE};

/// The answer of a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The status line and the header fields.
    pub head: String,
    /// The body: everything up to the end of the connection.
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of the first header field of this name, which is compared without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut named = fields.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim())
    }
}

/// Sends `GET` for this path as the harness. The registries of the harness do not count the
/// request.
///
/// # Panics
///
/// When there is no HTTP answer.
#[must_use]
#[track_caller]
pub fn get(address: SocketAddr, path: &str) -> Reply {
    send(address, "GET", path, &[])
}

/// Sends a request without a body as the harness. A field `host` replaces that of the address.
///
/// # Panics
///
/// When there is no HTTP answer.
#[must_use]
#[track_caller]
pub fn send(address: SocketAddr, method: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
    let ask = || {
        let mut stream = open(address, method, path, fields)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    match ask() {
        Ok(answer) => match read(&answer) {
            Some(reply) => reply,
            None => panic!("{address} does not answer in HTTP to {method} {path}"),
        },
        Err(error) => panic!("{address} does not answer to {method} {path}: {error}"),
    }
}

/// Sends a request as [`send`] does, and returns the connection, for tests that read the answer at
/// their own speed.
///
/// # Errors
///
/// When there is no connection.
pub fn open(
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nuser-agent: {PROBE}\r\n");
    let defaults = [
        ("host", address.to_string()),
        ("accept", TYPES.to_owned()),
        ("connection", "close".to_owned()),
    ];
    for (name, value) in &defaults {
        if !fields.iter().any(|(given, _)| given == name) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    Ok(stream)
}

fn read(answer: &[u8]) -> Option<Reply> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let (head, body) = answer.split_at(end);
    let head = std::str::from_utf8(head).ok()?;
    Some(Reply {
        status: head.split(' ').nth(1)?.parse().ok()?,
        head: head.to_owned(),
        body: body.get(4..)?.to_owned(),
    })
}

/// Every type of manifest: a registry may answer 404 if the client does not accept its type.
const TYPES: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json, */*";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let reply = read(b"HTTP/1.1 200 OK\r\na: b\r\n\r\nbody\r\n\r\n").unwrap();
        assert_eq!(
            (reply.status, reply.body.as_slice()),
            (200, &b"body\r\n\r\n"[..])
        );
        assert_eq!((reply.header("A"), reply.header("c")), (Some("b"), None));
        assert!(read(b"SSH-2.0-OpenSSH_9.6\r\n\r\n").is_none());
    }
}
