//! Results on standard output, and notes on standard error.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal as _, Write};

use longshore::origin::is_unsafe;
use serde::Serialize;

use crate::exit::Failure;
use crate::stream::Stream;

/// Prints one line of text, or several.
pub(crate) fn text(line: &str) -> Result<(), Failure> {
    bytes(format!("{}\n", harmless(line)).as_bytes())
}

/// Returns a text for people with every unsafe character escaped as [`Escaped`] does, but for those
/// that separate lines and columns. Names of layouts and files, and text of peers, may hold any
/// (OU1).
///
/// [`Escaped`]: longshore::origin::Escaped
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| is_unsafe(c) && !is_layout(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) && !is_layout(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Prints one JSON object on a line. Text of a peer is escaped in it, so that a terminal cannot
/// interpret it (OU1).
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut stream = Stream::default();
    stream.json(value)?;
    stream.text("\n")?;
    stream.flush_all()
}

/// Returns a JSON value on one line, for a list that is printed entry by entry; escaped as by
/// [`json`].
pub(crate) fn json_text(value: &serde_json::Value) -> String {
    escaped(&value.to_string(), |_| false)
}

/// Returns the same JSON with every unsafe character escaped, except those that may stay.
fn escaped(json: &str, may_stay: fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(json.len());
    // Writing to a string does not fail.
    let _ = write_escaped(&mut shown, json, may_stay);
    shown
}

/// Writes JSON with every unsafe character as `\u` and four digits, except those that may stay.
/// Unsafe characters are below U+10000.
pub(crate) fn write_escaped(
    shown: &mut impl fmt::Write,
    json: &str,
    may_stay: fn(char) -> bool,
) -> fmt::Result {
    let mut rest = json;
    let found = |rest: &str| {
        rest.char_indices()
            .find(|(_, c)| is_unsafe(*c) && !may_stay(*c))
    };
    while let Some((at, c)) = found(rest) {
        let (before, after) = rest.split_at(at);
        write!(shown, "{before}\\u{:04x}", u32::from(c))?;
        rest = after.get(c.len_utf8()..).unwrap_or_default();
    }
    shown.write_str(rest)
}

/// Returns whether a character may separate the tokens of a document. JSON strings hold none of
/// these.
fn is_layout(c: char) -> bool {
    matches!(c, '\n' | '\t')
}

/// Prints a verified JSON document byte for byte, for programs. On a terminal the same JSON is
/// shown escaped (OU1). Fails if the reader leaves before the end (DG11).
pub(crate) fn document(content: &[u8]) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return text(escaped(&String::from_utf8_lossy(content), is_layout).trim_end());
    }
    match print(content) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::reader_left()),
        other => other.map_err(Failure::stdout),
    }
}

/// Prints a line that is not a result to standard error, or several.
pub(crate) fn note(line: &str) {
    let line = harmless(line);
    let mut stderr = Waiting(io::stderr().lock());
    // A closed standard error is not a failure.
    let _ = stderr.write_all(format!("{line}\n").as_bytes());
}

/// Prints bytes as they are.
pub(crate) fn bytes(content: &[u8]) -> Result<(), Failure> {
    match print(content) {
        // The reader has closed the pipe, which is not a failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Failure::stdout),
    }
}

fn print(content: &[u8]) -> io::Result<()> {
    let mut stdout = stdout();
    stdout.write_all(content)?;
    stdout.flush()
}

/// Returns standard output, which must be flushed before it is dropped.
pub(crate) fn stdout() -> impl Write {
    Waiting(io::stdout().lock())
}

/// A writer that waits for room when a non-blocking file is full. Another process that shares the
/// pipe or the terminal may have made it non-blocking.
struct Waiting<W>(W);

impl<W: Write + Wait> Waiting<W> {
    fn retry<T>(&mut self, write: impl Fn(&mut W) -> io::Result<T>) -> io::Result<T> {
        loop {
            match write(&mut self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.0.wait()?,
                other => return other,
            }
        }
    }
}

impl<W: Write + Wait> Write for Waiting<W> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        self.retry(|writer| writer.write(content))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.retry(Write::flush)
    }
}

/// A file whose readiness can be awaited.
trait Wait {
    /// Waits until writing would not block.
    fn wait(&self) -> io::Result<()>;
}

#[cfg(unix)]
impl<W: std::os::fd::AsFd> Wait for W {
    fn wait(&self) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, poll};
        let mut files = [PollFd::new(self, PollFlags::OUT)];
        match poll(&mut files, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(not(unix))]
impl<W> Wait for W {
    fn wait(&self) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// Formats a number of things.
pub(crate) fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// Formats a number of manifests and blobs that are counted together.
pub(crate) fn items(number: u64) -> String {
    match number {
        1 => "1 manifest or blob".to_owned(),
        _ => format!("{number} manifests and blobs"),
    }
}

/// Formats a number of bytes for people: `1.5 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, UNITS[0]);
    for next in UNITS.into_iter().skip(1) {
        if value < 1023.95 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ou1_text_for_people_keeps_its_lines_and_no_control_characters() {
        let plain = "error: x\n  caused by: y\tz ä";
        assert!(matches!(harmless(plain), Cow::Borrowed(it) if it == plain));
        assert_eq!(
            harmless("copied oci:a\u{1b}[31m\nto b\u{9b}1m\r\u{202e}"),
            "copied oci:a\\u{1b}[31m\nto b\\u{9b}1m\\u{d}\\u{202e}"
        );
    }

    // No byte may be lost if another process makes the pipe non-blocking.
    #[cfg(unix)]
    #[test]
    fn a_writer_waits_for_room_in_a_non_blocking_pipe() {
        let (mut reader, writer) = io::pipe().unwrap();
        let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
        rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        let content: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
        let expected = content.clone();
        let writing = std::thread::spawn(move || Waiting(writer).write_all(&content));
        let mut read = Vec::new();
        io::Read::read_to_end(&mut reader, &mut read).unwrap();
        writing.join().unwrap().unwrap();
        assert_eq!(read, expected);
    }

    #[cfg(unix)]
    #[test]
    fn a_writer_that_waits_notices_that_the_reader_leaves() {
        let (reader, writer) = io::pipe().unwrap();
        let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
        rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        let writing = std::thread::spawn(move || Waiting(writer).write_all(&[0; 1_000_000]));
        drop(reader);
        let error = writing.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn ou1_a_document_on_a_terminal_keeps_its_lines() {
        let document = "{\n\t\"a\": \"\u{9b}2J\u{202e}\u{1b}]0;\"\n}\n";
        let expected = "{\n\t\"a\": \"\\u009b2J\\u202e\\u001b]0;\"\n}\n";
        assert_eq!(escaped(document, is_layout), expected);
    }

    #[test]
    fn sizes_are_rounded_to_one_digit() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_572_864, "1.5 MiB"),
            (1_073_741_823, "1.0 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
