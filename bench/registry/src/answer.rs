//! Answers, and how they are sent.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::TcpStream;

/// One answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    fields: Vec<(&'static str, String)>,
    body: Body,
}

enum Body {
    Bytes(Vec<u8>),
    File(File, u64),
    /// The length of a body that was discarded; only a HEAD is answered so.
    Discarded(u64),
}

impl Answer {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
            body: Body::Bytes(Vec::new()),
        }
    }

    /// A refusal with an error code of the specification.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        let body = format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"\"}}]}}");
        Self::new(status).json(&body)
    }

    pub(crate) fn json(self, body: &str) -> Self {
        self.bytes("application/json", body.as_bytes())
    }

    pub(crate) fn bytes(mut self, content_type: &str, body: &[u8]) -> Self {
        self.body = Body::Bytes(body.to_vec());
        self.field("Content-Type", content_type)
    }

    pub(crate) fn file(mut self, content_type: &str, file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        self.body = Body::File(file, length);
        Ok(self.field("Content-Type", content_type))
    }

    pub(crate) fn discarded(mut self, length: u64) -> Self {
        self.body = Body::Discarded(length);
        self
    }

    pub(crate) fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Writes the answer; a HEAD gets no body. Returns the length of the body that was sent.
    pub(crate) fn send(&self, mut stream: &TcpStream, is_head: bool) -> io::Result<u64> {
        let length = match &self.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File(_, length) | Body::Discarded(length) => *length,
        };
        let mut head = format!("HTTP/1.1 {} .\r\n", self.status);
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status != 204 {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        head.push_str("\r\n");
        match &self.body {
            Body::Bytes(bytes) if !is_head => {
                stream.write_all(&[head.as_bytes(), bytes].concat())?;
                Ok(length)
            }
            Body::File(file, _) if !is_head => {
                stream.write_all(head.as_bytes())?;
                io::copy(&mut &*file, &mut stream)
            }
            _ => stream.write_all(head.as_bytes()).map(|()| 0),
        }
    }
}
