//! Results that are written piece by piece, so that they take little memory (LI2).

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::exit::Failure;
use crate::output;

/// Size of the output buffer in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// Standard output, behind a buffer that must be flushed at the end.
#[derive(Default)]
pub(crate) struct Stream {
    buffer: Vec<u8>,
    /// Whether the reader has closed the pipe, which is not a failure.
    is_closed: bool,
}

impl Stream {
    /// Adds text as it is, without escaping.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.write_all(text.as_bytes()).map_err(Failure::stdout)
    }

    /// Adds a value as JSON on one line. Text of a peer is escaped in it, so that a terminal cannot
    /// interpret it (OU1).
    pub(crate) fn json(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Failure> {
        serde_json::to_writer(EscapingWriter(self), value)
            .map_err(|error| Failure::stdout(error.into()))
    }

    /// Writes the buffered bytes.
    pub(crate) fn flush_all(&mut self) -> Result<(), Failure> {
        self.flush().map_err(Failure::stdout)
    }

    /// Returns whether the reader has closed the pipe.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = BUFFER_BYTES.saturating_sub(self.buffer.len());
        let (now, _) = bytes.split_at(room.min(bytes.len()));
        self.buffer.extend_from_slice(now);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.is_empty() || self.is_closed {
            return Ok(());
        }
        let mut stdout = output::stdout();
        match stdout.write_all(&buffer).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.is_closed = true,
            other => other?,
        }
        Ok(())
    }
}

/// Writes JSON with every unsafe character escaped. Each piece that is written must be whole
/// characters.
struct EscapingWriter<W>(W);

impl<W: Write> Write for EscapingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        let mut sink = Utf8Sink {
            writer: &mut self.0,
            error: None,
        };
        let written = output::write_escaped(&mut sink, text, |_| false);
        match (written, sink.error) {
            (Ok(()), _) => Ok(bytes.len()),
            (Err(_), Some(error)) => Err(error),
            (Err(error), None) => Err(io::Error::other(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Takes text for a writer of bytes, and keeps its error.
struct Utf8Sink<'a, W> {
    writer: &'a mut W,
    error: Option<io::Error>,
}

impl<W: Write> fmt::Write for Utf8Sink<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.writer.write_all(text.as_bytes()).map_err(|error| {
            self.error = Some(error);
            fmt::Error
        })
    }
}

/// Returns a JSON document as a field of another one, without the white space between its tokens.
/// It is not parsed into a tree, which would take many times its size (LI2). A document that is
/// not JSON is `null`.
pub(crate) fn embedded(document: &[u8]) -> Box<RawValue> {
    let (mut quoted, mut escaped) = (false, false);
    let text = String::from_utf8_lossy(document);
    let is_kept = |c: &char| {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            ' ' | '\t' | '\n' | '\r' => return quoted,
            _ => {}
        }
        true
    };
    let compact = text.chars().filter(is_kept).collect();
    RawValue::from_string(compact).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ou1_json_contains_no_terminal_control_characters() {
        let value = serde_json::json!({ "a\u{9b}": "\u{7f}\u{202e}\u{2028}\u{1b}[2Jä" });
        let mut shown = Vec::new();
        serde_json::to_writer(EscapingWriter(&mut shown), &value).unwrap();
        let expected = r#"{"a\u009b":"\u007f\u202e\u2028\u001b[2Jä"}"#;
        assert_eq!(String::from_utf8(shown.clone()).unwrap(), expected);
        let read: serde_json::Value = serde_json::from_slice(&shown).unwrap();
        assert_eq!(read, value);
    }

    #[test]
    fn an_embedded_document_is_on_one_line_and_otherwise_as_it_was() {
        for (document, expected) in [
            ("{\n\t\"a b\" : [1.0e5 ,\r\n2] }\n", r#"{"a b":[1.0e5,2]}"#),
            (r#" "a\\" "#, r#""a\\""#),
            (r#"{"\" ": " "}"#, r#"{"\" ":" "}"#),
            ("<html>", "null"),
            ("", "null"),
        ] {
            assert_eq!(embedded(document.as_bytes()).get(), expected);
        }
    }
}
