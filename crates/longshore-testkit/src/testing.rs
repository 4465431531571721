//! The smallest HTTP client that can test a server: one request, one connection.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }
}

pub(crate) fn get(url: &str) -> Reply {
    get_with(url, &[])
}

pub(crate) fn get_with(url: &str, headers: &[(&str, &str)]) -> Reply {
    request("GET", url, headers)
}

pub(crate) fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Reply {
    send(method, url, headers, "")
}

/// A request with a body.
pub(crate) fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    send_part(method, url, headers, body, body.len())
}

/// Sends a request. If `length` is more than the length of the body, the request ends before its
/// body is complete.
pub(crate) fn send_part(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
    length: usize,
) -> Reply {
    let (authority, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let stream = TcpStream::connect(authority).unwrap();
    let mut head =
        format!("{method} /{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
        head.push_str(&format!("content-length: {length}\r\n"));
    }
    converse(stream, &format!("{head}\r\n{body}"), length > body.len())
}

/// Sends these bytes. If `ends` is set, closes the sending side afterwards.
pub(crate) fn converse(mut stream: TcpStream, request: &str, ends: bool) -> Reply {
    stream.write_all(request.as_bytes()).unwrap();
    if ends {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    let mut all = Vec::new();
    // A cut is seen by the length of what came.
    let _ = stream.read_to_end(&mut all);
    let all: String = all.into_iter().map(char::from).collect();
    let (head, body) = all.split_once("\r\n\r\n").unwrap_or_default();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    Reply {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
