//! User information in arguments, `user:password@host`, which no message may repeat (OU3: a secret
//! appears in no error). Parsers, here and in dependencies, quote text that they cannot parse.

use std::borrow::Cow;
use std::ffi::OsString;

use longshore::origin::split_user_information;

/// What a message shows in place of user information.
const REDACTED: &str = "REDACTED";

/// Removes the user information in the arguments of this process from a text.
pub(crate) fn arguments(text: &str) -> Cow<'_, str> {
    redacted(text, std::env::args_os().skip(1))
}

fn redacted(text: &str, arguments: impl Iterator<Item = OsString>) -> Cow<'_, str> {
    let mut shown = Cow::Borrowed(text);
    for argument in arguments {
        if let Some(info) = user_information(&argument.to_string_lossy()) {
            shown = without(shown, info);
            // The form that `Debug` prints.
            shown = without(shown, &info.escape_debug().to_string());
        }
    }
    shown
}

fn without<'a>(text: Cow<'a, str>, info: &str) -> Cow<'a, str> {
    let replacements = match info.split_once(':') {
        Some((_, password)) => vec![
            (info.to_owned(), REDACTED.to_owned()),
            // A parser may have split the argument at the colon.
            (format!("{password}@"), format!("{REDACTED}@")),
        ],
        // A user name without a password may be a common word.
        None => vec![(format!("{info}@"), format!("{REDACTED}@"))],
    };
    replacements
        .into_iter()
        .filter(|(secret, _)| secret != "@")
        .fold(text, |text, (secret, shown)| {
            if text.contains(&secret) {
                Cow::Owned(text.replace(&secret, &shown))
            } else {
                text
            }
        })
}

/// Returns the user information in an argument, or in the value of an option. It may hold any
/// character, because it need not be well formed.
fn user_information(argument: &str) -> Option<&str> {
    let value = match argument.split_once('=') {
        Some((option, value)) if option.starts_with("--") => value,
        _ => argument,
    };
    let (scheme, info, after) = split_user_information(value)?;
    // Without a scheme, `name@tag` is probably a mistyped reference.
    let is_authority = !scheme.is_empty() || info.contains(':') || after.contains(['.', ':', '/']);
    (is_authority && !info.is_empty()).then_some(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_information_ends_at_the_last_at_sign() {
        for (argument, expected) in [
            ("https://user:pass@host/x", Some("user:pass")),
            ("https://token@host", Some("token")),
            ("--allow-realm=https://u:p@host", Some("u:p")),
            ("user:pass@host/x:1", Some("user:pass")),
            ("docker://user:p@ss/w@host/x@sha256:12", Some("user:p@ss/w")),
            ("token@ghcr.io/x", Some("token")),
            ("host/name:tag@sha256:12", None),
            ("host/name@sha512:", None),
            ("alpine@latest", None),
            ("alpine", None),
            ("https://@host", None),
            ("--file", None),
        ] {
            assert_eq!(user_information(argument), expected, "{argument}");
        }
    }

    #[test]
    fn ou3_user_information_is_removed_wherever_it_is_repeated() {
        let argument = || std::iter::once(OsString::from("https://me:s3\"cret@host/x"));
        for (text, expected) in [
            (
                "invalid: https://me:s3\"cret@host/x",
                "invalid: https://REDACTED@host/x",
            ),
            (
                r#""https://me:s3\"cret@host/x""#,
                r#""https://REDACTED@host/x""#,
            ),
            ("no port: s3\"cret@host", "no port: REDACTED@host"),
            ("me:s3\"cret", "REDACTED"),
            ("nothing about me", "nothing about me"),
        ] {
            assert_eq!(redacted(text, argument()), expected);
        }
    }
}
