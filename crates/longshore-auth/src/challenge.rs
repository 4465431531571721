//! `WWW-Authenticate`: the authentication that a server accepts.
//!
//! RFC 9110 §11.6.1 lets one response carry any number of fields, each with any number of
//! challenges, separated by the same comma that separates the parameters inside of one:
//!
//! ```text
//! WWW-Authenticate = #challenge
//! challenge        = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
//! auth-scheme      = token
//! auth-param       = token BWS "=" BWS ( token / quoted-string )
//! #element         = [ element ] *( OWS "," OWS [ element ] )  ; as recipients read it, §5.6.1.2
//! ```
//!
//! The grammar needs no backtracking: after a comma, a token followed by `=` is a parameter, any
//! other token begins a challenge; after a scheme, what reaches the next comma in token68
//! characters and trailing `=` alone is a token68.
//!
//! Servers depart from the grammar, and so does this parser where a text has one plausible meaning.
//! Such a [`Challenge`] reports it in [`leniency`](Challenge::leniency); without a leniency it
//! follows the grammar to the letter. Text that cannot be read is a [`Fault`] between the
//! challenges, and reading resumes after it.

use std::borrow::Cow;
use std::fmt;

use longshore_origin::Escaped;

use self::scan::{Cursor, Next};

mod scan;
#[cfg(test)]
mod tests;

/// One challenge of a response, borrowed from its field.
///
/// Names are compared without regard to case (RFC 9110 §11.1, §11.2); values are bytes, for a
/// quoted-string may hold any above 0x7f (`obs-text`).
#[derive(Clone, Copy)]
pub struct Challenge<'a> {
    scheme: &'a str,
    data: Data<'a>,
    leniency: Option<Fault>,
}

#[derive(Clone, Copy)]
enum Data<'a> {
    Params(Cursor<'a>),
    Token68(&'a str),
}

impl<'a> Challenge<'a> {
    /// Reads all `WWW-Authenticate` fields of a response, in the order they came.
    ///
    /// Lazy, and without an allocation. After [`CHALLENGES_LIMIT_BYTES`] in all fields together, or
    /// [`CHALLENGES_LIMIT`] challenges, the last item is a fault that says so (RE7).
    ///
    /// ```
    /// use longshore_auth::Challenge;
    ///
    /// let fields: [&[u8]; 2] = [
    ///     br#"Negotiate, Bearer realm="https://auth.example/token",service="r""#,
    ///     br#"Basic realm="r""#,
    /// ];
    /// let read: Result<Vec<_>, _> = Challenge::parse_all(fields.into_iter()).collect();
    /// let read = read?;
    /// assert_eq!(read.len(), 3);
    /// assert!(read[1].is("bearer"));
    /// assert_eq!(read[1].param("Service").as_deref(), Some(b"r".as_slice()));
    /// # Ok::<_, longshore_auth::Fault>(())
    /// ```
    pub fn parse_all<I: Iterator<Item = &'a [u8]>>(fields: I) -> Challenges<'a, I> {
        Challenges {
            fields,
            cursor: Cursor::default(),
            next_line: 0,
            bytes: 0,
            items: 0,
        }
    }

    /// The scheme as sent; compare with [`is`](Self::is).
    pub fn scheme(&self) -> &'a str {
        self.scheme
    }

    /// Whether the scheme has this name, in any case.
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// The token68, where the challenge has one instead of parameters.
    pub fn token68(&self) -> Option<&'a str> {
        match self.data {
            Data::Token68(text) => Some(text),
            Data::Params(_) => None,
        }
    }

    /// The parameters in the order sent, each a name as sent and an unescaped value.
    pub fn params(&self) -> Params<'a> {
        Params(match self.data {
            Data::Params(cursor) => cursor,
            Data::Token68(_) => Cursor::default(),
        })
    }

    /// The value of the first parameter of this name, in any case.
    ///
    /// A sender must not repeat a name (RFC 9110 §11.2). If one does, the first value counts, so
    /// that nothing appended to a challenge can replace it.
    pub fn param(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.params()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Where this challenge first departs from the grammar; `None` if it does not.
    ///
    /// | fault | read as |
    /// |---|---|
    /// | [`FaultKind::NoComma`] | two parameters |
    /// | [`FaultKind::NoSpace`] | a challenge and its parameters |
    /// | [`FaultKind::Unquoted`] | a value up to the next blank or comma |
    /// | [`FaultKind::Control`] | nothing: skipped |
    /// | [`FaultKind::Garbage`] | nothing: skipped |
    /// | [`FaultKind::NoValue`] | nothing: skipped |
    /// | [`FaultKind::Unterminated`] | nothing: the rest of the field is skipped |
    pub fn leniency(&self) -> Option<Fault> {
        self.leniency
    }

    /// Writes the challenge in canonical form: every value quoted, one comma and one space between
    /// parameters.
    ///
    /// Reading these bytes gives the same challenge, without leniency.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = self.scheme.as_bytes().to_vec();
        if let Some(token68) = self.token68() {
            text.push(b' ');
            text.extend(token68.bytes());
        }
        for (i, (name, value)) in self.params().enumerate() {
            text.extend_from_slice(if i == 0 { b" " } else { b", " });
            text.extend(name.bytes());
            text.extend_from_slice(b"=\"");
            for byte in value.iter().copied() {
                if matches!(byte, b'"' | b'\\') {
                    text.push(b'\\');
                }
                text.push(byte);
            }
            text.push(b'"');
        }
        text
    }
}

