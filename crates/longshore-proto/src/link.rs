//! `Link` fields, of which registries use one relation: `next`.
//!
//! RFC 8288 §3, with the parameter values of RFC 9110:
//!
//! ```text
//! Link       = #link-value
//! link-value = "<" URI-Reference ">" *( OWS ";" OWS [ link-param ] )
//! link-param = token BWS [ "=" BWS ( token / quoted-string ) ]
//! ```
//!
//! A target may hold commas and semicolons, so a field is read from left to right and never
//! split first.

/// Maximum length of a `Link` target in bytes; a longer one is an error (LI).
pub const LINK_TARGET_LIMIT_BYTES: usize = 8 * 1024;

/// Why `Link` fields cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The field breaks the grammar, at this byte of it.
    #[error("a Link field is malformed at byte {at}")]
    Malformed {
        /// Position in the field, in bytes from 0.
        at: usize,
    },
    /// The fields name more than one next page (RD7).
    #[error("the Link fields name several next pages")]
    Several,
    /// The target is longer than [`LINK_TARGET_LIMIT_BYTES`].
    #[error("a Link target is longer than {LINK_TARGET_LIMIT_BYTES} bytes")]
    TooLong,
}

/// Finds the target of the relation `next` in the `Link` fields of an answer.
///
/// The target is a URI reference, as sent. The relation of a link is that of its first `rel`
/// parameter (RFC 8288 §3.3), in any case.
///
/// # Errors
///
/// [`LinkError`] when a field breaks the grammar, or there are several different targets.
pub fn next<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<&'a [u8]>, LinkError> {
    let mut found = None;
    for field in fields {
        let mut reader = Reader { field, at: 0 };
        while reader.skip_to_value() {
            let (target, is_next) = reader.link_value()?;
            if target.len() > LINK_TARGET_LIMIT_BYTES {
                return Err(LinkError::TooLong);
            }
            if is_next && found.replace(target).is_some_and(|before| before != target) {
                return Err(LinkError::Several);
            }
        }
    }
    Ok(found)
}

struct Reader<'a> {
    field: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.field.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.peek() == Some(byte);
        self.at += usize::from(eaten);
        eaten
    }

    fn eat_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let start = self.at;
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
        self.field.get(start..self.at).unwrap_or_default()
    }

    fn malformed<T>(&self) -> Result<T, LinkError> {
        Err(LinkError::Malformed { at: self.at })
    }

    /// Empty list elements are allowed (RFC 9110 §5.6.1.2).
    fn skip_to_value(&mut self) -> bool {
        self.eat_while(|byte| matches!(byte, b' ' | b'\t' | b','));
        self.peek().is_some()
    }

    fn blanks(&mut self) {
        self.eat_while(|byte| matches!(byte, b' ' | b'\t'));
    }

    /// One link: its target, and whether it leads to the next page.
    fn link_value(&mut self) -> Result<(&'a [u8], bool), LinkError> {
        if !self.eat(b'<') {
            return self.malformed();
        }
        let target = self.eat_while(|byte| byte != b'>');
        if !self.eat(b'>') {
            return self.malformed();
        }
        let mut relation: Option<bool> = None;
        loop {
            self.blanks();
            match self.peek() {
                Some(b';') => self.at += 1,
                Some(b',') | None => return Ok((target, relation == Some(true))),
                Some(_) => return self.malformed(),
            }
            self.blanks();
            if let Some((b"rel", is_next)) = self.parameter()? {
                relation.get_or_insert(is_next);
            }
        }
    }

    /// One parameter: `rel` or another, and whether its value names the relation `next`.
    fn parameter(&mut self) -> Result<Option<(&'static [u8], bool)>, LinkError> {
        let name = self.eat_while(is_token);
        if name.is_empty() {
            // `;` at the end, or twice.
            return Ok(None);
        }
        // `title*` and its like (RFC 8187): a star ends the name and stands nowhere else.
        if name.iter().rev().skip(1).any(|&byte| byte == b'*') {
            return self.malformed();
        }
        self.blanks();
        let mut is_next = false;
        if self.eat(b'=') {
            self.blanks();
            is_next = if self.eat(b'"') {
                self.quoted()?
            } else {
                self.plain()?
            };
        }
        let kind: &'static [u8] = if name.eq_ignore_ascii_case(b"rel") {
            b"rel"
        } else {
            b""
        };
        Ok(Some((kind, is_next)))
    }

    fn plain(&mut self) -> Result<bool, LinkError> {
        let value = self.eat_while(|byte| is_token(byte) || matches!(byte, b'/' | b':'));
        if value.is_empty() {
            self.malformed()
        } else {
            Ok(value.eq_ignore_ascii_case(b"next"))
        }
    }

    /// A quoted-string after its first quote; it may name several relations.
    fn quoted(&mut self) -> Result<bool, LinkError> {
        let start = self.at;
        loop {
            self.eat_while(|byte| byte != b'"' && byte != b'\\');
            if self.eat(b'\\') {
                self.at += usize::from(self.peek().is_some());
                continue;
            }
            let value = self.field.get(start..self.at).unwrap_or_default();
            if !self.eat(b'"') {
                return self.malformed();
            }
            return Ok(value
                .split(u8::is_ascii_whitespace)
                .any(|relation| relation.eq_ignore_ascii_case(b"next")));
        }
    }
}

/// `tchar` of RFC 9110 §5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[&str], expected: Result<Option<&str>, LinkError>) {
        let found = next(fields.iter().map(|field| field.as_bytes()));
        assert_eq!(
            found,
            expected.map(|target| target.map(str::as_bytes)),
            "{fields:?}"
        );
    }

    #[test]
    fn the_next_page_is_found_wherever_it_stands() {
        for (fields, target) in [
            (
                &[r#"</v2/a/tags/list?n=1&last=b>; rel="next""#][..],
                "/v2/a/tags/list?n=1&last=b",
            ),
            (&["</a>; rel=prev", "</b>; REL=Next"], "/b"),
            (
                &[r#"</a>; rel="prev", </b>; title="x, </c>; rel=next"; rel="next""#],
                "/b",
            ),
            (&[r#"</a?x=1,2;3>;rel="last next";"#], "/a?x=1,2;3"),
            (&[r#" , </a> ; title*=UTF-8'de'x ; rel="next" , "#], "/a"),
            (&[r#"</a>; title="\"\\"; rel=next"#], "/a"),
            (&["</a>; rel=next", "</a>; rel=next"], "/a"),
        ] {
            check(fields, Ok(Some(target)));
        }
        for none in [
            &[][..],
            &[""],
            &["</a>"],
            &["</a>; rel=prev; rel=next"],
            &["</a>; title=next"],
        ] {
            check(none, Ok(None));
        }
    }

    #[test]
    fn rd7_a_malformed_link_is_an_error_value() {
        let malformed = |at| Err(LinkError::Malformed { at });
        for (field, at) in [
            ("/a", 0),
            ("</a", 3),
            (r#"</a>; rel="next"#, 15),
            ("</a>; rel=", 10),
            (r#"</a>; rel="\"#, 12),
            ("</a> rel=next", 5),
            ("</a>; r*d=x", 9),
        ] {
            check(&[field], malformed(at));
        }
        check(&["</a>; rel=next, </b>; rel=next"], Err(LinkError::Several));
        let long = format!("<{}>; rel=next", "a".repeat(LINK_TARGET_LIMIT_BYTES + 1));
        check(&[&long], Err(LinkError::TooLong));
    }
}
