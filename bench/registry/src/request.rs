//! Requests, read from a connection.

use std::io::{self, BufRead, Read as _, Write};

/// The largest manifest, in bytes.
const MANIFEST_BYTES: u64 = 4 * 1024 * 1024;

/// One request, with its body read.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query, as sent.
    pub(crate) target: String,
    pub(crate) token: Option<String>,
    pub(crate) content_type: String,
    /// The body of a manifest; other bodies are discarded.
    pub(crate) manifest: Vec<u8>,
    /// The length of the body in bytes.
    pub(crate) received: u64,
}

/// The length of a body, as its head states it.
enum Length {
    Known(u64),
    Chunked,
}

impl Request {
    /// Reads a request; `None` at the end of the connection.
    pub(crate) fn read(
        reader: &mut impl BufRead,
        mut writer: impl Write,
    ) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split(' ').map(str::to_owned);
        let mut request = Self {
            method: words.next().unwrap_or_default(),
            target: words.next().unwrap_or_default(),
            ..Self::default()
        };
        let mut length = Length::Known(0);
        let mut waits = false;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim_end();
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').unwrap_or((header, ""));
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "authorization" => request.token = value.strip_prefix("Bearer ").map(str::to_owned),
                "content-length" => {
                    length = Length::Known(value.parse().map_err(io::Error::other)?);
                }
                "content-type" => request.content_type = value.to_owned(),
                "expect" => waits = true,
                "transfer-encoding" => length = Length::Chunked,
                _ => {}
            }
        }
        if waits {
            writer.write_all(b"HTTP/1.1 100 .\r\n\r\n")?;
        }
        request.read_body(reader, length)?;
        Ok(Some(request))
    }

    /// The path, and the query behind it.
    pub(crate) fn parts(&self) -> (&str, &str) {
        self.target.split_once('?').unwrap_or((&self.target, ""))
    }

    fn read_body(&mut self, reader: &mut impl BufRead, length: Length) -> io::Result<()> {
        match length {
            Length::Known(bytes) => self.read_piece(reader, bytes),
            Length::Chunked => loop {
                let bytes = chunk_bytes(reader)?;
                self.read_piece(reader, bytes)?;
                end_of_line(reader)?;
                if bytes == 0 {
                    return Ok(());
                }
            },
        }
    }

    fn read_piece(&mut self, reader: &mut impl BufRead, bytes: u64) -> io::Result<()> {
        self.received += bytes;
        if self.target.contains("/manifests/") {
            if self.received > MANIFEST_BYTES {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            reader.take(bytes).read_to_end(&mut self.manifest)?;
            return Ok(());
        }
        let mut left = bytes;
        while left > 0 {
            let count = reader.fill_buf()?.len() as u64;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let taken = count.min(left);
            reader.consume(taken as usize);
            left -= taken;
        }
        Ok(())
    }
}

/// The line before a chunk: its length, and perhaps extensions.
fn chunk_bytes(reader: &mut impl BufRead) -> io::Result<u64> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let digits = line.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(digits, 16).map_err(io::Error::other)
}

/// The end of the line behind a chunk. Trailer fields are not expected.
fn end_of_line(reader: &mut impl BufRead) -> io::Result<()> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    match line.trim_end() {
        "" => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