impl fmt::Debug for Challenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenge({})", Escaped::new(&self.to_bytes()))
    }
}

/// The parameters of a challenge; see [`Challenge::params`].
#[derive(Clone, Debug)]
pub struct Params<'a>(Cursor<'a>);

impl<'a> Iterator for Params<'a> {
    type Item = (&'a str, Cow<'a, [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.next_param() {
                Next::Param(param, _) => return Some((param.name, param.value.unescaped())),
                Next::Dropped(_) => {}
                Next::Challenge | Next::End => {
                    self.0.skip_line();
                    return None;
                }
            }
        }
    }
}

/// The challenges of a response; see [`Challenge::parse_all`].
///
/// An `Err` stands in the place of text that is not a challenge; what follows it is still read.
/// There are at most [`CHALLENGES_LIMIT`] items and one last fault.
#[derive(Clone, Debug)]
pub struct Challenges<'a, I> {
    fields: I,
    cursor: Cursor<'a>,
    /// The number of the next field, from 0.
    next_line: usize,
    bytes: usize,
    items: usize,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Iterator for Challenges<'a, I> {
    type Item = Result<Challenge<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        // Past a limit: its fault was the last item.
        if self.items > CHALLENGES_LIMIT {
            return None;
        }
        self.cursor.skip_gap();
        while self.cursor.is_at_end() {
            let line = self.fields.next()?;
            self.next_line += 1;
            self.bytes = self.bytes.saturating_add(line.len());
            if self.bytes > CHALLENGES_LIMIT_BYTES {
                self.items = CHALLENGES_LIMIT + 1;
                return Some(Err(self.fault(FaultKind::TooLong, 0)));
            }
            self.cursor = Cursor::new(line);
            self.cursor.skip_gap();
        }
        self.items += 1;
        if self.items > CHALLENGES_LIMIT {
            return Some(Err(self.fault(FaultKind::TooMany, self.cursor.at())));
        }
        let start = self.cursor.at();
        Some(self.challenge().map_err(|kind| {
            self.cursor.skip_element();
            self.skip_params();
            self.fault(kind, start)
        }))
    }
}

