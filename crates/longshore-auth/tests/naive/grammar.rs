// A second reader of `WWW-Authenticate`, transcribed rule by rule from RFC 9110 and slow on
// purpose: every rule returns every way it can match. It accepts the grammar and nothing else, and
// it shows that the grammar has at most one meaning for any text. Included by the property tests
// and by the fuzz target of the challenge parser.

/// A challenge as the grammar has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NaiveChallenge {
    pub(crate) scheme: String,
    pub(crate) token68: Option<String>,
    pub(crate) params: Vec<(String, Vec<u8>)>,
}

/// All meanings of one field line; none where it does not follow the grammar.
pub(crate) fn naive_challenges(line: &[u8]) -> Vec<Vec<NaiveChallenge>> {
    // A field value has no blanks around it: RFC 9110 §5.5.
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = line.iter().position(|b| !blank(b)).unwrap_or(line.len());
    let end = line
        .iter()
        .rposition(|b| !blank(b))
        .map_or(start, |at| at + 1);
    let line = &line[start..end];
    // WWW-Authenticate = #challenge
    let mut meanings = Vec::new();
    for (challenges, end) in list(line, 0, &challenge) {
        if end == line.len() && !meanings.contains(&challenges) {
            meanings.push(challenges);
        }
    }
    meanings
}

/// Values with the place after each.
type Matches<T> = Vec<(T, usize)>;

/// `#element => [ element ] *( OWS "," OWS [ element ] )`, RFC 9110 §5.6.1.2
fn list<T: Clone + PartialEq>(
    text: &[u8],
    at: usize,
    element: &dyn Fn(&[u8], usize) -> Matches<T>,
) -> Matches<Vec<T>> {
    let optional = |at: usize, before: &[T]| {
        let mut matches = vec![(before.to_vec(), at)];
        for (value, end) in element(text, at) {
            let mut values = before.to_vec();
            values.push(value);
            matches.push((values, end));
        }
        matches
    };
    let mut all = optional(at, &[]);
    let mut next = 0;
    while next < all.len() {
        let (values, end) = all[next].clone();
        next += 1;
        for comma in ows(text, end) {
            if text.get(comma) != Some(&b',') {
                continue;
            }
            for begin in ows(text, comma + 1) {
                for found in optional(begin, &values) {
                    if !all.contains(&found) {
                        all.push(found);
                    }
                }
            }
        }
    }
    all
}

/// `challenge = auth-scheme [ 1*SP ( token68 / #auth-param ) ]`, RFC 9110 §11.3
fn challenge(text: &[u8], at: usize) -> Matches<NaiveChallenge> {
    let mut all = Vec::new();
    for end in token(text, at) {
        let alone = NaiveChallenge {
            scheme: string(&text[at..end]),
            token68: None,
            params: Vec::new(),
        };
        let mut begin = end;
        while text.get(begin) == Some(&b' ') {
            begin += 1;
            for end in token68(text, begin) {
                let token68 = Some(string(&text[begin..end]));
                all.push((
                    NaiveChallenge {
                        token68,
                        ..alone.clone()
                    },
                    end,
                ));
            }
            for (params, end) in list(text, begin, &auth_param) {
                all.push((
                    NaiveChallenge {
                        params,
                        ..alone.clone()
                    },
                    end,
                ));
            }
        }
        all.push((alone, end));
    }
    all
}

/// `token68 = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`, RFC 9110 §11.2
fn token68(text: &[u8], at: usize) -> Vec<usize> {
    let mut all = Vec::new();
    let mut end = at;
    while text
        .get(end)
        .is_some_and(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(b))
    {
        end += 1;
        all.push(end);
    }
    let letters = all.len();
    for i in 0..letters {
        let mut end = all[i];
        while text.get(end) == Some(&b'=') {
            end += 1;
            all.push(end);
        }
    }
    all
}

/// `auth-param = token BWS "=" BWS ( token / quoted-string )`, RFC 9110 §11.2
fn auth_param(text: &[u8], at: usize) -> Matches<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for name_end in token(text, at) {
        for equals in ows(text, name_end) {
            if text.get(equals) != Some(&b'=') {
                continue;
            }
            for begin in ows(text, equals + 1) {
                let name = string(&text[at..name_end]);
                for end in token(text, begin) {
                    all.push(((name.clone(), text[begin..end].to_vec()), end));
                }
                if let Some((value, end)) = quoted_string(text, begin) {
                    all.push(((name.clone(), value), end));
                }
            }
        }
    }
    all
}

/// `quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE`, RFC 9110 §5.6.4
///
/// There is at most one way to read it: neither qdtext nor a quoted-pair begins with a quote.
fn quoted_string(text: &[u8], at: usize) -> Option<(Vec<u8>, usize)> {
    let mut bytes = text.iter().copied().enumerate().skip(at);
    if bytes.next()?.1 != b'"' {
        return None;
    }
    let mut value = Vec::new();
    loop {
        match bytes.next()? {
            (end, b'"') => return Some((value, end + 1)),
            // quoted-pair = "\" ( HTAB / SP / VCHAR / obs-text )
            (_, b'\\') => match bytes.next()?.1 {
                pair @ (b'\t' | b' '..=b'~' | 0x80..) => value.push(pair),
                _ => return None,
            },
            // qdtext = HTAB / SP / %x21 / %x23-5B / %x5D-7E / obs-text
            (_, byte @ (b'\t' | b' ' | 0x21 | 0x23..=0x5b | 0x5d..=0x7e | 0x80..)) => {
                value.push(byte);
            }
            _ => return None,
        }
    }
}

/// `token = 1*tchar`, RFC 9110 §5.6.2
fn token(text: &[u8], at: usize) -> Vec<usize> {
    let tchar = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    let bytes = text.iter().skip(at).take_while(|b| tchar(b)).count();
    (at + 1..=at + bytes).collect()
}

/// `OWS = *( SP / HTAB )`, RFC 9110 §5.6.3
fn ows(text: &[u8], at: usize) -> Vec<usize> {
    let bytes = text
        .iter()
        .skip(at)
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count();
    (at..=at + bytes).collect()
}

fn string(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
