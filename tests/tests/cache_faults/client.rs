//! Requests on plain sockets: what a client sees when the cache dies, lies or waits.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::PATIENCE;

/// An answer, as far as it came.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .next()
    }

    fn length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }

    /// Whether all bytes that the head announces have come.
    pub(crate) fn is_complete(&self) -> bool {
        self.length() == Some(self.body.len())
    }

    /// The body of an answer that must be 200 and complete.
    #[track_caller]
    pub(crate) fn whole(self) -> Vec<u8> {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]);
        assert_eq!(self.status, 200, "{}\n{text}", self.head);
        assert!(
            self.is_complete(),
            "{}: {} came",
            self.head,
            self.body.len()
        );
        self.body
    }
}

/// A connection whose answer has begun.
pub(crate) struct Reading {
    pub(crate) answer: Answer,
    stream: TcpStream,
}

impl Reading {
    /// Reads this many more bytes, or what comes of them.
    pub(crate) fn read(&mut self, bytes: usize) {
        let mut part = vec![0; bytes];
        let mut read = 0;
        while read < bytes {
            match self.stream.read(&mut part[read..]) {
                Ok(0) | Err(_) => break,
                Ok(count) => read += count,
            }
        }
        self.answer.body.extend_from_slice(&part[..read]);
    }

    /// Reads to the end of the connection.
    pub(crate) fn finish(mut self) -> Answer {
        // What came before a reset stays.
        let _ = self.stream.read_to_end(&mut self.answer.body);
        self.answer
    }

    /// Counts the bytes up to the end of the connection, and drops them.
    pub(crate) fn count(mut self) -> u64 {
        let begun = self.answer.body.len() as u64;
        let rest = std::io::copy(&mut self.stream, &mut std::io::sink());
        begun + rest.unwrap_or_default()
    }
}

/// Sends a request and reads the head of its answer; `None` if the connection ends before that.
pub(crate) fn begin(address: SocketAddr, method: &str, path: &str) -> Option<Reading> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\naccept: */*\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut came = Vec::new();
    let end = loop {
        if let Some(end) = came.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        let mut part = [0; 1024];
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(count) => came.extend_from_slice(&part[..count]),
        }
    };
    let head = String::from_utf8(came[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1)?.parse().unwrap();
    let body = came.split_off(end + 4);
    let answer = Answer { status, head, body };
    Some(Reading { answer, stream })
}

/// Sends a request and reads its answer, as far as it comes.
#[track_caller]
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str) -> Answer {
    let begun = begin(address, method, path);
    let begun = begun.unwrap_or_else(|| panic!("no answer to {method} {path}"));
    begun.finish()
}

#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path)
}
