//! Results on standard output, and notes on standard error.

use std::io::{self, IsTerminal as _, Write as _};

use longshore::origin::is_unsafe;
use serde::Serialize;

use crate::exit::Failure;
use crate::stream::Stream;

/// Prints one line of text.
pub(crate) fn text(line: &str) -> Result<(), Failure> {
    bytes(format!("{line}\n").as_bytes())
}

/// Prints one JSON object on a line. Text of a peer is escaped in it, so that a terminal cannot
/// interpret it (OU1).
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut stream = Stream::default();
    stream.json(value)?;
    stream.text("\n")?;
    stream.flush_all()
}

/// Returns standard output, which must be flushed before it is dropped.
pub(crate) fn stdout() -> impl io::Write {
    io::stdout().lock()
}

/// Returns the same JSON with every unsafe character as `\u` and four digits, except those that
/// may stay. Unsafe characters are below U+10000.
fn escaped(json: &str, may_stay: fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unsafe(c) && !may_stay(c) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Returns whether a character may separate the tokens of a document. JSON strings hold none of
/// these.
fn is_layout(c: char) -> bool {
    matches!(c, '\n' | '\t')
}

/// Prints a JSON document byte for byte, for programs. On a terminal the same JSON is shown
/// escaped (OU1).
pub(crate) fn document(content: &[u8]) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        text(escaped(&String::from_utf8_lossy(content), is_layout).trim_end())
    } else {
        bytes(content)
    }
}

/// Prints a line that is not a result to standard error.
pub(crate) fn note(line: &str) {
    // A closed standard error is not a failure.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints bytes as they are.
pub(crate) fn bytes(content: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(content).and_then(|()| stdout.flush()) {
        // The reader has closed the pipe, which is not a failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Failure::stdout),
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