impl<'a, I> Challenges<'a, I> {
    fn challenge(&mut self) -> Result<Challenge<'a>, FaultKind> {
        let scheme = self.cursor.token();
        if scheme.is_empty() {
            return Err(FaultKind::NoScheme);
        }
        let blanks = self.cursor.skip_blanks();
        let ends_here = matches!(self.cursor.peek(), None | Some(b','));
        if self.cursor.peek() == Some(b'=') {
            return Err(FaultKind::Stray);
        }
        if blanks.is_empty() && !ends_here {
            return Err(FaultKind::NoScheme);
        }
        // 1*SP is blanks without a tab; only an empty list element lets a tab follow the first.
        let spaced = blanks.first() == Some(&b' ') && (ends_here || !blanks.contains(&b'\t'));
        let no_space = (!spaced).then(|| self.fault(FaultKind::NoSpace, self.cursor.at()));
        if let Some(token68) = self.cursor.token68() {
            return Ok(Challenge {
                scheme,
                data: Data::Token68(token68),
                leniency: no_space,
            });
        }
        let params = self.cursor;
        let mut leniency = None;
        let mut first = true;
        loop {
            let before = self.cursor;
            let kind = match self.cursor.next_param() {
                Next::Param(_, kind) => {
                    // No comma stands between a scheme and its first parameter.
                    leniency = leniency.or_else(|| no_space.filter(|_| first));
                    kind.filter(|kind| !first || *kind != FaultKind::NoComma)
                }
                Next::Dropped(kind) => Some(kind),
                Next::Challenge | Next::End => break,
            };
            first = false;
            leniency = leniency.or_else(|| Some(self.fault(kind?, before.next_element())));
        }
        Ok(Challenge {
            scheme,
            data: Data::Params(params),
            leniency,
        })
    }

    /// After a fault, parameters belong to the text that could not be read, not to a challenge.
    fn skip_params(&mut self) {
        loop {
            let mut ahead = self.cursor;
            if !matches!(ahead.next_param(), Next::Param(..) | Next::Dropped(_)) {
                return;
            }
            self.cursor = ahead;
        }
    }

    fn fault(&self, kind: FaultKind, at: usize) -> Fault {
        Fault {
            line: self.next_line.saturating_sub(1),
            at,
            kind,
        }
    }
}

/// A departure from the grammar, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (WWW-Authenticate field {line}, byte {at})")]
#[non_exhaustive]
pub struct Fault {
    /// Which field of the response, from 0.
    pub line: usize,
    /// Where in that field the faulty element begins, in bytes from 0.
    pub at: usize,
    /// What is wrong.
    pub kind: FaultKind,
}

/// What is wrong with a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FaultKind {
    /// A control character inside a quoted-string.
    #[error("control character in a quoted value")]
    Control,
    /// Neither a parameter nor the beginning of a challenge.
    #[error("neither a parameter nor a challenge")]
    Garbage,
    /// Two parameters without a comma between them.
    #[error("no comma between parameters")]
    NoComma,
    /// Text that is not a scheme, where one is expected.
    #[error("no scheme where a challenge should begin")]
    NoScheme,
    /// No space, or a tab, between a scheme and what belongs to it.
    #[error("no space after the scheme")]
    NoSpace,
    /// A name and `=`, but no value.
    #[error("parameter without a value")]
    NoValue,
    /// A parameter that belongs to no challenge.
    #[error("parameter that belongs to no challenge")]
    Stray,
    /// The fields are longer than [`CHALLENGES_LIMIT_BYTES`] together.
    #[error("the fields are longer than {CHALLENGES_LIMIT_BYTES} bytes together")]
    TooLong,
    /// There are more challenges than [`CHALLENGES_LIMIT`].
    #[error("more than {CHALLENGES_LIMIT} challenges")]
    TooMany,
    /// A value that needs quotes and has none, such as a URL.
    #[error("value that should be quoted")]
    Unquoted,
    /// A quoted-string without its closing quote.
    #[error("quoted value without an end")]
    Unterminated,
}

/// Maximum number of bytes read of all `WWW-Authenticate` fields of a response together (RE7). The
/// field that exceeds it is not read.
pub const CHALLENGES_LIMIT_BYTES: usize = 16 * 1024;

/// Maximum number of challenges read of a response, including unreadable ones (RE7).
pub const CHALLENGES_LIMIT: usize = 16;
