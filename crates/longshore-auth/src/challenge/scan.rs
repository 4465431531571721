//! One line of `WWW-Authenticate`, read byte by byte.

use std::borrow::Cow;

use super::FaultKind;

/// A place in one field line. Never panics, never allocates.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(line: &'a [u8]) -> Self {
        Self { line, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.line.len()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    /// What was read since `start`.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.line.get(start..self.at).unwrap_or_default()
    }

    /// Everything to the end of the line.
    pub(super) fn skip_line(&mut self) {
        self.at = self.line.len();
    }

    /// `[ element ] *( OWS "," OWS [ element ] )`, RFC 9110 §5.6.1.2: all between two elements.
    /// Returns whether there was a comma.
    pub(super) fn skip_gap(&mut self) -> bool {
        let mut comma = false;
        while let Some(byte) = self.peek().filter(|b| matches!(b, b' ' | b'\t' | b',')) {
            comma |= byte == b',';
            self.at += 1;
        }
        comma
    }

    /// Where the next element begins.
    pub(super) fn next_element(mut self) -> usize {
        self.skip_gap();
        self.at
    }

    /// `OWS = *( SP / HTAB )`, RFC 9110 §5.6.3.
    pub(super) fn skip_blanks(&mut self) -> &'a [u8] {
        self.take_while(|b| matches!(b, b' ' | b'\t'))
    }

    /// `token = 1*tchar`, RFC 9110 §5.6.2; empty where there is none.
    pub(super) fn token(&mut self) -> &'a str {
        // Every tchar is ASCII, so the fallback is never taken.
        std::str::from_utf8(self.take_while(|b| is(b, TCHAR))).unwrap_or_default()
    }

    /// A token68 that is all there is up to the next comma; otherwise nothing is read.
    ///
    /// `token68 = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`, RFC 9110 §11.2.
    pub(super) fn token68(&mut self) -> Option<&'a str> {
        let start = self.at;
        let mut ahead = *self;
        if ahead.take_while(|b| is(b, TOKEN68)).is_empty() {
            return None;
        }
        ahead.take_while(|b| b == b'=');
        let text = std::str::from_utf8(ahead.since(start)).unwrap_or_default();
        ahead.skip_blanks();
        if !matches!(ahead.peek(), None | Some(b',')) {
            return None;
        }
        *self = ahead;
        Some(text)
    }

    /// Reads on to the next parameter, if it belongs to the same challenge.
    pub(super) fn next_param(&mut self) -> Next<'a> {
        let comma = self.skip_gap();
        if self.is_at_end() {
            return Next::End;
        }
        let start = *self;
        let name = self.token();
        self.skip_blanks();
        if !name.is_empty() && self.peek() == Some(b'=') {
            self.at += 1;
            self.skip_blanks();
            return self.value(name, comma);
        }
        *self = start;
        // Without a comma this could be anything, a challenge least likely.
        if comma && !name.is_empty() {
            return Next::Challenge;
        }
        self.skip_element();
        Next::Dropped(FaultKind::Garbage)
    }

    // auth-param = token BWS "=" BWS ( token / quoted-string )              RFC 9110 §11.2
    fn value(&mut self, name: &'a str, comma: bool) -> Next<'a> {
        let (value, kind) = if self.peek() == Some(b'"') {
            match self.quoted_string() {
                Ok(value) => (value, None),
                Err(kind) => return Next::Dropped(kind),
            }
        } else {
            let start = self.at;
            let token = self.token().as_bytes();
            match self.peek() {
                None | Some(b' ' | b'\t' | b',') if !token.is_empty() => (Raw::plain(token), None),
                None | Some(b' ' | b'\t' | b',') => return Next::Dropped(FaultKind::NoValue),
                // `realm=https://…` without quotes: deployed, and there is one way to read it.
                _ => {
                    self.take_while(|b| b > b' ' && b != 0x7f && b != b',' && b != b'"');
                    if !matches!(self.peek(), None | Some(b' ' | b'\t' | b',')) {
                        self.skip_element();
                        return Next::Dropped(FaultKind::Garbage);
                    }
                    (Raw::plain(self.since(start)), Some(FaultKind::Unquoted))
                }
            }
        };
        let kind = kind.or_else(|| (!comma).then_some(FaultKind::NoComma));
        Next::Param(Param { name, value }, kind)
    }

    // quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE               RFC 9110 §5.6.4
    // qdtext        = HTAB / SP / %x21 / %x23-5B / %x5D-7E / obs-text
    // quoted-pair   = "\" ( HTAB / SP / VCHAR / obs-text )
    fn quoted_string(&mut self) -> Result<Raw<'a>, FaultKind> {
        self.at += 1;
        let start = self.at;
        let (mut escaped, mut control) = (false, false);
        loop {
            self.take_while(|b| is(b, QDTEXT));
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    match self.peek() {
                        None => return Err(FaultKind::Unterminated),
                        Some(pair) => control |= !is(pair, QDTEXT) && !b"\"\\".contains(&pair),
                    }
                }
                Some(_) => control = true,
                None => return Err(FaultKind::Unterminated),
            }
            self.at += 1;
        }
        let text = self.since(start);
        self.at += 1;
        if control {
            return Err(FaultKind::Control);
        }
        Ok(Raw { text, escaped })
    }

    /// Everything up to the next comma outside of quotes.
    pub(super) fn skip_element(&mut self) {
        loop {
            self.take_while(|b| b != b',' && b != b'"');
            if self.peek() != Some(b'"') {
                return;
            }
            // What is wrong inside the quotes does not matter here.
            let _ = self.quoted_string();
        }
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.line.get(self.at..).unwrap_or_default();
        let bytes = rest.iter().position(|b| !accept(*b)).unwrap_or(rest.len());
        self.at += bytes;
        rest.get(..bytes).unwrap_or_default()
    }
}

