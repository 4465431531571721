//! References a server sends, resolved as RFC 3986 says and nothing else.

use fluent_uri::{Uri, UriRef};

use crate::origin::{OriginError, Scheme, read_port};
use crate::{Escaped, Origin};

/// Resolves a reference (of a `Location`, a `Link`, a realm) against the URL it was found under.
///
/// RFC 3986 §5.2. Returns the origin and the path with query; the path is never empty, and a
/// fragment is dropped, since neither is sent. Bytes that are allowed in a path or query are kept
/// unchanged, so that a signed query survives (RD4); all others (blanks, quotes, `<>^{|}`,
/// backslash, brackets, backquote, a lone `%`, control characters, everything outside ASCII) are
/// percent-encoded, because servers do send them. Nothing is repaired in the authority: every
/// reader would repair it differently.
///
/// # Errors
///
/// [`ResolveError`] when the reference is longer than [`URL_LIMIT_BYTES`] as sent or as resolved,
/// has CR, LF or NUL, does not follow the grammar, or does not lead to a http or https origin
/// without user information (CR12). Never panics (RD7).
pub fn resolve(base: (&Origin, &str), reference: &[u8]) -> Result<(Origin, String), ResolveError> {
    let sent = reference;
    let reference = UriRef::parse(legible(sent)?).map_err(|(error, _)| ResolveError::Syntax {
        at: place(sent, error.index()),
    })?;
    let (origin, path_and_query) = base;
    let mut base = origin.to_string();
    push_legal(&mut base, path_and_query.as_bytes());
    // An origin and an encoded path always make a URI without a fragment to resolve against.
    let base = Uri::parse(base).map_err(|_| ResolveError::Syntax { at: 0 })?;
    let target = reference
        .resolve_against(&base)
        .map_err(|_| ResolveError::Syntax { at: 0 })?;

    let scheme = target.scheme().as_str();
    let scheme = Scheme::read(scheme).ok_or_else(|| ResolveError::Scheme {
        scheme: scheme.into(),
    })?;
    let authority = target.authority().ok_or(OriginError::Empty)?;
    // port = *DIGIT: `host:` is the default port, RFC 3986 §3.2.3
    let port = authority.port().filter(|port| !port.is_empty());
    let port = port.map(|port| read_port(port.as_str())).transpose()?;
    let origin = Origin::from_parts(scheme, authority.host(), port)?;

    let mut path_and_query = target.path().as_str().to_owned();
    if path_and_query.is_empty() {
        path_and_query.push('/');
    }
    if let Some(query) = target.query() {
        path_and_query.push('?');
        path_and_query.push_str(query.as_str());
    }
    if path_and_query.len() > URL_LIMIT_BYTES {
        return Err(ResolveError::TooLong {
            bytes: path_and_query.len(),
        });
    }
    Ok((origin, path_and_query))
}

/// Why a reference is not a URL that may be requested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// It has a line break or a NUL.
    #[error("the URL has a line break or NUL at byte {at}")]
    Control {
        /// Where, in bytes from 0.
        at: usize,
    },
    /// Its host or port is refused.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The scheme is neither http nor https.
    #[error("the scheme \"{}\" is neither http nor https", Escaped::text(.scheme))]
    Scheme {
        /// The scheme as sent.
        scheme: Box<str>,
    },
    /// It does not follow the grammar of RFC 3986.
    #[error("not a URL: unexpected character or end at byte {at}")]
    Syntax {
        /// Where the reference leaves the grammar, in bytes from 0.
        at: usize,
    },
    /// It is longer than [`URL_LIMIT_BYTES`].
    #[error("the URL has {bytes} bytes, and at most {URL_LIMIT_BYTES} are allowed")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
}

