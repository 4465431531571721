//! Results on stdout.

use std::io::{self, Write as _};

use longshore::origin::is_unsafe;

use crate::exit::Failure;

/// Prints one line of text.
pub(crate) fn text(line: &str) -> Result<(), Failure> {
    bytes(format!("{line}\n").as_bytes())
}

/// Prints one JSON object on a line, with nothing in it that a terminal could obey (OU1).
pub(crate) fn json(value: &serde_json::Value) -> Result<(), Failure> {
    text(&harmless(&value.to_string()))
}

/// The same JSON, with every unsafe character as `\u` and four digits. All of them are below
/// U+10000, and outside of strings JSON has none.
fn harmless(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unsafe(c) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Says something on stderr that is no result.
pub(crate) fn note(line: &str) {
    // Nobody to tell is no failure.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints bytes as they are.
pub(crate) fn bytes(content: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(content).and_then(|()| stdout.flush()) {
        // Whoever reads has had enough; that is no failure of ours.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Failure::stdout),
    }
}

/// A number of bytes for people: `1.5 MiB`.
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
    fn ou1_json_holds_nothing_a_terminal_obeys() {
        let value = serde_json::json!({ "a\u{9b}": "\u{7f}\u{202e}\u{2028}\u{1b}[2Jä" });
        let shown = harmless(&value.to_string());
        assert_eq!(shown, r#"{"a\u009b":"\u007f\u202e\u2028\u001b[2Jä"}"#);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
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
