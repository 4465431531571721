//! Text from a peer, made safe for terminals and logs.

use std::fmt::{self, Write as _};

/// Peer-supplied text as it may be shown: one line, no control characters, bounded (OU1).
///
/// Control characters (C0, DEL, C1), bidirectional controls and line or paragraph separators
/// become `\u{..}`; invalid UTF-8 becomes U+FFFD; at most [`ESCAPED_LIMIT_CHARS`] characters are
/// written, the last of them `…` where something was cut off.
///
/// ```
/// use longshore_origin::Escaped;
/// assert_eq!(Escaped::new(b"ok\x1b[2J").to_string(), r"ok\u{1b}[2J");
/// ```
#[derive(Clone, Copy)]
pub struct Escaped<'a>(&'a [u8]);

impl<'a> Escaped<'a> {
    /// Wraps bytes that may not be UTF-8.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Wraps text.
    pub fn text(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chars = self.0.utf8_chunks().flat_map(|chunk| {
            let broken = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
            chunk.valid().chars().chain(broken)
        });
        // Whether a character or the ellipsis is written depends on whether more characters follow.
        let mut pieces = chars.peekable();
        let mut room = ESCAPED_LIMIT_CHARS;
        while let Some(c) = pieces.next() {
            let width = if is_unsafe(c) { escape_width(c) } else { 1 };
            let reserve = usize::from(pieces.peek().is_some());
            if width + reserve > room {
                return f.write_char('…');
            }
            if is_unsafe(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                f.write_char(c)?;
            }
            room -= width;
        }
        Ok(())
    }
}

impl fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

fn escape_width(c: char) -> usize {
    c.escape_unicode().len()
}

/// Whether a character can control a terminal or break a line of a log (OU1).
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{2028}' | '\u{2029}')
}

/// Maximum number of characters that [`Escaped`] writes; an escape counts as what is written (OU1).
pub const ESCAPED_LIMIT_CHARS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    // OU1
    #[test]
    fn ou1_peer_text_is_one_harmless_line() {
        check(
            b"plain text, \xc3\xa4\xc3\xb6 and \xe6\xbc\xa2",
            "plain text, äö and 漢",
        );
        check(b"a\nb\r\n\tc\0", r"a\u{a}b\u{d}\u{a}\u{9}c\u{0}");
        check(b"\x1b]0;title\x07", r"\u{1b}]0;title\u{7}");
        check(b"\x7f", r"\u{7f}");
        check("\u{85}\u{9b}31m".as_bytes(), r"\u{85}\u{9b}31m");
        check(
            "\u{202e}gpj.exe\u{2066}\u{200f}\u{61c}".as_bytes(),
            concat!(r"\u{202e}gpj.exe\u{2066}\u{200f}", r"\u{61c}"),
        );
        check("\u{2028}x\u{2029}".as_bytes(), r"\u{2028}x\u{2029}");
        check(b"\xff\xfeok\xe6\xbc", "\u{fffd}\u{fffd}ok\u{fffd}");
        check(b"", "");
        assert_eq!(format!("{:?}", Escaped::text("a\u{1b}")), r#""a\u{1b}""#);
    }

    #[test]
    fn ou1_at_most_512_characters_are_written() {
        let full = "ä".repeat(ESCAPED_LIMIT_CHARS);
        check(full.as_bytes(), &full);
        let over = "ä".repeat(ESCAPED_LIMIT_CHARS + 1);
        check(
            over.as_bytes(),
            &format!("{}…", "ä".repeat(ESCAPED_LIMIT_CHARS - 1)),
        );
        let escapes = Escaped::new(&[0; 2 * ESCAPED_LIMIT_CHARS]).to_string();
        assert_eq!(escapes, format!("{}…", r"\u{0}".repeat(102)));
    }

    fn check(input: &[u8], expected: &str) {
        assert_eq!(Escaped::new(input).to_string(), expected);
    }
}