/// The reference as text that can be parsed: without a fragment and surrounding blanks.
fn legible(reference: &[u8]) -> Result<String, ResolveError> {
    if reference.len() > URL_LIMIT_BYTES {
        return Err(ResolveError::TooLong {
            bytes: reference.len(),
        });
    }
    if let Some(at) = reference
        .iter()
        .position(|b| matches!(b, b'\r' | b'\n' | b'\0'))
    {
        return Err(ResolveError::Control { at });
    }
    let reference = reference.trim_ascii();
    let reference = reference.split(|b| *b == b'#').next().unwrap_or_default();
    let (before, authority, after) = split_authority(reference);
    let mut text = String::with_capacity(reference.len());
    // `before` is a scheme, a colon and two slashes, or nothing.
    text.push_str(&String::from_utf8_lossy(before));
    text.push_str(authority_text(authority)?);
    push_legal(&mut text, after);
    Ok(text)
}

/// Splits off the authority, if there is one: RFC 3986 §3.
///
/// ```text
/// URI          = scheme ":" "//" authority path-abempty …
/// relative-ref = "//" authority path-abempty …
/// ```
fn split_authority(reference: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let scheme_bytes = reference
        .iter()
        .position(|b| !b.is_ascii_alphanumeric() && !b"+-.".contains(b))
        .filter(|at| *at > 0 && reference.get(*at) == Some(&b':'))
        .map_or(0, |at| at + ":".len());
    let start = scheme_bytes + "//".len();
    if reference.get(scheme_bytes..start) != Some(b"//".as_slice()) {
        return (&[], &[], reference);
    }
    let (before, rest) = reference
        .split_at_checked(start)
        .unwrap_or((reference, &[]));
    let end = rest
        .iter()
        .position(|b| b"/?".contains(b))
        .unwrap_or(rest.len());
    let (authority, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
    (before, authority, after)
}

/// Reports the faults of an authority that have errors of their own.
fn authority_text(authority: &[u8]) -> Result<&str, OriginError> {
    // CR12: user information is refused. Searched in the raw bytes, so that nothing before it is
    // interpreted.
    if authority.contains(&b'@') {
        return Err(OriginError::UserInformation);
    }
    match std::str::from_utf8(authority) {
        Ok(text) if text.is_ascii() => Ok(text),
        _ => Err(OriginError::NotAscii {
            host: String::from_utf8_lossy(authority).into(),
        }),
    }
}

/// Returns the position in the original reference of the byte at `index` in its [`legible`] text.
fn place(reference: &[u8], index: usize) -> usize {
    let trimmed = reference.trim_ascii_start();
    let (before, authority, after) = split_authority(trimmed);
    let unchanged = before.len() + authority.len();
    let mut at = index.min(unchanged);
    let mut written = at;
    while written < index && at < trimmed.len() {
        let kept = is_kept(after, at - unchanged);
        written += if kept { 1 } else { "%00".len() };
        at += 1;
    }
    reference.len() - trimmed.len() + at
}

/// Appends path and query, with every byte percent-encoded that is not allowed there.
fn push_legal(text: &mut String, path_and_query: &[u8]) {
    for (at, byte) in path_and_query.iter().enumerate() {
        if is_kept(path_and_query, at) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// Whether the byte at this position is allowed in a path or query, or begins an escape.
fn is_kept(path_and_query: &[u8], at: usize) -> bool {
    let is_escape = || {
        let digits = path_and_query.get(at + 1..at + 3);
        digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit))
    };
    match path_and_query.get(at) {
        Some(b'%') => is_escape(),
        Some(byte) => is_legal(*byte),
        None => false,
    }
}

// pchar      = unreserved / pct-encoded / sub-delims / ":" / "@"        RFC 3986 §3.3
// query      = *( pchar / "/" / "?" )
// unreserved = ALPHA / DIGIT / "-" / "." / "_" / "~"
// sub-delims = "!" / "$" / "&" / "'" / "(" / ")" / "*" / "+" / "," / ";" / "="
fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte)
}

/// Maximum length of a URL from a server, in bytes; a longer one is refused.
///
/// Threat rule table LI, "redirect/Location/Link URL".
pub const URL_LIMIT_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests;