/// What follows inside a challenge.
pub(super) enum Next<'a> {
    /// A parameter; the fault is a leniency under which it was taken.
    Param(Param<'a>, Option<FaultKind>),
    /// Something that is no parameter, and was passed over.
    Dropped(FaultKind),
    /// The next challenge; nothing of it was read.
    Challenge,
    /// The end of the line.
    End,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Param<'a> {
    pub(super) name: &'a str,
    pub(super) value: Raw<'a>,
}

/// A value as it stands in the line, without the quotes around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'a> {
    text: &'a [u8],
    escaped: bool,
}

impl<'a> Raw<'a> {
    fn plain(text: &'a [u8]) -> Self {
        Self {
            text,
            escaped: false,
        }
    }

    /// The value meant; the only allocation of the parser is here, and only where there is a `\`.
    pub(super) fn unescaped(self) -> Cow<'a, [u8]> {
        if !self.escaped {
            return Cow::Borrowed(self.text);
        }
        let mut value = Vec::with_capacity(self.text.len());
        let mut bytes = self.text.iter().copied();
        while let Some(byte) = bytes.next() {
            let meant = if byte == b'\\' {
                bytes.next()
            } else {
                Some(byte)
            };
            value.extend(meant);
        }
        Cow::Owned(value)
    }
}

fn is(byte: u8, class: u8) -> bool {
    CLASSES
        .get(usize::from(byte))
        .is_some_and(|classes| classes & class != 0)
}

const TCHAR: u8 = 1;
const TOKEN68: u8 = 2;
const QDTEXT: u8 = 4;

/// The character classes of RFC 9110 that the grammar above names, by byte.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated while compiling, in a loop over the indices"
)]
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < classes.len() {
        classes[byte] = classes_of(byte as u8);
        byte += 1;
    }
    classes
};

const fn classes_of(byte: u8) -> u8 {
    let mut classes = 0;
    // tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|"
    //       / "~" / DIGIT / ALPHA                                           RFC 9110 §5.6.2
    let alphanumeric = byte.is_ascii_alphanumeric();
    let marks = matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`');
    if alphanumeric || marks || matches!(byte, b'|' | b'~') {
        classes |= TCHAR;
    }
    if alphanumeric || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/') {
        classes |= TOKEN68;
    }
    if matches!(byte, b'\t' | b' ' | b'!' | b'#'..=b'[' | b']'..=b'~' | 0x80..) {
        classes |= QDTEXT;
    }
    classes
}
