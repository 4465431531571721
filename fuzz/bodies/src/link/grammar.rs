//! `Link` as RFC 8288 §3 has it, rule by rule; slow, and never looking back.
//!
//! Each rule gives every way in which it can match at the start of a text: what it found, and
//! what is left.
//!
//! ```text
//! Link       = [ link-value ] *( OWS "," OWS [ link-value ] )       ; RFC 9110 §5.6.1.2
//! link-value = "<" target ">" *( OWS ";" OWS [ link-param ] )
//! link-param = name BWS [ "=" BWS ( plain / quoted-string ) ]
//! name       = 1*tchar                                              ; "*" at its end alone
//! plain      = 1*( tchar / "/" / ":" )                              ; media types unquoted
//! target     = *( any octet but ">" )
//! ```

/// One link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link<'a> {
    pub(super) target: &'a [u8],
    /// Names and values; escapes are left in the values, for no relation has any.
    pub(super) params: Vec<(&'a [u8], &'a [u8])>,
}

type Ways<'a, T> = Vec<(T, &'a [u8])>;

/// The links of a field, if it follows the grammar.
pub(super) fn links(field: &[u8]) -> Option<Vec<Link<'_>>> {
    let mut found = Vec::new();
    let mut rest = field;
    loop {
        rest = blanks(rest);
        if rest.is_empty() {
            return Some(found);
        }
        if !rest.starts_with(b",") {
            // A link-value ends where a comma or nothing follows, in one way at most.
            let mut ends = link_value(rest)
                .into_iter()
                .map(|(link, rest)| (link, blanks(rest)))
                .filter(|(_, rest)| rest.is_empty() || rest.starts_with(b","));
            let (link, after) = ends.next()?;
            assert!(ends.all(|way| way == (link.clone(), after)), "{field:?}");
            found.push(link);
            rest = after;
        }
        rest = rest.strip_prefix(b",").unwrap_or(rest);
    }
}

fn link_value(text: &[u8]) -> Ways<'_, Link<'_>> {
    let Some((target, rest)) = text.strip_prefix(b"<").and_then(|text| {
        let end = text.iter().position(|byte| *byte == b'>')?;
        Some((text.get(..end)?, text.get(end + 1..)?))
    }) else {
        return Vec::new();
    };
    let mut ways = vec![(
        Link {
            target,
            params: Vec::new(),
        },
        rest,
    )];
    let mut newest = ways.clone();
    while !newest.is_empty() {
        newest = newest.iter().flat_map(another_param).collect();
        newest.dedup();
        ways.extend(newest.iter().cloned());
    }
    ways
}

fn another_param<'a>((link, rest): &(Link<'a>, &'a [u8])) -> Ways<'a, Link<'a>> {
    let Some(rest) = blanks(rest).strip_prefix(b";") else {
        return Vec::new();
    };
    let rest = blanks(rest);
    let with = |(param, rest)| {
        let mut link = link.clone();
        link.params.push(param);
        (link, rest)
    };
    let mut ways: Ways<'_, Link<'_>> = param(rest).into_iter().map(with).collect();
    ways.push((link.clone(), rest));
    ways
}

fn param(text: &[u8]) -> Ways<'_, (&[u8], &[u8])> {
    // A name or a value that is not as long as it can be leaves what no rule takes up.
    let (name, rest) = longest(text, is_tchar);
    let inner = name.strip_suffix(b"*").unwrap_or(name);
    if name.is_empty() || inner.contains(&b'*') {
        return Vec::new();
    }
    let mut ways: Ways<'_, (&[u8], &[u8])> = vec![((name, &b""[..]), rest)];
    if let Some(value) = blanks(rest).strip_prefix(b"=") {
        let value = blanks(value);
        ways.clear();
        let plain = longest(value, |byte| is_tchar(byte) || matches!(byte, b'/' | b':'));
        if !plain.0.is_empty() {
            ways.push(((name, plain.0), plain.1));
        }
        if let Some((quoted, rest)) = quoted_string(value) {
            ways.push(((name, quoted), rest));
        }
    }
    ways
}

fn quoted_string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"\"")?;
    let mut at = 0;
    loop {
        match inner.get(at)? {
            b'"' => return Some((inner.get(..at)?, inner.get(at + 1..)?)),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn blanks(text: &[u8]) -> &[u8] {
    longest(text, |byte| matches!(byte, b' ' | b'\t')).1
}

fn longest(text: &[u8], wanted: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !wanted(*byte));
    text.split_at(end.unwrap_or(text.len()))
}

/// RFC 9110 §5.6.2
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
