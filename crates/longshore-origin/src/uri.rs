//! URIs as logs may show them.

use std::borrow::Cow;
use std::fmt;

use http::Uri;

use crate::Escaped;

/// A URI as it may be shown: no user information, and query values only where they cannot be
/// secrets (OU4).
///
/// Scheme, host, port and path are kept. Of the query, values of `scope`, `service`, `digest`,
/// `mount`, `from`, `n`, `last`, `ns` and `artifactType` are kept; every other value, and every
/// item without a name, becomes `REDACTED`. The result passes through [`Escaped`].
///
/// ```
/// use longshore_origin::RedactedUri;
/// let uri = "https://cdn.example/blob?n=5&X-Amz-Signature=abc".parse()?;
/// assert_eq!(
///     RedactedUri::new(&uri).to_string(),
///     "https://cdn.example/blob?n=5&X-Amz-Signature=REDACTED",
/// );
/// # Ok::<_, http::uri::InvalidUri>(())
/// ```
#[derive(Clone, Copy)]
pub struct RedactedUri<'a>(&'a Uri);

impl<'a> RedactedUri<'a> {
    /// Wraps a URI.
    pub fn new(uri: &'a Uri) -> Self {
        Self(uri)
    }
}

impl fmt::Display for RedactedUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        if let Some(scheme) = self.0.scheme_str() {
            text.push_str(scheme);
            text.push_str("://");
        }
        if let Some(authority) = self.0.authority() {
            // Not `as_str`: that has the user information.
            text.push_str(authority.host());
            if let Some(port) = authority.port() {
                text.push(':');
                text.push_str(port.as_str());
            }
        }
        text.push_str(self.0.path());
        for (i, item) in self
            .0
            .query()
            .into_iter()
            .flat_map(|q| q.split('&'))
            .enumerate()
        {
            text.push(if i == 0 { '?' } else { '&' });
            push_item(&mut text, item);
        }
        Escaped::text(&text).fmt(f)
    }
}

impl fmt::Debug for RedactedUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedactedUri({self})")
    }
}

fn push_item(text: &mut String, item: &str) {
    match item.split_once('=') {
        _ if item.is_empty() => {}
        None => text.push_str(REDACTED),
        Some((name, value)) if SHOWN.contains(&name) && !value.contains(OTHER_SEPARATOR) => {
            text.push_str(item);
        }
        Some((name, _)) => {
            text.push_str(name);
            text.push('=');
            text.push_str(REDACTED);
        }
    }
}

const REDACTED: &str = "REDACTED";

/// Some servers separate query items by this too; what follows it may be anything.
const OTHER_SEPARATOR: char = ';';

/// Query parameters whose values are names and numbers, never secrets.
const SHOWN: [&str; 9] = [
    "scope",
    "service",
    "digest",
    "mount",
    "from",
    "n",
    "last",
    "ns",
    "artifactType",
];

/// Hides possible user information in text that should be a URL, a registry or a reference (OU3).
///
/// Everything before the last `@` is replaced by `REDACTED`, except a scheme in front and an `@`
/// with a digest behind it. The text need not be well formed: this is for errors that quote it.
///
/// ```
/// use longshore_origin::without_user_information as shown;
///
/// assert_eq!(shown("https://me:hunter2@r.example/app:1"), "https://REDACTED@r.example/app:1");
/// assert_eq!(shown("r.example/app:1@sha256:0"), "r.example/app:1@sha256:0");
/// ```
pub fn without_user_information(text: &str) -> Cow<'_, str> {
    match split_user_information(text) {
        Some((scheme, _, rest)) => format!("{scheme}REDACTED@{rest}").into(),
        None => text.into(),
    }
}

/// Splits a text that was to be a URL, a registry or a reference at its user information: a scheme
/// with its `://` or nothing, what may be user information, and what follows its `@`. `None` where
/// there is no `@` but those of digests.
///
/// The text need not be well formed, as for [`without_user_information`].
pub fn split_user_information(text: &str) -> Option<(&str, &str, &str)> {
    let signs = text.rmatch_indices('@').map(|(at, _)| at);
    let mut parts = signs.filter_map(|at| Some((text.get(..at)?, text.get(at + 1..)?)));
    let (before, rest) = parts.find(|(_, rest)| !is_digest(rest))?;
    let scheme_end = before.find("://").filter(|end| {
        let scheme = before.get(..*end).unwrap_or_default();
        scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    let (scheme, information) = before.split_at(scheme_end.map_or(0, |end| end + 3));
    Some((scheme, information, rest))
}

/// Whether the text begins like a digest, with `sha256:` for example.
fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, _)| {
        let bits = algorithm.strip_prefix("sha").unwrap_or_default();
        let is_sha = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        is_sha || matches!(algorithm, "blake3" | "md5")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // OU4
    #[test]
    fn ou4_only_listed_query_values_are_shown() {
        check("https://h/p", "https://h/p");
        check(
            "https://h:5000/v2/?n=1&last=a%2Fb",
            "https://h:5000/v2/?n=1&last=a%2Fb",
        );
        check("https://[::1]:5000/v2/", "https://[::1]:5000/v2/");
        check(
            "https://auth.example/token?service=r&scope=repository:a:pull&account=me&password=x",
            "https://auth.example/token?service=r&scope=repository:a:pull\
             &account=REDACTED&password=REDACTED",
        );
        check("https://h/p?sig", "https://h/p?REDACTED");
        check("https://h/p?a=b=c&&=x", "https://h/p?a=REDACTED&&=REDACTED");
        check(
            "https://h/p?s%63ope=x&Scope=y",
            "https://h/p?s%63ope=REDACTED&Scope=REDACTED",
        );
        check("https://h/p?n=1;sig=x", "https://h/p?n=REDACTED");
        check("https://h/p?", "https://h/p?");
        check("https://user:pass@h/p", "https://h/p");
        check("/v2/?digest=sha256:0", "/v2/?digest=sha256:0");
    }

    fn check(input: &str, expected: &str) {
        assert_eq!(
            RedactedUri::new(&input.parse().unwrap()).to_string(),
            expected
        );
    }

    #[test]
    fn ou3_user_information_is_hidden_in_text_that_is_not_well_formed() {
        for (text, shown) in [
            ("", ""),
            ("r.example/app:1", "r.example/app:1"),
            ("app@sha256:00", "app@sha256:00"),
            ("app:1@sha1:00", "app:1@sha1:00"),
            ("me:hunter2@r.example", "REDACTED@r.example"),
            ("hunter2@r.example:5000/app", "REDACTED@r.example:5000/app"),
            (
                "docker://me:hunter2@r.example/a",
                "docker://REDACTED@r.example/a",
            ),
            (
                "https://me:hun/te?r2@r.example",
                "https://REDACTED@r.example",
            ),
            ("me:hun@ter2@r.example", "REDACTED@r.example"),
            (
                "me:hunter2@r.example/a@sha256:00",
                "REDACTED@r.example/a@sha256:00",
            ),
            (
                "me:hunter2@shanghai.example:5000/a",
                "REDACTED@shanghai.example:5000/a",
            ),
            ("a@u:hunter2@x", "REDACTED@x"),
            ("@", "REDACTED@"),
            ("me:hunter2@://x", "REDACTED@://x"),
            ("me:hunter2://x@y", "REDACTED@y"),
            ("\u{e4}:hunter2@\u{e4}", "REDACTED@\u{e4}"),
        ] {
            assert_eq!(without_user_information(text), shown);
        }
    }
}
